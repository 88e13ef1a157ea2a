"""BlazePose's joints: the decoder of its second network's outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.live.pose.pool import Network
from stgcn_deploy.live.pose.roi import Roi, crop, roi_of_person

__all__ = ["JOINTS", "Landmarks", "decode", "look", "refine"]

INPUT = 256
JOINTS = 33
# The joints, then the middle of the hips and the scale point that the next region is made of; the last
# four of 39 are nothing that we need.
USED = 35
WINDOW = 9
# A heat map whose peak is lower says nothing.
SURE = 0.5


@dataclass(frozen=True)
class Landmarks:
    """Somebody's joints.

    Attributes:
        joints: (33, 2), pixels.
        visibility: (33,), 0 to 1.
        guides: (2, 2): the middle of the hips and the scale point, pixels.
        score: that there is somebody at all, 0 to 1.
    """

    joints: NDArray[np.float64]
    visibility: NDArray[np.float64]
    guides: NDArray[np.float64]
    score: float

    @property
    def roi(self) -> Roi:
        """Where to look in the next frame."""
        return roi_of_person(self.guides[0], self.guides[1])


def _sigmoid(values: NDArray[Any]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(values.astype(np.float64), -100, 100)))
    return out


def refine(
    points: NDArray[np.float64], heat: NDArray[Any], window: int = WINDOW
) -> NDArray[np.float64]:
    """Points (P, 2), 0 to 1, moved to the middle of the heat around them.

    Args:
        heat: (H, W, at least P) logits.
        window: side of what is looked at, in cells.
    """
    height, width = heat.shape[:2]
    reach = np.arange(window) - window // 2
    scaled = points * (width, height)
    # Not true of NaN either.
    inside = np.all((scaled > -1) & (scaled < (width, height)), axis=-1)
    # Towards zero, so that a point just outside still looks at the border.
    cell = np.where(inside[:, None], scaled, 0.0).astype(int)
    rows, columns = cell[:, 1, None] + reach, cell[:, 0, None] + reach
    there = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None
    ]
    seen = heat[
        np.clip(rows, 0, height - 1)[:, :, None],
        np.clip(columns, 0, width - 1)[:, None],
        np.arange(len(points))[:, None, None],
    ]
    shares = np.where(there, _sigmoid(seen), 0.0)
    total = shares.sum(axis=(1, 2))
    sure = inside & (shares.max(axis=(1, 2)) >= SURE)
    safe = np.where(sure, total, 1.0)
    x = (shares.sum(axis=1) * columns).sum(axis=1) / safe / width
    y = (shares.sum(axis=2) * rows).sum(axis=1) / safe / height
    return np.where(sure[:, None], np.stack((x, y), axis=-1), points)


# Outputs that are used: joints, score, heat maps; neither the mask of the body nor joints in metres.
NEEDED = (0, 1, 3)


def decode(outputs: tuple[NDArray[Any], ...], roi: Roi) -> Landmarks:
    """Joints in pixels out of the network's outputs.

    Args:
        outputs: (1, 195) = 39 x (x, y, z in pixels of the input, visibility, presence), score (1, 1), a
            mask that is not used, heat maps (1, 64, 64, 39).
    """
    told = outputs[0].reshape(-1, 5)[:USED].astype(np.float64)
    points = roi.to_image(refine(told[:, :2] / INPUT, outputs[3][0]))
    return Landmarks(
        points[:JOINTS],
        _sigmoid(told[:JOINTS, 3]),
        points[JOINTS:],
        float(outputs[1].reshape(-1)[0]),
    )


def look(image: NDArray[np.uint8], roi: Roi, network: Network) -> Landmarks:
    """Whoever is in a region of an image."""
    return decode(network(crop(image, roi, INPUT, 0.0, 1.0, black=False)), roi)
