"""DG-STGCN: adjacencies made from the clip itself (Duan et al., arXiv 2210.05895).

Graph convolution (D-GCN) with K subsets of H hidden channels, x (C, T, V), m its mean over T:

    p = ReLU(BN(pre(x)))                                   (K, H, T, V)
    a = source(m), b = target(m)                           (K, H, V) each
    G[k,h,u,w] = A[k,u,w] + alpha_k tanh(a[k,h,u] - b[k,h,w])
                          + beta_k softmax_u(sum_h a[k,h,u] b[k,h,w])
    y[k,h,t,w] = sum_u p[k,h,t,u] G[k,h,u,w];   ReLU(BN(post(y)) + down(x))

Temporal convolution (DG-TCN): the multi-scale one, on the joints and on their mean as one joint more,
of which each joint w takes coefficients[w] times.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stgcn_deploy.models.blocks import Block, MultiScaleTemporalConv, Shortcut, TemporalConv
from stgcn_deploy.models.branches import JoinedBranches
from stgcn_deploy.models.deploy import DeployBlock, DeployNetwork, temporal_unit
from stgcn_deploy.models.folding import as_parameter, bn_affine, fold_conv, folded_like, join_affine
from stgcn_deploy.models.network import Network
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec

__all__ = ["FAMILY", "DynamicBlockSpec"]


@dataclass(frozen=True)
class DynamicBlockSpec(BlockSpec):
    """A block of DG-STGCN; `conv_first` and `adjacency` of BlockSpec play no part.

    Attributes:
        hidden: channels H of one subset.
        subset_wise: whether each subset has its own alpha and beta; else the first are those of all.
        coefficients: how many the temporal convolution stores for the mean joint (files may hold
            more than V, the first V count); 0 for one without mean joint.
    """

    hidden: int = 8
    subset_wise: bool = False
    coefficients: int = 0


class DynamicGraphConv(nn.Module):
    """The graph convolution of the module's docstring."""

    def __init__(self, spec: DynamicBlockSpec, num_subsets: int, num_joints: int) -> None:
        super().__init__()
        self.spec = spec
        self.num_subsets = num_subsets
        ci, co, wide = spec.in_channels, spec.out_channels, num_subsets * spec.hidden
        self.A = nn.Parameter(torch.zeros(num_subsets, num_joints, num_joints))
        self.alpha = nn.Parameter(torch.zeros(num_subsets))
        self.beta = nn.Parameter(torch.zeros(num_subsets))
        self.pre = Shortcut(ci, wide)
        self.source = nn.Conv2d(ci, wide, 1)
        self.target = nn.Conv2d(ci, wide, 1)
        self.post = nn.Conv2d(wide, co, 1)
        self.bn = nn.BatchNorm2d(co)
        if spec.graph_residual == "conv":
            self.down = Shortcut(ci, co)

    def strengths(self) -> tuple[Tensor, Tensor]:
        """(alpha, beta) of every subset, (K,) each."""
        if self.spec.subset_wise:
            return self.alpha, self.beta
        return self.alpha[:1].expand(self.num_subsets), self.beta[:1].expand(self.num_subsets)

    def graph(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> G (N, K, H, V, V)."""
        n, _, _, v = x.shape
        mean = x.mean(dim=2, keepdim=True)
        a = self.source(mean).reshape(n, self.num_subsets, -1, v)
        b = self.target(mean).reshape(n, self.num_subsets, -1, v)
        alpha, beta = (value.reshape(-1, 1, 1, 1) for value in self.strengths())
        differs = torch.tanh(a.unsqueeze(4) - b.unsqueeze(3))
        alike = torch.softmax(torch.einsum("nkhu,nkhw->nkuw", a, b), dim=2)
        return self.A.unsqueeze(1) + alpha * differs + beta * alike.unsqueeze(2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        n, _, t, v = x.shape
        p = torch.relu(self.pre(x)).reshape(n, self.num_subsets, -1, t, v)
        y = torch.einsum("nkhtu,nkhuw->nkhtw", p, self.graph(x)).contiguous()
        y = self.bn(self.post(y.reshape(n, -1, t, v)))
        return torch.relu(y + (self.down(x) if self.spec.graph_residual == "conv" else x))


class MeanJointTemporalConv(MultiScaleTemporalConv):
    """MultiScaleTemporalConv whose joints also see their mean."""

    def __init__(self, spec: DynamicBlockSpec) -> None:
        super().__init__(spec)
        self.coefficients = nn.Parameter(torch.zeros(spec.coefficients))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C, T', V)."""
        v = x.shape[3]
        x = torch.cat([x, x.mean(dim=3, keepdim=True)], dim=3)
        y = torch.cat([branch(x) for branch in self.branches], dim=1)
        y = y[..., :v] + y[..., v:] * self.coefficients[:v]
        out: Tensor = self.bn(self.join(torch.relu(self.join_bn(y))))
        return out


def dynamic_block(spec: DynamicBlockSpec, num_subsets: int, num_joints: int) -> Block:
    """The reference form of a block."""
    tcn: nn.Module
    if spec.coefficients:
        tcn = MeanJointTemporalConv(spec)
    else:
        tcn = MultiScaleTemporalConv(spec) if spec.branches else TemporalConv(spec)
    return Block(spec, DynamicGraphConv(spec, num_subsets, num_joints), tcn)


class DynamicUnit(nn.Module):
    """The graph convolution as a fast graph: products of (T, V) with (V, V), one for each channel."""

    def __init__(self, gcn: DynamicGraphConv, graph_form: str, shape: InputShape) -> None:
        super().__init__()
        self.einsum = graph_form == "einsum"
        self.shape = shape
        self.num_subsets, self.num_joints, _ = gcn.A.shape
        self.hidden = gcn.spec.hidden
        self.wide = self.num_subsets * self.hidden
        self.pre = folded_like(gcn.pre.conv, fold_conv(gcn.pre.conv, gcn.pre.bn))
        self.source = folded_like(gcn.source, fold_conv(gcn.source))
        self.target = folded_like(gcn.target, fold_conv(gcn.target))
        self.adjacency = as_parameter(gcn.A.detach().double())
        alpha, beta = (value.detach().double() for value in gcn.strengths())
        count = self.num_subsets if gcn.spec.subset_wise else 1
        self.alpha = as_parameter(alpha[:count].reshape(-1, 1, 1, 1))
        self.beta = as_parameter(beta[:count].reshape(-1, 1, 1))
        self.post = folded_like(gcn.post, fold_conv(gcn.post, gcn.bn))
        self.identity = gcn.spec.graph_residual == "identity"
        if not self.identity:
            self.down = folded_like(gcn.down.conv, fold_conv(gcn.down.conv, gcn.down.bn))

    def graph(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> G (N, K * H, V, V)."""
        k, h, v = self.num_subsets, self.hidden, self.num_joints
        mean = x.mean(dim=2, keepdim=True)
        a = self.source(mean).reshape(-1, k, h, v)
        b = self.target(mean).reshape(-1, k, h, v)
        differs = torch.tanh(a.unsqueeze(4) - b.unsqueeze(3))
        alike = torch.softmax(torch.matmul(a.transpose(2, 3), b), dim=2)
        shared = (self.adjacency + self.beta * alike).unsqueeze(2)
        return (self.alpha * differs + shared).reshape(-1, self.wide, v, v)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        p, graph = torch.relu(self.pre(x)), self.graph(x)
        y = torch.einsum("nctu,ncuw->nctw", p, graph) if self.einsum else torch.matmul(p, graph)
        return torch.relu(self.post(y) + (x if self.identity else self.down(x)))


class DeployMeanJoint(nn.Module):
    """MeanJointTemporalConv with its batch normalisations folded in.

    With s and t of the BN behind the branches: s (y + c m) + t = (s y + t) + c ((s m + t) - t), so that
    all of it but the last t goes into the branches, and that is for one joint only.
    """

    def __init__(self, tcn: MeanJointTemporalConv, num_joints: int) -> None:
        super().__init__()
        self.branches = JoinedBranches(list(tcn.branches), join_affine(tcn))  # type: ignore[arg-type]
        _, shift = bn_affine(tcn.join_bn)
        self.shift = as_parameter(shift[None, :, None, None])
        self.coefficients = as_parameter(tcn.coefficients.detach()[:num_joints].double())
        self.sizes = [num_joints, 1]
        self.join = folded_like(tcn.join, fold_conv(tcn.join, tcn.bn))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C, T', V)."""
        x = torch.cat([x, x.mean(dim=3, keepdim=True)], dim=3)
        joints, mean = torch.split(self.branches(x), self.sizes, dim=3)
        out: Tensor = self.join(torch.relu(joints + (mean - self.shift) * self.coefficients))
        return out


class DgStgcnPlan:
    """How blocks become deploy blocks."""

    def __init__(self, graph_form: str) -> None:
        self.graph_form = graph_form

    def folds_input(self, first: nn.Module) -> bool:
        """No: a 1x1 convolution cannot take up a scale that differs by joint."""
        del first
        return False

    def block(
        self, block: nn.Module, shape: InputShape, affine: tuple[Tensor, Tensor] | None
    ) -> nn.Module:
        """See DeployPlan.block."""
        assert isinstance(block, Block)
        assert isinstance(block.gcn, DynamicGraphConv)
        assert affine is None
        tcn = block.tcn
        if isinstance(tcn, MeanJointTemporalConv):
            temporal: nn.Module = DeployMeanJoint(tcn, block.gcn.A.shape[-1])
        else:
            temporal = temporal_unit(tcn)
        return DeployBlock(DynamicUnit(block.gcn, self.graph_form, shape), temporal, block)


def _block_macs(block: DynamicBlockSpec, subsets: int, num_joints: int, frames: int) -> int:
    ci, co, wide = block.in_channels, block.out_channels, subsets * block.hidden
    after = -(-frames // block.stride)
    graph = 2 * wide * ci + wide * num_joints  # two embeddings, and their products
    per_joint = frames * wide * (ci + num_joints + co) + graph
    per_joint += ci * co * frames if block.graph_residual == "conv" else 0
    per_joint += ci * co * after if block.residual == "conv" else 0
    joints = num_joints + (1 if block.coefficients else 0)
    total = per_joint * num_joints
    if not block.branches:
        return total + co * co * block.kernel * after * num_joints
    for branch in block.branches:
        entry = after if branch.kind == "1x1" else frames
        total += co * branch.channels * entry * joints
        if branch.kind == "conv":
            total += branch.channels**2 * branch.kernel * after * joints
    return total + sum(branch.channels for branch in block.branches) * co * after * num_joints


class DgStgcn:
    """Dynamic graphs in every block."""

    title = "DG-STGCN (arXiv 2210.05895)"
    graph_forms = ("einsum", "matmul")

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """See Family.reference."""
        k, v = spec.num_subsets, spec.num_joints
        return Network(spec, (dynamic_block(block, k, v) for block in spec.blocks))

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """See Family.deploy."""
        assert isinstance(reference, Network)
        return DeployNetwork(reference, DgStgcnPlan(graph_form), shape).eval()

    def macs(self, spec: NetworkSpec, frames: int, persons: int, *, aggregate: bool = False) -> int:
        """See Family.macs."""
        del aggregate  # the deploy form multiplies no less
        total = 0
        for block in spec.blocks:
            total += _block_macs(block, spec.num_subsets, spec.num_joints, frames)
            frames = -(-frames // block.stride)
        head: int = spec.blocks[-1].out_channels * spec.num_classes
        return persons * total + head


FAMILY = DgStgcn()
