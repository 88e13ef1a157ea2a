"""A person cut out of an image for a network that looks at one at a time, and points brought back.

As MMPose's TopdownAffine: the box made 1.25 times as large, widened to the network's ratio of sides,
nothing (0) where it leaves the image.  Source: mmpose/structures/bbox and datasets/transforms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import requires
from stgcn_deploy.live.frames import Box
from stgcn_deploy.live.pose.pixels import INSTALL

__all__ = ["Crop"]

PADDING = 1.25
# Pixels: smaller is nobody.
SMALLEST = 2.0


@dataclass(frozen=True)
class Crop:
    """A piece of an image.

    Attributes:
        size: (W, H) of the network's image.
        left, top: of the piece, in pixels of the image; it may lie outside.
        scale: network's pixels for each of the image's.
    """

    size: tuple[int, int]
    left: float
    top: float
    scale: float

    @classmethod
    def around(cls, box: Box, image: tuple[int, int], size: tuple[int, int]) -> Crop | None:
        """Around a box; None where the box holds nothing of the image.

        Args:
            image: (W, H) of the image.
        """
        x, y, width, height = box
        seen = (min(x + width, image[0]) - max(x, 0), min(y + height, image[1]) - max(y, 0))
        if not (np.isfinite(box).all() and min(seen) >= SMALLEST):
            return None
        scale = min(size[0] / width, size[1] / height) / PADDING
        left = x + width / 2 - size[0] / scale / 2
        top = y + height / 2 - size[1] / scale / 2
        return cls(size, left, top, scale)

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The piece of an image (H, W, 3)."""
        with requires("looking at images", INSTALL):
            import cv2
        matrix = np.array(
            [[self.scale, 0, -self.left * self.scale], [0, self.scale, -self.top * self.scale]]
        )
        out: NDArray[np.uint8] = cv2.warpAffine(image, matrix, self.size, flags=cv2.INTER_LINEAR)
        return out

    def back(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Points (..., 2) of the piece in pixels of the image."""
        out: NDArray[np.float32] = (
            points / np.float32(self.scale) + np.array([self.left, self.top], np.float32)
        ).astype(np.float32)
        return out
