"""A file as slow as it was recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

__all__ = ["Pace"]

# Further off than this there is no catching up (the machine slept), and no waiting (the file has a hole).
FAR = 2.0


class Pace:
    """Waits until it is the time of a frame.

    Args:
        stopped: ends the wait when set.
    """

    def __init__(self, stopped: Event, clock: Callable[[], float] = time.monotonic) -> None:
        self._stopped = stopped
        self._clock = clock
        self._start: float | None = None
        self._last = 0.0

    def delay(self, pts: float, now: float) -> float:
        """How long to wait before the frame is due; 0 when it is late."""
        due = None if self._start is None else self._start + pts
        if due is None or pts < self._last or abs(now - due) > FAR:
            self._start = due = now - pts
        self._last = pts
        return max(0.0, due - now)

    def wait(self, pts: float) -> None:
        """Return when the frame is due, or when stopped."""
        delay = self.delay(pts, self._clock())
        if delay > 0:
            self._stopped.wait(delay)
