"""PaddleVideo's AGCN: an ST-GCN whose graph is a layer, with no skeleton behind it.

    graph unit   z = conv1(x), channels 3 c + k
                 y[c,t,w] = sum_k sum_v conv2[w, k V + v] z[3 c + k, t, v] + bias2[w]
    block        relu(BN(conv9(relu(BN(y)))) + BN(conv1x1(x)))      the first one without the sum

That is ST-GCN's unit with A_k[v,w] = conv2[w, k V + v] and one more bias by target joint.  No input
normalisation is applied, although files hold one.  (The network of Shi et al., CVPR 2019, is another
one; PaddleVideo calls it AGCN2s.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stgcn_deploy.models.blocks import Block, TemporalConv
from stgcn_deploy.models.deploy import DeployBlock, DeployNetwork, temporal_unit
from stgcn_deploy.models.folding import GraphWeights, bn_affine
from stgcn_deploy.models.graphforms import graph_unit
from stgcn_deploy.models.network import Network
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec
from stgcn_deploy.models.stgcn import stgcn_macs

__all__ = ["FAMILY", "LearnedGraphConv"]


class LearnedGraphConv(nn.Module):
    """relu(BN(y)); see the module."""

    def __init__(self, spec: BlockSpec, num_subsets: int, num_joints: int) -> None:
        super().__init__()
        self.spec = spec
        self.num_subsets = num_subsets
        self.conv1 = nn.Conv2d(spec.in_channels, num_subsets * spec.out_channels, 1)
        self.conv2 = nn.Conv2d(num_subsets * num_joints, num_joints, 1)
        self.bn = nn.BatchNorm2d(spec.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        n, _, t, v = x.shape
        z = self.conv1(x).reshape(n, -1, self.num_subsets, t, v)
        z = z.permute(0, 2, 4, 1, 3).reshape(n, self.num_subsets * v, -1, t)
        return torch.relu(self.bn(self.conv2(z).permute(0, 2, 3, 1)))

    def folded(self) -> GraphWeights:
        """The unit as a sum over subsets with a graph, its BN folded in."""
        k, co, ci = self.num_subsets, self.spec.out_channels, self.spec.in_channels
        v = self.conv2.out_channels
        assert self.conv1.bias is not None
        assert self.conv2.bias is not None
        adjacency = self.conv2.weight.detach().double().reshape(v, k, v).permute(1, 2, 0)
        weights = self.conv1.weight.detach().double().reshape(co, k, ci).permute(1, 0, 2)
        through = self.conv1.bias.detach().double().reshape(co, k) @ adjacency.sum(dim=1)
        scale, shift = bn_affine(self.bn)
        bias = through + self.conv2.bias.detach().double()
        return GraphWeights(
            weights=weights * scale[None, :, None],
            adjacency=adjacency,
            bias=bias * scale[:, None] + shift[:, None],
            shortcut=None,
            identity=False,
        )


class LearnedGraphPlan:
    """Fixed adjacency: every graph form is exact.  There is no input normalisation."""

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
        assert isinstance(block.gcn, LearnedGraphConv)
        assert affine is None
        unit = graph_unit(block.gcn.folded(), self.graph_form, shape)
        return DeployBlock(unit, temporal_unit(block.tcn), block)


class PaddleAgcnFamily:
    """One stream; see the module."""

    title = "AGCN of PaddleVideo: ST-GCN with a graph that is a layer"
    graph_forms = ("aggregate", "einsum", "matmul")

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """See Family.reference."""

        def block(one: BlockSpec) -> Block:
            unit = LearnedGraphConv(one, spec.num_subsets, spec.num_joints)
            return Block(one, unit, TemporalConv(one))

        return Network(spec, (block(one) for one in spec.blocks))

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """See Family.deploy."""
        assert isinstance(reference, Network)
        return DeployNetwork(reference, LearnedGraphPlan(graph_form), shape).eval()

    def macs(self, spec: NetworkSpec, frames: int, persons: int, *, aggregate: bool = False) -> int:
        """See Family.macs."""
        head: int = spec.blocks[-1].out_channels * spec.num_classes
        return persons * stgcn_macs(spec, frames, aggregate=aggregate) + head


FAMILY = PaddleAgcnFamily()
