"""CUDA memory, streams, events and graphs, for the backends that run on NVIDIA GPUs."""
