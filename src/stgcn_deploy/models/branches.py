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
from stgcn_deploy.models.folding import (
    ConvWeights,
    as_parameter,
    branch_affine,
    fold_conv,
    folded_like,
)

__all__ = ["DeployBranch", "JoinedBranches"]


class DeployBranch(nn.Module):
    """A branch with its BN and those behind it folded in.

    Behind a max pool nothing can take that BN up (a pool does not commute with a negative scale), so
    it stays as one depthwise 1x1 convolution on the few channels of that branch: one node, which
    leaves the tensor in the blocked layout of ONNX Runtime's convolutions.

    Args:
        affine: scale and shift of everything behind the branch (see join_affine); by default that
            of the branch's own last BN.
    """

    def __init__(self, branch: Branch, affine: tuple[Tensor, Tensor] | None = None) -> None:
        super().__init__()
        scale, shift = affine or branch_affine(branch)
        self.kind = branch.spec.kind
        after = (scale[:, None, None, None], shift)
        if self.kind == "1x1":
            plain = fold_conv(branch.entry)
            self.entry = folded_like(
                branch.entry, ConvWeights(plain.weight * after[0], plain.bias * scale + after[1])
            )
            return
        self.entry = folded_like(branch.entry, fold_conv(branch.entry, branch.bn))
        if self.kind == "max":
            self.pool = branch.pool
            self.plain = bool((scale == 1).all() and (shift == 0).all())
            if not self.plain:
                self.affine = nn.Conv2d(len(scale), len(scale), 1, groups=len(scale))
                self.affine.weight = as_parameter(after[0])
                self.affine.bias = as_parameter(shift)
        else:
            plain = fold_conv(branch.conv)
            self.conv = folded_like(
                branch.conv, ConvWeights(plain.weight * after[0], plain.bias * scale + after[1])
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, channels, T', V)."""
        x = self.entry(x)
        if self.kind == "1x1":
            return x
        x = torch.relu(x)
        if self.kind == "max":
            x = self.pool(x)
            return x if self.plain else self.affine(x)
        out: Tensor = self.conv(x)
        return out


def _tail(branch: DeployBranch) -> nn.Module:
    """What follows the entry of a branch and its ReLU."""
    if branch.kind == "1x1":
        return nn.Identity()
    if branch.kind == "conv":
        return branch.conv
    return branch.pool if branch.plain else nn.Sequential(branch.pool, branch.affine)


class JoinedBranches(nn.Module):
    """Concatenated branches.

    Args:
        affines: scale and shift of everything behind each branch, see DeployBranch.
        relu_follows: whether all of it goes through a ReLU: then a branch that is only a 1x1 may go
            through one before, and joins the others.
    """

    def __init__(
        self,
        branches: Sequence[Branch],
        affines: Sequence[tuple[Tensor, Tensor] | None],
        *,
        relu_follows: bool = False,
    ) -> None:
        super().__init__()
        folded = [DeployBranch(*pair) for pair in zip(branches, affines, strict=True)]
        self.direct = [
            branch.kind == "1x1" and not (relu_follows and branch.entry.stride == (1, 1))
            for branch in folded
        ]
        self.tails = nn.ModuleList(
            branch.entry if direct else _tail(branch)
            for branch, direct in zip(folded, self.direct, strict=True)
        )
        entries = [
            branch.entry for branch, direct in zip(folded, self.direct, strict=True) if not direct
        ]
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
