"""What state a camera is in, and when it is tried again: decided from events and times, nothing else."""

from __future__ import annotations

from random import Random
from typing import Literal

from stgcn_deploy.live.observer import CameraState
from stgcn_deploy.live.sources.base import Reason

__all__ = ["CameraMachine", "Order"]

# What the caller has to do now: open the source, or close the one that is open because it hangs.
Order = Literal["open", "close"]

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
JITTER = 0.2
# After so long without a failure, the next one counts as the first.
GOOD = 10.0
STALL = 2.0
# Opening takes several answers of a camera, and some pictures before their form is known.
OPENING = 10.0


class CameraMachine:
    """One camera's state; times are of any clock that ascends.

        init -> connecting -> running <-> stalled
                    ^            |           |
                    +--------- backoff <-----+        ended: of a file, or stopped
        any -> disabled

    Args:
        random: of the jitter that keeps cameras from coming back all at once.
        live: whether a failure is followed by another try; a file's failure is its end.
        timeout: without a frame for so long, the camera is lost.

    Attributes:
        state: see observer.CameraState.
        reason: why, where the state has a reason; one of Reason, or "stopped".
        retry_at: when it is tried again; None where it is not.
        failures: tries that failed since it was last well.
    """

    def __init__(self, random: Random, *, live: bool = True, timeout: float = 5.0) -> None:
        self.state: CameraState = "init"
        self.reason = ""
        self.retry_at: float | None = 0.0
        self.failures = 0
        self.live = live
        self._random = random
        self._timeout = timeout
        self._interval = 0.0
        self._since = 0.0
        self._last: float | None = None

    @property
    def over(self) -> bool:
        """Whether nothing will come of it any more."""
        return self.state in ("ended", "disabled")

    def opening(self, now: float) -> None:
        """The source is being opened."""
        if not self.over:
            self._become("connecting", "")
            self.retry_at, self._since, self._last = None, now, None

    def opened(self, now: float, fps: float | None = None) -> None:
        """It is open; the first frame is to come."""
        if self.state == "connecting":
            self._since = now
            self._interval = 1.0 / fps if fps else 0.0

    def frame(self, now: float) -> None:
        """A frame came, whole or damaged."""
        if self.state in ("connecting", "running", "stalled"):
            if self._last is None:
                self._since = now
            self._last = now
            self._become("running", "")

    def failed(self, now: float, reason: Reason, *, lasting: bool = False) -> None:
        """It could not be opened, or broke."""
        if self.over or self.state == "backoff":
            return
        if not self.live:
            self.finished(reason)
            return
        if reason == "timeout" and self._last is not None:
            # FFmpeg's own limit and ours are the same length: whoever is first, it is one thing.
            reason = "frozen"
        if self._last is not None and self._last - self._since >= GOOD:
            self.failures = 0
        wait = LONGEST_DELAY if lasting else min(LONGEST_DELAY, FIRST_DELAY * 2.0**self.failures)
        # 2.0 ** 1024 is no number; a camera that is away for weeks gets there.
        self.failures = min(self.failures + 1, 64)
        self.retry_at = now + wait * (1.0 + JITTER * (2.0 * self._random.random() - 1.0))
        self._last = None
        self._become("backoff", reason)

    def finished(self, reason: str = "ended") -> None:
        """It came to its end, or was stopped."""
        if not self.over:
            self._become("ended", reason)
            self.retry_at = None

    def disable(self) -> None:
        """It is given up for good: what it gives breaks whoever looks at it."""
        if not self.over:
            self._become("disabled", "broken")
            self.retry_at = None

    def tick(self, now: float) -> Order | None:
        """What is due at this time."""
        if self.retry_at is not None and self.state in ("init", "backoff"):
            return "open" if now >= self.retry_at else None
        if not self.live:
            return None
        if self.state == "connecting" and now - self._since > self._timeout + OPENING:
            self.failed(now, "timeout")
            return "close"
        if self._last is not None and self.state in ("running", "stalled"):
            silent = now - self._last
            if silent > max(self._timeout, 3.0 * self._interval):
                self.failed(now, "frozen")
                return "close"
            if silent > max(STALL, 2.0 * self._interval):
                self._become("stalled", "frozen")
        return None

    def _become(self, state: CameraState, reason: str) -> None:
        self.state, self.reason = state, reason
