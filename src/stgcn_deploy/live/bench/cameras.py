"""Simulated cameras: recorded key points or video clips, over and over, by the clock on the wall.

Every frame has a time at which it is due, fixed from the beginning: a camera that is late once is not
late for ever.  How late each one was given is kept, for a simulation that cannot keep up would hide that
the pipeline cannot either.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.recording import Recording
from stgcn_deploy.live.bench.series import Series
from stgcn_deploy.live.frames import Detection, Reading
from stgcn_deploy.live.sources.base import Source, SourceError

__all__ = ["Feed", "KeypointFeed", "SimulatedCamera", "Tick", "Timetable", "VideoFeed"]


@dataclass(frozen=True)
class Tick:
    """A frame that a camera sends.

    Attributes:
        number: of the frame, those that were lost counted too.
        pts: when it was taken, seconds on the camera's clock.
        due: when it arrives, seconds since the camera was opened.
    """

    number: int
    pts: float
    due: float


class Timetable:
    """When frames arrive; the same for the same seed.

    Args:
        jitter: frames are up to so much later, seconds.
        loss: share of frames that are not sent.
        pause_every, pause: see BenchPlan.
    """

    def __init__(
        self,
        fps: float,
        *,
        phase: float = 0.0,
        jitter: float = 0.0,
        loss: float = 0.0,
        pause_every: float | None = None,
        pause: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.fps = fps
        self._phase, self._jitter, self._loss = phase, jitter, loss
        self._pause_every, self._pause = pause_every, pause
        self._random = np.random.default_rng(seed)
        self._next = 0
        self._due = 0.0

    def tick(self) -> Tick:
        """The next frame that is sent."""
        while self._loss and self._random.random() < self._loss:
            self._next += 1
        number = self._next
        self._next += 1
        pts = (number + self._phase) / self.fps
        due = pts + (self._jitter * self._random.random() if self._jitter else 0.0)
        if self._pause_every is not None:
            since = due % self._pause_every
            # The silence lies at the end of each period.
            if since > self._pause_every - self._pause:
                due += self._pause_every - since
        # A frame does not overtake the one before it.
        self._due = max(due, self._due)
        return Tick(number, pts, self._due)


class Feed(Protocol):
    """What is in front of a camera.

    Attributes:
        layout, channels, raw: as of a Source.
    """

    layout: str | None
    channels: str | None
    raw: bool

    def open(self) -> None:
        """Get ready; SourceError where that is not possible."""

    def read(self, number: int) -> Reading | None:
        """Frame `number`; None once it is closed."""

    def close(self) -> None:
        """Release it; any thread may, and more than once."""


class KeypointFeed:
    """A recording forwards, backwards, forwards, ...: nobody jumps, and so nobody is lost.

    Args:
        clip: (M, T, V, C); somebody all zero is not there.
        size: (W, H) that pixels are of.
        start: the frame to begin with.
    """

    def __init__(
        self,
        clip: NDArray[np.float32],
        *,
        layout: str | None,
        channels: str | None,
        raw: bool,
        size: tuple[int, int] | None,
        start: int = 0,
    ) -> None:
        self.layout, self.channels, self.raw = layout, channels, raw
        self._start = start
        frames = clip.shape[1]
        order = chain(range(frames), range(frames - 2, 0, -1))
        made = [_people(clip[:, t]) for t in range(frames)]
        self._readings = [Reading(None, persons=made[t], size=size) for t in order]

    @classmethod
    def of(cls, one: Recording, *, persons: int | None = None, start: int = 0) -> KeypointFeed:
        """What a recording holds, its first so many persons."""
        clip = one.clip[:persons].astype(np.float32)
        scored = "xys" if one.image_size is not None or not one.raw else "xyz"
        channels = {2: "xy", 3: scored}.get(clip.shape[3], "xyzs")
        return cls(
            clip,
            layout=one.layout,
            channels=channels,
            raw=one.is_raw,
            size=one.image_size,
            start=start,
        )

    def open(self) -> None:
        """See Feed."""

    def read(self, number: int) -> Reading:
        """See Feed."""
        return self._readings[(self._start + number) % len(self._readings)]

    def close(self) -> None:
        """See Feed."""


def _people(frame: NDArray[np.float32]) -> tuple[Detection, ...]:
    """Who is in one frame (M, V, C)."""
    return tuple(Detection(np.ascontiguousarray(one)) for one in frame if one.any())


class VideoFeed:
    """Frames of a file, decoded one after the other; at its end from the beginning.

    Args:
        make: gives the file anew, as a source that waits for nothing.
    """

    def __init__(self, make: Callable[[], Source]) -> None:
        self.layout: str | None = None
        self.channels: str | None = None
        self.raw = True
        self._make = make
        self._closed = False
        self._source: Source | None = None

    def open(self) -> None:
        """See Feed."""
        self._closed = False
        self._source = self._make()
        self._source.open()

    def read(self, number: int) -> Reading | None:
        """See Feed; frames come in their order, whatever the number."""
        del number
        for _ in range(2):
            source = self._source
            if source is None or self._closed:
                return None
            reading = source.read()
            if reading is not None or self._closed:
                return reading
            source.close()
            self.open()
        raise SourceError("the clip holds no frames.", "unreadable", lasting=True)

    def close(self) -> None:
        """See Feed."""
        self._closed = True
        if self._source is not None:
            self._source.close()


class SimulatedCamera:
    """A Source that gives a feed's frames when they are due.

    Args:
        lateness: takes by how much later each frame was given, ms, with the time at which it was due.
    """

    live = True

    def __init__(
        self,
        name: str,
        feed: Feed,
        timetable: Timetable,
        lateness: Series,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.fps: float | None = timetable.fps
        self.layout, self.channels, self.raw = feed.layout, feed.channels, feed.raw
        self._feed, self._timetable, self._lateness = feed, timetable, lateness
        self._clock = clock
        self._closed = threading.Event()
        self._start = 0.0

    def open(self) -> None:
        """See Source."""
        self._feed.open()
        self._start = self._clock()

    def read(self) -> Reading | None:
        """See Source."""
        tick = self._timetable.tick()
        reading = self._feed.read(tick.number)
        due = self._start + tick.due
        if reading is None or self._closed.wait(max(0.0, due - self._clock())):
            return None
        self._lateness.add(due, 1e3 * max(0.0, self._clock() - due))
        return replace(reading, pts=tick.pts)

    def close(self) -> None:
        """See Source."""
        self._closed.set()
        self._feed.close()
