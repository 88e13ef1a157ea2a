"""The hand-over of frames: who gets what when, what is dropped, and that nothing is lost."""

from __future__ import annotations

import threading
import time
from collections import Counter

import numpy as np
import pytest
from streams import Recorder

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.frames import Frame
from stgcn_deploy.live.slots import FILE_FRAMES, LIVE_KEYPOINTS, Intake

IMAGE = np.zeros((2, 2, 3), np.uint8)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def image(camera: str, arrived: float, t: float | None = None) -> Frame:
    return Frame(camera, arrived if t is None else t, arrived, image=IMAGE)


def points(camera: str, arrived: float) -> Frame:
    return Frame(camera, arrived, arrived, persons=())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seen() -> Recorder:
    return Recorder()


@pytest.fixture
def intake(clock: Clock, seen: Recorder) -> Intake:
    return Intake(seen, stale=0.5, clock=clock)


def test_of_live_images_the_newest_is_given(intake: Intake, seen: Recorder) -> None:
    intake.add("a", live=True)
    assert intake.put(image("a", 0.0))
    assert intake.put(image("a", 0.04))
    assert [frame.t for frame in intake.take(0)] == [0.04]
    assert seen.drops == [("a", "replaced")]


def test_of_live_key_points_all_are_given_up_to_a_limit(intake: Intake, seen: Recorder) -> None:
    intake.add("a", live=True)
    for index in range(LIVE_KEYPOINTS + 3):
        intake.put(points("a", index / 1000))
    found = intake.take(0)
    assert len(found) == LIVE_KEYPOINTS
    assert found[0].t == pytest.approx(0.003)
    assert seen.drops == [("a", "replaced")] * 3


def test_the_camera_that_has_waited_longest_comes_first(intake: Intake) -> None:
    for name in "abc":
        intake.add(name, live=True)
    intake.put(image("b", 0.00))
    intake.put(image("a", 0.01))
    intake.put(image("c", 0.02))
    # Replaced, and first all the same: it is b that has waited, not its frame.
    intake.put(image("b", 0.03))
    assert [intake.take(0)[0].camera for _ in range(3)] == ["b", "a", "c"]


def test_a_camera_is_with_one_worker_at_a_time(intake: Intake) -> None:
    intake.add("a", live=True)
    intake.put(image("a", 0.0))
    assert intake.take(0)
    intake.put(image("a", 0.1))
    assert intake.take(0) == []
    intake.done("a")
    assert [frame.t for frame in intake.take(0)] == [0.1]


def test_priority_is_a_head_start_and_nobody_starves(intake: Intake, clock: Clock) -> None:
    intake.add("low", live=True, priority="low")
    intake.add("normal", live=True)
    intake.add("high", live=True, priority="high")
    intake.put(image("low", 0.0))
    intake.put(image("normal", 0.1))
    intake.put(image("high", 0.2))
    assert [intake.take(0)[0].camera for _ in range(3)] == ["high", "normal", "low"]
    for name in ("low", "normal", "high"):
        intake.done(name)
    # All of them come 25 times a second, and there is time for one of three.
    served: Counter[str] = Counter()
    for index in range(300):
        clock.now = 1.0 + index * 0.04
        for name in ("low", "normal", "high"):
            intake.put(image(name, clock.now))
        found = intake.take(0)[0].camera
        served[found] += 1
        intake.done(found)
    assert served["high"] >= served["normal"] >= served["low"] > 0


def test_old_live_frames_are_dropped_and_told(intake: Intake, clock: Clock, seen: Recorder) -> None:
    intake.add("a", live=True)
    intake.add("k", live=True)
    intake.put(image("a", 0.0))
    intake.put(points("k", 0.0))
    intake.put(points("k", 0.3))
    clock.now = 0.6
    assert [frame.t for frame in intake.take(0)] == [0.3]
    assert intake.take(0) == []
    assert sorted(seen.drops) == [("a", "stale"), ("k", "stale")]


def test_frames_of_files_are_never_dropped(intake: Intake, clock: Clock, seen: Recorder) -> None:
    intake.add("f", live=False)
    total, found = 5 * FILE_FRAMES, []
    filler = threading.Thread(
        target=lambda: [intake.put(image("f", 0.0, t=float(index))) for index in range(total)]
    )
    filler.start()
    clock.now = 100.0
    while len(found) < total:
        frames = intake.take()
        assert len(frames) <= FILE_FRAMES
        found += [frame.t for frame in frames]
        intake.done("f")
    filler.join()
    assert found == [float(index) for index in range(total)]
    assert seen.drops == []
    assert intake.idle()


@pytest.mark.parametrize("end", ["close", "remove"])
def test_who_waits_for_room_is_let_go(intake: Intake, seen: Recorder, end: str) -> None:
    intake.add("f", live=False)
    for index in range(FILE_FRAMES):
        intake.put(image("f", float(index)))
    answers: list[bool] = []
    filler = threading.Thread(target=lambda: answers.append(intake.put(image("f", 9.0))))
    filler.start()
    if end == "close":
        intake.close()
    else:
        intake.remove("f")
    filler.join(30)
    assert answers == [False]
    assert seen.drops == [("f", "stopping")] * (FILE_FRAMES + 1)
    assert not intake.put(image("f", 10.0))


def test_closing_wakes_every_worker(intake: Intake) -> None:
    answers: list[list[Frame]] = []
    workers = [threading.Thread(target=lambda: answers.append(intake.take())) for _ in range(3)]
    for worker in workers:
        worker.start()
    intake.close()
    for worker in workers:
        worker.join(30)
    assert answers == [[], [], []]


def test_depth_and_age_are_of_what_waits(intake: Intake) -> None:
    assert (intake.depth(), intake.oldest_age(5.0)) == (0, 0.0)
    intake.add("a", live=True)
    intake.add("f", live=False)
    intake.put(image("f", 0.0))
    assert intake.oldest_age(5.0) == 0.0, "a file has time"
    intake.put(image("a", 4.0))
    assert (intake.depth(), intake.oldest_age(5.0)) == (2, 1.0)
    assert not intake.idle()


def test_two_cameras_of_one_name_are_refused(intake: Intake) -> None:
    intake.add("a", live=True)
    with pytest.raises(UsageError, match="two cameras are called 'a'"):
        intake.add("a", live=True)


def test_one_that_is_added_again_waits_for_the_worker_that_has_the_old_one(intake: Intake) -> None:
    intake.add("a", live=True)
    intake.put(image("a", 0.0))
    assert intake.take(0)
    intake.remove("a")
    assert not intake.idle()
    intake.add("a", live=True)
    intake.put(image("a", 0.1))
    assert intake.take(0) == []
    intake.done("a")
    assert [frame.t for frame in intake.take(0)] == [0.1]
    intake.done("a")
    assert intake.idle()


def test_one_frame_wakes_one_of_two_workers_and_the_next_the_other(intake: Intake) -> None:
    for name in "ab":
        intake.add(name, live=True)
    got: list[str] = []
    workers = [threading.Thread(target=lambda: got.append(intake.take()[0].camera)) for _ in "ab"]
    for worker in workers:
        worker.start()
    intake.put(image("a", 0.0))
    intake.put(image("b", 0.0))
    for worker in workers:
        worker.join(30)
    assert sorted(got) == ["a", "b"]


def test_under_load_every_frame_is_given_or_dropped_exactly_once(seen: Recorder) -> None:
    """Lost wake-ups would leave frames behind: workers wait without a limit of time."""
    intake = Intake(seen, stale=60.0)
    lives, files, count = [f"live {index}" for index in range(6)], ["file 0", "file 1"], 300
    for name in lives:
        intake.add(name, live=True)
    for name in files:
        intake.add(name, live=False)
    given: dict[str, list[float]] = {name: [] for name in lives + files}
    holders: Counter[str] = Counter()
    overlaps: list[str] = []

    def work() -> None:
        while frames := intake.take():
            camera = frames[0].camera
            holders[camera] += 1
            if holders[camera] != 1:
                overlaps.append(camera)
            given[camera] += [frame.t for frame in frames]
            if frames[-1].t % 7 == 0:
                time.sleep(0.0005)
            holders[camera] -= 1
            intake.done(camera)

    def fill(name: str) -> None:
        for index in range(count):
            intake.put(image(name, time.monotonic(), t=float(index)))
            if index % 5 == 0:
                time.sleep(0.0001)

    workers = [threading.Thread(target=work) for _ in range(3)]
    fillers = [threading.Thread(target=fill, args=(name,)) for name in lives + files]
    for thread in workers + fillers:
        thread.start()
    for thread in fillers:
        thread.join()
    end = time.monotonic() + 30
    while not intake.idle() and time.monotonic() < end:
        time.sleep(0.01)
    assert intake.idle(), "a worker slept through a frame"
    intake.close()
    for thread in workers:
        thread.join()
    dropped = Counter(camera for camera, _ in seen.drops)
    assert overlaps == []
    assert {reason for _, reason in seen.drops} <= {"replaced"}
    for name in lives:
        assert len(given[name]) + dropped[name] == count
        assert given[name] == sorted(set(given[name]))
        assert given[name][-1] == count - 1
    for name in files:
        assert given[name] == [float(index) for index in range(count)]
