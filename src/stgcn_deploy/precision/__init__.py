"""Fewer bits: FP16, BF16 and INT8 bundles out of an FP32 one, within an accuracy budget."""
