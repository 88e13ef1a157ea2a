"""Accuracy of deployed forms: stgcn eval, from files to a verdict."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import edit_model
from labelled import prepared_pair, recordings, save_network

from stgcn_deploy import api
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.data.bins import write_scores
from stgcn_deploy.data.formats import open_dataset
from stgcn_deploy.errors import ClipError, DataError, StgcnError, UnknownNameError, UsageError

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, its bundle, another network's bundle, recordings and prepared data."""
    folder = tmp_path_factory.mktemp("eval")
    save_network(folder / "net.pth")
    api.export(folder / "net.pth", folder / "bundle", graph_form="matmul")
    api.export(save_network(folder / "other.pth", seed=3), folder / "other", graph_form="matmul")
    recordings(folder / "walks.pkl")
    prepared_pair(folder)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_bundle_and_its_checkpoint_agree_on_every_record(world: Path) -> None:
    found = api.evaluate([world / "net.pth", world / "bundle"], world / "walks.pkl", split="test1")
    first, second = found.rows
    assert first.form == "PyTorch, reference, fp32"
    assert second.form == "onnxruntime, matmul, fp32"
    assert second.drop is not None
    assert second.drop.agreement == 1
    assert (second.drop.lost, second.drop.won) == (0, 0)
    assert np.allclose(first.scores, second.scores, atol=1e-5)
    assert found.data["records"] == 12
    assert found.names[0] == "walk11"


def test_the_numbers_are_those_of_predicting_one_by_one(world: Path) -> None:
    found = api.evaluate([world / "bundle"], world / "walks.pkl")
    data = open_dataset(world / "walks.pkl")
    with api.load(world / "bundle") as model:
        said = [model.predict(recording).top[0].index for recording in data]
    right = np.array(said) == data.labels
    assert found.rows[0].accuracy.top1 == pytest.approx(right.mean())
    assert found.rows[0].accuracy.confusion[0, :].sum() == (data.labels == 0).sum()


def test_a_later_form_that_loses_too_much_fails(world: Path, cli: Cli, tmp_path: Path) -> None:
    # Labels as the first bundle answers: it is always right, and the other one is not.
    value = pickle.loads((world / "walks.pkl").read_bytes())
    answers = api.evaluate([world / "bundle"], world / "walks.pkl").rows[0].scores.argmax(axis=1)
    for one, answer in zip(value["annotations"], answers, strict=True):
        one["label"] = int(answer)
    data = tmp_path / "answered.pkl"
    data.write_bytes(pickle.dumps(value))
    bundles = [world / "bundle", world / "other"]
    first, second = api.evaluate(bundles, data).rows
    lost = second.points
    assert first.accuracy.top1 == 1
    assert lost == pytest.approx(100 - 100 * second.accuracy.top1)
    assert lost > 0
    finished = cli("eval", *bundles, "--data", data, "--max-drop", lost - 0.01)
    assert finished.code == 1
    assert f"loses {lost:.2f} points of top-1" in finished.err
    assert cli("eval", *bundles, "--data", data, "--max-drop", lost).code == 0
    # The other way round it gains.
    assert cli("eval", *reversed(bundles), "--data", data, "--max-drop", 0).code == 0


def test_too_low_an_accuracy_fails_when_asked(world: Path, cli: Cli) -> None:
    common = ("eval", world / "bundle", "--data", world / "walks.pkl", "--min-top1")
    assert cli(*common, 0).code == 0
    finished = cli(*common, 1)
    assert finished.code == 1
    assert "at least 100.00% was asked for" in finished.err


def test_json_says_what_the_table_says(world: Path, cli: Cli) -> None:
    finished = cli(
        "eval", world / "net.pth", world / "bundle", "--data", world / "walks.pkl", "--topk", "1,2",
        "--json",
    )  # fmt: skip
    found = json.loads(finished.out)
    assert [one["name"] for one in found["candidates"]] == [
        str(world / "net.pth"),
        str(world / "bundle"),
    ]
    one = found["candidates"][1]
    assert {"top1", "top2", "top5", "mean_class", "confusion", "drop"} <= set(one)
    assert np.array(one["confusion"]).sum() == found["data"]["records"] == 23
    table = cli("eval", world / "bundle", "--data", world / "walks.pkl", "--topk", "1,2").out
    assert f"{one['top1']:.2%}" in table
    assert "top-2" in table
    assert "recall of each class" in table


def test_confusion_and_scores_are_written(world: Path, cli: Cli, tmp_path: Path) -> None:
    options = ("--confusion", tmp_path / "c.csv", "--save-scores", tmp_path / "s.npz")
    finished = cli("eval", world / "bundle", "--data", world / "walks.pkl", *options)
    assert finished.code == 0
    with (tmp_path / "c.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][1:] == list("abcde")
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == 23
    with np.load(tmp_path / "s.npz") as saved:
        assert saved["scores"].shape == (1, 23, 5)
        assert saved["labels"].tolist() == [index % 5 for index in range(23)]
    # Said before the work, not after it.
    again = cli("eval", world / "bundle", "--data", world / "walks.pkl", *options)
    assert again.code == 2
    assert "--force" in again.err
    assert "evaluating" not in again.err


def test_a_picture_of_each_candidate(world: Path, cli: Cli, tmp_path: Path) -> None:
    bundles = (world / "bundle", world / "other")
    picture = tmp_path / "c.png"
    finished = cli("eval", *bundles, "--data", world / "walks.pkl", "--confusion", picture)
    assert finished.code == 0
    made = sorted(path.name for path in tmp_path.glob("*.png"))
    assert made == ["c-1.png", "c-2.png"]
    assert (tmp_path / "c-1.png").read_bytes().startswith(b"\x89PNG")
    assert cli("eval", *bundles, "--data", world / "walks.pkl", "--confusion", picture).code == 2


def test_a_limit_is_spread_over_the_split_and_told(world: Path) -> None:
    found = api.evaluate([world / "bundle"], world / "walks.pkl", limit=5)
    assert found.indices.tolist() == [0, 6, 11, 16, 22]
    assert any("only 5 records" in note for note in found.notes)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "tset1"}, UnknownNameError, "did you mean 'test1'"),
        ({"limit": 0}, UsageError, "limit"),
        ({"max_drop": -1}, UsageError, "max_drop"),
        ({"min_top1": 75}, UsageError, "share between 0 and 1"),
        ({"topk": (0,)}, UsageError, "topk"),
        ({"clips": 10}, ClipError, "record 0"),
    ],
    ids=str,
)
def test_wrong_use_is_refused(
    world: Path, options: dict[str, Any], error: type[StgcnError], message: str
) -> None:
    with pytest.raises(error, match=message):
        api.evaluate([world / "bundle"], world / "walks.pkl", **options)


def test_a_label_that_is_no_class_is_named(world: Path, tmp_path: Path) -> None:
    data = prepared_pair(tmp_path)
    for labels, message in (
        ([0] * 10 + [5], r"record 10 .*label 5, expected 0 to 4"),
        ([0] * 4 + [-1] + [0] * 6, r"record 4 .*no label"),
    ):
        (tmp_path / "val_label.json").write_text(json.dumps(labels), encoding="utf-8")
        (tmp_path / "val_label.pkl").unlink(missing_ok=True)
        with pytest.raises(DataError, match=message):
            api.evaluate([world / "bundle"], data)


def test_networks_of_different_classes_are_not_compared(world: Path, tmp_path: Path) -> None:
    state = torch.load(world / "net.pth", weights_only=True)
    for key in ("fcn.weight", "fcn.bias"):
        state["state_dict"][key] = state["state_dict"][key][:4]
    state["stgcn_deploy"]["classes"] = list("abcd")
    torch.save(state, tmp_path / "four.pth")
    with pytest.raises(UsageError, match=r"5 classes and .* 4"):
        api.evaluate([world / "bundle", tmp_path / "four.pth"], world / "walks.pkl")


def test_scores_that_are_nan_are_no_result(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "bundle", tmp_path / "bundle")

    def poison(model: Any) -> None:
        bias = next(one for one in model.graph.initializer if one.dims == [5])
        bias.raw_data = np.full(5, np.nan, np.float32).tobytes()

    edit_model(tmp_path / "bundle", poison)
    with pytest.raises(StgcnError, match="NaN"):
        api.evaluate([tmp_path / "bundle"], world / "walks.pkl")


def test_other_names_of_classes_are_noted(world: Path, tmp_path: Path) -> None:
    value = pickle.loads((world / "walks.pkl").read_bytes())
    value["classes"] = list("abxde")
    (tmp_path / "walks.pkl").write_bytes(pickle.dumps(value))
    found = api.evaluate([world / "bundle"], tmp_path / "walks.pkl")
    assert any("'x'" in note and "'c'" in note for note in found.notes)


# ---- a run that is stopped ---------------------------------------------------------------------


def _interrupted(world: Path, at: int) -> None:
    def stop(done: int, total: int) -> None:
        del total
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.evaluate([world / "net.pth", world / "bundle"], world / "walks.pkl", count=stop)


@pytest.mark.parametrize("at", [1, 9, 22])
def test_a_stopped_run_goes_on_to_the_same_scores(world: Path, at: int) -> None:
    targets, data = [world / "net.pth", world / "bundle"], world / "walks.pkl"
    whole = api.evaluate(targets, data)
    _interrupted(world, at)
    counted: list[int] = []
    said: list[str] = []
    found = api.evaluate(
        targets, data, count=lambda done, total: counted.append(done), note=said.append
    )
    assert found.resumed == at
    assert counted == list(range(at + 1, 24))
    assert f"had done {at} of 23" in said[0]
    for one, other in zip(whole.rows, found.rows, strict=True):
        assert np.array_equal(one.scores, other.scores)
    # A run that is complete leaves nothing to go on with.
    assert api.evaluate(targets, data).resumed == 0


def test_a_half_written_row_is_not_taken_for_a_result(world: Path, tmp_path: Path) -> None:
    targets, data = [world / "net.pth", world / "bundle"], world / "walks.pkl"
    whole = api.evaluate(targets, data)
    _interrupted(world, 9)
    (kept,) = (tmp_path / "cache" / "stgcn-deploy" / "eval").iterdir()
    torn = kept / "scores-1.f32"
    torn.write_bytes(torn.read_bytes()[:-7])
    found = api.evaluate(targets, data)
    assert found.resumed == 8
    assert np.array_equal(found.rows[0].scores, whole.rows[0].scores)
    assert np.array_equal(found.rows[1].scores, whole.rows[1].scores)


def test_another_run_does_not_go_on_with_it(world: Path) -> None:
    _interrupted(world, 9)
    assert api.evaluate([world / "bundle"], world / "walks.pkl").resumed == 0
    targets, data = [world / "net.pth", world / "bundle"], world / "walks.pkl"
    assert api.evaluate(targets, data, split="test1").resumed == 0
    assert api.evaluate(targets, data, resume=False).resumed == 0


@pytest.mark.slow
def test_a_killed_process_loses_at_most_a_second(world: Path, tmp_path: Path) -> None:
    data = prepared_pair(tmp_path, count=4000)
    command = [sys.executable, "-m", "stgcn_deploy.cli.main", "eval", str(world / "bundle")]
    command += ["--data", str(data), "--json"]
    cache = tmp_path / "cache" / "stgcn-deploy" / "eval"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ))
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        files = list(cache.glob("*/scores-0.f32"))
        if files and files[0].stat().st_size > 400:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    process.communicate()
    finished = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=dict(os.environ))
    found = json.loads(finished.stdout)
    assert found["data"]["records"] == 4000
    if process.returncode == -signal.SIGKILL:
        assert found["resumed"] > 0


# ---- bins --------------------------------------------------------------------------------------


def test_bins_run_and_scored_give_what_eval_gives(world: Path, cli: Cli, tmp_path: Path) -> None:
    bins = tmp_path / "bins"
    data, labels = world / "val_data.npy", world / "val_label.pkl"
    assert cli("data", "bins", "write", "--data", data, "--labels", labels, "-o", bins).code == 0
    manifest = Bundle(world / "bundle").manifest
    (shape,) = manifest.input_shapes.values()
    results = tmp_path / "results"
    results.mkdir()
    from stgcn_deploy.backends.base import OpenOptions
    from stgcn_deploy.backends.registry import BACKENDS

    with BACKENDS["onnxruntime"].open(world / "bundle" / "model.onnx", OpenOptions()) as session:
        for file in (bins / "val_data").iterdir():
            fed = np.fromfile(file, np.float32).reshape(shape)  # type: ignore[arg-type]
            scores = session.run({"input": fed})["output"]
            write_scores(results, int(file.stem), scores[0])
    told = cli("data", "bins", "score", "--results", results, "--labels", labels, "--json")
    scored = json.loads(told.out)
    evaluated = api.evaluate([world / "bundle"], data).rows[0].accuracy.as_dict()
    assert scored == evaluated
    text = cli("data", "bins", "score", "--results", results, "--labels", labels).out
    assert f"top-1 {scored['top1']:.2%}" in text


def test_bins_of_raw_recordings_go_through_the_bundle(world: Path, tmp_path: Path) -> None:
    made = api.data_bins_write(
        world / "walks.pkl", tmp_path / "bins", bundle=world / "bundle", split="test1"
    )
    assert made["count"] == 12
    data = open_dataset(world / "walks.pkl")
    with api.load(world / "bundle") as model:
        fed = model.manifest.feed(model.prepare(data[11])[None])["input"]
    assert (tmp_path / "bins" / "val_data" / "0.bin").read_bytes() == fed.tobytes()
