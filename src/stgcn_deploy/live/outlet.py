"""The thread around one sink: whoever makes events never waits for those who take them."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque

from stgcn_deploy.errors import StgcnError
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.sinks.base import DeferringSink, Sink, SinkError

__all__ = ["Outlet"]

LOG = logging.getLogger(__name__)

# The same trouble of a sink is said again after so many seconds; it is counted each time.
AGAIN = 60.0
# Share of the time to close in which events are delivered; the rest is for the sink to close itself.
DRAIN = 0.7
# Seconds before a sink whose deferred work broke is asked again.
PAUSE = 1.0


class Outlet:
    """Events wait here for a sink, so many at most; the oldest go first when there are more.

    Every event that does not reach the sink is told to `observer.event_dropped`, with the reason:
    "overflow", "stopping" (left at the end), what a SinkError says, or "failed".

    Args:
        room: events that may wait.
    """

    def __init__(self, sink: Sink, observer: Observer, *, room: int = 1024) -> None:
        self.name = sink.name
        self._sink = sink
        self._observer = observer
        self._room = room
        self._events: deque[Event] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._deadline: float | None = None
        self._given_up = False
        self._said: dict[str, float] = {}
        # The interpreter must not wait for a sink that blocks for ever.
        self._thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Hand over one event; never blocks."""
        with self._changed:
            closed = self._deadline is not None
            over = not closed and len(self._events) >= self._room
            if over:
                self._events.popleft()
            if not closed:
                self._events.append(event)
                self._changed.notify()
            depth = len(self._events)
        if closed or over:
            self._observer.event_dropped(self.name, "stopping" if closed else "overflow")
        self._observer.queue(f"sink {self.name}", depth)

    def close(self, timeout: float) -> bool:
        """Deliver what waits within `timeout` seconds; whether the sink is done and closed.

        What could not be delivered is told as "stopping".  May be called again.
        """
        with self._changed:
            if self._deadline is None:
                self._deadline = time.monotonic() + DRAIN * timeout
            self._changed.notify()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            return True
        with self._changed:
            left = 0 if self._given_up else len(self._events) + self._busy
            if isinstance(self._sink, DeferringSink) and not self._given_up:
                left += self._sink.waiting()
            self._events.clear()
            self._given_up = True
        self._drop(left, "stopping")
        return False

    def _run(self) -> None:
        # What a spool kept from before is due at once.
        due: float | None = 0.0 if isinstance(self._sink, DeferringSink) else None
        while True:
            event, due, more = self._next(due)
            if not more:
                break
            began = time.monotonic()
            try:
                if event is not None:
                    self._sink.emit(event)
                elif isinstance(self._sink, DeferringSink):
                    due = self._sink.work(began)
            except Exception as error:
                self._failed(error, began)
                if event is None and not isinstance(error, SinkError):
                    # Not of the kind that a sink gives up an event with: it would come again at once.
                    due = began + PAUSE
            self._observer.stage("sink", time.monotonic() - began)
        try:
            self._sink.close()
        except Exception as error:
            self._failed(error, time.monotonic())

    def _next(self, due: float | None) -> tuple[Event | None, float | None, bool]:
        """Wait for something to do.

        Returns:
            An event, or None for what the sink deferred; when that is due; whether to go on at all.
        """
        left = 0
        with self._changed:
            self._busy = False
            while True:
                now = time.monotonic()
                if self._deadline is not None and now >= self._deadline:
                    left = len(self._events)
                    self._events.clear()
                    break
                if self._events:
                    self._busy = True
                    # A deferring sink has something to do after each event.
                    after = now if isinstance(self._sink, DeferringSink) else None
                    return self._events.popleft(), after, True
                if due is not None and now >= due:
                    return None, due, True
                if self._deadline is not None and due is None:
                    break
                until = min(time for time in (due, self._deadline, math.inf) if time is not None)
                self._changed.wait(None if until == math.inf else until - now)
        self._drop(left, "stopping")
        return None, None, False

    def _failed(self, error: Exception, now: float) -> None:
        """Count what was lost; say so, but not for each of many."""
        reason, events = "failed", 1
        if isinstance(error, SinkError):
            reason, events = error.reason, error.events
        if now - self._said.get(reason, -math.inf) > AGAIN:
            self._said[reason] = now
            # What is no error of ours may name secrets.
            text = str(error) if isinstance(error, StgcnError) else type(error).__name__
            LOG.warning("%s: %s", self.name, text)
        if not self._given_up:
            self._drop(events, reason)

    def _drop(self, events: int, reason: str) -> None:
        for _ in range(events):
            self._observer.event_dropped(self.name, reason)
