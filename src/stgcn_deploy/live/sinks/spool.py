"""Where events wait for a receiver that is away: a folder, or memory; bounded, the oldest go first."""

from __future__ import annotations

import json
import logging
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.sinks.base import SinkError

__all__ = ["FolderSpool", "MemorySpool", "Spool", "Waiting"]

LOG = logging.getLogger(__name__)

# An event is some hundred bytes; what is longer was not written by us.
MAX_EVENT = 1 << 20
NAME = re.compile(r"^(\d{16})\.json$")


@dataclass(frozen=True)
class Waiting:
    """An event that waits: its id and the bytes to send."""

    id: str
    body: bytes


class Spool(Protocol):
    """Keeps events in their order."""

    def add(self, event: Event) -> None:
        """Keep one more.

        Raises:
            SinkError: older ones had to go for it, or it cannot be kept.
        """

    def first(self) -> Waiting | None:
        """The oldest; None: there is none.

        Raises:
            SinkError: the oldest cannot be read, and is left out from now on.
        """

    def done(self) -> None:
        """Drop the oldest."""

    def volatile(self) -> int:
        """How many would be lost if the program ended now."""

    def close(self) -> None:
        """Release it."""


class MemorySpool:
    """Gone when the program ends."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: deque[Waiting] = deque()

    def add(self, event: Event) -> None:
        """See Spool."""
        body = event.as_line().encode("utf-8")
        self._kept.append(Waiting(event.id, body))
        self._bytes += len(body)
        dropped = 0
        while self._bytes > self._most:
            self.done()
            dropped += 1
        if dropped:
            raise _overflow(dropped)

    def first(self) -> Waiting | None:
        """See Spool."""
        return self._kept[0] if self._kept else None

    def done(self) -> None:
        """See Spool."""
        self._bytes -= len(self._kept.popleft().body)

    def volatile(self) -> int:
        """See Spool."""
        return len(self._kept)

    def close(self) -> None:
        """See Spool."""


class FolderSpool:
    """One file for each event, numbered; what is there from before is sent first.

    The folder belongs to one spool at a time.

    Raises:
        UsageError: the folder cannot be written, or another spool uses it.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most = most_bytes
        self._bytes = 0
        # (number, bytes) of each file, oldest first.
        self._kept: deque[tuple[int, int]] = deque()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
            with os.scandir(folder) as entries:
                self._kept.extend(sorted(_found(entries)))
        except OSError as error:
            raise UsageError(
                f"sink: cannot use the spool {folder}: {error.strerror} ({error.filename})."
            ) from None
        if not _locked(self._lock):
            os.close(self._lock)
            raise UsageError(
                f"sink: the spool {folder} is in use by another sink or program; give each webhook a "
                "folder of its own."
            )
        self._bytes = sum(size for _, size in self._kept)
        self._next = self._kept[-1][0] + 1 if self._kept else 0

    def add(self, event: Event) -> None:
        """See Spool."""
        body = event.as_line().encode("utf-8")
        partial = self._folder / ".new"
        try:
            with partial.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path(self._next))
        except OSError as error:
            raise SinkError(f"spool {self._folder}: {error.strerror}.", "not writable") from error
        self._kept.append((self._next, len(body)))
        self._next += 1
        self._bytes += len(body)
        dropped = 0
        while self._bytes > self._most:
            self.done()
            dropped += 1
        if dropped:
            raise _overflow(dropped)

    def first(self) -> Waiting | None:
        """See Spool."""
        if not self._kept:
            return None
        path = self._path(self._kept[0][0])
        try:
            with path.open("rb") as file:
                body = file.read(MAX_EVENT + 1)
            value = json.loads(body)
        except (OSError, ValueError, RecursionError):
            body, value = b"", None
        name = value.get("id") if isinstance(value, dict) else None
        # The id becomes a header.
        if len(body) <= MAX_EVENT and isinstance(name, str) and re.fullmatch(r"[\x21-\x7e]+", name):
            return Waiting(name, body)
        self.done()
        raise SinkError(f"spool: {path.name} is no event; it is left out and removed.", "corrupt")

    def done(self) -> None:
        """See Spool."""
        number, size = self._kept.popleft()
        self._bytes -= size
        try:
            self._path(number).unlink(missing_ok=True)
        except OSError as error:
            LOG.warning("spool: %s stays and is sent again: %s", self._path(number), error.strerror)

    def volatile(self) -> int:
        """See Spool."""
        return 0

    def close(self) -> None:
        """See Spool."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:016d}.json"


def _found(entries: Iterable[os.DirEntry[str]]) -> Iterator[tuple[int, int]]:
    """(number, bytes) of the files of ours."""
    for entry in entries:
        found = NAME.match(entry.name)
        if found and entry.is_file(follow_symlinks=False):
            yield int(found[1]), entry.stat(follow_symlinks=False).st_size


def _overflow(dropped: int) -> SinkError:
    return SinkError(
        f"the spool is full; {dropped} of the oldest dropped.", "spool full", events=dropped
    )


def _locked(handle: int) -> bool:
    """Take the lock of an open file, where the system has such locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
