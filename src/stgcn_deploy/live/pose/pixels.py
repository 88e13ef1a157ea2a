"""The numbers that a network wants of an image: order of colours, range, order of axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["INSTALL", "Pixels"]

INSTALL = 'pip install "stgcn-deploy[live]"'
Colours = tuple[float, float, float]


@dataclass(frozen=True)
class Pixels:
    """(value - mean) / std, for each colour in the order in which the network takes them.

    Attributes:
        bgr: blue first; else red first.
    """

    bgr: bool = False
    mean: Colours = (0.0, 0.0, 0.0)
    std: Colours = (1.0, 1.0, 1.0)

    def blob(self, images: NDArray[np.uint8], dtype: str) -> NDArray[Any]:
        """Images (n, H, W, 3), RGB, as (n, 3, H, W).

        A network that takes uint8 is given bytes: it normalises by itself.
        """
        planes = images.transpose(0, 3, 1, 2)
        if self.bgr:
            planes = planes[:, ::-1]
        if dtype == "uint8":
            return np.ascontiguousarray(planes)
        out = planes.astype(np.float32, order="C")
        if any(self.mean):
            out -= np.array(self.mean, np.float32)[:, None, None]
        if self.std != (1.0, 1.0, 1.0):
            out *= (1 / np.array(self.std, np.float32))[:, None, None]
        typed: NDArray[Any] = out.astype(dtype, copy=False)
        return typed
