"""MMAction2 0.x's AGCN, (N, C, T, V, M).

backbone.A (K,V,V), backbone.data_bn (V*C), backbone.agcn_networks.i.gcn.{PA, conv_a.k, conv_b.k,
conv_d.k, down.0, down.1, bn}, .tcn.0 conv, .tcn.1 BN, .residual.0 conv, .residual.1 BN,
cls_head.fc (classes, C, 1, 1)
"""

from __future__ import annotations

from stgcn_deploy.checkpoints import recipes
from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors
from stgcn_deploy.checkpoints.agcn import AgcnNames, adaptive_keys, describe_adaptive
from stgcn_deploy.checkpoints.base import Described, Fact, Hints, Setting, clip_size, with_strides
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.skeleton.contract import Step

__all__ = ["CODEBASE"]

NAMES = AgcnNames(
    block="backbone.agcn_networks.{}",
    first=0,
    unit="gcn",
    tcn=("tcn.0", "tcn.1"),
    residual=("residual.0", "residual.1"),
    graph="PA",
    data_bn="backbone.data_bn",
    head="cls_head.fc",
    shared_graph="backbone.A",
)


class MmactionAgcn:
    """AGCN as MMAction2 had it up to 0.24."""

    name = "mmaction2-0.x-agcn"
    title = "MMAction2 0.x AGCN"
    preprocessing = (
        "NTU: each frame centred on joint 1 of the first person, rotated; 2-D: (x-960)/1920, "
        "(y-540)/1080, score-0.5; the clip repeated to 300 frames; zero persons for empty slots"
    )

    def matches(self, tensors: Tensors) -> bool:
        """Its own name of the list of blocks."""
        return "backbone.agcn_networks.0.gcn.conv_a.0.weight" in tensors

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe."""
        plain = describe_adaptive(tensors, NAMES, axes="NCTVM")
        spec, strides = with_strides(plain, hints)
        frames, persons, facts = clip_size(
            hints,
            (300, "the usual clip of MMAction2 0.x's settings"),
            (
                spec.num_persons or 2,
                "fixed by data_bn" if spec.num_persons else "num_person of the usual settings",
            ),
        )
        block0 = Fact("block 0 residual", "none", "assumed", "as the codebase has it")
        graph = tensors["backbone.A"].float().numpy()
        return Described(spec, (strides, block0, *facts), frames, persons, graph)

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        return KeyMap(adaptive_keys(spec, NAMES))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.looped(spec, setting)


CODEBASE = MmactionAgcn()
