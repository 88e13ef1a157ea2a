"""From points in a room to what a camera at a random place sees of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["IMAGE_SIZE", "Eye", "camera_view", "project", "soft_step"]

Array = NDArray[np.float64]
Range = tuple[float, float]

IMAGE_SIZE = (640, 480)
_ASPECT = IMAGE_SIZE[0] / IMAGE_SIZE[1]


@dataclass(frozen=True)
class Eye:
    """Where a camera may stand; metres and radians.

    Attributes:
        distance: from the edge of what it films.
        aside: how far its aim is off the middle, upwards.
        height: above the floor.
        around: the directions from which it looks; 0 is from +z.
    """

    distance: Range
    aside: Range
    height: Range
    around: Range = (0.0, 2 * np.pi)


def camera_view(points: Array, framed: Array, eye: Eye, rng: np.random.Generator) -> Array:
    """Room (M, T, V, 3) -> camera (right, up, depth) in metres, from a random place.

    Args:
        framed: those of the points (M, T, V', 3) that the place is chosen by.
    """
    low, high = _extent(framed)
    radius = 0.5 * float(np.hypot(high[0] - low[0], high[2] - low[2]))
    distance = float(rng.uniform(*eye.distance)) + radius
    around = float(rng.uniform(*eye.around))
    target = 0.5 * (low + high) + [0.0, float(rng.uniform(*eye.aside)), 0.0]
    place = target + distance * np.array([np.sin(around), 0.0, np.cos(around)])
    place[1] = float(rng.uniform(*eye.height))
    ahead = target - place
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    roll = float(rng.normal(0, 0.035))
    up = np.cross(right, ahead)
    tilted = np.cos(roll) * right + np.sin(roll) * up
    axes = np.stack([tilted, np.cross(tilted, ahead), ahead])
    view: Array = (points - place) @ axes.T
    return view


def project(view: Array, framed: int, rng: np.random.Generator) -> Array:
    """Camera metres (M, T, V, 3) -> image x, y (M, T, V, 2) in 0..1, y down, everybody inside.

    Args:
        framed: the first so many of V have to be inside.
    """
    image = view[..., :2] / np.maximum(view[..., 2:], 0.3) * [1.0 / _ASPECT, -1.0]
    low, high = _extent(image[:, :, :framed])
    # The lens is as wide as it has to be, and the bodies stand anywhere in the picture.
    fill = float(rng.uniform(0.7, 0.95))
    focal = min(float(rng.uniform(0.8, 1.5)), fill / float((high - low).max()))
    free = 1.0 - focal * (high - low)
    corner = free * rng.uniform(0.1, 0.9, 2)
    projected: Array = focal * (image - low) + corner
    return projected


def _extent(points: Array) -> tuple[Array, Array]:
    """Lowest and highest of each axis of points (M, T, V, C); numpy is slow where C comes last."""
    axes = [points[..., axis] for axis in range(points.shape[-1])]
    low = np.array([axis.min() for axis in axes])
    return low, np.array([axis.max() for axis in axes])


def soft_step(x: Array) -> Array:
    """A soft step from 0 to 1 around zero."""
    return 0.5 + 0.5 * np.tanh(x)
