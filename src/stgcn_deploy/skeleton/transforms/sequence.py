"""A recording on its way to the network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import ClipError

__all__ = ["Sequence"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Sequence:
    """People in a recording, as a pose estimator or a data set has them.

    Attributes:
        keypoints: (M, T, V, C).
        score: how sure each joint is, (M, T, V), where it stands apart from the key points.
        image_size: (W, H) where coordinates are pixels.
        fps: frames per second, where known.

    Raises:
        ClipError: other shapes, or nothing in it.
    """

    keypoints: Array
    score: Array | None = None
    image_size: tuple[int, int] | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        shape = self.keypoints.shape
        if len(shape) != 4 or not self.keypoints.size:
            raise ClipError(f"key points of shape {shape}, expected (M, T, V, C) and none of it 0.")
        if self.score is not None and self.score.shape != shape[:3]:
            raise ClipError(
                f"scores of shape {self.score.shape} for key points of shape {shape}; expected one "
                f"for each joint, {shape[:3]}."
            )
        if self.image_size is not None and min(self.image_size) <= 0:
            raise ClipError(f"image size {self.image_size}; expected (width, height) above 0.")

    @property
    def persons(self) -> int:
        """M."""
        return int(self.keypoints.shape[0])

    @property
    def frames(self) -> int:
        """T."""
        return int(self.keypoints.shape[1])

    @property
    def joints(self) -> int:
        """V."""
        return int(self.keypoints.shape[2])

    @property
    def channels(self) -> int:
        """C."""
        return int(self.keypoints.shape[3])

    def moved(self, keypoints: Array) -> Sequence:
        """The same with other key points; scores and sizes stay."""
        return replace(self, keypoints=keypoints)

    def picked(self, indices: Array) -> Sequence:
        """Frames in the order of `indices` (T',), repeated where an index is."""
        score = None if self.score is None else self.score[:, indices]
        return replace(self, keypoints=self.keypoints[:, indices], score=score)

    def padded(self, *, persons: int = 0, frames: int = 0) -> Sequence:
        """So many absent persons and empty frames more, at the end."""
        room = ((0, persons), (0, frames), (0, 0))
        score = None if self.score is None else np.pad(self.score, room)
        return replace(self, keypoints=np.pad(self.keypoints, (*room, (0, 0))), score=score)
