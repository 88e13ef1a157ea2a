"""PYSKL and MMAction2 1.x recognisers with the AAGCN backbone, (N, M, T, V, C).

backbone.A (never used), backbone.data_bn (M*V*C), backbone.gcn.i.gcn.{A, alpha, conv_a.k, conv_b.k,
conv_d.k, conv_ta, conv_sa, fc1c, fc2c, down.0, down.1, bn}, backbone.gcn.i.tcn.{conv, bn},
backbone.gcn.i.residual.{conv, bn}, cls_head.fc_cls (PYSKL) or cls_head.fc (MMAction2)
"""

from __future__ import annotations

from dataclasses import dataclass

from stgcn_deploy.checkpoints import recipes
from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors
from stgcn_deploy.checkpoints.agcn import AgcnNames, adaptive_keys, describe_adaptive
from stgcn_deploy.checkpoints.base import Described, Fact, Hints, Setting, clip_size, with_strides
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.skeleton.contract import Step

__all__ = ["MMACTION2", "PYSKL"]


@dataclass(frozen=True)
class AagcnRecognizer:
    """The two codebases differ in the name of the classifier."""

    name: str
    title: str
    head: str
    preprocessing: str

    @property
    def names(self) -> AgcnNames:
        """The keys."""
        return AgcnNames(
            block="backbone.gcn.{}",
            first=0,
            unit="gcn",
            tcn=("tcn.conv", "tcn.bn"),
            residual=("residual.conv", "residual.bn"),
            graph="A",
            data_bn="backbone.data_bn",
            head=self.head,
        )

    def matches(self, tensors: Tensors) -> bool:
        """A graph convolution for each subset, and this codebase's head."""
        return "backbone.gcn.0.gcn.conv_d.0.weight" in tensors and f"{self.head}.weight" in tensors

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe."""
        plain = describe_adaptive(tensors, self.names, axes="NMTVC")
        spec, strides = with_strides(plain, hints)
        frames, persons, facts = clip_size(
            hints,
            (100, "clip_len of the usual settings"),
            (
                spec.num_persons or 2,
                "fixed by data_bn" if spec.num_persons else "num_person of the usual settings",
            ),
        )
        # The graph that training started from is stored besides, and tells the layout exactly.
        start = "backbone.A" if "backbone.A" in tensors else "backbone.gcn.0.gcn.A"
        learned = spec.blocks[0].attention != "none"
        kind = "A as learned, one for each block" if learned else "A as stored"
        notes = (Fact("adjacency", kind, "file"), strides, *facts)
        return Described(spec, notes, frames, persons, tensors[start].float().numpy())

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        return KeyMap(adaptive_keys(spec, self.names), unused=(r"^backbone\.A$",))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.sampled(self.name, spec, setting)


_PREPROCESSING = (
    "2-D: (x-W/2)/(W/2), (y-H/2)/(H/2), score{mask}; 3-D: centred on the first frame and rotated; "
    "clip_len frames sampled uniformly; zero persons for empty slots"
)

PYSKL = AagcnRecognizer(
    name="pyskl-aagcn",
    title="PYSKL AAGCN",
    head="cls_head.fc_cls",
    preprocessing=_PREPROCESSING.format(mask=", x=y=0 where score <= 0.01"),
)
MMACTION2 = AagcnRecognizer(
    name="mmaction2-aagcn",
    title="MMAction2 1.x AAGCN",
    head="cls_head.fc",
    preprocessing=_PREPROCESSING.format(mask=""),
)
