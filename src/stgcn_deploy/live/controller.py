"""The thread that keeps the pipeline up to date with its load: how far to come down, and back up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from stgcn_deploy.live.batcher import Batcher
from stgcn_deploy.live.ladder import Ladder
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.people import People
from stgcn_deploy.live.pose.base import Pose
from stgcn_deploy.live.slots import Intake

__all__ = ["Controller"]

# Seconds between two looks.
BEAT = 0.25


class Controller:
    """Looks at the ages of what waits, and puts the ladder's measures into force.

    Args:
        cameras: the live ones; of recordings nothing is left out.
        limit: sets how many frames a second of a camera are looked at; None: as many as its settings say.
        tick: called at each look, for what has to be looked after by time (cameras that froze).
    """

    def __init__(
        self,
        ladder: Ladder | None,
        *,
        cameras: Mapping[str, People],
        pose: Pose | None,
        limit: Callable[[str, float | None], None],
        intake: Intake,
        batchers: Sequence[Batcher],
        observer: Observer,
        clock: Callable[[], float],
        tick: Callable[[float], None],
    ) -> None:
        self._ladder, self._cameras, self._pose, self._limit = ladder, cameras, pose, limit
        self._intake, self._batchers = intake, batchers
        self._observer, self._clock, self._tick = observer, clock, tick
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def look(self, now: float) -> None:
        """One look."""
        self._tick(now)
        frames = self._intake.oldest_age(now)
        windows = max((batcher.oldest() for batcher in self._batchers), default=0.0)
        self._observer.queue("frames", self._intake.depth())
        self._observer.queue("windows", sum(batcher.depth() for batcher in self._batchers))
        if self._ladder is not None and self._ladder.update(now, max(frames, windows)):
            self._apply(self._ladder)

    def _apply(self, ladder: Ladder) -> None:
        for camera, people in self._cameras.items():
            measures = ladder.measures(camera)
            people.stride = measures.stride
            people.most = measures.persons
            self._limit(camera, measures.rate)
            if self._pose is not None:
                self._pose.detector_every = measures.detector_every
        self._observer.level(ladder.level, ladder.name)

    def _run(self) -> None:
        while not self._stop.wait(BEAT):
            self.look(self._clock())
