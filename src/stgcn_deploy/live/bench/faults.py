"""A camera that does wrong at times: what a source can do to a pipeline, without a network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from stgcn_deploy.live.bench.cameras import SimulatedCamera
from stgcn_deploy.live.bench.plan import Fault
from stgcn_deploy.live.frames import Reading
from stgcn_deploy.live.sources.base import SourceError

__all__ = ["FaultyCamera"]

# Of the frames of a camera that sends damaged ones, every so many is whole.
WHOLE = 10


class FaultyCamera:
    """A simulated camera with times at which it is killed, frozen, damaged or refuses to be opened.

    A camera that was killed or refuses cannot be opened until its fault is over.

    Args:
        faults: of this camera.
        zero: the time from which on they count, on the clock; None: not yet.
    """

    live = True

    def __init__(
        self,
        inner: SimulatedCamera,
        faults: Sequence[Fault],
        zero: Callable[[], float | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.fps = inner.name, inner.fps
        self.layout, self.channels, self.raw = inner.layout, inner.channels, inner.raw
        self._inner = inner
        self._faults = tuple(faults)
        self._zero, self._clock = zero, clock
        self._closed = threading.Event()
        self._frames = 0

    def _fault(self) -> Fault | None:
        zero = self._zero()
        if zero is None:
            return None
        now = self._clock() - zero
        return next((one for one in self._faults if one.start <= now < one.end), None)

    def open(self) -> None:
        """See Source."""
        fault = self._fault()
        if fault is not None and fault.kind in ("killed", "refused"):
            raise SourceError(f"{self.name}: connection refused.", "refused")
        self._inner.open()

    def read(self) -> Reading | None:
        """See Source."""
        fault = self._fault()
        if fault is not None:
            if fault.kind == "frozen":
                # As a socket that nothing comes from: until somebody gives it up, or it goes on.
                left = fault.end + (self._zero() or 0.0) - self._clock()
                if self._closed.wait(max(0.0, left)):
                    return None
            elif fault.kind == "killed":
                raise SourceError(f"{self.name}: the other side ended the stream.", "ended")
            elif fault.kind == "refused":
                raise SourceError(f"{self.name}: the connection broke.", "broken")
        reading = self._inner.read()
        self._frames += 1
        if reading is not None and fault is not None and fault.kind == "corrupt":
            return replace(reading, corrupt=self._frames % WHOLE != 0)
        return reading

    def close(self) -> None:
        """See Source."""
        self._closed.set()
        self._inner.close()
