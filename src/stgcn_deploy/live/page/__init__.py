"""The page in the browser: every camera with its people, what they do, how fast it goes."""
