"""yysijie/st-gcn, mmskeleton's ST_GCN_18 and their forks: one key format, (N, C, T, V, M).

A (K,V,V), data_bn, st_gcn_networks.i.{gcn.conv, tcn.0 BN, tcn.2 conv, tcn.3 BN,
residual.0 conv, residual.1 BN}, edge_importance.i (K,V,V), fcn (classes, C, 1, 1)
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
from stgcn_deploy.errors import KeyMismatchError, UnsupportedCheckpointError
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec, Residual
from stgcn_deploy.skeleton.contract import Step

__all__ = ["CODEBASE", "describe_network", "network_keys", "saved_by_tao", "trunk_keys"]

# What PyTorch Lightning writes beside the weights, and the V of the layouts that TAO trains with.
LIGHTNING = "pytorch-lightning_version"
TAO_JOINTS = (17, 18, 24, 25, 34)


def describe_network(tensors: Tensors, prefix: str, *, head: str | None = None) -> NetworkSpec:
    """The network under `prefix`, from shapes alone; strides by rule.

    Args:
        head: key of the classifier; by default `prefix` + fcn.

    Raises:
        KeyMismatchError: a tensor that the shapes are read from is missing.
    """
    head = head or f"{prefix}fcn"
    k, v, _ = _cube(tensors, f"{prefix}A")
    count = tensors.indices(rf"{prefix}st_gcn_networks\.(\d+)\.")
    weighted = tensors.any(rf"^{prefix}edge_importance\.")
    blocks = tuple(_block(tensors, prefix, index, k, weighted) for index in range(count))
    in_channels = blocks[0].in_channels
    norm, persons = input_norm(tensors, f"{prefix}data_bn", v * in_channels)
    return NetworkSpec(
        family="stgcn",
        axes="NCTVM",
        in_channels=in_channels,
        num_joints=v,
        num_subsets=k,
        num_classes=tensors[f"{head}.weight"].shape[0],
        blocks=blocks,
        input_norm=norm,
        num_persons=persons,
    )


def _cube(tensors: Tensors, key: str) -> tuple[int, int, int]:
    shape = tuple(tensors[key].shape)
    if len(shape) != 3 or shape[1] != shape[2]:
        raise KeyMismatchError(f"{tensors.where}: {key!r} has shape {shape}, expected (K, V, V).")
    return shape


def _block(tensors: Tensors, prefix: str, index: int, k: int, weighted: bool) -> BlockSpec:
    here = f"{prefix}st_gcn_networks.{index}"
    wide, ci = tensors[f"{here}.gcn.conv.weight"].shape[:2]
    if wide % k:
        raise KeyMismatchError(
            f"{tensors.where}: {here}.gcn.conv has {wide} outputs, expected a multiple of K = {k}."
        )
    co = wide // k
    residual: Residual = "identity"
    if tensors.any(rf"^{here}\.residual\."):
        residual = "conv"
    elif index == 0:
        residual = "none"
    return BlockSpec(
        in_channels=ci,
        out_channels=co,
        # A residual convolution between equal widths can only be there for its stride.
        stride=2 if residual == "conv" and index > 0 else 1,
        residual=residual,
        adjacency="importance" if weighted else "plain",
        kernel=tensors[f"{here}.tcn.2.weight"].shape[2],
    )


def network_keys(
    spec: NetworkSpec, ours: str, theirs: str, *, head: str | None = None
) -> dict[str, str]:
    """Reference form under the prefix `ours` <- file under the prefix `theirs`.

    Args:
        head: key of the classifier in the file; by default `theirs` + fcn.
    """
    return conv_keys(f"{ours}head", head or f"{theirs}fcn") | trunk_keys(spec, ours, theirs)


def trunk_keys(spec: NetworkSpec, ours: str, theirs: str) -> dict[str, str]:
    """network_keys without the classifier."""
    keys: dict[str, str] = {}
    if spec.input_norm != "none":
        keys |= bn_keys(f"{ours}data_bn.bn", f"{theirs}data_bn")
    for index, block in enumerate(spec.blocks):
        to, of = f"{ours}blocks.{index}", f"{theirs}st_gcn_networks.{index}"
        keys[f"{to}.gcn.A"] = f"{theirs}A"
        if block.adjacency == "importance":
            keys[f"{to}.gcn.PA"] = f"{theirs}edge_importance.{index}"
        keys |= conv_keys(f"{to}.gcn.conv", f"{of}.gcn.conv")
        keys |= bn_keys(f"{to}.gcn.bn", f"{of}.tcn.0")
        keys |= conv_keys(f"{to}.tcn.conv", f"{of}.tcn.2")
        keys |= bn_keys(f"{to}.tcn.bn", f"{of}.tcn.3")
        if block.residual == "conv":
            keys |= conv_keys(f"{to}.residual.conv", f"{of}.residual.0")
            keys |= bn_keys(f"{to}.residual.bn", f"{of}.residual.1")
    return keys


def saved_by_tao(tensors: Tensors) -> bool:
    """Whether an st-gcn file is one of NVIDIA TAO's: its own skeleton, or its training framework.

    The networks are the same; what differs is how clips are prepared.
    """
    if "A" not in tensors or tensors["A"].dim() != 3:
        return False
    joints = tensors["A"].shape[-1]
    return joints == 34 or (LIGHTNING in tensors.meta and joints in TAO_JOINTS)


class StgcnCodebase:
    """One stream; also what DataParallel training of it saves."""

    name = "st-gcn"
    title = "ST-GCN (yysijie/st-gcn, mmskeleton ST_GCN_18)"
    preprocessing = (
        "Kinetics: x/W-0.5, y/H-0.5, score, with x=y=0 where score=0; NTU: camera metres; zero "
        "frames at the end, zero persons for empty slots"
    )

    def matches(self, tensors: Tensors) -> bool:
        """The block convolution at top level, and a head called fcn."""
        return (
            "st_gcn_networks.0.gcn.conv.weight" in tensors
            and tensors.any(r"^fcn\.")
            and not saved_by_tao(tensors)
        )

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe.

        Raises:
            UnsupportedCheckpointError: the fall-detection fork with its attention block.
        """
        if tensors.any(r"^attention_block\."):
            raise UnsupportedCheckpointError(
                f"{tensors.where}: an ST-GCN with an attention block "
                "(maicth/st-gcn-for-fall-detection): its temporal attention is tied to T=300 and "
                "is not supported."
            )
        spec, strides = with_strides(describe_network(tensors, ""), hints)
        two = spec.num_joints in (18, 25)
        frames, persons, facts = clip_size(
            hints,
            (300, "the usual clip of st-gcn's Kinetics and NTU settings"),
            (
                spec.num_persons or (2 if two else 1),
                "fixed by data_bn" if spec.num_persons else "usual for this layout",
            ),
        )
        facts = [strides, Fact("block 0 residual", "none", "assumed", "as the codebase has it"),
                 *facts]  # fmt: skip
        return Described(spec, tuple(facts), frames, persons, tensors["A"].float().numpy())

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        return KeyMap(network_keys(spec, "", ""))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.released(spec, setting)


CODEBASE = StgcnCodebase()
