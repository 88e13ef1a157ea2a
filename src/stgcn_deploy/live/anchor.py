"""When a frame was taken, on this process's clock, from the source's clock and the time it arrived."""

from __future__ import annotations

from collections import deque

__all__ = ["TimeAnchor"]

# Between two frames whose times would be the same, or turned round.
STEP = 1e-4


class TimeAnchor:
    """Places the times of one camera; strictly ascending.

    A live source's frame cannot have been taken after it arrived, and the least delay seen is taken for
    the delay of all: `t = pts + offset`, where the offset is the least `arrived - pts`, let up slowly so
    that it follows a camera whose clock is slow.  Frames that were delivered late, or in bursts, so keep
    the distances that they were taken at.

    Args:
        live: compare with the clock of arrival; else times follow `pts` alone, from `start` on.
        start: where the first frame of a file stands; None: where it arrived.
        interval: between two frames of a file that have no times.
        limit: seconds that a live frame's time may be off before the clock has to be set anew.
        creep: seconds that the offset may rise in a second.

    Attributes:
        epoch: how often the clock had to be set anew.
    """

    def __init__(
        self,
        *,
        live: bool,
        start: float | None = None,
        interval: float = 0.04,
        limit: float = 1.0,
        creep: float = 0.015,
    ) -> None:
        self.live = live
        self.epoch = 0
        self._start = start
        self._interval = interval
        self._limit = limit
        self._creep = creep
        self._offset: float | None = None
        self._pts: float | None = None
        self._arrived = 0.0
        self._last: float | None = None
        # When the clock was set anew; a source that needs it all the time has no clock worth the name,
        # as streams of single JPEG images that FFmpeg counts as 25 a second.
        self._jumps: deque[float] = deque(maxlen=3)
        self._distrusted = False

    def restart(self) -> None:
        """The source was lost: what comes next has nothing to do with the clock so far."""
        if self._last is not None:
            self.epoch += 1
        self._offset = self._pts = None
        self._jumps.clear()
        self._distrusted = False

    def lag(self, pts: float | None, now: float) -> float:
        """How much later than usual a frame of a live source is; 0 where that cannot be told."""
        if not self.live or self._offset is None or pts is None or self._distrusted:
            return 0.0
        lag = now - (pts + self._offset)
        return lag if 0.0 < lag <= self._limit else 0.0

    def place(self, pts: float | None, arrived: float) -> tuple[float, int]:
        """Time and epoch of the next frame.

        Args:
            pts: seconds on the source's clock; None where it gave none.
            arrived: when it was here, monotonic clock.
        """
        t = self._of_camera(pts, arrived) if self.live else self._of_file(pts, arrived)
        if self._last is not None and t < self._last + STEP:
            t = self._last + STEP
        self._last = t
        self._arrived = arrived
        if pts is not None:
            self._pts = pts
        return t, self.epoch

    def _of_camera(self, pts: float | None, arrived: float) -> float:
        if pts is None or self._distrusted:
            return arrived
        delay = arrived - pts
        if self._offset is None or self._pts is None:
            self._offset = delay
        elif pts < self._pts or abs(delay - self._offset) > self._limit:
            self._set_anew(delay, arrived)
        else:
            passed = max(0.0, arrived - self._arrived)
            self._offset = min(delay, self._offset + self._creep * passed)
        return pts + self._offset

    def _set_anew(self, delay: float, arrived: float) -> None:
        self.epoch += 1
        self._offset = delay
        self._jumps.append(arrived)
        full = len(self._jumps) == self._jumps.maxlen
        self._distrusted = full and arrived - self._jumps[0] < 30.0

    def _of_file(self, pts: float | None, arrived: float) -> float:
        if self._last is None:
            first = arrived if self._start is None else self._start
            self._offset = None if pts is None else first - pts
            return first
        after = self._last + self._interval
        if pts is None:
            return after
        if self._offset is None or self._pts is None:
            self._offset = after - pts
        elif pts < self._pts:
            self.epoch += 1
            self._offset = after - pts
        return pts + self._offset
