"""When an action has begun and ended: smoothing, thresholds, and the events that come of them.

No clock and no threads: times come in.  Calls come one after the other, from whatever threads; only
`Decider.current` may be called beside them.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import BundleError, UnknownNameError, UsageError
from stgcn_deploy.live.events import Event, EventType
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.settings import DecideSettings
from stgcn_deploy.live.windows import Result, Window
from stgcn_deploy.registry import nearest

__all__ = ["Decider", "event_ids"]

# A person without an answer for so many strides, and seconds, is no longer known to do anything.
PATIENCE_STRIDES = 3.0
PATIENCE_SECONDS = 3.0
# Answers to windows of somebody who has left may come so much later (seconds), not more.
LATE = 60.0
# Rounding of float16 networks may leave [0, 1] by so much.
SLACK = 1e-2

Scores = NDArray[np.float64]


def event_ids(prefix: str | None = None) -> Iterator[str]:
    """Ids without end: a prefix, random where none is given, and a number that counts up."""
    prefix = secrets.token_hex(6) if prefix is None else prefix
    number = 0
    while True:
        number += 1
        yield f"{prefix}-{number:08d}"


@dataclass
class _Run:
    """An action that goes on."""

    start: float
    told: float


@dataclass
class _Person:
    """What is kept of one person (or of a scene).

    Attributes:
        scores: smoothed; None before the first answer and after a break.
        t: of the newest frame of the last answer; seen: when it came in.
        over: class -> since when it is over `enter`.
        left: when it was known that they had left; answers to windows before it may still come.
    """

    scores: Scores | None = None
    t: float = -math.inf
    seen: float = -math.inf
    over: dict[int, float] = field(default_factory=dict)
    runs: dict[int, _Run] = field(default_factory=dict)
    left: float | None = None
    shown: tuple[str, float] | None = None


@dataclass
class _Camera:
    """What is kept of one camera; cool: (track, class) -> the time until which it does not begin again."""

    persons: dict[int | None, _Person] = field(default_factory=dict)
    cool: dict[tuple[int | None, int], float] = field(default_factory=dict)
    lost: float = -math.inf


@dataclass(frozen=True)
class _Moment:
    """What events of one call share: where, when, and what they rest on."""

    camera: str
    track: int | None
    t: float
    now: float
    reason: str = ""
    window: Window | None = None
    probabilities: Scores | None = None


class Decider:
    """Turns answers of the network into beginnings and ends of actions.

    An action begins at the newest frame of the window with which its smoothed probability came to `enter`,
    and ends at that of the window with which it fell below `leave`.

    Args:
        activation: "softmax": one action at a time for each person; "sigmoid": classes are independent.
        model: what events say of the network.
        wall: monotonic seconds -> Unix seconds.
        stride: seconds between two windows of a person; may be set at any time (`stride`).
        ids: of events.
        observer: is told of answers that nothing was made of.

    Raises:
        UsageError: thresholds that contradict each other, or a label to ignore that is none.
    """

    def __init__(
        self,
        labels: Sequence[str],
        settings: DecideSettings,
        *,
        activation: str = "softmax",
        model: dict[str, str] | None = None,
        wall: Callable[[float], float],
        stride: float = 1.0,
        ids: Iterator[str] | None = None,
        observer: Observer | None = None,
    ) -> None:
        if settings.leave > settings.enter:
            raise UsageError(
                f"decide: leave is {settings.leave:g}, above enter, {settings.enter:g}; an action "
                "would end as it begins. Choose leave at most as high as enter."
            )
        if activation not in ("softmax", "sigmoid"):
            raise UsageError(f"activation is {activation!r}, expected softmax or sigmoid.")
        for label in settings.ignore:
            if label not in labels:
                raise UnknownNameError(
                    f"decide: ignore names {label!r}, which is no class of the bundle"
                    f"{nearest(label, labels)}"
                )
        self.labels = tuple(labels)
        self.settings = settings
        self.stride = stride
        self._exclusive = activation == "softmax"
        self._model = model
        self._wall = wall
        self._ids = event_ids() if ids is None else ids
        self._observer = Observer() if observer is None else observer
        self._ignored = frozenset(
            index for index, label in enumerate(labels) if label in settings.ignore
        )
        self._cameras: dict[str, _Camera] = {}

    @property
    def patience(self) -> float:
        """A person without an answer for longer than this does nothing that is known of."""
        return max(PATIENCE_STRIDES * self.stride, PATIENCE_SECONDS)

    def update(self, result: Result, now: float) -> list[Event]:
        """What follows from the answer to a window, ends before starts.

        Raises:
            BundleError: there are more or fewer probabilities than labels.
        """
        window = result.window
        probabilities = result.probabilities.astype(np.float64)
        if probabilities.shape != (len(self.labels),):
            raise BundleError(
                f"the network gives {probabilities.shape} probabilities for {len(self.labels)} labels; "
                "export the bundle again with the labels of its training."
            )
        # NaN compares false.
        if not ((probabilities >= -SLACK) & (probabilities <= 1.0 + SLACK)).all():
            self._observer.window_dropped(window.camera, "failed")
            return []
        camera = self._cameras.setdefault(window.camera, _Camera())
        person = camera.persons.setdefault(window.track, _Person())
        events: list[Event] = []
        if person.left is not None and window.due > person.left:
            person = camera.persons[window.track] = _Person()
        if window.t1 <= person.t:
            # Calls side by side may answer the newer window first.
            self._observer.window_dropped(window.camera, "coalesced")
            return []
        if person.scores is not None and window.t1 - person.t > self.patience:
            broken = _Moment(window.camera, window.track, person.t, now, "no answer")
            events += self._end_all(camera, person, broken)
            person = camera.persons[window.track] = _Person()
        moment = _Moment(
            window.camera, window.track, window.t1, now, "", window, probabilities.clip(0.0, 1.0)
        )
        self._smooth(person, moment)
        decide = self._exclusively if self._exclusive else self._independently
        events += decide(camera, person, moment)
        events += self._updates(person, moment)
        self._show(person)
        if person.left is not None or window.due <= camera.lost:
            # An answer about somebody who has left meanwhile: what it began is over.
            reason = "gone" if person.left is not None else "camera lost"
            after = _Moment(window.camera, window.track, window.t1, now, reason)
            events += self._end_all(camera, person, after)
            if person.left is None:
                del camera.persons[window.track]
        return events

    def gone(self, camera: str, track: int | None, t: float, now: float) -> list[Event]:
        """Somebody left the sight of a camera at `t`: what they did is over."""
        kept = self._cameras.setdefault(camera, _Camera())
        person = kept.persons.setdefault(track, _Person())
        events = self._end_all(kept, person, _Moment(camera, track, max(t, person.t), now, "gone"))
        person.left = now
        self._forget(kept, now)
        return events

    def lost(self, camera: str, now: float) -> list[Event]:
        """A camera was lost, or ended: so is all that went on before it."""
        kept = self._cameras.get(camera)
        if kept is None:
            return []
        events: list[Event] = []
        for track, person in kept.persons.items():
            events += self._end_all(
                kept, person, _Moment(camera, track, person.t, now, "camera lost")
            )
        kept.persons.clear()
        kept.lost = now
        return events

    def overdue(self, now: float, camera: str | None = None) -> list[Event]:
        """End what nothing was heard of for too long, and forget who did it; call it every second or so.

        Args:
            camera: of this one alone; None: of all.  Not for files, whose clock is not `now`.
        """
        events: list[Event] = []
        for name in [camera] if camera is not None else list(self._cameras):
            kept = self._cameras.get(name, _Camera())
            for track, person in list(kept.persons.items()):
                if person.left is None and now - person.seen > self.patience:
                    moment = _Moment(name, track, person.t, now, "no answer")
                    events += self._end_all(kept, person, moment)
                    del kept.persons[track]
            self._forget(kept, now)
        return events

    def current(self, camera: str, track: int | None) -> tuple[str, float] | None:
        """What somebody does now, and its smoothed probability; None where nothing is clear.

        The running action, or the best class that is over `enter`, those to ignore included.
        """
        kept = self._cameras.get(camera)
        person = kept.persons.get(track) if kept else None
        return person.shown if person else None

    def _forget(self, camera: _Camera, now: float) -> None:
        """Drop those who left so long ago that no answer about them can come."""
        for track in [
            track
            for track, person in camera.persons.items()
            if person.left is not None and now - person.left > LATE
        ]:
            del camera.persons[track]

    def _smooth(self, person: _Person, moment: _Moment) -> None:
        """Take in an answer; an older one keeps exp(-dt / smoothing) of its weight."""
        assert moment.probabilities is not None
        smoothing = self.settings.smoothing
        if person.scores is None or smoothing == 0:
            person.scores = moment.probabilities
        else:
            weight = math.exp(-(moment.t - person.t) / smoothing)
            person.scores = weight * person.scores + (1.0 - weight) * moment.probabilities
        person.t, person.seen = moment.t, moment.now
        over = np.flatnonzero(person.scores >= self.settings.enter).tolist()
        person.over = {index: person.over.get(index, moment.t) for index in over}

    def _exclusively(self, camera: _Camera, person: _Person, moment: _Moment) -> list[Event]:
        """At most one action at a time: the best class that is over `enter`."""
        assert person.scores is not None
        events = self._faded(camera, person, moment)
        best = int(person.scores.argmax())
        if best in person.runs or not self._ripe(camera, person, best, moment):
            return events
        changed = _Moment(
            moment.camera, moment.track, moment.t, moment.now, "changed",
            moment.window, moment.probabilities,
        )  # fmt: skip
        events += self._end_all(camera, person, changed)
        if best not in self._ignored:
            events.append(self._start(person, best, moment))
        return events

    def _independently(self, camera: _Camera, person: _Person, moment: _Moment) -> list[Event]:
        """Each class by itself."""
        events = self._faded(camera, person, moment)
        for index in person.over:
            if (
                index not in person.runs
                and index not in self._ignored
                and self._ripe(camera, person, index, moment)
            ):
                events.append(self._start(person, index, moment))
        return events

    def _ripe(self, camera: _Camera, person: _Person, index: int, moment: _Moment) -> bool:
        """Whether a class has been over `enter` for long enough, and has not ended just now."""
        since = person.over.get(index)
        if since is None or moment.t - since < self.settings.min_duration:
            return False
        return moment.t >= camera.cool.get((moment.track, index), -math.inf)

    def _faded(self, camera: _Camera, person: _Person, moment: _Moment) -> list[Event]:
        """End what fell below `leave`."""
        assert person.scores is not None
        low = [index for index in person.runs if person.scores[index] < self.settings.leave]
        return [self._end(camera, person, index, moment) for index in low]

    def _start(self, person: _Person, index: int, moment: _Moment) -> Event:
        person.runs[index] = _Run(person.over[index], moment.t)
        return self._event("action_start", person, index, moment)

    def _updates(self, person: _Person, moment: _Moment) -> list[Event]:
        """Tell again of what goes on."""
        events = []
        for index, run in person.runs.items():
            if 0 < self.settings.update <= moment.t - run.told:
                run.told = moment.t
                events.append(self._event("action_update", person, index, moment))
        return events

    def _end(self, camera: _Camera, person: _Person, index: int, moment: _Moment) -> Event:
        event = self._event("action_end", person, index, moment)
        del person.runs[index]
        # Were it over `enter` still, it would have to be so anew before it begins again.
        person.over.pop(index, None)
        # The times of one camera's people are about the same, but answers may come late.
        for key in [key for key, until in camera.cool.items() if until + LATE < moment.t]:
            del camera.cool[key]
        camera.cool[moment.track, index] = moment.t + self.settings.cool_down
        return event

    def _end_all(self, camera: _Camera, person: _Person, moment: _Moment) -> list[Event]:
        events = [self._end(camera, person, index, moment) for index in list(person.runs)]
        person.shown = None
        return events

    def _show(self, person: _Person) -> None:
        """Put into one value what `current` reads beside us."""
        assert person.scores is not None
        shown = [(float(person.scores[index]), index) for index in person.runs or person.over]
        score, best = max(shown, default=(0.0, None))
        person.shown = None if best is None else (self.labels[best], score)

    def _event(self, kind: EventType, person: _Person, index: int, moment: _Moment) -> Event:
        window, shares = moment.window, moment.probabilities
        order = () if shares is None else np.argsort(-shares, kind="stable").tolist()
        return Event(
            id=next(self._ids),
            type=kind,
            camera=moment.camera,
            t_event=self._wall(moment.t),
            t_emit=self._wall(moment.now),
            track=moment.track,
            label=self.labels[index],
            score=None if person.scores is None else round(float(person.scores[index]), 5),
            scores=tuple(
                (self.labels[one], float(shares[one]))
                for one in order[: self.settings.top]
                if shares is not None
            ),
            t_start=self._wall(person.runs[index].start),
            window=self._span(window) if window else None,
            box=window.box if window else None,
            latency_ms=round(1e3 * (moment.now - window.arrived), 3) if window else None,
            reason=moment.reason,
            model=self._model,
        )

    def _span(self, window: Window) -> dict[str, float]:
        return {
            "t0": self._wall(window.t0),
            "t1": self._wall(window.t1),
            "fill": float(window.fill),
            "valid_ratio": float(window.valid_ratio),
        }
