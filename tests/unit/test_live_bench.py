"""Simulated cameras, samples, verdicts and the search of the live benchmark; nothing here sleeps."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgcn_deploy.data.recording import Recording
from stgcn_deploy.data.synthetic.sequences import Segment
from stgcn_deploy.errors import BackendError, CheckFailedError, UsageError
from stgcn_deploy.live.bench.cameras import (
    KeypointFeed,
    SimulatedCamera,
    Timetable,
    VideoFeed,
)
from stgcn_deploy.live.bench.delay import DelayPlan, Told, judge
from stgcn_deploy.live.bench.faults import FaultyCamera
from stgcn_deploy.live.bench.launch import launch
from stgcn_deploy.live.bench.material import Cameras, video_files
from stgcn_deploy.live.bench.outcome import Limits, Outcome
from stgcn_deploy.live.bench.plan import BenchPlan, Fault
from stgcn_deploy.live.bench.report import LiveBench, Run, details, run_rows
from stgcn_deploy.live.bench.resources import slope_per_hour
from stgcn_deploy.live.bench.samples import Samples
from stgcn_deploy.live.bench.search import search
from stgcn_deploy.live.bench.series import Series, by_interval, percentiles, thinned
from stgcn_deploy.live.bench.soak import checks, failed, faults_for
from stgcn_deploy.live.frames import Frame, Reading
from stgcn_deploy.live.sources.base import SourceError


def good(cameras: int = 4, **changes: Any) -> Outcome:
    """A run with nothing wrong."""
    plan = BenchPlan(bundle="bundle", cameras=cameras, duration=10, **changes.pop("plan", {}))
    frames, windows = cameras * 250, cameras * 10
    made = {
        "plan": plan.model_dump(mode="json"),
        "seconds": 10.0,
        "frames": {"given": frames, "ok": frames, "waiting": 0},
        "windows": {"expected": windows, "due": windows, "ok": windows},
        "events": {},
        "delays": {"people": {"p99": 5.0}, "result": {"p99": 80.0}},
        "lateness": {"p99": 3.0},
        "batches": {"1": windows},
        "levels": {"0": 10.0},
        "level_changes": [[0.0, 0]],
        "usage": {"cores": 0.5, "cores_by_thread": {"pose": 0.4}, "rss_mb": {"peak": 100.0}},
        "curves": {},
        "samples": {},
        "by_camera": {},
        "states": [],
        "told": [],
        "deepest": {},
        "history": [],
    }
    return Outcome(**{**made, **changes})


# ---- timetables --------------------------------------------------------------------------------


def test_frames_are_due_by_absolute_times() -> None:
    table = Timetable(25.0, phase=0.5)
    ticks = [table.tick() for _ in range(1000)]
    assert [tick.number for tick in ticks] == list(range(1000))
    assert ticks[-1].due == pytest.approx(999.5 / 25)
    assert all(tick.due == tick.pts for tick in ticks)


def test_jitter_delays_and_never_reorders() -> None:
    table = Timetable(25.0, jitter=0.1, seed=3)
    ticks = [table.tick() for _ in range(500)]
    due = [tick.due for tick in ticks]
    assert due == sorted(due)
    assert all(0 <= tick.due - tick.pts <= 0.1 + 1e-9 for tick in ticks)
    assert max(tick.due - tick.pts for tick in ticks) > 0.05
    again = Timetable(25.0, jitter=0.1, seed=3)
    assert [again.tick() for _ in range(500)] == ticks


def test_lost_frames_leave_their_numbers_and_times_out() -> None:
    table = Timetable(10.0, loss=0.5, seed=1)
    ticks = [table.tick() for _ in range(400)]
    assert 700 < ticks[-1].number < 900
    assert all(tick.pts == pytest.approx(tick.number / 10) for tick in ticks)


def test_after_a_silence_everything_comes_at_once() -> None:
    table = Timetable(10.0, pause_every=2.0, pause=0.5)
    ticks = [table.tick() for _ in range(40)]
    silent = [tick for tick in ticks if tick.due - tick.pts > 1e-6]
    assert [tick.number for tick in silent] == [16, 17, 18, 19, 36, 37, 38, 39]
    assert {round(tick.due, 6) for tick in silent} == {2.0, 4.0}


# ---- cameras -----------------------------------------------------------------------------------


def clip(frames: int = 5) -> Recording:
    values = np.zeros((2, frames, 3, 3), np.float32)
    values[0] = 1 + np.arange(frames, dtype=np.float32)[:, None, None]
    return Recording(values, "ntu25", (640, 480), raw=True, fps=25.0)


def test_a_recording_goes_back_and_forth_without_a_jump() -> None:
    feed = KeypointFeed.of(clip(), start=2)
    seen = []
    for number in range(16):
        reading = feed.read(number)
        assert reading.persons is not None
        assert reading.size == (640, 480)
        # The second person is nowhere.
        assert len(reading.persons) == 1
        seen.append(int(reading.persons[0].keypoints[0, 0]))
    assert seen == [3, 4, 5, 4, 3, 2, 1, 2, 3, 4, 5, 4, 3, 2, 1, 2]
    assert (feed.layout, feed.channels, feed.raw) == ("ntu25", "xys", True)


class Clock:
    def __init__(self, *times: float) -> None:
        self.times = list(times)
        self.now = 0.0

    def __call__(self) -> float:
        if self.times:
            self.now = self.times.pop(0)
        return self.now


def test_how_late_each_frame_was_given_is_kept() -> None:
    # Opened at 100; frames are due at 100 and 100.1; the second is asked for at 100.25.
    clock = Clock(100.0, 100.0, 100.01, 100.25, 100.26)
    late = Series()
    camera = SimulatedCamera("cam", KeypointFeed.of(clip()), Timetable(10.0), late, clock)
    camera.open()
    assert camera.read() is not None
    second = camera.read()
    assert second is not None
    assert second.pts == pytest.approx(0.1)
    assert late.values == pytest.approx([10.0, 160.0])
    assert late.times == pytest.approx([100.0, 100.1])


def test_closing_ends_a_read_that_waits() -> None:
    camera = SimulatedCamera("cam", KeypointFeed.of(clip()), Timetable(0.001), Series())
    camera.open()
    assert camera.read() is not None
    threading.Timer(0.05, camera.close).start()
    # The next one is due in a quarter of an hour.
    assert camera.read() is None
    camera.close()


class Film:
    """A file of two frames."""

    def __init__(self) -> None:
        self.opened = self.closed = self.at = 0

    def open(self) -> None:
        self.opened += 1

    def read(self) -> Reading | None:
        self.at += 1
        return None if self.at > 2 else Reading(self.at / 10, np.full((1, 1, 3), self.at, np.uint8))

    def close(self) -> None:
        self.closed += 1


def test_a_clip_begins_again_at_its_end() -> None:
    films: list[Film] = []

    def make() -> Any:
        films.append(Film())
        return films[-1]

    feed = VideoFeed(make)
    feed.open()
    shown = [feed.read(number).image for number in range(5)]
    assert [int(image.max()) for image in shown if image is not None] == [1, 2, 1, 2, 1]
    feed.close()
    assert [film.closed for film in films] == [1, 1, 1]
    # Nobody reads on after the end.
    assert feed.read(5) is None


def test_a_clip_without_frames_is_refused() -> None:
    class Empty(Film):
        def read(self) -> Reading | None:
            return None

    feed = VideoFeed(Empty)  # type: ignore[arg-type]
    feed.open()
    with pytest.raises(SourceError, match="no frames"):
        feed.read(0)


def test_a_folder_without_clips_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no clip")
    with pytest.raises(UsageError, match="holds no clips"):
        video_files(tmp_path)
    (tmp_path / "b.AVI").write_bytes(b"")
    (tmp_path / "a.mp4").write_bytes(b"")
    assert [Path(name).name for name in video_files(tmp_path)] == ["a.mp4", "b.AVI"]


def test_cameras_show_different_motion_of_the_bundles_layout(example: Callable[..., Any]) -> None:
    from stgcn_deploy.bundle import read_manifest

    manifest = read_manifest(example("twostream", persons=1).bundle)
    plan = BenchPlan(bundle="bundle", cameras=14, persons=2)
    cameras = Cameras(plan, manifest)
    first = []
    for settings in plan.settings().cameras:
        camera = cameras.make(settings)
        camera.open()
        reading = camera.read()
        assert reading is not None
        assert reading.persons is not None
        first.append(reading.persons[0].keypoints)
        camera.close()
        assert camera.layout == manifest.layout.name
    assert len(first) == 14
    assert len(cameras.lateness(-math.inf, math.inf)) == 14
    assert len(cameras.lateness(-math.inf, 0.0)) == 0
    assert not any(np.array_equal(a, b) for n, a in enumerate(first) for b in first[:n])


# ---- faults ------------------------------------------------------------------------------------


def faulty(kind: str, clock: Clock) -> FaultyCamera:
    inner = SimulatedCamera("cam", KeypointFeed.of(clip()), Timetable(10.0), Series(), clock)
    fault = Fault(camera=0, kind=kind, start=1.0, end=2.0)  # type: ignore[arg-type]
    return FaultyCamera(inner, [fault], lambda: 0.0, clock)


@pytest.mark.parametrize("kind", ["killed", "refused"])
def test_a_camera_that_is_away_cannot_be_opened(kind: str) -> None:
    clock = Clock()
    camera = faulty(kind, clock)
    camera.open()
    assert camera.read() is not None
    clock.now = 1.5
    with pytest.raises(SourceError) as broke:
        camera.read()
    assert broke.value.reason == ("ended" if kind == "killed" else "broken")
    with pytest.raises(SourceError, match="refused"):
        camera.open()
    clock.now = 2.0
    camera.open()


def test_a_damaged_camera_says_so_of_most_frames() -> None:
    clock = Clock()
    camera = faulty("corrupt", clock)
    camera.open()
    clock.now = 1.5
    readings = [camera.read() for _ in range(10)]
    assert sum(reading is not None and reading.corrupt for reading in readings) == 9


def test_a_frozen_camera_reads_until_it_is_closed() -> None:
    clock = Clock()
    camera = faulty("frozen", clock)
    camera.open()
    clock.now = 1.0
    threading.Timer(0.05, camera.close).start()
    assert camera.read() is None


# ---- samples -----------------------------------------------------------------------------------


def test_a_full_series_stays_even_in_time() -> None:
    series = Series(most=100)
    for number in range(10_000):
        series.add(number, number % 1000)
    assert series.count == 10_000
    assert series.largest == 999
    assert 50 <= len(series.values) <= 100
    steps = np.diff(series.times)
    assert steps.min() == steps.max()
    found = percentiles(series.values, series.count, series.largest)
    assert found["count"] == 10_000
    assert found["max"] == 999


def test_values_are_told_by_the_second() -> None:
    times, values = np.array([0.1, 2.0, 0.9, 2.5]), np.array([1.0, 10.0, 3.0, 30.0])
    rows = by_interval(times, values)
    assert [row[0] for row in rows] == [0.0, 2.0]
    assert [row[1] for row in rows] == [2.0, 20.0]
    assert [row[3:] for row in rows] == [[3.0, 2.0], [30.0, 2.0]]
    assert by_interval(np.zeros(0), np.zeros(0)) == []
    assert thinned(times, values, 2) == {"t": [0.1, 0.9], "ms": [1.0, 3.0]}
    assert percentiles(np.zeros(0)) == {}


def test_nothing_before_the_beginning_counts() -> None:
    clock = Clock(10.0, 20.0)
    samples = Samples(["a", "b"], clock)
    samples.people(Frame("b", 10.5, 10.5), [], 10.6)
    samples.level(2, "detector")
    samples.begin()
    samples.people(Frame("b", 20.0, 20.0), [], 20.25)
    times, values, groups = samples.snapshot("people")
    assert times == pytest.approx([0.25])
    assert values == pytest.approx([250.0])
    assert groups.tolist() == [1]
    # The level in force does not begin anew.
    assert samples.levels == [(0.0, 2)]


# ---- verdicts ----------------------------------------------------------------------------------


def test_a_good_run_is_good_and_survives_json() -> None:
    one = good()
    assert Limits().broken(one) == []
    again = Outcome.from_dict(json.loads(json.dumps(one.as_dict())))
    assert again == one


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frames": {"given": 1000, "ok": 985, "replaced": 15}}, "1.5% of frames dropped"),
        ({"windows": {"expected": 40, "due": 40, "ok": 38, "coalesced": 2}}, "5.0% of windows"),
        (
            {"delays": {"people": {"p99": 5.0}, "result": {"p99": 1000.0}}},
            "p99 from frame to answer",
        ),
        ({"lateness": {"p99": 41.0}}, "themselves were late by 41 ms"),
        ({"lateness": {}}, "themselves were late"),
        ({"frames": {"given": 1000, "ok": 0}}, "no frame was looked at"),
        ({"frames": {"given": 1000, "ok": 900, "waiting": 100}}, "not accounted for"),
        ({"windows": {"expected": 40, "due": 0}}, "no window was answered"),
        ({"windows": {"expected": 40, "due": 20, "ok": 20}}, "only 50% of the windows"),
        ({"failures": {"cam000": "broken"}}, r"given up: cam000 \(broken\)"),
    ],
)
def test_every_kind_of_wrong_is_noticed(changes: dict[str, Any], words: str) -> None:
    wrong = Limits().broken(good(**changes))
    assert any(re.search(words, text) for text in wrong), wrong


def test_frames_that_wait_in_an_endless_queue_are_no_mistake_of_it() -> None:
    one = good(
        plan={"contender": "naive"},
        frames={"given": 1000, "ok": 500, "waiting": 500},
        windows={"expected": 40, "due": 20, "ok": 20},
    )
    assert one.invalid() == []


def test_age_is_judged_only_where_it_is_asked_for() -> None:
    one = good(delays={"people": {"p99": 300.0}, "result": {"p99": 80.0}})
    assert Limits().broken(one) == []
    assert "frame to people 300 ms" in Limits(age_ms=250.0).broken(one)[0]


# ---- search ------------------------------------------------------------------------------------


class Machine:
    """Takes so many cameras, and in long runs perhaps fewer."""

    def __init__(self, most: int, steady: int | None = None) -> None:
        self.most, self.steady = most, most if steady is None else steady
        self.runs: list[tuple[int, bool]] = []

    def __call__(self, cameras: int, confirming: bool) -> Outcome:
        self.runs.append((cameras, confirming))
        if cameras <= (self.steady if confirming else self.most):
            return good(cameras)
        return good(cameras, delays={"people": {"p99": 5.0}, "result": {"p99": 2000.0}})


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 37, 64, 100])
@pytest.mark.parametrize("first", [1, 4, 50])
def test_the_largest_number_is_found_and_confirmed(most: int, first: int) -> None:
    machine = Machine(most)
    found = search(machine, Limits(), first=first)
    assert found.cameras == most
    assert found.confirmed is not None
    assert machine.runs[-1] == (most, True)
    assert "p99 from frame to answer 2000 ms" in found.next_broken[0]
    assert len(machine.runs) <= 2 + 2 * math.ceil(math.log2(max(most, first) + 1))
    json.dumps(found.as_dict())


def test_what_a_long_run_does_not_confirm_does_not_count() -> None:
    machine = Machine(10, steady=8)
    found = search(machine, Limits())
    assert found.cameras == 8
    assert [run for run in machine.runs if run[1]] == [(10, True), (9, True), (8, True)]
    assert found.next_cameras == 9
    assert found.next_broken


def test_long_runs_are_not_tried_one_by_one() -> None:
    machine = Machine(100, steady=90)
    found = search(machine, Limits())
    assert [n for n, confirming in machine.runs if confirming] == [100, 96, 93, 90]
    assert (found.cameras, found.next_cameras) == (90, 93)


def test_not_even_one_camera_is_an_answer() -> None:
    found = search(Machine(0), Limits())
    assert (found.cameras, found.confirmed) == (0, None)
    assert LiveBench("bundle", {}, (), found).broken


def test_the_search_ends_where_it_is_told_to() -> None:
    machine = Machine(1000)
    found = search(machine, Limits(), most=12)
    assert found.cameras == 12
    assert (found.next_cameras, found.next_broken) == (0, ())


def test_runs_that_measure_nothing_are_no_answer() -> None:
    with pytest.raises(CheckFailedError, match="no run measured anything"):
        search(lambda n, _: good(n, frames={"given": 0, "ok": 0}), Limits())


# ---- plans -------------------------------------------------------------------------------------


def test_overload_is_always_more() -> None:
    assert BenchPlan(bundle="b", cameras=1).times(1.5) == 2
    assert BenchPlan(bundle="b", cameras=40).times(1.5) == 60
    assert BenchPlan(bundle="b", cameras=3).times(1.0) == 3


def test_a_plan_becomes_the_settings_of_stgcn_live() -> None:
    plan = BenchPlan(bundle="b", cameras=2, stride=0.5, workers=2, threads=1, ladder=False)
    settings = plan.settings()
    assert [camera.name for camera in settings.cameras] == ["cam000", "cam001"]
    assert (settings.windows.stride, settings.batch.workers, settings.threads) == (0.5, 2, 1)
    assert not settings.ladder.enabled
    assert BenchPlan.model_validate_json(plan.model_dump_json()) == plan


# ---- the child ---------------------------------------------------------------------------------


def test_a_child_that_dies_leaves_its_last_words(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "dying_child.py").write_text("import sys\nsys.exit('out of luck')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(BackendError, match="out of luck"):
        launch(BenchPlan(bundle="b", cameras=1, duration=1), module="dying_child")


def test_an_error_of_the_child_is_the_parents(tmp_path: Path) -> None:
    plan = BenchPlan(bundle=str(tmp_path / "nowhere"), cameras=1, warmup=0, duration=1)
    with pytest.raises(UsageError, match=r"nowhere.*|no bundle"):
        launch(plan)


# ---- detection delay ---------------------------------------------------------------------------


def segment(action: str, start: float, end: float, onset: float | None = None) -> Segment:
    begun = start + 1 if onset is None else onset
    return Segment(action, 0, start, start + 0.5, begun, end, end)


SEGMENTS = [segment("walk", 0, 10), segment("fall", 10, 20), segment("walk", 20, 30)]


def told(*events: tuple[float, str]) -> list[Told]:
    """Beginnings, each the end of the one before."""
    found: list[Told] = []
    for t, label in events:
        if found:
            found.append(Told(t, found[-1].label, start=False))
        found.append(Told(t, label, start=True))
    return found


def test_delay_is_from_the_onset_to_the_event() -> None:
    events = told((3.0, "walk"), (13.0, "fall"), (25.0, "walk"))
    assert judge(SEGMENTS, events, 6.0) == ([2.0, 4.0], 0, 0, 0, 0)


def test_late_missed_and_false_are_told_apart() -> None:
    # `fall` comes after its end, `jump` was never done, the second `walk` is not told.
    events = told((3.0, "walk"), (14.0, "jump"), (21.0, "fall"))
    assert judge(SEGMENTS, events, 6.0) == ([], 1, 1, 0, 1)
    # So late that no window shows it any more, it is false.
    assert judge(SEGMENTS, told((3.0, "walk"), (26.5, "fall")), 6.0) == ([], 0, 1, 1, 1)


def test_before_its_onset_an_action_cannot_be_known() -> None:
    events = told((3.0, "walk"), (10.5, "fall"), (25.0, "walk"))
    delays, late, missed, going_on, false = judge(SEGMENTS, events, 6.0)
    assert (delays, late, missed, going_on, false) == ([4.0], 0, 0, 1, 1)


def test_an_action_whose_label_went_on_is_neither_found_nor_missed() -> None:
    assert judge(SEGMENTS, told((3.0, "walk")), 6.0) == ([], 0, 1, 1, 0)


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one"):
        DelayPlan(sequences=0)


# ---- reports -----------------------------------------------------------------------------------


def test_a_report_has_a_column_for_each_run() -> None:
    other = good(8, frames={"given": 10, "ok": 8, "replaced": 2})
    rows = run_rows([Run("a", good()), Run("b", other)])
    assert all(len(row) == 3 for row in rows)
    assert rows[0] == ["cameras", "4", "8"]
    assert "frames: 8 ok, 2 replaced" in details(other)
    stopped = replace(other, stopped="memory", levels={"0": 4.0, "2": 6.0})
    assert any("6 s at level 2" in text for text in details(stopped))
    assert any(text.startswith("ended after 10 s: memory") for text in details(stopped))


def test_a_broken_run_breaks_the_report() -> None:
    run = Run("a", good(lateness={"p99": 99.0}))
    assert LiveBench("bundle", {}, (run,)).broken == [f"a: {text}" for text in run.broken]
    assert LiveBench("bundle", {}, (Run("a", good()),)).broken == []


def test_a_slope_is_per_hour() -> None:
    assert slope_per_hour([0.0, 10.0, 20.0], [100.0, 101.0, 102.0]) == pytest.approx(360.0)
    assert math.isnan(slope_per_hour([1.0], [2.0]))


# ---- soak --------------------------------------------------------------------------------------


FAULTS = [
    {"camera": 0, "kind": "killed", "start": 100.0, "end": 120.0},
    {"camera": 1, "kind": "frozen", "start": 160.0, "end": 180.0},
]


def soaked(**changes: Any) -> Outcome:
    """Ten minutes of four cameras in which nothing but two faults happened."""
    t = [float(second) for second in range(600) for _ in range(20)]
    ms = {"t": t, "ms": [10.0] * len(t), "camera": [0, 1, 2, 3] * 3000}
    made: dict[str, Any] = {
        "seconds": 600.0,
        "samples": {"people": ms, "result": ms},
        "states": [
            [100.1, "cam000", "backoff", "ended"],
            [121.0, "cam000", "running", ""],
            [162.0, "cam001", "stalled", "frozen"],
            [180.2, "cam001", "running", ""],
        ],
        "told": [
            [10.0, "action_start", "cam000", "walk"],
            [130.0, "action_start", "cam000", "walk"],
        ],
        "history": [[float(s), 100.0, 20, 30] for s in range(600)],
        "plan": {"faults": FAULTS},
    }
    return good(**{**made, **changes})


def verdicts(outcome: Outcome) -> dict[str, bool | None]:
    return {one.name: one.good for one in checks(outcome, window=6.0)}


PEOPLE = "the other cameras' p99, frame to people"


def test_a_run_in_which_nothing_happened_is_good() -> None:
    assert set(verdicts(soaked()).values()) == {True}
    assert failed(checks(soaked(), window=6.0)) == []


def slower(camera: int) -> dict[str, Any]:
    one = soaked().samples["people"]
    ms = [
        30.0 if c == camera and 100 <= t < 120 else value
        for t, value, c in zip(one["t"], one["ms"], one["camera"], strict=True)
    ]
    return {"people": {**one, "ms": ms}, "result": one}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (PEOPLE, {"samples": slower(2)}),
        (
            "no action begins across a gap",
            {"told": [[122.0, "action_start", "cam000", "fall"]]},
        ),
        ("no action begins across a gap", {"told": [[110.0, "action_start", "cam000", "fall"]]}),
        ("no action begins across a gap", {"told": []}),
        (
            "cameras come back within their back-off",
            {"states": [[100.1, "cam000", "backoff", "ended"]]},
        ),
        (
            "memory does not grow",
            {"history": [[float(s), 100.0 + s / 100, 20, 30] for s in range(600)]},
        ),
        ("open files do not grow", {"history": [[0.0, 100.0, 20, 30], [599.0, 100.0, 21, 30]]}),
        ("threads do not grow", {"history": [[0.0, 100.0, 20, 30], [599.0, 100.0, 20, 31]]}),
        ("the run counts", {"lateness": {"p99": 50.0}}),
        ("the run counts", {"stopped": "memory"}),
        (PEOPLE, {"samples": {}}),
        ("memory does not grow", {"seconds": 60.0}),
    ],
)
def test_each_check_notices_what_it_is_there_for(name: str, changes: dict[str, Any]) -> None:
    found = verdicts(soaked(**changes))
    assert not found[name], found


def test_a_slow_camera_that_does_wrong_itself_is_not_the_others() -> None:
    assert verdicts(soaked(samples=slower(0)))[PEOPLE]


def test_faults_leave_time_and_cameras_alone() -> None:
    faults = faults_for(1800.0, cameras=8)
    assert faults[0].start == 300.0
    assert {fault.kind for fault in faults} == {"killed", "frozen", "corrupt", "refused"}
    assert {fault.camera for fault in faults} == {0, 1, 2, 3}
    assert all(a.end < b.start for a, b in pairwise(faults))
    assert faults[-1].end < 1800
    with pytest.raises(UsageError, match="there must be two cameras"):
        faults_for(1800.0, cameras=1)
