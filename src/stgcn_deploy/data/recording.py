"""One recording of people moving, as a file or a data set holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import ClipError

__all__ = ["UNLABELLED", "Recording", "as_clip", "as_image_size"]

# The label of a recording whose class is not known.
UNLABELLED = -1


@dataclass(frozen=True)
class Recording:
    """What one record of a file holds.

    Attributes:
        clip: (M, T, V, C) numbers; a score is the last channel.
        layout: its name, where the file says.
        image_size: (width, height) when the coordinates are pixels, else None.
        raw: whether it is what a pose estimator or a data set gave, not what a network sees; with an
            image size it always is.
        name: what the file calls the record.
        label: index of its class, or UNLABELLED.
        fps: frames per second, where the file says.
    """

    clip: NDArray[Any]
    layout: str | None = None
    image_size: tuple[int, int] | None = None
    raw: bool = False
    name: str = ""
    label: int = UNLABELLED
    fps: float | None = None

    @property
    def is_raw(self) -> bool:
        """Whether a codebase's steps are still to be taken."""
        return self.raw or self.image_size is not None


def as_clip(what: str, value: Any) -> NDArray[np.float32]:
    """Numbers (M, T, V, C), or (T, V, C) of one person, as float32 (M, T, V, C).

    Args:
        what: the file, and the record in it, for messages.

    Raises:
        ClipError: not numbers, or another shape.
    """
    try:
        found = np.asarray(value)
    except (ValueError, TypeError):
        raise ClipError(f"{what}: not a regular array of numbers; expected (M, T, V, C).") from None
    if found.dtype.kind not in "fiu":
        raise ClipError(
            f"{what}: not a regular array of numbers but of {found.dtype}; expected numbers "
            "(M, T, V, C)."
        )
    # What float32 cannot hold becomes infinite, and is refused with the other such values.
    with np.errstate(over="ignore", invalid="ignore"):
        clip = found.astype(np.float32)
    if clip.ndim == 3:
        clip = clip[None]
    if clip.ndim != 4:
        raise ClipError(
            f"{what}: shape {clip.shape}, expected (M, T, V, C) or (T, V, C): persons, frames, "
            "joints, channels."
        )
    return clip


def as_image_size(what: str, value: Any) -> tuple[int, int]:
    """The two sides of an image, as they stand; (width, height) or (height, width) is the caller's.

    Raises:
        ClipError: not two whole numbers above 0.
    """
    try:
        sides = [int(side) for side in value]
    except (TypeError, ValueError, OverflowError):
        sides = []
    if len(sides) != 2 or min(sides) < 1:
        raise ClipError(f"{what} is {value!r}, expected two whole numbers above 0.")
    return sides[0], sides[1]
