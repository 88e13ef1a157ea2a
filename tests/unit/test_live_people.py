"""From the people in frames to windows: which, when, and of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from live_people import JOINTS, Told, frame, keypoints, people, somebody, times

from stgcn_deploy.live.frames import Detection
from stgcn_deploy.live.people import People
from stgcn_deploy.live.scheduler import Beat, phase_of
from stgcn_deploy.live.windows import Window

AT = (300.0, 200.0)


def _show(
    crowd: People, when: Sequence[float], ids: Sequence[int] = (5,), camera: str = "door"
) -> list[Window]:
    """The people of these ids, side by side, at these times; the windows."""
    made: list[Window] = []
    for t in when:
        shown = [somebody(t, (AT[0] + 150 * k, AT[1]), id=k, seed=k) for k in ids]
        made += crowd.update(frame(t, camera), shown, t + 0.02)[1]
    return made


# ---- when -----------------------------------------------------------------------------------


def test_windows_come_every_stride_once_enough_was_seen() -> None:
    told = Told()
    crowd = people(told, stride=1.0, min_fill=0.5)
    made = _show(crowd, times(100, 110, 25))
    first = made[0].t1
    # Half of 50 frames, and then up to one stride, by the person's own phase.
    assert 100.96 <= first < 102.0
    assert [one.t1 for one in made] == pytest.approx([first + k for k in range(len(made))])
    assert len(made) == 9
    assert told.windows == made
    assert told.dropped == []


def test_a_window_says_what_it_is_made_of() -> None:
    crowd = people(Told(), stride=1.0)
    one = _show(crowd, times(100, 110, 25))[-1]
    assert one.key == ("door", 1)
    assert one.tracks == (1,)
    assert one.clip.shape == (1, 50, JOINTS, 3)
    assert one.clip.dtype == np.float32
    assert (one.fill, one.valid_ratio, one.size) == (1.0, 1.0, (640, 480))
    assert one.t0 == pytest.approx(one.t1 - 49 / 25)
    assert (one.arrived, one.due) == (one.t1 + 0.01, one.t1 + 0.02)
    shown = keypoints(one.t1, (1050.0, 200.0))
    assert np.allclose(one.clip[0, -1], shown, atol=1e-3)
    assert one.box is not None
    x, y, _, height = one.box
    assert shown[:, 0].min() == pytest.approx(x)
    assert shown[:, 1].max() == pytest.approx(y + height)
    wanted = [keypoints(one.t1 - k / 25, (1050.0, 200.0)) for k in range(49, -1, -1)]
    assert np.allclose(one.clip[0], wanted, atol=1e-2)


def test_the_first_window_is_short_and_says_so() -> None:
    made = _show(people(Told(), stride=0.2, min_fill=0.5), times(0, 4, 25))
    fills = [one.fill for one in made]
    assert 0.5 <= fills[0] <= 0.6
    assert fills == sorted(fills)
    assert fills[-1] == 1.0
    assert [one.clip.shape[1] for one in made] == [round(50 * fill) for fill in fills]
    assert made[0].t0 == pytest.approx(0.0)


@pytest.mark.parametrize("camera", [5.0, 10.0, 15.0, 30.0, 60.0, 144.0])
def test_windows_have_the_networks_rate_whatever_the_cameras(camera: float) -> None:
    made = _show(people(Told(), stride=1.0), times(0, 6, camera), ids=(0,))
    assert len(made) >= 4
    assert made[-1].clip.shape[1] == 50
    wanted = [keypoints(made[-1].t1 - k / 25, AT) for k in range(49, -1, -1)]
    # Limbs that swing with 5 rad/s and 12 pixels at most, between frames 0.2 s apart or less.
    away = np.abs(made[-1].clip[0] - wanted).max()
    assert away < 2 + 12 * (5 / camera) ** 2 / 2


def test_half_of_the_frames_dropped_leave_the_windows_almost_as_they_were() -> None:
    whole, half = people(Told(), stride=1.0), people(Told(), stride=1.0)
    rng = np.random.default_rng(0)
    when = times(0, 8, 25)
    kept = [t for t in when if rng.random() < 0.5]
    all_made, made = _show(whole, when, ids=(0,)), _show(half, kept, ids=(0,))
    assert len(made) == len(all_made)
    for one in made[2:]:
        wanted = [keypoints(one.t1 - k / 25, AT) for k in range(len(one.clip[0]) - 1, -1, -1)]
        assert np.abs(one.clip[0] - wanted).mean() < 0.3


def test_who_is_late_does_not_get_windows_in_a_bunch() -> None:
    crowd = people(Told(), stride=0.5, max_gap=2.0, max_age=10.0)
    when = [t for t in times(0, 20, 25) if not (5 < t < 6.7 or 10.1 < t < 10.9)]
    ends = [one.t1 for one in _show(crowd, when)]
    assert min(np.diff(ends)) >= 0.25 - 1e-6
    assert ends[-1] - ends[-2] == pytest.approx(0.52, abs=0.05)


def test_the_stride_may_change_at_any_time() -> None:
    crowd = people(Told(), stride=1.0)
    ends = [one.t1 for one in _show(crowd, times(0, 10, 25))]
    assert np.allclose(np.diff(ends), 1.0)
    crowd.stride = 2.0
    ends = [one.t1 for one in _show(crowd, times(10.04, 20, 25))]
    assert np.allclose(np.diff(ends), 2.0)
    crowd.stride = 0.4
    ends = [one.t1 for one in _show(crowd, times(20.04, 26, 25))]
    assert np.allclose(np.diff(ends)[1:], 0.4)


def test_people_and_cameras_do_not_fire_together() -> None:
    ends = []
    for camera in range(40):
        crowd = people(Told(), stride=1.0, camera=f"cam{camera}")
        ends += [
            one.t1 % 1 for one in _show(crowd, times(0, 4, 25), ids=(0, 1), camera=f"cam{camera}")
        ]
    counts, _ = np.histogram(ends, bins=5, range=(0, 1))
    assert counts.min() > 0.05 * len(ends)


def test_a_phase_moves_all_windows_of_a_camera() -> None:
    early = _show(people(Told(), stride=1.0), times(0, 8, 100))
    late = _show(people(Told(), stride=1.0, phase=0.25), times(0, 8, 100))
    assert (late[0].t1 - early[0].t1) % 1 == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.6, 0.9, 1.7])
def test_the_first_window_comes_within_one_stride_whatever_the_phase(phase: float) -> None:
    made = _show(people(Told(), stride=1.0, phase=phase), times(0, 8, 25))
    assert 0.96 - 1e-6 <= made[0].t1 <= 0.96 + 1.04


def test_only_those_longest_in_sight_get_windows_when_only_some_may() -> None:
    crowd = people(Told(), stride=0.2)
    _show(crowd, times(0, 1, 25), ids=(2,))
    _show(crowd, times(1.04, 2, 25), ids=(1, 2))
    crowd.most = 2
    made = _show(crowd, times(2.04, 6, 25), ids=(0, 1, 2))
    assert {one.track for one in made} == {1, 2}
    crowd.most = 0
    assert _show(crowd, times(6.04, 7, 25), ids=(0, 1, 2)) == []
    crowd.most = None
    assert {one.track for one in _show(crowd, times(7.04, 9, 25), ids=(0, 1, 2))} == {1, 2, 3}


@pytest.mark.parametrize("stride", [0.2, 1.0, 3.0])
def test_a_beat_is_steady_and_never_bunches(stride: float) -> None:
    rng = np.random.default_rng(0)
    t, hits, beat = 0.0, [], Beat(5.0)
    for _ in range(3000):
        t += float(rng.exponential(0.05)) if rng.random() < 0.99 else float(rng.uniform(0, 9))
        if beat.due(t, stride):
            hits.append(t)
    assert hits[0] >= 5.0
    assert min(np.diff(hits)) >= stride / 2 - 1e-9
    # All keep to the first one's phase: what is late is late because no frame came.
    assert len(hits) > 0.5 * (t - 5) / stride


def test_phases_are_always_the_same_and_spread() -> None:
    assert phase_of("door", 7) == phase_of("door", 7) != phase_of("door", 8)
    phases = [phase_of(f"cam{k}", 1) for k in range(200)]
    assert np.histogram(phases, bins=4, range=(0, 1))[0].min() > 30


# ---- gaps --------------------------------------------------------------------------------------


def test_a_short_gap_is_filled_and_told() -> None:
    crowd = people(Told(), stride=0.2)
    _show(crowd, times(0, 3, 25), ids=(0,))
    # Frames come, but the person is hidden in some of them.
    for t in times(3.04, 3.32, 25):
        assert crowd.update(frame(t), [], t)[0] == []
    made = _show(crowd, times(3.36, 4, 25), ids=(0,))
    assert made[0].fill == 1.0
    assert made[0].valid_ratio == pytest.approx(42 / 50)
    assert made[0].clip.any(axis=(2, 3)).all()


def test_nothing_is_due_while_somebody_is_out_of_sight() -> None:
    told = Told()
    crowd = people(told, stride=0.2)
    _show(crowd, times(0, 3, 25))
    made = len(told.windows)
    for t in times(3.04, 3.8, 25):
        crowd.update(frame(t), [], t)
    assert len(told.windows) == made
    assert told.dropped == []


@pytest.mark.parametrize("hidden", [False, True])
def test_after_a_long_gap_the_window_begins_anew(hidden: bool) -> None:
    """Whether the person was hidden or the camera away: never one window over the seam."""
    told = Told()
    crowd = people(told, stride=0.2, min_fill=0.5, max_age=5.0)
    _show(crowd, times(0, 3, 25), ids=(0,))
    if hidden:
        for t in times(3.04, 3.56, 25):
            crowd.update(frame(t), [], t)
    made = _show(crowd, times(3.6, 7, 25), ids=(0,))
    assert made[0].t1 >= 3.6 + 24 / 25 - 1e-6
    assert made[0].t0 == pytest.approx(3.6)
    assert made[0].track == 1
    assert all(one.t0 > 3.59 for one in made)
    assert set(told.dropped) == {"gap"}
    assert len(told.dropped) in {4, 5}
    assert made[-1].fill == 1.0


def test_somebody_new_after_the_gap_is_due_only_when_enough_was_seen() -> None:
    told = Told()
    crowd = people(told, stride=0.2, max_age=1.0)
    _show(crowd, times(0, 3, 25), ids=(0,))
    made = _show(crowd, times(5, 8, 25), ids=(0,))
    assert crowd.gone() == [1]
    assert {one.track for one in made} == {2}
    assert made[0].t0 == pytest.approx(5.0)
    assert told.dropped == []


def test_a_window_that_the_gap_is_not_to_blame_for_is_underfilled() -> None:
    told = Told()
    crowd = people(told, stride=0.2, min_fill=1.0, max_age=20.0)
    _show(crowd, times(0, 3, 25), ids=(0,))
    # Away for longer than a window: also without the gap there would be too little.
    _show(crowd, times(13, 13.5, 25), ids=(0,))
    assert set(told.dropped) == {"underfilled"}


def test_a_camera_that_is_set_anew_counts_by_its_gap_in_time() -> None:
    crowd = people(Told(), stride=0.2)
    _show(crowd, times(0, 3, 25), ids=(0,))
    t = 3.04
    people_there, _ = crowd.update(replace(frame(t), epoch=1), [somebody(t, AT, id=0)], t)
    assert [one.track for one in people_there] == [1]


# ---- who ---------------------------------------------------------------------------------------


def test_sights_before_somebody_counts_count_later() -> None:
    crowd = people(Told(), confirm=5, stride=0.04, min_fill=0.1)
    shown = [crowd.update(frame(t), [somebody(t, AT)], t) for t in times(0, 2, 25)]
    assert [len(there) for there, _ in shown[:6]] == [0, 0, 0, 0, 1, 1]
    first = next(made[0] for _, made in shown if made)
    assert first.t0 == pytest.approx(0.0)


def test_people_are_told_with_their_number_and_detection() -> None:
    crowd = people(Told())
    shown = [somebody(0.0, AT), somebody(0.0, (600.0, 200.0))]
    there, _ = crowd.update(frame(0.0), shown, 0.0)
    assert sorted((one.track, id(one.detection)) for one in there) == sorted(
        (one.track, id(shown[k])) for k, one in enumerate(sorted(there, key=lambda x: x.track))
    )


def test_those_who_left_are_told_once() -> None:
    crowd = people(Told(), max_age=1.0)
    _show(crowd, times(0, 1, 25), ids=(0, 1))
    _show(crowd, times(1.04, 2.4, 25), ids=(0,))
    assert crowd.gone() == [2]
    assert crowd.gone() == []
    crowd.reset()
    assert crowd.gone() == [1]


def test_after_a_reset_everybody_is_new() -> None:
    crowd = people(Told(), stride=0.2)
    _show(crowd, times(0, 3, 25), ids=(0,))
    crowd.reset()
    made = _show(crowd, times(3.04, 6, 25), ids=(0,))
    assert {one.track for one in made} == {2}
    assert min(one.t0 for one in made) == pytest.approx(3.04)


def test_another_size_of_the_picture_is_a_new_beginning() -> None:
    crowd = people(Told(), stride=0.2)
    _show(crowd, times(0, 3, 25), ids=(0,))
    made = []
    for t in times(3.04, 6, 25):
        shown = [somebody(t, AT, id=0)]
        made += crowd.update(frame(t, size=(1280, 720)), shown, t)[1]
    assert crowd.gone() == [1]
    assert {one.size for one in made} == {(1280, 720)}
    assert min(one.t0 for one in made) == pytest.approx(3.04)


def test_memory_goes_with_those_who_left() -> None:
    crowd = people(Told(), confirm=2)
    rng = np.random.default_rng(0)
    for t in times(0, 40, 25):
        shown = [somebody(t, tuple(rng.uniform(0, 9000, 2))) for _ in range(4)]
        crowd.update(frame(t), shown, t)
    assert len(crowd._memory) <= 4 * 27


def test_frames_that_are_not_newer_are_left_out_and_counted() -> None:
    crowd = people(Told())
    crowd.update(frame(1.0), [somebody(1.0, AT, id=0)], 1.0)
    for t in (1.0, 0.5, float("nan")):
        assert crowd.update(frame(t), [somebody(1.0, AT, id=0)], 1.0) == ([], [])
    assert crowd.late == 3


def test_joints_that_are_no_numbers_are_joints_not_found() -> None:
    crowd = people(Told(), stride=0.04, min_fill=0.0)
    broken = keypoints(0.0, AT)
    broken[3, 1], broken[4, 0] = np.nan, np.inf
    _, made = crowd.update(frame(0.0), [Detection(broken, id=0)], 0.0)
    made += _show(crowd, times(0.04, 1.5, 25), ids=(0,))
    assert all(np.isfinite(one.clip).all() for one in made)
    nobody = np.full((JOINTS, 3), np.nan, np.float32)
    assert crowd.update(frame(2.0), [Detection(nobody), Detection(nobody * 0)], 2.0) == ([], [])
    assert crowd.empty == 2


def test_of_very_many_detections_the_best_are_looked_at() -> None:
    crowd = people(Told())
    shown = [
        somebody(0.0, (100.0 * (k % 20), 300.0 * (k // 20)), score=k / 200) for k in range(150)
    ]
    there, _ = crowd.update(frame(0.0), shown, 0.0)
    assert len(there) == 100
    assert min(one.detection.score for one in there) == 0.25
    assert crowd.surplus == 50


# ---- scenes ----------------------------------------------------------------------------------


def test_a_scene_is_one_window_with_a_place_for_everybody() -> None:
    told = Told()
    crowd = people(told, mode="scene", persons=3, stride=1.0)
    made = _show(crowd, times(0, 6, 25), ids=(0, 1))
    assert np.allclose(np.diff([one.t1 for one in made]), 1.0)
    one = made[-1]
    assert one.key == ("door", None)
    assert one.tracks == (1, 2, 0)
    assert one.clip.shape == (3, 50, JOINTS, 3)
    assert one.clip[:2].any(axis=(2, 3)).all()
    assert not one.clip[2].any()
    assert (one.fill, one.valid_ratio, one.box) == (1.0, 1.0, None)
    assert np.allclose(one.clip[1, -1], keypoints(one.t1, (450.0, 200.0)), atol=1e-3)
    assert told.windows == made


def test_who_comes_later_begins_with_nothing_on_the_same_grid() -> None:
    crowd = people(Told(), mode="scene", persons=2, stride=0.2)
    _show(crowd, times(0, 3, 25), ids=(0,))
    one = _show(crowd, times(3.04, 4, 25), ids=(0, 1))[-1]
    assert one.tracks == (1, 2)
    shown = one.t0 + np.arange(50) / 25
    assert np.array_equal(one.clip[1].any(axis=(1, 2)), shown >= 3.04 - 1e-6)
    assert one.clip[0].any(axis=(1, 2)).all()


def test_places_stay_and_are_given_on() -> None:
    crowd = people(Told(), mode="scene", persons=2, stride=0.2, max_age=1.0)
    _show(crowd, times(0, 3, 25), ids=(0, 1))
    # The first one leaves: for as long as that is in the window, it is shown.
    made = _show(crowd, times(3.04, 7, 25), ids=(1,))
    assert [one.tracks for one in (made[0], made[-1])] == [(1, 2), (0, 2)]
    for one in made:
        shown = one.t0 + np.arange(50) / 25
        there = one.clip[0].any(axis=(1, 2))
        # Who is out of sight for no longer than a gap may be, holds still.
        assert not there[shown > 3.4 + 1e-6].any()
        assert there[shown <= 3.0].all()
        assert one.clip[1].any(axis=(1, 2)).all()
    assert _show(crowd, times(7.04, 8, 25), ids=(1, 2))[-1].tracks == (3, 2)


def test_a_newcomer_takes_the_place_of_one_who_left() -> None:
    crowd = people(Told(), mode="scene", persons=2, stride=0.2, max_age=0.2)
    _show(crowd, times(0, 3, 25), ids=(0, 1))
    one = _show(crowd, times(3.04, 3.8, 25), ids=(1, 2))[-1]
    assert one.tracks == (3, 2)
    shown = one.t0 + np.arange(50) / 25
    assert np.array_equal(one.clip[0].any(axis=(1, 2)), shown >= 3.04 - 1e-6)
    assert crowd._memory.keys() == set(crowd._seats.tracks)


def test_more_people_than_places_are_counted() -> None:
    crowd = people(Told(), mode="scene", persons=2, stride=1.0)
    made = _show(crowd, times(0, 6, 25), ids=(0, 1, 2))
    assert {one.tracks for one in made} == {(1, 2)}
    assert crowd.crowded == len(made) > 0


def test_fewer_people_when_only_some_may_be_shown() -> None:
    crowd = people(Told(), mode="scene", persons=3, stride=0.2)
    _show(crowd, times(0, 1, 25), ids=(0,))
    crowd.most = 1
    one = _show(crowd, times(1.04, 3, 25), ids=(0, 1))[-1]
    assert one.tracks == (1, 0, 0)
    assert not one.clip[1:].any()


def test_a_scene_that_the_camera_missed_begins_anew() -> None:
    told = Told()
    crowd = people(told, mode="scene", persons=2, stride=0.2, max_age=5.0)
    _show(crowd, times(0, 3, 25), ids=(0, 1))
    made = _show(crowd, times(3.6, 7, 25), ids=(0, 1))
    assert made[0].t0 == pytest.approx(3.6)
    assert made[0].tracks == (1, 2)
    assert set(told.dropped) == {"gap"}


def test_who_was_hidden_is_missing_in_between_and_the_scene_goes_on() -> None:
    crowd = people(Told(), mode="scene", persons=2, stride=0.2, max_age=5.0)
    _show(crowd, times(0, 3, 25), ids=(0, 1))
    _show(crowd, times(3.04, 3.6, 25), ids=(0,))
    one = _show(crowd, times(3.64, 4, 25), ids=(0, 1))[-1]
    shown = one.t0 + np.arange(50) / 25
    hidden = (shown > 3.0 + 1e-6) & (shown < 3.64 - 1e-6)
    assert np.array_equal(one.clip[1].any(axis=(1, 2)), ~hidden)
    assert (one.fill, one.valid_ratio) == (1.0, 1.0)


def test_a_scene_in_which_nobody_was_seen_for_a_while_says_so() -> None:
    crowd = people(Told(), mode="scene", persons=2, stride=0.2, max_age=5.0)
    _show(crowd, times(0, 3, 25), ids=(0,))
    for t in times(3.04, 3.6, 25):
        crowd.update(frame(t), [], t)
    one = _show(crowd, times(3.64, 4, 25), ids=(0,))[-1]
    assert one.valid_ratio == pytest.approx(35 / 50)


def test_a_scene_begins_anew_after_a_reset() -> None:
    told = Told()
    crowd = people(told, mode="scene", persons=2, stride=0.2)
    _show(crowd, times(0, 3, 25), ids=(0,))
    crowd.reset()
    made = _show(crowd, times(3.04, 6, 25), ids=(0,))
    assert told.dropped == []
    assert made[0].tracks == (2, 0)
    assert made[0].t0 == pytest.approx(3.04)


def test_an_empty_scene_is_never_due_and_a_new_one_has_to_fill() -> None:
    told = Told()
    crowd = people(told, mode="scene", persons=2, stride=0.2, max_age=1.0)
    _show(crowd, times(0, 3, 25), ids=(0,))
    made = len(told.windows)
    for t in times(3.04, 10, 25):
        crowd.update(frame(t), [], t)
    assert (len(told.windows), told.dropped) == (made, [])
    later = _show(crowd, times(10.04, 13, 25), ids=(1,))
    assert set(told.dropped) == {"underfilled"}
    assert later[0].t0 == pytest.approx(10.04)
    assert later[0].tracks == (2, 0)


# ---- the whole ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "persons"), [("person", 1), ("scene", 3)])
def test_two_that_see_the_same_make_the_same(mode: str, persons: int) -> None:
    made: list[list[Window]] = []
    for _ in range(2):
        crowd, rng = (
            people(Told(), mode=mode, persons=persons, confirm=2, stride=0.3),
            (np.random.default_rng(5)),
        )
        made.append([])
        place = rng.uniform(0, 600, (5, 2))
        for t in times(0, 8, 25):
            place += rng.normal(0, 4, place.shape)
            shown = [
                somebody(t, tuple(at), noise=3.0, seed=k)
                for k, at in enumerate(place)
                if rng.random() < 0.8
            ]
            if rng.random() < 0.7:
                made[-1] += crowd.update(frame(t), shown, t)[1]
    first, second = made
    assert len(first) == len(second) > 10
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.clip, other.clip)
        assert replace(one, clip=other.clip) == other
