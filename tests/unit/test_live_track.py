"""Who is who from frame to frame."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

import numpy as np
import pytest
from live_people import Path, keypoints, somebody, times

from stgcn_deploy.errors import MissingDependencyError
from stgcn_deploy.live.frames import Detection
from stgcn_deploy.live.settings import TrackSettings
from stgcn_deploy.live.similarity import Poses, box_of, similarity
from stgcn_deploy.live.track import Tracker


def _tracker(confirm: int = 1, max_age: float = 1.0, min_match: float = 0.2) -> Tracker:
    return Tracker(TrackSettings(confirm=confirm, max_age=max_age, min_match=min_match))


def _numbers(tracker: Tracker, t: float, detections: Sequence[Detection]) -> list[int | None]:
    """The number of each detection, in their order; None where it was left out or does not count yet."""
    found = tracker.update(t, detections)
    by_detection = {id(detection): track.number for track, detection in found}
    return [by_detection.get(id(detection)) for detection in detections]


def _follow(
    tracker: Tracker, paths: Sequence[Path], when: Sequence[float], **how: float
) -> list[set[int | None]]:
    """All numbers that each person ever had."""
    had: list[set[int | None]] = [set() for _ in paths]
    for t in when:
        shown = [somebody(t, path(t), **{"seed": k, **how}) for k, path in enumerate(paths)]
        for one, number in zip(had, _numbers(tracker, t, shown), strict=True):
            one.add(number)
    return had


# ---- people without numbers of their own -----------------------------------------------------


@pytest.mark.parametrize("fps", [5.0, 10.0, 25.0, 60.0])
@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_a_walker_is_one_person(fps: float, noise: float) -> None:
    path = lambda t: (100 + 90 * t, 200)  # noqa: E731
    assert _follow(_tracker(), [path], times(0, 6, fps), noise=noise) == [{1}]


@pytest.mark.parametrize("fps", [10.0, 25.0])
@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_two_who_cross_keep_their_numbers(fps: float, noise: float) -> None:
    paths = [lambda t: (100 + 100 * t, 200), lambda t: (600 - 100 * t, 210)]
    tracker = _tracker()
    assert _follow(tracker, paths, times(0, 5, fps), noise=noise) == [{1}, {2}]


def test_two_who_cross_at_right_angles_keep_their_numbers() -> None:
    paths = [lambda t: (100 + 100 * t, 250), lambda t: (350, 120 * t - 50)]
    assert _follow(_tracker(), paths, times(0, 5, 25), noise=2.0) == [{1}, {2}]


def test_one_hidden_behind_the_other_while_they_cross_keeps_the_number() -> None:
    tracker = _tracker()
    near, far = (lambda t: (100 + 100 * t, 200)), (lambda t: (600 - 100 * t, 205))
    had: dict[str, set[int | None]] = {"near": set(), "far": set()}
    for t in times(0, 5, 25):
        shown = {"near": somebody(t, near(t), noise=2.0, seed=1)}
        if abs(near(t)[0] - far(t)[0]) > 50:
            shown["far"] = somebody(t, far(t), noise=2.0, seed=2)
        for name, number in zip(shown, _numbers(tracker, t, list(shown.values())), strict=True):
            had[name].add(number)
    assert had == {"near": {1}, "far": {2}}


def test_somebody_out_of_sight_for_less_than_max_age_is_the_same() -> None:
    tracker = _tracker(max_age=1.0)
    path = lambda t: (100 + 60 * t, 200)  # noqa: E731
    when = [t for t in times(0, 5, 25) if not 2.0 < t < 2.9]
    assert _follow(tracker, [path], when, noise=2.0) == [{1}]
    assert tracker.ended() == []


def test_somebody_out_of_sight_for_longer_is_another() -> None:
    tracker = _tracker(max_age=1.0)
    path = lambda t: (300, 200)  # noqa: E731
    when = [t for t in times(0, 5, 25) if not 2.0 < t < 3.1]
    assert _follow(tracker, [path], when) == [{1, 2}]
    assert [one.number for one in tracker.ended()] == [1]
    assert tracker.ended() == []


def test_ages_are_seconds_and_not_frames() -> None:
    """At 2 frames a second, nobody is lost between two frames."""
    assert _follow(_tracker(max_age=1.0), [lambda t: (300 + 10 * t, 200)], times(0, 6, 2)) == [{1}]


def test_somebody_elsewhere_is_another() -> None:
    tracker = _tracker()
    assert _numbers(tracker, 0.0, [somebody(0.0, (100, 200))]) == [1]
    assert _numbers(tracker, 0.04, [somebody(0.04, (500, 200))]) == [2]


@pytest.mark.parametrize("seed", range(5))
def test_who_jumps_is_the_same_however_few_frames_there_are(seed: int) -> None:
    """Half a body's height up and down, and on; whoever goes on as they went is somewhere else."""
    rng = np.random.default_rng(seed)
    when = [t for t in times(0, 6, 25) if rng.random() < 0.3]
    assert max(np.diff(when)) > 0.3
    path = lambda t: (100 + 40 * t, 200 - 90 * abs(np.sin(4 * t)))  # noqa: E731
    assert _follow(_tracker(), [path], when, noise=2.0, seed=seed) == [{1}]


def test_who_turns_round_out_of_sight_is_the_same() -> None:
    path = lambda t: (300 - 80 * abs(t - 2), 200)  # noqa: E731
    when = [t for t in times(0, 4, 25) if not 1.7 < t < 2.4]
    assert _follow(_tracker(), [path], when, noise=2.0) == [{1}]


def test_joints_that_come_and_go_change_nobody() -> None:
    tracker = _tracker()
    rng = np.random.default_rng(0)
    for t in times(0, 4, 25):
        shown = []
        for k, x in enumerate((200, 300)):
            points = keypoints(t, (x + 20 * t, 200), 2.0, k)
            points[rng.random(len(points)) < 0.5] = 0
            shown.append(Detection(points))
        assert _numbers(tracker, t, shown) == [1, 2]


def test_few_joints_in_common_are_matched_by_the_box() -> None:
    tracker = _tracker()
    points = keypoints(0.0, (200, 200))
    upper, lower = points.copy(), points.copy()
    upper[6:], lower[:6] = 0, 0
    box = (160.0, 100.0, 80.0, 200.0)
    assert _numbers(tracker, 0.0, [Detection(upper, box=box)]) == [1]
    assert _numbers(tracker, 0.04, [Detection(lower, box=box)]) == [1]


@pytest.mark.parametrize("confirm", [1, 2])
def test_somebody_found_twice_is_one_person(confirm: int) -> None:
    tracker = _tracker(confirm)
    for t in times(0, 2, 25):
        first = somebody(t, (200, 200), score=0.9, noise=1.0, seed=1)
        again = somebody(t, (200, 200), score=0.6, noise=1.0, seed=2)
        late = None if t < 0.01 and confirm == 2 else 1
        assert _numbers(tracker, t, [again, first]) == [None, late]
    assert tracker.twice == 51


def test_who_counts_chooses_before_who_does_not_yet() -> None:
    tracker = _tracker(confirm=3)
    path = lambda t: (200 + 30 * t, 200)  # noqa: E731
    for t in times(0, 1, 25):
        tracker.update(t, [somebody(t, path(t))])
    # A ghost beside them for one frame, then one detection, nearer to the ghost: the person's.
    tracker.update(1.04, [somebody(1.04, path(1.04)), somebody(1.04, (260, 200), score=0.4)])
    assert len(tracker.tracks) == 2
    assert _numbers(tracker, 1.08, [somebody(1.08, (250, 200))]) == [1]


def test_nobody_counts_before_confirm_sights() -> None:
    tracker = _tracker(confirm=3)
    numbers = [_numbers(tracker, t, [somebody(t, (200, 200))])[0] for t in (0.0, 0.04, 0.08, 0.12)]
    assert numbers == [None, None, 1, 1]
    track, _ = tracker.update(0.16, [somebody(0.16, (200, 200))])[0]
    assert (track.born, track.sights) == (0.0, 5)


def test_ghosts_get_no_numbers() -> None:
    tracker = _tracker(confirm=2)
    rng = np.random.default_rng(0)
    for k, t in enumerate(times(0, 4, 25)):
        shown = [somebody(t, (200, 200))]
        if k % 10 == 5:
            shown.append(somebody(t, tuple(rng.uniform(350, 3000, 2)), score=0.3))
        tracker.update(t, shown)
    assert [one.number for one in tracker.tracks if one.number is not None] == [1]


def test_the_unit_of_coordinates_does_not_matter() -> None:
    """Shares of the picture instead of pixels."""
    tracker = _tracker()
    for t in times(0, 5, 25):
        shown = []
        for k, x in enumerate((100 + 100 * t, 600 - 100 * t)):
            points = keypoints(t, (x, 200 + 10 * k), 2.0, k) / np.float32([640, 480, 1])
            shown.append(Detection(points))
        assert _numbers(tracker, t, shown) == [1, 2]


def test_boxes_and_scores_that_are_no_numbers_harm_nobody_else() -> None:
    tracker = _tracker()
    for t in times(0, 1, 25):
        fine = somebody(t, (100, 200))
        odd = Detection(keypoints(t, (400, 200)), score=float("nan"))
        lost = Detection(keypoints(t, (700, 200)), box=(float("nan"), 0.0, float("inf"), 50.0))
        assert _numbers(tracker, t, [fine, odd, lost])[0] == 1


def test_two_side_by_side_are_a_suspect_and_two_apart_are_not() -> None:
    apart, close = _tracker(), _tracker()
    _follow(apart, [lambda t: (100, 200), lambda t: (500, 200)], times(0, 2, 25))
    _follow(
        close,
        [lambda t: (100 + 50 * t, 200), lambda t: (180 - 50 * t, 200)],
        times(0, 2, 25),
        noise=2.0,
    )
    assert apart.suspects == 0
    assert close.suspects > 0


# ---- people whom the source follows ------------------------------------------------------------


def test_ids_of_the_source_are_kept_wherever_people_jump() -> None:
    tracker = _tracker(confirm=3)
    for k, t in enumerate(times(0, 3, 25)):
        places = [(100, 200), (400, 200)]
        shown = [
            somebody(t, places[k % 2], id=905),
            somebody(t, places[1 - k % 2], id=17),
        ]
        assert _numbers(tracker, t, shown) == [1, 2]


def test_an_id_that_comes_back_too_late_is_another_person() -> None:
    tracker = _tracker(max_age=1.0)
    assert _numbers(tracker, 0.0, [somebody(0.0, (100, 200), id=5)]) == [1]
    assert _numbers(tracker, 0.9, [somebody(0.9, (100, 200), id=5)]) == [1]
    assert _numbers(tracker, 2.0, [somebody(2.0, (100, 200), id=5)]) == [2]
    assert [one.number for one in tracker.ended()] == [1]


def test_the_same_id_twice_in_one_frame_is_one_person() -> None:
    tracker = _tracker()
    shown = [somebody(0.0, (100, 200), id=5), somebody(0.0, (400, 200), id=5)]
    assert _numbers(tracker, 0.0, shown) == [1, None]
    assert tracker.twice == 1


def test_people_with_and_without_ids_are_not_mixed() -> None:
    tracker = _tracker()
    for t in times(0, 1, 25):
        shown = [somebody(t, (100, 200), id=3), somebody(t, (110, 200))]
        assert _numbers(tracker, t, shown) == [1, 2]


# ---- the whole ----------------------------------------------------------------------------------


def test_reset_gives_everybody_up_and_numbers_go_on() -> None:
    tracker = _tracker()
    tracker.update(0.0, [somebody(0.0, (100, 200)), somebody(0.0, (400, 200), id=8)])
    tracker.reset()
    assert sorted(one.number or 0 for one in tracker.ended()) == [1, 2]
    assert tracker.tracks == []
    assert _numbers(tracker, 0.04, [somebody(0.04, (100, 200))]) == [3]


def test_an_empty_frame_is_no_one() -> None:
    tracker = _tracker()
    assert tracker.update(0.0, []) == []
    tracker.update(0.04, [somebody(0.04, (100, 200))])
    assert tracker.update(0.08, []) == []
    assert _numbers(tracker, 0.12, [somebody(0.12, (100, 200))]) == [1]


def test_two_trackers_that_see_the_same_say_the_same() -> None:
    said: list[list[list[int | None]]] = []
    for _ in range(2):
        tracker, rng = _tracker(confirm=2), np.random.default_rng(3)
        place = rng.uniform(0, 600, (6, 2))
        said.append([])
        for t in times(0, 4, 25):
            place += rng.normal(0, 6, place.shape)
            shown = [
                somebody(t, tuple(at), noise=4.0, seed=k)
                for k, at in enumerate(place)
                if rng.random() < 0.8
            ]
            said[-1].append(_numbers(tracker, t, shown))
    assert said[0] == said[1]


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_scipy(name: str, *rest: object, **more: object) -> object:
        if name.startswith("scipy"):
            raise ImportError(name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", no_scipy)
    with pytest.raises(MissingDependencyError, match=r'pip install "stgcn-deploy\[live\]"'):
        _tracker()


def test_errors_of_the_estimator_set_nobody_in_motion() -> None:
    tracker, away = _tracker(), []
    for t in times(0, 8, 25):
        [(track, _)] = tracker.update(t, [somebody(t, (300, 200), noise=8.0)])
        assert track.body is not None
        if t > 1:
            now, later = (track.body.expected(t + ahead).points[0] for ahead in (0.0, 1.0))
            away.append(np.abs((later - now).mean(axis=0)).max())
    # Two errors of 8 / sqrt(13) pixels, 0.04 s apart, are a speed of 78 pixels a second.
    assert np.mean(away) < 50


def test_joints_are_remembered_for_a_moment_and_no_longer() -> None:
    tracker = _tracker()
    known = []
    for t in times(0, 1, 25):
        points = keypoints(t, (300 + 100 * t, 200))
        if t > 0.01:
            points[5:] = 0
        [(track, _)] = tracker.update(t, [Detection(points)])
        assert track.body is not None
        known.append(int(track.body.expected(t).seen.sum()))
        if known[-1] == 13:
            # They go along with those that are seen.
            gone = np.abs(track.body.pose.points[0] - keypoints(t, (300 + 100 * t, 200))[:, :2])
            assert gone.max() < 35
    assert known == [13] * 13 + [5] * 13


# ---- similarity ----------------------------------------------------------------------------------


def test_the_same_pose_is_as_alike_as_can_be_and_one_elsewhere_is_not() -> None:
    here, there = somebody(0.0, (100, 200)), somebody(0.0, (500, 200))
    alike = similarity(Poses.of([here, there]), Poses.of([here, there]))
    assert np.allclose(alike, np.eye(2), atol=1e-6)


def test_whoever_moves_takes_their_box_along() -> None:
    two = Poses.of([somebody(0.0, (100, 200)), somebody(0.0, (300, 200))])
    there = two.moved(np.array([[50.0, 10.0], [0.0, 0.0]]))
    wanted = Poses.of([somebody(0.0, (150, 210)), somebody(0.0, (300, 200))])
    assert np.allclose(there.points, wanted.points, atol=1e-4)
    assert np.allclose(there.corners, wanted.corners, atol=1e-4)


def test_nobody_is_like_nobody() -> None:
    nobody = Poses.of([Detection(np.zeros((13, 3), np.float32))])
    assert not similarity(nobody, nobody).any()
    assert box_of(Detection(np.zeros((13, 3), np.float32))) == (0.0, 0.0, 0.0, 0.0)
    assert not similarity(nobody, Poses.of([somebody(0.0, (100, 200))])).any()


def test_nearer_is_more_alike() -> None:
    here = Poses.of([somebody(0.0, (100, 200))])
    others = Poses.of([somebody(0.0, (100 + away, 200)) for away in (0, 5, 10, 20, 40, 80)])
    alike = similarity(here, others)[0]
    assert (np.diff(alike) < 0).all()


def test_another_pose_in_the_same_box_is_less_alike() -> None:
    points = keypoints(0.0, (100, 200))
    mirrored = points.copy()
    mirrored[:, 0] = 200 - mirrored[:, 0]
    box = (50.0, 100.0, 100.0, 200.0)
    alike = similarity(
        Poses.of([Detection(points, box=box)]), Poses.of([Detection(mirrored, box=box)])
    )
    assert 0.5 < alike[0, 0] < 0.9


def test_a_box_reaches_around_the_joints_that_are_seen() -> None:
    points = np.array([[10, 20, 1], [30, 60, 1], [0, 0, 0]], np.float32)
    assert box_of(Detection(points)) == (10.0, 20.0, 20.0, 40.0)
    assert box_of(Detection(points, box=(1.0, 2.0, 3.0, 4.0))) == (1.0, 2.0, 3.0, 4.0)


def test_a_single_point_has_no_size_and_breaks_nothing() -> None:
    point = np.zeros((5, 3), np.float32)
    point[0] = [10, 20, 1]
    alone = Poses.of([Detection(point)])
    assert similarity(alone, alone)[0, 0] == 0.5
    tracker = _tracker()
    assert {_numbers(tracker, t, [Detection(point)])[0] for t in times(0, 1, 25)} == {1}
    # The next pixel is nowhere near, for somebody without any size.
    point[0, 0] += 1
    assert _numbers(tracker, 1.04, [Detection(point)]) == [2]
