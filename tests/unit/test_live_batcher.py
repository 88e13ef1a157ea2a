"""Windows wait for company, and the newest of a person counts."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.live.batcher import Batcher, Pending
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.windows import Window

CLIP = np.zeros((1, 2, 3, 2), np.float32)


def window(camera: str = "a", track: int = 1, t: float = 0.0) -> Window:
    return Window(camera, track, (track,), CLIP, 1.0, 1.0, t - 1, t, t, t)


class Drops(Observer):
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def window_dropped(self, camera: str, reason: Any) -> None:
        self.seen.append((camera, reason))


def test_a_full_batch_goes_at_once_and_a_single_window_after_the_delay() -> None:
    pending = Pending(2, 0.02, 10)
    assert pending.due_in(0.0) is None
    pending.add(window(), 1.0)
    assert pending.due_in(1.005) == pytest.approx(0.015)
    assert pending.due_in(1.03) == 0.0
    pending.add(window(track=2), 1.01)
    assert pending.due_in(1.01) == 0.0
    assert [one.track for one in pending.pop()] == [1, 2]
    assert not len(pending)


def test_a_newer_window_takes_the_turn_of_the_older_one() -> None:
    pending = Pending(8, 0.5, 10)
    first = window(t=0.0)
    pending.add(first, 0.0)
    pending.add(window(camera="b"), 0.1)
    older, pushed = pending.add(window(t=1.0), 0.2)
    assert older is first
    assert pushed is None
    assert pending.oldest(0.4) == pytest.approx(0.4)
    assert [(one.camera, one.t1) for one in pending.pop()] == [("a", 1.0), ("b", 0.0)]


def test_without_room_the_oldest_goes() -> None:
    pending = Pending(8, 0.5, 2)
    first = window(track=1)
    pending.add(first, 0.0)
    pending.add(window(track=2), 0.1)
    assert pending.add(window(track=3), 0.2) == (None, first)


def test_two_of_them_fed_alike_act_alike() -> None:
    rng = np.random.default_rng(0)
    moves = [(int(rng.integers(6)), float(t)) for t in np.cumsum(rng.uniform(0, 0.02, 300))]

    def play() -> list[list[tuple[int | None, float]]]:
        pending, out = Pending(3, 0.03, 4), []
        for track, t in moves:
            pending.add(window(track=track, t=t), t)
            if pending.due_in(t) == 0.0:
                out.append([(one.track, one.t1) for one in pending.pop()])
        return out

    assert play() == play()
    assert any(len(batch) > 1 for batch in play())


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_each_window_comes_out_or_is_told_as_dropped(
    moves: list[tuple[int, bool]], most: int, room: int
) -> None:
    pending, out, put, lost = Pending(most, 0.1, room), 0, 0, 0
    for step, (track, take) in enumerate(moves):
        lost += sum(one is not None for one in pending.add(window(track=track), float(step)))
        put += 1
        assert len(pending) <= room
        if take:
            batch = pending.pop()
            assert len(batch) <= most
            assert len({one.key for one in batch}) == len(batch)
            out += len(batch)
    assert put == out + lost + len(pending)


def test_threads_lose_no_window_and_miss_no_call() -> None:
    drops = Drops()
    batcher = Batcher(Pending(4, 0.001, 16), drops)
    taken: list[int] = []

    def work() -> None:
        while batch := batcher.take():
            taken.extend([1] * len(batch))
            batcher.finished()

    def feed(number: int) -> None:
        for step in range(200):
            batcher.put(window(str(number), step % 3), wait=number == 0)

    workers = [threading.Thread(target=work) for _ in range(2)]
    feeders = [threading.Thread(target=feed, args=(number,)) for number in range(4)]
    for thread in [*workers, *feeders]:
        thread.start()
    for thread in feeders:
        thread.join(30)
    assert batcher.settle(30)
    batcher.close()
    for thread in workers:
        thread.join(30)
    assert not any(thread.is_alive() for thread in [*workers, *feeders])
    assert len(taken) + len(drops.seen) == 800
    # Of a recording nothing is left out.
    assert "0" not in {camera for camera, _ in drops.seen}


def test_what_comes_after_the_end_is_told() -> None:
    drops = Drops()
    batcher = Batcher(Pending(4, 10.0, 16), drops)
    batcher.put(window("a"))
    batcher.close(drop=True)
    batcher.put(window("b"))
    assert drops.seen == [("a", "stopping"), ("b", "stopping")]
    assert batcher.take() == []


def test_what_waits_is_run_when_it_is_closed() -> None:
    batcher = Batcher(Pending(4, 10.0, 16), Observer())
    batcher.put(window())
    batcher.close()
    assert len(batcher.take()) == 1
    assert not batcher.settle(0.0)
    batcher.finished()
    assert batcher.settle(0.0)
    assert batcher.take() == []


def test_a_camera_that_waits_for_room_is_let_go_at_the_end() -> None:
    drops = Drops()
    batcher = Batcher(Pending(4, 10.0, 1), drops)
    batcher.put(window("a"))
    waiting = threading.Thread(target=lambda: batcher.put(window("a", t=2.0), wait=True))
    waiting.start()
    batcher.close()
    waiting.join(30)
    assert not waiting.is_alive()
    assert drops.seen == [("a", "stopping")]
