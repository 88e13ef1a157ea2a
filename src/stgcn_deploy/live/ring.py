"""The last seconds of one person, indexed by time, and at any frame rate."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

__all__ = ["Resampled", "TrackRing"]

# Two times that differ by less are the same: clocks are no finer, sums of floats no better.
SAME = 1e-6


@dataclass(frozen=True)
class Resampled:
    """The end of a person's history on an even grid of times.

    Attributes:
        clip: float32 (T', V, C), from the first sight on; zeros where `valid` is not.
        valid: (T',), False inside gaps that are too long to be filled.
        t0: time of the first frame.
        longest_gap: longest time between two sights that the clip rests on, or since the last one.
    """

    clip: NDArray[np.float32]
    valid: NDArray[np.bool_]
    t0: float
    longest_gap: float


class TrackRing:
    """The last seconds of one person, indexed by time.

    Every sight is written twice, `capacity` apart, so that the newest ones always lie side by side.  Where
    sights come faster than `rate`, some are left out (and counted), so that the memory is bounded and the
    seconds are kept all the same.

    Attributes:
        thinned: sights left out.
    """

    def __init__(self, seconds: float, joints: int, channels: int, rate: float = 60.0) -> None:
        if not (seconds > 0 and rate > 0):
            raise ValueError(f"a ring holds some time: seconds={seconds}, rate={rate}")
        self._spacing = 1.0 / rate
        self._seconds = seconds
        self._capacity = ceil(seconds * rate) + 2
        self._times = np.zeros(2 * self._capacity)
        self._keypoints = np.zeros((2 * self._capacity, joints, channels), np.float32)
        self._count = 0
        self._next = 0
        self.thinned = 0

    def __len__(self) -> int:
        return self._count

    @property
    def shape(self) -> tuple[int, int]:
        """(V, C)."""
        return self._keypoints.shape[1], self._keypoints.shape[2]

    def append(self, t: float, keypoints: NDArray[np.float32]) -> None:
        """A newer sight: float32 (V, C).

        Raises:
            ValueError: `t` is not after the newest sight, or the shape is another.
        """
        if keypoints.shape != self.shape:
            raise ValueError(f"key points {keypoints.shape} in a ring of {self.shape}")
        if self._count:
            times = self._past
            if not t > times[-1]:
                raise ValueError(f"a sight at {t} after one at {times[-1]}")
            full = self._count == self._capacity and t - times[0] < self._seconds
            if full and t - times[-1] < self._spacing - SAME:
                self.thinned += 1
                return
        for place in (self._next, self._next + self._capacity):
            self._times[place] = t
            self._keypoints[place] = keypoints
        self._next = (self._next + 1) % self._capacity
        self._count = min(self._count + 1, self._capacity)

    def unbroken_since(self, max_gap: float) -> float:
        """Time of the first sight after the last gap that is longer than `max_gap`."""
        times = self._past
        broken = np.flatnonzero(np.diff(times) > max_gap + SAME)
        return float(times[broken[-1] + 1 if len(broken) else 0]) if len(times) else -np.inf

    def sights(self, t0: float, t1: float) -> int:
        """How many sights lie between two times, both included."""
        times = self._past
        low, high = np.searchsorted(times, (t0 - SAME, t1 + SAME))
        return int(high - low)

    def resampled(
        self, t1: float, fps: float, frames: int, max_gap: float, *, since: float = -np.inf
    ) -> Resampled:
        """The history at the times t1, t1 - 1 / fps, ...: at most `frames`, none before the first sight.

        Between two sights at most `max_gap` apart the joints move evenly; one that only one of them shows
        is taken from the nearer.  After the last sight it holds for `max_gap`.  Sights after t1 and those
        before `since` do not count.
        """
        times = self._past
        first, stop = np.searchsorted(times, (since - SAME, t1 + SAME))
        times = times[first:stop]
        grid = t1 - np.arange(frames - 1, -1, -1) / fps
        if not len(times) or times[-1] + max_gap + SAME < grid[0]:
            return self._nothing(t1, times)
        grid = grid[grid >= times[0] - SAME]
        before = np.maximum(np.searchsorted(times, grid + SAME) - 1, 0)
        after = np.minimum(before + 1, len(times) - 1)
        step = times[after] - times[before]
        passed = np.maximum(grid - times[before], 0.0)
        # The last sight has no neighbour: it holds for as long as a gap may be.
        reach = np.where(after > before, step, passed)
        valid = (reach <= max_gap + SAME) | (passed <= SAME)
        if not valid.any():
            return self._nothing(t1, times)
        begin = int(valid.argmax())
        grid, before, after, valid = grid[begin:], before[begin:], after[begin:], valid[begin:]
        share = np.where(after > before, passed[begin:] / np.maximum(step[begin:], SAME), 0.0)
        clip = _between(self._keypoints[self._newest][first:stop], before, after, share)
        clip[~valid] = 0
        gaps = np.append(np.diff(times[before[0] :]), max(t1 - times[-1], 0.0))
        return Resampled(clip, valid, float(grid[0]), float(gaps.max()))

    @property
    def _newest(self) -> slice:
        """Where the sights lie in the doubled arrays, oldest first."""
        end = self._next + self._capacity
        return slice(end - self._count, end)

    @property
    def _past(self) -> NDArray[np.float64]:
        """Times of the sights."""
        return self._times[self._newest]

    def _nothing(self, t1: float, times: NDArray[np.float64]) -> Resampled:
        gap = float(t1 - times[-1]) if len(times) else 0.0
        empty = np.zeros((0, *self.shape), np.float32)
        return Resampled(empty, np.zeros(0, bool), t1, gap)


def _between(
    keypoints: NDArray[np.float32],
    before: NDArray[np.intp],
    after: NDArray[np.intp],
    share: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Frames (T', V, C) that lie by `share` (T',) of the way from `before` to `after`."""
    low, high = keypoints[before], keypoints[after]
    part = share.astype(np.float32)[:, None, None]
    mixed: NDArray[np.float32] = low + (high - low) * part
    # A joint that is lost is all zero, and halfway to it lies no joint: the nearer sight counts.
    lost = ~((low != 0).any(axis=-1) & (high != 0).any(axis=-1))
    if lost.any():
        mixed[lost] = np.where(part > 0.5, high, low)[lost]
    return mixed
