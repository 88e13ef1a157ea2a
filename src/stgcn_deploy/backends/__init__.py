"""Runtimes behind one seam: a Backend opens a model as a Session."""
