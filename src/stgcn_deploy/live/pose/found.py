"""People as networks give them, in arrays; what is no number is left out and counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.live.frames import Box, Detection

__all__ = ["Found", "box_of"]

# Pixels: further out is no place, but a network that has gone wrong.
FARTHEST = 1e6


@dataclass(frozen=True)
class Found:
    """People of one image.

    Attributes:
        boxes: (n, 4) x1, y1, x2, y2.
        scores: (n,).
        joints: (n, V, 3); V is 0 where only boxes are looked for.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    joints: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    def at(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Found:
        """Some of them."""
        return Found(self.boxes[which], self.scores[which], self.joints[which])

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(n,): whose box and score are numbers, and who has any joint that is."""
        with np.errstate(invalid="ignore"):
            fine = np.all(np.abs(self.boxes) <= FARTHEST, axis=1) & np.isfinite(self.scores)
            if self.joints.shape[1]:
                fine &= np.any(np.all(np.isfinite(self.joints), axis=2), axis=1)
        out: NDArray[np.bool_] = fine
        return out

    def detections(self) -> tuple[Detection, ...]:
        """The same, one by one; joints that are no numbers count as not found."""
        with np.errstate(invalid="ignore"):
            known = np.all(np.abs(self.joints) <= FARTHEST, axis=2, keepdims=True)
        joints = np.where(known, self.joints, 0).astype(np.float32)
        joints[..., 2] = np.clip(joints[..., 2], 0, 1)
        return tuple(
            Detection(points, float(np.clip(score, 0, 1)), box_of(corners))
            for points, score, corners in zip(joints, self.scores, self.boxes, strict=True)
        )


def box_of(corners: NDArray[np.float32]) -> Box | None:
    """x, y, width, height of x1, y1, x2, y2; None where nothing is between them."""
    x1, y1, x2, y2 = (float(value) for value in corners)
    return (x1, y1, x2 - x1, y2 - y1) if x2 > x1 and y2 > y1 else None
