"""Parity, latency and accuracy, in numbers with a verdict."""
