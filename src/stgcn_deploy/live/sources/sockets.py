"""The network connections that FFmpeg opened for one source, so that another thread can end them.

FFmpeg has no call for that which PyAV offers and which costs nothing: its timeout takes the interpreter's
lock for every few bytes of a stream.  But a socket that is shut down makes the thread that reads from it
return at once, and the camera, which may serve only a few at a time, has its connection back.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.redact import redact
from stgcn_deploy.live.sources.base import SourceError

__all__ = ["OwnSockets"]

PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443, "http": 80, "https": 443}
FOLDER = Path("/dev/fd")
_lock = Lock()
_opening: list[OwnSockets] = []


class OwnSockets:
    """Finds which sockets are new after a source was opened, by the peer that they are connected to.

    Raises:
        UsageError: the address has no host, or a port that is none.

    Two sources of one peer that are opened at the same time cannot be told apart; for them, and where the
    system does not list open files, `shut` does nothing, and FFmpeg's own limit of time ends the wait.
    """

    def __init__(self, url: str) -> None:
        self.host, self.port = _place(url)
        self._peers: frozenset[str] = frozenset()
        self._before: frozenset[int] = frozenset()
        self._own: frozenset[int] | None = None
        self._clear = True

    def resolve(self, name: str) -> None:
        """Look the host up.

        Raises:
            SourceError: nobody knows it.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise SourceError(
                f"{name}: host {self.host!r} is unknown ({error}); check the address, and the network.",
                "not found",
            ) from None
        self._peers = frozenset(str(one[4][0]) for one in found)

    def __enter__(self) -> OwnSockets:
        """The source is being opened."""
        with _lock:
            for other in _opening:
                if other.port == self.port and other._peers & self._peers:  # noqa: SLF001
                    self._clear = other._clear = False  # noqa: SLF001
            _opening.append(self)
            self._before = frozenset(_sockets())
        return self

    def __exit__(self, *_: object) -> None:
        """It was opened, or was not."""
        with _lock:
            _opening.remove(self)
            self._own = self._found()

    def shut(self) -> int:
        """End them; how many there were.  Safe at any time, from any thread."""
        own = self._own if self._own is not None else self._found()
        count = 0
        for number, fd in _sockets().items():
            if number in own and (mine := _copy(fd, number)) is not None:
                with mine, suppress(OSError):
                    mine.shutdown(socket.SHUT_RDWR)
                    count += 1
        return count

    def _found(self) -> frozenset[int]:
        if not self._clear:
            return frozenset()
        new = {number: fd for number, fd in _sockets().items() if number not in self._before}
        return frozenset(number for number, fd in new.items() if self._is_ours(number, fd))

    def _is_ours(self, number: int, fd: int) -> bool:
        mine = _copy(fd, number)
        if mine is None:
            return False
        with mine:
            try:
                peer = mine.getpeername()
            except OSError:
                return False
            return len(peer) >= 2 and peer[1] == self.port and _plain(peer[0]) in self._peers


def _place(url: str) -> tuple[str, int]:
    """Host and port of an address.

    Raises:
        UsageError: it names none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(_wrong(url, str(error))) from None
    if not parts.hostname:
        raise UsageError(_wrong(url, "no host"))
    return parts.hostname, port or PORTS.get(parts.scheme.lower(), 0)


def _wrong(url: str, why: str) -> str:
    scheme = url.partition("://")[0]
    return f"{redact(url)}: {redact(why)}; expected {scheme}://HOST or {scheme}://HOST:PORT/PATH."


def _plain(address: str) -> str:
    """An IPv4 address that a socket for both kinds shows as ::ffff:a.b.c.d."""
    return address.removeprefix("::ffff:")


def _sockets() -> dict[int, int]:
    """Number of the inode -> descriptor, of every socket of this process."""
    found = {}
    with suppress(OSError):
        for entry in FOLDER.iterdir():
            with suppress(OSError, ValueError):
                status = os.fstat(int(entry.name))
                if stat.S_ISSOCK(status.st_mode):
                    found[status.st_ino] = int(entry.name)
    return found


def _copy(fd: int, number: int) -> socket.socket | None:
    """A second descriptor of the socket, if it still is that socket: FFmpeg may close it at any time."""
    try:
        copied = os.dup(fd)
    except OSError:
        return None
    try:
        if os.fstat(copied).st_ino == number:
            return socket.socket(fileno=copied)
    except OSError:
        pass
    os.close(copied)
    return None
