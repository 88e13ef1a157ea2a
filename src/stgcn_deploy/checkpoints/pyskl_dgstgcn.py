"""PYSKL recognisers with the DGSTGCN backbone, (N, M, T, V, C).

backbone.data_bn, backbone.gcn.i.gcn.{A, alpha, beta, pre.0, pre.1, conv1, conv2, post, bn, down.0,
down.1}, backbone.gcn.i.tcn as in pyskl.py, with add_coeff where the mean joint is used,
backbone.gcn.i.residual.{conv, bn}, cls_head.fc_cls
"""

from __future__ import annotations

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
from stgcn_deploy.models.dgstgcn import DynamicBlockSpec
from stgcn_deploy.models.spec import BranchSpec, NetworkSpec, Residual
from stgcn_deploy.skeleton.contract import Step

__all__ = ["CODEBASE"]

HEAD = "cls_head.fc_cls"
FIRST = "backbone.gcn.0"


def _subset_wise(tensors: Tensors, count: int) -> Fact:
    """Whether every subset has its own strengths: nothing says so but their values.

    Without, only the first of them is ever trained and the others keep their initial 0.
    """
    others = [
        tensors[f"backbone.gcn.{index}.gcn.{name}"][1:]
        for index in range(count)
        for name in ("alpha", "beta")
    ]
    found = all(bool((values != 0).all()) for values in others if values.numel())
    why = "alpha and beta of the later subsets are " + ("all in use" if found else "(partly) 0")
    return Fact("strengths by subset", found, "assumed", why)


def _branch(tensors: Tensors, at: str, dilation: int) -> BranchSpec:
    if f"{at}.weight" in tensors:
        return BranchSpec("1x1", tensors[f"{at}.weight"].shape[0], kernel=1)
    channels = tensors[f"{at}.0.weight"].shape[0]
    if f"{at}.3.conv.weight" in tensors:
        return BranchSpec("conv", channels, tensors[f"{at}.3.conv.weight"].shape[2], dilation)
    return BranchSpec("max", channels, kernel=3)


def _branches(tensors: Tensors, here: str) -> tuple[BranchSpec, ...]:
    if not tensors.any(rf"^{here}\.branches\."):
        return ()
    count = tensors.indices(rf"{here}\.branches\.(\d+)\.")
    return tuple(_branch(tensors, f"{here}.branches.{index}", index + 1) for index in range(count))


def _block(tensors: Tensors, index: int, *, subset_wise: bool) -> DynamicBlockSpec:
    here = f"backbone.gcn.{index}"
    k = tensors[f"{here}.gcn.A"].shape[0]
    wide, ci = tensors[f"{here}.gcn.pre.0.weight"].shape[:2]
    co = tensors[f"{here}.gcn.post.weight"].shape[0]
    branches = _branches(tensors, f"{here}.tcn")
    residual: Residual = "identity"
    if tensors.any(rf"^{here}\.residual\."):
        residual = "conv"
    elif index == 0 and ci != co:
        residual = "none"
    with_mean = f"{here}.tcn.add_coeff" in tensors
    return DynamicBlockSpec(
        in_channels=ci,
        out_channels=co,
        stride=2 if residual == "conv" and index > 0 else 1,
        residual=residual,
        graph_residual="conv" if f"{here}.gcn.down.0.weight" in tensors else "identity",
        kernel=0 if branches else tensors[f"{here}.tcn.conv.weight"].shape[2],
        branches=branches,
        hidden=wide // k,
        subset_wise=subset_wise,
        coefficients=tensors[f"{here}.tcn.add_coeff"].numel() if with_mean else 0,
    )


def _graph_keys(block: DynamicBlockSpec, to: str, of: str) -> dict[str, str]:
    keys = {f"{to}.{name}": f"{of}.{name}" for name in ("A", "alpha", "beta")}
    keys |= conv_keys(f"{to}.pre.conv", f"{of}.pre.0") | bn_keys(f"{to}.pre.bn", f"{of}.pre.1")
    keys |= conv_keys(f"{to}.source", f"{of}.conv1") | conv_keys(f"{to}.target", f"{of}.conv2")
    keys |= conv_keys(f"{to}.post", f"{of}.post") | bn_keys(f"{to}.bn", f"{of}.bn")
    if block.graph_residual == "conv":
        keys |= conv_keys(f"{to}.down.conv", f"{of}.down.0")
        keys |= bn_keys(f"{to}.down.bn", f"{of}.down.1")
    return keys


def _temporal_keys(block: DynamicBlockSpec, to: str, of: str) -> dict[str, str]:
    keys = bn_keys(f"{to}.bn", f"{of}.bn")
    if not block.branches:
        return keys | conv_keys(f"{to}.conv", f"{of}.conv")
    if block.coefficients:
        keys[f"{to}.coefficients"] = f"{of}.add_coeff"
    keys |= bn_keys(f"{to}.join_bn", f"{of}.transform.0")
    keys |= conv_keys(f"{to}.join", f"{of}.transform.2")
    for index, branch in enumerate(block.branches):
        ours, theirs = f"{to}.branches.{index}", f"{of}.branches.{index}"
        if branch.kind == "1x1":
            keys |= conv_keys(f"{ours}.entry", theirs)
            continue
        keys |= conv_keys(f"{ours}.entry", f"{theirs}.0") | bn_keys(f"{ours}.bn", f"{theirs}.1")
        if branch.kind == "conv":
            keys |= conv_keys(f"{ours}.conv", f"{theirs}.3.conv")
    return keys


class DgStgcnCodebase:
    """See the module."""

    name = "pyskl-dgstgcn"
    title = "PYSKL DG-STGCN"
    preprocessing = (
        "2-D: (x-W/2)/(W/2), (y-H/2)/(H/2), score, x=y=0 where score <= 0.01; 3-D: centred on the "
        "first frame and not rotated; clip_len frames sampled uniformly; zero persons for empty slots"
    )

    def matches(self, tensors: Tensors) -> bool:
        """Strengths of the graphs that are made from the clip, and the convolution before them."""
        return (
            f"{FIRST}.gcn.alpha" in tensors
            and f"{FIRST}.gcn.beta" in tensors
            and f"{FIRST}.gcn.pre.0.weight" in tensors
            and f"{HEAD}.weight" in tensors
        )

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe."""
        graph = tensors[f"{FIRST}.gcn.A"].float().numpy()
        k, v, _ = graph.shape
        count = tensors.indices(r"backbone\.gcn\.(\d+)\.")
        strengths = _subset_wise(tensors, count)
        blocks = tuple(
            _block(tensors, index, subset_wise=bool(strengths.value)) for index in range(count)
        )
        norm, fixed = input_norm(tensors, "backbone.data_bn", v * blocks[0].in_channels)
        plain = NetworkSpec(
            family="dgstgcn",
            axes="NMTVC",
            in_channels=blocks[0].in_channels,
            num_joints=v,
            num_subsets=k,
            num_classes=tensors[f"{HEAD}.weight"].shape[0],
            blocks=blocks,
            input_norm=norm,
            num_persons=fixed,
        )
        spec, strides = with_strides(plain, hints)
        frames, persons, facts = clip_size(
            hints,
            (100, "clip_len of the usual settings"),
            (fixed or 2, "fixed by data_bn" if fixed else "num_person of the usual settings"),
        )
        why = "gcn_ctr and gcn_ada are 'T' in all published settings"
        notes = [Fact("graphs", "one for a clip", "assumed", why), strengths, strides, *facts]
        if blocks[0].branches:
            dilations = tuple(b.dilation for b in blocks[0].branches if b.kind == "conv")
            notes.append(Fact("dilations", dilations, "assumed", "1, 2, 3, ... by branch"))
        return Described(spec, tuple(notes), frames, persons, graph)

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        keys = conv_keys("head", HEAD)
        if spec.input_norm != "none":
            keys |= bn_keys("data_bn.bn", "backbone.data_bn")
        for index, block in enumerate(spec.blocks):
            to, of = f"blocks.{index}", f"backbone.gcn.{index}"
            keys |= _graph_keys(block, f"{to}.gcn", f"{of}.gcn")
            keys |= _temporal_keys(block, f"{to}.tcn", f"{of}.tcn")
            if block.residual == "conv":
                keys |= conv_keys(f"{to}.residual.conv", f"{of}.residual.conv")
                keys |= bn_keys(f"{to}.residual.bn", f"{of}.residual.bn")
        return KeyMap(keys)

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.sampled(self.name, spec, setting, align_spine=False)


CODEBASE = DgStgcnCodebase()
