"""Runs a bundle's graph with PyTorch, for GPUs without TensorRT; the backend `torch-cuda` loads it."""
