"""ST-GCN as first published (early 2018): the same idea as today's ST-GCN, another network.

    graph unit   relu(BN(sum_k conv_k(x (A_k * mask_k))))     joints before channels, K convolutions
    block        relu(BN(conv9(graph unit))) + residual       nothing after the sum
    residual     none for the first block, x, or relu(BN(conv1x1(x)))

The graph is in no file: `spec.options` holds it as "graph", a NominalGraph.

Paper: Yan, Xiong, Lin, "Spatial Temporal Graph Convolutional Networks", AAAI 2018 (arXiv 1801.07455).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stgcn_deploy.models.agcn import NominalGraph
from stgcn_deploy.models.blocks import Shortcut, TemporalConv
from stgcn_deploy.models.deploy import DeployNetwork, temporal_unit
from stgcn_deploy.models.folding import GraphWeights, bn_affine, fold_conv, folded_like
from stgcn_deploy.models.graphforms import graph_unit
from stgcn_deploy.models.network import Network
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec
from stgcn_deploy.models.stgcn import stgcn_macs

__all__ = ["FAMILY", "LegacyBlock", "LegacyGraphConv"]


class LegacyGraphConv(nn.Module):
    """relu(BN(sum_k conv_k(x (A_k * PA_k)))); PA is the learned mask."""

    A: Tensor

    def __init__(self, spec: BlockSpec, graph: Tensor) -> None:
        super().__init__()
        self.spec = spec
        # Not persistent: it is no tensor of a checkpoint, so there is no key to account for.
        self.register_buffer("A", graph, persistent=False)
        if spec.adjacency == "importance":
            self.PA = nn.Parameter(torch.ones_like(graph))
        self.convs = nn.ModuleList(
            nn.Conv2d(spec.in_channels, spec.out_channels, 1) for _ in range(len(graph))
        )
        self.bn = nn.BatchNorm2d(spec.out_channels)

    def adjacency(self) -> Tensor:
        """The effective adjacency (K, V, V)."""
        return self.A * self.PA if self.spec.adjacency == "importance" else self.A

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        terms = [
            conv(torch.matmul(x, one))
            for conv, one in zip(self.convs, self.adjacency(), strict=True)
        ]
        return torch.relu(self.bn(torch.stack(terms).sum(dim=0)))

    def folded(self) -> GraphWeights:
        """The unit as one sum over subsets, its BN folded in."""
        convs: list[nn.Conv2d] = list(self.convs)  # type: ignore[arg-type]
        plain = [fold_conv(conv) for conv in convs]
        scale, shift = bn_affine(self.bn)
        adjacency = self.adjacency().detach().double()
        weights = torch.stack([one.weight[:, :, 0, 0] for one in plain])
        bias = torch.stack([one.bias for one in plain]).sum(dim=0) * scale + shift
        return GraphWeights(
            weights=weights * scale[None, :, None],
            adjacency=adjacency,
            bias=bias[:, None].expand(-1, adjacency.shape[-1]),
            shortcut=None,
            identity=False,
        )


class LegacyBlock(nn.Module):
    """relu(temporal(graph(x))) + residual, with no activation after the sum."""

    def __init__(self, spec: BlockSpec, graph: Tensor) -> None:
        super().__init__()
        self.spec = spec
        self.gcn = LegacyGraphConv(spec, graph)
        self.tcn = TemporalConv(spec)
        if spec.residual == "conv":
            self.residual = Shortcut(spec.in_channels, spec.out_channels, spec.stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T', V)."""
        y = torch.relu(self.tcn(self.gcn(x)))
        if self.spec.residual == "conv":
            return y + torch.relu(self.residual(x))
        return y + x if self.spec.residual == "identity" else y


class DeployLegacyBlock(nn.Module):
    """The block, its batch normalisations folded in."""

    def __init__(self, block: LegacyBlock, unit: nn.Module) -> None:
        super().__init__()
        self.gcn = unit
        self.tcn = temporal_unit(block.tcn)
        self.residual = block.spec.residual
        if self.residual == "conv":
            shortcut = block.residual
            self.shortcut = folded_like(shortcut.conv, fold_conv(shortcut.conv, shortcut.bn))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T', V)."""
        y = torch.relu(self.tcn(self.gcn(x)))
        if self.residual == "conv":
            return y + torch.relu(self.shortcut(x))
        return y + x if self.residual == "identity" else y


class LegacyPlan:
    """Fixed adjacency: every graph form is exact."""

    def __init__(self, graph_form: str) -> None:
        self.graph_form = graph_form

    def folds_input(self, first: nn.Module) -> bool:
        """See DeployPlan.folds_input."""
        assert isinstance(first, LegacyBlock)
        return first.spec.residual == "none"

    def block(
        self, block: nn.Module, shape: InputShape, affine: tuple[Tensor, Tensor] | None
    ) -> nn.Module:
        """See DeployPlan.block."""
        assert isinstance(block, LegacyBlock)
        folded = block.gcn.folded()
        if affine is not None:
            folded = folded.with_input(*affine)
        return DeployLegacyBlock(block, graph_unit(folded, self.graph_form, shape))


class LegacyFamily:
    """One stream; see the module."""

    title = "ST-GCN of early 2018 (arXiv 1801.07455, the first code)"
    graph_forms = ("aggregate", "einsum", "matmul")

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """See Family.reference."""
        nominal: NominalGraph = spec.option("graph")
        graph = nominal.adjacency()
        return Network(spec, (LegacyBlock(block, graph) for block in spec.blocks))

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """See Family.deploy."""
        assert isinstance(reference, Network)
        return DeployNetwork(reference, LegacyPlan(graph_form), shape).eval()

    def macs(self, spec: NetworkSpec, frames: int, persons: int, *, aggregate: bool = False) -> int:
        """See Family.macs."""
        head: int = spec.blocks[-1].out_channels * spec.num_classes
        return persons * stgcn_macs(spec, frames, aggregate=aggregate) + head


FAMILY = LegacyFamily()
