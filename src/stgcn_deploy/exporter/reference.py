"""The reference form as a function on numpy arrays, in float64: the truth of parity checks."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["Float64Reference"]


class Float64Reference:
    """native batch (float32) -> logits (N, classes) in float64."""

    def __init__(self, network: nn.Module) -> None:
        self._network = copy.deepcopy(network).double().eval()

    def __call__(self, batch: NDArray[Any]) -> NDArray[np.float64]:
        """Run one native batch."""
        with torch.inference_mode():
            logits: NDArray[np.float64] = self._network(torch.from_numpy(batch).double()).numpy()
        return logits
