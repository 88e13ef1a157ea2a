"""How actions are told of: ids, clocks of people, and the fields of an event."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from stgcn_deploy.live.doing import Doing, Scores
from stgcn_deploy.live.events import Event, EventType
from stgcn_deploy.live.windows import Window

__all__ = ["Moment", "Teller", "event_ids"]


def event_ids(prefix: str | None = None) -> Iterator[str]:
    """Ids without end: a prefix, random where none is given, and a number that counts up.

    May be asked by several threads at a time, which a generator may not.
    """
    prefix = secrets.token_hex(6) if prefix is None else prefix
    return map(f"{prefix}-{{:08d}}".format, count(1))


@dataclass(frozen=True)
class Moment:
    """What the events of one call share: where and when it is, why, and the answer that they rest on.

    Attributes:
        t: seconds on the monotonic clock, of the newest frame that counts; now: of the call.
    """

    camera: str
    track: int | None
    t: float
    now: float
    reason: str = ""
    window: Window | None = None
    answer: Scores | None = None

    def because(self, reason: str) -> Moment:
        """The same with a reason."""
        return replace(self, reason=reason)


class Teller:
    """Makes events of actions.

    Args:
        top: classes of the answer that are told.
        wall: monotonic seconds -> Unix seconds.
    """

    def __init__(
        self,
        labels: Sequence[str],
        top: int,
        model: dict[str, str] | None,
        wall: Callable[[float], float],
        ids: Iterator[str],
    ) -> None:
        self._labels = labels
        self._top = top
        self._model = model
        self._wall = wall
        self._ids = ids

    def tell(self, kind: EventType, doing: Doing, index: int, moment: Moment) -> Event:
        """The event of an action that runs."""
        window, score = moment.window, doing.score(index)
        return Event(
            id=next(self._ids),
            type=kind,
            camera=moment.camera,
            t_event=self._wall(moment.t),
            t_emit=self._wall(moment.now),
            track=moment.track,
            label=self._labels[index],
            score=None if score is None else round(score, 5),
            scores=self._best(moment.answer),
            t_start=self._wall(doing.runs[index].start),
            window=self._span(window),
            box=window.box if window else None,
            latency_ms=round(1e3 * (moment.now - window.arrived), 3) if window else None,
            reason=moment.reason,
            model=self._model,
        )

    def _best(self, answer: Scores | None) -> tuple[tuple[str, float], ...]:
        if answer is None:
            return ()
        best = (-answer).argsort(kind="stable")[: self._top].tolist()
        return tuple((self._labels[index], float(answer[index])) for index in best)

    def _span(self, window: Window | None) -> dict[str, float] | None:
        if window is None:
            return None
        return {
            "t0": self._wall(window.t0),
            "t1": self._wall(window.t1),
            "fill": float(window.fill),
            "valid_ratio": float(window.valid_ratio),
        }
