"""Boxes (N, 4) as corners x0, y0, x1, y1: how far they overlap, and which of them are one and the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["merge_weighted", "overlaps", "suppress"]


def overlaps(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4)."""
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    common = np.prod(np.clip(high - low, 0.0, None), axis=-1, dtype=np.float64)
    union = _areas(ours)[:, None] + _areas(theirs)[None] - common
    shares: NDArray[np.float64] = np.divide(
        common, union, out=np.zeros_like(common), where=union > 0
    )
    return shares


def _areas(boxes: NDArray[Any]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = np.prod(
        np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None), axis=-1, dtype=np.float64
    )
    return areas


def suppress(boxes: NDArray[Any], scores: NDArray[Any], most: float) -> NDArray[np.intp]:
    """Indices of the boxes, best first, that overlap no better one by more than `most`."""
    return np.array([group[0] for group in _groups(boxes, scores, most)], dtype=np.intp)


def merge_weighted(
    values: NDArray[Any], boxes: NDArray[Any], scores: NDArray[Any], most: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each group of overlapping boxes, the mean of values (N, K) by score, and the best score."""
    groups = _groups(boxes, scores, most)
    merged = [np.average(values[group], axis=0, weights=scores[group]) for group in groups]
    best = [scores[group[0]] for group in groups]
    return (
        np.array(merged, dtype=np.float64).reshape(len(groups), values.shape[1]),
        np.array(best, dtype=np.float64),
    )


def _groups(boxes: NDArray[Any], scores: NDArray[Any], most: float) -> list[NDArray[np.intp]]:
    """Indices, best first within a group and between groups: each best with what overlaps it."""
    left = np.argsort(-scores, kind="stable")
    found = []
    while len(left):
        near = overlaps(boxes[left[:1]], boxes[left])[0] > most
        near[0] = True  # an empty box overlaps not even itself
        found.append(left[near])
        left = left[~near]
    return found
