"""Windows of all cameras, a few at a time to the network: one queue, and at most one window a person.

    batcher.put(window)            # pose workers; a newer window takes the place of an older one
    batcher.take() -> windows      # the network's workers; waits for company, but not for long

Windows of files wait for their turn instead: of a recording nothing is left out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.windows import Window

__all__ = ["Batcher", "Pending"]

Key = tuple[str, int | None]


class Pending:
    """Which windows wait, and which are to go now; no clock and no lock of its own.

    Args:
        most: windows in one batch.
        delay: seconds that a window waits for company.
        room: windows that wait at most.
    """

    def __init__(self, most: int, delay: float, room: int) -> None:
        self.most, self.delay, self.room = most, delay, room
        # In the order of their turn: (since when it waits, the window).
        self._waiting: dict[Key, tuple[float, Window]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: object) -> bool:
        return key in self._waiting

    @property
    def full(self) -> bool:
        """Whether one more would push another one out."""
        return len(self._waiting) >= self.room

    def add(self, window: Window, now: float) -> tuple[Window | None, Window | None]:
        """Take a window; returns (the older one that it replaces, one that there is no room for).

        The new one keeps the turn of the one that it replaces: who is slow does not starve.
        """
        key = window.key
        if key in self._waiting:
            since, older = self._waiting[key]
            self._waiting[key] = (since, window)
            return older, None
        pushed = None
        if self.full:
            _, pushed = self._waiting.pop(next(iter(self._waiting)))
        self._waiting[key] = (now, window)
        return None, pushed

    def oldest(self, now: float) -> float:
        """Seconds that the first one has waited; 0 when none does."""
        if not self._waiting:
            return 0.0
        since, _ = next(iter(self._waiting.values()))
        return max(0.0, now - since)

    def due_in(self, now: float) -> float | None:
        """Seconds until a batch is to go: 0 now, None: nothing waits."""
        if not self._waiting:
            return None
        if len(self._waiting) >= self.most:
            return 0.0
        return max(0.0, self.delay - self.oldest(now))

    def pop(self) -> list[Window]:
        """The next batch, in the order of their turn."""
        keys = list(self._waiting)[: self.most]
        return [self._waiting.pop(key)[1] for key in keys]


class Batcher:
    """A Pending with a lock, for threads."""

    def __init__(
        self, pending: Pending, observer: Observer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pending = pending
        self._observer = observer
        self._clock = clock
        # Two kinds of waiters, two conditions: a wake-up meant for one is not lost on the other.
        lock = threading.Lock()
        self._filled, self._freed = threading.Condition(lock), threading.Condition(lock)
        self._closed = False
        self._running = 0

    def put(self, window: Window, *, wait: bool = False) -> None:
        """Hand over a window; with `wait`, wait for room instead of pushing anything out."""
        with self._freed:
            while wait and not self._closed and (window.key in self._pending or self._pending.full):
                self._freed.wait()
            if self._closed:
                self._observer.window_dropped(window.camera, "stopping")
                return
            older, pushed = self._pending.add(window, self._clock())
            self._filled.notify()
        if older is not None:
            self._observer.window_dropped(older.camera, "coalesced")
        if pushed is not None:
            self._observer.window_dropped(pushed.camera, "overflow")

    def take(self) -> list[Window]:
        """The next batch; waits for it; empty when closed and nothing is left.

        Call `finished` when it is done with.
        """
        with self._filled:
            while True:
                wait = self._pending.due_in(self._clock())
                if self._closed or wait == 0.0:
                    windows = self._pending.pop()
                    self._running += bool(windows)
                    self._freed.notify_all()
                    return windows
                self._filled.wait(wait)

    def finished(self) -> None:
        """A batch that was taken is done with."""
        with self._freed:
            self._running -= 1
            self._freed.notify_all()

    def settle(self, timeout: float | None) -> bool:
        """Wait until nothing waits and nothing runs; whether that came about in `timeout` seconds."""
        with self._freed:
            return self._freed.wait_for(
                lambda: not len(self._pending) and not self._running, timeout
            )

    def close(self, *, drop: bool = False) -> None:
        """Take no more; what waits is run, or with `drop` told as dropped."""
        with self._freed:
            self._closed = True
            dropped: list[Window] = []
            while drop and len(self._pending):
                dropped += self._pending.pop()
            self._filled.notify_all()
            self._freed.notify_all()
        for window in dropped:
            self._observer.window_dropped(window.camera, "stopping")

    def depth(self) -> int:
        """How many wait."""
        with self._filled:
            return len(self._pending)

    def oldest(self) -> float:
        """Seconds that the first one has waited."""
        with self._filled:
            return self._pending.oldest(self._clock())
