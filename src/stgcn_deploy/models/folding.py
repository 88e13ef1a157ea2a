"""Exact algebra of the deploy form, in float64: what can be multiplied once is multiplied once.

Batch normalisation is y = s x + t with s = weight / sqrt(var + eps), t = bias - s mean.

A graph convolution followed by BN, with an input that is itself x' = a x + d for each (c, v):

    y[o,w] = s_o sum_k sum_c W_k[o,c] sum_v (a[c,v] x[c,v] + d[c,v]) A_k[v,w]  +  ...
           = sum_k sum_c (s_o W_k[o,c]) sum_v x[c,v] (a[c,v] A_k[v,w])  +  bias[o,w]

The bias depends on the target joint w, because b_k passes through the graph (sum_v A_k[v,w] is not
the same for every w): a plain convolution bias would be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from stgcn_deploy.models.blocks import (
    Branch,
    GraphConv,
    InputNorm,
    MultiScaleTemporalConv,
    Shortcut,
)

__all__ = [
    "ConvWeights",
    "GraphWeights",
    "as_parameter",
    "bn_affine",
    "branch_affine",
    "fold_conv",
    "fold_graph_conv",
    "input_affine",
    "folded_like",
    "join_affine",
]


@dataclass(frozen=True)
class ConvWeights:
    """A convolution with everything after it folded in; float64."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class GraphWeights:
    """A graph convolution with BN, bias and shortcut folded in; float64.

    Attributes:
        weights: (K, Co, Ci), scaled by BN.
        adjacency: (K, V, V).
        bias: (Co, V), by target joint.
        shortcut: (Co, Ci) of a convolutional shortcut, or None.
        identity: whether x itself is added before the ReLU.
        input_scale: (Ci, V) still to be applied to x, or None.
    """

    weights: Tensor
    adjacency: Tensor
    bias: Tensor
    shortcut: Tensor | None
    identity: bool
    input_scale: Tensor | None = None

    def with_input(self, scale: Tensor, shift: Tensor) -> GraphWeights:
        """The same unit for the raw x of x' = scale x + shift, both (Ci, V)."""
        moved = torch.einsum("koc,cv,kvw->ow", self.weights, shift, self.adjacency)
        if self.shortcut is not None:
            moved = moved + self.shortcut @ shift
        return replace(self, bias=self.bias + moved, input_scale=scale)


def bn_affine(bn: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(s, t) of an evaluated batch normalisation, float64."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    scale = bn.weight.detach().double() / torch.sqrt(bn.running_var.double() + bn.eps)
    return scale, bn.bias.detach().double() - scale * bn.running_mean.double()


def fold_conv(conv: nn.Conv2d, bn: nn.BatchNorm2d | None = None) -> ConvWeights:
    """conv, then bn."""
    assert conv.bias is not None
    weight, bias = conv.weight.detach().double(), conv.bias.detach().double()
    if bn is None:
        return ConvWeights(weight, bias)
    scale, shift = bn_affine(bn)
    return ConvWeights(weight * scale[:, None, None, None], bias * scale + shift)


def fold_graph_conv(gcn: GraphConv) -> GraphWeights:
    """The reference unit as one sum over subsets."""
    adjacency = gcn.adjacency().detach().double()
    k, v, _ = adjacency.shape
    co, ci = gcn.spec.out_channels, gcn.spec.in_channels
    weight = gcn.conv.weight.detach().double()
    assert gcn.conv.bias is not None
    bias = gcn.conv.bias.detach().double()
    if gcn.spec.conv_first:
        weights = weight.reshape(k, co, ci)
        joint_bias = bias.reshape(k, co).T @ adjacency.sum(dim=1)
    else:
        weights = weight.reshape(co, k, ci).permute(1, 0, 2)
        joint_bias = bias[:, None].expand(co, v)
    scale, shift = bn_affine(gcn.bn)
    joint_bias = joint_bias * scale[:, None] + shift[:, None]
    shortcut: Tensor | None = None
    if gcn.spec.graph_residual == "conv":
        down: Shortcut = gcn.down
        folded = fold_conv(down.conv, down.bn)
        shortcut = folded.weight[:, :, 0, 0]
        joint_bias = joint_bias + folded.bias[:, None]
    return GraphWeights(
        weights=weights * scale[None, :, None],
        adjacency=adjacency,
        bias=joint_bias,
        shortcut=shortcut,
        identity=gcn.spec.graph_residual == "identity",
    )


def input_affine(norm: InputNorm, num_joints: int, num_persons: int) -> tuple[Tensor, Tensor]:
    """(scale, shift) of data_bn as (M, C, V), with M = 1 when persons share it; float64.

    The features of data_bn are numbered v * C + c, or (m * V + v) * C + c.
    """
    persons = num_persons if norm.per_person else 1
    scale, shift = (
        flat.reshape(persons, num_joints, -1).permute(0, 2, 1) for flat in bn_affine(norm.bn)
    )
    return scale, shift


def branch_affine(branch: Branch) -> tuple[Tensor, Tensor]:
    """(s, t) of the BN at the end of a branch; (1, 0) where there is none."""
    if branch.spec.after_bn:
        return bn_affine(branch.after)
    one = torch.ones(branch.spec.channels, dtype=torch.float64)
    return one, torch.zeros_like(one)


def join_affine(tcn: MultiScaleTemporalConv) -> list[tuple[Tensor, Tensor]]:
    """All BN behind each branch, its own and that of the join, as one (s, t) for each branch."""
    branches: list[Branch] = list(tcn.branches)  # type: ignore[arg-type]
    own = [branch_affine(branch) for branch in branches]
    if tcn.join_kind != "conv":
        return own
    sizes = [branch.spec.channels for branch in branches]
    scale, shift = (torch.split(flat, sizes) for flat in bn_affine(tcn.join_bn))
    return [(s * a, s * b + t) for (a, b), s, t in zip(own, scale, shift, strict=True)]


def as_parameter(value: Tensor) -> nn.Parameter:
    """A float64 constant as the float32 one of a graph."""
    return nn.Parameter(value.to(torch.float32).contiguous(), requires_grad=False)


def folded_like(conv: nn.Conv2d, folded: ConvWeights) -> nn.Conv2d:
    """A convolution like `conv` (stride, padding, dilation) with other weights."""
    fresh = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        stride=conv.stride,  # type: ignore[arg-type]
        padding=conv.padding,  # type: ignore[arg-type]
        dilation=conv.dilation,  # type: ignore[arg-type]
    )
    fresh.weight = as_parameter(folded.weight)
    fresh.bias = as_parameter(folded.bias)
    return fresh
