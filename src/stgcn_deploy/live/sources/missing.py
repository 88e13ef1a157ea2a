"""A source that could not even be made."""

from __future__ import annotations

from stgcn_deploy.errors import StgcnError
from stgcn_deploy.live.frames import Reading
from stgcn_deploy.live.sources.base import SourceError

__all__ = ["Missing"]


class Missing:
    """Stands for a source that could not even be made: its file is gone."""

    layout: str | None = None
    channels: str | None = None
    raw = True
    fps: float | None = None

    def __init__(self, name: str, error: StgcnError, *, live: bool) -> None:
        self.name = name
        self.live = live
        self._error = error

    def open(self) -> None:
        """See Source."""
        raise SourceError(str(self._error), "not found", lasting=True) from self._error

    def read(self) -> Reading | None:
        """See Source."""
        return None

    def close(self) -> None:
        """See Source."""
