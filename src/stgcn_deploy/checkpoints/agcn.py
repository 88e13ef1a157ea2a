"""lshiwjx/2s-AGCN: AGCN and AAGCN, (N, C, T, V, M); and what all files of the two families share.

data_bn (M*V*C), lN.gcn1.{PA, conv_a.k, conv_b.k, conv_d.k, down.0, down.1, bn}, lN.tcn1.{conv, bn},
lN.residual.{conv, bn}, fc; AAGCN besides lN.gcn1.{alpha, conv_ta, conv_sa, fc1c, fc2c}

The graph of AGCN is not in its files.  Published weights call l1 "l1a", or down "conv_res"
(github.com/lshiwjx/2s-AGCN, issue 32).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
from stgcn_deploy.errors import UnsupportedCheckpointError, UsageError
from stgcn_deploy.models.aagcn import AagcnBlockSpec, GatesSpec
from stgcn_deploy.models.agcn import AgcnBlockSpec, Attention, NominalGraph
from stgcn_deploy.models.spec import NetworkSpec, Residual
from stgcn_deploy.skeleton.contract import Step
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = [
    "CODEBASE",
    "TWO_STREAM_NAMES",
    "AgcnNames",
    "adaptive_keys",
    "describe_adaptive",
    "nominal_graph",
]

# The layouts that 2s-AGCN itself has graphs for; their first edge sets are its own.
OWN_LAYOUTS = ("ntu25", "openpose18")


@dataclass(frozen=True)
class AgcnNames:
    """How a codebase calls the parts.

    Attributes:
        block: with a place for the number of the block, counted from `first`.
        graph: the tensor (K, V, V) of a block; PA is added to A where attention is a softmax, and
            is the graph itself otherwise.
        shared_graph: A, where it is stored once.
        renamed_first: the first block, where it is called otherwise.
    """

    block: str
    first: int
    unit: str
    tcn: tuple[str, str]
    residual: tuple[str, str]
    graph: str
    data_bn: str
    head: str
    shared_graph: str | None = None
    down: str = "down"
    renamed_first: str | None = None

    def at(self, index: int) -> str:
        """The block of our index `index`."""
        if index == 0 and self.renamed_first:
            return self.renamed_first
        return self.block.format(index + self.first)

    def unit_at(self, index: int) -> str:
        """Its graph convolution."""
        return f"{self.at(index)}.{self.unit}"


def _escaped(prefix: str) -> str:
    return prefix.replace(".", r"\.")


def _block(
    tensors: Tensors, names: AgcnNames, index: int, attention: Attention, gated: bool
) -> AgcnBlockSpec:
    here = names.unit_at(index)
    co, ci = tensors[f"{here}.conv_d.0.weight"].shape[:2]
    residual: Residual = "identity"
    if tensors.any(rf"^{_escaped(names.at(index))}\.residual\."):
        residual = "conv"
    elif index == 0 and ci != co:
        residual = "none"
    kind = AgcnBlockSpec if attention == "softmax" else AagcnBlockSpec
    block = kind(
        in_channels=ci,
        out_channels=co,
        # A residual convolution between equal widths can only be there for its stride.
        stride=2 if residual == "conv" and index > 0 else 1,
        residual=residual,
        graph_residual="identity" if ci == co else "conv",
        conv_first=False,
        adjacency="offset" if attention == "softmax" else "plain",
        kernel=tensors[f"{names.at(index)}.{names.tcn[0]}.weight"].shape[2],
        attention=attention,
        embedding=0 if attention == "none" else tensors[f"{here}.conv_a.0.weight"].shape[0],
    )
    if not gated:
        return block
    assert isinstance(block, AagcnBlockSpec)
    gates = GatesSpec(
        joint_taps=tensors[f"{here}.conv_sa.weight"].shape[2],
        frame_taps=tensors[f"{here}.conv_ta.weight"].shape[2],
        squeezed=tensors[f"{here}.fc1c.weight"].shape[0],
    )
    return replace(block, gates=gates)


def describe_adaptive(
    tensors: Tensors, names: AgcnNames, *, axes: str, joints: int | None = None
) -> NetworkSpec:
    """The network from shapes alone; strides by rule, and the graph not set.

    Args:
        joints: V, for files that hold no graph at all.
    """
    unit = _escaped(names.unit)
    gated = tensors.any(rf"\.{unit}\.conv_(ta|sa)\.")
    # What the file has of it anywhere is expected in every block, so that no lost tensor turns one
    # kind of block into another.
    attention: Attention = "none"
    if tensors.any(rf"\.{unit}\.conv_[ab]\."):
        attention = "tanh" if gated or tensors.any(rf"\.{unit}\.alpha$") else "softmax"
    count = 0
    while f"{names.unit_at(count)}.conv_d.0.weight" in tensors:
        count += 1
    blocks = tuple(_block(tensors, names, index, attention, gated) for index in range(count))
    subsets = tensors.indices(rf"{_escaped(names.unit_at(0))}\.conv_d\.(\d+)\.")
    stored = f"{names.unit_at(0)}.{names.graph}"
    v = tensors[stored].shape[-1] if joints is None else joints
    norm, persons = input_norm(tensors, names.data_bn, v * blocks[0].in_channels)
    return NetworkSpec(
        family="agcn" if attention == "softmax" else "aagcn",
        axes=axes,
        in_channels=blocks[0].in_channels,
        num_joints=v,
        num_subsets=subsets,
        num_classes=tensors[f"{names.head}.weight"].shape[0],
        blocks=blocks,
        input_norm=norm,
        num_persons=persons,
    )


def _unit_keys(
    block: AgcnBlockSpec, names: AgcnNames, index: int, subsets: int, *, stored: bool
) -> dict[str, str]:
    """The graph convolution of a block, without gates around it."""
    theirs = names.unit_at(index)
    keys: dict[str, str] = {}
    if stored:
        keys["gcn.A"] = names.shared_graph or f"{theirs}.{names.graph}"
    if block.adjacency == "offset":
        keys["gcn.PA"] = f"{theirs}.{names.graph}"
    if block.attention == "tanh":
        keys["gcn.alpha"] = f"{theirs}.alpha"
    parts = ("conv_d",) if block.attention == "none" else ("conv_a", "conv_b", "conv_d")
    for part in parts:
        for k in range(subsets):
            keys |= conv_keys(f"gcn.{part}.{k}", f"{theirs}.{part}.{k}")
    keys |= bn_keys("gcn.bn", f"{theirs}.bn")
    if block.graph_residual == "conv":
        keys |= conv_keys("gcn.down.conv", f"{theirs}.{names.down}.0")
        keys |= bn_keys("gcn.down.bn", f"{theirs}.{names.down}.1")
    return keys


def _gate_keys(names: AgcnNames, index: int) -> dict[str, str]:
    keys: dict[str, str] = {}
    for part in ("conv_sa", "conv_ta", "fc1c", "fc2c"):
        keys |= conv_keys(f"gcn.gates.{part}", f"{names.unit_at(index)}.{part}")
    return keys


def _block_keys(
    block: AgcnBlockSpec, names: AgcnNames, index: int, subsets: int, *, stored: bool
) -> dict[str, str]:
    keys = _unit_keys(block, names, index, subsets, stored=stored)
    if isinstance(block, AagcnBlockSpec) and block.gates is not None:
        keys = {f"gcn.{ours}": theirs for ours, theirs in keys.items()} | _gate_keys(names, index)
    at = names.at(index)
    keys |= conv_keys("tcn.conv", f"{at}.{names.tcn[0]}")
    keys |= bn_keys("tcn.bn", f"{at}.{names.tcn[1]}")
    if block.residual == "conv":
        keys |= conv_keys("residual.conv", f"{at}.{names.residual[0]}")
        keys |= bn_keys("residual.bn", f"{at}.{names.residual[1]}")
    return keys


def adaptive_keys(spec: NetworkSpec, names: AgcnNames) -> dict[str, str]:
    """Reference form <- file."""
    keys = conv_keys("head", names.head)
    if spec.input_norm != "none":
        keys |= bn_keys("data_bn.bn", names.data_bn)
    stored = "graph" not in dict(spec.options)
    for index, block in enumerate(spec.blocks):
        found = _block_keys(block, names, index, spec.num_subsets, stored=stored)
        keys |= {f"blocks.{index}.{ours}": theirs for ours, theirs in found.items()}
    return keys


def nominal_graph(tensors: Tensors, hints: Hints, num_joints: int) -> tuple[NominalGraph, Fact]:
    """The graph of a codebase that does not store it: the user's layout, else its own for this V.

    Raises:
        UsageError: a layout of other joints.
        UnsupportedCheckpointError: the codebase has no graph for this V, and none was given.
    """
    layout = hints.layout
    if layout is None:
        own = {LAYOUTS[name].num_joints: LAYOUTS[name] for name in OWN_LAYOUTS}
        if num_joints not in own:
            raise UnsupportedCheckpointError(
                f"{tensors.where}: the file does not hold its graph, and V={num_joints} is none of "
                f"{sorted(own)}, for which the codebase has one; give --layout."
            )
        layout = own[num_joints]
    if layout.num_joints != num_joints:
        raise UsageError(
            f"{tensors.where} has V={num_joints} joints, layout {layout.name!r} has "
            f"{layout.num_joints}; give the layout it was trained with."
        )
    graph = NominalGraph(layout, layout.edge_sets[0].name)
    said = f"{layout.name} ({graph.edge_set} edges, {graph.strategy})"
    if hints.layout is not None:
        return graph, Fact("graph", said, hints.origin("layout"), "not stored in the file")
    why = f"not stored in the file; the codebase's own for V={num_joints}, another with --layout"
    return graph, Fact("graph", said, "assumed", why)


TWO_STREAM_NAMES = AgcnNames(
    block="l{}",
    first=1,
    unit="gcn1",
    tcn=("tcn1.conv", "tcn1.bn"),
    residual=("residual.conv", "residual.bn"),
    graph="PA",
    data_bn="data_bn",
    head="fc",
)


class TwoStreamAgcn:
    """2s-AGCN's two models; its two streams are two files."""

    name = "2s-agcn"
    title = "2s-AGCN: AGCN and AAGCN (lshiwjx/2s-AGCN)"
    preprocessing = (
        "NTU: each frame centred on joint 1 of the first person, rotated (joints 0-1 to z, 8-4 to "
        "x), valid frames repeated to 300; Kinetics: x/W-0.5, -(y/H-0.5), score, x=y=0 where "
        "score=0, zero frames at the end; bone stream: joint minus its parent, all channels"
    )

    def matches(self, tensors: Tensors) -> bool:
        """Per-subset convolutions of the first block; with PA and no attention it is CTR-GCN's."""
        return any(
            f"{first}.gcn1.conv_d.0.weight" in tensors
            and (f"{first}.gcn1.conv_a.0.weight" in tensors or f"{first}.gcn1.PA" not in tensors)
            for first in ("l1", "l1a")
        )

    def _names(self, tensors: Tensors) -> AgcnNames:
        renamed = "l1a" if tensors.any(r"^l1a\.") else None
        down = "conv_res" if tensors.any(r"\.gcn1\.conv_res\.") else "down"
        return replace(TWO_STREAM_NAMES, renamed_first=renamed, down=down)

    def _joints(self, tensors: Tensors, hints: Hints, names: AgcnNames) -> int | None:
        """V of a file without any (K, V, V) tensor: the layout whose V*C divides data_bn."""
        here = names.unit_at(0)
        if f"{here}.PA" in tensors or f"{here}.conv_a.0.weight" in tensors:
            return None
        if hints.layout is not None:
            return hints.layout.num_joints
        channels = tensors[f"{here}.conv_d.0.weight"].shape[1]
        features = tensors["data_bn.weight"].numel()
        fitting = [
            count
            for count in (LAYOUTS[name].num_joints for name in OWN_LAYOUTS)
            if features % (count * channels) == 0
        ]
        if len(fitting) != 1:
            raise UnsupportedCheckpointError(
                f"{tensors.where}: the file holds no graph, and data_bn with {features} features "
                "does not tell the number of joints; give --layout."
            )
        return fitting[0]

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe."""
        names = self._names(tensors)
        joints = self._joints(tensors, hints, names)
        spec = describe_adaptive(tensors, names, axes="NCTVM", joints=joints)
        options: dict[str, object] = {"names": names}
        notes: list[Fact] = []
        if spec.family == "agcn" or joints is not None:
            graph, note = nominal_graph(tensors, hints, spec.num_joints)
            options["graph"] = graph
            notes.append(note)
            adjacency = graph.adjacency().numpy()
        else:
            adjacency = tensors[f"{names.unit_at(0)}.PA"].float().numpy()
        spec, strides = with_strides(replace(spec, options=tuple(options.items())), hints)
        frames, persons, facts = clip_size(
            hints,
            (300, "the usual clip of 2s-AGCN's settings"),
            (
                spec.num_persons or 2,
                "fixed by data_bn" if spec.num_persons else "num_person of the usual settings",
            ),
        )
        block0 = Fact("block 0 residual", "none", "assumed", "as the codebase has it")
        return Described(spec, (*notes, strides, block0, *facts), frames, persons, adjacency)

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        return KeyMap(adaptive_keys(spec, spec.option("names")))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.adaptive(spec, setting)


CODEBASE = TwoStreamAgcn()
