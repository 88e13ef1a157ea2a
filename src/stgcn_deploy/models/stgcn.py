"""ST-GCN: one stream, plain temporal convolution (Yan et al., AAAI 2018, arXiv 1801.07455)."""

from __future__ import annotations

from torch import Tensor, nn

from stgcn_deploy.models.blocks import Block, GraphConv, MultiScaleTemporalConv, TemporalConv
from stgcn_deploy.models.deploy import DeployBlock, DeployNetwork, temporal_unit
from stgcn_deploy.models.folding import fold_graph_conv
from stgcn_deploy.models.graphforms import graph_unit
from stgcn_deploy.models.network import Network
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec

__all__ = ["FAMILY", "OneStream", "StgcnPlan", "stgcn_macs", "stgcn_network", "temporal_macs"]


def stgcn_network(spec: NetworkSpec) -> Network:
    """The reference form of one stream."""

    def block(one: BlockSpec) -> Block:
        tcn = MultiScaleTemporalConv(one) if one.branches else TemporalConv(one)
        return Block(one, GraphConv(one, spec.num_subsets, spec.num_joints), tcn)

    return Network(spec, (block(one) for one in spec.blocks))


class StgcnPlan:
    """Fixed adjacency: every graph form is exact, and data_bn goes into the first block."""

    def __init__(self, graph_form: str) -> None:
        self.graph_form = graph_form

    def folds_input(self, first: nn.Module) -> bool:
        """Not where a residual needs the normalised input itself."""
        assert isinstance(first, Block)
        return first.spec.residual == "none" and first.spec.graph_residual != "identity"

    def block(
        self, block: nn.Module, shape: InputShape, affine: tuple[Tensor, Tensor] | None
    ) -> nn.Module:
        """See DeployPlan.block."""
        assert isinstance(block, Block)
        assert isinstance(block.gcn, GraphConv)
        folded = fold_graph_conv(block.gcn)
        if affine is not None:
            folded = folded.with_input(*affine)
        unit = graph_unit(folded, self.graph_form, shape)
        return DeployBlock(unit, temporal_unit(block.tcn), block)


def temporal_macs(block: BlockSpec, frames_in: int, frames_out: int) -> int:
    """MACs of the temporal half of a block, for one joint."""
    co = block.out_channels
    if not block.branches:
        return co * co * block.kernel * frames_out
    total = 0
    for branch in block.branches:
        entry_frames = frames_out if branch.kind == "1x1" else frames_in
        total += co * branch.channels * entry_frames
        if branch.kind == "conv":
            total += branch.channels**2 * branch.kernel * frames_out
    if block.join != "conv":
        return total
    return total + sum(branch.channels for branch in block.branches) * co * frames_out


def stgcn_macs(spec: NetworkSpec, frames: int, *, aggregate: bool = False) -> int:
    """MACs of one person's clip: 1x1, dense graph products, temporal and residual convolutions.

    Args:
        aggregate: count the graph product before the 1x1 convolution, as the aggregate form has it,
            instead of where the network was trained with it.
    """
    v, k = spec.num_joints, spec.num_subsets
    total, t = 0, frames
    for block in spec.blocks:
        ci, co = block.in_channels, block.out_channels
        after = -(-t // block.stride)
        per_joint = k * ci * co * t
        per_joint += k * v * (co if block.conv_first and not aggregate else ci) * t
        per_joint += ci * co * t if block.graph_residual == "conv" else 0
        per_joint += ci * co * after if block.residual == "conv" else 0
        total += v * (per_joint + temporal_macs(block, t, after))
        t = after
    return total


class OneStream:
    """Families whose networks are one Network: the spec says which temporal half they have."""

    graph_forms = ("aggregate", "einsum", "matmul")

    def __init__(self, title: str) -> None:
        self.title = title

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """See Family.reference."""
        return stgcn_network(spec)

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """See Family.deploy."""
        assert isinstance(reference, Network)
        return DeployNetwork(reference, StgcnPlan(graph_form), shape).eval()

    def macs(self, spec: NetworkSpec, frames: int, persons: int, *, aggregate: bool = False) -> int:
        """See Family.macs."""
        head: int = spec.blocks[-1].out_channels * spec.num_classes
        return persons * stgcn_macs(spec, frames, aggregate=aggregate) + head


FAMILY = OneStream("ST-GCN (arXiv 1801.07455)")
