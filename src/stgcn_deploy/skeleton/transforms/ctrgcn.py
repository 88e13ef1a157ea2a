"""CTR-GCN's data: NTU moved, not turned; NW-UCLA squeezed into a cube."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import ClipError
from stgcn_deploy.skeleton.transforms.normalize3d import occupied

__all__ = ["cube", "from_first_valid"]

Array = NDArray[Any]


def from_first_valid(clip: Array, joint: int = 1) -> Array:
    """Seen from a joint of the first person, where that person is first seen; clip (M, T, V, C).

    Frames in which a person is absent stay empty for that person.

    Raises:
        ClipError: no such joint.
    """
    if not 0 <= joint < clip.shape[2]:
        raise ClipError(f"the clip has {clip.shape[2]} joints, this codebase centres on {joint}.")
    there = occupied(clip)
    if not there[0].any():
        return clip
    origin = clip[0, int(np.flatnonzero(there[0])[0]), joint]
    moved: Array = (clip - origin) * there[:, :, None, None]
    return moved


def cube(clip: Array) -> NDArray[np.float32]:
    """Each axis to -1..1 over the whole clip (M, T, V, C); an axis without extent to 0."""
    wide = clip.astype(np.float64)
    low, high = wide.min(axis=(0, 1, 2)), wide.max(axis=(0, 1, 2))
    span = np.where(high > low, high - low, 1)
    scaled = np.where(high > low, (wide - low) / span * 2 - 1, 0)
    return scaled.astype(np.float32)
