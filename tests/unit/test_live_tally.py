"""What is counted, what is said, and what becomes an event."""

from __future__ import annotations

import json

import numpy as np

from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Frame
from stgcn_deploy.live.herald import Herald
from stgcn_deploy.live.narrator import Narrator
from stgcn_deploy.live.observer import Observer, Observers
from stgcn_deploy.live.tally import Tally
from stgcn_deploy.live.windows import Result, Window


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def result(arrived: float, done: float, camera: str = "a") -> Result:
    clip = np.zeros((1, 2, 3, 2), np.float32)
    made = Window(camera, 1, (1,), clip, 1.0, 1.0, 0.0, arrived, arrived, arrived)
    return Result(made, np.array([1.0], np.float32), done)


def test_counts_delays_and_levels() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.people(Frame("a", 1.0, 1.0), (), 1.010)
    tally.restart()
    for step in range(100):
        tally.people(Frame("a", 1.0, 1.0), (), 1.0 + (step + 1) / 1000)
    tally.frame_dropped("a", "replaced")
    tally.frame_dropped("b", "stale")
    tally.result(result(1.0, 1.2))
    tally.window_dropped("b", "gap")
    tally.batch(3)
    tally.event(Event("x", "action_start", "a", 0.0, 0.0, latency_ms=250.0))
    clock.now += 5
    tally.level(2, "two")
    clock.now += 3
    tally.level(0, "none")
    found = tally.report(clean=True, failures={"b": "gone"})
    assert found.frames == {"ok": 100, "replaced": 1, "stale": 1}
    assert found.windows == {"ok": 1, "gap": 1}
    assert found.by_camera["b"] == {"frames stale": 1, "windows gap": 1}
    assert found.batches == {3: 1}
    assert found.levels == {0: 5.0, 2: 3.0}
    assert found.failures == {"b": "gone"}
    assert found.seconds == 8.0
    assert abs(found.delays["people"]["p50"] - 50.5) < 0.1
    assert found.delays["people"]["count"] == 100
    assert abs(found.delays["event"]["p99"] - 250) < 1e-9
    text = "\n".join(found.lines())
    assert "1 replaced" in text
    assert "3 s, down to level 2" in text
    assert json.loads(json.dumps(found.as_dict()))["frames"]["ok"] == 100


def test_nothing_seen_is_said_as_nothing() -> None:
    found = Tally(Clock()).report(clean=True, failures={})
    assert found.delays == {}
    assert "0 frames" in found.lines()[0]


def test_the_narrator_says_changes_and_no_tries() -> None:
    clock, said = Clock(), []
    narrator = Narrator(said.append, clock)
    for _ in range(3):
        narrator.camera("a", "connecting", "")
        narrator.camera("a", "backoff", "refused")
    narrator.camera("a", "running", "")
    assert said == ["camera a: backoff (refused)", "camera a: running"]
    said.clear()
    for _ in range(3):
        narrator.event_dropped("web", "timeout")
    clock.now += 31
    narrator.event_dropped("web", "timeout")
    assert len(said) == 2
    narrator.level(1, "stride 2 s")
    narrator.level(0, "")
    assert said[2:] == ["level 1: stride 2 s", "level 0: nothing is left out any more"]


def test_the_herald_tells_states_once() -> None:
    events: list[Event] = []
    herald = Herald(events.append, Clock(), lambda t: t + 1000, iter("abcdefg"))
    for _ in range(2):
        herald.camera("a", "connecting", "")
        herald.camera("a", "backoff", "refused")
    herald.camera("a", "running", "")
    herald.level(1, "stride")
    herald.offline()
    assert [(e.type, e.camera, e.label, e.reason) for e in events] == [
        ("camera_state", "a", "backoff", "refused"),
        ("camera_state", "a", "running", ""),
        ("degraded", "", "stride", "level 1"),
        ("offline", "", "offline", "stopped"),
    ]
    assert len({event.id for event in events}) == 4
    assert all(event.t_emit == 1100.0 for event in events)


def test_several_observers_are_told_everything() -> None:
    """Each method of Observer is passed on: one that is forgotten would be lost without a word."""

    class Spy(Observer):
        def __init__(self) -> None:
            self.called: list[str] = []

        def __getattribute__(self, name: str) -> object:
            if name in METHODS:
                return lambda *arguments: self.called.append(name)
            return super().__getattribute__(name)

    methods = [name for name in vars(Observer) if not name.startswith("_")]
    METHODS.update(methods)
    spies = Spy(), Spy()
    both = Observers(spies)
    for name in methods:
        count = getattr(Observer, name).__code__.co_argcount - 1
        getattr(both, name)(*[None] * count)
    assert spies[0].called == spies[1].called == methods
    assert len(methods) > 8


METHODS: set[str] = set()
