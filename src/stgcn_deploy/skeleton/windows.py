"""Clips of one length out of sequences of any length."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import ClipError

__all__ = ["Fit", "fit_frames", "pad_persons"]

Fit = Literal["exact", "pad", "resample"]


def fit_frames(clip: NDArray[Any], frames: tuple[int, int], fit: Fit) -> NDArray[Any]:
    """A clip (M, T, V, C) whose T lies in the closed range `frames`.

    "exact" refuses another length; "pad" adds zero frames at the end, or cuts them off there;
    "resample" stretches or squeezes linearly along time; lost joints (all zero) are not mixed in.

    Raises:
        ClipError: "exact", and T is outside.
    """
    low, high = frames
    length = clip.shape[1]
    if low <= length <= high:
        return clip
    wanted = low if length < low else high
    if fit == "exact":
        expected = f"{low}" if low == high else f"{low} to {high}"
        raise ClipError(
            f"the clip has {length} frames, the bundle takes {expected}; cut a window of that "
            "length, or choose --fit resample (stretch in time) or --fit pad (zero frames at the "
            "end, as training padded short clips)."
        )
    if fit == "pad":
        kept = clip[:, :wanted]
        missing = wanted - kept.shape[1]
        return np.pad(kept, ((0, 0), (0, missing), (0, 0), (0, 0)))
    place = np.linspace(0, length - 1, wanted)
    before = np.floor(place).astype(int)
    after = np.minimum(before + 1, length - 1)
    share = (place - before)[None, :, None, None]
    mixed = (clip[:, before] * (1 - share) + clip[:, after] * share).astype(clip.dtype)
    # A joint that is lost is all zero, and halfway to it lies no joint: the nearer frame counts.
    seen = (np.nan_to_num(clip) != 0).any(axis=-1, keepdims=True)
    fitted: NDArray[Any] = np.where(
        seen[:, before] & seen[:, after], mixed, clip[:, np.rint(place).astype(int)]
    )
    return fitted


def pad_persons(clip: NDArray[Any], persons: int) -> NDArray[Any]:
    """A clip with zero persons appended up to M = `persons`.

    Raises:
        ClipError: the clip has more persons.
    """
    have = clip.shape[0]
    if have > persons:
        raise ClipError(
            f"the clip has {have} persons, the bundle takes {persons}; choose the ones that matter "
            "(training took those with the highest scores), or export with more --persons."
        )
    return np.pad(clip, ((0, persons - have), (0, 0), (0, 0), (0, 0)))
