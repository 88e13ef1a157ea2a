"""BlazePose's person detector: the decoder of its outputs.

Numbers of the network are those of MediaPipe's graph; see docs/pose.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.live.pose.blaze_anchors import ANCHORS, INPUT
from stgcn_deploy.live.pose.nms import overlaps
from stgcn_deploy.live.pose.pool import Network
from stgcn_deploy.live.pose.roi import Roi, crop, roi_of_person

__all__ = ["Candidate", "decode", "find", "merge"]

LOWEST = 0.5
SAME = 0.3
# Of a logit, before the sigmoid.
CLIP = 100.0


@dataclass(frozen=True)
class Candidate:
    """Somebody as the detector sees them.

    Attributes:
        hips: (2,), the middle of the hips, in pixels.
        scale: (2,), a point above them as far away as half of the person is long.
        score: 0 to 1.
    """

    hips: NDArray[np.float64]
    scale: NDArray[np.float64]
    score: float

    @property
    def roi(self) -> Roi:
        """Where to look for the joints."""
        return roi_of_person(self.hips, self.scale)


def decode(
    values: NDArray[Any], logits: NDArray[Any], lowest: float = LOWEST
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points (P, 4, 2), 0 to 1 in the input, and scores (P,) of people; best first.

    Args:
        values: (1, 2254, 12): centre, size and four points of each anchor, in pixels of the input.
        logits: (1, 2254, 1).
        lowest: those below it are nobody.
    """
    logits = logits.reshape(-1)
    # Most anchors see nobody: what they say is never decoded.
    kept = np.flatnonzero(logits >= math.log(lowest / (1 - lowest)))
    scores = 1 / (1 + np.exp(-np.clip(logits[kept].astype(np.float64), -CLIP, CLIP)))
    told = values.reshape(-1, 12)[kept].astype(np.float64) / INPUT
    centre, size = told[:, :2] + ANCHORS[kept], told[:, 2:4]
    points = told[:, 4:].reshape(-1, 4, 2) + ANCHORS[kept, None]
    boxes = np.concatenate((centre - size / 2, centre + size / 2), axis=-1)
    return merge(points, boxes, scores)


def merge(
    points: NDArray[np.float64], boxes: NDArray[np.float64], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One person out of each heap of boxes: the mean of their points by score, and the best score.

    Args:
        points: (P, K, 2).
        boxes: (P, 4), x0, y0, x1, y1.
        scores: (P,).
    """
    means, best = [np.zeros((0, *points.shape[1:]))], []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        near = overlaps(boxes[left[0]], boxes[left]) > SAME
        near[0] = True  # an empty box overlaps not even itself
        heap, left = left[near], left[~near]
        means.append(np.average(points[heap], axis=0, weights=scores[heap])[None])
        best.append(float(scores[heap[0]]))
    return np.concatenate(means), np.array(best, dtype=np.float64)


def find(image: NDArray[np.uint8], roi: Roi, network: Network) -> list[Candidate]:
    """People in a region of an image; best first."""
    values, logits = network(crop(image, roi, INPUT, -1.0, 1.0, black=True))[:2]
    points, scores = decode(values, logits)
    # Two of the four points are of the upper body alone, and no use here.
    places = roi.to_image(points)
    return [
        Candidate(place[0], place[1], float(score))
        for place, score in zip(places, scores, strict=True)
    ]
