"""From images to people's joints: one file for each kind of network, and `registry` with the table."""
