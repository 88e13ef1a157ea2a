"""Camera states, the place of frames in time, rates and paces: fed with times, none of them waits."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.live.anchor import TimeAnchor
from stgcn_deploy.live.camera import LONGEST_DELAY, CameraMachine
from stgcn_deploy.live.rate import RateLimit
from stgcn_deploy.live.sources.pacing import Pace


def machine(**options: object) -> CameraMachine:
    return CameraMachine(Random(7), **options)  # type: ignore[arg-type]


def running(now: float = 0.0, **options: object) -> CameraMachine:
    one = machine(**options)
    one.opening(now)
    one.opened(now, 25.0)
    one.frame(now)
    return one


def test_a_camera_comes_up() -> None:
    one = machine()
    assert (one.state, one.tick(0.0)) == ("init", "open")
    one.opening(0.0)
    assert (one.state, one.tick(1.0)) == ("connecting", None)
    one.opened(1.0, 25.0)
    assert one.state == "connecting"
    one.frame(1.1)
    assert (one.state, one.reason) == ("running", "")


def test_a_camera_that_is_down_at_the_start_is_just_tried_again() -> None:
    one = machine()
    one.opening(0.0)
    one.failed(0.1, "refused")
    assert (one.state, one.reason) == ("backoff", "refused")
    assert one.retry_at is not None
    assert one.tick(one.retry_at - 0.01) is None
    assert one.tick(one.retry_at) == "open"


def waits(one: CameraMachine, count: int) -> list[float]:
    found, now = [], 0.0
    for _ in range(count):
        one.opening(now)
        one.failed(now, "refused")
        assert one.retry_at is not None
        found.append(one.retry_at - now)
        now = one.retry_at
    return found


def test_waits_double_up_to_a_limit_with_jitter() -> None:
    for wait, middle in zip(waits(machine(), 9), [0.5, 1, 2, 4, 8, 16, 30, 30, 30], strict=True):
        assert 0.8 * middle <= wait <= 1.2 * middle
        assert wait != middle


def test_a_camera_may_be_away_for_ever() -> None:
    assert waits(machine(), 2000)[-1] <= 1.2 * LONGEST_DELAY


def test_two_with_the_same_seed_act_alike_and_others_do_not() -> None:
    assert waits(CameraMachine(Random(3)), 8) == waits(CameraMachine(Random(3)), 8)
    assert waits(CameraMachine(Random(3)), 8) != waits(CameraMachine(Random(4)), 8)


@pytest.mark.parametrize(("good", "longest"), [(9.0, 4.8), (10.5, 0.6)])
def test_waits_begin_anew_only_after_ten_good_seconds(good: float, longest: float) -> None:
    one = machine()
    for _ in range(3):
        one.opening(0.0)
        one.failed(0.0, "refused")
    one.opening(0.0)
    one.opened(0.0)
    one.frame(1.0)
    one.frame(1.0 + good)
    one.failed(1.0 + good, "ended")
    assert one.retry_at is not None
    wait = one.retry_at - 1.0 - good
    assert (wait < 1.0) == (longest < 1.0)
    assert wait <= longest


def test_a_wrong_password_is_tried_slowly_from_the_beginning() -> None:
    one = machine()
    one.opening(0.0)
    one.failed(0.0, "not allowed", lasting=True)
    assert one.reason == "not allowed"
    assert one.retry_at is not None
    assert one.retry_at >= 0.8 * LONGEST_DELAY


def test_silence_is_a_stall_then_a_loss() -> None:
    one = running(timeout=5.0)
    assert (one.tick(1.9), one.state) == (None, "running")
    assert (one.tick(2.1), one.state) == (None, "stalled")
    assert (one.tick(5.0), one.state) == (None, "stalled")
    assert (one.tick(5.1), one.state, one.reason) == ("close", "backoff", "frozen")


def test_a_stall_can_end() -> None:
    one = running()
    one.tick(3.0)
    assert one.state == "stalled"
    one.frame(3.1)
    assert one.state == "running"


def test_a_slow_camera_is_not_frozen() -> None:
    one = machine(timeout=5.0)
    one.opening(0.0)
    one.opened(0.0, 0.2)
    one.frame(0.0)
    assert (one.tick(9.0), one.state) == (None, "running")
    assert (one.tick(11.0), one.state) == (None, "stalled")
    assert one.tick(15.1) == "close"


def test_one_that_opens_for_ever_is_closed() -> None:
    one = machine(timeout=5.0)
    one.opening(0.0)
    assert one.tick(14.9) is None
    assert (one.tick(15.1), one.state, one.reason) == ("close", "backoff", "timeout")


def test_one_that_opens_and_never_sends_is_closed() -> None:
    one = machine(timeout=5.0)
    one.opening(0.0)
    one.opened(1.0, 25.0)
    assert one.tick(16.5) == "close"


def test_ffmpegs_limit_of_time_and_ours_are_one_reason() -> None:
    one = running()
    one.failed(5.0, "timeout")
    assert one.reason == "frozen"


def test_what_a_lost_thread_says_changes_nothing() -> None:
    one = running()
    one.failed(1.0, "ended")
    before = one.retry_at
    one.frame(1.1)
    one.failed(1.2, "broken")
    one.opened(1.2)
    assert (one.state, one.reason, one.retry_at) == ("backoff", "ended", before)


def test_a_file_ends_and_a_broken_one_too() -> None:
    one = running(live=False)
    assert one.tick(1e6) is None
    one.finished()
    assert (one.state, one.reason, one.over, one.tick(2e6)) == ("ended", "ended", True, None)
    one = running(live=False)
    one.failed(1.0, "unreadable")
    assert (one.state, one.reason, one.retry_at) == ("ended", "unreadable", None)


def test_stopped_is_stopped() -> None:
    one = running()
    one.finished("stopped")
    one.opening(1.0)
    one.frame(1.0)
    one.failed(1.0, "broken")
    assert (one.state, one.reason) == ("ended", "stopped")


# --- time


def place(anchor: TimeAnchor, frames: list[tuple[float | None, float]]) -> list[tuple[float, int]]:
    return [anchor.place(pts, arrived) for pts, arrived in frames]


def test_live_frames_keep_the_distances_that_they_were_taken_at() -> None:
    rng = np.random.default_rng(1)
    taken = np.arange(250) * 0.04
    late = rng.uniform(0.02, 0.3, taken.size)
    arrived = np.maximum.accumulate(taken + late) + 1000.0
    anchor = TimeAnchor(live=True)
    found = np.array([anchor.place(pts, now)[0] for pts, now in zip(taken, arrived, strict=True)])
    steps = np.diff(found[50:])
    assert np.median(abs(steps - 0.04)) < 0.003
    assert np.median(abs(np.diff(arrived[50:]) - 0.04)) > 0.03, "arrival would have been far worse"
    assert np.ptp(found[50:] - taken[50:]) < 0.1
    assert anchor.epoch == 0
    assert (found <= arrived + 1e-9).all()


def test_no_frame_was_taken_after_it_arrived_though_the_first_ones_come_all_at_once() -> None:
    anchor = TimeAnchor(live=True)
    burst = [(index * 0.04, 100.0 + index * 0.001) for index in range(50)]
    after = [(2.0 + index * 0.04, 100.05 + index * 0.04) for index in range(50)]
    for (t, epoch), (_, arrived) in zip(place(anchor, burst + after), burst + after, strict=True):
        assert t <= arrived + 0.01
        assert epoch == 0


@pytest.mark.parametrize("speed", [0.99, 1.01])
def test_a_clock_that_is_one_percent_off_does_not_drift_away(speed: float) -> None:
    anchor = TimeAnchor(live=True)
    rng = np.random.default_rng(2)
    worst = 0.0
    for index in range(25 * 600):
        now = index * 0.04
        t, epoch = anchor.place(now * speed, now + rng.uniform(0.0, 0.05))
        worst = max(worst, abs(t - now))
        assert epoch == 0
    assert worst < 0.15


@pytest.mark.parametrize("jump", [-50.0, -0.5, 50.0])
def test_a_clock_that_jumps_is_set_anew_on_arrival(jump: float) -> None:
    anchor = TimeAnchor(live=True)
    found = place(anchor, [(5.0, 10.0), (5.04, 10.04), (5.08 + jump, 10.08), (5.12 + jump, 10.12)])
    assert [epoch for _, epoch in found] == [0, 0, 1, 1]
    assert [t for t, _ in found] == pytest.approx([10.0, 10.04, 10.08, 10.12])


def test_frames_without_times_stand_where_they_arrived() -> None:
    found = place(TimeAnchor(live=True), [(None, 3.0), (0.0, 3.1), (None, 3.14), (0.08, 3.18)])
    assert [t for t, _ in found] == pytest.approx([3.0, 3.1, 3.14, 3.18])
    assert {epoch for _, epoch in found} == {0}


def test_a_source_whose_clock_is_worthless_goes_by_arrival() -> None:
    """Single JPEG images ten times a second, which FFmpeg counts as 25 a second."""
    anchor = TimeAnchor(live=True)
    found = place(anchor, [(index * 0.04, index * 0.1) for index in range(600)])
    assert found[-1][1] <= 3
    assert all(b - a == pytest.approx(0.1) for (a, _), (b, _) in pairwise(found[200:]))


def test_a_lost_camera_begins_another_epoch() -> None:
    anchor = TimeAnchor(live=True)
    anchor.restart()
    assert anchor.place(1.0, 5.0) == (5.0, 0)
    anchor.restart()
    assert anchor.place(0.0, 9.0) == (9.0, 1)


def test_how_late_a_frame_is() -> None:
    anchor = TimeAnchor(live=True)
    assert anchor.lag(0.0, 5.0) == 0.0
    anchor.place(0.0, 5.0)
    assert anchor.lag(1.0, 6.7) == pytest.approx(0.7)
    assert anchor.lag(None, 6.7) == 0.0
    assert anchor.lag(50.0, 6.7) == 0.0, "a clock that jumped tells nothing"
    assert TimeAnchor(live=False).lag(0.0, 9.0) == 0.0


def test_files_go_by_their_own_times_however_fast_they_are_read() -> None:
    anchor = TimeAnchor(live=False, start=50.0, interval=0.1)
    found = place(anchor, [(7.0, 0.0), (7.5, 0.001), (None, 0.002), (8.0, 60.0), (0.0, 61.0)])
    assert [t for t, _ in found] == pytest.approx([50.0, 50.5, 50.6, 51.0, 51.1])
    assert [epoch for _, epoch in found] == [0, 0, 0, 0, 1]


def test_a_file_without_any_times_has_its_frame_rate() -> None:
    found = place(TimeAnchor(live=False, interval=0.04), [(None, 9.0), (None, 9.0), (None, 9.0)])
    assert [t for t, _ in found] == pytest.approx([9.0, 9.04, 9.08])


@given(
    live=st.booleans(),
    steps=st.lists(
        st.tuples(st.none() | st.floats(-1e3, 1e3), st.floats(0.0, 10.0)), min_size=2, max_size=40
    ),
)
def test_times_ascend_whatever_comes(live: bool, steps: list[tuple[float | None, float]]) -> None:
    anchor, now, last, epoch = TimeAnchor(live=live), 0.0, -np.inf, 0
    for pts, wait in steps:
        now += wait
        t, found = anchor.place(pts, now)
        assert t > last
        assert found >= epoch
        last, epoch = t, found


def test_two_anchors_agree() -> None:
    frames = [(index * 0.037, index * 0.04 + (index * 7 % 5) * 0.01) for index in range(200)]
    assert place(TimeAnchor(live=True), frames) == place(TimeAnchor(live=True), frames)


# --- rate and pace


@pytest.mark.parametrize(("fps", "wanted"), [(25.0, 12.5), (30.0, 25.0), (25.0, 2.0), (10.0, 25.0)])
def test_a_rate_is_kept(fps: float, wanted: float) -> None:
    rng, limit = np.random.default_rng(3), RateLimit(wanted)
    times = np.arange(int(fps * 60)) / fps + rng.uniform(-0.003, 0.003, int(fps * 60))
    kept = sum(limit.admit(float(t)) for t in times)
    assert kept == pytest.approx(60 * min(fps, wanted), rel=0.05)


def test_no_rate_is_every_frame_and_it_can_change() -> None:
    limit = RateLimit()
    assert all(limit.admit(t / 100) for t in range(100))
    limit.set(1.0)
    assert sum(limit.admit(2.0 + t / 100) for t in range(2000)) in (20, 21)
    limit.set(None)
    assert all(limit.admit(30.0 + t / 100) for t in range(100))


def test_a_rate_survives_a_clock_that_goes_back() -> None:
    limit = RateLimit(1.0)
    assert limit.admit(1000.0)
    assert limit.admit(3.0)
    assert not limit.admit(3.5)
    assert limit.admit(4.0)


def test_a_pace_waits_for_what_is_early_and_for_nothing_else() -> None:
    pace = Pace(Event())
    assert pace.delay(10.0, 100.0) == 0.0
    assert pace.delay(10.5, 100.1) == pytest.approx(0.4)
    assert pace.delay(11.0, 101.5) == 0.0, "late: at once, and caught up"
    assert pace.delay(11.6, 101.5) == pytest.approx(0.1)
    assert pace.delay(0.0, 102.0) == 0.0, "it began again"
    assert pace.delay(3600.0, 102.5) == 0.0, "a hole of an hour is not waited for"
    assert pace.delay(3600.1, 102.5) == pytest.approx(0.1)
    assert pace.delay(3601.0, 200.0) == 0.0, "the machine slept"
    assert pace.delay(3601.1, 200.0) == pytest.approx(0.1)
