"""How long after an action began its event comes, apart from how long computing takes.

A window is seconds long, and most of it still shows what was before: that, the stride and the smoothing
make the delay.  It is measured on synthetic sequences whose onsets are known, through the pipeline's own
people, windows, network and decisions, in simulated time: computing takes none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.data.synthetic.clips import ClipSettings, actions_of, sample_rng
from stgcn_deploy.data.synthetic.sequences import (
    ActionSequence,
    Segment,
    generate_sequence,
    random_script,
)
from stgcn_deploy.errors import CheckFailedError, UsageError
from stgcn_deploy.live.bench.cameras import KeypointFeed
from stgcn_deploy.live.bench.material import as_taken
from stgcn_deploy.live.bench.outcome import share
from stgcn_deploy.live.decide import Decider
from stgcn_deploy.live.engine import Engine, Scorer
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Frame
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.people import People, WindowShape
from stgcn_deploy.live.pipeline import window_shape
from stgcn_deploy.live.settings import (
    CameraSettings,
    DecideSettings,
    LiveSettings,
    TrackSettings,
    WindowSettings,
)
from stgcn_deploy.live.windows import Result, Window
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.runtime import load

__all__ = [
    "DelayPlan",
    "Delays",
    "DelayReport",
    "Told",
    "decided",
    "detection_delay",
    "judge",
    "simulate",
]

STRIDES = (0.5, 1.0, 2.0)
SMOOTHINGS = (0.0, 0.5, 1.0, 2.0)
# Sequences of the generator change every 3 to 7 seconds, and a window is often 6 s long: actions that
# last so many times longer can be recognised before they are over.
STRETCH = 2.0
MOST_SECONDS = 3600.0
CAMERA = "simulated"


@dataclass(frozen=True)
class DelayPlan:
    """What is tried, and on what.

    Attributes:
        sequences, seconds: how many synthetic sequences of one person, and how long each is.
        fps: frames a second of the sequences.
    """

    strides: tuple[float, ...] = STRIDES
    smoothings: tuple[float, ...] = SMOOTHINGS
    sequences: int = 20
    seconds: float = 60.0
    fps: float = 25.0
    seed: int = 7

    def __post_init__(self) -> None:
        if self.sequences < 1 or not 0 < self.seconds <= MOST_SECONDS:
            raise UsageError(
                f"{self.sequences} sequences of {self.seconds:g} s; give at least one, of at most "
                f"{MOST_SECONDS:g} s."
            )


@dataclass(frozen=True)
class Told:
    """A beginning or an end that was told.

    Attributes:
        t: seconds from the beginning of the sequence.
    """

    t: float
    label: str
    start: bool


@dataclass(frozen=True)
class Delays:
    """What came of all sequences with one stride and one smoothing.

    Attributes:
        delays: seconds from the onset of an action to its event, of those found in time.
        late: actions whose event came only after their end, while the window still showed them.
        missed: actions that no event came of, the late ones not counted.
        going_on: actions whose label was in force when they began, from an earlier one.
        false_starts: events that no action belongs to.
        minutes: of all sequences together.
    """

    stride: float
    smoothing: float
    delays: tuple[float, ...] = field(repr=False)
    late: int
    missed: int
    going_on: int
    false_starts: int
    minutes: float

    @property
    def actions(self) -> int:
        """How many there were, but for those whose label went on."""
        return len(self.delays) + self.late + self.missed

    def percentile(self, q: float) -> float:
        """Of the delays, seconds; NaN where nothing was found."""
        return float(np.percentile(self.delays, q)) if self.delays else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "stride": self.stride,
            "smoothing": self.smoothing,
            "actions": self.actions,
            "median_s": self.percentile(50),
            "p90_s": self.percentile(90),
            "missed_share": share(self.missed, self.actions),
            "late_share": share(self.late, self.actions),
            "false_starts_per_minute": share(self.false_starts, self.minutes),
            "going_on": self.going_on,
            "minutes": self.minutes,
            "delays_s": [round(delay, 3) for delay in self.delays],
        }


@dataclass(frozen=True)
class DelayReport:
    """All strides and smoothings.

    Attributes:
        window: seconds that the network looks at.
    """

    rows: tuple[Delays, ...]
    window: float
    actions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "window_s": self.window,
            "actions": list(self.actions),
            "rows": [row.as_dict() for row in self.rows],
        }


def judge(
    segments: Sequence[Segment], told: Sequence[Told], window: float
) -> tuple[list[float], int, int, int, int]:
    """What came of one sequence.

    The first action does not count: everything begins with it.  An event belongs to the action of its
    label that began last, if it comes no later than `window` seconds after its end, for so long windows
    show it; one before the onset was a guess, and is a false start.

    Returns:
        delays in seconds, then how many actions were told late, missed, and going on when they began;
        and how many events belong to none.
    """
    delays: list[float] = []
    late = missed = going_on = 0
    left = [one for one in told if one.start]
    running = _spans(told)
    for place, segment in enumerate(segments):
        until = segment.end + window
        since = segment.onset if place else segment.start
        again = next((s.onset for s in segments[place + 1 :] if s.action == segment.action), None)
        if again is not None:
            until = min(until, again)
        mine = [one for one in left if one.label == segment.action and since <= one.t < until]
        left = [one for one in left if one not in mine]
        if place == 0:
            continue
        if any(a < segment.onset < b for label, a, b in running if label == segment.action):
            going_on += 1
        elif not mine:
            missed += 1
        elif mine[0].t >= segment.end:
            late += 1
        else:
            delays.append(mine[0].t - segment.onset)
    return delays, late, missed, going_on, len(left)


def _spans(told: Sequence[Told]) -> list[tuple[str, float, float]]:
    """(label, from, to) of what was said to go on."""
    found, since = [], {}
    for one in told:
        if one.start:
            since[one.label] = one.t
        elif one.label in since:
            found.append((one.label, since.pop(one.label), one.t))
    return [*found, *((label, t, float("inf")) for label, t in since.items())]


def simulate(
    sequence: ActionSequence, shape: WindowShape, stride: float, engine: Engine
) -> list[Result]:
    """What the network says along a sequence, in simulated time."""
    one = sequence.recording
    assert one.fps is not None
    feed = KeypointFeed.of(one)
    people = People(CAMERA, shape, WindowSettings(stride=stride), TrackSettings(), Observer())
    found = []
    for number in range(one.clip.shape[1]):
        t = number / one.fps
        reading = feed.read(number)
        frame = Frame(CAMERA, t, t, persons=reading.persons, size=reading.size)
        _, windows = people.update(frame, reading.persons or (), t)
        # In simulated time an answer is there at once.
        found += [Result(r.window, r.probabilities, t) for r in engine.run(windows)]
    return found


def decided(results: Sequence[Result], decider: Decider, end: float) -> list[Told]:
    """The beginnings and ends that follow from answers, in their order."""
    events: list[Event] = []
    for result in results:
        events += decider.update(result, result.done)
    events += decider.lost(CAMERA, end)
    kinds = {"action_start": True, "action_end": False}
    return [Told(one.t_event, one.label, kinds[one.type]) for one in events if one.type in kinds]


def detection_delay(
    bundle: str,
    plan: DelayPlan | None = None,
    *,
    model_fps: float | None = None,
    backend: str | None = None,
    threads: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
    model: Scorer | None = None,
) -> DelayReport:
    """Measure it.

    Args:
        model: instead of the bundle's network.

    Raises:
        UsageError: the bundle's layout or labels are nothing that can be made synthetically.
    """
    plan = plan or DelayPlan()
    opened = Bundle(Path(bundle))
    manifest, labels = opened.manifest, opened.labels
    settings = LiveSettings(
        bundle=bundle,
        cameras=(CameraSettings(name=CAMERA, source=CAMERA),),
        windows=WindowSettings(fps=model_fps),
    )
    shape = window_shape(bundle, manifest, settings)
    actions = _actions(bundle, manifest.layout.name, labels)
    made = _sequences(manifest, actions, plan)
    home = backend or manifest.precision.target or "onnxruntime"
    scorer = load(bundle, backend=home, threads=threads) if model is None else model
    engine = Engine(scorer, _recording_of(manifest), Observer(), lambda: 0.0)
    window = shape.frames / shape.fps
    rows = []
    try:
        for stride in plan.strides:
            answers = []
            for number, one in enumerate(made):
                progress(
                    f"detection delay, stride {stride:g} s, sequence {number + 1} of {len(made)}"
                )
                answers.append(simulate(one, shape, stride, engine))
            if not any(answers):
                raise CheckFailedError(
                    f"the network of {bundle} answered no window of the sequences, so nothing was "
                    "measured; `stgcn predict` on a synthetic recording says why."
                )
            rows += [
                _row(made, answers, labels, manifest.activation, stride, smoothing, window)
                for smoothing in plan.smoothings
            ]
    finally:
        engine.close()
    return DelayReport(tuple(rows), window, actions)


def _actions(bundle: str, layout: str | None, labels: Sequence[str]) -> tuple[str, ...]:
    known = () if layout is None else actions_of(layout)
    found = tuple(action for action in known if action in labels)
    if len(found) < 2:
        raise UsageError(
            f"detection delay needs sequences with known onsets, and of the labels of {bundle} "
            f"{len(found)} can be made synthetically (at least 2 are needed; known: "
            f"{', '.join(known) or 'none in its layout'}). Measure it with the demo network."
        )
    return found


def _sequences(manifest: Manifest, actions: Sequence[str], plan: DelayPlan) -> list[ActionSequence]:
    made = []
    settings = ClipSettings(layout=manifest.layout.name or "", fps=plan.fps)
    for index in range(plan.sequences):
        script = random_script(plan.seconds / STRETCH, actions, sample_rng(plan.seed, index, 1))
        longer = [(action, STRETCH * length) for action, length in script]
        one = generate_sequence(
            longer, seed=plan.seed, actions=actions, settings=settings, index=index
        )
        made.append(replace(one, recording=as_taken(one.recording, manifest)))
    return made


def _recording_of(manifest: Manifest) -> Callable[[Window], Recording]:
    def recording(window: Window) -> Recording:
        return Recording(window.clip, manifest.layout.name, window.size, raw=bool(manifest.steps))

    return recording


def _row(
    made: Sequence[ActionSequence],
    answers: Sequence[Sequence[Result]],
    labels: Sequence[str],
    activation: str,
    stride: float,
    smoothing: float,
    window: float,
) -> Delays:
    delays: list[float] = []
    counts = np.zeros(4, int)
    seconds = 0.0
    for one, results in zip(made, answers, strict=True):
        assert one.recording.fps is not None
        length = one.recording.clip.shape[1] / one.recording.fps
        decider = Decider(
            labels,
            DecideSettings(smoothing=smoothing),
            activation=activation,
            wall=lambda t: t,
            stride=stride,
        )
        found, *rest = judge(one.segments, decided(results, decider, length), window)
        delays += found
        counts += rest
        seconds += length
    late, missed, going_on, false_starts = (int(count) for count in counts)
    return Delays(
        stride, smoothing, tuple(delays), late, missed, going_on, false_starts, seconds / 60
    )
