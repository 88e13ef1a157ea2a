"""A stand-in of ais_bench, started as `python -m ais_bench`; see __main__."""
