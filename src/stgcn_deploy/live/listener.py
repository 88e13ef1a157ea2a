"""A function of the user's as an observer."""

from __future__ import annotations

from collections.abc import Callable

from stgcn_deploy.live.events import Event
from stgcn_deploy.live.observer import Observer

__all__ = ["Listener", "StateListener"]


class Listener(Observer):
    """Calls a function with every event."""

    def __init__(self, told: Callable[[Event], None]) -> None:
        self._told = told

    def event(self, event: Event) -> None:
        """See Observer."""
        self._told(event)


class StateListener(Observer):
    """Calls a function with cameras that give nothing any more."""

    def __init__(self, lost: Callable[[str], None]) -> None:
        self._lost = lost

    def camera(self, camera: str, state: str, reason: str) -> None:
        """See Observer."""
        if state in ("backoff", "disabled", "ended"):
            self._lost(camera)
