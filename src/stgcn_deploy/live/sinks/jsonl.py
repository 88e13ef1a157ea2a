"""Events line by line into a file that is renamed when it has grown, or to standard output."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.settings import JsonlSettings
from stgcn_deploy.live.sinks.base import Sink, SinkError

__all__ = ["JsonlFile", "Stdout", "jsonl_sink"]


def jsonl_sink(settings: JsonlSettings) -> Sink:
    """A file, or standard output for "-"."""
    if settings.path == "-":
        return Stdout()
    return JsonlFile(Path(settings.path), int(settings.rotate_mb * 1e6), settings.keep)


class Stdout:
    """Standard output; when nobody reads it any more, that is said once and the rest is dropped."""

    name = "stdout"

    def __init__(self) -> None:
        self._closed = False

    def emit(self, event: Event) -> None:
        """See Sink."""
        if self._closed:
            raise SinkError("standard output is closed.", "closed")
        try:
            sys.stdout.write(event.as_line() + "\n")
            sys.stdout.flush()
        except (BrokenPipeError, ValueError) as error:
            self._closed = True
            _forget_stdout()
            raise SinkError(
                "standard output was closed by its reader; events no longer go there.", "closed"
            ) from error
        except OSError as error:
            raise SinkError(f"standard output: {error.strerror}.", "not writable") from error

    def close(self) -> None:
        """See Sink."""


def _forget_stdout() -> None:
    """Let what is buffered go nowhere, or the interpreter complains about it at its end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class JsonlFile:
    """Lines are appended, each with one write; NAME becomes NAME.1 when it has grown, NAME.1 NAME.2, ...

    A file that somebody else renamed or removed is made again.

    Raises:
        UsageError: the place cannot be written.
    """

    def __init__(self, path: Path, rotate: int, keep: int) -> None:
        self.name = f"jsonl {path.name}"
        self._path = path
        self._rotate = rotate
        self._keep = keep
        self._file = -1
        self._size = 0
        # Whether the last line lacks its end.
        self._torn = False
        if path.exists() and not path.is_file() and not path.is_char_device():
            raise UsageError(f"sink: {path} is no file; name a file that events are appended to.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise UsageError(
                f"sink: cannot write {path}: {error.strerror} ({error.filename})."
            ) from None

    def emit(self, event: Event) -> None:
        """See Sink."""
        try:
            if self._moved():
                self._open()
            line = event.as_line().encode("utf-8") + b"\n"
            # What stands there may have been cut short, by us or by another program.
            line = b"\n" + line if self._torn else line
            self._torn = True
            written = os.write(self._file, line)
            if written < len(line):
                raise SinkError(f"{self._path}: the disk is full.", "not writable")
            self._torn = False
            self._size += written
            if self._size >= self._rotate:
                self._turn()
        except OSError as error:
            raise SinkError(f"{self._path}: {error.strerror}.", "not writable") from error

    def close(self) -> None:
        """See Sink."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self.close()
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        found = os.fstat(self._file)
        self._size = found.st_size
        self._torn = False
        if stat.S_ISREG(found.st_mode) and found.st_size:
            os.lseek(self._file, -1, os.SEEK_END)
            self._torn = os.read(self._file, 1) != b"\n"
        if not stat.S_ISREG(found.st_mode):
            self._rotate = sys.maxsize

    def _moved(self) -> bool:
        """Whether the path no longer names what is open."""
        if self._file < 0:
            return True
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return True

    def _turn(self) -> None:
        self.close()
        for number in range(self._keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
