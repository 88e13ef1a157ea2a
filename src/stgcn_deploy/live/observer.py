"""Who is told what happens: metrics, the page, the terminal view, a benchmark's samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Frame, Tracked
from stgcn_deploy.live.windows import Result, Window

__all__ = ["CameraState", "FrameDrop", "Observer", "Observers", "Stage", "WindowDrop"]

# A camera that was never reached and one that was lost are the same: they are in "backoff".
CameraState = Literal["init", "connecting", "running", "stalled", "backoff", "ended", "disabled"]
Stage = Literal["decode", "pose", "track", "prepare", "model", "sink"]
# Why a frame went no further: a newer one came first, it had waited too long, it was damaged, the level
# of degradation or the camera's rate left it out, or the program was stopping.
FrameDrop = Literal["replaced", "stale", "corrupt", "skipped", "failed", "stopping"]
# Why a window went no further: a newer one of the same person came first, too little of it was seen, a gap
# in it was too long, too many were waiting, the network failed on it, or the program was stopping.
WindowDrop = Literal["coalesced", "underfilled", "gap", "overflow", "failed", "stopping"]


class Observer:
    """Is told of everything; what it does not care about does nothing.

    Methods are called by the pipeline's threads: they return at once, and are safe to call from several
    threads.  Times are of the monotonic clock, durations in seconds.
    """

    def camera(self, camera: str, state: CameraState, reason: str) -> None:
        """A camera's state is now this."""

    def frame(self, frame: Frame) -> None:
        """A frame arrived."""

    def frame_dropped(self, camera: str, reason: FrameDrop) -> None:
        """A frame went no further."""

    def people(self, frame: Frame, people: Sequence[Tracked], done: float) -> None:
        """Who is in a frame, known at `done`."""

    def window(self, window: Window) -> None:
        """A window is due."""

    def window_dropped(self, camera: str, reason: WindowDrop) -> None:
        """A window went no further."""

    def batch(self, size: int) -> None:
        """So many windows were run together."""

    def result(self, result: Result) -> None:
        """What a window shows."""

    def event(self, event: Event) -> None:
        """An event was made."""

    def event_dropped(self, sink: str, reason: str) -> None:
        """An event did not reach a sink."""

    def stage(self, stage: Stage, seconds: float) -> None:
        """So long a piece of work took."""

    def queue(self, name: str, depth: int) -> None:
        """So many wait now."""

    def level(self, level: int, name: str) -> None:
        """How far the pipeline has come down to keep up; 0: not at all."""


class Observers(Observer):
    """Several as one."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._all = tuple(observers)

    def camera(self, camera: str, state: CameraState, reason: str) -> None:
        """See Observer."""
        for one in self._all:
            one.camera(camera, state, reason)

    def frame(self, frame: Frame) -> None:
        """See Observer."""
        for one in self._all:
            one.frame(frame)

    def frame_dropped(self, camera: str, reason: FrameDrop) -> None:
        """See Observer."""
        for one in self._all:
            one.frame_dropped(camera, reason)

    def people(self, frame: Frame, people: Sequence[Tracked], done: float) -> None:
        """See Observer."""
        for one in self._all:
            one.people(frame, people, done)

    def window(self, window: Window) -> None:
        """See Observer."""
        for one in self._all:
            one.window(window)

    def window_dropped(self, camera: str, reason: WindowDrop) -> None:
        """See Observer."""
        for one in self._all:
            one.window_dropped(camera, reason)

    def batch(self, size: int) -> None:
        """See Observer."""
        for one in self._all:
            one.batch(size)

    def result(self, result: Result) -> None:
        """See Observer."""
        for one in self._all:
            one.result(result)

    def event(self, event: Event) -> None:
        """See Observer."""
        for one in self._all:
            one.event(event)

    def event_dropped(self, sink: str, reason: str) -> None:
        """See Observer."""
        for one in self._all:
            one.event_dropped(sink, reason)

    def stage(self, stage: Stage, seconds: float) -> None:
        """See Observer."""
        for one in self._all:
            one.stage(stage, seconds)

    def queue(self, name: str, depth: int) -> None:
        """See Observer."""
        for one in self._all:
            one.queue(name, depth)

    def level(self, level: int, name: str) -> None:
        """See Observer."""
        for one in self._all:
            one.level(level, name)
