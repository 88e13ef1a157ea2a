"""The seam to pose estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stgcn_deploy.live.frames import Detection, Frame

__all__ = ["Pose"]


class Pose(Protocol):
    """Finds people in images; shared by all cameras.

    Frames of one camera are given in their order and never by two threads at a time; those of different
    cameras may be, so that what is kept from frame to frame is kept by camera.

    Attributes:
        name: the table's name of it.
        layout: of the joints that it gives: (V, 3) x, y in pixels of the frame, score 0 to 1.
        detector_every: run the person detector on every so many frames of a camera, and only follow the
            people found in between, where it can; 1 where it cannot.  May be set at any time.
    """

    name: str
    layout: str
    detector_every: int

    def detect(self, frames: Sequence[Frame]) -> list[tuple[Detection, ...]]:
        """People of each frame, in the order of `frames`; a frame without anybody gives ().

        Raises:
            BackendError: the runtime failed.
        """

    def forget(self, camera: str) -> None:
        """Drop what is kept of a camera: it was disconnected, or its picture changed its size."""

    def close(self) -> None:
        """Release the runtimes."""
