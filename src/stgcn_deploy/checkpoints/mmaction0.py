"""MMAction2 0.x SkeletonGCN with the STGCN backbone: st-gcn's tree under backbone., (N, C, T, V, M).

backbone.{A, data_bn, st_gcn_networks.i, edge_importance.i}, cls_head.fc (classes, C, 1, 1)
"""

from __future__ import annotations

from stgcn_deploy.checkpoints import recipes
from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors
from stgcn_deploy.checkpoints.base import Described, Fact, Hints, Setting, clip_size, with_strides
from stgcn_deploy.checkpoints.stgcn import describe_network, network_keys
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.skeleton.contract import Step

__all__ = ["CODEBASE"]

PREFIX = "backbone."
HEAD = "cls_head.fc"


class MMAction0Codebase:
    """The network of st-gcn in MMAction2's first generation of recognisers."""

    name = "mmaction2-0.x"
    title = "MMAction2 0.x ST-GCN"
    preprocessing = (
        "2-D: (x-960)/1920, (y-540)/1080, score-0.5; NTU: centred and rotated; clips shorter than 300 "
        "frames start again; zero persons for empty slots"
    )

    def matches(self, tensors: Tensors) -> bool:
        """The block convolution of st-gcn in a backbone, and MMAction2's head."""
        return (
            f"{PREFIX}st_gcn_networks.0.gcn.conv.weight" in tensors and f"{HEAD}.weight" in tensors
        )

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe."""
        spec, strides = with_strides(describe_network(tensors, PREFIX, head=HEAD), hints)
        frames, persons, facts = clip_size(
            hints,
            (300, "the usual clip of this codebase's settings"),
            (
                spec.num_persons or 2,
                "fixed by data_bn" if spec.num_persons else "num_person of the usual settings",
            ),
        )
        block0 = Fact("block 0 residual", "none", "assumed", "as the codebase has it")
        graph = tensors[f"{PREFIX}A"].float().numpy()
        return Described(spec, (strides, block0, *facts), frames, persons, graph)

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        return KeyMap(network_keys(spec, "", PREFIX, head=HEAD))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.looped(spec, setting)


CODEBASE = MMAction0Codebase()
