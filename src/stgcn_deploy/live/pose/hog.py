"""People by histograms of oriented gradients (Dalal and Triggs 2005): weights that OpenCV brings along.

Finds those who stand or walk; misses those who sit, lie or bend, and takes posts for people now and then.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import BackendError, MissingDependencyError, requires
from stgcn_deploy.live.frames import Box
from stgcn_deploy.live.pose.nms import nms
from stgcn_deploy.live.pose.pixels import INSTALL
from stgcn_deploy.live.pose.pool import Pool
from stgcn_deploy.live.settings import PoseSettings

__all__ = ["HogDetector", "make"]

# Its window is 64x128 pixels; in a larger image than this it looks for people smaller than they are.
LONG_SIDE = 768
WINDOW = (64, 128)
SAME = 0.5


class HogDetector:
    """OpenCV's default people detector."""

    name = "hog"

    def __init__(self) -> None:
        self._pool: Pool[Any] = Pool(_descriptor)
        # Now, not at the first frame, if the library is missing.
        with self._pool.one():
            pass

    def detect(self, image: NDArray[np.uint8]) -> list[tuple[Box, float]]:
        """Boxes in pixels and scores; see PersonDetector.

        Raises:
            BackendError: OpenCV failed.
        """
        import cv2

        height, width = image.shape[:2]
        scale = min(1.0, LONG_SIDE / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        if size[0] < WINDOW[0] or size[1] < WINDOW[1]:
            return []
        try:
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            if scale < 1:
                grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
            with self._pool.one() as descriptor:
                found, margins = descriptor.detectMultiScale(grey, winStride=(8, 8), scale=1.05)
        except cv2.error as error:
            raise BackendError(f"OpenCV's people detector failed: {error}.") from error
        if not len(found):
            return []
        boxes = np.asarray(found, dtype=np.float64) / scale
        # A margin of the classifier is no probability, but orders like one.
        scores = np.array([1 / (1 + math.exp(-float(one))) for one in np.ravel(margins)])
        corners = np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), axis=1)
        return [
            ((x, y, wide, high), float(scores[index]))
            for index in nms(corners, scores, overlap=SAME)
            for x, y, wide, high in [boxes[index].tolist()]
        ]

    def close(self) -> None:
        """Release it."""
        self._pool.clear()


def _descriptor() -> Any:
    with requires("finding people in images", INSTALL):
        import cv2
    # What is missing in OpenCV 5 is missing in its stubs too.
    vision: Any = cv2
    try:
        descriptor = vision.HOGDescriptor()
        descriptor.setSVMDetector(vision.HOGDescriptor_getDefaultPeopleDetector())
    except AttributeError:
        raise MissingDependencyError(
            f"this build of OpenCV ({cv2.__version__}) is without the people detector that `hog` is: since "
            "OpenCV 5 only contrib builds have it. Install another: "
            'pip install "opencv-python-headless<5", or name another person detector.'
        ) from None
    return descriptor


def make(settings: PoseSettings) -> HogDetector:  # noqa: ARG001
    """For the table; there is nothing to set."""
    return HogDetector()
