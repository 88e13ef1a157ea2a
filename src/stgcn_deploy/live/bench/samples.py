"""What is measured of a run while it runs, beside the counts of the Tally."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.live.bench.series import Series
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Frame, Tracked
from stgcn_deploy.live.observer import CameraState, Observer
from stgcn_deploy.live.windows import Result, Window

__all__ = ["KINDS", "Samples"]

# Capture to people, capture to the answer of the network, capture to event.
KINDS = ("people", "result", "event")
# Changes of state and events that are kept; more are only counted.
MOST_TOLD = 20_000


class Samples(Observer):
    """Every delay with its time and camera; thread-safe.

    Attributes:
        series: by kind; times in seconds since `begin`, values in ms, the group is the camera's place.
        windows_made: windows that were due.
        levels: (seconds, level of degradation); states: (seconds, camera, state, reason);
        events: (seconds, type, camera, label).
        deepest: name of a queue -> the most that waited in it.
        untold: states and events that there was no room for.
    """

    def __init__(self, cameras: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._places = {name: place for place, name in enumerate(cameras)}
        self._level = 0
        self.series = {kind: Series() for kind in KINDS}
        self.begin()

    def begin(self) -> float:
        """Forget what was measured so far; returns the time from which on all counts."""
        with self._lock:
            self.start = self._clock()
            for series in self.series.values():
                series.clear()
            self.windows_made = 0
            self.levels: list[tuple[float, int]] = [(0.0, self._level)]
            self.states: list[tuple[float, str, CameraState, str]] = []
            self.events: list[tuple[float, str, str, str]] = []
            self.deepest: dict[str, int] = {}
            self.untold = 0
            return self.start

    def snapshot(
        self, kind: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Times, values and groups of what was measured by now."""
        with self._lock:
            series = self.series[kind]
            return series.times, series.values, series.groups

    def _add(self, kind: str, camera: str, t: float, seconds: float) -> None:
        place = self._places.get(camera, -1)
        with self._lock:
            self.series[kind].add(t - self.start, 1e3 * seconds, place)

    def _room(self, told: Sequence[object]) -> bool:
        self.untold += len(told) >= MOST_TOLD
        return len(told) < MOST_TOLD

    def people(self, frame: Frame, people: Sequence[Tracked], done: float) -> None:
        """See Observer."""
        del people
        self._add("people", frame.camera, done, done - frame.arrived)

    def window(self, window: Window) -> None:
        """See Observer."""
        del window
        with self._lock:
            self.windows_made += 1

    def result(self, result: Result) -> None:
        """See Observer."""
        window = result.window
        self._add("result", window.camera, result.done, result.done - window.arrived)

    def event(self, event: Event) -> None:
        """See Observer."""
        now = self._clock()
        if event.latency_ms is not None:
            self._add("event", event.camera, now, event.latency_ms / 1e3)
        with self._lock:
            if self._room(self.events):
                self.events.append(
                    (round(now - self.start, 3), event.type, event.camera, event.label)
                )

    def camera(self, camera: str, state: CameraState, reason: str) -> None:
        """See Observer."""
        now = self._clock()
        with self._lock:
            if self._room(self.states):
                self.states.append((round(now - self.start, 3), camera, state, reason))

    def level(self, level: int, name: str) -> None:
        """See Observer."""
        del name
        now = self._clock()
        with self._lock:
            self._level = level
            self.levels.append((round(now - self.start, 3), level))

    def queue(self, name: str, depth: int) -> None:
        """See Observer."""
        with self._lock:
            self.deepest[name] = max(self.deepest.get(name, 0), depth)
