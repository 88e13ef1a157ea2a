"""Lines from a file, a pipe or a socket, in a way that another thread can end."""

from __future__ import annotations

import os
import select
from collections import deque
from threading import Lock

from stgcn_deploy.data.formats.keypoint_lines import MAX_LINE

__all__ = ["ClosedError", "LineReader"]

CHUNK = 1 << 16


class ClosedError(Exception):
    """Somebody closed the reader."""


class LineReader:
    """Reads lines from a descriptor, which stays the caller's; one thread reads, any may close."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._rest = bytearray()
        self._ended = False
        # Made when it is first needed, so that a reader that never reads holds nothing.
        self._wake: tuple[int, int] | None = None
        self._lock = Lock()
        self._waiting = False
        self._closed = False

    def wait(self, fd: int, timeout: float | None, *, write: bool = False) -> None:
        """Wait until a descriptor can be read (or written).

        Raises:
            TimeoutError: not within `timeout` seconds.
            ClosedError: `close` was called.
        """
        with self._lock:
            if self._closed:
                raise ClosedError
            self._wake = self._wake or os.pipe()
            self._waiting = True
            wake = self._wake[0]
        try:
            poll = select.poll()
            poll.register(wake, select.POLLIN)
            poll.register(fd, select.POLLOUT if write else select.POLLIN)
            ready = poll.poll(None if timeout is None else timeout * 1e3)
        finally:
            with self._lock:
                self._waiting = False
                self._release()
        if self._closed:
            raise ClosedError
        if not ready:
            raise TimeoutError("nothing came in time")

    def line(self, fd: int, timeout: float | None) -> bytes | None:
        """The next line with its end, None at the end of all.

        Raises:
            TimeoutError: there was nothing for `timeout` seconds.
            ClosedError: `close` was called.
            ValueError: a line is longer than any can be.
        """
        while not self._lines:
            if self._ended:
                return None
            self.wait(fd, timeout)
            self._feed(os.read(fd, CHUNK))
        if self._closed:
            raise ClosedError
        return self._lines.popleft()

    def restart(self) -> None:
        """What comes next is another descriptor's."""
        self._ended = False

    def close(self) -> None:
        """End every wait, now and later; from any thread."""
        with self._lock:
            if self._waiting and not self._closed and self._wake is not None:
                os.write(self._wake[1], b"x")
            self._closed = True
            self._release()

    def _feed(self, chunk: bytes) -> None:
        if not chunk:
            self._ended = True
            if self._rest:
                self._lines.append(bytes(self._rest))
                self._rest.clear()
            return
        *whole, rest = chunk.split(b"\n")
        for one in whole:
            self._lines.append(bytes(self._rest) + one + b"\n")
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > MAX_LINE:
            raise ValueError(f"a line of more than {MAX_LINE >> 20} MiB")

    def _release(self) -> None:
        """Let the pipe go, once it is closed and nobody waits at it."""
        if self._closed and not self._waiting and self._wake is not None:
            for end in self._wake:
                os.close(end)
            self._wake = None
