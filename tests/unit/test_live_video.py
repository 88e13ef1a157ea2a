"""Video from files and from a camera in the network that fails in every way, read and captured."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import conftest
import numpy as np
import pytest
from streams import (
    FPS,
    StreamServer,
    camera,
    closes_a_blocked,
    drawn,
    flipped,
    needs_fds,
    served,
    transport_stream,
    write_video,
)

from stgcn_deploy.errors import MissingDependencyError, UsageError
from stgcn_deploy.live.frames import Reading
from stgcn_deploy.live.sources import video
from stgcn_deploy.live.sources.base import Source, SourceError
from stgcn_deploy.live.sources.registry import open_source
from stgcn_deploy.live.sources.sockets import OwnSockets
from stgcn_deploy.live.sources.stream import ffmpeg_options

pytest.importorskip("av", reason="video needs PyAV")


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
        [
            ffmpeg,
            "-v",
            "error",
            "-i",
            str(clip),
            "-c",
            "copy",
            "-metadata:s:v",
            "rotate=90",
            str(turned),
        ],
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
    try:
        for _ in range(most):
            assert source.read() is not None
    except SourceError as error:
        return error
    finally:
        source.close()
    pytest.fail(f"no error in {most} frames")


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
    [
        (404, "not found", True),
        (401, "not allowed", True),
        (403, "not allowed", True),
        (500, "broken", False),
    ],
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
    ):
        source = open_source(camera(url, timeout=3))
        with pytest.raises(SourceError) as error:
            source.open()
        source.close()
        assert error.value.reason == reason
        assert not error.value.lasting
        assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["rtsp://", "http:///x", "http://h:999999/x", "http://h:a/x", "rtsp://[h/x"]
)
def test_an_address_without_a_place_is_a_wrong_use(url: str) -> None:
    with pytest.raises(UsageError, match="://HOST or "):
        open_source(camera(url))


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
            with pytest.raises(BrokenPipeError):
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
