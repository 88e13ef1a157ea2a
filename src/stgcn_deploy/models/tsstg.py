"""TSSTG: two ST-GCN trunks for one person, on the joints and on their motion, joined by one layer.

    points (N, C, T, V)     -> trunk -> mean over (T, V) -.
                                                          +-> concatenated -> Linear -> logits
    motion (N, C', T-1, V) -> trunk -> mean over (T, V) -'

The classes are independent of each other (sigmoid).  The motion is an input of its own: the network
does not make it.  Trunks: Yan, Xiong, Lin, AAAI 2018 (arXiv 1801.07455).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from stgcn_deploy.models.deploy import Trunk
from stgcn_deploy.models.network import Network
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.models.stgcn import StgcnPlan, stgcn_macs, stgcn_network

__all__ = ["FAMILY", "Tsstg", "motion_stream"]


def motion_stream(spec: NetworkSpec) -> NetworkSpec:
    """The spec of the motion trunk alone; the spec itself describes the trunk of the points."""
    (motion,) = spec.extra_inputs
    first, *rest = spec.blocks
    return replace(
        spec,
        in_channels=motion.channels,
        blocks=(replace(first, in_channels=motion.channels), *rest),
        extra_inputs=(),
    )


def _trunk(spec: NetworkSpec) -> Network:
    """A network whose head is another module's business."""
    network = stgcn_network(spec)
    del network.head
    return network


class Tsstg(nn.Module):
    """See the module."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.points = _trunk(replace(spec, extra_inputs=()))
        self.motion = _trunk(motion_stream(spec))
        self.head = nn.Linear(2 * spec.blocks[-1].out_channels, spec.num_classes)

    def forward(self, points: Tensor, motion: Tensor) -> Tensor:
        """(N, C, T, V), (N, C', T-1, V) -> logits (N, num_classes)."""
        pooled = [self.points.features(points), self.motion.features(motion)]
        logits: Tensor = self.head(torch.cat(pooled, dim=2).mean(dim=1))
        return logits


class DeployTsstg(nn.Module):
    """Both trunks as fast graphs; one person, so there is no axis to fold."""

    def __init__(self, network: Tsstg, graph_form: str, shape: InputShape) -> None:
        super().__init__()
        plan = StgcnPlan(graph_form)
        (motion,) = network.spec.extra_inputs
        self.points = Trunk(network.points, plan, shape)
        self.motion = Trunk(network.motion, plan, replace(shape, frames=shape.frames - motion.trim))
        self.head = nn.Linear(network.head.in_features, network.head.out_features)
        self.head.load_state_dict(network.head.state_dict())

    def forward(self, points: Tensor, motion: Tensor) -> Tensor:
        """(N, C, T, V), (N, C', T-1, V) -> logits (N, num_classes)."""
        pooled = torch.cat([self.points(points), self.motion(motion)], dim=1)
        logits: Tensor = self.head(pooled)
        return logits


class TsstgFamily:
    """Joint trunk and motion trunk, features concatenated."""

    title = "TSSTG: two ST-GCN trunks, features concatenated (Human-Falling-Detect-Tracks)"
    graph_forms = ("aggregate", "einsum", "matmul")

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """See Family.reference."""
        return Tsstg(spec)

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """See Family.deploy."""
        assert isinstance(reference, Tsstg)
        return DeployTsstg(reference, graph_form, shape).eval()

    def macs(self, spec: NetworkSpec, frames: int, persons: int, *, aggregate: bool = False) -> int:
        """See Family.macs."""
        del persons  # always one
        (motion,) = spec.extra_inputs
        head: int = 2 * spec.blocks[-1].out_channels * spec.num_classes
        return (
            stgcn_macs(spec, frames, aggregate=aggregate)
            + stgcn_macs(motion_stream(spec), frames - motion.trim, aggregate=aggregate)
            + head
        )


FAMILY = TsstgFamily()
