"""When an action has begun and ended.

No clock and no threads: times come in.  Calls come one after the other, from whatever threads; only
`Decider.current` may be called beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from stgcn_deploy.errors import BundleError, UnknownNameError, UsageError
from stgcn_deploy.live.doing import Doing
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.settings import DecideSettings
from stgcn_deploy.live.telling import Moment, Teller, event_ids
from stgcn_deploy.live.windows import Result
from stgcn_deploy.registry import nearest

__all__ = ["Decider", "event_ids"]

# A person without an answer for so many strides, and seconds, is no longer known to do anything.
PATIENCE_STRIDES = 3.0
PATIENCE_SECONDS = 3.0
# Answers to windows of somebody who has left may come so much later (seconds), not more.
LATE = 60.0
# Rounding of float16 networks may leave [0, 1] by so much.
SLACK = 1e-2


@dataclass
class _Camera:
    """What is kept of one camera.

    Attributes:
        cool: (track, class) -> the time before which it does not begin again.
        lost: when it was lost last; answers to windows before it may still come.
    """

    people: dict[int | None, Doing] = field(default_factory=dict)
    cool: dict[tuple[int | None, int], float] = field(default_factory=dict)
    lost: float = -math.inf

    def forget(self, now: float) -> None:
        """Drop those who left so long ago that no answer about them can come."""
        for track, doing in list(self.people.items()):
            if doing.left is not None and now - doing.left > LATE:
                del self.people[track]


class Decider:
    """Turns answers of the network into beginnings and ends of actions.

    An action begins at the newest frame of the window with which its smoothed probability came to `enter`,
    and ends at that of the window with which it fell below `leave`.

    Args:
        activation: "softmax": one action at a time for each person; "sigmoid": classes are independent.
        model: what events say of the network.
        wall: monotonic seconds -> Unix seconds.
        stride: seconds between two windows of a person; may be set at any time.
        ids: of events.
        observer: is told of answers that nothing was made of.

    Raises:
        UsageError: a label to ignore that is none, or an activation that is not known.
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
        self._observer = observer or Observer()
        self._ignored = frozenset(
            index for index, label in enumerate(labels) if label in settings.ignore
        )
        self._teller = Teller(self.labels, settings.top, model, wall, ids or event_ids())
        self._cameras: dict[str, _Camera] = {}

    @property
    def patience(self) -> float:
        """A person without an answer for longer than this does nothing that is known of."""
        return max(PATIENCE_STRIDES * self.stride, PATIENCE_SECONDS)

    def update(self, result: Result, now: float) -> list[Event]:
        """What follows from the answer to a window, ends before starts.

        An answer that is no probabilities is told to the observer as "failed", one that is older than
        another of the same person as "coalesced"; nothing is made of them.

        Raises:
            BundleError: there are more or fewer probabilities than labels.
        """
        window = result.window
        answer = result.probabilities.astype(np.float64)
        if answer.shape != (len(self.labels),):
            raise BundleError(
                f"the network gives {answer.shape} probabilities for {len(self.labels)} labels; export "
                "the bundle again with the labels of its training."
            )
        # NaN compares false.
        if not ((answer >= -SLACK) & (answer <= 1.0 + SLACK)).all():
            self._observer.window_dropped(window.camera, "failed")
            return []
        camera = self._cameras.setdefault(window.camera, _Camera())
        doing = camera.people.setdefault(window.track, Doing())
        if doing.left is not None and window.due > doing.left:
            # The number was given to somebody new.
            doing = camera.people[window.track] = Doing()
        if window.t1 <= doing.t:
            # Calls side by side may answer the newer window first.
            self._observer.window_dropped(window.camera, "coalesced")
            return []
        events: list[Event] = []
        if doing.scores is not None and window.t1 - doing.t > self.patience:
            broken = Moment(window.camera, window.track, doing.t, now, "no answer")
            events += self._end(camera, doing, list(doing.runs), broken)
            doing = camera.people[window.track] = Doing(left=doing.left)
        answer = answer.clip(0.0, 1.0)
        moment = Moment(window.camera, window.track, window.t1, now, "", window, answer)
        doing.take(answer, window.t1, now, self.settings)
        events += self._decide(camera, doing, moment)
        events += self._updates(doing, moment)
        doing.show(self.labels)
        if doing.left is not None or window.due <= camera.lost:
            # An answer about somebody who has left meanwhile: what it began is over.
            reason = "camera lost" if doing.left is None else "gone"
            events += self._end(camera, doing, list(doing.runs), moment.because(reason))
            doing.shown = None
            if doing.left is None:
                del camera.people[window.track]
        return events

    def gone(self, camera: str, track: int | None, t: float, now: float) -> list[Event]:
        """Somebody left the sight of a camera at `t`: what they did is over."""
        kept = self._cameras.setdefault(camera, _Camera())
        doing = kept.people.setdefault(track, Doing())
        moment = Moment(camera, track, max(t, doing.t), now, "gone")
        events = self._end(kept, doing, list(doing.runs), moment)
        doing.left, doing.shown = now, None
        kept.forget(now)
        return events

    def lost(self, camera: str, now: float) -> list[Event]:
        """A camera was lost, or ended: so is all that went on before it."""
        kept = self._cameras.setdefault(camera, _Camera())
        events: list[Event] = []
        for track, doing in kept.people.items():
            moment = Moment(camera, track, doing.t, now, "camera lost")
            events += self._end(kept, doing, list(doing.runs), moment)
        kept.people.clear()
        kept.lost = now
        return events

    def overdue(self, now: float, camera: str | None = None) -> list[Event]:
        """End what nothing was heard of for too long, and forget who did it; call it every second or so.

        Args:
            camera: of this one alone; None: of all.  Not for files, whose clock is not `now`.
        """
        events: list[Event] = []
        for name in list(self._cameras) if camera is None else [camera]:
            kept = self._cameras.get(name, _Camera())
            for track, doing in list(kept.people.items()):
                if doing.left is None and now - doing.seen > self.patience:
                    moment = Moment(name, track, doing.t, now, "no answer")
                    events += self._end(kept, doing, list(doing.runs), moment)
                    del kept.people[track]
            kept.forget(now)
        return events

    def current(self, camera: str, track: int | None) -> tuple[str, float] | None:
        """What somebody does now, and its smoothed probability; None where nothing is clear.

        The best running action, else the best class that is over `enter`, those to ignore included.
        """
        kept = self._cameras.get(camera)
        doing = kept.people.get(track) if kept else None
        return doing.shown if doing else None

    def _decide(self, camera: _Camera, doing: Doing, moment: Moment) -> list[Event]:
        """Ends, then starts."""
        events = self._end(camera, doing, doing.below(self.settings.leave), moment)
        best = doing.best()
        for index in list(doing.over):
            if index in doing.runs or (self._exclusive and index != best):
                continue
            if not self._ripe(camera, doing, index, moment):
                continue
            if self._exclusive:
                events += self._end(camera, doing, list(doing.runs), moment.because("changed"))
            if index not in self._ignored:
                doing.start(index, moment.t)
                events.append(self._teller.tell("action_start", doing, index, moment))
        return events

    def _ripe(self, camera: _Camera, doing: Doing, index: int, moment: Moment) -> bool:
        """Whether a class has been over `enter` for long enough, and has not ended just now."""
        return moment.t - doing.over[
            index
        ] >= self.settings.min_duration and moment.t >= camera.cool.get(
            (moment.track, index), -math.inf
        )

    def _updates(self, doing: Doing, moment: Moment) -> list[Event]:
        """Tell again of what goes on."""
        events = []
        for index, run in doing.runs.items():
            if 0 < self.settings.update <= moment.t - run.told:
                run.told = moment.t
                events.append(self._teller.tell("action_update", doing, index, moment))
        return events

    def _end(
        self, camera: _Camera, doing: Doing, indices: Sequence[int], moment: Moment
    ) -> list[Event]:
        events = []
        for index in indices:
            events.append(self._teller.tell("action_end", doing, index, moment))
            doing.end(index)
            camera.cool[moment.track, index] = moment.t + self.settings.cool_down
        if events:
            # The times of a camera's people are about the same, but answers may come late.
            for key in [key for key, until in camera.cool.items() if until + LATE < moment.t]:
                del camera.cool[key]
        return events
