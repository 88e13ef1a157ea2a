"""Score fusion: several networks, each on its own stream of one clip, scores added with weights.

    logits space:         sum_i w_i logits_i
    probability space:    log sum_i (w_i / sum w) softmax(logits_i), whose softmax are the fused scores

2s-AGCN and CTR-GCN fuse raw logits, PYSKL and MMAction2 probabilities.  Not to be confused with the
two-stream family, which is one network file with its own motion stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

import torch
from torch import Tensor, nn

from stgcn_deploy.errors import ExportError
from stgcn_deploy.models.deploy import DeployNetwork, InputStage
from stgcn_deploy.models.families import FAMILIES
from stgcn_deploy.models.persons import person_slots
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.models.streams import StreamMaker

__all__ = ["FAMILY", "Ensemble", "Member", "Space"]

Space = Literal["logits", "probabilities"]


@dataclass(frozen=True)
class Member:
    """One network of an ensemble.

    Attributes:
        stream: see models.streams; the fields behind spec: how it is derived.
    """

    stream: str
    weight: float
    spec: NetworkSpec
    layout: str
    mean_bone_score: bool
    mean_motion_score: bool

    def maker(self) -> StreamMaker:
        """What derives the stream."""
        return StreamMaker(
            self.stream,
            self.layout,
            mean_bone_score=self.mean_bone_score,
            mean_motion_score=self.mean_motion_score,
        )


def fuse(logits: Sequence[Tensor], weights: Sequence[float], space: Space) -> Tensor:
    """Logits (N, classes) of each member -> fused logits."""
    if space == "logits":
        return torch.stack([w * one for w, one in zip(weights, logits, strict=True)]).sum(dim=0)
    total = sum(weights)
    shares = torch.stack(
        [torch.log_softmax(one, 1) + log(w / total) for w, one in zip(weights, logits, strict=True)]
    )
    # The largest term is taken out: a class that no member believes in must not become log 0.
    largest = shares.amax(dim=0)
    return largest + torch.log(torch.exp(shares - largest).sum(dim=0))


def members_of(spec: NetworkSpec) -> tuple[tuple[Member, ...], Space]:
    """What the options of an ensemble's spec hold."""
    return spec.option("members"), spec.option("space")


class Ensemble(nn.Module):
    """Reference form: streams are derived from the clip, members run as they are."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        members, self.space = members_of(spec)
        self.weights = [member.weight for member in members]
        self.makers = nn.ModuleList(member.maker() for member in members)
        self.members = nn.ModuleList(
            FAMILIES[member.spec.family].reference(member.spec) for member in members
        )

    def forward(self, x: Tensor) -> Tensor:
        """Joints in the order of `spec.axes` -> fused logits (N, num_classes)."""
        axes = self.spec.axes
        to_inner = [axes.index(axis) for axis in "NMCTV"]
        back = ["NMCTV".index(axis) for axis in axes]
        clip = x.permute(to_inner)
        persons = clip.shape[:2]
        logits = []
        for maker, member in zip(self.makers, self.members, strict=True):
            stream = maker(clip.flatten(0, 1)).unflatten(0, persons)
            logits.append(member(stream.permute(back)))
        return fuse(logits, self.weights, self.space)


class DeployEnsemble(nn.Module):
    """One prepared clip, one trunk for each stream, one graph."""

    def __init__(self, network: Ensemble, graph_form: str, shape: InputShape) -> None:
        super().__init__()
        members, self.space = members_of(network.spec)
        self.weights = network.weights
        self.prepare = InputStage(network.spec.axes, shape)
        self.slots = person_slots(shape)
        self.makers = nn.ModuleList(member.maker() for member in members)
        self.members = nn.ModuleList()
        for member, reference in zip(members, network.members, strict=True):
            deployed = FAMILIES[member.spec.family].deploy(reference, graph_form, shape)
            if not isinstance(deployed, DeployNetwork):
                raise ExportError(
                    f"family {member.spec.family!r} cannot be a member of an ensemble: it takes more "
                    "than one stream itself."
                )
            self.members.append(deployed)

    def forward(self, x: Tensor) -> Tensor:
        """Joints in the order of `spec.axes` -> fused logits (N, num_classes)."""
        clip = self.prepare(x)
        # Of the joints, for all members: bones and motion of zeros are zeros, their scores too.
        occupied = self.slots(clip) if self.slots else None
        logits = [
            member.logits_of(maker(clip), x.shape[0], occupied)  # type: ignore[operator]
            for maker, member in zip(self.makers, self.members, strict=True)
        ]
        return fuse(logits, self.weights, self.space)


class EnsembleFamily:
    """See Family."""

    title = "score fusion of several streams"
    graph_forms = ("aggregate", "einsum", "matmul")

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """See Family.reference."""
        return Ensemble(spec)

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """See Family.deploy.

        Raises:
            ExportError: a member takes more than one stream itself.
        """
        assert isinstance(reference, Ensemble)
        return DeployEnsemble(reference, graph_form, shape).eval()

    def macs(self, spec: NetworkSpec, frames: int, persons: int, *, aggregate: bool = False) -> int:
        """See Family.macs."""
        members, _ = members_of(spec)
        return sum(
            FAMILIES[m.spec.family].macs(m.spec, frames, persons, aggregate=aggregate)
            for m in members
        )


FAMILY = EnsembleFamily()
