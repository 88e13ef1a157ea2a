"""Where events go: one file for each kind, and `registry` with the table."""
