"""Square, turned regions of an image: what a network sees of it, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import BackendError, DataError, requires
from stgcn_deploy.live.frames import Box
from stgcn_deploy.live.pose.pixels import INSTALL

__all__ = ["Roi", "checked_image", "crop", "roi_of_person"]

# OpenCV addresses pixels by 16 bits.
MAX_SIDE = 32_000
# A person reaches further than from the hips to the scale point.
ROOM = 1.25


@dataclass(frozen=True)
class Roi:
    """A square of an image.

    Attributes:
        x, y: its centre, in pixels of the image.
        size: its side, in pixels.
        angle: how far it is turned clockwise, in radians.
    """

    x: float
    y: float
    size: float
    angle: float = 0.0

    @classmethod
    def around(cls, box: Box, scale: float = 1.0) -> Roi:
        """The upright square around a box."""
        x, y, width, height = box
        return cls(x + width / 2, y + height / 2, max(width, height) * scale)

    def to_image(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Points (..., 2), 0 to 1 in the region, to pixels of the image."""
        cos, sin = math.cos(self.angle) * self.size, math.sin(self.angle) * self.size
        x, y = points[..., 0] - 0.5, points[..., 1] - 0.5
        return np.stack((x * cos - y * sin + self.x, x * sin + y * cos + self.y), axis=-1)

    def from_image(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Points (..., 2) in pixels of the image, to 0 to 1 in the region."""
        cos, sin = math.cos(self.angle) / self.size, math.sin(self.angle) / self.size
        x, y = points[..., 0] - self.x, points[..., 1] - self.y
        return np.stack((x * cos + y * sin + 0.5, y * cos - x * sin + 0.5), axis=-1)

    def usable(self, width: int, height: int) -> bool:
        """Whether it shows something of an image of that size, and at a size worth looking at."""
        numbers = (self.x, self.y, self.size, self.angle)
        if not all(math.isfinite(number) for number in numbers):
            return False
        reach = self.size * math.sqrt(0.5)
        inside = -reach < self.x < width + reach and -reach < self.y < height + reach
        return inside and 4.0 <= self.size <= 8.0 * max(width, height)


def roi_of_person(hips: NDArray[Any], scale: NDArray[Any]) -> Roi:
    """The region of somebody, turned so that they stand upright in it.

    Args:
        hips: (2,), the middle of the hips in pixels.
        scale: (2,), a point above them as far away as half of the person is long.
    """
    across, up = float(scale[0] - hips[0]), float(hips[1] - scale[1])
    size = 2.0 * math.hypot(across, up) * ROOM
    return Roi(float(hips[0]), float(hips[1]), size, math.pi / 2 - math.atan2(up, across))


def crop(
    image: NDArray[np.uint8], roi: Roi, size: int, low: float, high: float, *, black: bool
) -> NDArray[np.float32]:
    """What a network sees of a region: (1, size, size, 3), 0 to 255 as `low` to `high`.

    Args:
        black: what lies outside of the image; False: as its edge is.

    Raises:
        BackendError: OpenCV failed.
    """
    with requires("finding people in images", INSTALL):
        import cv2
    cos, sin = (math.cos(roi.angle) * roi.size / size, math.sin(roi.angle) * roi.size / size)
    half = size / 2
    # From pixels of the region to those of the image, corner on corner as MediaPipe has it.
    matrix = np.array(
        [
            [cos, -sin, roi.x - half * (cos - sin)],
            [sin, cos, roi.y - half * (sin + cos)],
        ]
    )
    border = cv2.BORDER_CONSTANT if black else cv2.BORDER_REPLICATE
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    try:
        seen = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=border)
    except cv2.error as error:
        raise BackendError(f"OpenCV cannot cut {roi} out of an image: {error}.") from error
    out: NDArray[np.float32] = seen.astype(np.float32)
    out *= (high - low) / 255.0
    if low:
        out += low
    return out[None]


def checked_image(image: NDArray[Any], camera: str) -> NDArray[np.uint8]:
    """The image, if it is one: uint8 (H, W, 3), RGB.

    Raises:
        DataError: it is not.
    """
    shape: tuple[int, ...] = getattr(image, "shape", ())
    dtype = getattr(image, "dtype", type(image).__name__)
    if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or min(shape) < 1:
        raise DataError(
            f"a frame of camera {camera!r} is {dtype} {tuple(shape)}, expected uint8 (H, W, 3), RGB; "
            "give such images."
        )
    if max(shape[:2]) > MAX_SIDE:
        raise DataError(
            f"a frame of camera {camera!r} is {shape[1]}x{shape[0]} pixels, expected at most "
            f"{MAX_SIDE} a side; make it smaller."
        )
    return np.ascontiguousarray(image)
