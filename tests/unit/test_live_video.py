"""Video from files and from a camera in the network that fails in every way, read and captured."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import conftest
import numpy as np
import pytest
from streams import FPS, Recorder, StreamServer, drawn, flipped, served, transport_stream, write_video

from stgcn_deploy.errors import MissingDependencyError, StgcnError, UsageError
from stgcn_deploy.live.capture import MAX_STUCK, Capture, Watch
from stgcn_deploy.live.frames import Frame, Reading
from stgcn_deploy.live.settings import CameraSettings
from stgcn_deploy.live.slots import Intake
from stgcn_deploy.live.sources import video
from stgcn_deploy.live.sources.base import Source, SourceError
from stgcn_deploy.live.sources.registry import open_source
from stgcn_deploy.live.sources.sockets import OwnSockets
from stgcn_deploy.live.sources.stream import ffmpeg_options

pytest.importorskip("av", reason="video needs PyAV")


def camera(source: str | Path, **options: Any) -> CameraSettings:
    return CameraSettings(**{"name": "door", "source": str(source), **options})


def all_of(source: Source) -> list[Reading]:
    source.open()
    try:
        return list(iter(source.read, None))
    finally:
        source.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    write_video(path, frames=25)
    return path


# --- files


def test_every_frame_of_a_file_in_its_colours(clip: Path) -> None:
    source = open_source(camera(clip))
    found = all_of(source)
    assert not source.live
    assert source.fps == FPS
    assert [reading.pts for reading in found] == pytest.approx([i / FPS for i in range(25)])
    for index in (0, 12, 24):
        image = found[index].image
        assert image is not None
        assert (image.shape, image.dtype, found[index].size) == ((48, 64, 3), np.uint8, (64, 48))
        # Red stays red: OpenCV's order would turn the bar blue.
        assert abs(image.astype(int) - drawn(index)).mean() < 12


def test_a_large_image_is_reduced_in_proportion(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    write_video(path, (1920, 1080), frames=2)
    reading = all_of(open_source(camera(path)))[0]
    assert reading.image is not None
    assert (reading.image.shape, reading.size) == ((720, 1280, 3), (1280, 720))


def test_an_image_too_large_for_anything_is_refused(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "MAX_SIDE", 60)
    with pytest.raises(SourceError, match="an image of 64x48") as error:
        all_of(open_source(camera(clip)))
    assert (error.value.reason, error.value.lasting) == ("unreadable", True)


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"never a video" * 100)
    (tmp_path / "empty.mp4").touch()
    for name in ("a.mp4", "empty.mp4"):
        with pytest.raises(SourceError) as error:
            all_of(open_source(camera(tmp_path / name)))
        assert error.value.reason == "unreadable"


def test_a_file_with_sound_alone(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match="no video in it"):
        all_of(open_source(camera(path)))


def test_a_truncated_file_gives_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    data = transport_stream(50)
    path.write_bytes(data[: len(data) // 2])
    found = [reading for reading in all_of(open_source(camera(path))) if not reading.corrupt]
    assert 10 < len(found) < 40


def test_damage_is_seen_and_survived(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(flipped(transport_stream(100), 60))
    found = all_of(open_source(camera(path)))
    assert any(reading.corrupt for reading in found)
    assert sum(not reading.corrupt for reading in found) > 30
    assert all(reading.image is None for reading in found if reading.corrupt)


def test_nothing_but_damage_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(flipped(transport_stream(100), 3000))
    monkeypatch.setattr(video, "MAX_CORRUPT", 2)
    with pytest.raises(SourceError, match="damaged frames in a row") as error:
        all_of(open_source(camera(path)))
    assert error.value.reason == "broken"


def test_a_folder_in_the_order_of_its_names(tmp_path: Path) -> None:
    from av import VideoFrame

    write_video(tmp_path / "b.mp4", (32, 32), frames=3)
    write_video(tmp_path / "c.avi", (48, 32), frames=2)
    (tmp_path / "notes.txt").write_text("no video")
    for name in ("a%d.png", "d.jpg"):
        VideoFrame.from_ndarray(drawn(0, 16, 16), format="rgb24").save(str(tmp_path / name))
    found = all_of(open_source(camera(tmp_path)))
    assert [reading.size for reading in found] == [
        (16, 16), (32, 32), (32, 32), (32, 32), (48, 32), (48, 32), (16, 16),
    ]  # fmt: skip
    assert [reading.pts for reading in found] == pytest.approx([i / 25 for i in range(7)])


def test_a_folder_without_video(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(UsageError, match=r"without images or videos; expected some of .*\.mp4"):
        open_source(camera(tmp_path))


def test_a_loop_goes_on_in_time(clip: Path) -> None:
    source = open_source(camera(clip, loop=True))
    source.open()
    times = [reading.pts for reading in (source.read() for _ in range(60)) if reading is not None]
    source.close()
    assert times == pytest.approx([index / FPS for index in range(60)])


def test_what_is_not_wanted_is_not_converted(clip: Path) -> None:
    source = open_source(camera(clip))
    assert isinstance(source, video.VideoSource)
    source.wanted = lambda pts: pts is not None and round(pts * FPS) % 5 == 0
    found = all_of(source)
    assert [reading.image is not None for reading in found] == [i % 5 == 0 for i in range(25)]
    assert {reading.size for reading in found} == {(64, 48)}


def test_a_phones_video_stands_upright(tmp_path: Path, clip: Path) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("needs the program ffmpeg, to write how a video is to be turned")
    turned = tmp_path / "turned.mp4"
    subprocess.run(
        [ffmpeg, "-v", "error", "-display_rotation", "90", "-i", str(clip), "-c", "copy", str(turned)],
        check=True,
    )
    shown = tmp_path / "shown.png"
    subprocess.run(
        [ffmpeg, "-v", "error", "-i", str(turned), "-frames:v", "1", str(shown)], check=True
    )
    ours, theirs = all_of(open_source(camera(turned)))[0], all_of(open_source(camera(shown)))[0]
    assert ours.size == theirs.size == (48, 64)
    assert ours.image is not None
    assert theirs.image is not None
    assert abs(ours.image.astype(int) - theirs.image.astype(int)).mean() < 8


def test_without_pyav_the_line_that_installs_it(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "stgcn-deploy\[live\]"'):
        all_of(open_source(camera(clip)))


@pytest.mark.shared
@pytest.mark.parametrize("name", ["exercise.avi", "ta_chi.mp4"])
def test_real_clips(name: str) -> None:
    found = all_of(open_source(camera(conftest.shared_path("data", "video", name))))
    times = [reading.pts for reading in found if reading.pts is not None]
    assert len(found) >= 300
    assert not any(reading.corrupt for reading in found)
    assert times == sorted(set(times))


# --- webcams


def test_a_webcam_that_is_not_there() -> None:
    source = open_source(camera("987"))
    assert source.name == "/dev/video987"
    with pytest.raises(SourceError, match="/dev/video987") as error:
        source.open()
    assert error.value.reason == "not found"
    source.close()


def fake_cv2(pictures: list[Any], opened: bool = True) -> types.ModuleType:
    class VideoCapture:
        def __init__(self, device: object) -> None:
            self.left = list(pictures)

        def isOpened(self) -> bool:
            return opened

        def get(self, _: int) -> float:
            return 15.0

        def read(self) -> tuple[bool, Any]:
            return (True, self.left.pop(0)) if self.left else (False, None)

        def release(self) -> None:
            pass

    module = types.ModuleType("cv2")
    module.VideoCapture = VideoCapture  # type: ignore[attr-defined]
    module.CAP_PROP_FPS = 5  # type: ignore[attr-defined]
    return module


def without_v4l2(monkeypatch: pytest.MonkeyPatch, cv2: types.ModuleType) -> None:
    from stgcn_deploy.live.sources import webcam

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("no format v4l2")

    monkeypatch.setattr(webcam.Decoder, "__init__", refuse)
    monkeypatch.setitem(sys.modules, "cv2", cv2)


def test_opencv_reads_a_webcam_where_ffmpeg_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    blue = np.zeros((4, 6, 3), np.uint8)
    blue[..., 0] = 255
    without_v4l2(monkeypatch, fake_cv2([blue]))
    source = open_source(camera("0"))
    source.open()
    assert source.fps == 15.0
    reading = source.read()
    assert reading is not None
    assert (reading.pts, reading.size) == (None, (6, 4))
    assert reading.image is not None
    assert reading.image[0, 0].tolist() == [0, 0, 255]
    # A failed read gives None for an image, which another project went on to copy.
    with pytest.raises(SourceError, match="plugged in") as error:
        source.read()
    assert error.value.reason == "ended"
    source.close()


def test_opencv_without_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    without_v4l2(monkeypatch, fake_cv2([], opened=False))
    source = open_source(camera("0"))
    with pytest.raises(SourceError, match="no camera there"):
        source.open()
    source.close()


# --- streams


def test_ffmpegs_options() -> None:
    rtsp = ffmpeg_options("RTSP://u:p@h/x", 2.5)
    assert (rtsp["rtsp_transport"], rtsp["timeout"]) == ("tcp", "2500000")
    assert ffmpeg_options("rtmp://h/x", 1)["rw_timeout"] == "1000000"
    assert "timeout" not in ffmpeg_options("rtmp://h/x", 1)
    for options in (rtsp, ffmpeg_options("http://h", 1)):
        assert "file" not in options["protocol_whitelist"].split(",")
        assert "fflags" not in options


def opened(server: StreamServer, **options: Any) -> Source:
    source = open_source(camera(server.url, **options))
    source.open()
    return source


def read_until_error(source: Source, most: int = 1000) -> SourceError:
    with pytest.raises(SourceError) as error:
        for _ in range(most):
            assert source.read() is not None
    source.close()
    return error.value


def test_the_end_of_a_stream_is_a_disconnect() -> None:
    with served([(transport_stream(40), 0.5)], loop=False) as server:
        source = opened(server)
        assert source.live
        assert source.fps == FPS
        error = read_until_error(source)
    assert error.reason in ("ended", "broken")
    assert not error.lasting


@pytest.mark.parametrize(
    ("status", "reason", "lasting"),
    [(404, "not found", True), (401, "not allowed", True), (403, "not allowed", True), (500, "broken", False)],
)
def test_refusals_have_reasons(status: int, reason: str, lasting: bool) -> None:
    with served() as server:
        server.status = status
        url = server.url.replace("http://", "http://me:hunter2@") + "?token=hunter2"
        source = open_source(camera(url))
        with pytest.raises(SourceError) as error:
            source.open()
        source.close()
    assert (error.value.reason, error.value.lasting) == (reason, lasting)
    assert "hunter2" not in str(error.value) + source.name
    assert "127.0.0.1" in str(error.value)


def test_nobody_there_and_nobody_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    for url, reason in (
        (f"rtsp://me:hunter2@127.0.0.1:{port}/x", "refused"),
        (f"http://127.0.0.1:{port}/x", "refused"),
        ("rtsp://nobody.invalid/x", "not found"),
        ("http://127.0.0.1:999999/x", "not found"),
    ):
        source = open_source(camera(url, timeout=3))
        with pytest.raises(SourceError) as error:
            source.open()
        source.close()
        assert error.value.reason == reason
        assert not error.value.lasting
        assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_one_that_accepts_and_never_speaks_times_out(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        source = open_source(camera(f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/x", timeout=0.5))
        with pytest.raises(SourceError) as error:
            source.open()
        source.close()
    assert error.value.reason == "timeout"


def test_a_frozen_stream_times_out() -> None:
    with served() as server:
        source = opened(server, timeout=0.7)
        server.frozen.set()
        assert read_until_error(source).reason == "timeout"


def closes_a_blocked(source: Source, block: Callable[[], object]) -> SourceError:
    """Close a source that hangs in `block`, from another thread."""
    errors: list[Exception] = []

    def reads() -> None:
        try:
            while True:
                block()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=reads)
    thread.start()
    # Whatever had been sent is read by then.
    thread.join(1.0)
    assert thread.is_alive(), "it was to block"
    source.close()
    thread.join(20)
    assert not thread.is_alive(), "it went on to block"
    assert isinstance(errors[0], SourceError)
    return errors[0]


needs_fds = pytest.mark.skipif(
    not Path("/dev/fd").is_dir(), reason="this system does not list open files"
)


@needs_fds
def test_a_blocked_read_ends_when_it_is_closed() -> None:
    with served() as server:
        source = opened(server, timeout=120)
        server.frozen.set()
        assert closes_a_blocked(source, source.read).reason == "ended"


@needs_fds
def test_a_blocked_opening_ends_when_it_is_closed() -> None:
    with served() as server:
        server.status = None
        source = open_source(camera(server.url, timeout=120))
        assert closes_a_blocked(source, source.open).reason == "ended"


@needs_fds
def test_only_the_own_connection_is_ended() -> None:
    with served() as server, served() as other:
        mine, theirs = opened(server), opened(other)
        same = opened(server)
        mine.close()
        for _ in range(30):
            assert theirs.read() is not None
            assert same.read() is not None
        same.close()
        theirs.close()


@needs_fds
def test_connections_that_cannot_be_told_apart_are_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        one, other = OwnSockets(url), OwnSockets(url)
        for each in (one, other):
            each.resolve("x")
        with one, socket.create_connection(server.getsockname()) as first:
            with other, socket.create_connection(server.getsockname()):
                assert (one.shut(), other.shut()) == (0, 0)
            first.send(b"still open")
        alone = OwnSockets(url)
        alone.resolve("x")
        with alone, socket.create_connection(server.getsockname()) as third:
            assert alone.shut() == 1
            with pytest.raises(OSError, match="."):
                third.send(b"closed")
        assert alone.shut() == 0


def test_another_size_in_the_middle_of_a_stream() -> None:
    parts = [(transport_stream(30, (64, 48)), 0.4), (transport_stream(30, (96, 64)), 0.4)]
    with served(parts) as server:
        source = opened(server)
        sizes = set()
        for _ in range(200):
            reading = source.read()
            assert reading is not None
            if reading.image is not None:
                assert reading.image.shape[:2] == (reading.size or (0, 0))[::-1]
                sizes.add(reading.size)
            if len(sizes) == 2:
                break
        source.close()
    assert sizes == {(64, 48), (96, 64)}


# --- captured


@contextmanager
def captured(
    settings: CameraSettings, **options: Any
) -> Iterator[tuple[Capture, Intake, Recorder]]:
    """A camera's thread and its watch, running."""
    seen = Recorder()
    intake = Intake(seen, stale=60.0)
    capture = Capture(settings, intake, seen, random=Random(1), **options)
    watch = Watch(capture.tick, every=0.05)
    watch.start()
    capture.start()
    try:
        yield capture, intake, seen
    finally:
        capture.stop(timeout=30)
        watch.stop()
        intake.close()


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
    start = time.monotonic()
    with captured(camera(clip, realtime=True)) as (capture, intake, seen):
        assert capture.live
        seen.wait_for_state("ended", "ended")
        assert len(intake.take(0)) == 1
    assert time.monotonic() - start > 0.9, "25 frames take a second"
    assert seen.drops.count(("door", "replaced")) + seen.drops.count(("door", "stale")) == 24


def test_a_rate_leaves_frames_out_before_they_are_converted(clip: Path) -> None:
    with captured(camera(clip, fps=5)) as (_, intake, seen):
        found: list[Frame] = []
        while not (frames := intake.take(0.2)) or found.extend(frames) is None:  # type: ignore[func-returns-value]
            intake.done("door")
            if seen.states[-1][1] == "ended" and not frames:
                break
    assert len(found) == 5
    assert seen.drops == [("door", "skipped")] * 20
    assert len(seen.frames) == 25


def test_damaged_frames_are_counted_and_go_no_further(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(flipped(transport_stream(100), 60))
    with captured(camera(path)) as (_, intake, seen):
        found: list[Frame] = []
        while True:
            frames = intake.take(0.5)
            found += frames
            intake.done("door")
            if not frames and seen.states[-1][1] == "ended":
                break
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


@needs_fds
def test_killed_frozen_and_refusing_it_always_comes_back() -> None:
    with served() as server, captured(camera(server.url, timeout=1.0)) as (capture, _, seen):
        seen.wait(lambda one: len(one.frames) > 5)
        server.kill()
        seen.wait_for_state("backoff")
        server.start()
        seen.wait_for_state("running", count=2)
        server.frozen.set()
        seen.wait_for_state("backoff", "frozen")
        server.frozen.clear()
        seen.wait_for_state("running", count=3)
        server.status = 404
        server.hang_up()
        seen.wait_for_state("backoff", "not found")
        assert "camera.ts" in capture.error
    states = [state for _, state, _ in seen.states]
    assert states[-1] == "ended"
    # Nothing counts between a loss and the next frame, and time goes on.
    times = [frame.t for frame in seen.frames]
    assert times == sorted(set(times))
    epochs = [frame.epoch for frame in seen.frames]
    assert epochs == sorted(epochs)
    assert epochs[-1] >= 2


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
    capture = Capture(camera("x", timeout=1.0), Intake(seen, stale=1), seen, make=make)
    capture.start()
    now = time.monotonic()
    for round_ in range(MAX_STUCK + 3):
        seen.wait_for_state("connecting", count=min(round_ + 1, MAX_STUCK + 1))
        for _ in range(3):
            now += 40.0
            capture.tick(now)
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
