"""Reference form of the parts that families share: obvious, slow, and the definition of truth.

The formulas are those of the papers (ST-GCN, arXiv 1801.07455; ST-GCN++, arXiv 2205.09443); no
operation is folded, reordered or done in place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stgcn_deploy.models.spec import BlockSpec, BranchSpec

__all__ = ["Block", "GraphConv", "InputNorm", "MultiScaleTemporalConv", "Shortcut", "TemporalConv"]


class InputNorm(nn.Module):
    """data_bn: batch normalisation of (N, M, V, C, T) over each (V, C), or each (M, V, C)."""

    def __init__(self, num_features: int, *, per_person: bool) -> None:
        super().__init__()
        self.per_person = per_person
        self.bn = nn.BatchNorm1d(num_features)

    def forward(self, x: Tensor) -> Tensor:
        """(N, M, T, V, C) -> (N * M, C, T, V)."""
        n, m, t, v, c = x.shape
        x = x.permute(0, 1, 3, 4, 2)
        x = x.reshape(n, m * v * c, t) if self.per_person else x.reshape(n * m, v * c, t)
        x = self.bn(x).reshape(n, m, v, c, t)
        return x.permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)


class Shortcut(nn.Module):
    """1x1 convolution with stride along T, then batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, stride=(stride, 1))
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T', V)."""
        out: Tensor = self.bn(self.conv(x))
        return out


class GraphConv(nn.Module):
    """ReLU(BN(sum_k W_k x A_k) + residual): the spatial half of a block.

    With `conv_first` the channels of the 1x1 convolution are k * C' + c; without, its input
    channels are k * C + c.
    """

    A: Tensor

    def __init__(self, spec: BlockSpec, num_subsets: int, num_joints: int) -> None:
        super().__init__()
        self.spec = spec
        k, ci, co = num_subsets, spec.in_channels, spec.out_channels
        self.register_buffer("A", torch.zeros(k, num_joints, num_joints))
        if spec.adjacency != "plain":
            self.PA = nn.Parameter(torch.ones(k, num_joints, num_joints))
        self.conv = nn.Conv2d(ci, k * co, 1) if spec.conv_first else nn.Conv2d(k * ci, co, 1)
        self.bn = nn.BatchNorm2d(co)
        if spec.graph_residual == "conv":
            self.down = Shortcut(ci, co)

    def adjacency(self) -> Tensor:
        """The effective adjacency (K, V, V)."""
        if self.spec.adjacency == "importance":
            return self.A * self.PA
        if self.spec.adjacency == "offset":
            return self.A + self.PA
        return self.A

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        n, _, t, v = x.shape
        adjacency = self.adjacency()
        k = adjacency.shape[0]
        if self.spec.conv_first:
            y = self.conv(x).reshape(n, k, -1, t, v)
            y = torch.einsum("nkctv,kvw->nctw", y, adjacency).contiguous()
        else:
            y = torch.einsum("nctv,kvw->nkctw", x, adjacency).reshape(n, -1, t, v)
            y = self.conv(y)
        y = self.bn(y)
        if self.spec.graph_residual == "conv":
            y = y + self.down(x)
        elif self.spec.graph_residual == "identity":
            y = y + x
        return torch.relu(y)


class TemporalConv(nn.Module):
    """BN(convolution along T): the temporal half of a plain block."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        co = spec.out_channels
        self.conv = nn.Conv2d(
            co, co, (spec.kernel, 1), stride=(spec.stride, 1), padding=((spec.kernel - 1) // 2, 0)
        )
        self.bn = nn.BatchNorm2d(co)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C, T', V)."""
        out: Tensor = self.bn(self.conv(x))
        return out


class Branch(nn.Module):
    """One branch of a multi-scale temporal convolution; `after` is there with `spec.after_bn`."""

    def __init__(self, spec: BranchSpec, in_channels: int, stride: int) -> None:
        super().__init__()
        self.spec = spec
        if spec.after_bn:
            self.after = nn.BatchNorm2d(spec.channels)
        if spec.kind == "1x1":
            self.entry = nn.Conv2d(in_channels, spec.channels, 1, stride=(stride, 1))
            return
        self.entry = nn.Conv2d(in_channels, spec.channels, 1)
        self.bn = nn.BatchNorm2d(spec.channels)
        padding = (spec.kernel + (spec.kernel - 1) * (spec.dilation - 1) - 1) // 2
        if spec.kind == "max":
            self.pool = nn.MaxPool2d((spec.kernel, 1), stride=(stride, 1), padding=(padding, 0))
        else:
            self.conv = nn.Conv2d(
                spec.channels,
                spec.channels,
                (spec.kernel, 1),
                stride=(stride, 1),
                padding=(padding, 0),
                dilation=(spec.dilation, 1),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, channels, T', V)."""
        x = self.entry(x)
        if self.spec.kind != "1x1":
            x = torch.relu(self.bn(x))
            x = self.pool(x) if self.spec.kind == "max" else self.conv(x)
        return self.after(x) if self.spec.after_bn else x


class MultiScaleTemporalConv(nn.Module):
    """Concatenated branches, and what joins them: for "conv", BN(1x1(ReLU(BN(.)))) as in ST-GCN++."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.join_kind = spec.join
        co = spec.out_channels
        self.branches = nn.ModuleList(Branch(branch, co, spec.stride) for branch in spec.branches)
        if spec.join != "conv":
            return
        joined = sum(branch.channels for branch in spec.branches)
        self.join_bn = nn.BatchNorm2d(joined)
        self.join = nn.Conv2d(joined, co, 1)
        self.bn = nn.BatchNorm2d(co)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C, T', V)."""
        joined = torch.cat([branch(x) for branch in self.branches], dim=1)
        if self.join_kind != "conv":
            return torch.relu(joined) if self.join_kind == "relu" else joined
        out: Tensor = self.bn(self.join(torch.relu(self.join_bn(joined))))
        return out


class Block(nn.Module):
    """ReLU(temporal(graph(x)) + residual(x)).

    Args:
        spec: says which residual; its other fields are the business of the two halves.
        gcn: (N, C, T, V) -> (N, C', T, V); tcn: (N, C', T, V) -> (N, C', T', V).
    """

    def __init__(self, spec: BlockSpec, gcn: nn.Module, tcn: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.gcn = gcn
        self.tcn = tcn
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
