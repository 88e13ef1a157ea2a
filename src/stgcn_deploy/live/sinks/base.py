"""The seam to whatever takes events."""

from __future__ import annotations

from typing import Protocol

from stgcn_deploy.live.events import Event

__all__ = ["Sink"]


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
