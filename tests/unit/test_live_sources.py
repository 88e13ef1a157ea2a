"""Which source an address means, what errors say, and key points from files, pipes and sockets."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgcn_deploy.data.formats.keypoint_lines import MAX_LINE
from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.frames import Reading
from stgcn_deploy.live.redact import redact
from stgcn_deploy.live.settings import CameraSettings
from stgcn_deploy.live.sources.base import Source, SourceError
from stgcn_deploy.live.sources.failures import failure
from stgcn_deploy.live.sources.registry import SOURCES, kind_of, open_source

HEADER = {
    "format": "stgcn-keypoints",
    "version": 1,
    "layout": "coco17",
    "fps": 25.0,
    "image_size": [640, 480],
    "channels": "xys",
}


def camera(source: str | Path, **options: Any) -> CameraSettings:
    return CameraSettings(name="door", source=str(source), **options)


def frame_line(t: float, persons: int = 1, **more: Any) -> str:
    joints = [[float(index), 2.0, 0.9] for index in range(17)]
    people = [{"id": index, "keypoints": joints, **more} for index in range(persons)]
    return json.dumps({"t": t, "persons": people})


def stream(frames: int, **header: Any) -> str:
    lines = [json.dumps({**HEADER, **header}), *(frame_line(index / 25) for index in range(frames))]
    return "\n".join(lines) + "\n"


def all_of(source: Source) -> list[Reading]:
    source.open()
    try:
        return list(iter(source.read, None))
    finally:
        source.close()


# --- secrets


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        ("rtsp://admin:hunter2@10.0.0.7:554/ch1", "rtsp://***@10.0.0.7:554/ch1", "hunter2"),
        ("rtsp://admin:hun/t?er#2@10.0.0.7/ch1", "10.0.0.7/ch1", "er#2"),
        ("rtsp://admin:p@ss@10.0.0.7/ch1", "rtsp://***@10.0.0.7/ch1", "ss@"),
        ("rtsp://hunter2@10.0.0.7/ch1", "rtsp://***@10.0.0.7/ch1", "hunter2"),
        (
            "http://cam/v?channel=1&token=hunter2&x=3",
            "http://cam/v?channel=1&token=***&x=3",
            "hunter2",
        ),
        ("http://cam/v?api_key=hunter2#x", "api_key=***#x", "hunter2"),
        ("https://cam/v?X-Amz-Signature=hunter2", "X-Amz-Signature=***", "hunter2"),
        ("http://cam/v?user=me&PWD=hunter2", "user=me&PWD=***", "hunter2"),
        ("tcp://u:hunter2@h:9", "tcp://***@h:9", "hunter2"),
        ("rtmp://h/app?auth=hunter2", "rtmp://h/app?auth=***", "hunter2"),
        (
            "[Errno 111] refused: 'rtsp://a:hunter2@h/x' (again)",
            "'rtsp://***@h/x' (again)",
            "hunter2",
        ),
        ("Authorization: Basic aHVudGVyMg==", "Authorization: Basic ***", "aHVud"),
        ("http://h:8080/live@720p?x=1", "http://h:8080/live@720p?x=1", "***"),
        ("/videos/a@b:c.mp4 and mail@example.org", "/videos/a@b:c.mp4 and mail@example.org", "***"),
    ],
)
def test_secrets_are_hidden(text: str, kept: str, gone: str) -> None:
    assert kept in redact(text)
    assert gone not in redact(text)
    assert redact(redact(text)) == redact(text)


class HTTPNotFoundError(Exception):
    """As PyAV calls it."""


class InvalidDataError(ValueError):
    """As PyAV calls it."""


class HTTPUnauthorizedError(Exception):
    """As PyAV calls it."""


@pytest.mark.parametrize(
    ("error", "reason", "lasting"),
    [
        (ConnectionRefusedError(111, "Connection refused", "rtsp://a:hunter2@h"), "refused", False),
        (OSError(113, "No route to host"), "refused", False),
        (TimeoutError(110, "timed out"), "timeout", False),
        (HTTPNotFoundError("404"), "not found", True),
        (HTTPUnauthorizedError("401: http://a:hunter2@h"), "not allowed", True),
        (FileNotFoundError(2, "No such file"), "not found", True),
        (PermissionError(13, "Permission denied"), "not allowed", True),
        (InvalidDataError("rtsp://a:hunter2@h/x?token=hunter2"), "unreadable", False),
        (EOFError("end"), "ended", False),
        (ConnectionResetError(104, "reset"), "broken", False),
        (RuntimeError(), "broken", False),
    ],
)
def test_errors_have_reasons_and_no_secrets(error: Exception, reason: str, lasting: bool) -> None:
    found = failure("rtsp://***@h", error)
    assert (found.reason, found.lasting) == (reason, lasting)
    assert "hunter2" not in str(found)
    assert str(found).startswith("rtsp://***@h: ")


def test_invalid_data_after_the_limit_of_time_is_a_time_out() -> None:
    assert failure("x", InvalidDataError(), timed_out=True).reason == "timeout"
    assert failure("x", ConnectionRefusedError(), timed_out=True).reason == "refused"


# --- which source


def test_the_shape_of_an_address_says_what_it_is(tmp_path: Path) -> None:
    for name in ("clip.mp4", "clip", "points.jsonl", "POINTS.NDJSON", "0"):
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    expected = {
        "0": "webcam",
        "12": "webcam",
        "/dev/video3": "webcam",
        "rtsp://u:p@h/x": "stream",
        "RTSPS://h": "stream",
        "rtmp://h/x": "stream",
        "http://h/x.m3u8": "stream",
        "https://h": "stream",
        "srt://h:9": "stream",
        "tcp://h:9": "key-point socket",
        "-": "key-point input",
        str(tmp_path): "folder",
        str(tmp_path / "clip.mp4"): "video",
        str(tmp_path / "clip"): "video",
        str(tmp_path / "0"): "video",
        str(tmp_path / "points.jsonl"): "key-point file",
        str(tmp_path / "POINTS.NDJSON"): "key-point file",
        str(tmp_path / "pipe"): "key-point file",
    }
    assert {source: kind_of(source) for source in expected} == expected
    assert set(expected.values()) == set(SOURCES)


@pytest.mark.parametrize("source", ["ftp://u:hunter2@h/x", "rtps://u:hunter2@h/x"])
def test_an_unknown_scheme_says_what_is_possible(source: str) -> None:
    with pytest.raises(UsageError, match="rtsp://") as error:
        kind_of(source)
    assert "hunter2" not in str(error.value)


def test_a_missing_file_names_those_near_it(tmp_path: Path) -> None:
    (tmp_path / "entrance.mp4").touch()
    with pytest.raises(UsageError, match=r"no such file.*entrance\.mp4.*webcam"):
        kind_of(str(tmp_path / "entrence.mp4"))
    with pytest.raises(UsageError, match="no such file"):
        kind_of(str(tmp_path / "nowhere" / "x.mp4"))
    with pytest.raises(UsageError, match="no such file"):
        kind_of("x" * 5000)
    with pytest.raises(UsageError, match="no such file"):
        kind_of("a\x00b")


@pytest.mark.parametrize(
    "source", ["tcp://", "tcp://h", "tcp://h:x", "tcp://h:99999", "tcp://h:9/x"]
)
def test_a_socket_needs_host_and_port(source: str) -> None:
    with pytest.raises(UsageError, match="tcp://HOST:PORT"):
        open_source(camera(source))


def test_every_source_holds_what_the_seam_promises(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.jsonl").touch()
    for source in (
        "0",
        "rtsp://h",
        tmp_path,
        tmp_path / "a.mp4",
        tmp_path / "a.jsonl",
        "-",
        "tcp://h:9",
    ):
        found = open_source(camera(source))
        assert found.name
        assert found.live in (True, False)
        assert (found.layout, found.channels, found.raw, found.fps) == (None, None, True, None)
        found.close()
        found.close()
        with pytest.raises(SourceError, match="closed") as error:
            found.open()
        assert error.value.reason == "ended"


# --- key points


def test_key_points_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(stream(3) + frame_line(1.0, persons=2, score=0.5, box=[1, 2, 3, 4]) + "\n")
    source = open_source(camera(path))
    found = all_of(source)
    assert not source.live
    assert (source.layout, source.channels, source.raw, source.fps) == ("coco17", "xys", True, 25.0)
    assert [reading.pts for reading in found] == [0.0, 0.04, 0.08, 1.0]
    assert found[0].size == (640, 480)
    assert found[0].image is None
    persons = found[3].persons
    assert persons is not None
    assert (persons[1].id, persons[1].score, persons[1].box) == (1, 0.5, (1.0, 2.0, 3.0, 4.0))
    assert persons[1].keypoints.shape == (17, 3)
    assert persons[1].keypoints.dtype == np.float32
    first = found[0].persons
    assert first is not None
    assert (first[0].score, first[0].box) == (1.0, None)


def test_nobody_is_nobody_not_unknown(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(stream(0) + frame_line(0.0, persons=0) + "\n")
    assert all_of(open_source(camera(path)))[0].persons == ()


def test_a_wrong_line_is_told_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(stream(1) + "{oops\n\n" + frame_line(0.0) + "\n" + frame_line(0.5))
    found = all_of(open_source(camera(path)))
    assert [(reading.pts, reading.corrupt) for reading in found] == [
        (0.0, False), (None, True), (None, True), (0.5, False),
    ]  # fmt: skip


def test_too_many_wrong_lines_are_another_format(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(stream(1) + "{oops\n" * 60)
    with pytest.raises(SourceError, match="50 wrong lines in a row") as error:
        all_of(open_source(camera(path)))
    assert error.value.reason == "unreadable"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "ended before the first line"),
        ("{}\n", "a frame before any header"),
        ("\x00\xff", "JSON"),
    ],
)
def test_a_file_without_a_header_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(SourceError, match=says):
        all_of(open_source(camera(path)))


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * (MAX_LINE + (1 << 18)))
    with pytest.raises(SourceError, match="MiB"):
        all_of(open_source(camera(path)))


def test_a_later_header_may_change_the_picture_but_not_the_form(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(stream(2) + stream(1, image_size=[320, 240]))
    found = all_of(open_source(camera(path)))
    assert [reading.size for reading in found] == [(640, 480), (640, 480), (320, 240)]
    path.write_text(stream(2) + stream(1, layout="ntu25"))
    with pytest.raises(SourceError, match="a later header says layout ntu25") as error:
        all_of(open_source(camera(path)))
    assert error.value.reason == "broken"


def test_a_loop_goes_on_in_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(stream(3))
    source = open_source(camera(path, loop=True))
    source.open()
    found = [source.read() for _ in range(7)]
    source.close()
    times = [reading.pts for reading in found if reading is not None]
    assert times == pytest.approx([index * 0.04 for index in range(7)])


def test_a_loop_of_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(stream(0))
    with pytest.raises(SourceError, match="no frame in it"):
        all_of(open_source(camera(path, loop=True)))


def test_as_if_it_were_a_camera_it_waits_for_its_clock_and_can_be_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(stream(2) + frame_line(1.5) + "\n")
    source = open_source(camera(path, realtime=True))
    assert source.live
    source.open()
    assert [source.read() is not None for _ in range(2)] == [True, True]
    threading.Timer(0.1, source.close).start()
    with pytest.raises(SourceError, match="closed"):
        source.read()


def test_a_pipe_waits_for_who_writes_into_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(stream(3)))
    writer.start()
    assert len(all_of(open_source(camera(pipe)))) == 3
    writer.join()


def closes_a_blocked_read(source: Source, block: Any) -> None:
    """Close a source from another thread while `block` waits in it."""
    errors: list[Exception] = []

    def reads() -> None:
        try:
            block()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=reads)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive(), "it was to block"
    source.close()
    thread.join(30)
    assert not thread.is_alive()
    assert isinstance(errors[0], SourceError)
    assert errors[0].reason == "ended"


def test_a_pipe_that_nobody_writes_into_can_be_closed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    source = open_source(camera(tmp_path / "pipe"))
    closes_a_blocked_read(source, source.open)


def test_key_points_of_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    from stgcn_deploy.live.sources import lines

    read_end, write_end = os.pipe()
    monkeypatch.setattr(lines.KeypointInput, "_connect", lambda self: read_end)
    os.write(write_end, stream(2).encode())
    source = open_source(camera("-"))
    source.open()
    assert source.name == "standard input"
    assert [source.read() is not None for _ in range(2)] == [True, True]
    closes_a_blocked_read(source, source.read)
    os.close(write_end)
    # It is the process's, and was not closed.
    os.close(read_end)


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        yield server, f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_key_points_over_tcp_end_in_a_disconnect() -> None:
    with listening() as (server, url):
        source = open_source(camera(url))
        assert source.live

        def sends() -> None:
            one, _ = server.accept()
            with one, io.BytesIO(stream(3).encode()) as data:
                # In pieces that are no lines.
                while piece := data.read(100):
                    one.sendall(piece)

        sender = threading.Thread(target=sends)
        sender.start()
        source.open()
        assert [source.read() is not None for _ in range(3)] == [True] * 3
        with pytest.raises(SourceError, match="ended the stream") as error:
            source.read()
        assert (error.value.reason, error.value.lasting) == ("ended", False)
        source.close()
        sender.join()


def test_a_socket_that_says_nothing_times_out_and_can_be_closed() -> None:
    with listening() as (_, url):
        source = open_source(camera(url, timeout=0.2))
        with pytest.raises(SourceError) as error:
            source.open()
        assert error.value.reason == "timeout"
        source.close()
        source = open_source(camera(url, timeout=60))
        closes_a_blocked_read(source, source.open)


def test_a_socket_where_nobody_listens() -> None:
    with listening() as (_, url):
        pass
    source = open_source(camera(url))
    with pytest.raises(SourceError) as error:
        source.open()
    assert error.value.reason == "refused"
    source.close()
    source = open_source(camera("tcp://u:hunter2@nobody.invalid:9"))
    with pytest.raises(SourceError, match="unknown") as error:
        source.open()
    assert error.value.reason == "not found"
    assert "hunter2" not in str(error.value)
    source.close()


def test_a_failed_read_leaves_no_lock_behind(tmp_path: Path) -> None:
    """Another project's capture died holding its lock, and everybody who wanted a frame hung."""
    path = tmp_path / "a.jsonl"
    path.write_text(stream(1) + stream(1, channels="xy"))
    source = open_source(camera(path))
    source.open()
    source.read()
    with pytest.raises(SourceError):
        source.read()
    done = threading.Thread(target=source.close)
    done.start()
    done.join(30)
    assert not done.is_alive()


def test_sources_leave_no_descriptors_behind(tmp_path: Path) -> None:
    fds = Path("/dev/fd")
    if not fds.is_dir():
        pytest.skip("this system does not list open files")
    path = tmp_path / "a.jsonl"
    path.write_text(stream(5))
    all_of(open_source(camera(path)))
    before = len(list(fds.iterdir()))
    for _ in range(20):
        all_of(open_source(camera(path)))
    assert len(list(fds.iterdir())) == before
