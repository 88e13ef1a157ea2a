"""The seam to cameras, files and streams: a Source is opened, read and closed by one capture thread."""

from __future__ import annotations

from typing import Literal, Protocol

from stgcn_deploy.errors import StgcnError
from stgcn_deploy.live.frames import Reading

__all__ = ["Reason", "Source", "SourceError"]

# Why a source gives nothing: what is worth telling apart by who has to mend it.
Reason = Literal[
    "refused", "timeout", "not found", "not allowed", "ended", "broken", "unreadable", "frozen"
]


class SourceError(StgcnError):
    """A source cannot be opened or read.

    Attributes:
        reason: one of Reason.
        lasting: whether trying again soon is of no use (wrong path, wrong password).
    """

    def __init__(self, message: str, reason: Reason, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.lasting = lasting


class Source(Protocol):
    """One place that readings come from; used by one thread, but for `close`.

    Attributes:
        name: what it is, without secrets, for people and logs.
        live: whether it goes on by itself: then only the newest frame counts and an end is a disconnect;
            else every frame is read, and the end is the end.
        layout: of key points; None for images.
        channels: of key points ("xys", ...); None for images.
        raw: whether key points are a pose estimator's, not what a network sees.
        fps: frames a second, where the source says.
    """

    name: str
    live: bool
    layout: str | None
    channels: str | None
    raw: bool
    fps: float | None

    def open(self) -> None:
        """Connect; may block for some seconds, not for ever.

        Raises:
            SourceError: it cannot.
        """

    def read(self) -> Reading | None:
        """The next reading; blocks; None at the end.

        Raises:
            SourceError: it broke.
        """

    def close(self) -> None:
        """Release it; any thread may call this to end a `read` that blocks, and more than once."""
