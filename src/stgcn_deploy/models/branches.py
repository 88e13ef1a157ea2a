"""The branches of a multi-scale temporal convolution, with one convolution for all their entries.

The entries are 1x1 convolutions of the same input, each followed by ReLU.  One wide convolution does
without the channels that runtimes fill narrow ones up with (ONNX Runtime's blocks of 16: 21 channels
cost as much as 32), and without most of the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stgcn_deploy.models.blocks import Branch
from stgcn_deploy.models.deploy import DeployBranch

__all__ = ["JoinedBranches"]


def _tail(branch: DeployBranch) -> nn.Module:
    """What follows the entry of a branch; for "1x1", the branch itself."""
    if branch.kind == "1x1":
        return branch.entry
    if branch.kind == "conv":
        return branch.conv
    return branch.pool if branch.plain else nn.Sequential(branch.pool, branch.affine)


class JoinedBranches(nn.Module):
    """Concatenated branches.

    Args:
        affines: scale and shift of everything behind each branch, see DeployBranch.
    """

    def __init__(
        self, branches: Sequence[Branch], affines: Sequence[tuple[Tensor, Tensor] | None]
    ) -> None:
        super().__init__()
        folded = [DeployBranch(*pair) for pair in zip(branches, affines, strict=True)]
        self.tails = nn.ModuleList(_tail(branch) for branch in folded)
        self.direct = [branch.kind == "1x1" for branch in folded]
        entries = [branch.entry for branch in folded if branch.kind != "1x1"]
        self.sizes = [entry.out_channels for entry in entries]
        self.entry = nn.Conv2d(entries[0].in_channels, sum(self.sizes), 1)
        self.entry.weight = nn.Parameter(torch.cat([entry.weight for entry in entries]))
        self.entry.bias = nn.Parameter(torch.cat([entry.bias for entry in entries]))  # type: ignore[misc]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, all channels, T', V)."""
        pieces = iter(torch.split(torch.relu(self.entry(x)), self.sizes, dim=1))
        parts = [
            tail(x) if direct else tail(next(pieces))
            for tail, direct in zip(self.tails, self.direct, strict=True)
        ]
        return torch.cat(parts, dim=1)
