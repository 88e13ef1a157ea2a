"""The thread around a sink: it stalls nobody, loses nothing untold, and ends in time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
from liveevents import Dropped, event

from stgcn_deploy.live import outlet
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.outlet import Outlet
from stgcn_deploy.live.sinks.base import DeferringSink, SinkError

# Seconds that nothing here should need, on a machine however slow.
LONG = 60.0


class Kept:
    """A sink that keeps events, and waits before each until it may go on."""

    name = "kept"

    def __init__(self) -> None:
        self.got: list[str] = []
        self.closed = False
        self.entered = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def emit(self, event: Event) -> None:
        self.entered.set()
        assert self.free.wait(LONG)
        self.got.append(event.id)

    def close(self) -> None:
        self.closed = True


class Failing(Kept):
    """Fails in its own ways."""

    name = "failing"

    def emit(self, event: Event) -> None:
        if event.id == "e1":
            raise SinkError("two are gone", "not writable", events=2)
        if event.id == "e2":
            raise ValueError("https://user:password@host")
        super().emit(event)

    def close(self) -> None:
        raise SinkError("three are left", "stopping", events=3)


class Deferring(Kept):
    """Delivers in `work`, or fails there."""

    name = "deferring"

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.calls = 0
        self.error = error
        self.kept: list[str] = []
        self.worked = threading.Event()

    def emit(self, event: Event) -> None:
        self.kept.append(event.id)

    def work(self, now: float) -> float | None:
        self.calls += 1
        self.worked.set()
        if self.error is not None:
            raise self.error
        if not self.kept:
            return None
        self.entered.set()
        assert self.free.wait(LONG)
        self.got.append(self.kept.pop(0))
        return now

    def waiting(self) -> int:
        return len(self.kept)

    def close(self) -> None:
        super().close()
        if self.kept:
            raise SinkError("left", "stopping", events=len(self.kept))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("sink "):
            thread.join(LONG)
            assert not thread.is_alive()


def test_events_arrive_in_their_order() -> None:
    sink, dropped = Kept(), Dropped()
    one = Outlet(sink, dropped)
    for number in range(100):
        one.put(event(number))
    assert one.close(LONG)
    assert sink.got == [f"e{number}" for number in range(100)]
    assert sink.closed
    assert not dropped.reasons
    assert one.close(LONG), "closing again is harmless"


def test_a_full_outlet_drops_the_oldest_and_says_so() -> None:
    sink, dropped = Kept(), Dropped()
    sink.free.clear()
    one = Outlet(sink, dropped, room=4)
    one.put(event(0))
    assert sink.entered.wait(LONG)
    for number in range(1, 11):
        one.put(event(number))
    assert dropped.reasons == {"overflow": 6}
    sink.free.set()
    assert one.close(LONG)
    assert sink.got == ["e0", "e7", "e8", "e9", "e10"]
    assert dropped.sinks == {"kept"}


def test_errors_are_counted_and_the_next_event_is_delivered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink, dropped = Failing(), Dropped()
    one = Outlet(sink, dropped)
    with caplog.at_level(logging.WARNING):
        for number in (1, 1, 2, 3):
            one.put(event(number))
        assert one.close(LONG)
    assert sink.got == ["e3"]
    assert dropped.reasons == {"not writable": 4, "failed": 1, "stopping": 3}
    assert caplog.text.count("two are gone") == 1, "the same trouble is said once"
    assert "ValueError" in caplog.text
    assert "password" not in caplog.text


def test_a_sink_that_blocks_for_ever_does_not_hold_up_the_end() -> None:
    sink, dropped = Kept(), Dropped()
    sink.free.clear()
    one = Outlet(sink, dropped)
    for number in range(5):
        one.put(event(number))
    assert sink.entered.wait(LONG)
    thread = next(one for one in threading.enumerate() if one.name == "sink kept")
    assert thread.daemon
    assert not one.close(0.05)
    assert dropped.reasons == {"stopping": 5}
    assert not one.close(0.05)
    assert dropped.reasons == {"stopping": 5}, "nothing is counted twice"
    one.put(event(9))
    assert dropped.reasons == {"stopping": 6}
    sink.free.set()
    thread.join(LONG)
    assert sink.closed
    assert sink.got == ["e0"]
    assert dropped.reasons == {"stopping": 6}


def test_nothing_is_taken_after_the_end() -> None:
    sink, dropped = Kept(), Dropped()
    one = Outlet(sink, dropped)
    assert one.close(LONG)
    one.put(event(1))
    assert dropped.reasons == {"stopping": 1}
    assert sink.got == []


def test_deferred_work_is_done() -> None:
    sink, dropped = Deferring(), Dropped()
    assert isinstance(sink, DeferringSink)
    assert not isinstance(Kept(), DeferringSink)
    one = Outlet(sink, dropped)
    assert sink.worked.wait(LONG), "what was kept from before needs no new event"
    for number in range(20):
        one.put(event(number))
    assert one.close(LONG)
    assert sink.got == [f"e{number}" for number in range(20)]
    assert not dropped.reasons


def test_deferred_events_that_are_left_are_counted() -> None:
    sink, dropped = Deferring(), Dropped()
    sink.free.clear()
    one = Outlet(sink, dropped)
    for number in range(3):
        one.put(event(number))
    assert sink.entered.wait(LONG)
    assert not one.close(0.05)
    assert dropped.reasons == {"stopping": 3}
    sink.free.set()


def test_what_is_given_up_is_counted() -> None:
    sink, dropped = Deferring(SinkError("no", "refused")), Dropped()

    def give_up(now: float) -> float | None:
        if not sink.kept:
            return None
        sink.kept.pop()
        raise SinkError("no", "refused")

    sink.work = give_up  # type: ignore[method-assign]
    one = Outlet(sink, dropped)
    for number in range(3):
        one.put(event(number))
    assert one.close(LONG)
    assert dropped.reasons == {"refused": 3}


def test_broken_work_is_not_repeated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "PAUSE", LONG)
    sink, dropped = Deferring(RuntimeError("broken")), Dropped()
    one = Outlet(sink, dropped)
    assert sink.worked.wait(LONG)
    one.close(1.0)
    assert sink.calls == 1
    assert dropped.reasons == {"failed": 1}
