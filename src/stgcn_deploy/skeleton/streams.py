"""Streams: what a network is shown of a clip, computed from its joints.

All take and give (N, M, T, V, C); the motion of a stream that keeps its length ends in a zero frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["STREAMS"]

Array = NDArray[Any]


def joint(batch: Array) -> Array:
    """The clip itself."""
    return batch


def forward_step(batch: Array) -> Array:
    """x[t+1] - x[t], one frame shorter (TSSTG's second input)."""
    step: Array = np.diff(batch, axis=2)
    return step


STREAMS: dict[str, Callable[[Array], Array]] = {"joint": joint, "forward_step": forward_step}
