"""The last seconds of one person, at any frame rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.live.ring import TrackRing

MAX_GAP = 0.4


def _line(t: float) -> np.ndarray:
    """Two joints that move evenly; never zero."""
    return np.array([[10 + t, 20 - t, 0.5], [30 + 2 * t, 40 + t, 0.9]], np.float32)


def _ring(times: list[float], seconds: float = 10.0, rate: float = 60.0) -> TrackRing:
    ring = TrackRing(seconds, 2, 3, rate)
    for t in times:
        ring.append(t, _line(t))
    return ring


def _even(fps: float, stop: float, start: float = 0.0) -> list[float]:
    return [start + k / fps for k in range(round((stop - start) * fps) + 1)]


@given(st.floats(5, 120), st.floats(0, 1e6), st.sampled_from([12.0, 25.0, 30.0]))
def test_a_steady_motion_is_the_same_at_every_frame_rate(
    camera: float, begin: float, fps: float
) -> None:
    ring = TrackRing(10, 2, 3, rate=200)
    for t in _even(camera, 3.0):
        ring.append(begin + t, _line(t))
    last = round(3 * camera) / camera
    found = ring.resampled(begin + last, fps, 20, MAX_GAP)
    wanted = np.stack([_line(last - (19 - k) / fps) for k in range(20)])
    assert found.valid.all()
    assert np.allclose(found.clip, wanted, atol=1e-3)
    assert found.t0 == pytest.approx(begin + last - 19 / fps)


@given(st.lists(st.booleans(), min_size=60, max_size=60))
def test_dropped_frames_do_not_stretch_time(kept: list[bool]) -> None:
    """Whichever frames are dropped, what is left of them lies where it belongs."""
    times = [k / 30 for k, keep in enumerate(kept) if keep or k in {0, 59}]
    ring = _ring(times)
    found = ring.resampled(times[-1], 25.0, 40, MAX_GAP)
    grid = times[-1] - np.arange(39, -1, -1) / 25
    wanted = np.stack([_line(t) for t in grid])[-len(found.clip) :]
    assert np.allclose(found.clip[found.valid], wanted[found.valid], atol=1e-4)
    assert not found.clip[~found.valid].any()


def test_frames_at_the_networks_rate_come_out_as_they_went_in() -> None:
    rng = np.random.default_rng(0)
    clip = rng.uniform(1, 2, (50, 2, 3)).astype(np.float32)
    ring = TrackRing(3, 2, 3)
    for k, one in enumerate(clip):
        ring.append(1000.1 + k / 25, one)
    found = ring.resampled(1000.1 + 49 / 25, 25.0, 50, MAX_GAP)
    assert np.allclose(found.clip, clip, atol=1e-5)
    assert found.longest_gap == pytest.approx(0.04)


def test_a_clip_begins_with_the_first_sight() -> None:
    found = _ring(_even(25, 1.0)).resampled(1.0, 25.0, 100, MAX_GAP)
    assert len(found.clip) == len(found.valid) == 26
    assert found.t0 == pytest.approx(0.0)


def test_sights_after_the_end_do_not_count() -> None:
    ring = _ring(_even(25, 2.0))
    assert np.allclose(ring.resampled(1.0, 25.0, 5, MAX_GAP).clip[-1], _line(1.0))
    # Nor does it count that somebody comes back after a gap that is too long.
    away = _ring([*_even(25, 1.0), 2.0])
    assert away.resampled(1.2, 25.0, 5, MAX_GAP).valid.all()


def test_a_gap_as_long_as_allowed_is_filled() -> None:
    ring = _ring([*_even(25, 1.0), *_even(25, 2.0, start=1.4)])
    found = ring.resampled(2.0, 25.0, 51, MAX_GAP)
    assert found.valid.all()
    assert np.allclose(found.clip[30], _line(1.2))
    assert found.longest_gap == pytest.approx(0.4)


def test_a_longer_gap_is_zeros_and_not_valid() -> None:
    ring = _ring([*_even(25, 1.0), *_even(25, 2.0, start=1.44)])
    found = ring.resampled(2.0, 25.0, 51, MAX_GAP)
    assert [k for k in range(51) if not found.valid[k]] == list(range(26, 36))
    assert not found.clip[~found.valid].any()
    assert np.allclose(found.clip[25], _line(1.0))
    assert np.allclose(found.clip[36], _line(1.44))
    assert found.longest_gap == pytest.approx(0.44)
    assert ring.unbroken_since(MAX_GAP) == pytest.approx(1.44)
    assert ring.unbroken_since(0.5) == 0.0


def test_only_what_comes_after_since_counts() -> None:
    ring = _ring(_even(25, 2.0))
    found = ring.resampled(2.0, 25.0, 51, MAX_GAP, since=1.0)
    assert len(found.clip) == 26
    assert found.t0 == pytest.approx(1.0)


def test_a_window_that_begins_inside_a_long_gap_begins_after_it() -> None:
    ring = _ring([0.0, *_even(25, 2.0, start=1.0)])
    found = ring.resampled(2.0, 25.0, 40, MAX_GAP)
    assert len(found.clip) == 26
    assert found.valid.all()


def test_after_the_last_sight_the_pose_holds_for_a_while_and_no_longer() -> None:
    found = _ring(_even(25, 1.0)).resampled(1.6, 25.0, 30, MAX_GAP)
    shown = found.t0 + np.arange(len(found.clip)) / 25
    assert np.array_equal(found.valid, shown <= 1.4 + 1e-6)
    held = found.valid & (shown > 1.0 + 1e-6)
    assert held.sum() == 10
    assert np.allclose(found.clip[held], _line(1.0))
    assert found.longest_gap == pytest.approx(0.6)


def test_a_lost_joint_is_not_mixed_with_one_that_is_there() -> None:
    ring = TrackRing(5, 2, 3)
    ring.append(0.0, _line(0.0))
    half = _line(0.1)
    half[1] = 0
    ring.append(0.1, half)
    clip = ring.resampled(0.1, 50.0, 6, MAX_GAP).clip
    # The nearer sight has it until half way, and then it is lost.
    assert [bool(one.any()) for one in clip[:, 1]] == [True, True, True, False, False, False]
    assert np.allclose(clip[:3, 1], _line(0.0)[1])
    assert np.allclose(clip[:, 0], np.stack([_line(t)[0] for t in np.arange(6) / 50]), atol=1e-5)


def test_nobody_seen_is_an_empty_clip() -> None:
    empty = TrackRing(5, 2, 3)
    assert empty.resampled(1.0, 25.0, 10, MAX_GAP).clip.shape == (0, 2, 3)
    late = _ring([0.0, 0.04]).resampled(5.0, 25.0, 10, MAX_GAP)
    assert late.clip.shape == (0, 2, 3)
    assert late.longest_gap == pytest.approx(4.96)
    assert _ring([1.0]).resampled(0.5, 25.0, 10, MAX_GAP).clip.shape == (0, 2, 3)


def test_one_sight_is_a_clip_of_one_frame() -> None:
    found = _ring([3.0]).resampled(3.0, 25.0, 10, MAX_GAP)
    assert found.clip.shape == (1, 2, 3)
    assert found.t0 == 3.0


@pytest.mark.parametrize("t", [1.0, 0.9, float("nan")])
def test_time_goes_on(t: float) -> None:
    ring = _ring([0.5, 1.0])
    with pytest.raises(ValueError, match=r"after one at 1\.0"):
        ring.append(t, _line(0))
    assert len(ring) == 2


def test_other_joints_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\) in a ring of \(2, 3\)"):
        _ring([0.5]).append(1.0, np.zeros((1, 3), np.float32))


@pytest.mark.parametrize(("seconds", "rate"), [(0, 60), (5, 0), (-1, 60)])
def test_a_ring_holds_some_time(seconds: float, rate: float) -> None:
    with pytest.raises(ValueError, match="holds some time"):
        TrackRing(seconds, 2, 3, rate)


@pytest.mark.parametrize("camera", [10.0, 25.0, 60.0, 120.0, 1000.0])
def test_the_last_seconds_are_there_at_every_rate_in_bounded_memory(camera: float) -> None:
    ring = _ring(_even(camera, 5.0), seconds=2.0)
    assert len(ring) <= 2 * 60 + 2
    assert (ring.thinned > 0) == (camera > 61)
    end = round(5 * camera) / camera
    found = ring.resampled(end, 25.0, 50, MAX_GAP)
    assert len(found.clip) == 50
    wanted = np.stack([_line(end - (49 - k) / 25) for k in range(50)])
    # What was thinned out at the very end is held for less than a sixtieth of a second.
    assert np.abs(found.clip - wanted).max() < 2.1 / 60


def test_sights_close_together_are_kept_where_there_is_room() -> None:
    """A camera of 25 frames a second whose frames come in pairs."""
    times = [k / 12.5 + late for k in range(250) for late in (0, 0.004)]
    assert _ring(times, seconds=2.0).thinned == 0


def test_sights_are_counted_between_two_times() -> None:
    ring = _ring(_even(10, 5.0))
    assert ring.sights(1.0, 2.0) == 11
    assert ring.sights(6.0, 7.0) == 0


def test_older_sights_are_overwritten_in_order() -> None:
    ring = _ring(_even(25, 100.0), seconds=1.0)
    found = ring.resampled(100.0, 25.0, 25, MAX_GAP)
    assert np.allclose(found.clip[:, 0, 0], 10 + 100 - np.arange(24, -1, -1) / 25, atol=1e-4)
