"""The deploy form of a whole network: same function as the reference form, no operation to spare.

Multiplied once: adjacency and importance, every batch normalisation, data_bn into layer 1.  Not done
in place, no pooling kernel that depends on sizes, and shapes are constants where the axes are fixed.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from stgcn_deploy.models.blocks import Branch, MultiScaleTemporalConv, TemporalConv
from stgcn_deploy.models.folding import (
    ConvWeights,
    fold_conv,
    fold_graph_conv,
    input_affine,
    join_affine,
)
from stgcn_deploy.models.graphforms import graph_unit
from stgcn_deploy.models.network import Block, Network
from stgcn_deploy.models.shape import InputShape

__all__ = ["DeployNetwork", "InputStage", "Trunk", "average_persons"]


def _parameter(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.to(torch.float32).contiguous(), requires_grad=False)


def _folded(conv: nn.Conv2d, folded: ConvWeights) -> nn.Conv2d:
    """A convolution like `conv` (stride, padding, dilation) with other weights."""
    fresh = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        stride=conv.stride,  # type: ignore[arg-type]
        padding=conv.padding,  # type: ignore[arg-type]
        dilation=conv.dilation,  # type: ignore[arg-type]
    )
    fresh.weight = _parameter(folded.weight)
    fresh.bias = _parameter(folded.bias)
    return fresh


class DeployBranch(nn.Module):
    """A branch with its BN and the BN behind the join folded in.

    Behind a max pool nothing can take that BN up (a pool does not commute with a negative scale), so
    it stays as one multiply and one add on the few channels of that branch.
    """

    def __init__(self, branch: Branch, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.kind = branch.spec.kind
        after = (scale[:, None, None, None], shift)
        if self.kind == "1x1":
            plain = fold_conv(branch.entry)
            self.entry = _folded(
                branch.entry, ConvWeights(plain.weight * after[0], plain.bias * scale + after[1])
            )
            return
        self.entry = _folded(branch.entry, fold_conv(branch.entry, branch.bn))
        if self.kind == "max":
            self.pool = branch.pool
            self.scale = _parameter(scale[None, :, None, None])
            self.shift = _parameter(shift[None, :, None, None])
        else:
            plain = fold_conv(branch.conv)
            self.conv = _folded(
                branch.conv, ConvWeights(plain.weight * after[0], plain.bias * scale + after[1])
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, channels, T', V)."""
        x = self.entry(x)
        if self.kind == "1x1":
            return x
        x = torch.relu(x)
        if self.kind == "max":
            return self.pool(x) * self.scale + self.shift  # type: ignore[no-any-return]
        out: Tensor = self.conv(x)
        return out


class DeployMultiScale(nn.Module):
    """The multi-scale temporal convolution, three batch normalisations fewer."""

    def __init__(self, tcn: MultiScaleTemporalConv) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            DeployBranch(branch, scale, shift)  # type: ignore[arg-type]
            for branch, (scale, shift) in zip(tcn.branches, join_affine(tcn), strict=True)
        )
        self.join = _folded(tcn.join, fold_conv(tcn.join, tcn.bn))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C, T', V)."""
        joined = torch.cat([branch(x) for branch in self.branches], dim=1)
        out: Tensor = self.join(torch.relu(joined))
        return out


def _temporal(tcn: TemporalConv | MultiScaleTemporalConv) -> nn.Module:
    if isinstance(tcn, MultiScaleTemporalConv):
        return DeployMultiScale(tcn)
    return _folded(tcn.conv, fold_conv(tcn.conv, tcn.bn))


class DeployBlock(nn.Module):
    """Graph unit, temporal convolution, residual, ReLU."""

    def __init__(self, gcn: nn.Module, block: Block) -> None:
        super().__init__()
        self.gcn = gcn
        self.tcn = _temporal(block.tcn)
        self.residual = block.spec.residual
        if self.residual == "conv":
            shortcut = block.residual
            self.shortcut = _folded(shortcut.conv, fold_conv(shortcut.conv, shortcut.bn))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T', V)."""
        y = self.tcn(self.gcn(x))
        if self.residual == "conv":
            y = y + self.shortcut(x)
        elif self.residual == "identity":
            y = y + x
        return torch.relu(y)


class InputStage(nn.Module):
    """Native input -> (N * M, C, T, V), by the fewest operations that the open axes allow."""

    def __init__(self, axes: str, shape: InputShape) -> None:
        super().__init__()
        self.axes = axes
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Input in the order of `axes` -> (N * M, C, T, V)."""
        shape = self.shape
        if self.axes == "NCTVM" and shape.static("M") and shape.persons == 1:
            return x.squeeze(4)
        x = x.permute([self.axes.index(axis) for axis in "NMCTV"])
        _, _, c, _, v = x.shape
        if shape.static("T"):
            return x.reshape(-1, c, shape.frames, v)
        if shape.static("N") and shape.static("M"):
            return x.reshape(shape.batch * shape.persons, c, -1, v)
        return x.flatten(0, 1)


class Trunk(nn.Module):
    """(N * M, C, T, V) -> pooled features (N * M, C')."""

    def __init__(self, network: Network, graph_form: str, shape: InputShape) -> None:
        super().__init__()
        spec = network.spec
        self.shape = shape
        first = fold_graph_conv(network.blocks[0].gcn)  # type: ignore[arg-type]
        self.per_person = spec.input_norm == "person"
        self.affine = False
        if spec.input_norm != "none":
            scale, shift = input_affine(
                network.data_bn, spec.num_joints, spec.num_persons or shape.persons
            )
            # A residual around block 1 or an identity inside it needs the normalised input itself.
            if self.per_person or spec.blocks[0].residual != "none" or first.identity:
                self.affine = True
                self.scale = _parameter(scale[:, :, None, :])
                self.shift = _parameter(shift[:, :, None, :])
            else:
                first = first.with_input(scale[0], shift[0])
        units = [first, *(fold_graph_conv(block.gcn) for block in network.blocks[1:])]  # type: ignore[arg-type]
        self.blocks = nn.ModuleList()
        for unit, block in zip(units, network.blocks, strict=True):
            assert isinstance(block, Block)
            self.blocks.append(DeployBlock(graph_unit(unit, graph_form, shape), block))
            frames = -(-shape.frames // block.spec.stride)  # odd kernels, same padding: ceil(T / s)
            shape = replace(shape, frames=frames)

    def forward(self, x: Tensor) -> Tensor:
        """(N * M, C, T, V) -> (N * M, C')."""
        if self.affine and self.per_person and self.shape.persons > 1:
            _, c, frames, v = x.shape
            if self.shape.static("T"):
                frames = self.shape.frames
            split = x.reshape(-1, self.shape.persons, c, frames, v)
            x = (split * self.scale + self.shift).reshape(-1, c, frames, v)
        elif self.affine:
            x = x * self.scale + self.shift
        for block in self.blocks:
            x = block(x)
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)


def average_persons(features: Tensor, channels: int, shape: InputShape, batch: int) -> Tensor:
    """(N * M, C) -> (N, C); `batch` is N as traced, for graphs with both axes open."""
    if shape.static("M"):
        if shape.persons == 1:
            return features
        return features.reshape(-1, shape.persons, channels).mean(dim=1)
    if shape.static("N"):
        return features.reshape(shape.batch, -1, channels).mean(dim=1)
    return features.reshape(batch, -1, channels).mean(dim=1)


class DeployNetwork(nn.Module):
    """Native input -> logits, for one stream."""

    def __init__(self, network: Network, graph_form: str, shape: InputShape) -> None:
        super().__init__()
        self.shape = shape
        self.prepare = InputStage(network.spec.axes, shape)
        self.trunk = Trunk(network, graph_form, shape)
        self.head = nn.Linear(network.head.in_features, network.head.out_features)
        self.head.load_state_dict(network.head.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """Input in the codebase's axis order -> logits (N, num_classes)."""
        pooled = self.trunk(self.prepare(x))
        features = average_persons(pooled, self.head.in_features, self.shape, x.shape[0])
        logits: Tensor = self.head(features)
        return logits
