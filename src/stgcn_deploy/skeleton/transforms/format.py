"""The sizes that a network takes: persons and frames added, left out, or squeezed.

Sources: PYSKL (FormatGCNInput, PadTo), CTR-GCN (valid_crop_resize), PaddleVideo (AutoPadding).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.transforms.sampling import spread_indices
from stgcn_deploy.skeleton.transforms.sequence import Sequence

__all__ = ["first_persons", "pad_frames", "resize_frames", "spread_or_pad", "valid_crop_resize"]

Array = NDArray[Any]


def _check(what: str, count: int) -> None:
    if count < 1:
        raise UsageError(f"{what} must be at least 1, got {count}.")


def first_persons(sequence: Sequence, count: int) -> Sequence:
    """The first `count` persons; absent ones where there are fewer.

    Raises:
        UsageError: less than one.
    """
    _check("persons", count)
    score = None if sequence.score is None else sequence.score[:count]
    kept = Sequence(sequence.keypoints[:count], score, sequence.image_size, sequence.fps)
    return kept.padded(persons=count - kept.persons)


def pad_frames(sequence: Sequence, frames: int) -> Sequence:
    """The first `frames` frames; empty ones at the end where there are fewer.

    Raises:
        UsageError: less than one.
    """
    _check("frames", frames)
    kept = sequence.picked(np.arange(min(frames, sequence.frames)))
    return kept.padded(frames=frames - kept.frames)


def spread_or_pad(sequence: Sequence, frames: int) -> Sequence:
    """Short recordings padded with empty frames, long ones thinned out evenly (PaddleVideo).

    Empty frames at the end do not count.  The last frame of a long recording is the empty one behind
    its end, as the codebase's data have it.

    Raises:
        UsageError: less than one frame.
    """
    _check("frames", frames)
    there = np.flatnonzero((sequence.keypoints != 0).any(axis=(0, 2, 3)))
    total = int(there[-1]) + 1 if len(there) else sequence.frames
    if total <= frames:
        return pad_frames(sequence, frames)
    indices = spread_indices(total, frames, past_end=True)
    return pad_frames(sequence, total).padded(frames=1).picked(indices)


def resize_frames(clip: Array, frames: int) -> NDArray[np.float32]:
    """Stretched or squeezed linearly along T, samples in the middle of their parts; (M, T, V, C).

    Raises:
        UsageError: less than one frame.
    """
    _check("frames", frames)
    total = clip.shape[1]
    place = np.clip((np.arange(frames) + 0.5) * total / frames - 0.5, 0, total - 1)
    before = np.floor(place).astype(np.int64)
    after = np.minimum(before + 1, total - 1)
    share = (place - before)[None, :, None, None]
    mixed: Array = clip[:, before] * (1 - share) + clip[:, after] * share
    return mixed.astype(np.float32)


def valid_crop_resize(clip: Array, frames: int, share: float = 0.95) -> NDArray[np.float32]:
    """The middle `share` of the frames that hold anything, resized to `frames`; clip (M, T, V, C).

    Frames are counted, not looked for: empty ones are taken to stand at the end.

    Raises:
        UsageError: less than one frame, or a share outside 0..1.
    """
    if not 0 < share <= 1:
        raise UsageError(f"share must be above 0 and at most 1, got {share}.")
    valid = int((clip != 0).any(axis=(0, 2, 3)).sum())
    cut = int((1 - share) * valid / 2)
    return resize_frames(clip[:, cut : valid - cut] if valid else clip, frames)
