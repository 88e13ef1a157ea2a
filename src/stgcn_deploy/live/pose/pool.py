"""Networks that one thread at a time may use: as many as there are threads that use them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Network", "Pool"]

T = TypeVar("T")


class Network(Protocol):
    """One network, for one thread at a time."""

    def __call__(self, image: NDArray[np.float32], /) -> tuple[NDArray[Any], ...]:
        """Its outputs for one input, (1, H, W, 3); valid until the next call.

        Raises:
            BackendError: the runtime failed.
        """


class Pool(Generic[T]):
    """Things that are made when all others are in use, and kept.

    Args:
        make: makes one; called by the thread that needs it.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._free: list[T] = []
        self._lock = Lock()

    @contextmanager
    def one(self) -> Iterator[T]:
        """One for this thread; one that failed is not used again."""
        with self._lock:
            thing = self._free.pop() if self._free else None
        thing = self._make() if thing is None else thing
        yield thing
        with self._lock:
            self._free.append(thing)

    def clear(self) -> None:
        """Let go of those that are free."""
        with self._lock:
            self._free.clear()
