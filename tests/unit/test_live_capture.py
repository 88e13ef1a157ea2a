"""The threads around the sources: states, drops, hanging drivers, cameras that are lost and found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streams import (
    FPS,
    Recorder,
    StreamServer,
    camera,
    captured,
    flipped,
    needs_fds,
    served,
    transport_stream,
    write_video,
)

from stgcn_deploy.errors import StgcnError, UsageError
from stgcn_deploy.live.capture import MAX_STUCK, Capture
from stgcn_deploy.live.frames import Frame, Reading
from stgcn_deploy.live.settings import CameraSettings
from stgcn_deploy.live.slots import Intake
from stgcn_deploy.live.sources.base import Source, SourceError

pytest.importorskip("av", reason="video needs PyAV")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    write_video(path, frames=25)
    return path


def test_a_file_is_captured_whole_and_ends(clip: Path) -> None:
    with captured(camera(clip)) as (capture, intake, seen):
        found: list[Frame] = []
        while len(found) < 25:
            found += intake.take(30)
            intake.done("door")
        seen.wait_for_state("ended", "ended")
        assert capture.over
        assert capture.error == ""
    assert [state for _, state, _ in seen.states] == ["connecting", "running", "ended"]
    assert np.diff([frame.t for frame in found]) == pytest.approx([1 / FPS] * 24)
    assert seen.drops == []
    assert len(seen.decode) == len(seen.frames) == 25
    assert {frame.epoch for frame in found} == {0}


def test_a_broken_file_ends_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"never a video" * 100)
    with captured(camera(tmp_path / "a.mp4")) as (capture, _, seen):
        seen.wait_for_state("ended", "unreadable")
        assert "a.mp4" in capture.error
    assert [state for _, state, _ in seen.states] == ["connecting", "ended"]


def test_a_file_as_if_it_were_a_camera_gives_the_newest(clip: Path) -> None:
    with captured(camera(clip, realtime=True)) as (capture, intake, seen):
        assert capture.live
        seen.wait_for_state("ended", "ended")
        assert len(intake.take(0)) == 1
    assert seen.drops.count(("door", "replaced")) + seen.drops.count(("door", "stale")) == 24


def test_a_rate_leaves_frames_out_before_they_are_converted(clip: Path) -> None:
    with captured(camera(clip, fps=5)) as (_, intake, seen):
        found: list[Frame] = []
        while not (seen.states[-1:] and seen.states[-1][1] == "ended" and intake.idle()):
            found += intake.take(0.1)
            intake.done("door")
    assert len(found) == 5
    assert seen.drops == [("door", "skipped")] * 20
    assert len(seen.frames) == 25


def test_damaged_frames_are_counted_and_go_no_further(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(flipped(transport_stream(100), 60))
    with captured(camera(path)) as (_, intake, seen):
        found: list[Frame] = []
        while not (seen.states[-1:] and seen.states[-1][1] == "ended" and intake.idle()):
            found += intake.take(0.1)
            intake.done("door")
    assert not any(frame.corrupt for frame in found)
    assert all(frame.image is not None for frame in found)
    corrupt = sum(frame.corrupt for frame in seen.frames)
    assert seen.drops == [("door", "corrupt")] * corrupt
    assert corrupt > 0
    assert len(found) + corrupt == len(seen.frames)


def test_a_camera_that_is_away_at_the_start_comes_up_later() -> None:
    with served() as server:
        server.kill()
        with captured(camera(server.url, timeout=3)) as (capture, _, seen):
            seen.wait_for_state("backoff", "refused")
            assert capture.state != "ended"
            server.start()
            seen.wait_for_state("running")


def make_it_fail(server: StreamServer, seen: Recorder, how: str) -> None:
    """Let a camera fail until that is seen, and then be well again."""
    lost = len([state for _, state, _ in seen.states if state == "backoff"])
    if how == "kill":
        server.kill()
        seen.wait_for_state("backoff", count=lost + 1)
        server.start()
    elif how == "freeze":
        server.frozen.set()
        seen.wait_for_state("backoff", "frozen")
        server.frozen.clear()
    else:
        server.status = 404
        server.hang_up()
        seen.wait_for_state("backoff", "not found")
        server.status = 200


@needs_fds
@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_a_camera_that_is_lost_comes_back(how: str) -> None:
    with served() as server, captured(camera(server.url, timeout=1.0)) as (_, _, seen):
        seen.wait(lambda one: len(one.frames) > 5)
        make_it_fail(server, seen, how)
        seen.wait_for_state("running", count=2)
    # Nothing counts between a loss and the next frame, and time goes on.
    times = [frame.t for frame in seen.frames]
    assert times == sorted(set(times))
    epochs = [frame.epoch for frame in seen.frames]
    assert epochs == sorted(epochs)
    assert epochs[-1] > epochs[0]


@needs_fds
@pytest.mark.slow
def test_whatever_happens_it_comes_back() -> None:
    with served() as server, captured(camera(server.url, timeout=1.0)) as (capture, _, seen):
        for count, how in enumerate(("kill", "freeze", "kill", "refuse"), start=1):
            seen.wait(lambda one: one.states[-1:] and one.states[-1][1] == "running")
            make_it_fail(server, seen, how)
            assert capture.error
            if how != "refuse":
                seen.wait_for_state("running", count=count + 1)


def test_it_stops_at_once_whatever_it_waits_for() -> None:
    with served() as server:
        server.frozen.set()
        for settings in (camera(server.url, timeout=60), camera("http://127.0.0.1:1/x")):
            seen = Recorder()
            intake = Intake(seen, stale=1.0)
            capture = Capture(settings, intake, seen)
            capture.start()
            seen.wait_for_state("connecting")
            assert capture.stop(timeout=30)
            assert seen.states[-1] == ("door", "ended", "stopped")
            # And the name is free again.
            intake.add("door", live=True)
    assert not [one for one in threading.enumerate() if one.name.startswith("capture")]


def test_a_file_that_waits_for_room_stops() -> None:
    seen, many = Recorder(), Scripted([Reading(float(index), persons=()) for index in range(100)])
    intake = Intake(seen, stale=1.0)
    capture = Capture(camera("x"), intake, seen, make=lambda _: many)
    capture.start()
    seen.wait(lambda one: len(one.frames) == 5)
    assert capture.stop(timeout=30)


class Scripted:
    """A source that gives what it was told to, or raises it, or hangs."""

    layout: str | None = None
    channels: str | None = None
    raw = True
    fps: float | None = 25.0

    def __init__(self, script: list[Any], *, live: bool = False, deaf: bool = False) -> None:
        self.name = "scripted"
        self.live = live
        self.script = script
        self.deaf = deaf
        self.closed = threading.Event()
        self.free = threading.Event()

    def open(self) -> None:
        pass

    def read(self) -> Reading | None:
        if not self.script:
            return None
        step = self.script.pop(0)
        if step == "hang":
            (self.free if self.deaf else self.closed).wait(60)
            raise SourceError("closed", "ended")
        if isinstance(step, Exception):
            raise step
        return step  # type: ignore[no-any-return]

    def close(self) -> None:
        self.closed.set()


def scripted(*scripts: list[Any], **options: Any) -> Callable[[CameraSettings], Source]:
    """Sources for one try after the other; the last one hangs."""
    sources = [Scripted(script, live=True, **options) for script in scripts]
    return lambda _: sources.pop(0) if sources else Scripted(["hang"], live=True)


POINTS = Reading(0.0, persons=())


def test_an_unexpected_error_is_told_and_tried_again() -> None:
    broken = [POINTS, AttributeError("'NoneType' object has no attribute 'copy'")]
    with captured(camera("x"), make=scripted(broken, [POINTS, "hang"])) as (capture, _, seen):
        seen.wait_for_state("backoff", "broken")
        assert "AttributeError" in capture.error
        seen.wait_for_state("running", count=2)


def test_a_source_may_be_refused_when_it_is_open() -> None:
    def refuse(source: Source) -> None:
        raise UsageError(f"{source.name}: layout ntu25 cannot become coco17.")

    with captured(camera("x"), make=scripted([POINTS]), on_open=refuse) as (capture, _, seen):
        seen.wait_for_state("backoff", "unreadable")
        assert "cannot become" in capture.error
        assert seen.frames == []


def test_a_file_that_is_gone_at_the_next_try_is_an_error_not_a_crash() -> None:
    made: list[int] = []

    def make(settings: CameraSettings) -> Source:
        made.append(1)
        if len(made) > 1:
            raise UsageError("x: no such file.")
        return Scripted([POINTS, SourceError("x", "broken")], live=True)

    with captured(camera("x"), make=make) as (capture, _, seen):
        seen.wait_for_state("backoff", "not found")
        assert "no such file" in capture.error


def test_a_wrong_camera_is_told_when_it_is_made() -> None:
    with pytest.raises(StgcnError, match="no such file"):
        Capture(camera("/nowhere/x.mp4"), Intake(Recorder(), stale=1), Recorder())


def test_a_read_that_hangs_is_closed_and_tried_again() -> None:
    make = scripted([POINTS, "hang"], [POINTS, "hang"])
    with captured(camera("x", timeout=0.3), make=make) as (_, _, seen):
        seen.wait_for_state("backoff", "frozen")
        seen.wait_for_state("running", count=2)


def test_a_thread_that_hangs_in_a_driver_is_replaced_and_gives_nothing_any_more() -> None:
    deaf = Scripted([POINTS, "hang", POINTS], live=True, deaf=True)
    sources: list[Source] = [deaf, Scripted([POINTS, "hang"], live=True)]
    make: Callable[[CameraSettings], Source] = lambda _: (  # noqa: E731
        sources.pop(0) if sources else Scripted(["hang"], live=True)
    )
    with captured(camera("x", timeout=0.3), make=make) as (_, _, seen):
        seen.wait_for_state("backoff", "frozen")
        seen.wait_for_state("running", count=2)
        count = len(seen.frames)
        deaf.free.set()
    assert deaf.closed.is_set()
    assert len(seen.frames) == count


def test_threads_that_hang_are_not_heaped_up() -> None:
    made: list[Scripted] = []

    def make(settings: CameraSettings) -> Source:
        made.append(Scripted(["hang"], live=True, deaf=True))
        return made[-1]

    seen = Recorder()
    now = [0.0]
    intake = Intake(seen, stale=1)
    capture = Capture(camera("x"), intake, seen, make=make, clock=lambda: now[0])
    capture.start()
    for round_ in range(MAX_STUCK + 3):
        seen.wait_for_state("connecting", count=min(round_ + 1, MAX_STUCK + 1))
        for _ in range(3):
            now[0] += 40.0
            capture.tick(now[0])
    assert len(made) == MAX_STUCK + 1
    for one in made:
        one.free.set()
    assert capture.stop(timeout=30)


def test_how_many_frames_a_second_can_be_lowered_while_it_runs(clip: Path) -> None:
    source = [Reading(index / 25, persons=()) for index in range(100)]
    seen = Recorder()
    intake = Intake(seen, stale=60.0)
    capture = Capture(camera("x", fps=50), intake, seen, make=scripted(source))
    capture.limit(5.0)
    capture.start()
    seen.wait_for_state("ended")
    capture.stop(timeout=30)
    # Placed by arrival, for they came all at once: none but the first was due.
    assert seen.drops.count(("door", "skipped")) > 80
