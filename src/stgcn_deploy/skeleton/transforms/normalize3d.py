"""Skeletons in space, moved to the origin and turned to the front.

Sources: PYSKL and MMAction2 (PreNormalize3D).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import ClipError
from stgcn_deploy.skeleton.transforms.rotation import aligning, rotate

__all__ = ["SHOULDERS", "SPINE", "X_AXIS", "Z_AXIS", "occupied", "prenormalize_3d"]

Array = NDArray[Any]
NTU_JOINTS, NTU_CENTRE = 25, 1
# (from, to) of Kinect's joints: spine base to spine, left shoulder to right shoulder.
SPINE, SHOULDERS = (0, 1), (4, 8)
X_AXIS, Z_AXIS = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
NOTHING = 1e-8


def occupied(clip: Array) -> NDArray[np.bool_]:
    """Which frames of which person hold anything, (M, T); clip (M, T, V, C)."""
    there: NDArray[np.bool_] = np.any(np.abs(clip) > NOTHING, axis=(2, 3))
    return there


def _present(clip: Array) -> Array:
    """Frames in which the first person is there, after the one who is there longer came first."""
    there = occupied(clip)
    if len(clip) == 2 and there[1].sum() > there[0].sum():
        return clip[::-1][:, there[1]]
    return clip[:, there[0]]


def prenormalize_3d(
    clip: Array, *, align_center: bool = True, align_spine: bool = True
) -> NDArray[np.float32]:
    """Centred on the first person's first frame, spine along z, then shoulders along x.

    Frames without the first person are dropped, so T may shrink; of two persons the one in more
    frames comes first.  Joints at the origin count as missing and stay there.

    Args:
        clip: (M, T, V, 3).
        align_center: minus joint 1 (of other than 25 joints the last one) of the first frame.
        align_spine: rotate; PYSKL's DG-STGCN leaves it out.

    Raises:
        ClipError: more than two persons, or joints that are not Kinect's.
    """
    if len(clip) > 2:
        raise ClipError(
            f"the clip has {len(clip)} persons, this codebase looks at one or two; choose the ones "
            "that matter, the one seen in more frames first."
        )
    if clip.shape[3] != 3 or (align_spine and clip.shape[2] <= max(SHOULDERS)):
        raise ClipError(
            f"the clip has shape {clip.shape}; expected (M, T, V, 3) with the joints of NTU RGB+D."
        )
    if not clip.any() or not occupied(clip).any():
        return clip.astype(np.float32)
    out = _present(clip if clip.dtype == np.float64 else clip.astype(np.float32))
    if align_center:
        joint = NTU_CENTRE if out.shape[2] == NTU_JOINTS else -1
        known = (out != 0).any(axis=-1, keepdims=True)
        out = (out - out[0, 0, joint]) * known
    if align_spine:
        for (start, end), axis in ((SPINE, Z_AXIS), (SHOULDERS, X_AXIS)):
            out = rotate(out, aligning(out[0, 0, end] - out[0, 0, start], axis))
    return out.astype(np.float32)
