"""The board: what is kept, for how long, and what readers get; time is given, nobody sleeps."""

from __future__ import annotations

import gc
import json
import weakref
from threading import Thread

import numpy as np
import pytest

from stgcn_deploy.live.board import KEPT, Board
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Detection, Frame, Tracked
from stgcn_deploy.live.windows import Result, Window

LABELS = ("stand", "walk", "fall")
EDGES = ((0, 1), (1, 2))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def somebody(track: int = 7) -> Tracked:
    points = np.array([[1, 2, 1], [3, 4, 0.5], [0, 0, 0]], np.float32)
    return Tracked(track, Detection(points, 0.9, (1.0, 2.0, 3.0, 4.0)))


def frame(t: float, camera: str = "door", *, image: bool = False) -> Frame:
    found = np.zeros((4, 6, 3), np.uint8) if image else None
    return Frame(camera, t, t, found, size=(6, 4))


def answer(
    t: float, shares: tuple[float, ...], *, track: int | None = 7, took: float = 0.2
) -> Result:
    window = Window(
        "door", track, () if track is None else (track,), np.zeros((1, 2, 3, 3), np.float32),
        1.0, 1.0, t - 1, t, t, t,
    )  # fmt: skip
    return Result(window, np.array(shares, np.float32), t + took)


def event(number: int) -> Event:
    return Event(f"e{number}", "action_start", "door", 1.0, 1.0, 7, "fall", 0.9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    return Board(["door", "hall"], edges=EDGES, labels=LABELS, keep_events=5, clock=clock)


def of(board: Board, name: str = "door", **options: bool) -> dict:
    return next(one for one in board.snapshot(**options)["cameras"] if one["name"] == name)


def test_before_anything_happens_there_is_nothing(board: Board) -> None:
    found = of(board)
    assert (found["state"], found["fps"], found["people"], found["scene"]) == (
        "init",
        0.0,
        [],
        None,
    )
    assert found["delay_ms"] == {"people": None, "result": None}
    assert board.picture("door") is None
    assert board.events_since(0) == []
    json.dumps(board.snapshot(), allow_nan=False)


def test_state_reason_and_how_long(board: Board, clock: Clock) -> None:
    board.camera("door", "backoff", "refused")
    clock.now += 3
    board.camera("door", "backoff", "timeout")
    clock.now += 1
    found = of(board)
    assert (found["state"], found["reason"], found["seconds"]) == ("backoff", "timeout", 4.0)


@pytest.mark.parametrize("fps", [10, 25, 60])
def test_rate_is_of_the_last_seconds(board: Board, clock: Clock, fps: int) -> None:
    for _ in range(10 * fps):
        clock.now += 1 / fps
        board.frame(frame(clock.now))
    assert of(board)["fps"] == pytest.approx(fps, rel=0.04)
    clock.now += 10
    assert of(board)["fps"] == 0.0


def test_rate_beyond_what_is_kept(board: Board, clock: Clock) -> None:
    for _ in range(2 * KEPT):
        clock.now += 0.001
        board.frame(frame(clock.now))
    assert of(board)["fps"] == pytest.approx(1000, rel=0.01)


def test_first_frame_is_no_rate(board: Board, clock: Clock) -> None:
    board.frame(frame(clock.now))
    clock.now += 0.001
    assert of(board)["fps"] <= 1.0


def test_delays_are_middle_and_nearly_worst(board: Board, clock: Clock) -> None:
    for number in range(101):
        t = clock.now
        board.people(frame(t), [], t + number / 1000)
    board.result(answer(clock.now, (0, 1, 0), took=0.25))
    clock.now += 1
    assert of(board)["delay_ms"] == {
        "people": {"p50": 50.0, "p95": 95.0},
        "result": {"p50": 250.0, "p95": 250.0},
    }
    clock.now += 60
    assert of(board)["delay_ms"] == {"people": None, "result": None}


def test_people_with_what_they_do(board: Board, clock: Clock) -> None:
    board.frame(frame(clock.now))
    board.people(frame(clock.now), [somebody(7), somebody(8)], clock.now)
    board.result(answer(clock.now, (0.1, 0.2, 0.7)))
    first, second = of(board)["people"]
    assert first["track"] == 7
    assert first["box"] == (1.0, 2.0, 3.0, 4.0)
    assert first["keypoints"][1] == [3.0, 4.0, 0.5]
    assert first["action"] == {"label": "fall", "score": 0.7}
    assert second["action"] is None
    assert of(board)["size"] == (6, 4)
    assert "keypoints" not in of(board, keypoints=False)["people"][0]
    assert board.seen("door")["people"] == [first, second]


def test_who_decides_has_the_last_word(board: Board, clock: Clock) -> None:
    board.people(frame(clock.now), [somebody(7)], clock.now)
    board.result(answer(clock.now, (0.1, 0.2, 0.7)))
    board.current = lambda camera, track: ("walk", 0.5) if (camera, track) == ("door", 7) else None
    assert of(board)["people"][0]["action"] == {"label": "walk", "score": 0.5}
    board.current = lambda camera, track: None
    assert of(board)["people"][0]["action"] is None


def test_a_scene_has_an_action_of_its_own(board: Board, clock: Clock) -> None:
    board.result(answer(clock.now, (0.1, 0.8, 0.1), track=None))
    assert of(board)["scene"] == {"label": "walk", "score": 0.8}


def test_people_and_answers_pass(board: Board, clock: Clock) -> None:
    board.people(frame(clock.now), [somebody()], clock.now)
    board.result(answer(clock.now, (0.1, 0.2, 0.7)))
    clock.now += 4
    assert of(board)["people"] == []
    assert board.doing("door", 7) is not None
    clock.now += 10
    assert board.doing("door", 7) is None


def test_answers_of_people_long_gone_are_not_kept(board: Board, clock: Clock) -> None:
    for track in range(1000):
        clock.now += 1
        board.result(answer(clock.now, (1, 0, 0), track=track))
    assert len(board._cameras["door"].results) < 15


def test_drops_queues_and_level(board: Board) -> None:
    board.frame_dropped("door", "stale")
    board.frame_dropped("door", "stale")
    board.frame_dropped("hall", "replaced")
    board.window_dropped("hall", "gap")
    board.event_dropped("webhook", "full")
    board.queue("batch", 3)
    board.level(2, "fewer people")
    found = board.snapshot()
    assert found["drops"] == {
        "frames": {"stale": 2, "replaced": 1},
        "windows": {"gap": 1},
        "events": [{"sink": "webhook", "reason": "full", "count": 1}],
    }
    assert of(board, "hall")["drops"] == {"frames": {"replaced": 1}, "windows": {"gap": 1}}
    assert found["queues"] == {"batch": 3}
    assert found["level"] == {"level": 2, "name": "fewer people"}


def test_events_are_numbered_and_bounded(board: Board) -> None:
    for number in range(1, 9):
        board.event(event(number))
    assert [number for number, _ in board.events_since(0)] == [4, 5, 6, 7, 8]
    assert [one.id for _, one in board.events_since(6)] == ["e7", "e8"]
    assert board.events_since(8) == []
    assert board.newest_event == 8


def test_no_image_is_kept_unless_somebody_watches(board: Board, clock: Clock) -> None:
    shown = frame(clock.now, image=True)
    board.frame(shown)
    board.people(shown, [somebody()], clock.now)
    assert board.picture("door") is None
    image = weakref.ref(shown)
    del shown
    gc.collect()
    assert image() is None


def test_while_watched_the_newest_image_is_kept(board: Board, clock: Clock) -> None:
    with board.watch("door"):
        with board.watch("door"):
            first, second = frame(clock.now, image=True), frame(clock.now + 0.04, image=True)
            for one in (first, second):
                board.people(one, [somebody()], one.t)
        # The other watcher is still there.
        found = board.picture("door")
        assert found is not None
        assert found[0] is second
        assert [one.track for one in found[1]] == [7]
        assert board.picture("hall") is None
    assert board.picture("door") is None


def test_a_camera_whose_frames_nobody_looks_at_is_shown_bare(board: Board, clock: Clock) -> None:
    with board.watch("door"):
        looked = frame(clock.now, image=True)
        board.people(looked, [somebody()], clock.now)
        board.frame(frame(clock.now + 0.5, image=True))
        assert board.picture("door") == (looked, (board.picture("door") or ())[1])
        late = frame(clock.now + 2, image=True)
        board.frame(late)
        assert board.picture("door") == (late, ())


def test_a_watch_ends_with_an_error_too(board: Board) -> None:
    with pytest.raises(RuntimeError), board.watch("door"):
        raise RuntimeError
    assert board._cameras["door"].watchers == 0


def test_written_and_read_by_many_threads(board: Board, clock: Clock) -> None:
    errors = []

    def write() -> None:
        try:
            for number in range(400):
                t = clock.now + number / 25
                board.frame(frame(t))
                board.people(frame(t), [somebody()], t)
                board.result(answer(t, (1, 0, 0), track=number))
                board.event(event(number))
        except Exception as error:
            errors.append(error)

    threads = [Thread(target=write) for _ in range(3)]
    for one in threads:
        one.start()
    while any(one.is_alive() for one in threads):
        board.snapshot()
        board.events_since(0)
    for one in threads:
        one.join()
    assert errors == []
    assert board.newest_event == 1200
