"""Networks to train: our own reference forms, freshly initialised, saved as their codebase saves them.

    spec --reference_form--> network --train--> network --released--> {key of the codebase: tensor}

What a checkpoint's reader maps (key of the file -> tensor of the reference form) is turned round, so
that a file written here is one more file of that codebase and the reader proves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stgcn_deploy.checkpoints.codebases import CODEBASES
from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.errors import UsageError
from stgcn_deploy.models.blocks import GraphConv
from stgcn_deploy.models.families import reference_form
from stgcn_deploy.models.spec import BlockSpec, BranchSpec, NetworkSpec
from stgcn_deploy.skeleton.adjacency import build
from stgcn_deploy.skeleton.layout import Layout

__all__ = ["FAMILIES", "Trainee", "add_dropout", "fresh", "initialise", "like", "released"]

# The ten blocks of ST-GCN; where the width doubles, time is halved.
WIDTHS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
# Codebases that keep the classifier as a 1x1 convolution.
HEAD_IS_CONV = ("st-gcn", "st-gcn-twostream")
# Codebases in which a graph convolution without PA trains A itself.
LEARNS_A = ("pyskl", "mmaction2")


@dataclass(frozen=True)
class Trainee:
    """A network to train, and whose key names its file will have."""

    network: nn.Module
    spec: NetworkSpec
    codebase: str


def _widths(width: float) -> tuple[int, ...]:
    if width <= 0:
        raise UsageError(f"--width must be above 0, got {width}; 1 is the width of the papers.")
    return tuple(max(1, round(full * width)) for full in WIDTHS)


def _branches(channels: int) -> tuple[BranchSpec, ...]:
    """ST-GCN++: four dilated convolutions, a pool, a plain 1x1; the first takes what is left over."""
    part = channels // 6
    convs = (
        BranchSpec("conv", part if dilation > 1 else channels - 5 * part, 3, dilation)
        for dilation in (1, 2, 3, 4)
    )
    return (*convs, BranchSpec("max", part), BranchSpec("1x1", part, kernel=1))


def _blocks(in_channels: int, widths: tuple[int, ...], *, plusplus: bool) -> tuple[BlockSpec, ...]:
    blocks = []
    before = in_channels
    for index, channels in enumerate(widths):
        widens = WIDTHS[index] != WIDTHS[max(0, index - 1)]
        plain = BlockSpec(
            before,
            channels,
            stride=2 if widens else 1,
            residual="conv" if widens else "identity" if index else "none",
            adjacency="importance",
        )
        if plusplus:
            plain = replace(
                plain,
                adjacency="plain",
                graph_residual="identity" if before == channels else "conv",
                kernel=0,
                branches=_branches(channels),
            )
        blocks.append(plain)
        before = channels
    return tuple(blocks)


def _stgcn(layout: Layout, channels: int, classes: int, width: float) -> NetworkSpec:
    return NetworkSpec(
        family="stgcn",
        axes="NCTVM",
        in_channels=channels,
        num_joints=layout.num_joints,
        num_subsets=3,
        num_classes=classes,
        blocks=_blocks(channels, _widths(width), plusplus=False),
    )


def _twostream(layout: Layout, channels: int, classes: int, width: float) -> NetworkSpec:
    one = _stgcn(layout, channels, classes, width)
    return replace(one, family="twostream", motion="first_difference")


def _stgcnpp(layout: Layout, channels: int, classes: int, width: float) -> NetworkSpec:
    widths = _widths(width)
    if min(widths) < 6:
        raise UsageError(
            f"--width {width} leaves {min(widths)} channels for the six branches of ST-GCN++; give "
            f"at least {6 / WIDTHS[0]:.2f}."
        )
    return replace(
        _stgcn(layout, channels, classes, width),
        family="stgcnpp",
        axes="NMTVC",
        blocks=_blocks(channels, widths, plusplus=True),
    )


# Family -> (its spec, the codebase whose key names it is saved with, partition strategy).
FAMILIES: dict[str, tuple[Callable[[Layout, int, int, float], NetworkSpec], str, str]] = {
    "stgcn": (_stgcn, "st-gcn", "spatial_configuration"),
    "twostream": (_twostream, "st-gcn-twostream", "spatial_configuration"),
    "stgcnpp": (_stgcnpp, "pyskl", "inward_outward"),
}


def fresh(
    family: str,
    layout: Layout,
    *,
    channels: int,
    classes: int,
    width: float = 1.0,
    edge_set: str | None = None,
) -> Trainee:
    """The network of a paper, `width` times as wide, not yet initialised.

    Args:
        channels: C of a clip; classes: how many outputs.
        edge_set: one of the layout's; by default the first.

    Raises:
        UsageError: a family that has no builder here, or a width that it cannot have.
    """
    if family not in FAMILIES:
        raise UsageError(
            f"no builder for family {family!r}; there are {', '.join(FAMILIES)}. Any other one is "
            "trained from a checkpoint of it: --like CHECKPOINT."
        )
    builder, codebase, strategy = FAMILIES[family]
    spec = builder(layout, channels, classes, width)
    network = reference_form(spec)
    graph = build(layout, strategy, edge_set=edge_set).astype(np.float32)
    _set_graphs(network, graph)
    return _ready(Trainee(network, spec, codebase))


def like(checkpoint: Path, *, channels: int, classes: int, joints: int) -> Trainee:
    """The architecture and the graphs of a checkpoint; its weights are not kept, see initialise.

    Raises:
        UsageError: an ensemble, or a network for other clips.
        CheckpointError: it cannot be read.
    """
    found = load_checkpoint(checkpoint)
    if found.spec.members:
        raise UsageError(f"{checkpoint} is an ensemble; train its members one by one.")
    if (found.spec.num_joints, found.spec.in_channels) != (joints, channels):
        raise UsageError(
            f"{checkpoint} takes V={found.spec.num_joints} joints of C={found.spec.in_channels} "
            f"channels, the clips have V={joints}, C={channels}; choose another contract, or data of "
            "its layout."
        )
    spec = replace(found.spec, num_classes=classes)
    network = reference_form(spec)
    old, new = found.network.state_dict(), network.state_dict()
    # The classifier alone has another shape.
    network.load_state_dict({key: old[key] if old[key].shape == new[key].shape else new[key]
                             for key in new})  # fmt: skip
    return _ready(Trainee(network, spec, found.codebase.name))


def _set_graphs(network: nn.Module, graph: NDArray[np.float32]) -> None:
    for module in network.modules():
        if isinstance(module, GraphConv):
            module.A.copy_(torch.from_numpy(graph))


def _ready(trainee: Trainee) -> Trainee:
    """PYSKL's ST-GCN++ learns A itself, which in a reference form is a constant."""
    if trainee.codebase in LEARNS_A:
        for module in trainee.network.modules():
            if isinstance(module, GraphConv) and module.spec.adjacency == "plain":
                graph = module.A.clone()
                del module.A
                module.A = nn.Parameter(graph)
    return trainee


def initialise(network: nn.Module, seed: int) -> None:
    """Weights from a seed: Kaiming over the outputs for convolutions, small for the classifier.

    Graphs, masks and offsets (PA, edge importance) are left as they are: they start at their graph,
    at 1 or near 0.
    """
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001
            module.reset_parameters()
            continue
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def add_dropout(network: nn.Module, share: float) -> None:
    """Dropout before every classifier while training; nothing that a file would hold."""

    def drop(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (nn.functional.dropout(inputs[0], share, module.training), *inputs[1:])

    for name, module in network.named_modules():
        if name.rpartition(".")[2] == "head" and share:
            module.register_forward_pre_hook(drop)


def released(trainee: Trainee) -> dict[str, Tensor]:
    """The weights under the codebase's own names.

    Raises:
        AssertionError: two tensors that the codebase stores once differ.
    """
    sources = CODEBASES[trainee.codebase].key_map(trainee.spec).sources
    state: dict[str, Tensor] = {}
    for ours, tensor in trainee.network.state_dict().items():
        if ours.endswith("num_batches_tracked"):
            continue
        key = sources[ours]
        held = tensor.detach().to(torch.float32).clone()
        if ours.endswith("head.weight") and trainee.codebase in HEAD_IS_CONV:
            held = held[:, :, None, None]
        assert key not in state or torch.equal(state[key], held), f"{key} is stored once"
        state[key] = held
    return state
