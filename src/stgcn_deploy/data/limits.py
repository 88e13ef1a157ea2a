"""How large one recording may be, so that a damaged or hostile file cannot fill the memory.

A clip is dense, what it is read from need not be: two lines may name frame 0 and frame 1,000,000.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import DataError

__all__ = ["MOST_FRAMES", "MOST_PERSONS", "room"]

# 36 minutes at 30 frames per second.
MOST_FRAMES = 1 << 16
# Slots of one recording; networks look at two of them, their codebases choose among at most five.
MOST_PERSONS = 10
# 256 MiB as float32.
MOST_NUMBERS = 1 << 26


def room(what: str, shape: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """An empty clip (M, T, V, C).

    Args:
        what: the file, and the record in it, for messages.

    Raises:
        DataError: it would be larger than any recording is.
    """
    if shape[1] > MOST_FRAMES or prod(shape) > MOST_NUMBERS:
        raise DataError(
            f"{what}: a clip of shape {shape} = (M, T, V, C) is too large; expected at most "
            f"{MOST_FRAMES} frames and {MOST_NUMBERS} numbers. Cut the recording into parts."
        )
    return np.zeros(shape, np.float32)
