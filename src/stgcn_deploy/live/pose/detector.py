"""The seam to person detectors, for pose networks that look at one person at a time."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.live.frames import Box

__all__ = ["PersonDetector"]


class PersonDetector(Protocol):
    """Finds where people are in an image; may be called by several threads at a time.

    Attributes:
        name: the table's name of it, or its file's.
    """

    name: str

    def detect(self, image: NDArray[np.uint8]) -> list[tuple[Box, float]]:
        """Boxes in pixels with scores 0 to 1, the surest first; image (H, W, 3), RGB.

        Raises:
            BackendError: the runtime failed.
        """

    def close(self) -> None:
        """Release the runtime."""
