"""How many cameras a live run takes, measured: simulated ones, a search, overload, delays.

plan -> (a child process: cameras -> the pipeline, or a naive loop -> samples) -> outcome -> report
"""
