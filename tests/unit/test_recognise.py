"""A file belongs to exactly one codebase, and what its tensors tell is read right."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import CODEBASE_OF, CONTAINERS, TINY, pyskl, save, stgcn, tiny, twostream
from torch import Tensor

from stgcn_deploy.checkpoints.accounting import Tensors
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.codebases import CODEBASES, KNOWN_FOREIGN, recognise
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, choose_file, load_checkpoint
from stgcn_deploy.errors import (
    CheckpointError,
    FileUnreadableError,
    KeyMismatchError,
    UnrecognisedCheckpointError,
    UnsupportedCheckpointError,
    UsageError,
)
from stgcn_deploy.skeleton.layout import EdgeSet, Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS


def _load(folder: Path, state: dict[str, Tensor], **hints: Any) -> LoadedCheckpoint:
    return load_checkpoint(save(state, folder / "tiny.pt"), Hints(**hints))


def _facts(found: LoadedCheckpoint) -> dict[str, tuple[object, str]]:
    return {fact.name: (fact.value, fact.origin) for fact in found.facts}


# ---- which codebase --------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_exactly_one_codebase_takes_a_checkpoint(name: str) -> None:
    tensors = Tensors(tiny(name), "file.pt")
    takers = [codebase for codebase in CODEBASES if CODEBASES[codebase].matches(tensors)]
    assert takers == [CODEBASE_OF[name]]
    assert recognise(tensors).name == CODEBASE_OF[name]


@pytest.mark.parametrize("codebase", CODEBASES)
def test_no_codebase_takes_nothing_or_anything(codebase: str) -> None:
    matches = CODEBASES[codebase].matches
    assert not matches(Tensors({}, "file.pt"))
    assert not matches(Tensors({"layer1.0.conv1.weight": torch.ones(1)}, "file.pt"))


# One key each that real files of these kinds hold, and what they must be called.
FOREIGN = {
    "st_conv_blocks.0.tmp_conv1.causal_conv.weight": "traffic",
    "module.tmp_conv1.align.align_conv.weight": "traffic",
    "st_blocks.0.graph_conv.cheb_graph_conv.weight": "traffic",
    "sgcn1.0.mlp.layers.0.weight": "MS-G3D",
    "norm_in.weight": "Realtime-ST-GCN",
}


@pytest.mark.parametrize("key", FOREIGN)
def test_a_known_stranger_is_called_by_its_name(key: str) -> None:
    with pytest.raises(UnrecognisedCheckpointError) as caught:
        recognise(Tensors({key: torch.ones(1), "other": torch.ones(1)}, "file.pt"))
    message = str(caught.value)
    assert FOREIGN[key] in message
    assert "not supported" in message
    assert f"Supported: {', '.join(CODEBASES)}" in message


def test_a_network_that_cannot_be_supported_is_refused_with_the_reason() -> None:
    key = "layers.layer1.gcn.g_conv.0.weight"
    with pytest.raises(
        UnsupportedCheckpointError, match=r"continual-skeletons.*no file says which"
    ):
        recognise(Tensors({key: torch.ones(1), "other": torch.ones(1)}, "file.pt"))


def test_every_known_stranger_is_tested() -> None:
    titles = {title for _, title in KNOWN_FOREIGN}
    assert all(any(short in title for short in FOREIGN.values()) for title in titles)


def test_an_unknown_network_is_refused_with_its_first_keys() -> None:
    with pytest.raises(UnrecognisedCheckpointError, match=r"first keys: conv1\.weight"):
        recognise(Tensors({"conv1.weight": torch.ones(1)}, "resnet.pt"))


@pytest.mark.parametrize(
    ("name", "gone", "hint"),
    [
        ("stgcn", "fcn.", "They resemble st-gcn"),
        ("pyskl", "cls_head.", "They resemble pyskl"),
        ("stgcnpp", "cls_head.", "a backbone without classifier"),
    ],
)
def test_a_near_miss_says_what_is_missing(name: str, gone: str, hint: str) -> None:
    state = {k: t for k, t in tiny(name).items() if not k.startswith(gone)}
    with pytest.raises(UnrecognisedCheckpointError, match=hint):
        recognise(Tensors(state, "file.pt"))


def test_a_fork_with_an_attention_block_is_refused_by_name(tmp_path: Path) -> None:
    state = {**tiny("stgcn"), "attention_block.weight": torch.ones(1)}
    with pytest.raises(UnsupportedCheckpointError, match="attention block"):
        _load(tmp_path, state)


@pytest.mark.parametrize("stream", ["origin", "motion"])
def test_half_a_two_stream_file_is_refused_as_half(tmp_path: Path, stream: str) -> None:
    half = {k: t for k, t in tiny("twostream").items() if k.startswith(stream)}
    with pytest.raises(KeyMismatchError, match=f"{stream} stream only"):
        _load(tmp_path, half)


def test_two_streams_of_different_shape_are_refused(tmp_path: Path) -> None:
    wide = {k: t for k, t in twostream(widths=(8, 16)).items() if k.startswith("motion")}
    other = {k: t for k, t in twostream(widths=(8, 8)).items() if k.startswith("origin")}
    with pytest.raises(KeyMismatchError, match="different shapes"):
        _load(tmp_path, wide | other)


# ---- what the shapes say ---------------------------------------------------------------------


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", ["stgcn", "twostream", "pyskl", "stgcnpp", "mmaction2"])
def test_the_container_makes_no_difference(tmp_path: Path, name: str, container: str) -> None:
    plain = load_checkpoint(save(tiny(name), tmp_path / "plain.pt"))
    other = load_checkpoint(save(tiny(name), tmp_path / "other.pt", container))
    assert other.spec == plain.spec
    assert other.codebase.name == plain.codebase.name
    tolerance = 1e-3 if container == "half" else 0
    for key, tensor in plain.network.state_dict().items():
        assert torch.allclose(other.network.state_dict()[key], tensor, atol=tolerance), key


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (stgcn, ("stgcn", "NCTVM", 3, 18, 3, "joint", None)),
        (lambda: stgcn(channels=2, layout="ntu25"), ("stgcn", "NCTVM", 2, 25, 3, "joint", None)),
        (lambda: stgcn(strategy="uniform"), ("stgcn", "NCTVM", 3, 18, 1, "joint", None)),
        (lambda: stgcn(norm="none"), ("stgcn", "NCTVM", 3, 18, 3, "none", None)),
        (lambda: stgcn(norm="person"), ("stgcn", "NCTVM", 3, 18, 3, "person", 2)),
        (twostream, ("twostream", "NCTVM", 3, 33, 3, "joint", None)),
        (pyskl, ("stgcn", "NMTVC", 3, 17, 3, "joint", None)),
        (lambda: pyskl(norm="person", persons=3), ("stgcn", "NMTVC", 3, 17, 3, "person", 3)),
        (lambda: tiny("stgcnpp"), ("stgcnpp", "NMTVC", 3, 17, 3, "joint", None)),
        (lambda: tiny("mmaction2"), ("stgcn", "NMTVC", 3, 25, 3, "joint", None)),
    ],
)
def test_sizes_are_read_from_the_tensors(
    tmp_path: Path, make: Callable[[], dict[str, Tensor]], wanted: tuple[object, ...]
) -> None:
    spec = _load(tmp_path, make()).spec
    found = (
        spec.family, spec.axes, spec.in_channels, spec.num_joints, spec.num_subsets,
        spec.input_norm, spec.num_persons,
    )  # fmt: skip
    assert found == wanted
    assert spec.num_classes == 5


@pytest.mark.parametrize(
    ("name", "field", "wanted"),
    [
        ("stgcn", "adjacency", "importance"),
        ("stgcn-plain", "adjacency", "plain"),
        ("pyskl", "adjacency", "importance"),
        ("pyskl-offset", "adjacency", "offset"),
        ("pyskl-plain", "adjacency", "plain"),
        ("pyskl", "conv_first", True),
        ("pyskl-offset", "conv_first", False),
        ("stgcnpp-post", "conv_first", False),
        ("stgcnpp", "graph_residual", "conv"),
        ("pyskl", "graph_residual", "none"),
        ("pyskl-square", "residual", "identity"),
        ("pyskl", "residual", "none"),
        ("stgcn", "residual", "none"),
    ],
)
def test_the_first_block_is_read_right(
    tmp_path: Path, name: str, field: str, wanted: object
) -> None:
    assert getattr(_load(tmp_path, tiny(name)).spec.blocks[0], field) == wanted


@pytest.mark.parametrize("name", ["stgcn", "pyskl", "stgcnpp", "twostream"])
def test_blocks_stride_where_the_channels_change(tmp_path: Path, name: str) -> None:
    found = _load(tmp_path, tiny(name))
    assert [block.stride for block in found.spec.blocks] == [1, 1, 2]
    assert found.spec.temporal_stride == 2
    assert _facts(found)["strides"] == ((1, 1, 2), "assumed")


def test_branches_are_read_with_their_dilations(tmp_path: Path) -> None:
    branches = _load(tmp_path, tiny("stgcnpp")).spec.blocks[0].branches
    assert [b.kind for b in branches] == ["conv"] * 4 + ["max", "1x1"]
    assert [b.dilation for b in branches] == [1, 2, 3, 4, 1, 1]
    assert sum(b.channels for b in branches) == 12


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("stgcn", "openpose18 (st-gcn edges, spatial_configuration)"),
        ("twostream", "mediapipe33 (guide edges, spatial_configuration)"),
        ("stgcnpp", "probably coco17 (pyskl edges, inward_outward)"),
    ],
)
def test_the_stored_graph_is_named(tmp_path: Path, name: str, layout: str) -> None:
    assert str(_load(tmp_path, tiny(name)).match) == layout


# ---- what the user says ----------------------------------------------------------------------


def test_hints_win_over_the_usual_and_are_recorded(tmp_path: Path) -> None:
    found = _load(tmp_path, tiny("stgcn"), frames=64, persons=3, strides=(1, 2, 2))
    assert (found.frames, found.persons) == (64, 3)
    assert [block.stride for block in found.spec.blocks] == [1, 2, 2]
    facts = _facts(found)
    assert facts["frames (T)"] == (64, "option")
    assert facts["persons (M)"] == (3, "option")
    assert facts["strides"] == ((1, 2, 2), "option")


def test_what_was_assumed_says_so(tmp_path: Path) -> None:
    facts = _facts(_load(tmp_path, tiny("twostream")))
    assert facts["frames (T)"] == (150, "assumed")
    assert facts["motion"] == ("first_difference", "assumed")
    assert facts["block 0 residual"] == ("none", "assumed")


def test_the_motion_is_what_the_user_says(tmp_path: Path) -> None:
    found = _load(tmp_path, tiny("twostream"), motion="second_difference")
    assert found.spec.motion == "second_difference"
    assert _facts(found)["motion"] == ("second_difference", "option")


@pytest.mark.parametrize("kind", ["importance", "offset"])
def test_the_meaning_of_a_mask_is_what_the_user_says(tmp_path: Path, kind: Any) -> None:
    found = _load(tmp_path, tiny("pyskl"), adjacency=kind)
    assert {block.adjacency for block in found.spec.blocks} == {kind}


@pytest.mark.parametrize("strides", [(1,), (1, 1), (1, 1, 1, 1)])
def test_a_wrong_number_of_strides_is_refused(tmp_path: Path, strides: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="strides given for 3 blocks"):
        _load(tmp_path, tiny("stgcn"), strides=strides)


@pytest.mark.parametrize("strides", [(0, 1, 1), (1, -1, 1)])
def test_strides_below_one_are_refused(tmp_path: Path, strides: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="stride"):
        _load(tmp_path, tiny("stgcn"), strides=strides)


@pytest.mark.parametrize("size", ["frames", "persons"])
@pytest.mark.parametrize("value", [0, -1])
def test_sizes_below_one_are_refused(size: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"{size} must be at least 1"):
        Hints(**{size: value})


@pytest.mark.parametrize("fps", [0.0, -25.0, float("nan"), float("inf")])
def test_a_frame_rate_that_is_none_is_refused(fps: float) -> None:
    with pytest.raises(UsageError, match="fps"):
        Hints(fps=fps)


def test_a_layout_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has V=18 joints, .*'ntu25' has 25"):
        _load(tmp_path, tiny("stgcn"), layout=LAYOUTS["ntu25"])


def test_a_layout_that_contradicts_the_stored_graph_is_refused(tmp_path: Path) -> None:
    joints = tuple(f"j{index}" for index in range(18))
    other = Layout("mine18", joints, (EdgeSet("e", tuple((i, 0) for i in range(1, 18)), 0),))
    with pytest.raises(UsageError, match=r"exactly openpose18 .* not .*'mine18'"):
        _load(tmp_path, tiny("stgcn"), layout=other)


def test_a_layout_of_the_users_own_names_the_joints(tmp_path: Path) -> None:
    openpose = LAYOUTS["openpose18"]
    mine = replace(openpose, name="mine", joints=tuple(f"j{i}" for i in range(18)))
    found = _load(tmp_path, tiny("stgcn"), layout=mine)
    assert found.match is not None
    assert found.match.layout.name == "mine"
    assert found.match.exact


# ---- a folder of checkpoints -----------------------------------------------------------------


def _folder(folder: Path, *names: str) -> Path:
    """Empty files, each a minute younger than the one before."""
    for age, name in enumerate(names):
        path = folder / name
        path.touch()
        os.utime(path, (age * 60, age * 60))
    return folder


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("epoch_9.pt", "epoch_10.pt"), "epoch_10.pt"),
        (("epoch_10.pt", "epoch_9.pt"), "epoch_10.pt"),
        (("ntu60_epoch_10.pt", "ntu60_epoch_9.pt"), "ntu60_epoch_10.pt"),
        (("run-49-1000.pt", "run-50-2000.pt", "run-5-9000.pt"), "run-50-2000.pt"),
        (("epoch_99.pt", "best_top1_epoch_3.pth"), "best_top1_epoch_3.pth"),
        (("old.pt", "new.pt"), "new.pt"),
        (("notes.txt", "only.ckpt"), "only.ckpt"),
    ],
)
def test_the_best_or_the_latest_of_a_folder_is_taken(
    tmp_path: Path, names: tuple[str, ...], chosen: str
) -> None:
    found, why = choose_file(_folder(tmp_path, *names))
    assert found.name == chosen
    assert chosen in why[-1]


def test_a_file_needs_no_choice(tmp_path: Path) -> None:
    _folder(tmp_path, "epoch_1.pt", "epoch_2.pt")
    assert choose_file(tmp_path / "epoch_1.pt") == (tmp_path / "epoch_1.pt", ())


def test_a_folder_without_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadableError, match="holds no checkpoint"):
        choose_file(_folder(tmp_path, "notes.txt"))


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadableError, match="does not exist"):
        load_checkpoint(tmp_path / "absent.pt")


def test_a_tensor_of_unexpected_rank_is_no_bug(tmp_path: Path) -> None:
    state = tiny("pyskl")
    state["backbone.gcn.0.gcn.A"] = torch.ones(17)
    with pytest.raises(CheckpointError, match=r"expected \(K, V, V\)"):
        _load(tmp_path, state)
