"""2s-AGCN: a graph that depends on the clip (Shi et al., CVPR 2019, arXiv 1805.07694).

For each subset k, with two 1x1 embeddings a_k and b_k of C' channels over T frames:

    s_k[v,w] = sum_{c,t} a_k[c,t,v] b_k[c,t,w] / (C' T)

    AGCN     graph_k = A_k + PA_k + softmax over v of s_k[v,w]
    AAGCN    graph_k = A_k + alpha tanh(s_k[v,w])      (A is trained; arXiv 1912.06971)

    y = ReLU(BN(sum_k W_k x graph_k) + shortcut(x))

T is the number of frames where the unit stands: half as many behind a stride of 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import torch
from torch import Tensor, nn

from stgcn_deploy.models.blocks import Block, Shortcut, TemporalConv
from stgcn_deploy.models.deploy import DeployBlock, DeployNetwork, temporal_unit
from stgcn_deploy.models.folding import (
    ConvWeights,
    GraphWeights,
    as_parameter,
    bn_affine,
    fold_conv,
)
from stgcn_deploy.models.graphforms import graph_unit
from stgcn_deploy.models.network import Network
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec
from stgcn_deploy.skeleton.adjacency import build
from stgcn_deploy.skeleton.layout import Layout

__all__ = [
    "FAMILY",
    "AdaptiveGraphConv",
    "AgcnBlockSpec",
    "AgcnFamily",
    "AgcnPlan",
    "Attention",
    "NominalGraph",
    "graph_macs",
]

Attention = Literal["softmax", "tanh", "none"]


@dataclass(frozen=True)
class NominalGraph:
    """A graph that a codebase makes at run time and does not store in its files."""

    layout: Layout
    edge_set: str
    strategy: str = "inward_outward"

    def adjacency(self) -> Tensor:
        """(K, V, V)."""
        found = build(self.layout, self.strategy, edge_set=self.edge_set)
        return torch.from_numpy(found).float()


@dataclass(frozen=True)
class AgcnBlockSpec(BlockSpec):
    """One block; of BlockSpec's fields, conv_first and branches play no part.

    Attributes:
        adjacency: "offset" where PA is added to A.
        attention: what makes a graph of the scores; "none" leaves the fixed one alone.
        embedding: C', the channels of a_k and b_k.
    """

    attention: Attention = "softmax"
    embedding: int = 16


class AdaptiveGraphConv(nn.Module):
    """The spatial half of a block, as the module's formulas have it.

    Args:
        graph: A where files do not store it; None makes it a tensor of the network.
    """

    A: Tensor

    def __init__(
        self, spec: AgcnBlockSpec, num_subsets: int, num_joints: int, graph: Tensor | None = None
    ) -> None:
        super().__init__()
        self.spec = spec
        ci, co, k = spec.in_channels, spec.out_channels, num_subsets
        zeros = torch.zeros(k, num_joints, num_joints)
        self.register_buffer("A", zeros if graph is None else graph, persistent=graph is None)
        if spec.adjacency == "offset":
            self.PA = nn.Parameter(zeros.clone())
        if spec.attention == "tanh":
            self.alpha = nn.Parameter(torch.zeros(1))
        if spec.attention != "none":
            self.conv_a = nn.ModuleList(nn.Conv2d(ci, spec.embedding, 1) for _ in range(k))
            self.conv_b = nn.ModuleList(nn.Conv2d(ci, spec.embedding, 1) for _ in range(k))
        self.conv_d = nn.ModuleList(nn.Conv2d(ci, co, 1) for _ in range(k))
        self.bn = nn.BatchNorm2d(co)
        if spec.graph_residual == "conv":
            self.down = Shortcut(ci, co)

    def fixed_graph(self) -> Tensor:
        """The part that does not depend on the clip, (K, V, V)."""
        return self.A + self.PA if self.spec.adjacency == "offset" else self.A

    def graph(self, x: Tensor, k: int) -> Tensor:
        """(N, C, T, V) -> the graph of subset k, (N, V, V), or (1, V, V) without attention."""
        fixed = self.fixed_graph()[k].unsqueeze(0)
        if self.spec.attention == "none":
            return fixed
        n, _, t, v = x.shape
        rows = self.spec.embedding * t
        a = self.conv_a[k](x).reshape(n, rows, v).transpose(1, 2)
        scores = torch.matmul(a, self.conv_b[k](x).reshape(n, rows, v)) / rows
        if self.spec.attention == "softmax":
            return fixed + torch.softmax(scores, dim=1)
        return fixed + self.alpha * torch.tanh(scores)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        n, c, t, v = x.shape
        flat = x.reshape(n, c * t, v)
        mixed = [torch.matmul(flat, self.graph(x, k)) for k in range(len(self.conv_d))]
        parts = [d(z.reshape(n, c, t, v)) for d, z in zip(self.conv_d, mixed, strict=True)]
        y = self.bn(reduce(torch.add, parts))
        if self.spec.graph_residual == "conv":
            y = y + self.down(x)
        elif self.spec.graph_residual == "identity":
            y = y + x
        return torch.relu(y)


@dataclass(frozen=True)
class AdaptiveWeights:
    """An adaptive graph convolution with BN folded in; float64.

    Attributes:
        a, b: all embeddings, (K * C', Ci, 1, 1), each scaled by 1 / sqrt(C' T): the product then
            is the mean, and no operand of it leaves the range of FP16.
        weights: (K, Co, Ci); bias: (Co).
        fixed: (K, V, V).
        shortcut: a convolutional shortcut, or None.
    """

    a: ConvWeights
    b: ConvWeights
    weights: Tensor
    bias: Tensor
    fixed: Tensor
    alpha: Tensor | None
    shortcut: ConvWeights | None


def _stacked(convs: nn.ModuleList, scale: float) -> ConvWeights:
    folded = [fold_conv(conv) for conv in convs]  # type: ignore[arg-type]
    weight, bias = torch.cat([f.weight for f in folded]), torch.cat([f.bias for f in folded])
    return ConvWeights(weight * scale, bias * scale)


def _folded_sum(gcn: AdaptiveGraphConv) -> tuple[Tensor, Tensor]:
    """The convolutions behind the graph with BN, weights (K, Co, Ci) and bias (Co)."""
    folded = [fold_conv(conv) for conv in gcn.conv_d]  # type: ignore[arg-type]
    scale, shift = bn_affine(gcn.bn)
    weights = torch.stack([f.weight[:, :, 0, 0] for f in folded]) * scale[None, :, None]
    bias = torch.stack([f.bias for f in folded]).sum(dim=0) * scale + shift
    return weights, bias


def fold_adaptive(gcn: AdaptiveGraphConv, frames: int) -> AdaptiveWeights:
    """The unit as it stands behind `frames` frames."""
    weights, bias = _folded_sum(gcn)
    shortcut: ConvWeights | None = None
    if gcn.spec.graph_residual == "conv":
        shortcut = fold_conv(gcn.down.conv, gcn.down.bn)
    scale = 1 / math.sqrt(gcn.spec.embedding * frames)
    return AdaptiveWeights(
        a=_stacked(gcn.conv_a, scale),
        b=_stacked(gcn.conv_b, scale),
        weights=weights,
        bias=bias,
        fixed=gcn.fixed_graph().detach().double(),
        alpha=gcn.alpha.detach().double() if gcn.spec.attention == "tanh" else None,
        shortcut=shortcut,
    )


def fold_fixed(gcn: AdaptiveGraphConv) -> GraphWeights:
    """A unit without attention, which is one of ST-GCN's with the product first."""
    weights, bias = _folded_sum(gcn)
    joint_bias = bias[:, None].expand(-1, gcn.A.shape[-1])
    shortcut: Tensor | None = None
    if gcn.spec.graph_residual == "conv":
        folded = fold_conv(gcn.down.conv, gcn.down.bn)
        shortcut = folded.weight[:, :, 0, 0]
        joint_bias = joint_bias + folded.bias[:, None]
    return GraphWeights(
        weights=weights,
        adjacency=gcn.fixed_graph().detach().double(),
        bias=joint_bias,
        shortcut=shortcut,
        identity=gcn.spec.graph_residual == "identity",
    )


def _conv(folded: ConvWeights, **options: object) -> nn.Conv2d:
    out_channels, in_channels, height, width = folded.weight.shape
    conv = nn.Conv2d(in_channels, out_channels, (height, width), **options)  # type: ignore[arg-type]
    conv.weight, conv.bias = as_parameter(folded.weight), as_parameter(folded.bias)
    return conv


class AdaptiveUnit(nn.Module):
    """What the forms share: embeddings, scores, graph, shortcut and ReLU.

    The graph is kept transposed, (N, K, W, V) with the source joint last: the softmax then is over
    the last axis, and only products that take a transposed operand are left.
    """

    def __init__(self, folded: AdaptiveWeights, spec: AgcnBlockSpec, shape: InputShape) -> None:
        super().__init__()
        self.spec, self.shape = spec, shape
        self.one_open = not shape.static("T") and shape.static("N") and shape.static("M")
        self.num_subsets, self.num_joints, _ = folded.fixed.shape
        self.conv_a, self.conv_b = _conv(folded.a), _conv(folded.b)
        self.fixed = as_parameter(folded.fixed.transpose(1, 2))
        if folded.alpha is not None:
            self.alpha = as_parameter(folded.alpha)
        if folded.shortcut is not None:
            self.shortcut = _conv(folded.shortcut)

    def sizes(self, like: Tensor) -> tuple[int, int]:
        """N and T for a reshape, at most one of them left to it; `like` is asked if both are open.

        It is a convolution's output: behind a reshape the tracer takes sizes for constants.
        """
        if self.shape.static("T"):
            return -1, self.shape.frames
        if self.one_open:
            return self.shape.batch * self.shape.persons, -1
        return like.shape[0], like.shape[2]

    def rows(self, y: Tensor, sizes: tuple[int, int], subsets: int, channels: int) -> Tensor:
        """(N, subsets * channels, T, V) -> (N, subsets, channels * T, V)."""
        flat = -1 if self.one_open else channels * sizes[1]
        return y.reshape(sizes[0], subsets, flat, self.num_joints)

    def graph(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(N, C, T, V) -> the graph (N, K, W, V), and sizes."""
        a, b = self.conv_a(x), self.conv_b(x)
        sizes = self.sizes(a)
        a, b = (self.rows(y, sizes, self.num_subsets, self.spec.embedding) for y in (a, b))
        scores = torch.matmul(b.transpose(2, 3), a)
        if not self.shape.static("T"):
            # The weights are scaled for the traced T; the mean is over the frames that are there.
            scores = scores * (self.shape.frames / x.shape[2])
        if self.spec.attention == "softmax":
            return torch.softmax(scores, dim=-1) + self.fixed, sizes
        return torch.tanh(scores) * self.alpha + self.fixed, sizes

    def product(self, x: Tensor, graph: Tensor, sizes: tuple[int, int]) -> Tensor:
        """The sum over subsets, (N, C, T, V) -> (N, C', T, V)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        y = self.product(x, *self.graph(x))
        if self.spec.graph_residual == "conv":
            y = y + self.shortcut(x)
        elif self.spec.graph_residual == "identity":
            y = y + x
        return torch.relu(y)


class AggregateUnit(AdaptiveUnit):
    """One product with all subsets side by side, then kernel (1, K) with dilation (1, V)."""

    def __init__(self, folded: AdaptiveWeights, spec: AgcnBlockSpec, shape: InputShape) -> None:
        super().__init__(folded, spec, shape)
        weight = folded.weights.permute(1, 2, 0)[:, :, None, :]
        self.conv = _conv(ConvWeights(weight, folded.bias), dilation=(1, self.num_joints))

    def product(self, x: Tensor, graph: Tensor, sizes: tuple[int, int]) -> Tensor:
        """See AdaptiveUnit.product."""
        channels, width = self.spec.in_channels, self.num_subsets * self.num_joints
        side = graph.reshape(-1, 1, width, self.num_joints).transpose(2, 3)
        z = torch.matmul(self.rows(x, sizes, 1, channels), side)
        out: Tensor = self.conv(z.reshape(sizes[0], channels, sizes[1], width))
        return out


class MatMulUnit(AdaptiveUnit):
    """One product for each subset, then a 1x1 convolution of K * C channels."""

    def __init__(self, folded: AdaptiveWeights, spec: AgcnBlockSpec, shape: InputShape) -> None:
        super().__init__(folded, spec, shape)
        weight = folded.weights.permute(1, 0, 2).flatten(1)[:, :, None, None]
        self.conv = _conv(ConvWeights(weight, folded.bias))

    def mix(self, x: Tensor, graph: Tensor, sizes: tuple[int, int]) -> Tensor:
        """(N, C, T, V) -> (N, K * C, T, V), whatever the axes between N and V are."""
        return torch.matmul(self.rows(x, sizes, 1, self.spec.in_channels), graph.transpose(2, 3))

    def product(self, x: Tensor, graph: Tensor, sizes: tuple[int, int]) -> Tensor:
        """See AdaptiveUnit.product."""
        channels = self.num_subsets * self.spec.in_channels
        z = self.mix(x, graph, sizes).reshape(sizes[0], channels, sizes[1], self.num_joints)
        out: Tensor = self.conv(z)
        return out


class EinsumUnit(MatMulUnit):
    """The same with Einsum."""

    def mix(self, x: Tensor, graph: Tensor, sizes: tuple[int, int]) -> Tensor:
        """See MatMulUnit.mix."""
        del sizes
        return torch.einsum("nctv,nkwv->nkctw", x, graph)


UNITS: dict[str, type[AggregateUnit] | type[MatMulUnit]] = {
    "aggregate": AggregateUnit,
    "einsum": EinsumUnit,
    "matmul": MatMulUnit,
}


class AgcnPlan:
    """Every form is exact; data_bn is folded only where the graph does not depend on the clip."""

    def __init__(self, graph_form: str) -> None:
        self.graph_form = graph_form

    def folds_input(self, first: nn.Module) -> bool:
        """See DeployPlan.folds_input."""
        assert isinstance(first, Block)
        spec = first.spec
        assert isinstance(spec, AgcnBlockSpec)
        plain = spec.residual == "none" and spec.graph_residual != "identity"
        return plain and spec.attention == "none"

    def graph_unit(
        self, gcn: nn.Module, shape: InputShape, affine: tuple[Tensor, Tensor] | None
    ) -> nn.Module:
        """The spatial half."""
        assert isinstance(gcn, AdaptiveGraphConv)
        if gcn.spec.attention != "none":
            assert affine is None
            return UNITS[self.graph_form](fold_adaptive(gcn, shape.frames), gcn.spec, shape)
        folded = fold_fixed(gcn)
        if affine is not None:
            folded = folded.with_input(*affine)
        return graph_unit(folded, self.graph_form, shape)

    def block(
        self, block: nn.Module, shape: InputShape, affine: tuple[Tensor, Tensor] | None
    ) -> nn.Module:
        """See DeployPlan.block."""
        assert isinstance(block, Block)
        return DeployBlock(
            self.graph_unit(block.gcn, shape, affine), temporal_unit(block.tcn), block
        )


def graph_macs(block: AgcnBlockSpec, num_subsets: int, num_joints: int, frames: int) -> int:
    """MACs of the spatial half: embeddings, scores, graph products, 1x1 and shortcut."""
    v, k, ci, co = num_joints, num_subsets, block.in_channels, block.out_channels
    per_joint = k * v * ci + k * ci * co
    if block.attention != "none":
        per_joint += k * block.embedding * (2 * ci + v)
    if block.graph_residual == "conv":
        per_joint += ci * co
    return per_joint * v * frames


class AgcnFamily:
    """Networks of adaptive blocks; AAGCN adds to the spatial half."""

    graph_forms = ("aggregate", "einsum", "matmul")

    def __init__(self, title: str) -> None:
        self.title = title

    def graph_half(
        self, block: AgcnBlockSpec, spec: NetworkSpec, graph: Tensor | None
    ) -> nn.Module:
        """The spatial half of a block."""
        return AdaptiveGraphConv(block, spec.num_subsets, spec.num_joints, graph)

    def plan(self, graph_form: str) -> AgcnPlan:
        """How its blocks are deployed."""
        return AgcnPlan(graph_form)

    def extra_macs(self, block: AgcnBlockSpec, num_joints: int, frames: int) -> int:
        """MACs of what a family adds to the spatial half."""
        del block, num_joints, frames
        return 0

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """See Family.reference."""
        nominal = dict(spec.options).get("graph")
        graph = None if nominal is None else nominal.adjacency()
        return Network(
            spec,
            (
                Block(block, self.graph_half(block, spec, graph), TemporalConv(block))
                for block in spec.blocks
            ),
        )

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """See Family.deploy."""
        assert isinstance(reference, Network)
        return DeployNetwork(reference, self.plan(graph_form), shape).eval()

    def macs(self, spec: NetworkSpec, frames: int, persons: int, *, aggregate: bool = False) -> int:
        """See Family.macs."""
        del aggregate  # networks of this family are trained with the graph product first
        v, total, t = spec.num_joints, 0, frames
        for block in spec.blocks:
            ci, co = block.in_channels, block.out_channels
            after = -(-t // block.stride)
            total += graph_macs(block, spec.num_subsets, v, t) + self.extra_macs(block, v, t)
            total += co * co * block.kernel * after * v
            total += ci * co * after * v if block.residual == "conv" else 0
            t = after
        head: int = spec.blocks[-1].out_channels * spec.num_classes
        return persons * total + head


FAMILY = AgcnFamily("2s-AGCN (arXiv 1805.07694)")
