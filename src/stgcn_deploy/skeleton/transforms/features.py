"""Bones and motion, the streams that codebases train besides joints.

    bone[v] = joint[v] - joint[parent of v]        motion[t] = x[t+1] - x[t], the last frame zero

Sources: PYSKL and MMAction2 (GenSkeFeat), 2s-AGCN, CTR-GCN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError
from stgcn_deploy.registry import nearest
from stgcn_deploy.skeleton.bones import bone_parents

__all__ = ["FEATURES", "bones", "feature", "motion"]

Array = NDArray[Any]
# Name -> (bones first, then motion).
FEATURES = {
    "joint": (False, False),
    "bone": (True, False),
    "joint_motion": (False, True),
    "bone_motion": (True, True),
}
SCORE = 2


def bones(clip: Array, layout: str, *, mean_score: bool = False) -> Array:
    """Each joint seen from the one it hangs on; clip (M, T, V, C).

    Args:
        layout: name of the skeleton; says which joint each one hangs on.
        mean_score: channel 2 is a score: the mean of the two joints'.

    Raises:
        UsageError: no bones are known for this layout, or it has another number of joints.
    """
    parents = list(bone_parents(layout))
    if len(parents) != clip.shape[2]:
        raise UsageError(f"layout {layout!r} has {len(parents)} joints, the clip {clip.shape[2]}.")
    other = clip[:, :, parents]
    out = clip - other
    if mean_score and clip.shape[3] > SCORE:
        out[..., SCORE] = (clip[..., SCORE] + other[..., SCORE]) / 2
    return out


def motion(clip: Array, *, mean_score: bool = False) -> Array:
    """Each frame seen from the next one; clip (M, T, V, C).

    Args:
        mean_score: channel 2 is a score: the mean of the two frames'.
    """
    out = np.zeros_like(clip)
    out[:, :-1] = np.diff(clip, axis=1)
    if mean_score and clip.shape[3] > SCORE:
        out[:, :-1, :, SCORE] = (clip[:, :-1, :, SCORE] + clip[:, 1:, :, SCORE]) / 2
    return out


def feature(
    clip: Array, name: str, layout: str, *, bone_score: bool = False, motion_score: bool = False
) -> Array:
    """One stream of a clip (M, T, V, C).

    Args:
        bone_score, motion_score: channel 2 is a score, averaged instead of differenced there.

    Raises:
        UsageError: an unknown stream or layout.
    """
    if name not in FEATURES:
        raise UsageError(
            f"unknown stream {name!r}{nearest(name, FEATURES)} Streams: {', '.join(FEATURES)}."
        )
    with_bones, with_motion = FEATURES[name]
    if with_bones:
        clip = bones(clip, layout, mean_score=bone_score)
    if with_motion:
        clip = motion(clip, mean_score=motion_score)
    return clip
