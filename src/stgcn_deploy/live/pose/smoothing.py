"""What an estimator shakes, held still: the one-euro filter (Casiez et al. 2012), for joints.

A low-pass filter that lets more through the faster something moves.  The numbers are those of MediaPipe's
graph for video, so that networks trained on its joints see the same.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.live.pose.blaze_landmarks import Landmarks

__all__ = ["LandmarkSmoother", "OneEuro"]

# MediaPipe moves visibilities by so much in a frame of 1/30 s; here by as much in the same time.
VISIBILITY = 0.1
FRAME = 1 / 30


class OneEuro:
    """The filter, for an array of numbers that change in time.

    Args:
        min_cutoff: frequency (Hz) above which what stands still is smoothed.
        beta: how much that frequency rises with speed.
        speed_cutoff: the same for the speed itself.
    """

    def __init__(self, min_cutoff: float, beta: float, speed_cutoff: float = 1.0) -> None:
        self._min_cutoff = min_cutoff
        self._beta = beta
        self._speed_cutoff = speed_cutoff
        self._raw: NDArray[np.float64] | None = None
        self._smooth: NDArray[np.float64] = np.zeros(0)
        self._speed: NDArray[np.float64] = np.zeros(0)

    def __call__(
        self, values: NDArray[np.float64], scale: float, seconds: float
    ) -> NDArray[np.float64]:
        """The values, smoothed.

        Args:
            scale: speeds are counted in units of 1 / scale.
            seconds: since the last values; above 0.
        """
        smooth: NDArray[np.float64] = values
        if self._raw is None:
            self._speed = np.zeros_like(values)
        else:
            speed = (values - self._raw) * (scale / seconds)
            self._speed = self._speed + _share(self._speed_cutoff, seconds) * (speed - self._speed)
            share = _share(self._min_cutoff + self._beta * np.abs(self._speed), seconds)
            smooth = self._smooth + share * (values - self._smooth)
        self._raw, self._smooth = values, smooth
        return smooth


def _share(cutoff: NDArray[np.float64] | float, seconds: float) -> NDArray[np.float64]:
    """What a low-pass filter of that cut-off (Hz) takes of a new value."""
    turns = np.asarray(2 * math.pi * seconds * cutoff, dtype=np.float64)
    share: NDArray[np.float64] = turns / (turns + 1)
    return share


class LandmarkSmoother:
    """Of one person in one camera."""

    def __init__(self) -> None:
        self._joints = OneEuro(0.05, 80.0)
        self._guides = OneEuro(0.01, 10.0)
        self._visibility: NDArray[np.float64] | None = None
        self._t = 0.0
        self._seconds = FRAME

    def __call__(self, found: Landmarks, t: float) -> Landmarks:
        """The landmarks at time `t`, smoothed."""
        if self._visibility is None:
            self._visibility = found.visibility
        else:
            # A clock that stands still or goes back is no clock: as far as between the frames before.
            self._seconds = t - self._t if t > self._t else self._seconds
            share = 1 - (1 - VISIBILITY) ** (self._seconds / FRAME)
            self._visibility = self._visibility + share * (found.visibility - self._visibility)
        self._t = t
        # Without the room around: the person's own length.
        scale = 1 / max(2 * float(np.hypot(*(found.guides[1] - found.guides[0]))), 1e-6)
        return replace(
            found,
            joints=self._joints(found.joints, scale, self._seconds),
            guides=self._guides(found.guides, scale, self._seconds),
            visibility=self._visibility,
        )
