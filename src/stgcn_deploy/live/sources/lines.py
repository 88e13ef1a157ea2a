"""Key points that somebody else found: lines of a file, a named pipe, standard input, or over TCP."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from threading import Event, Lock
from typing import cast
from urllib.parse import urlsplit

from stgcn_deploy.data.formats.keypoint_lines import Frame, KeypointLines, StreamHeader
from stgcn_deploy.errors import DataError, UsageError
from stgcn_deploy.live.frames import Box, Detection, Reading
from stgcn_deploy.live.redact import redact
from stgcn_deploy.live.settings import CameraSettings
from stgcn_deploy.live.sources.base import SourceError
from stgcn_deploy.live.sources.failures import failure
from stgcn_deploy.live.sources.linereader import ClosedError, LineReader
from stgcn_deploy.live.sources.pacing import Pace

__all__ = ["KeypointFile", "KeypointInput", "KeypointSocket", "KeypointSource"]

# Wrong lines in a row; who sends so many sends something else.
MAX_WRONG = 50


class KeypointSource:
    """Readings from lines; opened and read by one thread, closed by any; used once.

    Subclasses say in `_connect` where they come from.
    """

    def __init__(self, settings: CameraSettings, *, live: bool, timeout: float | None) -> None:
        self.name = redact(settings.source)
        self.live = live
        self.layout: str | None = None
        self.channels: str | None = None
        self.raw = True
        self.fps: float | None = None
        self._timeout = timeout
        self._size: tuple[int, int] | None = None
        self._reader = LineReader()
        self._parser = KeypointLines(self.name)
        self._fd = -1
        self._wrong = 0
        self._closed = Event()
        # Held by the thread that reads.
        self._busy = Lock()

    def open(self) -> None:
        """See Source.

        Raises:
            SourceError: see Source.
        """
        with self._busy:
            try:
                self._fd = self._connect()
                header = self._next(first=True)
            except Exception as error:
                raise self._failure(error) from error
            if header is None:
                raise SourceError(f"{self.name}: ended before the first line, the header.", "ended")
        self._release_closed()

    def read(self) -> Reading | None:
        """See Source.

        Raises:
            SourceError: see Source.
        """
        with self._busy:
            try:
                reading = self._reading()
            except Exception as error:
                raise self._failure(error) from error
        self._release_closed()
        return reading

    def close(self) -> None:
        """See Source."""
        self._closed.set()
        self._reader.close()
        self._release()

    def _connect(self) -> int:
        """The descriptor to read from."""
        raise NotImplementedError

    def _disconnect(self) -> None:
        """Release it."""

    def _end(self) -> Reading | None:
        """What the end of all lines is."""
        return None

    def _reading(self) -> Reading | None:
        while True:
            try:
                found = self._next()
            except DataError as error:
                self._wrong += 1
                if self._wrong >= MAX_WRONG:
                    raise SourceError(
                        f"{self.name}: {self._wrong} wrong lines in a row, the last: {error}",
                        "unreadable",
                    ) from None
                return Reading(None, corrupt=True)
            if found is None:
                return self._end()
            self._wrong = 0
            if isinstance(found, Frame):
                return Reading(found.t, persons=_persons(found), size=self._size)

    def _next(self, *, first: bool = False) -> StreamHeader | Frame | None:
        """What the next line that is not empty says; None at the end."""
        while True:
            line = self._reader.line(self._fd, self._timeout)
            if line is None:
                return None
            try:
                found = self._parser.read(line)
            except DataError as error:
                if first:
                    raise SourceError(str(error), "unreadable", lasting=self.live) from None
                raise
            if isinstance(found, StreamHeader):
                self._take(found, first=first)
            if found is not None:
                return found

    def _take(self, header: StreamHeader, *, first: bool) -> None:
        form = (header.layout, header.channels, header.raw)
        if not first and form != (self.layout, self.channels, self.raw):
            raise SourceError(
                f"{self.name}: a later header says layout {header.layout}, channels {header.channels}, raw "
                f"{header.raw}; the first said {self.layout}, {self.channels}, {self.raw}.  One source, "
                "one form.",
                "broken",
            )
        self.layout, self.channels, self.raw = form
        self.fps = header.fps
        self._size = header.image_size

    def _failure(self, error: Exception) -> SourceError:
        if isinstance(error, ClosedError) or self._closed.is_set():
            self._release_later()
            return SourceError(f"{self.name}: closed.", "ended")
        if isinstance(error, ValueError):
            return SourceError(f"{self.name}: {error}; one frame is one line.", "unreadable")
        return failure(self.name, error)

    def _release_later(self) -> None:
        """This thread is inside `read`, and holds what `close` would have to release."""
        self._disconnect()
        self._fd = -1

    def _release_closed(self) -> None:
        if self._closed.is_set():
            self._release()
            raise SourceError(f"{self.name}: closed.", "ended")

    def _release(self) -> None:
        if self._busy.acquire(blocking=False):
            try:
                self._disconnect()
                self._fd = -1
            finally:
                self._busy.release()


class KeypointInput(KeypointSource):
    """Standard input."""

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings, live=settings.realtime, timeout=None)
        self.name = "standard input"
        self._parser = KeypointLines(self.name)

    def _connect(self) -> int:
        return 0


class KeypointFile(KeypointSource):
    """A file of lines, or a named pipe that a program writes them into."""

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings, live=settings.realtime, timeout=None)
        self._path = Path(settings.source)
        self._loop = settings.loop
        self._pace: Pace | None = None
        self._realtime = settings.realtime
        self._base = 0.0
        self._first: float | None = None
        self._last = 0.0
        self._frames = 0

    def read(self) -> Reading | None:
        """See Source.

        Raises:
            SourceError: see Source.
        """
        reading = super().read()
        if reading is None or reading.pts is None:
            return reading
        if self._first is None:
            self._first = reading.pts
        pts = reading.pts if not self._loop else self._base + reading.pts - self._first
        self._last = max(self._last, pts)
        self._frames += 1
        if self._pace is not None:
            self._pace.wait(pts)
            self._release_closed()
        return Reading(pts, persons=reading.persons, size=reading.size)

    def _connect(self) -> int:
        # A pipe opens at once, whether somebody writes into it already or not.
        fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        if self._realtime and stat.S_ISREG(os.fstat(fd).st_mode):
            self._pace = self._pace or Pace(self._closed)
        return fd

    def _disconnect(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def _end(self) -> Reading | None:
        if not self._loop:
            return None
        if not self._frames:
            raise SourceError(f"{self.name}: no frame in it; nothing to begin again.", "unreadable")
        self._disconnect()
        self._reader.restart()
        self._fd = self._connect()
        self._base, self._first = self._last + 1.0 / (self.fps or 25.0), None
        self._frames = 0
        return self._reading()


class KeypointSocket(KeypointSource):
    """Lines over TCP: we connect, the other side sends."""

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings, live=True, timeout=settings.timeout)
        parts = urlsplit(settings.source)
        try:
            port = parts.port
        except ValueError:
            port = None
        if not parts.hostname or not port or parts.path.strip("/"):
            raise UsageError(f"{self.name}: expected tcp://HOST:PORT, as tcp://192.168.0.7:5000.")
        self._address = (parts.hostname, port)
        self._socket: socket.socket | None = None

    def _connect(self) -> int:
        try:
            found = socket.getaddrinfo(*self._address, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise SourceError(
                f"{self.name}: host {self._address[0]!r} is unknown ({error}); check the address.",
                "not found",
            ) from None
        last: OSError | None = None
        for family, kind, protocol, _, address in found:
            self._socket = socket.socket(family, kind, protocol)
            try:
                self._reach(self._socket, address)
            except OSError as error:
                self._disconnect()
                last = error
                continue
            return self._socket.fileno()
        raise last or OSError("no address")

    def _reach(self, one: socket.socket, address: object) -> None:
        """Connect within the limit of time, in a way that `close` can end."""
        one.setblocking(False)
        try:
            one.connect(address)  # type: ignore[arg-type]
        except BlockingIOError:
            self._reader.wait(one.fileno(), self._timeout, write=True)
            number = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number)) from None

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _end(self) -> Reading | None:
        raise SourceError(f"{self.name}: the other side ended the stream.", "ended")


def _persons(frame: Frame) -> tuple[Detection, ...]:
    found = []
    for one in frame.persons:
        score = 1.0 if one.score is None else one.score
        box = None if one.box is None else cast(Box, one.box)
        found.append(Detection(one.keypoints, score=score, box=box, id=one.id))
    return tuple(found)
