"""Full-size checkpoints with seeded random weights, in their codebases' own formats.

Speed does not depend on what a network has learned, so the benchmark makes its own: anyone can run it
without a download, and every contender loads the same file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from stgcn_deploy.checkpoints.codebases import CODEBASES
from stgcn_deploy.models.families import reference_form
from stgcn_deploy.models.spec import BlockSpec, BranchSpec, NetworkSpec
from stgcn_deploy.skeleton.adjacency import build
from stgcn_deploy.skeleton.layouts import LAYOUTS

WIDTHS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)


@dataclass(frozen=True)
class Case:
    """One benchmarked network."""

    name: str
    title: str
    codebase: str
    spec: NetworkSpec
    layout: str
    edge_set: str
    strategy: str
    frames: int
    persons: int


def _branches(channels: int) -> tuple[BranchSpec, ...]:
    """ST-GCN++'s six branches: the first takes what six equal ones leave over."""
    narrow = channels // 6
    first = channels - 5 * narrow
    dilated = [
        BranchSpec("conv", first if d == 1 else narrow, kernel=3, dilation=d) for d in (1, 2, 3, 4)
    ]
    return (*dilated, BranchSpec("max", narrow), BranchSpec("1x1", narrow, kernel=1))


def _blocks(in_channels: int, *, plus: bool) -> tuple[BlockSpec, ...]:
    blocks = []
    for index, width in enumerate(WIDTHS):
        before = in_channels if index == 0 else WIDTHS[index - 1]
        changes = before != width
        block = BlockSpec(
            before,
            width,
            stride=2 if changes and index else 1,
            residual="none" if index == 0 else "conv" if changes else "identity",
            adjacency="plain" if plus else "importance",
        )
        if plus:
            block = replace(
                block,
                graph_residual="conv" if changes else "identity",
                branches=_branches(width),
                kernel=0,
            )
        blocks.append(block)
    return tuple(blocks)


def _spec(family: str, axes: str, joints: int, classes: int, *, plus: bool = False) -> NetworkSpec:
    return NetworkSpec(
        family=family,
        axes=axes,
        in_channels=3,
        num_joints=joints,
        num_subsets=3,
        num_classes=classes,
        blocks=_blocks(3, plus=plus),
        motion="first_difference" if family == "twostream" else None,
    )


def _twostream(persons: int) -> Case:
    return Case(
        f"twostream-v33-t150-m{persons}",
        f"two-stream ST-GCN, V=33, T=150, M={persons} (the Jetson guides' network)",
        "st-gcn-twostream",
        _spec("twostream", "NCTVM", 33, 2),
        "mediapipe33",
        "guide",
        "spatial_configuration",
        150,
        persons,
    )


def _plain(joints: int, classes: int, layout: str, title: str) -> Case:
    return Case(
        f"stgcn-v{joints}-t300-m2",
        f"ST-GCN, V={joints}, T=300, M=2 ({title})",
        "st-gcn",
        _spec("stgcn", "NCTVM", joints, classes),
        layout,
        "st-gcn",
        "spatial_configuration",
        300,
        2,
    )


def _plus(persons: int) -> Case:
    return Case(
        f"stgcnpp-v17-t100-m{persons}",
        f"ST-GCN++, V=17, T=100, M={persons} (PYSKL)",
        "pyskl",
        _spec("stgcnpp", "NMTVC", 17, 60, plus=True),
        "coco17",
        "pyskl",
        "inward_outward",
        100,
        persons,
    )


CASES = (
    _twostream(1),
    _twostream(5),
    _plain(18, 400, "openpose18", "Kinetics, the Ascend guide's network"),
    _plain(25, 60, "ntu25", "NTU RGB+D"),
    _plus(2),
    _plus(4),
)


def write_checkpoint(case: Case, path: Path) -> None:
    """Save the case's network in its codebase's key format."""
    torch.manual_seed(0)
    network = reference_form(case.spec)
    adjacency = torch.from_numpy(
        build(LAYOUTS[case.layout], case.strategy, edge_set=case.edge_set)
    ).float()
    state = network.state_dict()
    for name, tensor in state.items():
        if name.endswith("gcn.A"):
            tensor.copy_(adjacency)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            tensor.normal_(0, 0.1)
    sources = CODEBASES[case.codebase].key_map(case.spec).sources
    torch.save({key: state[name].clone() for name, key in sources.items()}, path)
