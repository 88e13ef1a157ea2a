"""Rotations of joints in space."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["aligning", "rotate"]

Array = NDArray[Any]
# Below these, codebases take a direction for undefined, and an angle for none.
SHORT, SMALL = 1e-6, 1e-6


def aligning(vector: Array, target: tuple[float, float, float]) -> NDArray[np.float64]:
    """The rotation (3, 3) that turns `vector` the short way onto the direction of `target`.

    The identity where it is not defined: no direction, or exactly the opposite one.
    """
    one, other = vector.astype(np.float64), np.array(target, dtype=np.float64)
    axis = np.cross(one, other)
    if np.abs(one).sum() < SHORT or np.abs(axis).sum() < SHORT:
        return np.eye(3)
    cosine = float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
    angle = math.acos(min(1.0, max(-1.0, cosine)))
    if angle < SMALL:
        return np.eye(3)
    x, y, z = axis / np.linalg.norm(axis)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: NDArray[np.float64] = (
        np.eye(3) + math.sin(angle) * skew + (1 - math.cos(angle)) * (skew @ skew)
    )
    return turned


def rotate(clip: Array, matrix: Array) -> NDArray[np.float64]:
    """R v for every joint v; clip (M, T, V, 3)."""
    turned: NDArray[np.float64] = clip.astype(np.float64) @ matrix.T
    return turned
