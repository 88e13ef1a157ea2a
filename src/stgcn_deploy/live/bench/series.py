"""Measured values with their times, in bounded memory, and what is said of them."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHOWN", "Series", "by_interval", "percentiles", "thinned"]

MOST = 1_000_000
SHOWN = (50, 95, 99)

Floats = NDArray[np.float64]


class Series:
    """Values with their times and a group each; not thread-safe.

    When it is full, every other value goes, and from then on only every second one is kept, and so on:
    what is kept stays even in time, so that percentiles of it are those of all.

    Attributes:
        count: all values that were added; largest: of all of them.
    """

    def __init__(self, most: int = MOST) -> None:
        if most < 2:
            raise ValueError(f"a series keeps at least 2 values, not {most}")
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._times, self._values, self._groups = array("d"), array("d"), array("l")
        self._step = 1
        self.count = 0
        self.largest = float("nan")

    def add(self, t: float, value: float, group: int = 0) -> None:
        """One more."""
        if self.count % self._step == 0:
            if len(self._values) >= self._most:
                self._times, self._values = self._times[::2], self._values[::2]
                self._groups = self._groups[::2]
                self._step *= 2
            if self.count % self._step == 0:
                self._times.append(t)
                self._values.append(value)
                self._groups.append(group)
        self.count += 1
        self.largest = value if self.count == 1 else max(self.largest, value)

    @property
    def times(self) -> Floats:
        """Of what is kept."""
        return np.array(self._times)

    @property
    def values(self) -> Floats:
        """What is kept."""
        return np.array(self._values)

    @property
    def groups(self) -> NDArray[np.int64]:
        """Of what is kept."""
        return np.array(self._groups, dtype=np.int64)


def percentiles(values: Floats, count: int | None = None, largest: float | None = None) -> Any:
    """p50, p95, p99, max and count of milliseconds; {} of nothing.

    Args:
        count, largest: of all, where `values` are only some of them.
    """
    if not len(values):
        return {}
    found = {f"p{share}": round(float(np.percentile(values, share)), 3) for share in SHOWN}
    top = float(values.max()) if largest is None else largest
    return {**found, "max": round(top, 3), "count": len(values) if count is None else count}


def by_interval(times: Floats, values: Floats, width: float = 1.0) -> list[list[float]]:
    """[start, p50, p99, max, count] of each interval in which anything was measured, by its start."""
    if not len(times):
        return []
    places = np.floor(times / width).astype(np.int64)
    order = np.argsort(places, kind="stable")
    places, values = places[order], values[order]
    starts = np.flatnonzero(np.diff(places, prepend=places[0] - 1))
    found = []
    for place, part in zip(places[starts], np.split(values, starts[1:]), strict=True):
        middle, high = np.percentile(part, (50, 99))
        row = (place * width, middle, high, part.max(), len(part))
        found.append([round(float(number), 2) for number in row])
    return found


def thinned(
    times: Floats, values: Floats, most: int, groups: NDArray[np.int64] | None = None
) -> dict[str, list[float]]:
    """At most so many of them, evenly, rounded: {"t": seconds, "ms": milliseconds, "camera": its place}."""
    step = max(1, -(-len(times) // most))
    found: dict[str, list[float]] = {
        "t": [round(float(t), 2) for t in times[::step]],
        "ms": [round(float(value), 2) for value in values[::step]],
    }
    return found if groups is None else {**found, "camera": groups[::step].tolist()}
