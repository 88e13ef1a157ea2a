"""MS-G3D: graphs over space and over windows of time (Liu et al., CVPR 2020, arXiv 2003.14111).

The maths is in msg3d_parts.  The deploy form keeps it but for the order of the linear operations
inside of ReLU(BN(sum_k W_k x A_k)), U = w V joints, K scales, from C to H channels:

    joints first     X @ [A_0 | A_1 | ..], then the convolution:      K C T' U (U + H)
    channels first   the convolution before the windows are cut out,
                     then one product over (window, scale, joint):    K H (C T V + T' U U)

Windows of w frames with stride s hold each frame w / s times, so the second order is the cheaper one
wherever the channels do not grow; it is what the strided stages use.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from stgcn_deploy.models.branches import DeployBranch
from stgcn_deploy.models.deploy import DeployNetwork
from stgcn_deploy.models.folding import (
    GraphWeights,
    as_parameter,
    bn_affine,
    fold_conv,
    folded_like,
)
from stgcn_deploy.models.graphforms import graph_unit
from stgcn_deploy.models.msg3d_parts import (
    MultiScaleGraphConv,
    ResidualTemporalConv,
    Stage,
    StageSpec,
    TemporalSpec,
    WindowGraphConv,
    WindowSpec,
)
from stgcn_deploy.models.network import Network
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import NetworkSpec

__all__ = ["FAMILY"]

# Channels first must leave no more than this of the multiplications to pay for its transpose.
WORTH = 0.85


def folded_scales(graph: MultiScaleGraphConv) -> GraphWeights:
    """The unit as one sum over scales, its BN folded in."""
    adjacency = graph.A.double() + graph.PA.detach().double()
    folded = fold_conv(graph.conv, graph.bn)
    hidden = len(folded.bias)
    return GraphWeights(
        weights=folded.weight.reshape(hidden, len(adjacency), -1).permute(1, 0, 2),
        adjacency=adjacency,
        bias=folded.bias[:, None].expand(hidden, adjacency.shape[-1]),
        shortcut=None,
        identity=False,
    )


def folded_collapse(window: WindowGraphConv, num_joints: int) -> nn.Conv2d:
    """The convolution over the w copies of a window's joints, which lie side by side; with BN."""
    scale, shift = bn_affine(window.bn)
    assert window.collapse.bias is not None
    weight = window.collapse.weight.detach().double()[:, :, 0, :, 0] * scale[:, None, None]
    conv = nn.Conv2d(weight.shape[1], len(scale), (1, window.window), dilation=(1, num_joints))
    conv.weight = as_parameter(weight[:, :, None, :])
    conv.bias = as_parameter(window.collapse.bias.detach().double() * scale + shift)
    return conv


class JointsFirst(nn.Module):
    """Products with all A_k, then the 1x1 convolution of k * C + c, as networks are trained.

    MatMul of every scale, or one Einsum: the "matmul" and the "einsum" form.
    """

    def __init__(self, folded: GraphWeights, graph_form: str, shape: InputShape) -> None:
        super().__init__()
        self.shape = shape
        self.einsum = graph_form == "einsum"
        scales, hidden, self.channels = folded.weights.shape
        self.width, self.num_joints = scales * self.channels, folded.adjacency.shape[-1]
        self.adjacency = as_parameter(folded.adjacency)
        self.conv = nn.Conv2d(self.width, hidden, 1)
        weight = folded.weights.permute(1, 0, 2).reshape(hidden, self.width, 1, 1)
        self.conv.weight = as_parameter(weight)
        self.conv.bias = as_parameter(folded.bias[:, 0])

    def products(self, x: Tensor) -> Tensor:
        """(N, C, T, U) -> (N, K, C, T, U), or (N, K, C * T, U)."""
        if self.einsum:
            return torch.einsum("nctv,kvu->nkctu", x, self.adjacency)
        if self.shape.static("T"):
            rows = x.reshape(-1, 1, self.channels * self.shape.frames, self.num_joints)
            return torch.matmul(rows, self.adjacency)
        return torch.matmul(x.unsqueeze(1), self.adjacency.unsqueeze(1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, U) -> (N, C', T, U)."""
        y, shape = self.products(x), self.shape
        if shape.static("T"):
            y = y.reshape(-1, self.width, shape.frames, self.num_joints)
        elif shape.static("N") and shape.static("M"):
            y = y.reshape(shape.batch * shape.persons, self.width, -1, self.num_joints)
        else:
            y = y.reshape(x.shape[0], self.width, x.shape[2], self.num_joints)
        return torch.relu(self.conv(y))


def scales_unit(folded: GraphWeights, graph_form: str, shape: InputShape) -> nn.Module:
    """A multi-scale graph convolution in one of the graph forms; all put the joints first."""
    if graph_form == "aggregate":
        return graph_unit(folded, graph_form, shape)
    return JointsFirst(folded, graph_form, shape)


class ChannelsFirst(nn.Module):
    """1x1 convolution of the frames, then their windows, then one product with all A_k.

    Windows that overlap hold each frame several times, and the convolution here sees it once.  The
    margin of the convolution is the margin of the windows: it has no bias, so both are zero.
    """

    windows: Tensor

    def __init__(self, folded: GraphWeights, window: int, stride: int, shape: InputShape) -> None:
        super().__init__()
        scales, self.hidden, channels = folded.weights.shape
        self.num_joints = folded.adjacency.shape[-1] // window
        self.padded = shape.frames + window - 1
        self.length = window * scales * self.num_joints
        self.scales = scales
        self.conv = nn.Conv2d(
            channels, scales * self.hidden, 1, padding=((window - 1) // 2, 0), bias=False
        )
        self.conv.weight = as_parameter(folded.weights.reshape(-1, channels, 1, 1))
        starts = torch.arange(0, shape.frames, stride)
        self.register_buffer("windows", starts[:, None] + torch.arange(window))
        by_frame = folded.adjacency.reshape(scales, window, self.num_joints, -1).transpose(0, 1)
        self.adjacency = as_parameter(by_frame.reshape(self.length, -1))
        self.bias = as_parameter(folded.bias[None, :, None, :1])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T', w V)."""
        y = self.conv(x).reshape(-1, self.scales, self.hidden, self.padded, self.num_joints)
        y = y.permute(0, 2, 3, 1, 4)[:, :, self.windows]
        y = y.reshape(-1, self.hidden, len(self.windows), self.length)
        return torch.relu(torch.matmul(y, self.adjacency) + self.bias)


class Unfold(nn.Module):
    """(N, C, T, V) -> (N, C, T', w V): the windows, without im2col."""

    def __init__(self, channels: int, window: int, stride: int) -> None:
        super().__init__()
        self.window, self.stride = window, stride
        # A convolution with ones pads in one node; the exporter writes eight for a Pad.
        self.pad = nn.Conv2d(
            channels, channels, 1, padding=((window - 1) // 2, 0), groups=channels, bias=False
        )
        self.pad.weight = as_parameter(torch.ones_like(self.pad.weight))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C, T', w V)."""
        x = self.pad(x)
        # Ends are counted from the end, so that no slice asks for the length.
        ends = [last or None for last in range(1 - self.window, 1)]
        return torch.cat([x[:, :, j : ends[j] : self.stride] for j in range(self.window)], dim=3)


class DeployWindow(nn.Module):
    """One G3D path.

    Args:
        shape: holds T of the stage's input; widest: the window that the stage unfolds, 0 where this
            path takes the frames themselves.
    """

    def __init__(
        self, path: WindowGraphConv, graph_form: str, shape: InputShape, widest: int
    ) -> None:
        super().__init__()
        folded = folded_scales(path.graph)
        joints = folded.adjacency.shape[-1] // path.window
        self.unfolded = widest > 0
        if self.unfolded:
            margin = (widest - path.window) // 2 * joints
            self.inner = slice(margin, -margin or None)
            after = replace(shape, frames=-(-shape.frames // path.stride))
            self.graph = scales_unit(folded, graph_form, after)
        else:
            self.graph = ChannelsFirst(folded, path.window, path.stride, shape)
        self.collapse = folded_collapse(path, joints)

    def forward(self, x: Tensor, unfolded: Tensor | None) -> Tensor:
        """(N, C, T, V) and its windows (N, C, T', w V) -> (N, C', T', V)."""
        if self.unfolded:
            assert unfolded is not None
            x = unfolded[..., self.inner] if self.inner.start else unfolded
        out: Tensor = self.collapse(self.graph(x))
        return out


class DeployTemporal(nn.Module):
    """TC with its batch normalisations folded in."""

    def __init__(self, temporal: ResidualTemporalConv) -> None:
        super().__init__()
        self.spec = temporal.spec
        self.branches = nn.ModuleList(
            DeployBranch(branch)  # type: ignore[arg-type]
            for branch in temporal.branches
        )
        if self.spec.residual == "conv":
            shortcut = temporal.residual
            self.shortcut = folded_like(shortcut.conv, fold_conv(shortcut.conv, shortcut.bn))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T', V)."""
        y = torch.cat([branch(x) for branch in self.branches], dim=1)
        if self.spec.residual != "none":
            y = y + (self.shortcut(x) if self.spec.residual == "conv" else x)
        return torch.relu(y) if self.spec.relu else y


class DeployStage(nn.Module):
    """A stage; `shape` holds T of its input."""

    def __init__(self, stage: Stage, graph_form: str, shape: InputShape) -> None:
        super().__init__()
        spec = stage.spec
        self.graph = scales_unit(folded_scales(stage.graph), graph_form, shape)
        self.temporal = nn.ModuleList(map(DeployTemporal, (*stage.temporal, stage.after)))
        joints = int(stage.graph.A.shape[-1])
        free = graph_form != "einsum" and shape.static("T")
        direct = [free and channels_first(spec, w, joints, shape.frames) for w in spec.windows]
        unfolded = [w.window for w, d in zip(spec.windows, direct, strict=True) if not d]
        widest = max(unfolded, default=0)
        if widest:
            self.unfold = Unfold(spec.in_channels, widest, spec.stride)
        self.windows = nn.ModuleList(
            DeployWindow(path, graph_form, shape, 0 if d else widest)  # type: ignore[arg-type]
            for path, d in zip(stage.windows, direct, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T', V)."""
        first, second, after = self.temporal
        y = second(first(self.graph(x)))
        unfolded = self.unfold(x) if hasattr(self, "unfold") else None
        for window in self.windows:
            y = y + window(x, unfolded)
        out: Tensor = after(torch.relu(y))
        return out


class MsG3dPlan:
    """How stages become deploy stages."""

    def __init__(self, graph_form: str) -> None:
        self.graph_form = graph_form

    def folds_input(self, first: nn.Module) -> bool:
        """No: the margin of the windows is zero behind data_bn, not before it."""
        del first
        return False

    def block(
        self, block: nn.Module, shape: InputShape, affine: tuple[Tensor, Tensor] | None
    ) -> nn.Module:
        """See DeployPlan.block."""
        assert isinstance(block, Stage)
        assert affine is None
        return DeployStage(block, self.graph_form, shape)


def window_macs(
    stage: StageSpec, window: WindowSpec, num_joints: int, frames: int
) -> tuple[int, int]:
    """MACs of one space-time graph convolution: (joints first, channels first)."""
    ci, k, h, w = stage.in_channels, window.scales, window.hidden, window.window
    after, joints = -(-frames // stage.stride), window.window * num_joints
    unfolded = k * ci * after * joints * (joints + h)
    direct = k * h * (ci * (frames + w - 1) * num_joints + after * joints * joints)
    return unfolded, direct


def channels_first(stage: StageSpec, window: WindowSpec, num_joints: int, frames: int) -> bool:
    """Whether that order is worth its transpose and its larger windows."""
    unfolded, direct = window_macs(stage, window, num_joints, frames)
    return direct < WORTH * unfolded


def _temporal_macs(spec: TemporalSpec, frames: int, after: int) -> int:
    """MACs of one joint, from `frames` to `after`."""
    total = spec.in_channels * spec.out_channels * after if spec.residual == "conv" else 0
    for branch in spec.branches:
        entry = after if branch.kind == "1x1" else frames
        total += spec.in_channels * branch.channels * entry
        if branch.kind == "conv":
            total += branch.channels**2 * branch.kernel * after
    return total


def _stage_macs(stage: StageSpec, num_joints: int, frames: int, *, aggregate: bool) -> int:
    after = -(-frames // stage.stride)
    wide = stage.scales * stage.in_channels
    total = wide * frames * num_joints * (num_joints + stage.hidden)
    for window in stage.windows:
        unfolded, direct = window_macs(stage, window, num_joints, frames)
        worth = aggregate and channels_first(stage, window, num_joints, frames)
        total += direct if worth else unfolded
        total += window.hidden * stage.out_channels * window.window * after * num_joints
    first, second = stage.temporal
    per_joint = _temporal_macs(first, frames, after) + _temporal_macs(second, after, after)
    return total + num_joints * (per_joint + _temporal_macs(stage.after, after, after))


class MsG3d:
    """Disentangled multi-scale graphs over space and space-time."""

    title = "MS-G3D (arXiv 2003.14111)"
    graph_forms = ("aggregate", "einsum", "matmul")

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """See Family.reference."""
        return Network(spec, (Stage(stage, spec.num_joints) for stage in spec.blocks))

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """See Family.deploy."""
        assert isinstance(reference, Network)
        return DeployNetwork(reference, MsG3dPlan(graph_form), shape).eval()

    def macs(self, spec: NetworkSpec, frames: int, persons: int, *, aggregate: bool = False) -> int:
        """See Family.macs."""
        total = 0
        for stage in spec.blocks:
            total += _stage_macs(stage, spec.num_joints, frames, aggregate=aggregate)
            frames = -(-frames // stage.stride)
        head: int = spec.blocks[-1].out_channels * spec.num_classes
        return persons * total + head


FAMILY = MsG3d()
