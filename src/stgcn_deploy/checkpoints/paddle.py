"""PaddleVideo's skeleton recognisers, (N, C, T, V, M); their .pdparams are read by pdparams.

STGCN     backbone.: st-gcn's tree;                                    head.fcn, a 1x1 convolution
AGCN      backbone.agcn.i.{gcn.conv1, gcn.conv2, tcn.0 BN, tcn.2 conv, tcn.3 BN, conv_res, bn_res};
          head.fcn; data_bn, and the first block's residual, are never applied
AGCN2s    backbone.: 2s-AGCN's tree;                                   head.fc
CTRGCN    backbone.: CTR-GCN's tree;                                   head.fc
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.checkpoints import ctrgcn, recipes
from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors, bn_keys, conv_keys
from stgcn_deploy.checkpoints.agcn import (
    TWO_STREAM_NAMES,
    adaptive_keys,
    describe_adaptive,
    nominal_graph,
)
from stgcn_deploy.checkpoints.base import Described, Fact, Hints, Setting, clip_size, with_strides
from stgcn_deploy.checkpoints.stgcn import describe_network, network_keys
from stgcn_deploy.errors import KeyMismatchError, UnsupportedCheckpointError
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec
from stgcn_deploy.skeleton.adjacency import build, identify
from stgcn_deploy.skeleton.contract import Step
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["AGCN", "AGCN2S", "CTRGCN", "STGCN"]

PREFIX = "backbone."
BLOCK0 = Fact("block 0 residual", "none", "assumed", "as the codebase has it")
# (layout, edge set) -> T, M, and whose settings they are.
SETTINGS = {
    ("openpose25", "fsd10"): (350, 1, "PaddleVideo's FSD-10 settings"),
    ("coco17", "paddle"): (50, 1, "PP-Human's fall detection"),
    ("ntu25", "st-gcn"): (300, 2, "PaddleVideo's NTU settings"),
}
_2D = "FSD-10: x, y minus joint 8, frames spread or zeros up to 350; "
_NTU = (
    "NTU: centred on the first frame, zeros up to the clip's length, zero persons for empty slots"
)


def _described(
    spec: NetworkSpec,
    hints: Hints,
    graph: NDArray[np.float32],
    usual: tuple[int, int, str],
    notes: Sequence[Fact] = (),
) -> Described:
    spec, strides = with_strides(spec, hints)
    frames, persons, why = usual
    fixed = spec.num_persons
    frames, persons, facts = clip_size(
        hints, (frames, why), (fixed or persons, "fixed by data_bn" if fixed else why)
    )
    return Described(spec, (*notes, strides, BLOCK0, *facts), frames, persons, graph)


def _steps(spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
    """FSD-10; PP-Human's steps start from boxes, and NTU arrays were prepared elsewhere."""
    skating = setting.layout is not None and setting.layout.name == "openpose25"
    if not skating or spec.in_channels != 2 or setting.stream != "joint":
        return ()
    return (
        Step("coordinates", {"dimensions": 2}),
        Step("spread_or_pad", {"frames": setting.frames}),
        Step("minus_joint", {"joint": 8}),
        Step("persons", {"count": setting.persons}),
    )


class PaddleStgcn:
    """st-gcn's network."""

    name = "paddle-stgcn"
    title = "PaddleVideo ST-GCN"
    preprocessing = (
        f"{_2D}PP-Human: (x, y minus the box's corner) / box size * (384, 512), every second of 100 "
        f"frames; {_NTU}"
    )
    head = "head.fcn"

    def matches(self, tensors: Tensors) -> bool:
        """The block convolution of st-gcn in a backbone, and PaddleVideo's head."""
        return (
            f"{PREFIX}st_gcn_networks.0.gcn.conv.weight" in tensors
            and f"{self.head}.weight" in tensors
        )

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe."""
        spec = describe_network(tensors, PREFIX, head=self.head)
        graph = tensors[f"{PREFIX}A"].float().numpy()
        match = identify(graph)
        known = (match.layout.name, match.edge_set.name) if match and match.exact else ("", "")
        usual = SETTINGS.get(known, (300, 1, "usual for ST-GCN"))
        return _described(spec, hints, graph, usual)

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        return KeyMap(network_keys(spec, "", PREFIX, head=self.head))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return _steps(spec, setting)


def _skated(spec: NetworkSpec) -> bool:
    """FSD-10 rather than NTU: both have 25 joints, and PaddleVideo's AGCN takes x, y of either."""
    return spec.num_joints == 25 and spec.in_channels == 2 and spec.num_classes != 60


class PaddleAgcn:
    """PaddleVideo's own AGCN."""

    name = "paddle-agcn"
    title = "PaddleVideo AGCN"
    preprocessing = f"{_2D}{_NTU}"
    head = "head.fcn"
    first = f"{PREFIX}agcn.0.gcn"

    def matches(self, tensors: Tensors) -> bool:
        """The convolution that is its graph."""
        return f"{self.first}.conv2.weight" in tensors

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe.

        Raises:
            KeyMismatchError: the graph layer is not (V, K * V).
        """
        joints, wide = tensors[f"{self.first}.conv2.weight"].shape[:2]
        if wide % joints:
            raise KeyMismatchError(
                f"{tensors.where}: {self.first}.conv2 has {wide} inputs, expected a multiple of "
                f"V = {joints}."
            )
        count = tensors.indices(rf"{PREFIX}agcn\.(\d+)\.")
        subsets = wide // joints
        blocks = tuple(self._block(tensors, index, subsets) for index in range(count))
        spec = NetworkSpec(
            family="paddle-agcn",
            axes="NCTVM",
            in_channels=blocks[0].in_channels,
            num_joints=joints,
            num_subsets=subsets,
            num_classes=tensors[f"{self.head}.weight"].shape[0],
            blocks=blocks,
            input_norm="none",
        )
        graph, note = self._graph(tensors, hints, spec)
        usual = SETTINGS[("openpose25", "fsd10") if _skated(spec) else ("ntu25", "st-gcn")]
        return _described(spec, hints, graph, usual, [note])

    def _block(self, tensors: Tensors, index: int, subsets: int) -> BlockSpec:
        here = f"{PREFIX}agcn.{index}"
        wide, ci = tensors[f"{here}.gcn.conv1.weight"].shape[:2]
        co = wide // subsets
        return BlockSpec(
            in_channels=ci,
            out_channels=co,
            stride=2 if index and ci != co else 1,
            # Every block holds a residual convolution; only the first does not use it.
            residual="conv" if index else "none",
            kernel=tensors[f"{here}.tcn.2.weight"].shape[2],
        )

    def _graph(
        self, tensors: Tensors, hints: Hints, spec: NetworkSpec
    ) -> tuple[NDArray[np.float32], Fact]:
        """What joints there are: the network was given no skeleton, so no file can show one."""
        said = hints.layout is not None
        layout = hints.layout
        if layout is None and spec.num_joints == 25:
            layout = LAYOUTS["openpose25" if _skated(spec) else "ntu25"]
        if layout is None or layout.num_joints != spec.num_joints or spec.num_subsets != 3:
            k, v = spec.num_subsets, spec.num_joints
            learned = tensors[f"{self.first}.conv2.weight"].float().reshape(v, k, v)
            note = Fact("graph", "a learned layer", "file", "it shows no skeleton")
            return learned.permute(1, 2, 0).numpy(), note
        fsd10 = layout.name == "openpose25"
        edges = "fsd10" if fsd10 else layout.edge_sets[0].name
        nominal = build(layout, "spatial_configuration", edge_set=edges).astype(np.float32)
        origin = hints.origin("layout") if said else "assumed"
        why = "the network learned its graph and was given no skeleton"
        return nominal, Fact("layout", layout.name, origin, why)

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        keys = conv_keys("head", self.head)
        for index, block in enumerate(spec.blocks):
            to, of = f"blocks.{index}", f"{PREFIX}agcn.{index}"
            for conv in ("conv1", "conv2"):
                keys |= conv_keys(f"{to}.gcn.{conv}", f"{of}.gcn.{conv}")
            keys |= bn_keys(f"{to}.gcn.bn", f"{of}.tcn.0")
            keys |= conv_keys(f"{to}.tcn.conv", f"{of}.tcn.2") | bn_keys(
                f"{to}.tcn.bn", f"{of}.tcn.3"
            )
            if block.residual == "conv":
                keys |= conv_keys(f"{to}.residual.conv", f"{of}.conv_res")
                keys |= bn_keys(f"{to}.residual.bn", f"{of}.bn_res")
        never = (r"^backbone\.data_bn\.", r"^backbone\.agcn\.0\.(conv|bn)_res\.")
        return KeyMap(keys, unused=never)

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return _steps(spec, setting)


class PaddleAgcn2s:
    """2s-AGCN's AGCN."""

    name = "paddle-agcn2s"
    title = "PaddleVideo AGCN2s (2s-AGCN)"
    preprocessing = _NTU
    names = replace(
        TWO_STREAM_NAMES, block=f"{PREFIX}l{{}}", data_bn=f"{PREFIX}data_bn", head="head.fc"
    )

    def matches(self, tensors: Tensors) -> bool:
        """The embeddings of 2s-AGCN in a backbone, and PaddleVideo's head."""
        return (
            f"{PREFIX}l1.gcn1.conv_a.0.weight" in tensors and f"{self.names.head}.weight" in tensors
        )

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe."""
        spec = describe_adaptive(tensors, self.names, axes="NCTVM")
        graph, note = nominal_graph(tensors, hints, spec.num_joints)
        spec = replace(spec, options=(("graph", graph),))
        usual = SETTINGS["ntu25", "st-gcn"]
        return _described(spec, hints, graph.adjacency().numpy(), usual, [note])

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        return KeyMap(adaptive_keys(spec, self.names))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return _steps(spec, setting)


class PaddleCtrgcn:
    """CTR-GCN's network."""

    name = "paddle-ctrgcn"
    title = "PaddleVideo CTR-GCN"
    preprocessing = (
        "NTU: camera coordinates minus joint 1 of the first person's first frame; the middle of the "
        "valid frames, resized linearly to 64; a zero person for an empty slot"
    )
    tree = ctrgcn.Tree(block=f"{PREFIX}l{{}}", data_bn=f"{PREFIX}data_bn", head="head.fc")

    def matches(self, tensors: Tensors) -> bool:
        """The four convolutions of each subset in a backbone, and PaddleVideo's head."""
        return (
            f"{PREFIX}l1.gcn1.convs.0.conv1.weight" in tensors
            and f"{self.tree.head}.weight" in tensors
        )

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe.

        Raises:
            UnsupportedCheckpointError: trained with adaptive=False.
        """
        if not tensors.any(r"\.gcn1\.PA$"):
            raise UnsupportedCheckpointError(
                f"{tensors.where}: a CTR-GCN trained with adaptive=False; PaddleVideo itself cannot "
                "run it, and no published weights are of this kind."
            )
        spec = ctrgcn.describe_network(tensors, self.tree)
        graph = tensors[f"{self.tree.at(0)}.gcn1.PA"].float().numpy()
        usual = (64, spec.num_persons or 2, "PaddleVideo's NTU window")
        return _described(spec, hints, graph, usual, [ctrgcn.dilation_fact(spec)])

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        return KeyMap(ctrgcn.network_keys(spec, self.tree))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.cropped(spec, setting)


STGCN = PaddleStgcn()
AGCN = PaddleAgcn()
AGCN2S = PaddleAgcn2s()
CTRGCN = PaddleCtrgcn()
