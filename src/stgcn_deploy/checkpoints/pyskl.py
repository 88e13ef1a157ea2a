"""PYSKL and MMAction2 1.x recognisers with the STGCN backbone: ST-GCN and ST-GCN++, (N, M, T, V, C).

backbone.data_bn, backbone.gcn.i.gcn.{A, PA, conv, bn, down.0, down.1},
backbone.gcn.i.tcn.{conv, bn} or .tcn.{branches.b.{0, 1, 3.conv}, transform.0, transform.2, bn},
backbone.gcn.i.residual.{conv, bn}, cls_head.fc_cls (PYSKL) or cls_head.fc (MMAction2)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stgcn_deploy.checkpoints import recipes
from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors, bn_keys, conv_keys
from stgcn_deploy.checkpoints.base import (
    Described,
    Fact,
    Hints,
    Setting,
    clip_size,
    input_norm,
    with_strides,
)
from stgcn_deploy.errors import KeyMismatchError
from stgcn_deploy.models.spec import (
    Adjacency,
    BlockSpec,
    BranchSpec,
    NetworkSpec,
    Residual,
)
from stgcn_deploy.skeleton.contract import Step

__all__ = ["MMACTION2", "PYSKL"]

# An importance mask starts at 1 and stays around it; an offset starts at 1e-6 and stays small.
OFFSET_CEILING = 0.25


def _adjacency_kind(tensors: Tensors, hints: Hints) -> tuple[Adjacency, Fact]:
    """Whether PA multiplies A or is added to it; keys and shapes are the same for both."""
    if "backbone.gcn.0.gcn.PA" not in tensors:
        return "plain", Fact("adjacency", "A as stored (fixed or learned)", "file")
    if hints.adjacency:
        return hints.adjacency, Fact("adjacency", hints.adjacency, hints.origin("adjacency"))
    a, pa = tensors["backbone.gcn.0.gcn.A"], tensors["backbone.gcn.0.gcn.PA"]
    if pa.shape != a.shape or not torch.is_floating_point(pa):
        raise KeyMismatchError(
            f"{tensors.where}: PA is {tuple(pa.shape)} {pa.dtype}, expected {tuple(a.shape)} of "
            "floating point, like A."
        )
    unused = pa[a == 0] if bool((a == 0).any()) else pa.flatten()
    # Where A is 0 a mask gets no gradient: it can only have decayed, everywhere by the same factor.
    constant = bool(
        (unused - unused.mean()).abs().max() <= 1e-6 * max(1e-3, float(unused.abs().max()))
    )
    middle = float(torch.median(unused.abs().float()))
    importance = middle > OFFSET_CEILING or (constant and middle > 1e-5)
    kind: Adjacency = "importance" if importance else "offset"
    why = f"median |PA| is {middle:.2g} where A is 0; an importance starts at 1, an offset at 1e-6"
    return kind, Fact("adjacency", kind, "assumed", why)


def _branch(tensors: Tensors, here: str, index: int) -> BranchSpec:
    at = f"{here}.branches.{index}"
    if f"{at}.weight" in tensors:
        return BranchSpec("1x1", tensors[f"{at}.weight"].shape[0], kernel=1)
    channels = tensors[f"{at}.0.weight"].shape[0]
    if f"{at}.3.conv.weight" in tensors:
        kernel = tensors[f"{at}.3.conv.weight"].shape[2]
        return BranchSpec("conv", channels, kernel=kernel, dilation=index + 1)
    return BranchSpec("max", channels, kernel=3)


def _branches(tensors: Tensors, here: str) -> tuple[BranchSpec, ...]:
    if not tensors.any(rf"^{here}\.branches\."):
        return ()
    count = tensors.indices(rf"{here}\.branches\.(\d+)\.")
    return tuple(_branch(tensors, here, index) for index in range(count))


def _block(tensors: Tensors, index: int, adjacency: Adjacency, with_res: bool) -> BlockSpec:
    here = f"backbone.gcn.{index}"
    k = tensors[f"{here}.gcn.A"].shape[0]
    co = tensors[f"{here}.gcn.bn.weight"].shape[0]
    wide, narrow = tensors[f"{here}.gcn.conv.weight"].shape[:2]
    conv_first = wide == k * co
    ci = narrow if conv_first else narrow // k
    if ci < 1 or (not conv_first and (wide != co or narrow % k)):
        raise KeyMismatchError(
            f"{tensors.where}: {here}.gcn.conv is ({wide}, {narrow}), which fits neither (K*C', C) nor "
            f"(C', K*C) for K = {k} and C' = {co}."
        )
    branches = _branches(tensors, f"{here}.tcn")
    residual: Residual = "identity"
    if tensors.any(rf"^{here}\.residual\."):
        residual = "conv"
    elif index == 0 and ci != co:
        residual = "none"
    graph_residual: Residual = "none"
    if with_res:
        graph_residual = "conv" if ci != co else "identity"
    return BlockSpec(
        in_channels=ci,
        out_channels=co,
        stride=2 if residual == "conv" and index > 0 else 1,
        residual=residual,
        graph_residual=graph_residual,
        conv_first=conv_first,
        adjacency=adjacency,
        kernel=0 if branches else tensors[f"{here}.tcn.conv.weight"].shape[2],
        branches=branches,
    )


def _block_keys(block: BlockSpec, to: str, of: str) -> dict[str, str]:
    keys = {f"{to}.gcn.A": f"{of}.gcn.A"}
    if block.adjacency != "plain":
        keys[f"{to}.gcn.PA"] = f"{of}.gcn.PA"
    keys |= conv_keys(f"{to}.gcn.conv", f"{of}.gcn.conv")
    keys |= bn_keys(f"{to}.gcn.bn", f"{of}.gcn.bn")
    if block.graph_residual == "conv":
        keys |= conv_keys(f"{to}.gcn.down.conv", f"{of}.gcn.down.0")
        keys |= bn_keys(f"{to}.gcn.down.bn", f"{of}.gcn.down.1")
    if block.residual == "conv":
        keys |= conv_keys(f"{to}.residual.conv", f"{of}.residual.conv")
        keys |= bn_keys(f"{to}.residual.bn", f"{of}.residual.bn")
    keys |= bn_keys(f"{to}.tcn.bn", f"{of}.tcn.bn")
    if not block.branches:
        return keys | conv_keys(f"{to}.tcn.conv", f"{of}.tcn.conv")
    keys |= bn_keys(f"{to}.tcn.join_bn", f"{of}.tcn.transform.0")
    keys |= conv_keys(f"{to}.tcn.join", f"{of}.tcn.transform.2")
    for index, branch in enumerate(block.branches):
        ours, theirs = f"{to}.tcn.branches.{index}", f"{of}.tcn.branches.{index}"
        if branch.kind == "1x1":
            keys |= conv_keys(f"{ours}.entry", theirs)
            continue
        keys |= conv_keys(f"{ours}.entry", f"{theirs}.0") | bn_keys(f"{ours}.bn", f"{theirs}.1")
        if branch.kind == "conv":
            keys |= conv_keys(f"{ours}.conv", f"{theirs}.3.conv")
    return keys


@dataclass(frozen=True)
class SkeletonRecognizer:
    """The two codebases differ in the name of the classifier."""

    name: str
    title: str
    head: str
    preprocessing: str

    def matches(self, tensors: Tensors) -> bool:
        """A graph convolution with its own A and one 1x1 convolution, and this codebase's head."""
        return (
            "backbone.gcn.0.gcn.conv.weight" in tensors
            and "backbone.gcn.0.gcn.A" in tensors
            and f"{self.head}.weight" in tensors
        )

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe."""
        graph = tensors["backbone.gcn.0.gcn.A"]
        if graph.ndim != 3 or graph.shape[1] != graph.shape[2]:
            raise KeyMismatchError(
                f"{tensors.where}: A has shape {tuple(graph.shape)}, expected (K, V, V)."
            )
        k, v, _ = graph.shape
        kind, adjacency = _adjacency_kind(tensors, hints)
        with_res = tensors.any(r"^backbone\.gcn\.\d+\.gcn\.down\.")
        count = tensors.indices(r"backbone\.gcn\.(\d+)\.")
        blocks = tuple(_block(tensors, index, kind, with_res) for index in range(count))
        if not blocks[0].in_channels:
            raise KeyMismatchError(
                f"{tensors.where}: A has {k} subsets, more than the first convolution has inputs."
            )
        norm, fixed = input_norm(tensors, "backbone.data_bn", v * blocks[0].in_channels)
        plain = NetworkSpec(
            family="stgcnpp" if blocks[0].branches else "stgcn",
            axes="NMTVC",
            in_channels=blocks[0].in_channels,
            num_joints=v,
            num_subsets=k,
            num_classes=tensors[f"{self.head}.weight"].shape[0],
            blocks=blocks,
            input_norm=norm,
            num_persons=fixed,
        )
        spec, strides = with_strides(plain, hints)
        hand = v == 21
        frames, persons, facts = clip_size(
            hints,
            (10, "the hand gesture settings") if hand else (100, "clip_len of the usual settings"),
            (
                fixed or (1 if hand else 2),
                "fixed by data_bn" if fixed else "num_person of the usual settings",
            ),
        )
        notes = [adjacency, strides, *facts]
        if blocks[0].branches:
            dilations = tuple(b.dilation for b in blocks[0].branches if b.kind == "conv")
            notes.append(Fact("dilations", dilations, "assumed", "1, 2, 3, ... by branch"))
        return Described(spec, tuple(notes), frames, persons, graph.float().numpy())

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        keys = conv_keys("head", self.head)
        if spec.input_norm != "none":
            keys |= bn_keys("data_bn.bn", "backbone.data_bn")
        for index, block in enumerate(spec.blocks):
            keys |= _block_keys(block, f"blocks.{index}", f"backbone.gcn.{index}")
        return KeyMap(keys)

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.sampled(self.name, spec, setting)


_PREPROCESSING = (
    "2-D: (x-W/2)/(W/2), (y-H/2)/(H/2), score{mask}; 3-D: centred on the first frame and rotated; "
    "clip_len frames sampled uniformly; zero persons for empty slots"
)

PYSKL = SkeletonRecognizer(
    name="pyskl",
    title="PYSKL ST-GCN and ST-GCN++",
    head="cls_head.fc_cls",
    preprocessing=_PREPROCESSING.format(mask=", x=y=0 where score <= 0.01"),
)
MMACTION2 = SkeletonRecognizer(
    name="mmaction2",
    title="MMAction2 1.x ST-GCN and ST-GCN++",
    head="cls_head.fc",
    preprocessing=_PREPROCESSING.format(mask=""),
)
