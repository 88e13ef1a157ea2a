"""The deploy form of a whole network: same function as the reference form, no operation to spare.

Multiplied once: adjacency and importance, every batch normalisation, data_bn into layer 1.  Not done
in place, no pooling kernel that depends on sizes, and shapes are constants where the axes are fixed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from stgcn_deploy.models.blocks import Block, MultiScaleTemporalConv, TemporalConv
from stgcn_deploy.models.branches import JoinedBranches
from stgcn_deploy.models.folding import (
    as_parameter,
    fold_conv,
    folded_like,
    input_affine,
    join_affine,
)
from stgcn_deploy.models.network import Network
from stgcn_deploy.models.persons import Occupied, empty_features, person_slots
from stgcn_deploy.models.shape import InputShape

__all__ = [
    "DeployBlock",
    "DeployNetwork",
    "DeployPlan",
    "InputStage",
    "Trunk",
    "average_persons",
    "temporal_unit",
]

# Scale and shift of an input, each (C, V), float64.
Affine = tuple[Tensor, Tensor]


class DeployMultiScale(nn.Module):
    """The multi-scale temporal convolution, its batch normalisations folded in."""

    def __init__(self, tcn: MultiScaleTemporalConv) -> None:
        super().__init__()
        self.join_kind = tcn.join_kind
        self.branches = JoinedBranches(
            list(tcn.branches),  # type: ignore[arg-type]
            join_affine(tcn),
            relu_follows=self.join_kind != "none",
        )
        if self.join_kind != "conv":
            return
        self.join = folded_like(tcn.join, fold_conv(tcn.join, tcn.bn))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C, T', V)."""
        joined: Tensor = self.branches(x)
        if self.join_kind == "none":
            return joined
        if self.join_kind == "relu":
            return torch.relu(joined)
        out: Tensor = self.join(torch.relu(joined))
        return out


def temporal_unit(tcn: nn.Module) -> nn.Module:
    """The temporal half of a block with its batch normalisations folded in."""
    if isinstance(tcn, MultiScaleTemporalConv):
        return DeployMultiScale(tcn)
    assert isinstance(tcn, TemporalConv)
    return folded_like(tcn.conv, fold_conv(tcn.conv, tcn.bn))


class DeployBlock(nn.Module):
    """Graph unit, temporal unit, and the residual of the block they stand for; then ReLU."""

    def __init__(self, gcn: nn.Module, tcn: nn.Module, block: Block) -> None:
        super().__init__()
        self.gcn = gcn
        self.tcn = tcn
        self.residual = block.spec.residual
        if self.residual == "conv":
            shortcut = block.residual
            self.shortcut = folded_like(shortcut.conv, fold_conv(shortcut.conv, shortcut.bn))

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
        if "M" not in self.axes:
            return x
        if self.axes == "NCTVM" and shape.static("M") and shape.persons == 1:
            return x.squeeze(4)
        x = x.permute([self.axes.index(axis) for axis in "NMCTV"])
        # Numbers, not sizes that the tracer follows: C and V are never open, and a constant target
        # shape is one node instead of eight.
        c, v = int(x.shape[2]), int(x.shape[4])
        if shape.static("T"):
            return x.reshape(-1, c, shape.frames, v)
        if shape.static("N") and shape.static("M"):
            return x.reshape(shape.batch * shape.persons, c, -1, v)
        return x.flatten(0, 1)


class DeployPlan(Protocol):
    """How a family turns its reference blocks into deploy blocks."""

    def folds_input(self, first: nn.Module) -> bool:
        """Whether the first block can take up a scale and shift of its input exactly."""

    def block(self, block: nn.Module, shape: InputShape, affine: Affine | None) -> nn.Module:
        """The deploy form of a block; `shape` holds T where it stands, `affine` is data_bn."""


class Trunk(nn.Module):
    """(N * M, C, T, V) -> pooled features (N * M, C')."""

    empty: Tensor

    def __init__(self, network: Network, plan: DeployPlan, shape: InputShape) -> None:
        super().__init__()
        spec = network.spec
        self.shape = shape
        self.per_person = spec.input_norm == "person"
        self.affine = False
        affine: Affine | None = None
        if spec.input_norm != "none":
            scale, shift = input_affine(
                network.data_bn, spec.num_joints, spec.num_persons or shape.persons
            )
            if self.per_person or not plan.folds_input(network.blocks[0]):
                self.affine = True
                self.scale = as_parameter(scale[:, :, None, :])
                self.shift = as_parameter(shift[:, :, None, :])
            else:
                affine = scale[0], shift[0]
        self.blocks = nn.ModuleList()
        for block, block_spec in zip(network.blocks, spec.blocks, strict=True):
            self.blocks.append(plan.block(block, shape, affine))
            affine = None
            frames = -(-shape.frames // block_spec.stride)  # odd kernels, same padding: ceil(T / s)
            shape = replace(shape, frames=frames)
        if self.shape.skip_absent:
            self.register_buffer("empty", empty_features(self, spec, self.shape))

    def normalised(self, x: Tensor) -> Tensor:
        """data_bn, where it was not folded into the first block."""
        if not self.affine:
            return x
        persons = self.shape.persons
        if not self.per_person or persons == 1:
            return x * self.scale + self.shift
        _, c, _, v = x.shape
        frames = self.shape.frames if self.shape.static("T") else -1
        batch = -1 if self.shape.static("T") else self.shape.batch
        if not self.shape.static("T") and not self.shape.static("N"):
            # Not unflatten: behind it the tracer takes the sizes for constants.
            scale, shift = (each.reshape(1, persons * c, 1, v) for each in (self.scale, self.shift))
            y = x.reshape(-1, persons * c, x.shape[2], v) * scale + shift
            return y.reshape(-1, c, x.shape[2], v)
        y = x.reshape(batch, persons, c, frames, v) * self.scale + self.shift
        rows = -1 if self.shape.static("T") else batch * persons
        return y.reshape(rows, c, frames, v)

    def forward(self, x: Tensor, occupied: Occupied | None = None) -> Tensor:
        """(N * M, C, T, V) -> (N * M, C'); of `occupied`, only these slots run."""
        x = self.normalised(x)
        if occupied is not None:
            # Behind the normalisation: it may have numbers of their own for each slot.
            x = x.index_select(0, occupied.rows)
        for block in self.blocks:
            x = block(x)
        pooled = functional.adaptive_avg_pool2d(x, 1).flatten(1)
        return pooled if occupied is None else occupied.restored(self.empty, pooled)


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

    def __init__(self, network: Network, plan: DeployPlan, shape: InputShape) -> None:
        super().__init__()
        self.shape = shape
        self.prepare = InputStage(network.spec.axes, shape)
        self.slots = person_slots(shape)
        self.trunk = Trunk(network, plan, shape)
        self.head = nn.Linear(network.head.in_features, network.head.out_features)
        self.head.load_state_dict(network.head.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """Input in the codebase's axis order -> logits (N, num_classes)."""
        clip = self.prepare(x)
        return self.logits_of(clip, x.shape[0], self.slots(clip) if self.slots else None)

    def logits_of(self, clip: Tensor, batch: int, occupied: Occupied | None) -> Tensor:
        """A prepared clip (N * M, C, T, V) -> logits (N, num_classes)."""
        pooled = self.trunk(clip, occupied)
        features = average_persons(pooled, self.head.in_features, self.shape, batch)
        logits: Tensor = self.head(features)
        return logits
