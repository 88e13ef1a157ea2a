"""A real RTSP server by GStreamer: killed, frozen, behind a password.  Skips where there is none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streams import Recorder, camera, captured, closes_a_blocked, needs_fds

from stgcn_deploy.live.sources.base import SourceError
from stgcn_deploy.live.sources.registry import open_source

pytest.importorskip("av", reason="video needs PyAV")

SCRIPT = Path(__file__).resolve().parents[1] / "fakes" / "rtsp_server.py"
# GStreamer's bindings belong to the system's Python, not to the one that runs the tests.
PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module", autouse=True)
def gstreamer() -> None:
    if shutil.which(PYTHON) is None:
        pytest.skip(f"needs {PYTHON} with GStreamer's RTSP server")
    tried = subprocess.run(
        [PYTHON, SCRIPT, "--check"], capture_output=True, check=False, timeout=120
    )
    if tried.returncode:
        pytest.skip(
            "needs GStreamer's RTSP server (Debian: python3-gst-1.0, gir1.2-gst-rtsp-server-1.0)"
        )


class RtspServer:
    """One that can be killed, frozen, and started again at the same address."""

    def __init__(self, *login: str) -> None:
        self.login = login
        self.port = "0"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [PYTHON, str(SCRIPT), self.port, *self.login],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = self.process.stdout.readline().strip()
        assert int(self.port) > 0

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def url(self, login: str = "", path: str = "cam") -> str:
        return f"rtsp://{login}127.0.0.1:{self.port}/{path}"


@pytest.fixture
def server() -> Iterator[RtspServer]:
    one = RtspServer()
    one.start()
    yield one
    one.kill()


def frames(url: str, count: int, **options: Any) -> list[Any]:
    source = open_source(camera(url, **options))
    source.open()
    try:
        return [source.read() for _ in range(count)]
    finally:
        source.close()


def test_an_rtsp_camera_is_read(server: RtspServer) -> None:
    found = [reading for reading in frames(server.url(), 20) if not reading.corrupt]
    assert len(found) >= 15
    assert {reading.size for reading in found} == {(64, 48)}
    times = [reading.pts for reading in found if reading.pts is not None]
    assert times == sorted(times)


def test_a_wrong_path_is_not_found(server: RtspServer) -> None:
    with pytest.raises(SourceError) as error:
        frames(server.url(path="nothing"), 1)
    assert (error.value.reason, error.value.lasting) == ("not found", True)


def test_a_password_is_needed_and_never_told() -> None:
    server = RtspServer("viewer", "hunter2")
    server.start()
    try:
        assert len(frames(server.url("viewer:hunter2@"), 5)) == 5
        with pytest.raises(SourceError) as error:
            frames(server.url("viewer:hunter3@"), 1)
    finally:
        server.kill()
    assert (error.value.reason, error.value.lasting) == ("not allowed", True)
    assert "hunter" not in str(error.value)


@needs_fds
def test_a_blocked_read_ends_when_it_is_closed(server: RtspServer) -> None:
    source = open_source(camera(server.url(), timeout=120))
    source.open()
    source.read()
    server.signal(signal.SIGSTOP)
    assert closes_a_blocked(source, source.read).reason == "ended"


def lose_and_find_again(server: RtspServer, seen: Recorder, how: str) -> None:
    seen.wait(lambda one: len(one.frames) > 5)
    if how == "kill":
        server.kill()
        seen.wait_for_state("backoff")
        server.start()
    else:
        server.signal(signal.SIGSTOP)
        seen.wait_for_state("backoff", "frozen")
        server.signal(signal.SIGCONT)
    seen.wait_for_state("running", count=2)


@pytest.mark.parametrize(
    "how", [pytest.param("kill"), pytest.param("freeze", marks=pytest.mark.slow)]
)
def test_an_rtsp_camera_that_is_lost_comes_back(server: RtspServer, how: str) -> None:
    with captured(camera(server.url(), timeout=2.0)) as (_, _, seen):
        lose_and_find_again(server, seen, how)
    times = [frame.t for frame in seen.frames]
    assert times == sorted(set(times))
    assert seen.frames[-1].epoch > seen.frames[0].epoch
