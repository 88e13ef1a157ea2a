"""NVIDIA TAO's files: st-gcn's network, told apart by the skeleton or by what Lightning writes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import State, stgcn
from faithful import TOLERANCE, deployed, error, inputs, logits, nudged, truth

from stgcn_deploy.checkpoints.accounting import Tensors
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.codebases import CODEBASES
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.errors import UnsupportedCheckpointError
from stgcn_deploy.models.families import FAMILIES
from stgcn_deploy.models.shape import InputShape


def tao(layout: str = "nvidia34", edge_set: str | None = None, **options: Any) -> State:
    return stgcn(layout=layout, edge_set=edge_set, **options)


def lightning(state: State, **beside: object) -> dict[str, object]:
    """As a Lightning trainer saves it."""
    return {
        "epoch": 3,
        "global_step": 120,
        "pytorch-lightning_version": "1.8.5",
        "state_dict": {f"model.{key}": tensor for key, tensor in state.items()},
        "hyper_parameters": {"experiment_spec": argparse.Namespace(lr=0.1)},
        **beside,
    }


def load(folder: Path, value: object, **hints: Any) -> LoadedCheckpoint:
    path = folder / "pc_model.pth"
    torch.save(value, path)
    return load_checkpoint(path, Hints(**hints))


def test_its_own_skeleton_is_recognised_in_any_container(tmp_path: Path) -> None:
    for value in (tao(), {"state_dict": tao()}, lightning(tao())):
        found = load(tmp_path, value)
        assert (found.codebase.name, found.spec.family) == ("tao", "stgcn")
        assert str(found.match) == "nvidia34 (tao edges, spatial_configuration)"
        assert (found.frames, found.persons) == (300, 1)


@pytest.mark.parametrize(
    ("layout", "edge_set", "frames", "persons"),
    [
        ("openpose18", None, 300, 1),
        ("ntu25", "st-gcn", 300, 2),
        ("ntu24", None, 300, 2),
        ("coco17", "mmskeleton", 300, 1),
        ("human36m17", None, 3163, 1),
    ],
)
def test_its_other_skeletons_are_recognised_by_the_container(
    tmp_path: Path, layout: str, edge_set: str | None, frames: int, persons: int
) -> None:
    state = tao(layout, edge_set)
    found = load(tmp_path, lightning(state))
    assert found.codebase.name == "tao"
    assert found.match.layout.name == layout
    assert found.match.exact
    assert (found.frames, found.persons) == (frames, persons)
    assert load(tmp_path, state).codebase.name == "st-gcn"


def test_a_lightning_file_of_a_skeleton_that_tao_has_not_is_st_gcns(tmp_path: Path) -> None:
    assert load(tmp_path, lightning(tao("mediapipe33", "guide"))).codebase.name == "st-gcn"


@pytest.mark.parametrize("layout", ["nvidia34", "openpose18"])
@pytest.mark.parametrize("meta", [{}, {"pytorch-lightning_version": "2"}])
def test_exactly_one_codebase_takes_it(layout: str, meta: dict[str, str]) -> None:
    tensors = Tensors(tao(layout), "file.pth", meta)
    takers = [name for name in CODEBASES if CODEBASES[name].matches(tensors)]
    assert takers == ["tao" if layout == "nvidia34" or meta else "st-gcn"]


@pytest.mark.parametrize("form", FAMILIES["stgcn"].graph_forms)
def test_every_form_is_the_reference_form(tmp_path: Path, form: str) -> None:
    found = load(tmp_path, lightning(tao()), frames=12)
    shape = InputShape(2, 1, 12)
    batch = inputs(found, shape)
    assert error(logits(deployed(found, form, shape), batch), truth(found, batch)) < TOLERANCE


def test_one_percent_of_one_tensor_is_seen(tmp_path: Path) -> None:
    state = tao()
    found = load(tmp_path, lightning(state), frames=12)
    other = load(tmp_path, lightning(nudged(state, "edge_importance.2")), frames=12)
    batch = inputs(found, InputShape(1, 1, 12))
    assert error(truth(other, batch), truth(found, batch)) > 10 * TOLERANCE


@pytest.mark.parametrize(
    "beside",
    [
        {"state_dict": b"\x00secret", "state_dict_encrypted": True},
        {"state_dict": b"\x00secret"},
        {"state_dict_encrypted": True},
    ],
)
def test_an_encrypted_file_is_refused_with_what_to_do(
    tmp_path: Path, beside: dict[str, object]
) -> None:
    with pytest.raises(UnsupportedCheckpointError, match=r"encrypted.*TAO.*Decrypt.*passphrase"):
        load(tmp_path, lightning(tao()) | beside)


@pytest.mark.parametrize("suffix", [".tlt", ".etlt"])
def test_an_encrypted_archive_is_refused_by_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"st_gcn{suffix}"
    path.write_bytes(b"PK\x03\x04 nothing that a zip reader knows")
    with pytest.raises(UnsupportedCheckpointError, match=r"encrypted.*TAO.*Decrypt.*passphrase"):
        load_checkpoint(path)
