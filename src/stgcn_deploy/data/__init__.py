"""Clips and data sets."""
