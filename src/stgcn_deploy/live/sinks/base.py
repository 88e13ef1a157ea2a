"""The seam to whatever takes events."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from stgcn_deploy.errors import StgcnError
from stgcn_deploy.live.events import Event

__all__ = ["DeferringSink", "Sink", "SinkError"]


class SinkError(StgcnError):
    """Events were not delivered, and will not be.

    Attributes:
        reason: in few words, of which there are few, for metrics.
        events: how many.
    """

    def __init__(self, message: str, reason: str, *, events: int = 1) -> None:
        super().__init__(message)
        self.reason = reason
        self.events = events


class Sink(Protocol):
    """Takes events; used by one thread of its own, which may block without stalling anything else.

    Attributes:
        name: for people, logs and metrics, without secrets.
    """

    name: str

    def emit(self, event: Event) -> None:
        """Deliver one event, or raise; the caller counts errors and goes on."""

    def close(self) -> None:
        """Deliver what is left, if that takes no longer than seconds, and release everything."""


@runtime_checkable
class DeferringSink(Sink, Protocol):
    """A sink whose `emit` only keeps the event; `work` delivers it, now or later."""

    def work(self, now: float) -> float | None:
        """Deliver one of the events kept, if it is time to.

        Returns:
            When to be called again, monotonic seconds; None: nothing is kept.

        Raises:
            SinkError: it was given up.
        """

    def waiting(self) -> int:
        """Events that are kept and would be lost if the program ended now; any thread may ask."""
