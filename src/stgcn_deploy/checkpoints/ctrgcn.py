"""Uason-Chen/CTR-GCN: `ctrgcn.Model` and `baseline.Model`, (N, C, T, V, M).

data_bn over M * V * C, fc, and for i = 1, 2, ..
    ctrgcn    li.gcn1.{PA, alpha, convs.k.{conv1..conv4}, down.0, down.1, bn},
              li.tcn1.branches.b.{0, 1, 3.conv, 3.bn | 4}, li.residual.{conv, bn}
    baseline  li.gcn1.{PA, conv_d.k, down.0, down.1, bn}, li.tcn1.{conv, bn}, li.residual.{conv, bn}

PYSKL's CTR-GCN has the same tree under other names (see pyskl_ctrgcn) and other maths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.checkpoints import recipes
from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors, bn_keys, conv_keys
from stgcn_deploy.checkpoints.base import Described, Fact, Hints, Setting, clip_size, with_strides
from stgcn_deploy.errors import KeyMismatchError, UnsupportedCheckpointError
from stgcn_deploy.models.ctrgcn import CtrBlockSpec, Target
from stgcn_deploy.models.spec import BlockSpec, BranchSpec, Join, NetworkSpec, Residual
from stgcn_deploy.skeleton.adjacency import build
from stgcn_deploy.skeleton.contract import Step
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["BASELINE", "CTRGCN", "Tree", "describe_network", "dilation_fact", "network_keys"]


@dataclass(frozen=True)
class Tree:
    """Where a codebase keeps the parts of the network.

    Attributes:
        block: name of a block, with a place for its number; first: the number of the first one.
        graph: name of A in a block's gcn1.
        target, join: what the names mean here, see CtrBlockSpec.
    """

    axes: str = "NCTVM"
    block: str = "l{}"
    first: int = 1
    data_bn: str = "data_bn"
    head: str = "fc"
    graph: str = "PA"
    target: Target = "row"
    join: Join = "none"

    def at(self, index: int) -> str:
        """The name of block `index`, counted from 0."""
        return self.block.format(index + self.first)

    def count(self, tensors: Tensors) -> int:
        """How many blocks follow each other; what stands behind a gap is refused by name later."""
        found = 0
        while tensors.any(rf"^{re.escape(self.at(found))}\."):
            found += 1
        return found


def _branch(tensors: Tensors, here: str, index: int) -> BranchSpec:
    at = f"{here}.branches.{index}"
    channels = tensors[f"{at}.0.weight"].shape[0]
    if f"{at}.3.conv.weight" in tensors:
        kernel = tensors[f"{at}.3.conv.weight"].shape[2]
        return BranchSpec("conv", channels, kernel, dilation=index + 1, after_bn=True)
    if f"{at}.4.weight" in tensors:
        return BranchSpec("max", channels, kernel=3, after_bn=True)
    return BranchSpec("1x1", channels, kernel=1, after_bn=True)


def _residuals(tensors: Tensors, here: str, index: int, *, square: bool) -> tuple[Residual, int]:
    """The block's residual, and its stride: a convolution behind block 0 is there to halve T."""
    if tensors.any(rf"^{here}\.residual\."):
        return "conv", 2 if index else 1
    return ("none" if index == 0 and not square else "identity"), 1


def _block(tensors: Tensors, tree: Tree, index: int) -> CtrBlockSpec:
    here = tree.at(index)
    co, ci = tensors[f"{here}.gcn1.convs.0.conv3.weight"].shape[:2]
    residual, stride = _residuals(tensors, here, index, square=ci == co)
    count = tensors.indices(rf"{here}\.tcn1\.branches\.(\d+)\.")
    return CtrBlockSpec(
        in_channels=ci,
        out_channels=co,
        stride=stride,
        residual=residual,
        graph_residual="conv" if f"{here}.gcn1.down.0.weight" in tensors else "identity",
        branches=tuple(_branch(tensors, f"{here}.tcn1", branch) for branch in range(count)),
        join=tree.join,
        relation=tensors[f"{here}.gcn1.convs.0.conv1.weight"].shape[0],
        target=tree.target,
    )


def _persons(tensors: Tensors, tree: Tree, per_person: int) -> int:
    features = tensors[f"{tree.data_bn}.weight"].numel()
    if features % per_person:
        raise KeyMismatchError(
            f"{tensors.where}: {tree.data_bn} has {features} features, expected a multiple of "
            f"V*C = {per_person}."
        )
    return features // per_person


def _network(
    tensors: Tensors, tree: Tree, family: str, blocks: tuple[BlockSpec, ...]
) -> NetworkSpec:
    k, v, _ = tensors[f"{tree.at(0)}.gcn1.{tree.graph}"].shape
    channels = blocks[0].in_channels
    return NetworkSpec(
        family=family,
        axes=tree.axes,
        in_channels=channels,
        num_joints=v,
        num_subsets=k,
        num_classes=tensors[f"{tree.head}.weight"].shape[0],
        blocks=blocks,
        input_norm="person",
        num_persons=_persons(tensors, tree, v * channels),
    )


def describe_network(tensors: Tensors, tree: Tree) -> NetworkSpec:
    """The CTR-GCN of a file, from shapes alone; strides by rule."""
    blocks = tuple(_block(tensors, tree, index) for index in range(tree.count(tensors)))
    return _network(tensors, tree, "ctrgcn", blocks)


def _shell_keys(spec: NetworkSpec, tree: Tree) -> dict[str, str]:
    """What both networks have around their two halves of a block."""
    keys = conv_keys("head", tree.head) | bn_keys("data_bn.bn", tree.data_bn)
    for index, block in enumerate(spec.blocks):
        to, of = f"blocks.{index}", tree.at(index)
        keys[f"{to}.gcn.A"] = f"{of}.gcn1.{tree.graph}"
        keys |= bn_keys(f"{to}.gcn.bn", f"{of}.gcn1.bn")
        if block.graph_residual == "conv":
            keys |= conv_keys(f"{to}.gcn.down.conv", f"{of}.gcn1.down.0")
            keys |= bn_keys(f"{to}.gcn.down.bn", f"{of}.gcn1.down.1")
        if block.residual == "conv":
            keys |= conv_keys(f"{to}.residual.conv", f"{of}.residual.conv")
            keys |= bn_keys(f"{to}.residual.bn", f"{of}.residual.bn")
    return keys


def _branch_keys(branch: BranchSpec, ours: str, theirs: str) -> dict[str, str]:
    keys = conv_keys(f"{ours}.entry", f"{theirs}.0")
    if branch.kind == "1x1":
        return keys | bn_keys(f"{ours}.after", f"{theirs}.1")
    keys |= bn_keys(f"{ours}.bn", f"{theirs}.1")
    if branch.kind == "max":
        return keys | bn_keys(f"{ours}.after", f"{theirs}.4")
    keys |= conv_keys(f"{ours}.conv", f"{theirs}.3.conv")
    return keys | bn_keys(f"{ours}.after", f"{theirs}.3.bn")


def network_keys(spec: NetworkSpec, tree: Tree) -> dict[str, str]:
    """Reference form of CTR-GCN <- file."""
    keys = _shell_keys(spec, tree)
    for index, block in enumerate(spec.blocks):
        to, of = f"blocks.{index}", tree.at(index)
        keys[f"{to}.gcn.alpha"] = f"{of}.gcn1.alpha"
        for k in range(spec.num_subsets):
            for conv in ("conv1", "conv2", "conv3", "conv4"):
                keys |= conv_keys(f"{to}.gcn.convs.{k}.{conv}", f"{of}.gcn1.convs.{k}.{conv}")
        for number, branch in enumerate(block.branches):
            part = f"branches.{number}"
            keys |= _branch_keys(branch, f"{to}.tcn.{part}", f"{of}.tcn1.{part}")
    return keys


def dilation_fact(spec: NetworkSpec) -> Fact:
    """What no shape shows of the branches."""
    dilations = tuple(b.dilation for b in spec.blocks[0].branches if b.kind == "conv")
    return Fact("dilations", dilations, "assumed", "1, 2, .. by branch")


def _described(
    spec: NetworkSpec, hints: Hints, graph: NDArray[np.float32], *notes: Fact
) -> Described:
    spec, strides = with_strides(spec, hints)
    frames, persons, facts = clip_size(
        hints,
        (52, "NW-UCLA's window") if spec.num_joints == 20 else (64, "NTU's window"),
        (spec.num_persons or 1, "fixed by data_bn"),
    )
    return Described(spec, (*notes, strides, *facts), frames, persons, graph)


_TREE = Tree()
_PREPROCESSING = (
    "NTU: camera coordinates minus joint 1 of the first person's first frame, no rotation; the middle "
    "95 % of the valid frames, resized linearly to 64; NW-UCLA: minus joint 1 of the first frame, then "
    "each axis to -1..1; a zero person for an empty slot"
)


class CtrgcnCodebase:
    """The network of the paper."""

    name = "ctr-gcn"
    title = "CTR-GCN (Uason-Chen/CTR-GCN)"
    preprocessing = _PREPROCESSING

    def matches(self, tensors: Tensors) -> bool:
        """Layers called l1, l2, .. at top level, with the four convolutions of each subset."""
        return "l1.gcn1.convs.0.conv1.weight" in tensors and "fc.weight" in tensors

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe.

        Raises:
            UnsupportedCheckpointError: trained with adaptive=False, so its graph is not in the file.
        """
        if "l1.gcn1.PA" not in tensors and not tensors.any(r"\.gcn1\.PA$"):
            raise UnsupportedCheckpointError(
                f"{tensors.where}: a CTR-GCN trained with adaptive=False: its graph is not in the file, "
                "and no published weights are of this kind; add the graph as l1.gcn1.PA, l2.gcn1.PA, .. "
                "(K, V, V)."
            )
        spec = describe_network(tensors, _TREE)
        graph = tensors["l1.gcn1.PA"].float().numpy()
        return _described(spec, hints, graph, dilation_fact(spec))

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        return KeyMap(network_keys(spec, _TREE))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.cropped(spec, setting)


class BaselineCodebase:
    """The network that the paper compares with: a graph that is only learned, and a plain tcn."""

    name = "ctr-gcn-baseline"
    title = "CTR-GCN's baseline.Model (Uason-Chen/CTR-GCN)"
    preprocessing = _PREPROCESSING

    # V -> layout, edge set: every PA starts as the identity, so that the file shows no skeleton.
    graphs: Mapping[int, tuple[str, str]] = {25: ("ntu25", "st-gcn"), 20: ("ucla20", "ctr-gcn")}

    def matches(self, tensors: Tensors) -> bool:
        """conv_d alone; 2s-AGCN has conv_a beside it, or no PA where it learns no graph."""
        return (
            "l1.gcn1.conv_d.0.weight" in tensors
            and "l1.gcn1.PA" in tensors
            and "l1.tcn1.conv.weight" in tensors
            and not tensors.any(r"^l1\.gcn1\.(conv_a|conv_ta|alpha)")
        )

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe."""
        blocks = []
        for index in range(_TREE.count(tensors)):
            here = _TREE.at(index)
            co, ci = tensors[f"{here}.gcn1.conv_d.0.weight"].shape[:2]
            residual, stride = _residuals(tensors, here, index, square=ci == co)
            blocks.append(
                BlockSpec(
                    in_channels=ci,
                    out_channels=co,
                    stride=stride,
                    residual=residual,
                    graph_residual="conv"
                    if f"{here}.gcn1.down.0.weight" in tensors
                    else "identity",
                    conv_first=False,
                    kernel=tensors[f"{here}.tcn1.conv.weight"].shape[2],
                )
            )
        spec = _network(tensors, _TREE, "ctrgcn-baseline", tuple(blocks))
        graph, note = self._graph(tensors["l1.gcn1.PA"].float().numpy())
        return _described(spec, hints, graph, note)

    def _graph(self, stored: NDArray[np.float32]) -> tuple[NDArray[np.float32], Fact]:
        """The skeleton that a network of so many joints is trained with."""
        joints = stored.shape[1]
        if joints not in self.graphs:
            return stored, Fact("graph", "PA as stored", "file", "it starts as the identity")
        layout, edges = self.graphs[joints]
        nominal = build(LAYOUTS[layout], "inward_outward", edge_set=edges).astype(np.float32)
        why = "PA starts as the identity and shows no skeleton"
        return nominal, Fact("graph", f"{layout} ({edges} edges)", "assumed", why)

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        keys = _shell_keys(spec, _TREE)
        for index in range(len(spec.blocks)):
            to, of = f"blocks.{index}", _TREE.at(index)
            for k in range(spec.num_subsets):
                keys |= conv_keys(f"{to}.gcn.conv_d.{k}", f"{of}.gcn1.conv_d.{k}")
            keys |= conv_keys(f"{to}.tcn.conv", f"{of}.tcn1.conv")
            keys |= bn_keys(f"{to}.tcn.bn", f"{of}.tcn1.bn")
        return KeyMap(keys)

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.cropped(spec, setting)


CTRGCN = CtrgcnCodebase()
BASELINE = BaselineCodebase()
