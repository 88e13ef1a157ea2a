"""The reference form of MS-G3D (Liu et al., CVPR 2020, arXiv 2003.14111).

Multi-scale graph convolution over U joints, K scales:

    MS(x) = ReLU(BN(sum_k W_k x (A_k + PA_k)))      A_k: joints at distance k, and themselves

Over space U = V; over space-time (G3D) the joints of w consecutive frames are one graph, U = w V,
with its own A_k, and a convolution over the w copies makes them one frame again:

    window_s(x)[t, j V + v] = x[s t + j - (w - 1) / 2, v]          zero outside of the clip
    G3D_w(x) = BN(sum_j U_j MS(window_s(x))[.., j V ..])

Stage:  x <- ReLU(TC'(TC_s(MS(x))) + sum_w G3D_w(x));  x <- TC(x)
with TC(x) = ReLU(concatenated branches + residual), TC' the same without ReLU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from stgcn_deploy.models.blocks import Branch, Shortcut
from stgcn_deploy.models.spec import BranchSpec, Residual

__all__ = [
    "MultiScaleGraphConv",
    "ResidualTemporalConv",
    "Stage",
    "StageSpec",
    "TemporalSpec",
    "WindowGraphConv",
    "WindowSpec",
]


@dataclass(frozen=True)
class TemporalSpec:
    """A multi-scale temporal convolution with its own residual."""

    in_channels: int
    out_channels: int
    residual: Residual
    branches: tuple[BranchSpec, ...]
    relu: bool = True


@dataclass(frozen=True)
class WindowSpec:
    """A G3D path.

    Attributes:
        window: frames w of one graph, odd.
        hidden: channels of the space-time graph convolution, before the window is collapsed.
        scales: its K.
    """

    window: int
    hidden: int
    scales: int


@dataclass(frozen=True)
class StageSpec:
    """A stage: factorised path and G3D paths, then a temporal convolution.

    Attributes:
        hidden: channels of the spatial graph convolution.
        scales: its K.
        stride: of the first temporal convolution and of the windows.
        temporal: the two temporal convolutions of the factorised path.
        after: the one behind the sum of the paths.
    """

    in_channels: int
    out_channels: int
    stride: int
    hidden: int
    scales: int
    windows: tuple[WindowSpec, ...]
    temporal: tuple[TemporalSpec, TemporalSpec]
    after: TemporalSpec
    residual: Residual = "none"


class MultiScaleGraphConv(nn.Module):
    """ReLU(BN(sum_k W_k x (A_k + PA_k))); the input channels of the convolution are k * C + c."""

    A: Tensor

    def __init__(self, in_channels: int, out_channels: int, scales: int, num_joints: int) -> None:
        super().__init__()
        self.register_buffer("A", torch.zeros(scales, num_joints, num_joints))
        self.PA = nn.Parameter(torch.zeros(scales, num_joints, num_joints))
        self.conv = nn.Conv2d(scales * in_channels, out_channels, 1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, U) -> (N, C', T, U)."""
        n, _, t, u = x.shape
        y = torch.einsum("nctv,kvu->nkctu", x, self.A + self.PA).reshape(n, -1, t, u)
        return torch.relu(self.bn(self.conv(y)))


class WindowGraphConv(nn.Module):
    """G3D: a graph convolution over the joints of a window, then over its frames."""

    def __init__(
        self, spec: WindowSpec, in_channels: int, out_channels: int, stride: int, num_joints: int
    ) -> None:
        super().__init__()
        self.window, self.stride = spec.window, stride
        self.graph = MultiScaleGraphConv(
            in_channels, spec.hidden, spec.scales, spec.window * num_joints
        )
        self.collapse = nn.Conv3d(spec.hidden, out_channels, (1, spec.window, 1))
        self.bn = nn.BatchNorm2d(out_channels)

    def windows(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C, T', w, V)."""
        frames, margin = x.shape[2], (self.window - 1) // 2
        padded = functional.pad(x, (0, 0, margin, margin))
        one_each = [padded[:, :, j : j + frames : self.stride] for j in range(self.window)]
        return torch.stack(one_each, dim=3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T', V)."""
        x = self.windows(x)
        y = self.graph(x.flatten(3)).unflatten(3, x.shape[3:])
        out: Tensor = self.bn(self.collapse(y).squeeze(3))
        return out


class ResidualTemporalConv(nn.Module):
    """TC: concatenated branches + residual, and ReLU if the spec says so."""

    def __init__(self, spec: TemporalSpec, stride: int = 1) -> None:
        super().__init__()
        self.spec = spec
        self.branches = nn.ModuleList(
            Branch(branch, spec.in_channels, stride) for branch in spec.branches
        )
        if spec.residual == "conv":
            self.residual = Shortcut(spec.in_channels, spec.out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T', V)."""
        y = torch.cat([branch(x) for branch in self.branches], dim=1)
        if self.spec.residual != "none":
            y = y + (self.residual(x) if self.spec.residual == "conv" else x)
        return torch.relu(y) if self.spec.relu else y


class Stage(nn.Module):
    """A stage of the module's docstring."""

    def __init__(self, spec: StageSpec, num_joints: int) -> None:
        super().__init__()
        self.spec = spec
        self.graph = MultiScaleGraphConv(spec.in_channels, spec.hidden, spec.scales, num_joints)
        first, second = spec.temporal
        self.temporal = nn.ModuleList(
            (ResidualTemporalConv(first, spec.stride), ResidualTemporalConv(second))
        )
        self.windows = nn.ModuleList(
            WindowGraphConv(one, spec.in_channels, spec.out_channels, spec.stride, num_joints)
            for one in spec.windows
        )
        self.after = ResidualTemporalConv(spec.after)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T', V)."""
        y = self.graph(x)
        for temporal in self.temporal:
            y = temporal(y)
        for window in self.windows:
            y = y + window(x)
        out: Tensor = self.after(torch.relu(y))
        return out
