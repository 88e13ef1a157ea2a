"""Load in, measures out: what waits is looked at, the ladder decides, cameras are told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stgcn_deploy.live.controller import Controller
from stgcn_deploy.live.ladder import Ladder
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.settings import LadderSettings
from stgcn_deploy.live.workers import Failures

BEAT = 0.25


class Told(Observer):
    def __init__(self) -> None:
        self.levels: list[int] = []
        self.queues: dict[str, int] = {}

    def level(self, level: int, name: str) -> None:
        self.levels.append(level)

    def queue(self, name: str, depth: int) -> None:
        self.queues[name] = depth


class World:
    """A controller whose cameras and queues are numbers."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.age, self.window_age = 0.0, 0.0
        self.people: Any = SimpleNamespace(stride=1.0, most=None)
        self.pose: Any = SimpleNamespace(detector_every=5)
        self.limits: list[tuple[str, float | None]] = []
        self.strides: list[float] = []
        self.ticks: list[float] = []
        self.told = Told()
        intake: Any = SimpleNamespace(oldest_age=lambda now: self.age, depth=lambda: 3)
        batcher: Any = SimpleNamespace(oldest=lambda: self.window_age, depth=lambda: 2)
        decisions: Any = SimpleNamespace(pace=self.strides.append)
        settings = LadderSettings(step=1.0, recover=2.0)
        ladder = Ladder(
            settings, stride=1.0, detector_every=5, persons=3, priorities={"a": "normal"}
        )
        self.controller = Controller(
            ladder if enabled else None,
            cameras={"a": self.people},
            pose=self.pose,
            limit=lambda camera, fps: self.limits.append((camera, fps)),
            decisions=decisions,
            intake=intake,
            batchers=[batcher, batcher],
            observer=self.told,
            tick=self.ticks.append,
        )
        self.now = 0.0

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds / BEAT)):
            self.now += BEAT
            self.controller.look(self.now)


@pytest.mark.parametrize("what", ["age", "window_age"])
def test_load_comes_down_the_ladder_and_goes_back_up(what: str) -> None:
    world = World()
    world.run(5)
    assert world.told.levels == []
    setattr(world, what, 1.0)
    world.run(40)
    assert world.told.levels == sorted(world.told.levels)
    assert world.people.stride == 2.0
    assert world.people.most == 1
    assert world.pose.detector_every == 15
    assert world.limits[-1] == ("a", 12.5)
    assert world.strides[-1] == 2.0
    setattr(world, what, 0.0)
    world.run(400)
    assert world.told.levels[-1] == 0
    assert (world.people.stride, world.people.most) == (1.0, None)
    assert world.pose.detector_every == 5
    assert world.limits[-1] == ("a", None)


def test_one_late_look_is_no_load() -> None:
    world = World()
    world.run(5)
    world.age = 0.3
    world.run(BEAT)
    world.age = 0.0
    world.run(10)
    assert world.told.levels == []


def test_without_a_ladder_cameras_are_looked_after_all_the_same() -> None:
    world = World(enabled=False)
    world.age = 5.0
    world.run(20)
    assert world.told.levels == []
    assert world.people.stride == 1.0
    assert len(world.ticks) == 80
    assert world.told.queues == {"frames": 3, "windows": 4}


def test_two_of_them_act_alike() -> None:
    def play() -> list[int]:
        world = World()
        for step in range(100):
            world.age = 0.5 if step % 30 < 20 else 0.01
            world.run(1)
        return world.told.levels

    assert play() == play()
    assert play()


def test_failures_are_too_many_only_within_a_minute() -> None:
    slow, quick = Failures(most=3, seconds=60), Failures(most=3, seconds=60)
    assert not any(slow.add("a", 30.0 * step) for step in range(20))
    assert [quick.add("a", float(step)) for step in range(5)] == [False, False, False, True, True]
    assert not quick.add("b", 5.0)
