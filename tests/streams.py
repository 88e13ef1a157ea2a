"""Cameras for tests: drawn video, served over HTTP as MPEG-TS, with every way to fail."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from stgcn_deploy.live.capture import Capture
from stgcn_deploy.live.frames import Frame
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.settings import CameraSettings
from stgcn_deploy.live.slots import Intake
from stgcn_deploy.live.sources.base import Source, SourceError
from stgcn_deploy.live.watch import Watch

FPS = 25


def drawn(index: int, width: int = 64, height: int = 48) -> np.ndarray[Any, Any]:
    """Image (H, W, 3) number `index`: a bar that moves over a slope of grey."""
    image = np.zeros((height, width, 3), np.uint8)
    image[...] = np.linspace(40, 120, width, dtype=np.uint8)[None, :, None]
    left = (index * 2) % (width - 8)
    image[:, left : left + 8] = (220, 30, 60)
    return image


def write_video(
    target: Path | io.BytesIO,
    size: tuple[int, int] = (64, 48),
    frames: int = 50,
    form: str | None = None,
    codec: str = "mpeg4",
) -> None:
    """Video of drawn frames."""
    import av

    name = str(target) if isinstance(target, Path) else target
    with av.open(name, "w", format=form) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 10
        stream.max_b_frames = 0
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(drawn(index, *size), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def transport_stream(frames: int = 50, size: tuple[int, int] = (64, 48)) -> bytes:
    """An MPEG-TS of drawn frames; it can be joined anywhere and put one behind the other."""
    buffer = io.BytesIO()
    write_video(buffer, size, frames, form="mpegts", codec="mpeg2video")
    return buffer.getvalue()


def flipped(data: bytes, count: int, seed: int = 0) -> bytes:
    """The bytes with some of them changed."""
    rng = np.random.default_rng(seed)
    found = bytearray(data)
    for place in rng.integers(len(data) // 4, len(data), count):
        found[place] ^= 0xFF
    return bytes(found)


class StreamServer:
    """A camera on 127.0.0.1 that sends a clip, as slow as it is, and can be made to fail.

    Attributes:
        parts: (bytes, seconds) one after the other; after the last the connection ends, or it begins
            again where `loop` is set.
        status: what requests are answered with; None: never an answer.
        connections: how many there were.
    """

    def __init__(self, parts: list[tuple[bytes, float]], *, loop: bool = True) -> None:
        self.parts = parts
        self.loop = loop
        self.status: int | None = 200
        self.connections = 0
        self.frozen = threading.Event()
        self._ended = threading.Event()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/camera.ts"

    def start(self) -> None:
        """Listen; on the same port as before, if it did before."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._serve(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = False
            block_on_close = True

            def handle_error(self, *_: object) -> None:
                pass

        self._ended.clear()
        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def kill(self) -> None:
        """End every connection and listen no more."""
        self._ended.set()
        self.hang_up()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None

    def hang_up(self) -> None:
        """End every connection, and go on listening."""
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.connections += 1
            self._open.append(request.connection)
        if self.status is None:
            self._ended.wait(30)
            return
        request.send_response(self.status)
        request.send_header("Content-Type", "video/mp2t")
        request.send_header("Connection", "close")
        request.end_headers()
        if self.status != 200:
            return
        while not self._ended.is_set():
            for data, seconds in self.parts:
                self._send(request, data, seconds)
            if not self.loop:
                return

    def _send(self, request: BaseHTTPRequestHandler, data: bytes, seconds: float) -> None:
        start, step = time.monotonic(), 188 * 8
        for place in range(0, len(data), step):
            while self.frozen.is_set() and not self._ended.is_set():
                self._ended.wait(0.02)
            due = start + seconds * place / len(data)
            if self._ended.wait(max(0.0, due - time.monotonic())):
                return
            request.wfile.write(data[place : place + step])


@contextmanager
def served(
    parts: list[tuple[bytes, float]] | None = None, *, loop: bool = True
) -> Iterator[StreamServer]:
    """A server that runs inside the block."""
    server = StreamServer([(transport_stream(), 50 / FPS)] if parts is None else parts, loop=loop)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Recorder(Observer):
    """Keeps what it is told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str, str]] = []
        self.frames: list[Frame] = []
        self.drops: list[tuple[str, str]] = []
        self.decode: list[float] = []
        self._changed = threading.Condition()

    def camera(self, camera: str, state: str, reason: str) -> None:
        with self._changed:
            self.states.append((camera, state, reason))
            self._changed.notify_all()

    def frame(self, frame: Frame) -> None:
        with self._changed:
            self.frames.append(frame)
            self._changed.notify_all()

    def frame_dropped(self, camera: str, reason: str) -> None:
        with self._changed:
            self.drops.append((camera, reason))
            self._changed.notify_all()

    def stage(self, stage: str, seconds: float) -> None:
        with self._changed:
            self.decode.append(seconds)

    def wait(self, condition: Any, timeout: float = 30.0) -> None:
        """Return when `condition(self)` is true.

        Raises:
            AssertionError: it did not become true.
        """
        with self._changed:
            happened = self._changed.wait_for(lambda: condition(self), timeout)
        assert happened, (self.states, len(self.frames), self.drops[-5:])

    def wait_for_state(self, state: str, reason: str | None = None, count: int = 1) -> None:
        """Return when a camera was in this state so many times."""

        def reached(seen: Recorder) -> bool:
            found = [one for one in seen.states if one[1] == state and reason in (None, one[2])]
            return len(found) >= count

        self.wait(reached)


def camera(source: str | Path, **options: Any) -> CameraSettings:
    return CameraSettings(**{"name": "door", "source": str(source), **options})


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
