"""The ladder goes down under load, comes back when there is room, and does not swing to and fro."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from stgcn_deploy.live.ladder import PATIENCE, STEPS, TRIAL, Ladder, Measures
from stgcn_deploy.live.settings import LadderSettings

SETTINGS = LadderSettings(high=0.2, low=0.08, step=2.0, recover=6.0)
EVERY = 0.25
HIGH, MIDDLING, LOW = 0.5, 0.1, 0.01


def make(settings: LadderSettings = SETTINGS, **options: object) -> Ladder:
    usual = {"stride": 1.0, "detector_every": 5, "persons": 5, "priorities": {"door": "normal"}}
    return Ladder(settings, **(usual | options))  # type: ignore[arg-type]


def feed(ladder: Ladder, start: float, seconds: float, age: float) -> float:
    """Readings of one age; when they end."""
    count = round(seconds / EVERY)
    for index in range(1, count + 1):
        ladder.update(start + index * EVERY, age)
    return start + count * EVERY


ALL = {"gate": "low", "door": "normal", "till": "high"}


def test_every_step_down_does_what_the_table_says() -> None:
    ladder = make(priorities=ALL)
    assert ladder.names == ("full", *(step.name for step in STEPS))
    now, seen = 0.0, []
    for _ in range(len(STEPS) + 3):
        seen.append(tuple(ladder.measures(camera) for camera in ALL))
        now = feed(ladder, now, SETTINGS.step + EVERY, HIGH)
    full = Measures(1.0, 5)
    assert seen[0] == (full, full, full)
    slow = replace(full, stride=2.0)
    assert seen[1] == (slow, slow, full)
    assert seen[2] == tuple(replace(one, detector_every=15) for one in (slow, slow, full))
    low, normal, high = seen[len(STEPS)]
    assert normal == high == Measures(2.0, 15, 12.5, 1)
    assert low == Measures(2.0, 15, 12.5, 1, 0.5)
    assert (low.rate, normal.rate, full.rate) == (0.5, 12.5, None)
    # No further down than the last one.
    assert seen[-1] == seen[len(STEPS)]
    assert ladder.level == len(STEPS)


def test_high_priority_is_spared_until_all_else_is_done() -> None:
    ladder = make(priorities=ALL)
    own = [index for index, name in enumerate(ladder.names) if name.startswith("high")]
    assert own == list(range(len(STEPS) - len(own) + 1, len(STEPS) + 1))
    now = 0.0
    for _ in range(own[0] - 1):
        now = feed(ladder, now, SETTINGS.step + EVERY, HIGH)
    assert ladder.name == "low priority"
    assert ladder.measures("till") == Measures(1.0, 15)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ("full", "stride", "detector", "pose rate", "two persons", "one person")),
        ({"persons": 2}, ("full", "stride", "detector", "pose rate", "one person")),
        ({"persons": 1}, ("full", "stride", "detector", "pose rate")),
        ({"detector_every": 0, "persons": 1}, ("full", "stride", "pose rate")),
        ({"priorities": {"a": "high"}, "persons": 1},
         ("full", "detector", "high: stride", "high: pose rate")),
        ({"priorities": {}, "persons": 1}, ("full", "stride", "detector", "pose rate")),
        ({"priorities": {"a": "low"}, "persons": 1},
         ("full", "stride", "detector", "pose rate", "low priority")),
    ],
)  # fmt: skip
def test_steps_that_change_nothing_are_left_out(
    options: dict[str, object], names: tuple[str, ...]
) -> None:
    assert make(**options).names == names


def test_a_camera_that_came_later_is_normal() -> None:
    ladder = make(priorities=ALL)
    feed(ladder, 0.0, SETTINGS.step + EVERY, HIGH)
    assert ladder.measures("new") == ladder.measures("door")


def test_one_step_down_in_the_time_of_a_step() -> None:
    ladder = make()
    changes = [index * EVERY for index in range(1, 41) if ladder.update(index * EVERY, HIGH)]
    gaps = [b - a for a, b in pairwise(changes)]
    assert len(changes) == 4
    assert min(gaps) >= SETTINGS.step
    assert changes[0] >= SETTINGS.step


def test_the_age_of_the_past_counts_as_that_of_now() -> None:
    ladder = make()
    for index in range(20):
        ladder.update(index * EVERY, 0.0, HIGH)
    assert ladder.level > 0


def test_a_moment_of_load_moves_nothing() -> None:
    ladder = make()
    now = feed(ladder, 0.0, 10.0, LOW)
    for _ in range(5):
        now = feed(ladder, now, 1.5, HIGH)
        now = feed(ladder, now, 5.0, LOW)
    # A reading alone, after the program itself had stood still.
    ladder.update(now + 60.0, 59.0)
    assert ladder.level == 0


def test_load_with_moments_of_rest_is_load() -> None:
    ladder = make()
    now = 0.0
    for _ in range(10):
        now = feed(ladder, now, 1.0, HIGH)
        now = feed(ladder, now, EVERY, LOW)
    assert ladder.level > 2


def test_between_the_limits_nothing_moves() -> None:
    ladder = make()
    now = feed(ladder, 0.0, 5.0, HIGH)
    level = ladder.level
    assert level == 2
    feed(ladder, now, 600.0, MIDDLING)
    assert ladder.level == level


def test_one_reading_over_the_lower_limit_begins_the_recovery_anew() -> None:
    ladder = make()
    now = feed(ladder, 0.0, 5.0, HIGH)
    for _ in range(20):
        now = feed(ladder, now, SETTINGS.recover - 1.0, LOW)
        now = feed(ladder, now, EVERY, MIDDLING)
    assert ladder.level == 2


def test_recovery_takes_its_time_and_goes_all_the_way() -> None:
    ladder = make()
    now = feed(ladder, 0.0, 10.0, HIGH)
    levels = []
    for _ in range(6):
        now = feed(ladder, now, SETTINGS.recover + EVERY, LOW)
        levels.append(ladder.level)
    assert levels == [3, 2, 1, 0, 0, 0]
    assert ladder.measures("door") == Measures(1.0, 5)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1.0])
def test_odd_ages_do_not_recover_and_do_not_break(odd: float) -> None:
    ladder = make()
    now = feed(ladder, 0.0, 5.0, HIGH)
    now = feed(ladder, now, 1.0, LOW)
    assert ladder.update(now + EVERY, odd) is False
    assert ladder.level == 2


def test_a_clock_that_stands_still_moves_nothing() -> None:
    ladder = make()
    assert not any(ladder.update(7.0, HIGH) for _ in range(100))
    assert not any(ladder.update(7.0 - index, HIGH) for index in range(100))


def test_disabled_it_stays_where_it_is() -> None:
    ladder = make(SETTINGS.model_copy(update={"enabled": False}))
    feed(ladder, 0.0, 60.0, HIGH)
    assert (ladder.level, ladder.name) == (0, "full")


def test_the_same_readings_give_the_same_levels() -> None:
    def run() -> list[int]:
        ladder, found = make(), []
        for index in range(2000):
            ladder.update(index * EVERY, (index * 7919 % 101) / 300)
            found.append(ladder.level)
        return found

    assert run() == run()


# ---- closed loop -----------------------------------------------------------------------------


class Machine:
    """A machine that can do `capacity` of work a second; what it cannot do waits, up to a limit.

    The newest frame replaces older ones: what waits gets no older than `oldest`.
    """

    oldest = 0.6

    def __init__(self, ladder: Ladder, costs: Sequence[float], capacity: float = 1.0) -> None:
        assert len(costs) == len(ladder.names)
        self.ladder, self.costs, self.capacity = ladder, costs, capacity
        self.now = self.backlog = 0.0
        self.levels: list[tuple[float, int]] = []
        self.worst: list[tuple[float, float]] = []

    def run(self, seconds: float, load: Callable[[float], float]) -> None:
        for _ in range(round(seconds / EVERY)):
            self.now += EVERY
            work = load(self.now) * self.costs[self.ladder.level]
            self.backlog += (work - self.capacity) * EVERY
            self.backlog = min(max(self.backlog, 0.0), self.oldest * self.capacity)
            age = 0.02 + self.backlog / self.capacity
            self.worst.append((self.now, age))
            if self.ladder.update(self.now, age):
                self.levels.append((self.now, self.ladder.level))

    def changes(self, since: float) -> int:
        return sum(time >= since for time, _ in self.levels)

    def late(self, since: float) -> float:
        """Share of readings over the limit."""
        found = [age > SETTINGS.high for time, age in self.worst if time >= since]
        return sum(found) / len(found)


COSTS = (1.0, 0.75, 0.68, 0.5, 0.3, 0.2)


def steady(load: float) -> Callable[[float], float]:
    return lambda now: load


@pytest.mark.parametrize(("load", "level"), [(0.9, 0), (1.2, 1), (1.4, 2), (1.9, 3), (4.5, 5)])
def test_it_settles_where_the_work_fits(load: float, level: int) -> None:
    machine = Machine(make(), COSTS)
    machine.run(1800.0, steady(load))
    assert machine.ladder.level in (level, level - 1)
    # Trials of the level above get rarer; most of the time all is well.
    assert machine.changes(600.0) <= 2 * 1200 / (PATIENCE * SETTINGS.recover) + 2
    assert machine.late(600.0) < 0.1
    assert COSTS[level] * load <= 1.0


def test_without_growing_patience_it_would_swing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of the test above is one that a plain controller does not keep."""
    monkeypatch.setattr("stgcn_deploy.live.ladder.PATIENCE", 1.0)
    machine = Machine(make(), COSTS)
    machine.run(1800.0, steady(1.4))
    assert machine.changes(600.0) > 2 * (2 * 1200 / (PATIENCE * SETTINGS.recover) + 2)


def test_it_recovers_fully_when_the_load_drops() -> None:
    machine = Machine(make(), COSTS)
    machine.run(300.0, steady(1.9))
    assert machine.ladder.level >= 2
    dropped = machine.now
    # The last trial may have made it patient: once so, then as always.
    machine.run(PATIENCE * SETTINGS.recover + TRIAL + 5 * (SETTINGS.recover + 1.0), steady(0.5))
    assert machine.ladder.level == 0
    assert [level for time, level in machine.levels if time > dropped][-1] == 0
    machine.run(600.0, steady(0.5))
    assert machine.changes(machine.now - 600.0) == 0


def test_a_burst_is_taken_and_forgotten() -> None:
    machine = Machine(make(), COSTS)
    machine.run(60.0, steady(0.6))
    machine.run(10.0, steady(3.0))
    deepest = machine.ladder.level
    machine.run(120.0, steady(0.6))
    assert deepest >= 3
    assert machine.ladder.level == 0


def test_overload_beyond_all_steps_stays_at_the_last() -> None:
    machine = Machine(make(), COSTS)
    machine.run(60.0, steady(50.0))
    assert machine.ladder.level == len(COSTS) - 1
    assert machine.changes(20.0) == 0
