"""What goes through the pipeline after people are followed: windows, and what they show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.live.frames import Box

__all__ = ["Result", "Window"]


@dataclass(frozen=True)
class Window:
    """The last seconds of a person, or of a scene, at the frame rate of the network.

    Attributes:
        track: of the person; None for a scene, whose persons are in `tracks`, in the order of M.
        clip: float32 (M, T, V, C) in the layout of the source; zeros where nobody was seen.
        fill: share of the network's T that lies after the first sight.
        valid_ratio: share of the frames after the first sight in which somebody was seen.
        t0, t1: of its first and last frame, monotonic clock.
        arrived: when its newest frame was here; due: when it was made.  Monotonic clock.
        size: (W, H) of the image, where coordinates are pixels.
        box: of the person in the newest frame.
    """

    camera: str
    track: int | None
    tracks: tuple[int, ...]
    clip: NDArray[np.float32]
    fill: float
    valid_ratio: float
    t0: float
    t1: float
    arrived: float
    due: float
    size: tuple[int, int] | None = None
    box: Box | None = None

    @property
    def key(self) -> tuple[str, int | None]:
        """Whose window it is: a newer one of the same key replaces an older one."""
        return self.camera, self.track


@dataclass(frozen=True)
class Result:
    """What the network says of a window.

    Attributes:
        probabilities: float32 (classes,); of independent classes each by itself.
        done: when it was known, monotonic clock.
    """

    window: Window
    probabilities: NDArray[np.float32]
    done: float
