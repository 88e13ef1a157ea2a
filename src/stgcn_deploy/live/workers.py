"""The threads between the slots and the sinks: people out of frames, actions out of windows."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stgcn_deploy.errors import StgcnError
from stgcn_deploy.live.batcher import Batcher
from stgcn_deploy.live.decide import Decider
from stgcn_deploy.live.engine import Engine
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Detection, Frame
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.people import People
from stgcn_deploy.live.pose.base import Pose
from stgcn_deploy.live.slots import Intake
from stgcn_deploy.live.windows import Result

__all__ = ["ActionWorker", "Decisions", "Failures", "PoseWorker", "Post", "Wiring"]

# A camera whose frames break the pose stage this often, within this many seconds, is given up.
MOST_FAILURES, FAILURE_SECONDS = 5, 60.0


class Post(Protocol):
    """Takes events."""

    def __call__(self, events: Sequence[Event]) -> None:
        """Hand them to all sinks; never blocks."""


class Decisions:
    """The Decider for several threads: people leave on one and are judged on another.

    Events are handed on before the next decision is made, so that sinks have them in their order.
    """

    def __init__(self, decider: Decider, post: Post) -> None:
        self._decider = decider
        self._post = post
        # Whoever is told of an event may ask what somebody does now.
        self._lock = threading.RLock()

    def pace(self, stride: float) -> None:
        """So long it takes from one window of a person to the next now."""
        with self._lock:
            self._decider.stride = stride

    def update(self, result: Result, now: float) -> None:
        """See Decider."""
        with self._lock:
            self._post(self._decider.update(result, now))

    def gone(self, camera: str, track: int | None, t: float, now: float) -> None:
        """See Decider."""
        with self._lock:
            self._post(self._decider.gone(camera, track, t, now))

    def lost(self, camera: str, now: float) -> None:
        """See Decider."""
        with self._lock:
            self._post(self._decider.lost(camera, now))

    def overdue(self, now: float, camera: str) -> None:
        """See Decider."""
        with self._lock:
            self._post(self._decider.overdue(now, camera))

    def current(self, camera: str, track: int | None) -> tuple[str, float] | None:
        """See Decider."""
        with self._lock:
            return self._decider.current(camera, track)


class Failures:
    """How often a camera's frames failed lately."""

    def __init__(self, most: int = MOST_FAILURES, seconds: float = FAILURE_SECONDS) -> None:
        self.most, self.seconds = most, seconds
        self._times: dict[str, deque[float]] = {}

    def add(self, camera: str, now: float) -> bool:
        """Count one; whether that is too many."""
        times = self._times.setdefault(camera, deque())
        times.append(now)
        while now - times[0] > self.seconds:
            times.popleft()
        return len(times) > self.most


@dataclass(frozen=True)
class Wiring:
    """What all pose workers share.

    Attributes:
        pose: None where all sources give key points.
        people, batchers: by camera; several cameras may share a batcher.
        recorded: cameras that are files: their windows wait for their turn.
        give_up: takes a camera and the reason, and ends it.
        clock: monotonic seconds.
    """

    intake: Intake
    pose: Pose | None
    people: Mapping[str, People]
    batchers: Mapping[str, Batcher]
    recorded: frozenset[str]
    decisions: Decisions
    give_up: Callable[[str, str], None]
    observer: Observer
    clock: Callable[[], float]


class PoseWorker(threading.Thread):
    """Frames into people into windows.

    Several run at a time; the intake gives no two of them frames of one camera, so that what belongs to
    a camera (its People, the state of its pose) needs no lock.
    """

    def __init__(self, number: int, wiring: Wiring) -> None:
        super().__init__(name=f"pose-{number}", daemon=True)
        self._w = wiring
        self._observer, self._clock = wiring.observer, wiring.clock
        self._failures = Failures()

    def run(self) -> None:
        """Until the intake is closed."""
        while frames := self._w.intake.take():
            camera = frames[0].camera
            for frame in frames:
                try:
                    self._one(frame)
                except Exception as error:
                    self._failed(camera, error)
            self._w.intake.done(camera)

    def _one(self, frame: Frame) -> None:
        start = self._clock()
        found = self._detect(frame)
        if found is None:
            return
        seen = self._clock()
        if frame.image is not None:
            self._observer.stage("pose", seen - start)
        people = self._w.people[frame.camera]
        tracked, windows = people.update(frame, found, seen)
        done = self._clock()
        self._observer.stage("track", done - seen)
        self._observer.people(frame, tracked, done)
        for track in people.gone():
            self._w.decisions.gone(frame.camera, track, frame.t, done)
        for window in windows:
            self._w.batchers[frame.camera].put(window, wait=frame.camera in self._w.recorded)

    def _detect(self, frame: Frame) -> Sequence[Detection] | None:
        if frame.persons is not None:
            return frame.persons
        if self._w.pose is None:
            return None
        return self._w.pose.detect([frame])[0]

    def _failed(self, camera: str, error: Exception) -> None:
        """A frame that breaks something must not break the camera, nor the others."""
        self._observer.frame_dropped(camera, "failed")
        if self._w.pose is not None:
            self._w.pose.forget(camera)
        if self._failures.add(camera, self._clock()):
            text = str(error) if isinstance(error, StgcnError) else repr(error)
            self._w.give_up(camera, f"its frames fail again and again: {text}")


class ActionWorker(threading.Thread):
    """Windows into events, with a session of its own."""

    def __init__(
        self,
        number: int,
        *,
        batcher: Batcher,
        engine: Engine,
        decisions: Decisions,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(name=f"action-{number}", daemon=True)
        self._batcher, self._engine, self._decisions = batcher, engine, decisions
        self._observer, self._clock = observer, clock

    def close(self) -> None:
        """Release the session, once the thread has ended; a call that hangs keeps it."""
        if not self.is_alive():
            self._engine.close()

    def run(self) -> None:
        """Until the batcher is closed and empty."""
        while windows := self._batcher.take():
            try:
                for result in self._engine.run(windows):
                    self._observer.result(result)
                    self._decisions.update(result, self._clock())
            except Exception:
                # Nothing of ours is known to raise here; whatever does costs these windows, not the run.
                for window in windows:
                    self._observer.window_dropped(window.camera, "failed")
            finally:
                self._batcher.finished()
