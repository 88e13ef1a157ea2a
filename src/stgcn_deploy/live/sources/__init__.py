"""Where frames come from: one file for each kind, and `registry` with the table."""
