"""What one person does, as far as the answers about them tell; knows no events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.live.settings import DecideSettings

__all__ = ["Doing", "Run", "Scores"]

# One for each class.
Scores = NDArray[np.float64]


@dataclass
class Run:
    """An action that goes on: since when, and when it was told of last."""

    start: float
    told: float


@dataclass
class Doing:
    """What is kept of one person, or of a scene.

    Attributes:
        scores: smoothed; None before the first answer.
        t: of the newest frame of the last answer; seen: when that answer came in.
        over: class -> since when it is over `enter`, without a break.
        runs: class -> the action that goes on.
        left: when it was known that they had left; answers to windows before it may still come.
        shown: what goes on now, in one value, which another thread may read.
    """

    scores: Scores | None = None
    t: float = -math.inf
    seen: float = -math.inf
    over: dict[int, float] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    left: float | None = None
    shown: tuple[str, float] | None = None

    def take(self, answer: Scores, t: float, now: float, settings: DecideSettings) -> None:
        """Take in an answer; what came before keeps exp(-dt / smoothing) of its weight."""
        if self.scores is None or settings.smoothing == 0:
            self.scores = answer
        else:
            weight = math.exp(-(t - self.t) / settings.smoothing)
            self.scores = weight * self.scores + (1.0 - weight) * answer
        self.t, self.seen = t, now
        over = np.flatnonzero(self.scores >= settings.enter).tolist()
        self.over = {index: self.over.get(index, t) for index in over}

    def score(self, index: int) -> float | None:
        """Smoothed, of one class."""
        return None if self.scores is None else float(self.scores[index])

    def best(self) -> int | None:
        """The class with the highest smoothed score."""
        return None if self.scores is None else int(self.scores.argmax())

    def below(self, leave: float) -> list[int]:
        """Running actions whose score is too low to go on."""
        return [
            index for index in self.runs if self.scores is not None and self.scores[index] < leave
        ]

    def start(self, index: int, t: float) -> None:
        """An action that has been over `enter` begins."""
        self.runs[index] = Run(self.over[index], t)

    def end(self, index: int) -> None:
        """It is over; before it begins again it has to come over `enter` anew."""
        del self.runs[index]
        self.over.pop(index, None)

    def show(self, labels: Sequence[str]) -> None:
        """Say what goes on: the best running action, else the best class over `enter`, else nothing."""
        among = [(self.score(index) or 0.0, index) for index in self.runs or self.over]
        self.shown = None
        if among:
            score, best = max(among)
            self.shown = labels[best], score
