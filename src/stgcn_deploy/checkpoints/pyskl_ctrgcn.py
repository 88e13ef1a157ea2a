"""PYSKL and MMAction2's CTR-GCN, (N, M, T, V, C).

backbone.data_bn over M * V * C, backbone.net.i.gcn1.{A, alpha, convs.k.{conv1..conv4}, down, bn},
backbone.net.i.tcn1.branches.b, backbone.net.i.residual; backbone.A is stored and never used.

Keys and shapes are those of Uason-Chen/CTR-GCN after a renaming, and the maths is not: the product
goes over the other index of the graph, and a ReLU follows the concatenated branches.
"""

from __future__ import annotations

from dataclasses import dataclass

from stgcn_deploy.checkpoints import recipes
from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors
from stgcn_deploy.checkpoints.base import Described, Hints, Setting, clip_size, with_strides
from stgcn_deploy.checkpoints.ctrgcn import Tree, describe_network, dilation_fact, network_keys
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.skeleton.contract import Step

__all__ = ["MMACTION2", "PYSKL"]


@dataclass(frozen=True)
class CtrgcnRecognizer:
    """The two codebases differ in the name of the classifier."""

    name: str
    title: str
    head: str
    preprocessing: str

    @property
    def tree(self) -> Tree:
        """Where the parts are."""
        return Tree(
            axes="NMTVC",
            block="backbone.net.{}",
            first=0,
            data_bn="backbone.data_bn",
            head=self.head,
            graph="A",
            target="column",
            join="relu",
        )

    def matches(self, tensors: Tensors) -> bool:
        """The four convolutions of a subset in backbone.net, and this codebase's head."""
        return (
            "backbone.net.0.gcn1.convs.0.conv1.weight" in tensors
            and f"{self.head}.weight" in tensors
        )

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe."""
        spec, strides = with_strides(describe_network(tensors, self.tree), hints)
        frames, persons, facts = clip_size(
            hints,
            (100, "clip_len of the usual settings"),
            (spec.num_persons or 1, "fixed by data_bn"),
        )
        graph = tensors["backbone.net.0.gcn1.A"].float().numpy()
        notes = (dilation_fact(spec), strides, *facts)
        return Described(spec, notes, frames, persons, graph)

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        return KeyMap(network_keys(spec, self.tree), unused=(r"^backbone\.A$",))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.sampled(self.name, spec, setting)


_PREPROCESSING = (
    "2-D: (x-W/2)/(W/2), (y-H/2)/(H/2), score{mask}; 3-D: centred on the first frame and rotated; "
    "clip_len frames sampled uniformly; zero persons for empty slots"
)

PYSKL = CtrgcnRecognizer(
    name="pyskl-ctrgcn",
    title="PYSKL CTR-GCN",
    head="cls_head.fc_cls",
    preprocessing=_PREPROCESSING.format(mask=", x=y=0 where score <= 0.01"),
)
MMACTION2 = CtrgcnRecognizer(
    name="mmaction2-ctrgcn",
    title="MMAction2's project CTR-GCN",
    head="cls_head.fc",
    preprocessing=_PREPROCESSING.format(mask=""),
)
