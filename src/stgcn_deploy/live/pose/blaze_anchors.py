"""The grid that BlazePose's detector tells places by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ANCHORS", "INPUT", "anchors"]

INPUT = 224
STRIDES = (8, 16, 32, 32, 32)
# Each layer has two anchors in a place: one of its own scale, one between it and the next.
EACH = 2


def anchors(
    size: int = INPUT, strides: tuple[int, ...] = STRIDES, each: int = EACH
) -> NDArray[np.float32]:
    """Centres (A, 2), x and y from 0 to 1, in the order of the detector's outputs.

    Anchors are of size 1, whatever their layer: boxes are told in shares of the image.  Layers of the
    same stride share a pass over their grid.
    """
    parts = []
    for stride in sorted(set(strides)):
        cells = -(-size // stride)
        middle = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(middle, middle, indexing="ij")
        grid = np.stack((x.ravel(), y.ravel()), axis=-1)
        parts.append(np.repeat(grid, each * strides.count(stride), axis=0))
    return np.concatenate(parts)


ANCHORS = anchors()
