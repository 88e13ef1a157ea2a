"""The largest number of cameras that is good enough: doubled until it is not, then halved in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stgcn_deploy.errors import CheckFailedError
from stgcn_deploy.live.bench.outcome import Limits, Outcome

__all__ = ["Found", "Trial", "search"]

# A number that is not confirmed is lowered by such a part of it: long runs are long.
STEP = 25


@dataclass(frozen=True)
class Trial:
    """One run of a search.

    Attributes:
        broken: what was not good enough; () where all was.
        confirming: whether it was a long one.
    """

    cameras: int
    broken: tuple[str, ...]
    outcome: Outcome
    confirming: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without the raw samples."""
        outcome = self.outcome.as_dict()
        for name in ("curves", "samples", "states", "told", "history", "by_camera"):
            del outcome[name]
        return {
            "cameras": self.cameras,
            "broken": list(self.broken),
            "confirming": self.confirming,
            "outcome": outcome,
        }


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        cameras: the largest number that was confirmed; 0: not even one.
        confirmed: its long run; None where cameras is 0.
        next_cameras: the smallest number above it that was too many; 0: none was.
        next_broken: what was not good enough then.
        trials: every run, in their order.
    """

    cameras: int
    confirmed: Outcome | None
    next_cameras: int
    next_broken: tuple[str, ...]
    trials: tuple[Trial, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "cameras": self.cameras,
            "next_cameras": self.next_cameras,
            "next_broken": list(self.next_broken),
            "trials": [trial.as_dict() for trial in self.trials],
            "confirmed": None if self.confirmed is None else self.confirmed.as_dict(),
        }


class _Search:
    def __init__(
        self, measure: Callable[[int, bool], Outcome], limits: Limits, say: Callable[[str], None]
    ) -> None:
        self._measure, self._limits, self._say = measure, limits, say
        self.trials: list[Trial] = []

    def good(self, cameras: int, *, confirming: bool = False) -> bool:
        self._say(f"{cameras} cameras" + (", confirming" if confirming else ""))
        outcome = self._measure(cameras, confirming)
        broken = tuple(self._limits.broken(outcome))
        self.trials.append(Trial(cameras, broken, outcome, confirming))
        self._say(f"{cameras} cameras: {'; '.join(broken) or 'good'}")
        return not broken

    def next_above(self, cameras: int) -> tuple[int, tuple[str, ...]]:
        """The smallest number above that was too many, and why; the last time, if it was more than once."""
        many = [t for t in self.trials if t.cameras > cameras and t.broken]
        least = min((trial.cameras for trial in many), default=0)
        return least, next((t.broken for t in reversed(many) if t.cameras == least), ())


def search(
    measure: Callable[[int, bool], Outcome],
    limits: Limits,
    *,
    first: int = 4,
    most: int = 1024,
    say: Callable[[str], None] = lambda _: None,
) -> Found:
    """Find it.

    Args:
        measure: runs so many cameras, long where it is told to.
        first: the number to begin with.
        most: more are not tried.

    Raises:
        CheckFailedError: nothing was measured in any run.
    """
    run = _Search(measure, limits, say)
    low, high = 0, 0
    cameras = max(1, min(first, most))
    while not high and low < most:
        if run.good(cameras):
            low, cameras = cameras, min(2 * cameras, most)
        else:
            high = cameras
    while high - low > 1:
        cameras = (low + high) // 2
        if run.good(cameras):
            low = cameras
        else:
            high = cameras
    # A short run may have been lucky: what a long one does not confirm is not counted.
    while low and not run.good(low, confirming=True):
        low -= max(1, low // STEP)
    if not any(trial.outcome.frames.get("ok") for trial in run.trials):
        raise CheckFailedError(
            f"no run measured anything: {'; '.join(run.trials[-1].broken)}. See one with --cameras 1."
        )
    # The loop above ended with a good one.
    confirmed = run.trials[-1].outcome if low else None
    return Found(low, confirmed, *run.next_above(low), tuple(run.trials))
