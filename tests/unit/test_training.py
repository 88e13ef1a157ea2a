"""training/: networks of every family learn, repeat themselves, survive a kill and are read back."""

from __future__ import annotations

import importlib
import importlib.util
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import TINY, save, tiny
from conftest import ROOT, shared_path
from ctrfiles import NETWORKS as CTR

from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.data.formats import open_dataset
from stgcn_deploy.errors import DataError, UsageError
from stgcn_deploy.models.blocks import GraphConv
from stgcn_deploy.skeleton.contract import Sequence, Step, apply_steps
from stgcn_deploy.skeleton.layouts import LAYOUTS

sys.path.append(str(ROOT / "training"))
train = importlib.import_module("train")
augment = importlib.import_module("augment")
loop = importlib.import_module("loop")
material = importlib.import_module("material")
networks = importlib.import_module("networks")
jhmdb = importlib.import_module("jhmdb")

CLASSES = ("rise", "sink", "sway")
REFERENCES = ("2sagcn_ntu", "2saagcn_ntu", "pyskl_aagcn_ntu", "pyskl_dgstgcn_ntu", "pyskl_msg3d_ntu",
              "legacy_stgcn_kinetics", "tsstg_cococut", "tao_nvidia34")  # fmt: skip


def recordings(
    folder: Path, layout: str = "jhmdb15", channels: int = 2, count: int = 24, persons: int = 1
) -> Path:
    """A PYSKL file of bodies that rise, sink or sway, a third each, of 9 to 14 frames."""
    rng = np.random.default_rng(0)
    joints = LAYOUTS[layout].num_joints
    annotations = []
    for number in range(count):
        label = number % len(CLASSES)
        frames = int(rng.integers(9, 15))
        body = rng.normal(0, 0.3, (persons, 1, joints, channels))
        time = np.linspace(-1, 1, frames)[None, :, None]
        clip = np.repeat(body, frames, axis=1)
        clip[..., 0] += np.sin(6 * time) if label == 2 else 0
        clip[..., 1] += (time, -time, 0 * time)[label]
        annotations.append({"frame_dir": f"clip{number}", "label": label, "total_frames": frames,
                            "keypoint": clip.astype(np.float32)})  # fmt: skip
    names = [one["frame_dir"] for one in annotations]
    splits = {"train1": names[:-6], "test1": names[-6:], "both": names}
    path = folder / "bodies.pkl"
    path.write_bytes(pickle.dumps({"split": splits, "annotations": annotations}))
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    return path


def words(folder: Path, **options: Any) -> list[str]:
    """A command line for a small run; a value of None leaves an option out, True is a switch."""
    given: dict[str, Any] = {
        "data": folder / "bodies.pkl", "labels": folder / "labels.txt", "train_split": "train1",
        "test_split": "test1", "layout": "jhmdb15", "frames": 8, "width": 0.1, "epochs": 2,
        "batch": 6, "threads": 1, "out": folder / "run", "bf16": False,
    }  # fmt: skip
    line: list[str] = []
    for key, value in (given | options).items():
        flag = key.replace("_", "-")
        if value is None:
            continue
        line += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [
            f"--{flag}", str(value)]  # fmt: skip
    return line


def weights(run: Path) -> dict[str, torch.Tensor]:
    held = torch.load(run / train.MODEL, weights_only=True)
    return dict(held["state_dict"])


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recordings(tmp_path)
    return tmp_path


# ---- a run ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "codebase", "stream"),
    [("stgcn", "st-gcn", "joint"), ("stgcnpp", "pyskl", "bone"),
     ("twostream", "st-gcn-twostream", "joint")],
)  # fmt: skip
def test_a_run_leaves_a_file_that_needs_no_hint(
    folder: Path, family: str, codebase: str, stream: str
) -> None:
    assert train.main(words(folder, family=family, stream=stream)) == 0
    run = folder / "run"
    assert sorted(file.name for file in run.iterdir()) == [
        "curves.csv", "curves.png", "model.pth", "result.json", "scores.npz",
    ]  # fmt: skip
    found = load_checkpoint(run / train.MODEL)
    assert (found.codebase.name, found.spec.family) == (codebase, family)
    assert found.match is not None
    assert found.match.layout.name == "jhmdb15"
    assert (found.frames, found.persons, found.spec.num_classes) == (8, 1, 3)
    entry = torch.load(run / train.MODEL, weights_only=True)["stgcn_deploy"]
    assert entry["classes"] == list(CLASSES)
    assert entry["stream"] == stream
    assert entry["recipe"]["family"] == family
    # The contract in the file and the weights in it give the scores of the run.
    steps = [Step(one["name"], one["params"]) for one in entry["contract"]]
    data = open_dataset(folder / "bodies.pkl")
    batch = np.concatenate(
        [apply_steps(steps, Sequence(data[int(i)].clip)) for i in data.select("test1")]
    )
    logits = loop.logits_of(found.network, found.spec, batch[:, None])
    with np.load(run / train.SCORES) as held:
        assert np.allclose(logits, held["logits"], atol=1e-4)
        result = json.loads((run / train.RESULT).read_text())
        assert result["accuracy"] == pytest.approx(
            100 * (held["logits"].argmax(1) == held["labels"]).mean(), abs=0.01
        )


def test_it_learns(folder: Path) -> None:
    line = words(folder, epochs=12, learning_rate=0.05, flip=0, rotate=0, dropout=0, test_every=4)
    assert train.main(line) == 0
    result = json.loads((folder / "run" / train.RESULT).read_text())
    assert result["accuracy"] == 100
    rows = (folder / "run" / "curves.csv").read_text().splitlines()
    assert len(rows) == 13
    assert [bool(row.split(",")[4]) for row in rows[1:]] == [(n + 1) % 4 == 0 for n in range(12)]


def test_a_seed_gives_one_network(folder: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert train.main(words(folder, seed=seed, out=folder / name, mixup=0.2, hide=0.5)) == 0
    assert same(weights(folder / "a"), weights(folder / "b"))
    assert not same(weights(folder / "a"), weights(folder / "c"))


def test_an_interrupted_run_ends_as_one_that_was_not(folder: Path) -> None:
    whole, parts = folder / "whole", folder / "parts"
    assert train.main(words(folder, epochs=4, out=whole)) == 0
    assert train.main(words(folder, epochs=4, out=parts, stop_after=1)) == 0
    assert not (parts / train.RESULT).exists()
    assert train.main(words(folder, epochs=4, out=parts, resume=True, stop_after=3)) == 0
    assert train.main(words(folder, epochs=4, out=parts, resume=True)) == 0
    assert same(weights(whole), weights(parts))
    assert not (parts / train.STATE).exists()


def test_a_run_is_taken_up_with_its_own_settings_only(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(words(folder, stop_after=1)) == 0
    assert train.main(words(folder, resume=True, learning_rate=0.05)) == 2
    assert "learning_rate" in capsys.readouterr().err


def test_a_run_is_not_overwritten_unasked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(words(folder)) == 0
    before = weights(folder / "run")
    for again in ({}, {"resume": True}):
        assert train.main(words(folder, seed=1, **again)) == 2
        assert "--force" in capsys.readouterr().err
    assert same(before, weights(folder / "run"))
    assert train.main(words(folder, seed=1, force=True)) == 0
    assert not same(before, weights(folder / "run"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_split": "both"}, "6 records are in both"),
        ({"test_split": None}, "--hold-out"),
        ({"hold_out": 1.5}, "between 0 and 1"),
        ({"train_split": "train9"}, "train9"),
        ({"layout": "jhmbd15"}, "jhmdb15"),
        ({"width": 0.0}, "above 0"),
        ({"family": "stgcnpp", "width": 0.05}, "six branches"),
        ({"layout": "ntu25"}, "clip0"),
    ],
)
def test_what_cannot_be_trained_is_said(
    folder: Path, options: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(words(folder, **options)) == 2
    assert message in capsys.readouterr().err


def test_too_few_class_names_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "labels.txt").write_text("rise\nsink\n")
    assert train.main(words(folder)) == 2
    assert "label 2, expected 0 to 1" in capsys.readouterr().err


def test_a_diverging_run_is_stopped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(words(folder, learning_rate=1e30, epochs=4)) == 2
    assert "not a number" in capsys.readouterr().err
    assert not (folder / "run" / train.MODEL).exists()


def test_holding_out_leaves_the_test_split_alone(folder: Path) -> None:
    assert train.main(words(folder, hold_out=0.25)) == 0
    data = open_dataset(folder / "bodies.pkl")
    with np.load(folder / "run" / train.SCORES) as held:
        tested = set(held["names"].tolist())
    assert len(tested) == 4
    assert tested < {data.name(int(index)) for index in data.select("train1")}


# ---- any family -----------------------------------------------------------------------------------


def _like(folder: Path, checkpoint: Path, persons: int = 1) -> None:
    """One epoch with the architecture of a checkpoint, on data of its own skeleton."""
    found = load_checkpoint(checkpoint)
    layout = found.match.layout.name if found.match else "jhmdb15"
    channels = found.spec.in_channels
    recordings(folder, layout, channels, count=9, persons=persons)
    # Numbers as they are: what is tested is the network, not a codebase's way of preparing clips.
    steps = [
        {"name": "valid_crop_resize", "params": {"frames": 8, "share": 1.0}},
        {"name": "persons", "params": {"count": persons}},
    ]
    (folder / "contract.json").write_text(json.dumps(steps))
    line = words(folder, like=checkpoint, layout=layout, contract=folder / "contract.json",
                 epochs=1, width=None, rotate=0, shift=0)  # fmt: skip
    assert train.main(line) == 0
    again = load_checkpoint(folder / "run" / train.MODEL)
    assert again.codebase.name == found.codebase.name
    assert again.spec.family == found.spec.family
    assert again.spec.num_classes == len(CLASSES)
    assert again.spec.blocks == found.spec.blocks


@pytest.mark.parametrize("name", TINY)
def test_a_family_is_trained_from_a_checkpoint_of_it(name: str, tmp_path: Path) -> None:
    _like(tmp_path, save(tiny(name), tmp_path / "like.pt"), 2 if "person" in name else 1)


@pytest.mark.parametrize("name", CTR)
def test_a_topology_that_is_refined_is_trained_too(name: str, tmp_path: Path) -> None:
    state = CTR[name](persons=2, joints=25)
    _like(tmp_path, save(state, tmp_path / "like.pt"), persons=2)


@pytest.mark.shared
@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.slow
def test_the_other_families_are_trained_too(name: str, tmp_path: Path) -> None:
    folder = shared_path("reference")
    spec = importlib.util.spec_from_file_location("reference_rebuild", folder / "rebuild.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference_rebuild"] = module
    spec.loader.exec_module(module)
    wrapped = module.checkpoint(name)[0]
    torch.save(wrapped, tmp_path / "like.pt")
    persons = load_checkpoint(tmp_path / "like.pt").spec.num_persons or 1
    _like(tmp_path, tmp_path / "like.pt", persons)


def test_a_checkpoint_of_another_skeleton_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tiny("stgcn"), folder / "like.pt")
    assert train.main(words(folder, like=folder / "like.pt")) == 2
    assert "takes V=18 joints" in capsys.readouterr().err


@pytest.mark.parametrize("family", networks.FAMILIES)
def test_networks_start_at_their_graph_with_activations_of_one_size(family: str) -> None:
    layout = LAYOUTS["jhmdb15"]
    made = networks.fresh(family, layout, channels=2, classes=3, width=0.25)
    networks.initialise(made.network, 0)
    graphs = [m for m in made.network.modules() if isinstance(m, GraphConv)]
    assert all(torch.equal(graph.A, graphs[0].A) for graph in graphs)
    assert float(graphs[0].A.detach().sum()) > 10
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 1, 16, 15, 2)).astype(np.float32))
    logits = made.network.train()(*loop.feeds(made.spec, x.numpy()))
    assert torch.isfinite(logits).all()
    assert float(logits.detach().abs().max()) < 2
    logits.square().sum().backward()
    learned = {name for name, weight in made.network.named_parameters() if weight.grad is not None
               and bool(weight.grad.abs().sum() > 0)}  # fmt: skip
    masks = [name for name, _ in made.network.named_parameters() if name.endswith((".PA", ".A"))]
    assert masks
    assert set(masks) <= learned


def test_an_unknown_family_names_the_way_out() -> None:
    with pytest.raises(UsageError, match="--like"):
        networks.fresh("msg3d", LAYOUTS["jhmdb15"], channels=2, classes=3)


def test_two_tensors_that_a_codebase_stores_once_must_agree() -> None:
    made = networks.fresh("stgcn", LAYOUTS["jhmdb15"], channels=2, classes=3, width=0.1)
    made.network.blocks[1].gcn.A.mul_(2)
    with pytest.raises(AssertionError, match="stored once"):
        networks.released(made)


# ---- contracts ------------------------------------------------------------------------------------


def test_clips_of_several_sizes_name_the_record(folder: Path) -> None:
    data = open_dataset(folder / "bodies.pkl")
    steps = (Step("coordinates", {"dimensions": 2}),)
    with pytest.raises(DataError, match=r"record \d+ \(clip\d+\).*one size"):
        material.prepare(data, data.select(), steps)


def test_a_contract_of_several_clips_trains_on_all_and_tests_on_their_mean(folder: Path) -> None:
    steps = [
        {"name": "coordinates", "params": {"dimensions": 2}},
        {"name": "sample", "params": {"frames": 8, "clips": 3, "draw": "pyskl"}},
        {"name": "persons", "params": {"count": 1}},
    ]
    (folder / "contract.json").write_text(json.dumps(steps))
    assert train.main(words(folder, contract=folder / "contract.json")) == 0
    found = load_checkpoint(folder / "run" / train.MODEL)
    data = open_dataset(folder / "bodies.pkl")
    read = material.read_contract(folder / "contract.json")
    test = material.prepare(data, data.select("test1"), read)
    assert test.clips.shape[1] == 3
    one_by_one = [loop.logits_of(found.network, found.spec, test.clips[:, k : k + 1])
                  for k in range(3)]  # fmt: skip
    with np.load(folder / "run" / train.SCORES) as held:
        assert np.allclose(np.mean(one_by_one, axis=0), held["logits"], atol=1e-4)


# ---- JHMDB ----------------------------------------------------------------------------------------


def test_the_page_of_accuracies_is_fresh() -> None:
    held = jhmdb.PAGE.read_text(encoding="utf-8")
    value = json.loads(jhmdb.RESULTS.read_text(encoding="utf-8"))
    assert held == jhmdb.page_text(value), "run `python training/jhmdb.py page`"


def test_runs_are_collected_and_fused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = folder / "runs"
    for name, stream in (("a", "joint"), ("b", "bone")):
        assert train.main(words(folder, out=runs / f"{name}_s1", stream=stream)) == 0
    monkeypatch.setattr(jhmdb, "MODELS", {"a": (), "b": (), "c": ()})
    monkeypatch.setattr(jhmdb, "FUSIONS", {"a + b": ("a", "b"), "a + c": ("a", "c")})
    monkeypatch.setattr(jhmdb, "RESULTS", folder / "results.json")
    assert jhmdb.collect(type("Options", (), {"runs": runs})()) == 0
    value = json.loads((folder / "results.json").read_text())
    assert set(value["models"]) == {"a", "b"}
    total = sum(jhmdb.probabilities(runs / f"{name}_s1")[0] for name in "ab")
    labels = jhmdb.probabilities(runs / "a_s1")[1]
    expected = round(100 * float((total.argmax(1) == labels).mean()), 2)
    assert value["fusions"] == {"a + b": {"1": expected}}


@pytest.mark.parametrize("split", jhmdb.SPLITS)
def test_every_recorded_command_is_one_of_the_recipes(split: int) -> None:
    value = json.loads(jhmdb.RESULTS.read_text(encoding="utf-8"))
    for model, runs in value["models"].items():
        if str(split) not in runs:
            continue
        threads = runs[str(split)]["settings"]["threads"]
        files = ["--data", "jhmdb14.pkl", "--labels", "jhmdb14_labels.txt", "-o", "x"]
        options = train.parser().parse_args([*files, *jhmdb.arguments(model, split),
                                              "--threads", str(threads)])  # fmt: skip
        assert train.plain(train.recipe(options)) == runs[str(split)]["settings"], model


SMALL = sorted((ROOT / "tests" / "data" / "models").glob("jhmdb14_*_s1.pth"))


def test_there_are_small_models_of_real_people() -> None:
    assert {file.stem for file in SMALL} >= {
        "jhmdb14_stgcn_slim_joint_s1", "jhmdb14_stgcn_slim_bone_s1", "jhmdb14_stgcnpp_slim_joint_s1",
    }  # fmt: skip


@pytest.mark.parametrize("file", SMALL, ids=lambda file: file.stem)
def test_a_small_model_is_small_and_says_what_it_is(file: Path) -> None:
    assert file.stat().st_size <= 2_000_000
    found = load_checkpoint(file)
    assert found.match is not None
    assert found.match.layout.name == "jhmdb15"
    assert (found.frames, found.persons, found.spec.num_classes) == (40, 1, 14)
    assert all(weight.dtype == torch.float32 for weight in found.network.parameters())
    assert file.name in (file.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.shared
@pytest.mark.parametrize("file", SMALL, ids=lambda file: file.stem)
def test_a_small_model_reaches_what_the_page_says(file: Path) -> None:
    entry = torch.load(file, weights_only=True)["stgcn_deploy"]
    steps = tuple(Step(one["name"], one["params"]) for one in entry["contract"])
    data = open_dataset(shared_path("data", "jhmdb14.pkl"))
    test = material.prepare(data, data.select("test1"), steps)
    found = load_checkpoint(file)
    value = json.loads(jhmdb.RESULTS.read_text(encoding="utf-8"))
    model = file.stem.removeprefix("jhmdb14_").removesuffix("_s1")
    right = 100 * loop.accuracy(loop.logits_of(found.network, found.spec, test.clips), test.labels)
    # Another CPU may see one clip of 176 otherwise.
    assert right == pytest.approx(value["models"][model]["1"]["accuracy"], abs=0.6)
