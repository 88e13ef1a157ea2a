"""What goes through the pipeline before there are windows: readings, frames, people in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Detection", "Frame", "Reading", "Tracked"]

# x, y of the upper left corner, width, height.
Box = tuple[float, float, float, float]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Detection:
    """Somebody in one frame.

    Attributes:
        keypoints: float32 (V, C), x and y in pixels of the frame (or the units of the key-point stream),
            the score last where there is one; a joint that was not found is all zero.
        score: of the whole person, 0 to 1.
        box: in the same units as the key points; None: as far as the joints reach.
        id: where the source follows people by itself, else None.
    """

    keypoints: NDArray[np.float32]
    score: float = 1.0
    box: Box | None = None
    id: int | None = None


@dataclass(frozen=True)
class Reading:
    """What a source gave, before anybody said when that was.

    Attributes:
        pts: seconds on the source's own clock; None where it has none for this frame.
        image: uint8 (H, W, 3), RGB; None for key points.
        persons: of a key-point stream; None where they are to be found in the image.
        size: (W, H) in pixels, where coordinates are pixels.
        corrupt: decoded with errors; the image may be damaged.
    """

    pts: float | None
    image: Image | None = None
    persons: tuple[Detection, ...] | None = None
    size: tuple[int, int] | None = None
    corrupt: bool = False


@dataclass(frozen=True)
class Frame:
    """A reading with its place in time.

    Attributes:
        t: when it was taken, seconds on this process's monotonic clock; ascending within a camera.
        arrived: when it was here, same clock.
        epoch: counts up where the camera's time had to be set anew (reconnected, a clock that jumped).
    """

    camera: str
    t: float
    arrived: float
    image: Image | None = None
    persons: tuple[Detection, ...] | None = None
    size: tuple[int, int] | None = None
    corrupt: bool = False
    epoch: int = 0


@dataclass(frozen=True)
class Tracked:
    """Somebody with a number that stays with them while they are in sight of one camera."""

    track: int
    detection: Detection

    def as_dict(self) -> dict[str, Any]:
        """For pages and JSON: the number, the joints (V, C) and the box."""
        return {
            "track": self.track,
            "keypoints": np.round(self.detection.keypoints.astype(float), 3).tolist(),
            "score": round(float(self.detection.score), 4),
            "box": self.detection.box,
        }
