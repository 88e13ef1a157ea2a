"""The thread that notices that nothing happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

__all__ = ["Watch"]


class Watch:
    """One thread that tells the time to whatever has to see that it passes.

    Args:
        ticks: called with the time.
        every: seconds between two calls.
    """

    def __init__(
        self,
        ticks: Callable[[float], None],
        every: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ticks = ticks
        self._every = every
        self._clock = clock
        self._stop = Event()
        self._thread = Thread(target=self._work, name="watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(self._every):
            self._ticks(self._clock())
