"""Sessions of parts of a graph that run side by side, and look like one session of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from stgcn_deploy.backends.base import Session, TensorSpec

__all__ = ["SideBySide"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class SideBySide(Session):
    """Base of both kinds; runtimes let go of Python's lock while they compute.

    Args:
        parts: sessions that are closed with this one.
        workers: how many run at once.
    """

    def __init__(
        self,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        parts: Sequence[Session],
        workers: int,
    ) -> None:
        super().__init__(inputs, outputs)
        self.parallel_parts = workers
        self._parts = parts
        self._pool = ThreadPoolExecutor(workers, "part")

    def all_at_once(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterable[Result]:
        """Results in order; the first error is raised."""
        return self._pool.map(work, items)

    def _close(self) -> None:
        self._pool.shutdown()
        for part in self._parts:
            part.close()
