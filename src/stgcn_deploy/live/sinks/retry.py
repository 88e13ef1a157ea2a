"""When to try again: longer and longer, a little by chance, so that many senders do not come at once."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["Retry"]


class Retry:
    """Counts failures in a row and says when the next try is due; told the time, sleeps nowhere.

    Args:
        first: wait after the first failure, seconds.
        factor: of each wait to the one before.
        most: longest wait.
        jitter: share by which a wait is made longer or shorter by chance.
        chance: gives numbers from 0 to 1.
    """

    def __init__(
        self,
        *,
        first: float = 0.5,
        factor: float = 2.0,
        most: float = 60.0,
        jitter: float = 0.2,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.first = first
        self.factor = factor
        self.most = most
        self.jitter = jitter
        self.failures = 0
        self._chance = chance

    def failed(self, now: float, *, at_least: float = 0.0) -> float:
        """When to try again; `at_least`: seconds that the receiver asked for."""
        # Beyond some doublings the wait is the longest one; a larger power would overflow.
        wait = min(self.most, self.first * self.factor ** min(self.failures, 64))
        self.failures += 1
        wait *= 1.0 + self.jitter * (2.0 * self._chance() - 1.0)
        return now + max(wait, min(at_least, self.most))

    def succeeded(self) -> None:
        """The next failure is the first again."""
        self.failures = 0
