"""The latest of everything, for whoever looks: the page, the terminal view, a program.

The pipeline writes, others read whenever they like.  What is kept is bounded: the newest people and
answers of each camera, the last delays, the last events, and an image only while somebody watches.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np

from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Frame, Tracked
from stgcn_deploy.live.observer import CameraState, FrameDrop, Observer, WindowDrop
from stgcn_deploy.live.windows import Result, Window

__all__ = ["Board", "Doing"]

# Label and score of what somebody does; None: nothing that can be told yet.
Doing = tuple[str, float] | None

# Frames a second are those of this time; delays those of this time, or the last so many.
RATE_SECONDS = 3.0
DELAY_SECONDS = 30.0
KEPT = 512
# People and answers older than this are of the past.
FORGET_SECONDS = 3.0
FORGET_RESULT_SECONDS = 10.0
# Frames that nobody is looked for in are shown without people after this time.
BARE_SECONDS = 1.0


def _rate(times: Sequence[float], now: float, since: float) -> float:
    """Entries a second over the last seconds, or over what there is since the beginning."""
    recent = [t for t in times if t > now - RATE_SECONDS]
    if len(recent) == KEPT:  # the oldest of the time were dropped: what is left spans less
        return KEPT / max(now - recent[0], 1e-3)
    # The first frames of a camera make no rate yet.
    return len(recent) / min(RATE_SECONDS, max(now - since, 1.0))


def _spread(delays: Sequence[tuple[float, float]], now: float) -> dict[str, float] | None:
    """Median and 95th percentile in ms of (when, seconds); None where there are none."""
    recent = sorted(seconds for when, seconds in delays if when > now - DELAY_SECONDS)
    if not recent:
        return None
    at = len(recent) - 1
    return {
        "p50": round(1e3 * recent[round(0.5 * at)], 1),
        "p95": round(1e3 * recent[round(0.95 * at)], 1),
    }


def _times() -> deque[float]:
    return deque(maxlen=KEPT)


def _delays() -> deque[tuple[float, float]]:
    return deque(maxlen=KEPT)


@dataclass
class _Camera:
    """What is known of one camera; only touched under the board's lock."""

    since: float
    state: CameraState = "init"
    reason: str = ""
    begun: float | None = None
    frames: deque[float] = field(default_factory=_times)
    looked: deque[float] = field(default_factory=_times)
    to_people: deque[tuple[float, float]] = field(default_factory=_delays)
    to_result: deque[tuple[float, float]] = field(default_factory=_delays)
    drops: Counter[str] = field(default_factory=Counter)
    window_drops: Counter[str] = field(default_factory=Counter)
    size: tuple[int, int] | None = None
    images: bool | None = None
    people: tuple[Tracked, ...] = ()
    people_at: float | None = None
    results: dict[int | None, tuple[str, float, float]] = field(default_factory=dict)
    watchers: int = 0
    picture: tuple[Frame, tuple[Tracked, ...]] | None = None

    def forget(self, now: float) -> None:
        """Drop answers about people who are gone."""
        self.results = {
            track: found
            for track, found in self.results.items()
            if found[2] > now - FORGET_RESULT_SECONDS
        }

    def seen(self, now: float) -> tuple[Tracked, ...]:
        """Who is there, unless that is too long ago."""
        recent = self.people_at is not None and self.people_at > now - FORGET_SECONDS
        return self.people if recent else ()


class Board(Observer):
    """The latest of everything; may be read and written by any thread.

    Attributes:
        current: what a person of a camera does now (camera, track; None: the scene), as whoever decides
            sees it; None: the best class of the newest window is shown instead.
        edges: of the skeleton, joint to joint.
        labels: of the classes.
        upwards: whether y points up, as in metric layouts, and not down as in images.
    """

    def __init__(
        self,
        cameras: Sequence[str],
        *,
        edges: Sequence[tuple[int, int]],
        labels: Sequence[str],
        keep_events: int = 200,
        upwards: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.current: Callable[[str, int | None], Doing] | None = None
        self.edges = tuple((int(a), int(b)) for a, b in edges)
        self.labels = tuple(labels)
        self.upwards = upwards
        self._clock = clock
        self._lock = Lock()
        self._cameras = {name: _Camera(clock()) for name in cameras}
        self._event_drops: Counter[tuple[str, str]] = Counter()
        self._queues: dict[str, int] = {}
        self._level = (0, "")
        self._events: deque[tuple[int, Event]] = deque(maxlen=keep_events)
        self._newest = 0

    @property
    def cameras(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._cameras)

    @property
    def newest_event(self) -> int:
        """The number of the last event; 0: none yet."""
        return self._newest

    # -- written by the pipeline

    def camera(self, camera: str, state: CameraState, reason: str) -> None:
        """See Observer."""
        now = self._clock()
        with self._lock:
            at = self._cameras[camera]
            if at.state != state:
                at.since = now
            at.state, at.reason = state, reason

    def frame(self, frame: Frame) -> None:
        """See Observer."""
        with self._lock:
            at = self._cameras[frame.camera]
            if at.begun is None:
                at.begun = frame.arrived
            at.frames.append(frame.arrived)
            at.size, at.images = frame.size, frame.image is not None
            bare = at.people_at is None or frame.arrived - at.people_at > BARE_SECONDS
            if bare and at.watchers and frame.image is not None:
                at.picture = (frame, ())

    def frame_dropped(self, camera: str, reason: FrameDrop) -> None:
        """See Observer."""
        with self._lock:
            self._cameras[camera].drops[reason] += 1

    def people(self, frame: Frame, people: Sequence[Tracked], done: float) -> None:
        """See Observer."""
        found = tuple(people)
        with self._lock:
            at = self._cameras[frame.camera]
            at.looked.append(done)
            at.to_people.append((done, done - frame.arrived))
            at.people, at.people_at = found, done
            if at.watchers:
                at.picture = (frame, found)

    def window_dropped(self, camera: str, reason: WindowDrop) -> None:
        """See Observer."""
        with self._lock:
            self._cameras[camera].window_drops[reason] += 1

    def result(self, result: Result) -> None:
        """See Observer."""
        best = int(np.argmax(result.probabilities))
        score = float(result.probabilities[best])
        window: Window = result.window
        with self._lock:
            at = self._cameras[window.camera]
            at.forget(result.done)
            at.results[window.track] = (self.labels[best], score, result.done)
            at.to_result.append((result.done, result.done - window.arrived))

    def event(self, event: Event) -> None:
        """See Observer."""
        with self._lock:
            self._newest += 1
            self._events.append((self._newest, event))

    def event_dropped(self, sink: str, reason: str) -> None:
        """See Observer."""
        with self._lock:
            self._event_drops[sink, reason] += 1

    def queue(self, name: str, depth: int) -> None:
        """See Observer."""
        with self._lock:
            self._queues[name] = depth

    def level(self, level: int, name: str) -> None:
        """See Observer."""
        with self._lock:
            self._level = (level, name)

    # -- read by whoever looks

    def doing(self, camera: str, track: int | None) -> Doing:
        """What a person, or (None) a scene, does now."""
        if self.current is not None:
            return self.current(camera, track)
        with self._lock:
            found = self._cameras[camera].results.get(track)
        if found is None or found[2] <= self._clock() - FORGET_RESULT_SECONDS:
            return None
        return found[0], found[1]

    def seen(self, camera: str) -> dict[str, Any]:
        """Who a camera sees, with key points and what they do: plain values."""
        now = self._clock()
        with self._lock:
            at = self._cameras[camera]
            people, size = at.seen(now), at.size
        return {"size": size, "people": [self._person(camera, one) for one in people]}

    def snapshot(self, *, keypoints: bool = True) -> dict[str, Any]:
        """Everything but events and images, as plain values; without key points it is short."""
        now = self._clock()
        with self._lock:
            level, queues = self._level, dict(self._queues)
            events = [
                {"sink": sink, "reason": reason, "count": count}
                for (sink, reason), count in self._event_drops.items()
            ]
        copies = {name: self._copy(at) for name, at in self._cameras.items()}
        frames: Counter[str] = Counter()
        windows: Counter[str] = Counter()
        for at in copies.values():
            frames.update(at.drops)
            windows.update(at.window_drops)
        return {
            "cameras": [self._shown(name, at, now, keypoints) for name, at in copies.items()],
            "level": {"level": level[0], "name": level[1]},
            "drops": {"frames": dict(frames), "windows": dict(windows), "events": events},
            "queues": queues,
            "newest_event": self._newest,
        }

    def _copy(self, at: _Camera) -> _Camera:
        # One camera at a time: the pipeline never waits for all of them.
        with self._lock:
            return replace(
                at,
                frames=at.frames.copy(),
                looked=at.looked.copy(),
                to_people=at.to_people.copy(),
                to_result=at.to_result.copy(),
                drops=at.drops.copy(),
                window_drops=at.window_drops.copy(),
            )

    def _shown(self, name: str, at: _Camera, now: float, keypoints: bool) -> dict[str, Any]:
        begun = now if at.begun is None else at.begun
        scene = self.doing(name, None)
        return {
            "name": name,
            "state": at.state,
            "reason": at.reason,
            "seconds": round(now - at.since, 1),
            "fps": round(_rate(tuple(at.frames), now, begun), 1),
            "looked_fps": round(_rate(tuple(at.looked), now, begun), 1),
            "size": at.size,
            "images": at.images,
            "people": [self._person(name, one, keypoints) for one in at.seen(now)],
            "scene": _action(scene),
            "delay_ms": {
                "people": _spread(at.to_people, now),
                "result": _spread(at.to_result, now),
            },
            "drops": {"frames": dict(at.drops), "windows": dict(at.window_drops)},
        }

    def _person(self, camera: str, one: Tracked, keypoints: bool = True) -> dict[str, Any]:
        found: dict[str, Any] = {"track": one.track, "box": one.detection.box}
        if keypoints:
            found = one.as_dict()
        return {**found, "action": _action(self.doing(camera, one.track))}

    def events_since(self, number: int) -> list[tuple[int, Event]]:
        """Those of the kept events that came after the one of this number, oldest first."""
        with self._lock:
            return [kept for kept in self._events if kept[0] > number]

    @contextmanager
    def watch(self, camera: str) -> Iterator[None]:
        """Inside, the newest image of the camera is kept; when nobody watches any more, none is."""
        with self._lock:
            self._cameras[camera].watchers += 1
        try:
            yield
        finally:
            with self._lock:
                at = self._cameras[camera]
                at.watchers -= 1
                if not at.watchers:
                    at.picture = None

    def picture(self, camera: str) -> tuple[Frame, Sequence[Tracked]] | None:
        """The newest frame of a watched camera and who is in it; None: none since the watch began."""
        with self._lock:
            return self._cameras[camera].picture


def _action(doing: Doing) -> dict[str, Any] | None:
    return None if doing is None else {"label": doing[0], "score": round(doing[1], 4)}
