"""CTR-GCN: a graph refined for each clip and channel (Chen et al., ICCV 2021, arXiv 2107.12213).

For each subset k, with two 1x1 embeddings of R channels averaged over T:

    a = mean over T of conv1(x), b = mean over T of conv2(x)                      (R, V)
    G[c,u,v] = alpha conv4(tanh(a[r,u] - b[r,v]))[c,u,v] + A_k[u,v]
    y = ReLU(BN(sum_k G_k x conv3_k(x)) + shortcut(x)),  then the multi-scale temporal convolution

Two codebases mean different networks by the same names:

    target "row"      y[c,t,u] = sum_v G[c,u,v] x3[c,t,v]    (CTR-GCN)
    target "column"   y[c,t,v] = sum_u G[c,u,v] x3[c,t,u]    (PYSKL), and a ReLU joins the branches

The deploy form is one for both.  Its graphs have a row for each source and a column for each target,
so that the product is a plain one; tanh is odd, so that swapping the joints is a change of sign:

    d[r,v,w] = tanh(target[r,w] - source[r,v])
    G[c,v,w] = sum_r W4[c,r] d[r,v,w] + A[v,w] + b4[c]

A rides along as one more channel of d with weight one: it is added before conv4, to R + 1 channels
instead of C'.  The embeddings are linear, so x is averaged first.  BN goes into conv3 (its scale) and
behind the sum (its shift).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from stgcn_deploy.models.blocks import Block, MultiScaleTemporalConv, Shortcut
from stgcn_deploy.models.deploy import DeployBlock, DeployNetwork, temporal_unit
from stgcn_deploy.models.folding import ConvWeights, as_parameter, bn_affine, fold_conv
from stgcn_deploy.models.network import Network
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec
from stgcn_deploy.models.stgcn import temporal_macs

__all__ = ["FAMILY", "CtrBlockSpec", "RefinedGraphConv", "Target"]

Target = Literal["row", "column"]


@dataclass(frozen=True)
class CtrBlockSpec(BlockSpec):
    """One block; of BlockSpec's fields, conv_first, adjacency and kernel play no part.

    Attributes:
        relation: R, channels of the two embeddings.
        target: which index of G is the joint that receives.
    """

    relation: int = 8
    target: Target = "row"


class Refinement(nn.Module):
    """One subset: the graph that its own A is refined to, and the product with it."""

    def __init__(self, spec: CtrBlockSpec) -> None:
        super().__init__()
        ci, co = spec.in_channels, spec.out_channels
        self.target = spec.target
        self.conv1 = nn.Conv2d(ci, spec.relation, 1)
        self.conv2 = nn.Conv2d(ci, spec.relation, 1)
        self.conv3 = nn.Conv2d(ci, co, 1)
        self.conv4 = nn.Conv2d(spec.relation, co, 1)

    def forward(self, x: Tensor, adjacency: Tensor, alpha: Tensor) -> Tensor:
        """(N, C, T, V), (V, V), (1,) -> (N, C', T, V)."""
        a, b = self.conv1(x).mean(dim=2), self.conv2(x).mean(dim=2)
        difference = torch.tanh(a.unsqueeze(3) - b.unsqueeze(2))
        graph = alpha * self.conv4(difference) + adjacency
        rule = "ncuv,nctv->nctu" if self.target == "row" else "ncuv,nctu->nctv"
        return torch.einsum(rule, graph, self.conv3(x)).contiguous()


class RefinedGraphConv(nn.Module):
    """See the module."""

    def __init__(self, spec: CtrBlockSpec, num_subsets: int, num_joints: int) -> None:
        super().__init__()
        self.spec = spec
        self.A = nn.Parameter(torch.zeros(num_subsets, num_joints, num_joints))
        self.alpha = nn.Parameter(torch.zeros(1))
        self.convs = nn.ModuleList(Refinement(spec) for _ in range(num_subsets))
        self.bn = nn.BatchNorm2d(spec.out_channels)
        if spec.graph_residual == "conv":
            self.down = Shortcut(spec.in_channels, spec.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        y = torch.zeros(())
        for conv, adjacency in zip(self.convs, self.A, strict=True):
            y = y + conv(x, adjacency, self.alpha)
        y = self.bn(y)
        y = y + (self.down(x) if self.spec.graph_residual == "conv" else x)
        return torch.relu(y)


@dataclass(frozen=True)
class RefinedWeights:
    """A refined graph convolution as the module has it for the deploy form; float64.

    Attributes:
        target, source: 1x1 convolutions to K * (R + 1) channels; the last of each subset is zero.
        fixed: (K, R + 1, V, V), A in the last channel of each subset and zero elsewhere.
        refine: a 1x1 convolution R + 1 -> C' for each subset.
        value: a 1x1 convolution C -> C' for each subset, scaled by BN.
        shift: (C',) of BN.
        shortcut: a 1x1 convolution C -> C', or None for the identity.
    """

    target: ConvWeights
    source: ConvWeights
    fixed: Tensor
    refine: tuple[ConvWeights, ...]
    value: tuple[ConvWeights, ...]
    shift: Tensor
    shortcut: ConvWeights | None


def _with_spare_channel(convs: Sequence[nn.Conv2d]) -> ConvWeights:
    """1x1 convolutions side by side, a channel of zeros behind each."""
    weights, biases = [], []
    for folded in map(fold_conv, convs):
        weights += [folded.weight, torch.zeros_like(folded.weight[:1])]
        biases += [folded.bias, torch.zeros_like(folded.bias[:1])]
    return ConvWeights(torch.cat(weights), torch.cat(biases))


def _fold(gcn: RefinedGraphConv) -> RefinedWeights:
    """See RefinedWeights."""
    parts: list[Refinement] = list(gcn.convs)  # type: ignore[arg-type]
    embeddings = [part.conv1 for part in parts], [part.conv2 for part in parts]
    adjacency = gcn.A.detach().double()
    sign = 1.0
    if gcn.spec.target == "row":
        adjacency = adjacency.transpose(1, 2)
    else:
        # tanh(conv1[source] - conv2[target]) = -tanh(conv2[target] - conv1[source])
        embeddings, sign = embeddings[::-1], -1.0
    alpha = gcn.alpha.detach().double()
    scale, shift = bn_affine(gcn.bn)
    refine, value = [], []
    for part in parts:
        last, third = fold_conv(part.conv4), fold_conv(part.conv3)
        one = torch.ones_like(last.weight[:, :1])
        weight = torch.cat([sign * alpha * last.weight, one], dim=1)
        refine.append(ConvWeights(weight, alpha * last.bias))
        value.append(ConvWeights(third.weight * scale[:, None, None, None], third.bias * scale))
    spare = torch.zeros(gcn.spec.relation, *adjacency.shape[1:], dtype=adjacency.dtype)
    shortcut: ConvWeights | None = None
    if gcn.spec.graph_residual == "conv":
        down = fold_conv(gcn.down.conv, gcn.down.bn)
        shortcut = ConvWeights(down.weight, down.bias + shift)
    return RefinedWeights(
        target=_with_spare_channel(embeddings[0]),
        source=_with_spare_channel(embeddings[1]),
        fixed=torch.stack([torch.cat([spare, one[None]]) for one in adjacency]),
        refine=tuple(refine),
        value=tuple(value),
        shift=shift,
        shortcut=shortcut,
    )


def _conv(folded: ConvWeights) -> nn.Conv2d:
    """A 1x1 convolution with given weights."""
    wide, narrow = folded.weight.shape[:2]
    conv = nn.Conv2d(narrow, wide, 1)
    conv.weight = as_parameter(folded.weight)
    conv.bias = as_parameter(folded.bias)
    return conv


class RefinedUnit(nn.Module):
    """The deploy form of RefinedGraphConv; the form says by which operator the joints are mixed.

    One product for each subset: on CPUs faster than a single one, whose operands leave the cache.
    """

    def __init__(self, folded: RefinedWeights, form: str) -> None:
        super().__init__()
        self.einsum = form == "einsum"
        subsets, self.rank, joints = folded.fixed.shape[:3]
        self.rows = (-1, subsets * self.rank, joints, 1)
        self.target, self.source = _conv(folded.target), _conv(folded.source)
        self.fixed = as_parameter(folded.fixed.flatten(0, 1)[None])
        self.refine = nn.ModuleList(_conv(one) for one in folded.refine)
        self.value = nn.ModuleList(_conv(one) for one in folded.value)
        if folded.shortcut is not None:
            self.shortcut = _conv(folded.shortcut)
        else:
            self.shift = as_parameter(folded.shift[None, :, None, None])

    def relations(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> d with A in every last channel, (N, K * (R + 1), V source, V target)."""
        pooled = x.mean(dim=2, keepdim=True)
        difference = self.target(pooled) - self.source(pooled).reshape(self.rows)
        return torch.tanh(difference) + self.fixed

    def mix(self, value: Tensor, graph: Tensor) -> Tensor:
        """(N, C, T, V), (N, C, V, V) -> (N, C, T, V)."""
        if self.einsum:
            return torch.einsum("nctv,ncvw->nctw", value, graph)
        return torch.matmul(value, graph)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        parts = torch.split(self.relations(x), self.rank, dim=1)
        subsets = zip(self.value, self.refine, parts, strict=True)
        products = [self.mix(value(x), refine(part)) for value, refine, part in subsets]
        y = products[0]
        for one in products[1:]:
            y = y + one
        y = y + self.shortcut(x) if hasattr(self, "shortcut") else y + self.shift + x
        return torch.relu(y)


class CtrPlan:
    """A refined graph in every block.

    data_bn differs from joint to joint, and the graph is not known before the clip: it stays.
    """

    def __init__(self, graph_form: str) -> None:
        self.graph_form = graph_form

    def folds_input(self, first: nn.Module) -> bool:
        """See DeployPlan.folds_input."""
        del first
        return False

    def block(
        self, block: nn.Module, shape: InputShape, affine: tuple[Tensor, Tensor] | None
    ) -> nn.Module:
        """See DeployPlan.block."""
        assert isinstance(block, Block)
        assert isinstance(block.gcn, RefinedGraphConv)
        assert affine is None
        del shape  # nothing here is reshaped along an axis that can be open
        unit = RefinedUnit(_fold(block.gcn), self.graph_form)
        return DeployBlock(unit, temporal_unit(block.tcn), block)


def _graph_macs(block: CtrBlockSpec, k: int, v: int, frames: int, *, pooled: bool) -> int:
    """MACs of the spatial half: embeddings, conv3, conv4, products, shortcut."""
    ci, co, r = block.in_channels, block.out_channels, block.relation
    total = k * v * 2 * r * ci * (1 if pooled else frames)
    total += k * v * ci * co * frames
    total += k * v * v * r * co
    total += k * v * v * co * frames
    return total + (v * ci * co * frames if block.graph_residual == "conv" else 0)


class CtrgcnFamily:
    """One stream, a graph refined for each channel, multi-scale temporal convolutions.

    There is no aggregate form: the graph depends on the channel that conv3 makes.
    """

    title = "CTR-GCN (arXiv 2107.12213)"
    graph_forms = ("matmul", "einsum")

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """See Family.reference."""
        k, v = spec.num_subsets, spec.num_joints
        return Network(
            spec,
            (
                Block(one, RefinedGraphConv(one, k, v), MultiScaleTemporalConv(one))
                for one in spec.blocks
            ),
        )

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """See Family.deploy."""
        assert isinstance(reference, Network)
        return DeployNetwork(reference, CtrPlan(graph_form), shape).eval()

    def macs(self, spec: NetworkSpec, frames: int, persons: int, *, aggregate: bool = False) -> int:
        """See Family.macs; what `aggregate` saves is the embedding of every frame."""
        k, v = spec.num_subsets, spec.num_joints
        total, t = 0, frames
        for block in spec.blocks:
            after = -(-t // block.stride)
            total += _graph_macs(block, k, v, t, pooled=aggregate)
            total += v * temporal_macs(block, t, after)
            if block.residual == "conv":
                total += v * block.in_channels * block.out_channels * after
            t = after
        head: int = spec.blocks[-1].out_channels * spec.num_classes
        return persons * total + head


FAMILY = CtrgcnFamily()
