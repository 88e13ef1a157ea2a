"""The baseline of CTR-GCN: a free graph with columns of length one (arXiv 2107.12213).

A'_k[v,w] = A_k[v,w] / (sqrt(sum_v A_k[v,w]^2) + 1e-4)
y = ReLU(BN(sum_k W_k x A'_k) + shortcut(x)),  then a plain temporal convolution
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stgcn_deploy.models.blocks import Block, Shortcut, TemporalConv
from stgcn_deploy.models.deploy import DeployBlock, DeployNetwork, temporal_unit
from stgcn_deploy.models.folding import GraphWeights, bn_affine, fold_conv
from stgcn_deploy.models.graphforms import graph_unit
from stgcn_deploy.models.network import Network
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec
from stgcn_deploy.models.stgcn import stgcn_macs

__all__ = ["FAMILY", "NormalisedGraphConv"]

# Part of the formula that the networks were trained with: a column of zeros stays one.
LENGTH_OFFSET = 1e-4


def normalised(adjacency: Tensor) -> Tensor:
    """(K, V, V) with every column divided by its length."""
    length = torch.sqrt((adjacency**2).sum(dim=1, keepdim=True))
    return adjacency / (length + LENGTH_OFFSET)


class NormalisedGraphConv(nn.Module):
    """See the module."""

    def __init__(self, spec: BlockSpec, num_subsets: int, num_joints: int) -> None:
        super().__init__()
        self.spec = spec
        ci, co = spec.in_channels, spec.out_channels
        self.A = nn.Parameter(torch.zeros(num_subsets, num_joints, num_joints))
        self.conv_d = nn.ModuleList(nn.Conv2d(ci, co, 1) for _ in range(num_subsets))
        self.bn = nn.BatchNorm2d(co)
        if spec.graph_residual == "conv":
            self.down = Shortcut(ci, co)

    def adjacency(self) -> Tensor:
        """The effective adjacency (K, V, V)."""
        return normalised(self.A)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        y = torch.zeros(())
        for conv, adjacency in zip(self.conv_d, self.adjacency(), strict=True):
            y = y + conv(torch.matmul(x, adjacency))
        y = self.bn(y)
        y = y + (self.down(x) if self.spec.graph_residual == "conv" else x)
        return torch.relu(y)


def _fold(gcn: NormalisedGraphConv) -> GraphWeights:
    """The unit as one sum over subsets with a fixed graph."""
    parts = [fold_conv(conv) for conv in gcn.conv_d]  # type: ignore[arg-type]
    scale, shift = bn_affine(gcn.bn)
    bias = torch.stack([part.bias for part in parts]).sum(dim=0) * scale + shift
    shortcut: Tensor | None = None
    if gcn.spec.graph_residual == "conv":
        folded = fold_conv(gcn.down.conv, gcn.down.bn)
        shortcut = folded.weight[:, :, 0, 0]
        bias = bias + folded.bias
    graph = normalised(gcn.A.detach().double())
    return GraphWeights(
        weights=torch.stack([part.weight[:, :, 0, 0] for part in parts]) * scale[None, :, None],
        adjacency=graph,
        bias=bias[:, None].expand(-1, graph.shape[-1]),
        shortcut=shortcut,
        identity=gcn.spec.graph_residual == "identity",
    )


class _Plan:
    """A fixed graph: every graph form is exact.  data_bn has numbers for each person, so it stays."""

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
        assert isinstance(block.gcn, NormalisedGraphConv)
        assert affine is None
        unit = graph_unit(_fold(block.gcn), self.graph_form, shape)
        return DeployBlock(unit, temporal_unit(block.tcn), block)


class BaselineFamily:
    """One stream, a free graph normalised by columns."""

    title = "CTR-GCN's baseline (arXiv 2107.12213)"
    graph_forms = ("aggregate", "einsum", "matmul")

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """See Family.reference."""
        k, v = spec.num_subsets, spec.num_joints
        return Network(
            spec,
            (Block(one, NormalisedGraphConv(one, k, v), TemporalConv(one)) for one in spec.blocks),
        )

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """See Family.deploy."""
        assert isinstance(reference, Network)
        return DeployNetwork(reference, _Plan(graph_form), shape).eval()

    def macs(self, spec: NetworkSpec, frames: int, persons: int, *, aggregate: bool = False) -> int:
        """See Family.macs."""
        head: int = spec.blocks[-1].out_channels * spec.num_classes
        return persons * stgcn_macs(spec, frames, aggregate=aggregate) + head


FAMILY = BaselineFamily()
