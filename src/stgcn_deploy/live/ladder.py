"""How work is left out to keep up, one step after another, and taken back when there is room again.

Told the time and the age of what waits, it decides; it reads no clock.  docs/live-config.md has the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from stgcn_deploy.live.settings import LadderSettings

__all__ = ["STEPS", "Ladder", "Measures", "Step"]

# A step up that has to be taken back within this time was one too many, seconds.
TRIAL = 10.0
# The time before a step up grows at most so many times over `recover`.
PATIENCE = 32.0
# Ages that fall by so much in the time of a step: what was done already is enough.
FALLING = 0.1


@dataclass(frozen=True)
class Measures:
    """What is in force for one camera.

    Attributes:
        stride: time between two windows of a person, seconds.
        detector_every: the person detector runs on every so many frames.
        pose_rate: at most so many frames a second go to the pose estimator; None: all.
        persons: windows of at most so many persons, those longest in sight; None: of all.
        low_rate: as pose_rate, for cameras that are all but given up; None: they are not.
    """

    stride: float
    detector_every: int
    pose_rate: float | None = None
    persons: int | None = None
    low_rate: float | None = None

    @property
    def rate(self) -> float | None:
        """The lower of both rates, None where neither is set."""
        return self.pose_rate if self.low_rate is None else self.low_rate


@dataclass(frozen=True)
class Step:
    """One level: what it does, to cameras of which priorities.

    Attributes:
        measures: field of Measures -> its value; of `stride` and `detector_every` the factor.
        meaning: for people.
    """

    name: str
    priorities: tuple[str, ...]
    measures: Mapping[str, float]
    meaning: str


_COMMON = ("low", "normal")
_ALL = ("low", "normal", "high")
# Dearest work first: on a CPU the network costs more than the pose, and a detector more than following.
STEPS = (
    Step("stride", _COMMON, {"stride": 2}, "windows of a person half as often"),
    Step("detector", _ALL, {"detector_every": 3}, "the person detector on a third of its frames"),
    Step(
        "pose rate", _COMMON, {"pose_rate": 12.5},
        "at most 12.5 frames a second; windows are filled in between",
    ),
    Step("two persons", _COMMON, {"persons": 2}, "windows of the two persons longest in sight of a camera"),
    Step("one person", _COMMON, {"persons": 1}, "windows of the person longest in sight of a camera"),
    Step(
        "low priority", ("low",), {"low_rate": 0.5},
        "a frame every two seconds: a picture, but nobody is followed any more",
    ),
    Step("high: stride", ("high",), {"stride": 2}, "as `stride`"),
    Step("high: pose rate", ("high",), {"pose_rate": 12.5}, "as `pose rate`"),
    Step("high: one person", ("high",), {"persons": 1}, "as `one person`"),
)  # fmt: skip


class Ladder:
    """A level, 0 for everything, and what it means for each camera; not thread-safe but for reading.

    Steps that change nothing here (no camera of that priority, no detector, one person anyway) are left
    out, so that every level relieves.

    Args:
        detector_every: 0 where there is no detector.
        priorities: camera -> "low", "normal" or "high"; a camera that is not in it is "normal".
    """

    def __init__(
        self,
        settings: LadderSettings,
        *,
        stride: float,
        detector_every: int,
        persons: int,
        priorities: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._priorities = dict(priorities)
        self._levels = _levels(
            Measures(stride, detector_every), persons, set(self._priorities.values()) or {"normal"}
        )
        self.level = 0
        self._last: float | None = None
        # For how long ages were too high since the count began, and the age at its beginning.
        self._over, self._mark = 0.0, 0.0
        # Since when all is young, and when the last step up was that is still on trial.
        self._quiet: float | None = None
        self._raised: float | None = None
        # Level -> how long to wait before the step up from it; of the others `recover`.
        self._patience: dict[int, float] = {}

    @property
    def name(self) -> str:
        """Of the level."""
        return self._levels[self.level][0]

    @property
    def names(self) -> tuple[str, ...]:
        """Of all levels, "full" first."""
        return tuple(name for name, _ in self._levels)

    def measures(self, camera: str) -> Measures:
        """What is in force for a camera."""
        return self._levels[self.level][1][self._priorities.get(camera, "normal")]

    def update(self, now: float, oldest: float, waiting: float = 0.0) -> bool:
        """Decide; to be called some times a second.

        Args:
            now: seconds, any clock that only ascends.
            oldest: how long the oldest frame or window waits by now, seconds.
            waiting: how long things had waited lately when their turn came (the 95th percentile, say).

        Returns:
            Whether the level changed.
        """
        if not self._settings.enabled:
            return False
        step = self._settings.step
        # Half a step at most: one reading alone, after a pause, moves nothing.
        passed = 0.0 if self._last is None else min(max(now - self._last, 0.0), step / 2)
        self._last = now
        self._count(now, max(oldest, waiting), passed)
        if self._raised is not None and now - self._raised >= max(TRIAL, 2 * step):
            self._lasted()
        if self._over >= step and self.level + 1 < len(self._levels):
            return self._down(max(oldest, waiting))
        if self.level and self._quiet is not None:
            patience = self._patience.get(self.level, self._settings.recover)
            if now - self._quiet >= patience:
                self._lasted()
                self._move(self.level - 1)
                self._raised = now
                return True
        return False

    def _count(self, now: float, age: float, passed: float) -> None:
        if not age < self._settings.low:
            self._quiet = None
        elif self._quiet is None:
            self._quiet = now
        if self._over == 0.0:
            self._mark = age
        # A few readings below the limit within a crowd of others do not begin the count anew.
        self._over = max(0.0, self._over + (passed if age > self._settings.high else -passed))

    def _down(self, age: float) -> bool:
        """A step down, unless what waits is being worked off since the last one."""
        if age < (1 - FALLING) * self._mark:
            self._over = 0.0
            return False
        level = self.level + 1
        if self._raised is not None:
            longer = 2 * self._patience.get(level, self._settings.recover)
            self._patience[level] = min(longer, PATIENCE * self._settings.recover)
        self._move(level)
        return True

    def _lasted(self) -> None:
        """The last step up was right."""
        if self._raised is not None:
            self._raised = None
            self._patience.pop(self.level + 1, None)

    def _move(self, level: int) -> None:
        self.level, self._over, self._quiet, self._raised = level, 0.0, None, None


def _levels(
    usual: Measures, persons: int, present: set[str]
) -> list[tuple[str, dict[str, Measures]]]:
    """(name, priority -> measures) of every level that makes a difference here."""
    current = dict.fromkeys(_ALL, usual)
    found = [("full", current)]
    for step in STEPS:
        changed = {
            priority: _taken(one, step, persons) if priority in step.priorities else one
            for priority, one in current.items()
        }
        if any(changed[priority] != current[priority] for priority in present):
            found.append((step.name, changed))
            current = changed
    return found


def _taken(usual: Measures, step: Step, persons: int) -> Measures:
    new: dict[str, Any] = {}
    for field, value in step.measures.items():
        if field in ("stride", "detector_every"):
            new[field] = getattr(usual, field) * value
        elif field != "persons" or value < persons:
            new[field] = value
    return replace(usual, **new)
