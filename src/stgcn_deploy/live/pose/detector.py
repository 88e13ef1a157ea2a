"""The seam to person detectors: boxes in an image, for estimators that need to be told where to look."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.live.frames import Box

__all__ = ["PersonDetector"]


class PersonDetector(Protocol):
    """Finds people's boxes; several threads may call it at once.

    Attributes:
        name: the table's name of it.
    """

    name: str

    def detect(self, image: NDArray[np.uint8]) -> list[tuple[Box, float]]:
        """Boxes in pixels and scores, 0 to 1, of an image (H, W, 3), RGB; best first.

        Raises:
            BackendError: the runtime failed.
        """

    def close(self) -> None:
        """Release the runtime."""
