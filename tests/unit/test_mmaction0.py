"""MMAction2 0.x: st-gcn's network under backbone., with a head of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import State, save, stgcn
from faithful import TOLERANCE, deployed, error, inputs, logits, truth

from stgcn_deploy.checkpoints.accounting import Tensors
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.codebases import CODEBASES
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.errors import KeyMismatchError, UnrecognisedCheckpointError
from stgcn_deploy.models.families import FAMILIES
from stgcn_deploy.models.shape import InputShape


def mmaction0(**options: Any) -> State:
    """The same network with the names of MMAction2 0.x."""
    state = stgcn(**({"layout": "coco17", "edge_set": "mmskeleton"} | options))
    return {
        f"cls_head.fc.{key[4:]}" if key.startswith("fcn.") else f"backbone.{key}": tensor
        for key, tensor in state.items()
    }


def load(folder: Path, state: State, container: str = "state_dict", **hints: Any) -> Any:
    found: LoadedCheckpoint = load_checkpoint(
        save(state, folder / "mm.pth", container), Hints(**hints)
    )
    return found


@pytest.mark.parametrize(
    ("layout", "edge_set"),
    [
        ("coco17", "mmskeleton"),
        ("ntu25", "st-gcn"),
        ("openpose18", "st-gcn"),
        ("openpose25", "mmaction2-0.x"),
    ],
)
def test_its_layouts_are_recognised(tmp_path: Path, layout: str, edge_set: str) -> None:
    state = mmaction0(layout=layout, edge_set=edge_set)
    assert state["cls_head.fc.weight"].dim() == 4
    found = load(tmp_path, state)
    assert (found.codebase.name, found.spec.family) == ("mmaction2-0.x", "stgcn")
    assert str(found.match) == f"{layout} ({edge_set} edges, spatial_configuration)"
    assert (found.frames, found.persons) == (300, 2)


def test_exactly_one_codebase_takes_it() -> None:
    tensors = Tensors(mmaction0(), "file.pth")
    assert [n for n in CODEBASES if CODEBASES[n].matches(tensors)] == ["mmaction2-0.x"]


def test_it_is_the_network_of_st_gcn(tmp_path: Path) -> None:
    shape = InputShape(2, 2, 12)
    options: dict[str, Any] = {"layout": "coco17", "edge_set": "mmskeleton"}
    own = load(tmp_path, stgcn(**options), frames=12)
    found = load(tmp_path, mmaction0(), "module", frames=12)
    batch = inputs(own, shape)
    wanted = truth(own, batch)
    assert error(truth(found, batch), wanted) == 0
    for form in FAMILIES["stgcn"].graph_forms:
        assert error(logits(deployed(found, form, shape), batch), wanted) < TOLERANCE


def test_what_is_missing_or_foreign_is_named(tmp_path: Path) -> None:
    state = mmaction0()
    with pytest.raises(KeyMismatchError, match=r"backbone\.extra"):
        load(tmp_path, state | {"backbone.extra": torch.ones(1)})
    headless = {key: tensor for key, tensor in state.items() if not key.startswith("cls_head.")}
    with pytest.raises(UnrecognisedCheckpointError, match="resemble st-gcn"):
        load(tmp_path, headless)
    del state["backbone.edge_importance.1"]
    with pytest.raises(KeyMismatchError, match=r"backbone\.edge_importance\.1"):
        load(tmp_path, state)
