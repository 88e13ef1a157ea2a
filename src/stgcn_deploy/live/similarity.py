"""How alike people in two pictures are: where they stand, and how their joints lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.live.frames import Box, Detection

__all__ = ["Poses", "box_of", "similarity"]

Floats = NDArray[np.float64]

# COCO's measure of joints, exp(-d^2 / (2 * area * k^2)) with k = 2 sigma; its sigmas go from 0.025
# (eyes) to 0.107 (hips) and are about care in drawing.  Here a body also moves from frame to frame.
SIGMA = 0.09


@dataclass(frozen=True)
class Poses:
    """Several people of one picture.

    Attributes:
        points: (N, V, 2).
        seen: (N, V).
        corners: (N, 4), x and y of the upper left and the lower right corner.
        boxed: (N,), whether the corners are a detector's, and not just as far as the joints reach.
    """

    points: Floats
    seen: NDArray[np.bool_]
    corners: Floats
    boxed: NDArray[np.bool_]

    @classmethod
    def of(cls, detections: Sequence[Detection]) -> Poses:
        """Of at least one detection; all of the same (V, C)."""
        keypoints = np.stack([one.keypoints for one in detections])
        seen = (keypoints != 0).any(axis=-1)
        points = keypoints[..., :2].astype(np.float64)
        corners = _reach(points, seen)
        for row, one in zip(corners, detections, strict=True):
            if one.box is not None:
                x, y, width, height = one.box
                row[:] = x, y, x + width, y + height
        return cls(points, seen, corners, np.array([one.box is not None for one in detections]))

    def completed(self, points: Floats, seen: NDArray[np.bool_]) -> Poses:
        """With joints (N, V, 2) known from before in the place of those that are not seen."""
        if not (seen & ~self.seen).any():
            return self
        all_points = np.where(self.seen[..., None], self.points, points)
        all_seen = self.seen | seen
        corners = np.where(self.boxed[:, None], self.corners, _reach(all_points, all_seen))
        return Poses(all_points, all_seen, corners, self.boxed)

    @classmethod
    def joined(cls, poses: Sequence[Poses]) -> Poses:
        """Of at least one."""
        return cls(
            np.concatenate([one.points for one in poses]),
            np.concatenate([one.seen for one in poses]),
            np.concatenate([one.corners for one in poses]),
            np.concatenate([one.boxed for one in poses]),
        )

    def one(self, index: int) -> Poses:
        """One of them, N = 1."""
        part = slice(index, index + 1)
        return Poses(self.points[part], self.seen[part], self.corners[part], self.boxed[part])

    def moved(self, by: Floats) -> Poses:
        """Each by its own (N, 2)."""
        corners = self.corners + np.tile(by, 2)
        return Poses(self.points + by[:, None], self.seen, corners, self.boxed)

    def __len__(self) -> int:
        return len(self.points)


def _reach(points: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Corners (N, 4) around the joints that are seen; nobody seen: zeros."""
    shown = seen[..., None]
    low = np.where(shown, points, np.inf).min(axis=1)
    high = np.where(shown, points, -np.inf).max(axis=1)
    corners: Floats = np.concatenate([low, high], axis=1)
    corners[~seen.any(axis=1)] = 0.0
    return corners


def box_of(detection: Detection) -> Box:
    """The box of a detection, or else as far as its joints reach."""
    if detection.box is not None:
        return detection.box
    left, top, right, bottom = Poses.of([detection]).corners[0].tolist()
    return (left, top, right - left, bottom - top)


def _areas(corners: Floats) -> Floats:
    sides = np.maximum(corners[:, 2:] - corners[:, :2], 0.0)
    area: Floats = sides[:, 0] * sides[:, 1]
    return area


def similarity(some: Poses, others: Poses, looseness: Floats | float = 1.0) -> Floats:
    """(N, K), 0 to 1: the mean of the overlap of boxes (IoU) and the nearness of joints (OKS).

    Without a joint that both show, the boxes alone.

    Args:
        looseness: how much farther than usual joints may be, of all or of each of `some`: (N, 1).
    """
    low = np.maximum(some.corners[:, None, :2], others.corners[None, :, :2])
    high = np.minimum(some.corners[:, None, 2:], others.corners[None, :, 2:])
    sides = np.maximum(high - low, 0.0)
    common = sides[..., 0] * sides[..., 1]
    mine, theirs = _areas(some.corners)[:, None], _areas(others.corners)[None]
    overlap: Floats = common / np.maximum(mine + theirs - common, np.finfo(float).tiny)

    both = some.seen[:, None] & others.seen[None]
    apart = ((some.points[:, None] - others.points[None]) ** 2).sum(axis=-1)
    # The larger one: somebody of whom few joints are found does not shrink.
    size = 2 * (2 * SIGMA * looseness) ** 2 * np.maximum(mine, theirs)
    with np.errstate(over="ignore"):
        near = np.exp(-apart / np.maximum(size, np.finfo(float).tiny)[..., None]) * both
    count = both.sum(axis=-1)
    joints = near.sum(axis=-1) / np.maximum(count, 1)
    return np.where(count > 0, (overlap + joints) / 2, overlap)
