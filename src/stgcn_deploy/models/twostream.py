"""Two-stream ST-GCN: one network on the joints, one on their motion, logits added.

Two definitions of the motion are in use and no checkpoint says which (yysijie's first code has the
second difference; 2s_st-gcn and the Jetson guides have the first), so it is part of the spec.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from stgcn_deploy.models.deploy import InputStage, Trunk, average_persons
from stgcn_deploy.models.persons import person_slots
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import Motion, NetworkSpec
from stgcn_deploy.models.stgcn import StgcnPlan, stgcn_macs, stgcn_network

__all__ = ["FAMILY", "TwoStream", "motion_of"]


def motion_of(x: Tensor, kind: Motion, frame_axis: int) -> Tensor:
    """The motion stream, as long as `x`; edge frames that have no neighbour are zero.

    first_difference:  m[0] = 0, m[t] = x[t] - x[t-1]
    second_difference: m[t] = x[t] - (x[t+1] + x[t-1]) / 2, m[0] = m[T-1] = 0
    """
    frames = x.shape[frame_axis]
    zero = torch.zeros_like(x.narrow(frame_axis, 0, 1))
    if kind == "first_difference":
        step = x.narrow(frame_axis, 1, frames - 1) - x.narrow(frame_axis, 0, frames - 1)
        return torch.cat([zero, step], dim=frame_axis)
    middle = x.narrow(frame_axis, 1, frames - 2)
    after, before = x.narrow(frame_axis, 2, frames - 2), x.narrow(frame_axis, 0, frames - 2)
    return torch.cat([zero, middle - 0.5 * after - 0.5 * before, zero], dim=frame_axis)


class TwoStream(nn.Module):
    """origin(x) + motion(motion_of(x)): logits (N, num_classes)."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        one = replace(spec, motion=None)
        self.origin = stgcn_network(one)
        self.motion = stgcn_network(one)

    def forward(self, x: Tensor) -> Tensor:
        """Input in the order of `spec.axes` -> logits (N, num_classes)."""
        assert self.spec.motion is not None
        moved = motion_of(x, self.spec.motion, self.spec.axes.index("T"))
        logits: Tensor = self.origin(x) + self.motion(moved)
        return logits


def _motion_graph(x: Tensor, kind: Motion) -> Tensor:
    """motion_of on (N, C, T, V), padded by repeating edge frames, so that no Pad node is needed.

    A frame minus itself is exactly the zero frame that the definition asks for.
    """
    if kind == "first_difference":
        return x - torch.cat([x[:, :, :1], x[:, :, :-1]], dim=2)
    # At the edges both neighbours are the frame itself.
    before = torch.cat([x[:, :, :1], x[:, :, :-2], x[:, :, -1:]], dim=2)
    after = torch.cat([x[:, :, :1], x[:, :, 2:], x[:, :, -1:]], dim=2)
    return x - 0.5 * after - 0.5 * before


class DeployTwoStream(nn.Module):
    """Both trunks on one prepared input; the two heads are one product."""

    def __init__(self, network: TwoStream, graph_form: str, shape: InputShape) -> None:
        super().__init__()
        assert network.spec.motion is not None
        self.kind: Motion = network.spec.motion
        self.shape = shape
        self.prepare = InputStage(network.spec.axes, shape)
        self.slots = person_slots(shape)
        plan = StgcnPlan(graph_form)
        self.origin = Trunk(network.origin, plan, shape)
        self.motion = Trunk(network.motion, plan, shape)
        heads = (network.origin.head, network.motion.head)
        self.head = nn.Linear(sum(h.in_features for h in heads), heads[0].out_features)
        with torch.no_grad():
            self.head.weight.copy_(torch.cat([h.weight for h in heads], dim=1))
            self.head.bias.copy_(heads[0].bias + heads[1].bias)

    def forward(self, x: Tensor) -> Tensor:
        """Input in the codebase's axis order -> logits (N, num_classes)."""
        clip = self.prepare(x)
        occupied = self.slots(clip) if self.slots else None
        streams = (
            self.origin(clip, occupied),
            self.motion(_motion_graph(clip, self.kind), occupied),
        )
        pooled = torch.cat(streams, dim=1)
        features = average_persons(pooled, self.head.in_features, self.shape, x.shape[0])
        logits: Tensor = self.head(features)
        return logits


class TwoStreamFamily:
    """Origin and motion stream, logits added (2s_st-gcn)."""

    title = "two-stream ST-GCN (joint + motion, logits added)"
    graph_forms = ("aggregate", "einsum", "matmul")

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """See Family.reference."""
        return TwoStream(spec)

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """See Family.deploy."""
        assert isinstance(reference, TwoStream)
        return DeployTwoStream(reference, graph_form, shape).eval()

    def macs(self, spec: NetworkSpec, frames: int, persons: int, *, aggregate: bool = False) -> int:
        """See Family.macs."""
        head: int = spec.blocks[-1].out_channels * spec.num_classes
        return 2 * (persons * stgcn_macs(spec, frames, aggregate=aggregate) + head)


FAMILY = TwoStreamFamily()
