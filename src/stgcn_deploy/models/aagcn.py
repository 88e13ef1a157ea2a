"""AAGCN: a trained graph plus attention, and three gates (Shi et al., TIP 2020, arXiv 1912.06971).

Behind the graph convolution of models.agcn with "tanh", each gate takes what the one before gave:

    spatial    y <- y (1 + g[v]),   g = sigmoid(convolution along V of the mean over T)
    temporal   y <- y (1 + g[t]),   g = sigmoid(convolution along T of the mean over V)
    channel    y <- y (1 + g[c]),   g = sigmoid(W2 ReLU(W1 mean over T and V))

All three only scale y, so their inputs follow from two reductions of y itself: its mean over T, and
m[c,t] = sum_v y[c,t,v] (1 + g[v]).  The deploy form reads y twice and multiplies it twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stgcn_deploy.models.agcn import AdaptiveGraphConv, AgcnBlockSpec, AgcnFamily, AgcnPlan
from stgcn_deploy.models.folding import as_parameter
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import NetworkSpec

__all__ = ["FAMILY", "AagcnBlockSpec", "Gates", "GatesSpec"]


@dataclass(frozen=True)
class GatesSpec:
    """Sizes of the gates: taps along V and T (odd), channels between W1 and W2."""

    joint_taps: int
    frame_taps: int
    squeezed: int


@dataclass(frozen=True)
class AagcnBlockSpec(AgcnBlockSpec):
    """One block; `gates` is None for networks trained without them."""

    gates: GatesSpec | None = None


class Gates(nn.Module):
    """See the module."""

    def __init__(self, channels: int, spec: GatesSpec) -> None:
        super().__init__()
        joints, frames = spec.joint_taps, spec.frame_taps
        self.conv_sa = nn.Conv1d(channels, 1, joints, padding=(joints - 1) // 2)
        self.conv_ta = nn.Conv1d(channels, 1, frames, padding=(frames - 1) // 2)
        self.fc1c = nn.Linear(channels, spec.squeezed)
        self.fc2c = nn.Linear(spec.squeezed, channels)

    def forward(self, y: Tensor) -> Tensor:
        """(N, C, T, V) -> the same."""
        spatial = torch.sigmoid(self.conv_sa(y.mean(dim=2)))
        y = y + y * spatial.unsqueeze(2)
        temporal = torch.sigmoid(self.conv_ta(y.mean(dim=3)))
        y = y + y * temporal.unsqueeze(3)
        channel = torch.sigmoid(self.fc2c(torch.relu(self.fc1c(y.mean(dim=(2, 3))))))
        return y + y * channel[:, :, None, None]


class GatedGraphConv(nn.Module):
    """The spatial half of a block: graph convolution, then gates."""

    def __init__(self, gcn: AdaptiveGraphConv, gates: Gates) -> None:
        super().__init__()
        self.gcn = gcn
        self.gates = gates

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        out: Tensor = self.gates(self.gcn(x))
        return out


def _conv(weight: Tensor, bias: Tensor) -> nn.Conv1d:
    out_channels, in_channels, taps = weight.shape
    conv = nn.Conv1d(in_channels, out_channels, taps, padding=(taps - 1) // 2)
    conv.weight, conv.bias = as_parameter(weight), as_parameter(bias)
    return conv


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    out_channels, in_channels = weight.shape
    linear = nn.Linear(in_channels, out_channels)
    linear.weight, linear.bias = as_parameter(weight), as_parameter(bias)
    return linear


def _own(layer: nn.Conv1d | nn.Linear) -> tuple[Tensor, Tensor]:
    assert layer.bias is not None
    return layer.weight.detach().double(), layer.bias.detach().double()


class DeployGates(nn.Module):
    """The gates from two reductions of y; 1 / V of the mean over V is in the weights that take it.

    The convolutions stay one-dimensional: ONNX Runtime pads the one output channel of a
    two-dimensional one to sixteen.
    """

    def __init__(self, gates: Gates, num_joints: int, shape: InputShape) -> None:
        super().__init__()
        self.shape = shape
        self.num_joints, self.channels = num_joints, gates.fc2c.out_features
        self.spatial = _conv(*_own(gates.conv_sa))
        weight, bias = _own(gates.conv_ta)
        self.temporal = _conv(weight / num_joints, bias)
        weight, bias = _own(gates.fc1c)
        self.squeeze = _linear(weight / num_joints, bias)
        self.expand = _linear(*_own(gates.fc2c))

    def over_joints(self, y: Tensor, weights: Tensor) -> Tensor:
        """(N, C, T, V) weighted by (N, 1, V) and summed over V -> (N, C, T)."""
        c, v, shape = self.channels, self.num_joints, self.shape
        column = weights.reshape(-1, v, 1)
        if shape.static("T"):
            rows = y.reshape(-1, c * shape.frames, v)
            return torch.matmul(rows, column).reshape(-1, c, shape.frames)
        if shape.static("N") and shape.static("M"):
            batch = shape.batch * shape.persons
            return torch.matmul(y.reshape(batch, -1, v), column).reshape(batch, c, -1)
        rows = y.reshape(y.shape[0], c * y.shape[2], v)
        return torch.matmul(rows, column).reshape(y.shape[0], c, y.shape[2])

    def forward(self, y: Tensor) -> Tensor:
        """(N, C, T, V) -> the same."""
        joints = torch.sigmoid(self.spatial(y.mean(dim=2))) + 1
        summed = self.over_joints(y, joints)
        frames = torch.sigmoid(self.temporal(summed)) + 1
        pooled = (summed * frames).mean(dim=2)
        channels = torch.sigmoid(self.expand(torch.relu(self.squeeze(pooled)))) + 1
        plane = (frames.transpose(1, 2) * joints).unsqueeze(1)
        return y * plane * channels.reshape(-1, self.channels, 1, 1)


class GatedUnit(nn.Module):
    """Graph unit, then gates."""

    def __init__(self, unit: nn.Module, gates: DeployGates) -> None:
        super().__init__()
        self.unit = unit
        self.gates = gates

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        out: Tensor = self.gates(self.unit(x))
        return out


class AagcnPlan(AgcnPlan):
    """AGCN's, with gates."""

    def graph_unit(
        self, gcn: nn.Module, shape: InputShape, affine: tuple[Tensor, Tensor] | None
    ) -> nn.Module:
        """See AgcnPlan.graph_unit."""
        if not isinstance(gcn, GatedGraphConv):
            return super().graph_unit(gcn, shape, affine)
        unit = super().graph_unit(gcn.gcn, shape, affine)
        return GatedUnit(unit, DeployGates(gcn.gates, gcn.gcn.A.shape[-1], shape))


class AagcnFamily(AgcnFamily):
    """AGCN's networks, with gates where the block has them."""

    def graph_half(
        self, block: AgcnBlockSpec, spec: NetworkSpec, graph: Tensor | None
    ) -> nn.Module:
        """See AgcnFamily.graph_half."""
        gcn = AdaptiveGraphConv(block, spec.num_subsets, spec.num_joints, graph)
        assert isinstance(block, AagcnBlockSpec)
        if block.gates is None:
            return gcn
        return GatedGraphConv(gcn, Gates(block.out_channels, block.gates))

    def plan(self, graph_form: str) -> AgcnPlan:
        """See AgcnFamily.plan."""
        return AagcnPlan(graph_form)

    def extra_macs(self, block: AgcnBlockSpec, num_joints: int, frames: int) -> int:
        """The convolutions of the gates; scaling y is no multiply-accumulate."""
        assert isinstance(block, AagcnBlockSpec)
        if block.gates is None:
            return 0
        gates, co = block.gates, block.out_channels
        taps = gates.joint_taps * num_joints + gates.frame_taps * frames
        return co * (taps + 2 * gates.squeezed)


FAMILY = AagcnFamily("AAGCN (arXiv 1912.06971)")
