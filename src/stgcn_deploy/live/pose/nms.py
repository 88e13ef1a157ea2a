"""Of boxes that show the same person, the surest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["nms", "overlaps"]

# Of thousands of boxes only the surest are looked at: no picture shows more people.
MOST = 1000


def overlaps(box: NDArray[Any], boxes: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union of one box (4,) with others (n, 4): x1, y1, x2, y2."""
    one, others = np.asarray(box, np.float64), np.asarray(boxes, np.float64).reshape(-1, 4)
    low = np.maximum(one[:2], others[:, :2])
    high = np.minimum(one[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    sides = np.clip(others[:, 2:] - others[:, :2], 0, None)
    own = np.prod(np.clip(one[2:] - one[:2], 0, None))
    union = own + np.prod(sides, axis=1) - shared
    out: NDArray[np.float64] = np.zeros(len(others))
    np.divide(shared, union, out=out, where=union > 0)
    return out


def nms(
    boxes: NDArray[Any], scores: NDArray[Any], *, overlap: float, most: int = MOST
) -> NDArray[np.int64]:
    """Indices of the boxes (n, 4) that stay, the surest first.

    Args:
        overlap: intersection over union above which two boxes are one person.
        most: at most so many.
    """
    order = np.argsort(-scores, kind="stable")[:MOST]
    kept: list[int] = []
    while len(order) and len(kept) < most:
        first, order = order[0], order[1:]
        kept.append(int(first))
        order = order[overlaps(boxes[first], boxes[order]) <= overlap]
    return np.array(kept, np.int64)
