"""An image fitted into another size with its sides' ratio kept, and points brought back from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import requires
from stgcn_deploy.live.pose.pixels import INSTALL

__all__ = ["GREY", "Letterbox"]

# What YOLO, YOLOX and RTMO were trained to see as nothing.
GREY = 114


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies in a larger or smaller one.

    Attributes:
        size: (W, H) of the network's image.
        inner: (W, H) of the picture in it.
        left, top: margin before it.
        scale: (x, y), network's pixels for each of the picture's; not quite equal, for pixels are whole.
    """

    size: tuple[int, int]
    inner: tuple[int, int]
    left: int
    top: int
    scale: tuple[float, float]

    @classmethod
    def fit(cls, image: tuple[int, int], size: tuple[int, int], *, centred: bool) -> Letterbox:
        """As large as it goes, in the middle or in the upper left corner.

        Args:
            image, size: (W, H) of the picture, and of what the network takes.
        """
        ratio = min(size[0] / image[0], size[1] / image[1])
        inner = (max(1, round(image[0] * ratio)), max(1, round(image[1] * ratio)))
        left = (size[0] - inner[0]) // 2 if centred else 0
        top = (size[1] - inner[1]) // 2 if centred else 0
        return cls(size, inner, left, top, (inner[0] / image[0], inner[1] / image[1]))

    def draw(self, image: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
        """Put an image (H, W, 3) into `target`, which has `size` and is grey."""
        with requires("looking at images", INSTALL):
            import cv2
        width, height = self.inner
        picture = target[self.top : self.top + height, self.left : self.left + width]
        if (width, height) == image.shape[1::-1]:
            picture[:] = image
        else:
            picture[:] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)

    def back(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """Points (..., 2) of the network's image in pixels of the picture."""
        moved = points - np.array([self.left, self.top], np.float32)
        out: NDArray[np.float32] = (moved / np.array(self.scale)).astype(np.float32)
        return out
