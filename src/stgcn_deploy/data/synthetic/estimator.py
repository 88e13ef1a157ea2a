"""What a pose estimator makes of what the camera sees: errors, scores, lost and covered joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Flaws", "Scene", "estimate", "is_range"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Amount = float | tuple[float, float]

# Mean length in frames of a run in which a joint, or a whole person, is lost.
_LOST_RUN = 6.0
# Of the lost joint-frames, this share is lost by whole persons: the detector, not the joint.
_LOST_PERSON_SHARE = 0.3
# Of an error's variance, the part that a joint shares with its face, hand, foot or finger.
_SHARED_ERROR = 0.85
# Of what something stands before, the estimator finds nothing of this share and guesses the rest:
# with so much more noise, and so much of the score.
_COVERED_LOST = 0.5
_COVERED_NOISE = 5.0
_COVERED_SCORE = 0.35


@dataclass(frozen=True)
class Flaws:
    """How badly the estimator does; a pair is a range of which each clip draws its own.

    Attributes:
        noise: standard deviation, in the points' unit.
        missing: share of joints lost, in short runs.
        occlusion: share of the people that something in the picture stands before.
    """

    noise: Amount
    missing: Amount
    occlusion: Amount


@dataclass(frozen=True)
class Scene:
    """What there is to be seen, before any error.

    Attributes:
        points: (M, T, V, 2) image x, y in 0..1, or (M, T, V, 3) camera metres.
        hidden: (M, T, V) 0..1, how much of a joint its own body hides; None where there are no scores.
        flat: (M, T, V, 2), the points as the image has them.
        groups: (V,) joints with the same number err together.
        num_groups: how many such numbers there are.
    """

    points: Array
    hidden: Array | None
    flat: Array
    groups: NDArray[np.intp]
    num_groups: int


def is_range(amount: Amount) -> bool:
    """Whether each clip draws its own."""
    return isinstance(amount, tuple)


def estimate(scene: Scene, flaws: Flaws, rng: np.random.Generator) -> Array:
    """A scene as reported: x, y, score, or metres (M, T, V, 3); a lost joint is all zeros."""
    noise, missing, occlusion = (
        _drawn(amount, rng) for amount in (flaws.noise, flaws.missing, flaws.occlusion)
    )
    points, hidden = scene.points, scene.hidden
    covered = _covered(scene.flat, occlusion, rng) if occlusion > 0 else None
    size: Any = noise
    if hidden is not None:
        size = noise * (1 + 2 * hidden)[..., None]
    if covered is not None:
        size = size * (1 + _COVERED_NOISE * covered)[..., None]
    clip: Array = points + size * _jitter(rng, points.shape, scene)
    if hidden is not None:
        seen = 0.985 - 0.75 * hidden + 0.03 * _noise(rng, (*hidden.shape, 1))[..., 0]
        if covered is not None:
            seen = np.where(covered, _COVERED_SCORE * seen, seen)
        clip = np.concatenate([np.clip(clip, 0, 1), np.clip(seen, 0.01, 1)[..., None]], axis=-1)
    persons, frames, joints = clip.shape[:3]
    clip[_lost(rng, (persons, frames, joints), missing)] = 0
    if covered is not None:
        clip[covered & _lost(rng, (persons, frames, joints), _COVERED_LOST)] = 0
    return clip


def _drawn(amount: Amount, rng: np.random.Generator) -> float:
    return float(rng.uniform(*amount)) if isinstance(amount, tuple) else amount


def _covered(flat: Array, share: float, rng: np.random.Generator) -> Mask:
    """Which joints (M, T, V) are behind a bar, a table or the picture's edge: `share` of them.

    Something straight stands still in the picture: of the points sorted along a direction across it, a
    stretch of `share` is behind.
    """
    kind = int(rng.integers(3))
    tilt = float(rng.normal(0, 0.15))
    start = float(rng.uniform(0, 1 - share))
    if kind == 0:  # an upright bar anywhere: a pillar, a door frame
        across = np.array([np.cos(tilt), np.sin(tilt)])
    elif kind == 1:  # everything below a table, a counter, the lower edge
        across, start = np.array([np.sin(tilt), np.cos(tilt)]), 1 - share
    else:  # everything beside the edge of a wall
        side = 1.0 if rng.random() < 0.5 else -1.0
        across, start = side * np.array([np.cos(tilt), np.sin(tilt)]), 1 - share
    place = flat @ across
    low, high = np.quantile(place, [start, start + share])
    return np.asarray((place >= low) & (place <= high))


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Unit noise (M, T, V, C) with memory along T, about a bias that each joint keeps."""
    persons, frames, *rest = shape
    taps = np.array([0.3, 0.55, 0.65, 0.55, 0.3])
    taps /= np.linalg.norm(taps)
    raw = rng.standard_normal((persons, frames + len(taps) - 1, *rest))
    smooth = sum(tap * raw[:, lag : lag + frames] for lag, tap in enumerate(taps))
    bias = rng.standard_normal((persons, 1, *rest))
    return np.asarray(0.75 * smooth + 0.45 * raw[:, 2 : frames + 2] + 0.5 * bias)


def _jitter(rng: np.random.Generator, shape: tuple[int, ...], scene: Scene) -> Array:
    """Unit noise (M, T, V, C); the joints of a face, hand, foot or finger err mostly together."""
    persons, frames, _, channels = shape
    shared = _noise(rng, (persons, frames, scene.num_groups, channels))
    together = np.sqrt(_SHARED_ERROR) * shared[:, :, scene.groups]
    return np.asarray(together + np.sqrt(1 - _SHARED_ERROR) * _noise(rng, shape))


def _runs(rng: np.random.Generator, rows: int, frames: int, share: float) -> Mask:
    """Rows (rows, T), true in random runs that cover about `share` of the frames."""
    # Runs overlap; asking for -log(1 - share) of the frames covers `share` of them.
    count = int(rng.poisson(-np.log1p(-share) * rows * frames / _LOST_RUN))
    row = rng.integers(rows, size=count)
    length = rng.geometric(1 / _LOST_RUN, size=count)
    start = rng.integers(1 - length, frames)
    edges = np.zeros((rows, frames + 1))
    np.add.at(edges, (row, np.maximum(start, 0)), 1)
    np.add.at(edges, (row, np.minimum(start + length, frames)), -1)
    return np.asarray(np.cumsum(edges, axis=1)[:, :frames] > 0)


def _lost(rng: np.random.Generator, shape: tuple[int, int, int], share: float) -> Mask:
    """Which joints (M, T, V) the estimator lost: short runs of a joint or of a whole person."""
    persons, frames, joints = shape
    single = _runs(rng, persons * joints, frames, share * (1 - _LOST_PERSON_SHARE))
    whole = _runs(rng, persons, frames, share * _LOST_PERSON_SHARE)
    lost: Mask = single.reshape(persons, joints, frames).swapaxes(1, 2) | whole[..., None]
    return lost
