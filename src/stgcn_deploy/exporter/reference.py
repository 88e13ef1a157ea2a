"""The reference form as a function on numpy arrays, in float64: the truth of parity checks."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stgcn_deploy.skeleton.inputs import InputSpec

__all__ = ["Float64Reference"]


class Float64Reference:
    """Batch (N, M, T, V, C) -> logits (N, classes) in float64."""

    def __init__(self, network: nn.Module, inputs: tuple[InputSpec, ...]) -> None:
        self._inputs = inputs
        self._network = copy.deepcopy(network).double().eval()

    def __call__(self, batch: NDArray[Any]) -> NDArray[np.float64]:
        """Run one batch."""
        feed = [torch.from_numpy(spec.make(batch)).double() for spec in self._inputs]
        with torch.inference_mode():
            logits: NDArray[np.float64] = self._network(*feed).numpy()
        return logits
