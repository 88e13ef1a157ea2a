"""What a training recipe leaves beside the weights, and --contract: an export needs no options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import stgcn

from stgcn_deploy import api
from stgcn_deploy.api.common import make_hints
from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import CheckpointError, StgcnError, UsageError

CONTRACT = [
    {"name": "coordinates", "params": {"dimensions": 2}},
    {"name": "valid_crop_resize", "params": {"frames": 32, "share": 1.0}},
    {"name": "persons", "params": {"count": 1}},
]
BONE = {"name": "stream", "params": {"name": "bone", "layout": "coco17"}}
RECORD = {
    "layout": "coco17",
    "frames": 32,
    "persons": 1,
    "stream": "joint",
    "fps": 30.0,
    "classes": ["a", "b", "c", "d", "e"],
    "contract": CONTRACT,
    "recipe": {"epochs": 3},
}


def _save(folder: Path, record: Any, name: str = "model.pth", seed: int = 0) -> Path:
    state = stgcn(layout="coco17", channels=2, persons=1, seed=seed)
    torch.save({"state_dict": state, "stgcn_deploy": record}, folder / name)
    return folder / name


def _export(source: Path, target: Path, **options: Any) -> Any:
    made = api.export(source, target, graph_form="matmul", **options)
    return made.bundle


def test_a_file_that_says_everything_needs_no_option(tmp_path: Path) -> None:
    bundle = _export(_save(tmp_path, RECORD), tmp_path / "bundle")
    clip = bundle.manifest.clip
    assert (clip.frames, clip.persons, clip.fps) == (32, 1, 30.0)
    assert bundle.manifest.layout.name == "coco17"
    assert bundle.labels == ("a", "b", "c", "d", "e")
    names = [str(step["name"]) for step in CONTRACT]
    assert [step.name for step in bundle.manifest.steps] == names
    words = api.inspect(tmp_path / "model.pth")["preprocessing"]
    assert words == bundle.manifest.contract.preprocessing
    assert ", ".join(names) in words


def test_its_steps_are_taken_on_raw_recordings(tmp_path: Path) -> None:
    _export(_save(tmp_path, RECORD), tmp_path / "bundle")
    clip = np.random.default_rng(0).normal(size=(2, 50, 17, 2)).astype(np.float32)
    with api.load(tmp_path / "bundle") as model:
        made = model.prepare(Recording(clip, raw=True))
    assert made.shape == (1, 32, 17, 2)
    # Linear between the first frame and the last.
    assert np.allclose(made[0].mean(axis=0), clip[0].mean(axis=0), atol=0.2)


def test_what_is_said_from_outside_wins(tmp_path: Path) -> None:
    loaded = load_checkpoint(_save(tmp_path, RECORD), hints=make_hints(frames=64, fps=15.0))
    assert loaded.frames == 64
    assert loaded.hints.fps == 15.0
    assert loaded.hints.origin("fps") == "option"
    assert loaded.hints.origin("layout") == "file"


def test_a_file_without_the_entry_is_as_before(tmp_path: Path) -> None:
    torch.save(stgcn(), tmp_path / "plain.pth")
    assert load_checkpoint(tmp_path / "plain.pth").hints.contract is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layuot": "coco17"}, "layuot"),
        ({"frames": 0}, "frames"),
        ({"frames": "many"}, "frames"),
        ({"contract": [{"name": "nonsense", "params": {}}]}, "nonsense"),
        ({"contract": [{"name": "persons", "params": {"count": "one"}}]}, "count"),
        ({"contract": "persons"}, "contract"),
        ({"layout": "coco71"}, "coco17"),
    ],
    ids=str,
)
def test_a_wrong_entry_is_refused_by_field(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = _save(tmp_path, RECORD | change)
    with pytest.raises(StgcnError, match=message):
        load_checkpoint(path)


def test_an_entry_that_is_no_dict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="stgcn_deploy"):
        load_checkpoint(_save(tmp_path, ["frames", 32]))


def test_a_contract_can_come_from_a_file_or_a_bundle(tmp_path: Path) -> None:
    path = _save(tmp_path, {"layout": "coco17", "frames": 32, "persons": 1})
    (tmp_path / "steps.json").write_text(json.dumps(CONTRACT), encoding="utf-8")
    one = _export(path, tmp_path / "one", contract=tmp_path / "steps.json")
    two = _export(path, tmp_path / "two", contract=tmp_path / "one")
    assert [step.name for step in one.manifest.steps] == [step["name"] for step in CONTRACT]
    assert one.manifest.steps == two.manifest.steps
    assert one.manifest.steps != _export(path, tmp_path / "three").manifest.steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read"),
        ("{}", "expected a list of steps"),
        ("[]", "expected a list of steps"),
        ('[{"name": "person", "params": {"count": 1}}]', "did you mean 'persons'"),
        ('[{"name": "persons", "params": {"count": 1.5}}]', "step 0"),
        ('[{"name": "persons"}]', "step 0"),
    ],
)
def test_a_wrong_contract_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = _save(tmp_path, RECORD)
    (tmp_path / "steps.json").write_text(text, encoding="utf-8")
    with pytest.raises(StgcnError, match=message):
        _export(path, tmp_path / "bundle", contract=tmp_path / "steps.json")
    assert not (tmp_path / "bundle").exists()


def _pair(folder: Path) -> list[str]:
    bone = RECORD | {"stream": "bone", "contract": [*CONTRACT, BONE]}
    joint = _save(folder, RECORD, "joint.pth")
    return [f"joint={joint}", f"bone={_save(folder, bone, 'bone.pth', 1)}"]


def test_an_ensemble_takes_the_steps_without_the_stream(tmp_path: Path) -> None:
    made = api.export(None, tmp_path / "both", stream=list(reversed(_pair(tmp_path))))
    names = [step.name for step in made.bundle.manifest.steps]
    assert names == [step["name"] for step in CONTRACT]


def test_a_file_is_not_taken_for_another_stream(tmp_path: Path) -> None:
    joint, bone = (text.partition("=")[2] for text in _pair(tmp_path))
    with pytest.raises(UsageError, match=r"trained on bone.*--stream bone="):
        api.export(None, tmp_path / "both", stream=[f"joint={bone}", f"bone={joint}"])
