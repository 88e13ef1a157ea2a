"""What a live run did, counted: for the line at its end, --json, and benchmarks."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Frame, Tracked
from stgcn_deploy.live.observer import CameraState, FrameDrop, Observer, WindowDrop
from stgcn_deploy.live.windows import Result

__all__ = ["LiveReport", "Tally"]

# Samples of one kind that are kept; the newest, so that a run of days takes no more memory.
KEPT = 200_000
SHOWN = (50, 95, 99)


@dataclass(frozen=True)
class LiveReport:
    """What happened between the start of a run and its end.

    Attributes:
        seconds: how long it went on.
        frames, windows, events: counts by outcome or type; drops carry their reason.
        by_camera: the same of frames and windows for each camera.
        delays: "people", "result", "event": p50, p95, p99, max in ms from the arrival of the frame, and
            how many were measured.
        batches: number of batches by size.
        levels: seconds at each level of degradation.
        failures: cameras that were given up, with the reason.
        clean: whether everything under way came to its end.
    """

    seconds: float
    frames: dict[str, int]
    windows: dict[str, int]
    events: dict[str, int]
    by_camera: dict[str, dict[str, int]]
    delays: dict[str, dict[str, float]]
    batches: dict[int, int]
    levels: dict[int, float]
    failures: dict[str, str]
    clean: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def lines(self) -> list[str]:
        """For people."""
        frames, windows = self.frames, self.windows
        said = [
            f"{self.seconds:.1f} s, {frames.get('ok', 0):,} frames looked at{_others(frames)}; "
            f"{windows.get('ok', 0):,} windows answered{_others(windows)}; "
            f"{sum(self.events.values()):,} events"
        ]
        for name, title in (("people", "frame to people"), ("result", "frame to answer")):
            if name in self.delays:
                d = self.delays[name]
                said.append(
                    f"{title}: p50 {d['p50']:.0f}, p95 {d['p95']:.0f}, p99 {d['p99']:.0f} ms"
                )
        left_out = {level: s for level, s in self.levels.items() if level and s > 0}
        if left_out:
            total = sum(left_out.values())
            said.append(f"work was left out for {total:.0f} s, down to level {max(left_out)}")
        return said


def _others(counts: dict[str, int]) -> str:
    rest = [f"{count:,} {name}" for name, count in sorted(counts.items()) if name != "ok" and count]
    return f" ({', '.join(rest)})" if rest else ""


class Tally(Observer):
    """Counts everything; thread-safe.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._failures: dict[str, str] = {}
        self._level = 0
        self.restart()

    def restart(self) -> None:
        """Begin to count anew, after a warm-up."""
        now = self._clock()
        with self._lock:
            self._start = self._since = now
            self._frames: Counter[str] = Counter()
            self._windows: Counter[str] = Counter()
            self._events: Counter[str] = Counter()
            self._batches: Counter[int] = Counter()
            self._cameras: dict[str, Counter[str]] = {}
            self._levels: dict[int, float] = {}
            self.samples: dict[str, deque[float]] = {
                name: deque(maxlen=KEPT) for name in ("people", "result", "event")
            }

    def _count(self, what: str, counts: Counter[str], camera: str, outcome: str) -> None:
        counts[outcome] += 1
        self._cameras.setdefault(camera, Counter())[f"{what} {outcome}"] += 1

    def camera(self, camera: str, state: CameraState, reason: str) -> None:
        """See Observer."""
        with self._lock:
            if state == "disabled":
                self._failures[camera] = reason
            if state == "backoff":
                self._cameras.setdefault(camera, Counter())["reconnects"] += 1

    def frame_dropped(self, camera: str, reason: FrameDrop) -> None:
        """See Observer."""
        with self._lock:
            self._count("frames", self._frames, camera, reason)

    def people(self, frame: Frame, people: Sequence[Tracked], done: float) -> None:
        """See Observer."""
        with self._lock:
            self._count("frames", self._frames, frame.camera, "ok")
            self.samples["people"].append(done - frame.arrived)

    def window_dropped(self, camera: str, reason: WindowDrop) -> None:
        """See Observer."""
        with self._lock:
            self._count("windows", self._windows, camera, reason)

    def batch(self, size: int) -> None:
        """See Observer."""
        with self._lock:
            self._batches[size] += 1

    def result(self, result: Result) -> None:
        """See Observer."""
        with self._lock:
            self._count("windows", self._windows, result.window.camera, "ok")
            self.samples["result"].append(result.done - result.window.arrived)

    def event(self, event: Event) -> None:
        """See Observer."""
        with self._lock:
            self._events[event.type] += 1
            if event.latency_ms is not None:
                self.samples["event"].append(event.latency_ms / 1000)

    def level(self, level: int, name: str) -> None:
        """See Observer."""
        self._beat()
        with self._lock:
            self._level = level

    def _beat(self) -> float:
        """Add the time since the last call to the level that was in force; returns now."""
        now = self._clock()
        with self._lock:
            self._levels[self._level] = self._levels.get(self._level, 0.0) + now - self._since
            self._since = now
        return now

    def report(self, *, clean: bool) -> LiveReport:
        """What was counted so far."""
        now = self._beat()
        with self._lock:
            return LiveReport(
                seconds=now - self._start,
                frames=dict(self._frames),
                windows=dict(self._windows),
                events=dict(self._events),
                by_camera={name: dict(counts) for name, counts in self._cameras.items()},
                delays={
                    name: _delays(samples) for name, samples in self.samples.items() if samples
                },
                batches=dict(sorted(self._batches.items())),
                levels={level: round(s, 3) for level, s in sorted(self._levels.items())},
                failures=dict(self._failures),
                clean=clean,
            )


def _delays(samples: deque[float]) -> dict[str, float]:
    values = 1000 * np.array(samples)
    found = {f"p{share}": float(np.percentile(values, share)) for share in SHOWN}
    return {**found, "max": float(values.max()), "count": len(values)}
