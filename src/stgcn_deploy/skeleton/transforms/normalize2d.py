"""Image points, scaled: PYSKL's and MMAction2's PreNormalize2D, MMAction2 0.x's fixed range.

Sources: PYSKL (PreNormalize2D), MMAction2 1.x (PreNormalize2D) and 0.24 (PoseNormalize).
"""

from __future__ import annotations

import collections.abc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import ClipError

__all__ = ["fixed_range", "hide_unsure", "prenormalize_2d", "scale_to_image", "scale_to_span"]

Array = NDArray[Any]
# PYSKL's mode "auto" takes smaller spans for coordinates that are normalised already.
PIXELS = 10.0


def _floating(clip: Array) -> Array:
    """Whole and half numbers as float32; the others as they are."""
    return clip if clip.dtype in (np.float32, np.float64) else clip.astype(np.float32)


def scale_to_image(points: Array, image_size: tuple[int, int]) -> Array:
    """-1..1 around the middle: x' = (x - W/2) / (W/2), likewise y; points (..., 2)."""
    half = np.array(image_size, dtype=np.float32) / 2
    scaled: Array = (_floating(points) - half) / half
    return scaled


def scale_to_span(points: Array, seen: Array | None) -> Array:
    """-1..1 over the span of the points, where both spans exceed ten pixels; else unchanged.

    Args:
        points: (M, T, V, 2).
        seen: (M, T, V), the joints that count for the span; None for all of them.
    """
    known = points.reshape(-1, 2) if seen is None else points[seen]
    if not len(known):
        return points
    low, high = _floating(known).min(axis=0), _floating(known).max(axis=0)
    span = high - low
    if not (span > PIXELS).all():
        return points
    scaled: Array = (_floating(points) - (high + low) / 2) / span * 2
    return scaled


def hide_unsure(points: Array, score: Array, threshold: float) -> Array:
    """Joints with a score up to the threshold at the origin; points (M, T, V, C)."""
    return np.where(score[..., None] > threshold, points, np.zeros((), points.dtype))


def prenormalize_2d(
    clip: Array, image_size: tuple[int, int], *, score_threshold: float | None
) -> NDArray[np.float32]:
    """Pixels to -1..1 around the image centre: x' = (x - W/2) / (W/2), likewise y.

    Args:
        clip: (M, T, V, C) with x, y first; a third channel is the score and is kept.
        image_size: (W, H).
        score_threshold: joints with a score up to this become x = y = 0 (PYSKL); None keeps all
            (MMAction2).
    """
    points = scale_to_image(clip[..., :2], image_size)
    if score_threshold is not None and clip.shape[-1] > 2:
        points = hide_unsure(points, clip[..., 2], score_threshold)
    out: NDArray[np.float32] = np.concatenate([points, clip[..., 2:]], axis=-1, dtype=np.float32)
    return out


def fixed_range(
    clip: Array, mean: collections.abc.Sequence[float], span: collections.abc.Sequence[float]
) -> Array:
    """(value - mean) / span for each channel, whatever the image; clip (M, T, V, C).

    Raises:
        ClipError: another number of channels.
    """
    if not len(mean) == len(span) == clip.shape[-1]:
        raise ClipError(
            f"the clip has {clip.shape[-1]} channels, this codebase's range is for {len(mean)}."
        )
    middle, width = (np.array(values, dtype=np.float32) for values in (mean, span))
    scaled: Array = (_floating(clip) - middle) / width
    return scaled
