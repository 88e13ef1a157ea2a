"""A bundle on an Ascend host: its tools' commands, their results, what is carried there."""
