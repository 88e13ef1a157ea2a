"""How many cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["physical_cores", "usable_cores"]

TOPOLOGY = Path("/sys/devices/system/cpu")


def usable_cores() -> int:
    """The cores that the system lets this process run on, at least 1."""
    return len(_allowed()) or os.cpu_count() or 1


def physical_cores() -> int:
    """The same, two threads of one core counted once, where the system tells them apart (Linux)."""
    try:
        siblings = {
            (TOPOLOGY / f"cpu{number}" / "topology" / "thread_siblings_list").read_text("ascii")
            for number in _allowed()
        }
    except OSError:
        return usable_cores()
    return len(siblings) or usable_cores()


def _allowed() -> set[int]:
    """Numbers of the cores; none where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
