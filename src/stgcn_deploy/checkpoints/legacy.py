"""yysijie/st-gcn before June 2018 (kinetics-st_gcn.pt, ntuxsub-st_gcn.pt), (N, C, T, V, M).

data_bn (M*V*C), gcn0.{mask (K,V,V), conv_list.k, bn}, tcn0.{conv, bn},
backbone.j.{gcn1.{mask, conv_list.k, bn}, tcn1.{conv, bn}, down1.{conv, bn}},
person_bn (never applied), fcn (classes, C, 1).  The graph is not in the file.
"""

from __future__ import annotations

from stgcn_deploy.checkpoints import recipes
from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors, bn_keys, conv_keys
from stgcn_deploy.checkpoints.agcn import nominal_graph
from stgcn_deploy.checkpoints.base import (
    Described,
    Hints,
    Setting,
    clip_size,
    input_norm,
    with_strides,
)
from stgcn_deploy.errors import UnsupportedCheckpointError, UsageError
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec
from stgcn_deploy.skeleton.contract import Step

__all__ = ["CODEBASE"]

# V of the files that were released: Kinetics-skeleton, NTU RGB+D.
RELEASED = (18, 25)
FIRST = "gcn0.conv_list.0.weight"


def _unit_names(index: int) -> tuple[str, str, str]:
    """Keys of the graph unit, the temporal unit and the residual of block `index`."""
    if index == 0:
        return "gcn0", "tcn0", ""
    here = f"backbone.{index - 1}"
    return f"{here}.gcn1", f"{here}.tcn1", f"{here}.down1"


def _masked(tensors: Tensors) -> bool:
    """Masks in one block are expected in all, so that a lost tensor makes no other network."""
    return tensors.any(r"^(gcn0|backbone\.\d+\.gcn1)\.mask$")


def _block(tensors: Tensors, index: int) -> BlockSpec:
    gcn, tcn, down = _unit_names(index)
    co, ci = tensors[f"{gcn}.conv_list.0.weight"].shape[:2]
    if tensors[f"{gcn}.bn.weight"].numel() != co:
        raise UnsupportedCheckpointError(
            f"{tensors.where}: a legacy ST-GCN with use_local_bn (a normalisation for each joint and "
            "channel), of which no trained file was ever released; it is not supported."
        )
    convolved = index > 0 and (ci != co or tensors.any(rf"^{down}\."))
    return BlockSpec(
        in_channels=ci,
        out_channels=co,
        stride=2 if convolved else 1,
        residual="conv" if convolved else ("identity" if index else "none"),
        conv_first=False,
        adjacency="importance" if _masked(tensors) else "plain",
        kernel=tensors[f"{tcn}.conv.weight"].shape[2],
    )


def _joints(tensors: Tensors, hints: Hints) -> int:
    """V: of the mask; without one, of what is said, or of a released layout that data_bn fits."""
    if _masked(tensors):
        return tensors["gcn0.mask"].shape[1]
    if hints.layout is not None:
        return hints.layout.num_joints
    if "data_bn.weight" in tensors:
        places = tensors["data_bn.weight"].numel() // tensors[FIRST].shape[1]
        for joints in RELEASED:
            if places % joints == 0:
                return joints
    raise UsageError(
        f"{tensors.where}: a legacy ST-GCN without masks or data_bn does not show its number of "
        "joints; say which layout it was trained with: --layout."
    )


class LegacyCodebase:
    """The first release of st-gcn; today's code cannot read its files either."""

    name = "st-gcn-legacy"
    title = "legacy ST-GCN of early 2018 (yysijie/st-gcn before June 2018)"
    preprocessing = (
        "Kinetics: x/W-0.5, y/H-0.5, score, with x=y=0 where score=0; NTU: camera metres; zero "
        "frames at the end, zero persons for empty slots"
    )

    def matches(self, tensors: Tensors) -> bool:
        """One 1x1 convolution for each subset, in a stem called gcn0."""
        return FIRST in tensors

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe.

        Raises:
            UnsupportedCheckpointError: a variant of it that was never released with weights.
            UsageError: neither the file nor the user says how many joints there are.
        """
        if tensors.any(r"\.unit_1\."):
            raise UnsupportedCheckpointError(
                f"{tensors.where}: a legacy ST-GCN with multi-scale units, of which no trained file "
                "was ever released; it is not supported."
            )
        subsets = tensors.indices(r"gcn0\.conv_list\.(\d+)\.")
        if subsets != 3:
            raise UnsupportedCheckpointError(
                f"{tensors.where}: a legacy ST-GCN with {subsets} subset(s): a labelling other than "
                "'spatial', of which no trained file was ever released; it is not supported."
            )
        joints = _joints(tensors, hints)
        graph, graph_fact = nominal_graph(tensors, hints, joints)
        count = 1 + tensors.indices(r"backbone\.(\d+)\.")
        blocks = tuple(_block(tensors, index) for index in range(count))
        channels = blocks[0].in_channels
        norm, fixed = input_norm(tensors, "data_bn", joints * channels)
        plain = NetworkSpec(
            family="stgcn-legacy",
            axes="NCTVM",
            in_channels=channels,
            num_joints=joints,
            num_subsets=subsets,
            num_classes=tensors["fcn.weight"].shape[0],
            blocks=blocks,
            input_norm=norm,
            num_persons=fixed,
            options=(("graph", graph),),
        )
        spec, strides = with_strides(plain, hints)
        frames, persons, facts = clip_size(
            hints,
            (300, "the usual clip of st-gcn's Kinetics and NTU settings"),
            (fixed or 2, "fixed by data_bn" if fixed else "usual for this codebase"),
        )
        notes = (graph_fact, strides, *facts)
        return Described(spec, notes, frames, persons, graph.adjacency().numpy())

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        keys = conv_keys("head", "fcn")
        if spec.input_norm != "none":
            keys |= bn_keys("data_bn.bn", "data_bn")
        for index, block in enumerate(spec.blocks):
            gcn, tcn, down = _unit_names(index)
            to = f"blocks.{index}"
            if block.adjacency == "importance":
                keys[f"{to}.gcn.PA"] = f"{gcn}.mask"
            for subset in range(spec.num_subsets):
                keys |= conv_keys(f"{to}.gcn.convs.{subset}", f"{gcn}.conv_list.{subset}")
            keys |= bn_keys(f"{to}.gcn.bn", f"{gcn}.bn")
            keys |= conv_keys(f"{to}.tcn.conv", f"{tcn}.conv") | bn_keys(
                f"{to}.tcn.bn", f"{tcn}.bn"
            )
            if block.residual == "conv":
                keys |= conv_keys(f"{to}.residual.conv", f"{down}.conv")
                keys |= bn_keys(f"{to}.residual.bn", f"{down}.bn")
        return KeyMap(keys, unused=(r"^person_bn\.",))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.released(spec, setting)


CODEBASE = LegacyCodebase()
