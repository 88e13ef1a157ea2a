"""At most so many frames a second, evenly."""

from __future__ import annotations

__all__ = ["RateLimit"]

# Share of a period that a frame may be early: cameras are not punctual.
EARLY = 0.1
# After a hole of so many periods, or a step back, it begins anew.
FAR = 4.0


class RateLimit:
    """Decides frame by frame, from their times alone.

    Args:
        fps: at most so many; None: all.
    """

    def __init__(self, fps: float | None = None) -> None:
        self._due: float | None = None
        self._period: float | None = None
        self.set(fps)

    def set(self, fps: float | None) -> None:
        """Change it; any thread may."""
        self._period = None if fps is None else 1.0 / fps

    def admit(self, t: float) -> bool:
        """Whether the frame of this time is one of them."""
        period, due = self._period, self._due
        if period is None:
            return True
        if due is None or abs(t - due) > FAR * period:
            self._due = t + period
            return True
        if t < due - EARLY * period:
            return False
        # From the time that was due, not from that of the frame: else every period would end with the
        # wait for the next frame, and 15 of 25 frames would become 12.5.
        self._due = due + period if t - due < period else t + period
        return True
