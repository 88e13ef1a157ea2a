"""Keeps the pipeline up to date with its load: how far to come down, and back up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from stgcn_deploy.live.batcher import Batcher
from stgcn_deploy.live.ladder import Ladder
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.people import People
from stgcn_deploy.live.pose.base import Pose
from stgcn_deploy.live.slots import Intake
from stgcn_deploy.live.workers import Decisions

__all__ = ["Controller"]

# How much of an earlier look stays: one frame that waited for a garbage collection is no load.
MEMORY = 0.7


class Controller:
    """Looks at the ages of what waits, some times a second, and puts the ladder's measures into force.

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
        decisions: Decisions,
        intake: Intake,
        batchers: Sequence[Batcher],
        observer: Observer,
        tick: Callable[[float], None],
    ) -> None:
        self._ladder, self._cameras, self._pose, self._limit = ladder, cameras, pose, limit
        self._decisions = decisions
        self._intake, self._batchers = intake, batchers
        self._observer, self._tick = observer, tick
        self._age = 0.0

    def look(self, now: float) -> None:
        """One look.  Each of them counts with three before it: one late frame is no load."""
        self._tick(now)
        frames = self._intake.oldest_age(now)
        windows = max((batcher.oldest() for batcher in self._batchers), default=0.0)
        self._observer.queue("frames", self._intake.depth())
        self._observer.queue("windows", sum(batcher.depth() for batcher in self._batchers))
        self._age = MEMORY * self._age + (1 - MEMORY) * max(frames, windows)
        if self._ladder is not None and self._ladder.update(now, self._age):
            self._apply(self._ladder)

    def _apply(self, ladder: Ladder) -> None:
        for camera, people in self._cameras.items():
            measures = ladder.measures(camera)
            people.stride = measures.stride
            people.most = measures.persons
            self._limit(camera, measures.rate)
            if self._pose is not None:
                self._pose.detector_every = measures.detector_every
        strides = [people.stride for people in self._cameras.values()]
        self._decisions.pace(max(strides, default=1.0))
        self._observer.level(ladder.level, ladder.name)
