"""Skeletons in pure numpy: layouts, graphs, axes, windows, transforms, pictures."""
