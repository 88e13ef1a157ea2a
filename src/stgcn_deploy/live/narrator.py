"""Tells a person at a terminal what they would want to know of a run, and nothing twice a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from stgcn_deploy.live.observer import CameraState, Observer

__all__ = ["Narrator"]

# The same trouble of a sink is not told again for so many seconds.
QUIET = 30.0


class Narrator(Observer):
    """Lines about cameras, levels and sinks that fail.

    Args:
        say: takes a line.
        clock: monotonic seconds.
    """

    def __init__(
        self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, tuple[str, str]] = {}
        self._told: dict[tuple[str, str], float] = {}

    def camera(self, camera: str, state: CameraState, reason: str) -> None:
        """A change, but not each of a hundred tries to reach the same camera."""
        if state in ("init", "connecting"):
            return
        with self._lock:
            if self._states.get(camera) == (state, reason):
                return
            self._states[camera] = (state, reason)
        self._say(f"camera {camera}: {state}" + (f" ({reason})" if reason else ""))

    def event_dropped(self, sink: str, reason: str) -> None:
        """The first of each kind, and again after a while."""
        now = self._clock()
        with self._lock:
            if now - self._told.get((sink, reason), -QUIET) < QUIET:
                return
            self._told[sink, reason] = now
        self._say(f"sink {sink}: an event was not delivered ({reason})")

    def level(self, level: int, name: str) -> None:
        """How much is left out now."""
        self._say(f"level {level}: {name}" if level else "level 0: nothing is left out any more")
