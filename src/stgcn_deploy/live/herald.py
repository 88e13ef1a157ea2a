"""Says to the sinks what happens to cameras and to the pipeline itself, as events."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stgcn_deploy.live.events import Event, EventType
from stgcn_deploy.live.observer import CameraState, Observer

__all__ = ["Herald"]

# States that somebody has to know of; what lies between them comes and goes with every try.
TOLD: tuple[CameraState, ...] = ("running", "stalled", "backoff", "ended", "disabled")


class Herald(Observer):
    """Events of cameras and levels.

    Args:
        emit: takes the events.
        clock: monotonic seconds; wall: turns them into Unix seconds.
        ids: of the events.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        wall: Callable[[float], float],
        ids: Iterator[str],
    ) -> None:
        self._emit = emit
        self._clock = clock
        self._wall = wall
        self._ids = ids
        self._last: dict[str, tuple[str, str]] = {}

    def camera(self, camera: str, state: CameraState, reason: str) -> None:
        """A change of state, once; a camera that goes on failing for the same reason is one change."""
        if state not in TOLD or self._last.get(camera) == (state, reason):
            return
        self._last[camera] = (state, reason)
        self._say("camera_state", camera, state, reason)

    def level(self, level: int, name: str) -> None:
        """Work is left out, or no longer."""
        self._say("degraded", "", name, f"level {level}")

    def offline(self) -> None:
        """The last event of a run."""
        self._say("offline", "", "offline", "stopped")

    def _say(self, kind: EventType, camera: str, label: str, reason: str) -> None:
        now = self._wall(self._clock())
        self._emit(
            Event(
                next(self._ids), kind, camera, t_event=now, t_emit=now, label=label, reason=reason
            )
        )
