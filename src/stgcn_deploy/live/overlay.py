"""People and their actions drawn into a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import requires
from stgcn_deploy.live.frames import Tracked

__all__ = ["annotate", "plain"]

Image = NDArray[np.uint8]


def annotate(
    image: Image,
    people: Sequence[Tracked],
    *,
    edges: Sequence[tuple[int, int]],
    captions: Mapping[int, str],
    banner: str = "",
    sides: Sequence[int] = (),
) -> Image:
    """A copy of an RGB image (H, W, 3) with skeletons, boxes, captions by track, and a line at the top."""
    with requires("drawing people into images", 'pip install "stgcn-deploy[live]"'):
        import cv2
    out = np.ascontiguousarray(image).copy()
    for one in people:
        points = one.detection.keypoints
        seen = np.isfinite(points).all(axis=1) & (points != 0).any(axis=1)
        for start, end in edges:
            if seen[start] and seen[end]:
                a, b = (tuple(map(int, points[joint, :2])) for joint in (start, end))
                cv2.line(out, a, b, (82, 143, 242), 2)
        if seen.any() and captions.get(one.track):
            x, y = points[seen, :2].min(axis=0).astype(int)
            spot = (int(x), max(12, int(y) - 6))
            cv2.putText(out, captions[one.track], spot, 0, 0.5, (255, 255, 255), 1)
    return out


def plain(size: tuple[int, int]) -> Image:
    """A dark picture of (W, H) for cameras that give key points alone."""
    return np.full((size[1], size[0], 3), 24, np.uint8)
