"""When somebody's next window is due."""

from __future__ import annotations

from hashlib import blake2b
from math import ceil

__all__ = ["Beat", "phase_of"]


def phase_of(*names: object) -> float:
    """A share of a period, 0 to 1, always the same for the same names and spread evenly over others."""
    digest = blake2b("/".join(map(str, names)).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


class Beat:
    """Every `stride` seconds once, from `first` on.

    Who is late does not catch up: the beats go on where they would have been, the next one at least half a
    stride away.
    """

    def __init__(self, first: float) -> None:
        self._due = first
        self._last: float | None = None

    def due(self, t: float, stride: float) -> bool:
        """Whether a beat falls to time `t`; it is then over.  `stride` may be another each time."""
        due = self._due if self._last is None else self._last + stride
        if t < due:
            return False
        # The newest beat of the same phase that leaves at least half a stride to the one after it.
        self._last = due + stride * max(0, ceil((t - due) / stride - 0.5))
        return True
