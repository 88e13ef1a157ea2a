"""Which frames of a recording a network is shown.

Sources: PYSKL and MMAction2 (UniformSampleFrames in test mode), MMAction2 0.x (PaddingWithLoop),
CTR-GCN (NW-UCLA), PaddleVideo (AutoPadding).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError
from stgcn_deploy.registry import nearest

__all__ = ["TEST_SEED", "Draw", "loop_indices", "spread_indices", "uniform_indices"]

Indices = NDArray[np.int64]
Draw = Literal["pyskl", "mmaction2", "center"]
TEST_SEED = 255


def _check(total: int, frames: int) -> None:
    if total < 1 or frames < 1:
        raise UsageError(f"{frames} frames out of {total}; both must be at least 1.")


def uniform_indices(
    total: int, frames: int, clips: int = 1, *, draw: Draw = "center", seed: int = TEST_SEED
) -> Indices:
    """Frames spread over the whole recording, (clips, frames): one out of each of `frames` parts.

    A recording with fewer frames than asked for is repeated from its start.

    Args:
        total: T of the recording.
        draw: "mmaction2" and "pyskl" draw as those codebases' tests do, from a generator of our own;
            "center" takes the middle of each part, and gives one clip.

    Raises:
        UsageError: no frames, no clips, several clips of "center", or an unknown draw.
    """
    _check(total, frames)
    if draw not in get_args(Draw):
        known = get_args(Draw)
        raise UsageError(f"unknown draw {draw!r}{nearest(draw, known)} Known: {', '.join(known)}.")
    if clips < 1 or (draw == "center" and clips > 1):
        raise UsageError(f"{clips} clips of draw {draw!r}; give at least 1, and 1 of 'center'.")
    if draw == "center":
        parts = 2 * np.arange(frames, dtype=np.int64) + 1
        middle: Indices = parts * total // (2 * frames) if total >= frames else parts // 2 % total
        return middle[None]
    # What both codebases seed is numpy's first generator; its stream is frozen.
    random = np.random.RandomState(seed)
    drawn = []
    for clip in range(clips):
        if draw == "pyskl":
            # One number for the share of the recording to keep, which is all of it.
            random.random_sample()
        drawn.append(_drawn(random, total, frames, clip, clips) % total)
    return np.stack(drawn)


def _drawn(
    random: np.random.RandomState, total: int, frames: int, clip: int, clips: int
) -> Indices:
    """The frames of one clip, before they are wrapped at the end."""
    order: Indices = np.arange(frames, dtype=np.int64)
    if total < frames:
        return order + (clip if total < clips else clip * total // clips)
    if total < 2 * frames:
        skips = np.zeros(frames + 1, dtype=np.int64)
        skips[random.choice(frames + 1, total - frames, replace=False)] = 1
        skipped: Indices = order + np.cumsum(skips)[:-1]
        return skipped
    starts = np.arange(frames + 1, dtype=np.int64) * total // frames
    offset: Indices = starts[:-1] + random.randint(np.diff(starts))
    return offset


def loop_indices(total: int, frames: int) -> Indices:
    """The recording from its start, again and again; or its first frames, (frames,).

    Raises:
        UsageError: no frames.
    """
    _check(total, frames)
    looped: Indices = np.arange(frames, dtype=np.int64) % total
    return looped


def spread_indices(total: int, frames: int, *, past_end: bool = False) -> Indices:
    """Evenly spaced from the first frame to the last, rounded down, (frames,).

    Args:
        past_end: to one behind the last, as PaddleVideo has it (a null frame of its padded arrays).

    Raises:
        UsageError: no frames.
    """
    _check(total, frames)
    end = total if past_end else total - 1
    spread: Indices = np.linspace(0, end, frames).astype(np.int64)
    return spread
