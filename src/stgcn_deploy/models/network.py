"""Reference form of a one-stream network: input norm, blocks, global average, linear head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stgcn_deploy.models.blocks import (
    GraphConv,
    InputNorm,
    MultiScaleTemporalConv,
    Shortcut,
    TemporalConv,
)
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec

__all__ = ["Block", "Network"]


class Block(nn.Module):
    """ReLU(temporal(graph(x)) + residual(x))."""

    def __init__(self, spec: BlockSpec, num_subsets: int, num_joints: int) -> None:
        super().__init__()
        self.spec = spec
        self.gcn = GraphConv(spec, num_subsets, num_joints)
        self.tcn = MultiScaleTemporalConv(spec) if spec.branches else TemporalConv(spec)
        if spec.residual == "conv":
            self.residual = Shortcut(spec.in_channels, spec.out_channels, spec.stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T', V)."""
        y = self.tcn(self.gcn(x))
        if self.spec.residual == "conv":
            y = y + self.residual(x)
        elif self.spec.residual == "identity":
            y = y + x
        return torch.relu(y)


class Network(nn.Module):
    """Logits of a batch in the codebase's own axis order.

    Absent persons are zeros; they pass through and take part in the mean over M, as in training.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        if spec.input_norm != "none":
            features = spec.num_joints * spec.in_channels
            if spec.input_norm == "person":
                features *= spec.num_persons or 1
            self.data_bn = InputNorm(features, per_person=spec.input_norm == "person")
        self.blocks = nn.ModuleList(
            Block(block, spec.num_subsets, spec.num_joints) for block in spec.blocks
        )
        self.head = nn.Linear(spec.blocks[-1].out_channels, spec.num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Input in the order of `spec.axes` -> (N, M, C)."""
        order = [self.spec.axes.index(axis) for axis in "NMTVC"]
        x = x.permute(order)
        n, m, t, v, c = x.shape
        if self.spec.input_norm == "none":
            x = x.reshape(n * m, t, v, c).permute(0, 3, 1, 2)
        else:
            x = self.data_bn(x)
        for block in self.blocks:
            x = block(x)
        return x.mean(dim=(2, 3)).reshape(n, m, -1)

    def forward(self, x: Tensor) -> Tensor:
        """Input in the order of `spec.axes` -> logits (N, num_classes)."""
        logits: Tensor = self.head(self.features(x).mean(dim=1))
        return logits
