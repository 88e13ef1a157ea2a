"""Events for tests, and an observer that keeps which of them were dropped."""

from __future__ import annotations

import threading
from collections import Counter

from stgcn_deploy.live.events import Event, EventType
from stgcn_deploy.live.observer import Observer

__all__ = ["Dropped", "event"]


def event(number: int, kind: EventType = "action_start", camera: str = "door") -> Event:
    """An event that is told from others by its number."""
    return Event(f"e{number}", kind, camera, 1.0 + number, 2.0 + number, track=1, label="fäll")


class Dropped(Observer):
    """Counts dropped events by reason."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.sinks: set[str] = set()
        self._lock = threading.Lock()

    def event_dropped(self, sink: str, reason: str) -> None:
        """See Observer."""
        with self._lock:
            self.sinks.add(sink)
            self.reasons[reason] += 1
