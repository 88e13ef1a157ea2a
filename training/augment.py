"""Clips that nobody filmed: mirrored, turned, scaled, moved, cut in time.

All of it works on prepared clips (N, M, T, V, C) of any stream at once; x and y are the first two
channels.  A joint that is absent (all zero) stays absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.skeleton.layout import Layout

__all__ = ["Augmentation", "View", "augmented", "mirrored_joints", "mixed"]

Clips = NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """How far clips are changed; zeros change nothing.

    Attributes:
        flip: share of clips that are mirrored.
        rotate: largest turn in the image plane, in degrees.
        scale: largest share by which x and y, each, are stretched or squeezed.
        shift: largest move of the whole clip, in the clip's own units; joints only.
        crop: largest share of the frames that is cut off, the rest being stretched.
        hide: share of clips in which one joint is lost.
    """

    flip: float = 0.5
    rotate: float = 10.0
    scale: float = 0.15
    shift: float = 0.1
    crop: float = 0.3
    hide: float = 0.0


@dataclass(frozen=True)
class View:
    """What has to be known of the clips.

    Attributes:
        mirror: for each joint, its counterpart on the other side.
        center: the point (x, y) that a turn leaves where it is.
        moves: whether a shift makes sense: for joints it does, bones and motion have no place.
    """

    mirror: tuple[int, ...]
    center: tuple[float, float] = (0.0, 0.0)
    moves: bool = True


def mirrored_joints(layout: Layout) -> tuple[int, ...]:
    """For each joint, its counterpart on the other side, or itself."""
    mirror = list(range(layout.num_joints))
    for left, right in layout.pairs:
        mirror[left], mirror[right] = right, left
    return tuple(mirror)


def augmented(clips: Clips, how: Augmentation, view: View, rng: np.random.Generator) -> Clips:
    """Each clip (N, M, T, V, C) changed in its own way."""
    out = _cropped(clips, how.crop, rng) if how.crop else clips.copy()
    count = len(out)
    flip = rng.random(count) < how.flip
    out[flip] = out[flip][:, :, :, list(view.mirror)]
    present = (out != 0).any(axis=-1, keepdims=True)
    angle = np.deg2rad(rng.uniform(-how.rotate, how.rotate, count))
    stretch = 1 + rng.uniform(-how.scale, how.scale, (count, 2))
    stretch[:, 0] = np.where(flip, -stretch[:, 0], stretch[:, 0])
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=-1)
    matrix = (turn.reshape(count, 2, 2) * stretch[:, None, :]).astype(np.float32)
    center = np.asarray(view.center, np.float32)
    move = rng.uniform(-how.shift, how.shift, (count, 1, 1, 1, 2)) if view.moves else 0.0
    points = np.einsum("nmtvc,ndc->nmtvd", out[..., :2] - center, matrix) + center + move
    out[..., :2] = np.where(present, points, out[..., :2])
    if how.hide:
        lost = np.flatnonzero(rng.random(count) < how.hide)
        out[lost, :, :, rng.integers(0, out.shape[3], len(lost))] = 0
    return out


def _cropped(clips: Clips, most: float, rng: np.random.Generator) -> Clips:
    """A random stretch of each clip, resampled linearly to the clip's length."""
    count, frames = len(clips), clips.shape[2]
    length = (1 - rng.uniform(0, most, count)) * (frames - 1)
    start = rng.uniform(0, 1, count) * (frames - 1 - length)
    place = start[:, None] + length[:, None] * np.linspace(0, 1, frames)
    before = np.clip(np.floor(place).astype(np.int64), 0, frames - 1)
    after = np.minimum(before + 1, frames - 1)
    share = (place - before).astype(np.float32)[:, None, :, None, None]

    def at(index: NDArray[np.int64]) -> Clips:
        return np.take_along_axis(clips, index[:, None, :, None, None], axis=2)

    out: Clips = at(before) * (1 - share) + at(after) * share
    return out


def mixed(clips: Clips, targets: Clips, alpha: float, rng: np.random.Generator) -> Sequence[Clips]:
    """Mixup (arXiv 1710.09412): each clip and its target blended with another one of the batch."""
    share = rng.beta(alpha, alpha, len(clips)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    other = rng.permutation(len(clips))
    weight = share[:, None, None, None, None]
    return (
        clips * weight + clips[other] * (1 - weight),
        targets * share[:, None] + targets[other] * (1 - share[:, None]),
    )
