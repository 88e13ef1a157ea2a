"""Beginnings and ends of actions, without a clock."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.errors import BundleError, UnknownNameError, UsageError
from stgcn_deploy.live.decide import LATE, Decider, event_ids
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.settings import DecideSettings
from stgcn_deploy.live.windows import Result, Window

LABELS = ("stand", "fall", "wave")
NOTHING, FALL, WAVE = [0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.01, 0.01, 0.98]
# Unix time of the monotonic zero.
EPOCH = 1_700_000_000.0


class Heard(Observer):
    """Keeps what windows were dropped for."""

    def __init__(self) -> None:
        self.dropped: list[tuple[str, str]] = []

    def window_dropped(self, camera: str, reason: str) -> None:
        self.dropped.append((camera, reason))


def result(
    t: float,
    scores: Sequence[float],
    *,
    track: int | None = 1,
    camera: str = "door",
    due: float | None = None,
) -> Result:
    """The answer to a window of three seconds that ends at `t`."""
    window = Window(
        camera, track, (), np.zeros((1, 1, 1, 3), np.float32), 1.0, 0.9, t - 3.0, t,
        t + 0.04, t + 0.05 if due is None else due, box=(1.0, 2.0, 3.0, 4.0),
    )  # fmt: skip
    return Result(window, np.asarray(scores, np.float32), t + 0.2)


def decider(
    activation: str = "softmax", observer: Observer | None = None, **options: Any
) -> Decider:
    quick = {"smoothing": 0.0, "cool_down": 0.0}
    return Decider(
        LABELS,
        DecideSettings(**(quick | options)),
        activation=activation,
        model={"name": "demo", "sha256": "ab"},
        wall=lambda t: EPOCH + t,
        ids=event_ids("e"),
        observer=observer,
    )


def play(
    one: Decider, answers: Sequence[Sequence[float]], *, step: float = 1.0, begin: float = 0.0
) -> list[Event]:
    """Answers one after the other, each 0.3 seconds after its newest frame."""
    found = []
    for number, scores in enumerate(answers):
        t = begin + number * step
        found += one.update(result(t, scores), t + 0.3)
    return found


def told(events: Sequence[Event]) -> list[tuple[str, str, float]]:
    return [(event.type, event.label, event.t_event - EPOCH) for event in events]


def test_an_action_begins_and_ends() -> None:
    events = play(decider(ignore=("stand",)), [NOTHING, FALL, FALL, NOTHING, NOTHING])
    assert told(events) == [("action_start", "fall", 1), ("action_end", "fall", 3)]


def test_an_event_says_what_it_rests_on() -> None:
    start, end = play(decider(top=2, ignore=("stand",)), [FALL, NOTHING])
    assert (start.id, end.id) == ("e-00000001", "e-00000002")
    assert (start.camera, start.track, start.label) == ("door", 1, "fall")
    assert start.score == pytest.approx(0.98, abs=1e-5)
    assert start.scores[0] == ("fall", pytest.approx(0.98))
    assert len(start.scores) == 2
    assert start.t_start == start.t_event == EPOCH
    assert start.t_emit == EPOCH + 0.3
    assert start.latency_ms == pytest.approx(260.0)
    assert start.box == (1.0, 2.0, 3.0, 4.0)
    assert start.window == {
        "t0": EPOCH - 3, "t1": EPOCH, "fill": 1.0, "valid_ratio": 0.9,
    }  # fmt: skip
    assert start.model == {"name": "demo", "sha256": "ab"}
    assert end.t_start == start.t_start
    assert end.score == pytest.approx(0.01, abs=1e-5)


def test_one_action_gives_way_to_the_next() -> None:
    events = play(decider(), [FALL, WAVE, NOTHING])
    assert told(events) == [
        ("action_start", "fall", 0),
        ("action_end", "fall", 1),
        ("action_start", "wave", 1),
        ("action_end", "wave", 2),
        ("action_start", "stand", 2),
    ]


def test_the_better_action_takes_over_before_the_other_has_faded() -> None:
    one = decider(enter=0.45, leave=0.1)
    events = play(one, [FALL, [0.0, 0.4, 0.6]])
    assert told(events)[1:] == [("action_end", "fall", 1), ("action_start", "wave", 1)]
    assert [event.reason for event in events] == ["", "changed", ""]


def test_an_ignored_class_ends_others_and_is_no_event() -> None:
    events = play(decider(enter=0.45, leave=0.1, ignore=("stand",)), [FALL, [0.6, 0.4, 0.0]])
    assert told(events) == [("action_start", "fall", 0), ("action_end", "fall", 1)]


def test_independent_classes_run_at_once() -> None:
    events = play(
        decider("sigmoid", ignore=("stand",)), [[0.9, 0.9, 0.9], [0.9, 0.1, 0.9], [0.0, 0.0, 0.0]]
    )
    assert told(events) == [
        ("action_start", "fall", 0),
        ("action_start", "wave", 0),
        ("action_end", "fall", 1),
        ("action_end", "wave", 2),
    ]


def test_between_the_thresholds_nothing_changes() -> None:
    between = [0.5, 0.5, 0.0]
    assert play(decider(), [between, between]) == []
    assert len(play(decider(ignore=("stand",)), [FALL, between, between, between])) == 1


def test_noise_around_a_threshold_does_not_flap() -> None:
    chance = np.random.default_rng(5)
    one = decider(enter=0.6, leave=0.4, ignore=("stand",))
    shares = np.clip(0.6 + chance.uniform(-0.15, 0.15, 400), 0.0, 1.0)
    events = play(one, [[1 - share, share, 0.0] for share in shares])
    assert told(events)[0][:2] == ("action_start", "fall")
    assert len(events) == 1
    # The same noise with one threshold is what hysteresis is there for.
    single = play(
        decider(enter=0.6, leave=0.6, ignore=("stand",)),
        [[1 - share, share, 0.0] for share in shares],
    )
    assert len(single) > 50


def test_smoothing_swallows_a_single_wrong_answer() -> None:
    answers = [NOTHING, NOTHING, FALL, NOTHING, NOTHING]
    assert play(decider(smoothing=1.5, ignore=("stand",)), answers) == []
    assert len(play(decider(ignore=("stand",)), answers)) == 2


def test_smoothing_follows_time_and_not_the_number_of_answers() -> None:
    often, rarely = decider(smoothing=1.0), decider(smoothing=1.0)
    play(often, [NOTHING] + [FALL] * 4, step=0.5)
    play(rarely, [NOTHING, FALL], step=2.0)
    expected = 0.98 - 0.97 * math.exp(-2.0)
    assert often.current("door", 1) == ("fall", pytest.approx(expected))
    assert rarely.current("door", 1) == ("fall", pytest.approx(expected))


def test_an_action_has_to_last() -> None:
    one = decider(min_duration=2.0, ignore=("stand",))
    events = play(one, [FALL, FALL, NOTHING, FALL, FALL, FALL])
    assert told(events) == [("action_start", "fall", 5)]
    assert events[0].t_start == EPOCH + 3


def test_an_action_that_ended_cools_down() -> None:
    one = decider(cool_down=3.0, ignore=("stand",))
    events = play(one, [FALL, NOTHING, FALL, FALL, FALL])
    assert told(events) == [
        ("action_start", "fall", 0), ("action_end", "fall", 1), ("action_start", "fall", 4),
    ]  # fmt: skip
    other = decider(cool_down=3.0, ignore=("stand",))
    assert len(play(other, [FALL, NOTHING, WAVE])) == 3, "another action has no need to wait"


def test_what_goes_on_is_told_again() -> None:
    events = play(decider(update=2.0, ignore=("stand",)), [FALL] * 6)
    assert told(events) == [
        ("action_start", "fall", 0), ("action_update", "fall", 2), ("action_update", "fall", 4),
    ]  # fmt: skip
    assert {event.t_start for event in events} == {EPOCH}


def test_people_and_cameras_are_told_apart() -> None:
    one = decider(ignore=("stand",))
    for camera, track in [("door", 1), ("door", 2), ("yard", 1), ("yard", None)]:
        (event,) = one.update(result(1.0, FALL, camera=camera, track=track), 1.3)
        assert (event.camera, event.track) == (camera, track)


def test_who_leaves_does_nothing_any_more() -> None:
    one = decider()
    play(one, [FALL, FALL])
    (end,) = one.gone("door", 1, 1.6, 2.4)
    assert (end.type, end.label, end.reason) == ("action_end", "fall", "gone")
    assert (end.t_event, end.t_emit, end.t_start) == (EPOCH + 1.6, EPOCH + 2.4, EPOCH)
    assert (end.window, end.scores, end.latency_ms) == (None, (), None)
    assert one.gone("door", 1, 1.6, 2.5) == []
    assert one.gone("nowhere", 7, 1.6, 2.5) == []
    assert one.current("door", 1) is None


def test_an_answer_after_somebody_left_is_told_and_over() -> None:
    one = decider(ignore=("stand",))
    play(one, [NOTHING])
    assert one.gone("door", 1, 1.5, 2.0) == []
    events = one.update(result(1.0, FALL, due=1.1), 2.2)
    assert [event.type for event in events] == ["action_start", "action_end"]
    assert events[1].reason == "gone"
    assert one.current("door", 1) is None
    assert one.overdue(50.0) == []


def test_an_answer_after_somebody_left_does_not_begin_the_same_again() -> None:
    one = decider()
    play(one, [FALL])
    assert len(one.gone("door", 1, 1.5, 2.0)) == 1
    assert one.update(result(1.0, FALL, due=1.1), 2.2) == []


def test_a_number_that_is_given_again_is_somebody_new() -> None:
    one = decider(smoothing=1.0)
    play(one, [FALL])
    one.gone("door", 1, 0.5, 1.0)
    (start,) = one.update(result(3.0, WAVE), 3.3)
    assert (start.type, start.score) == ("action_start", pytest.approx(0.98, abs=1e-4))


def test_a_lost_camera_ends_what_went_on_there() -> None:
    one = decider()
    for camera, track in [("door", 1), ("door", 2), ("yard", 1)]:
        one.update(result(1.0, FALL, camera=camera, track=track), 1.3)
    events = one.lost("door", 2.0)
    assert [(event.camera, event.track, event.reason) for event in events] == [
        ("door", 1, "camera lost"),
        ("door", 2, "camera lost"),
    ]
    assert one.lost("door", 2.0) == []
    late = one.update(result(1.5, WAVE, due=1.6), 2.1)
    assert [(event.type, event.reason) for event in late] == [
        ("action_start", ""),
        ("action_end", "camera lost"),
    ]
    assert one.current("door", 1) is None
    (again,) = one.update(result(9.0, FALL), 9.3)
    assert again.type == "action_start"


def test_nothing_is_carried_over_a_break() -> None:
    one = decider(smoothing=100.0, ignore=("stand",))
    play(one, [FALL])
    end, start = one.update(result(3.5, WAVE), 3.8)
    assert (end.type, end.reason, end.t_event) == ("action_end", "no answer", EPOCH)
    assert (start.label, start.score) == ("wave", pytest.approx(0.98, abs=1e-4))


def test_an_action_without_answers_ends() -> None:
    one = decider()
    play(one, [FALL])
    assert one.overdue(3.2) == []
    assert one.overdue(3.4, "yard") == []
    (end,) = one.overdue(3.4)
    assert (end.type, end.reason, end.t_event) == ("action_end", "no answer", EPOCH)
    assert one.overdue(9.0) == []


def test_longer_strides_give_more_time() -> None:
    one = decider()
    one.stride = 4.0
    play(one, [FALL, FALL], step=11.0)
    assert one.overdue(22.0) == []
    assert len(one.overdue(24.0)) == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.5, 7.0])
def test_what_is_no_probability_is_counted_and_left_out(bad: float) -> None:
    heard = Heard()
    one = decider(observer=heard)
    play(one, [FALL])
    assert one.update(result(1.0, [bad, 0.0, 0.0]), 1.3) == []
    assert heard.dropped == [("door", "failed")]
    assert one.current("door", 1) == ("fall", pytest.approx(0.98))
    assert one.update(result(2.0, [0.0, 1.003, 0.0]), 2.3) == [], "rounding is no fault"
    assert one.current("door", 1) == ("fall", 1.0)


def test_older_answers_are_counted_and_left_out() -> None:
    heard = Heard()
    one = decider(observer=heard)
    play(one, [FALL], begin=2.0)
    assert one.update(result(1.0, WAVE), 2.4) == []
    assert one.update(result(2.0, WAVE), 2.4) == []
    assert heard.dropped == [("door", "coalesced")] * 2


def test_too_few_probabilities_are_a_wrong_bundle() -> None:
    with pytest.raises(BundleError, match="3 labels"):
        decider().update(result(0.0, [0.5, 0.5]), 0.1)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="leave is"):
        DecideSettings(leave=0.7, enter=0.6)
    with pytest.raises(UnknownNameError, match="did you mean 'stand'"):
        decider(ignore=("stnd",))
    with pytest.raises(UsageError, match="softmax or sigmoid"):
        decider("relu")


def test_what_goes_on_now() -> None:
    one = decider(ignore=("stand",))
    assert one.current("door", 1) is None
    play(one, [NOTHING])
    assert one.current("door", 1) == ("stand", pytest.approx(0.98)), "ignored ones are shown"
    play(one, [FALL], begin=1.0)
    assert one.current("door", 1) == ("fall", pytest.approx(0.98))
    play(one, [[0.5, 0.5, 0.0]], begin=2.0)
    assert one.current("door", 1) == ("fall", pytest.approx(0.5))
    play(one, [[0.4, 0.3, 0.3]], begin=3.0)
    assert one.current("door", 1) is None


def test_memory_does_not_grow_with_the_number_of_people() -> None:
    one = decider(cool_down=2.0)
    for track in range(2000):
        t = float(track)
        one.update(result(t, FALL, track=track), t + 0.3)
        one.gone("door", track, t + 0.5, t + 1.0)
    kept = one._cameras["door"]
    assert len(kept.people) <= LATE + 2
    assert len(kept.cool) <= LATE + 5
    for track in range(2000, 2100):
        one.update(result(3000.0, FALL, track=track), 3000.3)
    assert len(one.overdue(3100.0)) == 100
    assert kept.people == {}


def test_ids_differ_between_programs() -> None:
    assert next(event_ids()) != next(event_ids())


# Laws, for any answers at any times.

# Mostly clear answers in quick succession: else there is nothing that could go wrong.
ANSWERS = st.sampled_from(
    [NOTHING, FALL, FALL, WAVE, [0.5, 0.5, 0.0], [0.0, 0.45, 0.55], [0.0, 0.55, 0.45]]
) | st.lists(st.floats(0.0, 1.0, width=32), min_size=3, max_size=3)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["answer"] * 12 + ["gone", "lost", "overdue"]),
        st.sampled_from([1, 1, 1, 2]),
        ANSWERS,
        st.floats(0.05, 0.9) | st.floats(0.9, 5.0),
    ),
    min_size=8,
    max_size=40,
)
SETTINGS = st.builds(
    lambda leave, more, **rest: {"leave": leave, "enter": min(1.0, leave + more), **rest},
    leave=st.sampled_from([0.1, 0.3, 0.5]),
    more=st.sampled_from([0.0, 0.2, 0.4]),
    smoothing=st.sampled_from([0.0, 0.5, 2.0]),
    min_duration=st.sampled_from([0.0, 1.0]),
    cool_down=st.sampled_from([0.0, 1.0, 3.0]),
    update=st.sampled_from([0.0, 1.0]),
    ignore=st.sampled_from([(), ("stand",)]),
)
KINDS = st.sampled_from(["softmax", "sigmoid"])


def run(
    one: Decider,
    steps: Sequence[tuple[str, int, list[float], float]],
    each: Callable[[int, list[float]], None] = lambda track, scores: None,
) -> list[Event]:
    """Play steps; `each` is called after each answer."""
    t, found = 0.0, []
    for kind, track, scores, wait in steps:
        t += wait
        if kind == "answer":
            found += one.update(result(t, scores, track=track), t + 0.3)
            each(track, scores)
        elif kind == "gone":
            found += one.gone("door", track, t, t)
        elif kind == "lost":
            found += one.lost("door", t)
        else:
            found += one.overdue(t)
    return found


@given(STEPS, SETTINGS, KINDS)
def test_starts_and_ends_alternate(steps: Any, settings: Any, kind: str) -> None:
    running: set[tuple[int | None, str]] = set()
    for event in run(decider(kind, **settings), steps):
        key = (event.track, event.label)
        assert event.label not in settings["ignore"]
        assert event.t_start is not None
        assert event.t_start <= event.t_event <= event.t_emit
        if event.type == "action_start":
            assert key not in running
            if kind == "softmax":
                assert not any(track == event.track for track, _ in running)
            running.add(key)
        elif event.type == "action_end":
            running.remove(key)
        else:
            assert key in running


@given(STEPS, SETTINGS, KINDS)
def test_the_same_action_waits_for_its_cool_down(steps: Any, settings: Any, kind: str) -> None:
    ended: dict[tuple[int | None, str], float] = {}
    for event in run(decider(kind, **settings), steps):
        key = (event.track, event.label)
        if event.type == "action_start" and key in ended:
            assert event.t_event - ended[key] >= settings["cool_down"] - 1e-5
        if event.type == "action_end":
            ended[key] = event.t_event


@given(STEPS, SETTINGS, KINDS)
def test_two_are_alike(steps: Any, settings: Any, kind: str) -> None:
    first, second = (run(decider(kind, **settings), steps) for _ in range(2))
    assert [one.as_line() for one in first] == [one.as_line() for one in second]
    assert len({event.id for event in first}) == len(first)


@given(STEPS, SETTINGS, KINDS)
def test_smoothed_scores_stay_between_the_answers(steps: Any, settings: Any, kind: str) -> None:
    one = decider(kind, **settings)
    seen: dict[int, list[list[float]]] = {1: [], 2: []}

    def within(track: int, scores: list[float]) -> None:
        seen[track].append(scores)
        doing = one._cameras["door"].people.get(track)
        if doing is not None and doing.scores is not None:
            low, high = np.min(seen[track], axis=0), np.max(seen[track], axis=0)
            assert (doing.scores >= low - 1e-6).all()
            assert (doing.scores <= high + 1e-6).all()

    run(one, steps, within)


@given(STEPS, SETTINGS, KINDS)
def test_everything_ends_with_its_camera(steps: Any, settings: Any, kind: str) -> None:
    one = decider(kind, **settings)
    events = run(one, steps) + one.lost("door", 1e6)
    starts = sum(event.type == "action_start" for event in events)
    assert starts == sum(event.type == "action_end" for event in events)
    assert one._cameras["door"].people == {}


def test_the_example_of_the_page_is_true() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "live-events.md"
    rows = re.findall(
        r"(?m)^\| (\d) \| (0\.\d\d) \| (0\.\d\d) \|(.*)\|$", page.read_text(encoding="utf-8")
    )
    assert len(rows) == 7
    one = Decider(LABELS, DecideSettings(ignore=("stand",)), wall=lambda t: t, ids=event_ids("e"))
    for t, share, smoothed, said in rows:
        answer = result(float(t), [1.0 - float(share), float(share), 0.0])
        events = one.update(answer, float(t) + 0.3)
        doing = one._cameras["door"].people[1]
        assert doing.scores is not None
        assert f"{doing.scores[1]:.2f}" == smoothed
        assert [event.type for event in events] == re.findall("action_[a-z]+", said)
        for start in re.findall(r"`t_start` is (\d)", said):
            assert events[0].t_start == float(start)
