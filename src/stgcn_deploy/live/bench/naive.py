"""The contender: how such pipelines are usually put together, with everything else as ours.

    cameras -> one queue without a limit -> a loop: pose, frames appended by count, the network

Each frame waits for its turn; once T frames of a person (or the share of them that we ask for too) are
there, every so many frames the network is run for that person alone.  It is given what the pipeline has:
the same cameras, pose estimator, tracker, preparation, sessions with the same options, thresholds, and
as many loops as the pipeline has threads for poses, each with a queue, its share of the cameras, and a
session of its own.  What differs is the policy alone: nothing is ever left out, and windows are frames
by count.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.live.decide import Decider
from stgcn_deploy.live.engine import Engine
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Frame, Tracked
from stgcn_deploy.live.introductions import Introductions
from stgcn_deploy.live.observer import Observer, Observers
from stgcn_deploy.live.people import WindowShape
from stgcn_deploy.live.pipeline import window_shape
from stgcn_deploy.live.pose.base import Pose
from stgcn_deploy.live.settings import CameraSettings, LiveSettings
from stgcn_deploy.live.sources.base import Source, SourceError
from stgcn_deploy.live.track import Track, Tracker
from stgcn_deploy.live.windows import Window
from stgcn_deploy.live.workers import Decisions
from stgcn_deploy.runtime import load

__all__ = ["Appended", "Naive"]


@dataclass
class _Person:
    frames: deque[NDArray[np.float32]]
    since: int = 0
    times: deque[float] = field(default_factory=deque)


class Appended:
    """People of one camera with their last T frames, by count; no clock, no thread.

    Args:
        every: frames of a person between two windows.
        least: frames of a person before the first window.
    """

    def __init__(self, tracker: Tracker, frames: int, every: int, least: int) -> None:
        self._tracker = tracker
        self._frames, self._every, self._least = frames, every, least
        self._people: dict[Track, _Person] = {}

    def update(
        self, frame: Frame, sights: Sequence[tuple[Track, NDArray[np.float32]]], now: float
    ) -> list[Window]:
        """The windows that are due with a frame's people."""
        for track in self._tracker.ended():
            self._people.pop(track, None)
        windows = []
        for track, keypoints in sights:
            person = self._people.get(track)
            if person is None:
                person = self._people[track] = _Person(deque(maxlen=self._frames))
                person.times = deque(maxlen=self._frames)
            person.frames.append(keypoints)
            person.times.append(frame.t)
            person.since += 1
            due = len(person.frames) >= self._least and person.since >= self._every
            if due and track.number is not None:
                person.since = 0
                windows.append(self._window(frame, track.number, person, now))
        return windows

    def _window(self, frame: Frame, number: int, person: _Person, now: float) -> Window:
        clip = np.stack(person.frames)[None]
        return Window(
            camera=frame.camera,
            track=number,
            tracks=(number,),
            clip=clip,
            fill=clip.shape[1] / self._frames,
            valid_ratio=1.0,
            t0=person.times[0],
            t1=frame.t,
            arrived=frame.arrived,
            due=now,
            size=frame.size,
        )


class _Loop(threading.Thread):
    """One queue and what is done with its frames, one after the other."""

    def __init__(
        self,
        number: int,
        *,
        shape: WindowShape,
        settings: LiveSettings,
        engine: Engine,
        pose: Pose | None,
        decisions: Decisions,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(name=f"loop-{number}", daemon=True)
        self.queue: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self.ended = threading.Event()
        self._shape, self._settings = shape, settings
        self._engine, self._pose, self._decisions = engine, pose, decisions
        self._observer, self._clock = observer, clock
        self._cameras: dict[str, tuple[Tracker, Appended]] = {}

    def run(self) -> None:
        """Until None comes, or it is told to end."""
        while not self.ended.is_set() and (frame := self.queue.get()) is not None:
            self._observer.queue("frames", self.queue.qsize())
            self._one(frame)
        self._engine.close()

    def _one(self, frame: Frame) -> None:
        found = frame.persons
        if found is None:
            assert self._pose is not None
            found = self._pose.detect([frame])[0]
        tracker, appended = self._camera(frame.camera)
        sights = tracker.update(frame.t, [one for one in found if one.keypoints.any()])
        people = [Tracked(track.number, one) for track, one in sights if track.number is not None]
        done = self._clock()
        self._observer.people(frame, people, done)
        named = [(track, one.keypoints) for track, one in sights]
        for window in appended.update(frame, named, done):
            self._observer.window(window)
            for result in self._engine.run([window]):
                self._observer.result(result)
                self._decisions.update(result, self._clock())

    def _camera(self, name: str) -> tuple[Tracker, Appended]:
        if name not in self._cameras:
            asked, shape = self._settings.windows, self._shape
            tracker = Tracker(self._settings.track)
            every = max(1, round(asked.stride * shape.fps))
            least = max(1, round(asked.min_fill * shape.frames))
            self._cameras[name] = tracker, Appended(tracker, shape.frames, every, least)
        return self._cameras[name]


class Naive:
    """The whole of it: start, wait, stop as Live has them.

    Args:
        make: gives the source of a camera.
        loops: how many there are.
    """

    def __init__(
        self,
        settings: LiveSettings,
        *,
        make: Callable[[CameraSettings], Source],
        loops: int,
        pose: Pose | None = None,
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        bundle = Bundle(settings.bundle)
        manifest = bundle.manifest
        self._sources = {camera.name: make(camera) for camera in settings.cameras}
        self._pose, self._clock = pose, clock
        observer = Observers(list(observers))
        self._introductions = Introductions(manifest, pose)

        def post(events: Sequence[Event]) -> None:
            for event in events:
                observer.event(event)

        decisions = Decisions(
            Decider(
                bundle.labels, settings.decide, activation=manifest.activation, wall=lambda t: t
            ),
            post,
        )
        self._loops = [
            _Loop(
                number,
                shape=window_shape(settings.bundle, manifest, settings),
                settings=settings,
                engine=Engine(
                    load(
                        settings.bundle,
                        backend=settings.backend or manifest.precision.target or "onnxruntime",
                        threads=settings.threads,
                    ),
                    self._introductions.recording,
                    observer,
                    clock,
                ),
                pose=pose,
                decisions=decisions,
                observer=observer,
                clock=clock,
            )
            for number in range(loops)
        ]
        self._failed: dict[str, str] = {}
        self._stopping = threading.Event()
        self._readers = [
            threading.Thread(
                target=self._read,
                args=(name, source, self._loops[place % loops]),
                name=f"capture-{name}",
                daemon=True,
            )
            for place, (name, source) in enumerate(self._sources.items())
        ]

    def _read(self, name: str, source: Source, loop: _Loop) -> None:
        zero = None
        try:
            source.open()
            self._introductions.introduce(name, source)
            while (reading := source.read()) is not None and not self._stopping.is_set():
                now = self._clock()
                pts = now if reading.pts is None else reading.pts
                zero = now - pts if zero is None else zero
                loop.queue.put(
                    Frame(
                        name, pts + zero, now, reading.image, reading.persons, reading.size,
                        reading.corrupt,
                    )
                )  # fmt: skip
        except SourceError as error:
            self._failed[name] = str(error)

    def start(self) -> None:
        """Start all threads."""
        for thread in [*self._loops, *self._readers]:
            thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it was stopped within `timeout` seconds."""
        return self._stopping.wait(timeout)

    def stop(self) -> bool:
        """Stop; what waits is dropped."""
        self._stopping.set()
        for source in self._sources.values():
            source.close()
        for loop in self._loops:
            loop.ended.set()
            loop.queue.put(None)
        for thread in [*self._readers, *self._loops]:
            thread.join(timeout=5.0)
        if self._pose is not None:
            self._pose.close()
        return not any(thread.is_alive() for thread in [*self._readers, *self._loops])

    def failures(self) -> dict[str, str]:
        """Cameras that broke: nobody opens them again."""
        return dict(self._failed)
