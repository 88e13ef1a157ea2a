"""A row of controls over time, and the smooth moves that actions are written in.

Bodies and hands differ in what their controls are; how an action is drawn, timed and blended in is the
same for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Timeline", "ramp"]

Array = NDArray[np.float64]


def ramp(time: Array, start: float, duration: float) -> Array:
    """0 -> 1 with zero speed and acceleration at both ends (minimum jerk)."""
    s = np.clip((time - start) / max(duration, 1e-6), 0.0, 1.0)
    return np.asarray(s * s * s * (10 - 15 * s + 6 * s * s))


@dataclass
class Timeline:
    """One performance in the making.

    Attributes:
        time: (T,) seconds; it may go on after the window.
        window: seconds in which the action happens.
        pace: < 1 in short windows, where everything has to happen faster.
        controls: (D, T) degrees, unless said otherwise where the controls are named.
        happens: from when to when, in seconds, the movement that names the action goes on.
    """

    INDEX: ClassVar[Mapping[str, int]] = {}

    rng: np.random.Generator
    time: Array
    window: float
    pace: float
    controls: Array
    happens: tuple[float, float]

    def uniform(self, low: float, high: float) -> float:
        """One number from [low, high)."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def span(self, low: float, high: float) -> float:
        """A duration in seconds, shortened in short windows."""
        return self.uniform(low, high) * self.pace

    def begin(self, duration: float) -> float:
        """A start time from which most of `duration` still fits into the window."""
        latest = max(self.window - 0.92 * duration, 0.03 * self.window)
        return self.uniform(0.02 * self.window, latest)

    def mark(self, start: float, end: float) -> None:
        """Say when the movement that names the action goes on."""
        start = min(max(start, 0.0), self.window)
        self.happens = (start, min(max(end, start), self.window))

    def ramp(self, start: float, duration: float) -> Array:
        """(T,) smooth 0 -> 1."""
        return ramp(self.time, start, duration)

    def pulse(self, start: float, rise: float, hold: float, fall: float) -> Array:
        """(T,) smooth 0 -> 1 -> 0."""
        return self.ramp(start, rise) - self.ramp(start + rise + hold, fall)

    def blend(self, weight: Array | float, **targets: Array | float) -> None:
        """Move the named controls towards their targets."""
        for name, target in targets.items():
            row = self.controls[self.INDEX[name]]
            row += weight * (target - row)

    def add(self, weight: Array | float, **amounts: float) -> None:
        """Add to the named controls."""
        for name, amount in amounts.items():
            self.controls[self.INDEX[name]] += weight * amount

    def oscillate(self, frequency: float) -> Array:
        """(T,) sine of random phase whose rate wanders by a few per cent."""
        wander = self.uniform(0.05, 0.35) * np.sin(
            2 * np.pi * self.uniform(0.1, 0.4) * self.time + self.uniform(0, 6.3)
        )
        phase = 2 * np.pi * frequency * self.time + self.uniform(0, 6.3)
        return np.asarray(np.sin(phase + wander))
