"""Torch to ONNX, and the bundle around it."""
