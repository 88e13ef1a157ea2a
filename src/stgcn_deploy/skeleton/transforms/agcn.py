"""2s-AGCN's NTU data: the two liveliest bodies, gaps filled, each frame centred, rotated.

MMAction2 0.x prepares NTU the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import ClipError
from stgcn_deploy.skeleton.transforms.normalize3d import (
    SHOULDERS,
    SPINE,
    X_AXIS,
    Z_AXIS,
    occupied,
)
from stgcn_deploy.skeleton.transforms.rotation import aligning, rotate

__all__ = ["agcn_prenormalize", "fill_null_frames", "liveliest"]

Array = NDArray[Any]
CENTRE = 1


def liveliest(clip: Array, *, keep: int = 2, candidates: int = 4) -> Array:
    """The `keep` persons that move most, most first; clip (M, T, V, C).

    A person's energy is the sum over channels of the standard deviation over joints and frames that
    hold anything.

    Args:
        candidates: only the first so many are looked at.
    """
    looked = clip[:candidates]
    energy = [
        float(person[there].std(axis=(0, 1), dtype=np.float64).sum()) if there.any() else 0.0
        for person, there in zip(looked, occupied(looked), strict=True)
    ]
    chosen: Array = looked[np.argsort(-np.array(energy), kind="stable")[:keep]]
    return chosen


def fill_null_frames(person: Array) -> Array:
    """One person (T, V, C) who starts at once, and starts again after the last frame.

    If the first frame is empty, all empty frames go and the rest moves to the start.  An empty end is
    filled with the frames before it, from the first one on; gaps in between stay.
    """
    there = occupied(person[None])[0]
    if not there.any():
        return person
    out = person.copy()
    if not there[0]:
        count = int(there.sum())
        out = np.concatenate([person[there], np.zeros_like(person[count:])])
        there = np.arange(len(person)) < count
    known = int(np.flatnonzero(there)[-1]) + 1
    filled: Array = out[np.arange(len(out)) % known]
    return filled


def agcn_prenormalize(clip: Array) -> NDArray[np.float32]:
    """Gaps filled, every frame minus the first person's joint 1 of that frame, spine to z, shoulders to x.

    Joints at the origin (x + y + z = 0) count as missing and stay there.

    Args:
        clip: (M, T, V, 3).

    Raises:
        ClipError: not three coordinates of Kinect's joints.
    """
    if clip.shape[3] != 3 or clip.shape[2] <= max(SHOULDERS):
        raise ClipError(
            f"the clip has shape {clip.shape}; expected (M, T, V, 3) with the joints of NTU RGB+D."
        )
    if not occupied(clip).any():
        return clip.astype(np.float32)
    filled = np.stack([fill_null_frames(person) for person in clip])
    known = filled.sum(axis=-1, keepdims=True) != 0
    out: Array = (filled - filled[:1, :, CENTRE : CENTRE + 1]) * known
    for (start, end), axis in ((SPINE, Z_AXIS), (SHOULDERS, X_AXIS)):
        out = rotate(out, aligning(out[0, 0, end] - out[0, 0, start], axis))
    return out.astype(np.float32)
