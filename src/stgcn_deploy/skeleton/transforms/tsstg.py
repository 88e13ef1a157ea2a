"""TSSTG's points: every frame squeezed into a square, the middle of the shoulders appended."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import ClipError

__all__ = ["append_middle", "square"]

Array = NDArray[Any]


def square(points: Array) -> Array:
    """Each axis of each frame to -1..1 over its joints; points (M, T, V, 2).

    Where all joints have one value, which leaves nothing to scale, they become 0.
    """
    low, high = points.min(axis=2, keepdims=True), points.max(axis=2, keepdims=True)
    span = high - low
    flat = span == 0
    scaled: Array = np.where(flat, 0, (points - low) / np.where(flat, 1, span) * 2 - 1)
    return scaled.astype(points.dtype)


def append_middle(values: Array, joints: tuple[int, int]) -> Array:
    """One joint more, halfway between two others; values (M, T, V) or (M, T, V, C).

    Raises:
        ClipError: no such joints.
    """
    if max(joints) >= values.shape[2]:
        raise ClipError(
            f"the clip has {values.shape[2]} joints, expected {max(joints) + 1} or more."
        )
    one, other = joints
    middle = (values[:, :, one] + values[:, :, other]) / 2
    return np.concatenate([values, middle[:, :, None]], axis=2)
