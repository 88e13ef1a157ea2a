"""The command line: parse, call one verb of the API, print its report."""
