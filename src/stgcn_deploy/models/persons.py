"""Absent persons cost nothing: only occupied person slots run through a trunk, exactly.

A slot is absent where all its numbers are zero, and zeros always give the same features:

    features of slot i = f0[i mod M]      where x[i] = 0       (computed once, when the graph is made)
                       = trunk(x[i])      otherwise

f0 is not zero (biases, data_bn), it depends on T (each convolution pads the clip with zeros), and
where data_bn has numbers for each person it differs from slot to slot.  Streams that are derived of
zeros (motion, bones) are zeros, so that one look at the joints decides for all of them.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from stgcn_deploy.models.shape import InputShape

if TYPE_CHECKING:
    from stgcn_deploy.models.deploy import Trunk
    from stgcn_deploy.models.spec import NetworkSpec

__all__ = ["Occupied", "PersonSlots", "empty_features", "person_slots"]


class Occupied(NamedTuple):
    """Which slots run.

    Attributes:
        rows: (n,) of the N * M slots, those that run; n is at least 1.
        sources: (N * M,) for each slot, its row in [f0; features of `rows`].
    """

    rows: Tensor
    sources: Tensor

    def restored(self, empty: Tensor, features: Tensor) -> Tensor:
        """f0 (K, C), features of the occupied slots (n, C) -> features of all (N * M, C)."""
        return torch.cat([empty, features]).index_select(0, self.sources)


class PersonSlots(nn.Module):
    """A clip (N * M, C, T, V), as it was fed -> Occupied.

    The first slot always runs: runtimes differ on tensors without a single row.
    """

    first: Tensor
    own: Tensor

    def __init__(self, shape: InputShape) -> None:
        super().__init__()
        # Rows of f0: one for each slot of a clip; one for all where M is open.
        self.rows = shape.persons if shape.static("M") else 1
        self.register_buffer("first", torch.ones(1, dtype=torch.bool), persistent=False)
        self.register_buffer("own", torch.arange(self.rows), persistent=False)

    def forward(self, clip: Tensor) -> Occupied:
        """(N * M, C, T, V) -> Occupied."""
        # "Not zero" and not "above zero": NaN must go through the network and show.
        taken = clip.abs().sum(dim=(1, 2, 3)) != 0
        taken = torch.cat([self.first, taken[1:]])
        rows = torch.nonzero(taken).squeeze(1)
        place = taken.long().cumsum(dim=0) + (self.rows - 1)
        by_clip = taken.reshape(-1, self.rows), place.reshape(-1, self.rows)
        return Occupied(rows, torch.where(*by_clip, self.own).reshape(-1))


def person_slots(shape: InputShape) -> PersonSlots | None:
    """What finds the occupied slots, where the graph is to skip the others."""
    return PersonSlots(shape) if shape.skip_absent else None


def empty_features(trunk: Trunk, spec: NetworkSpec, shape: InputShape) -> Tensor:
    """f0: what the trunk makes of empty slots, (K, C') with K as in PersonSlots.

    In float64: the constant is then as good as any feature that the graph computes.
    """
    rows = shape.persons if shape.static("M") else 1
    clip = torch.zeros(
        rows if trunk.per_person else 1,
        spec.in_channels,
        shape.frames,
        spec.num_joints,
        dtype=torch.float64,
    )
    with torch.no_grad():
        features: Tensor = deepcopy(trunk).double().eval()(clip)
    return features.float().expand(rows, -1).contiguous()
