"""stgcn compare: from bundles to one table and a verdict."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import edit_manifest, edit_model
from labelled import recordings, save_network

from stgcn_deploy import api

Cli = Callable[..., Any]
QUICK = ("--duration", "0.02", "--rounds", "1", "--threads", "1")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two forms of one network, another network, and recordings that the first one has all right."""
    folder = tmp_path_factory.mktemp("compare")
    save_network(folder / "net.pth")
    for form in ("matmul", "aggregate"):
        api.export(folder / "net.pth", folder / form, graph_form=form)
    api.export(save_network(folder / "other.pth", seed=3), folder / "other", graph_form="matmul")
    walks = recordings(folder / "plain.pkl")
    value = pickle.loads(walks.read_bytes())
    answers = api.evaluate([folder / "matmul"], walks, resume=False).rows[0].scores.argmax(axis=1)
    for one, answer in zip(value["annotations"], answers, strict=True):
        one["label"] = int(answer)
    (folder / "walks.pkl").write_bytes(pickle.dumps(value))
    return folder


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_two_forms_of_one_network_stand_side_by_side(world: Path, cli: Cli, tmp_path: Path) -> None:
    table, plot = tmp_path / "t.csv", tmp_path / "t.png"
    finished = cli(
        "compare", world / "matmul", world / "aggregate", *QUICK, "--data", world / "walks.pkl",
        "--split", "test1", "--max-drop", "0.5", "--csv", table, "--plot", plot,
    )  # fmt: skip
    assert finished.code == 0, finished.err
    assert "onnxruntime, matmul, fp32" in finished.out
    assert "100.00%" in finished.out
    assert "12 records" in finished.out
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows] == ["ok", "ok"]
    assert float(rows[0]["speed"]) == 1
    assert float(rows[1]["points"]) == 0
    assert float(rows[1]["max_error"]) < 1e-5
    assert rows[0]["points"] == ""
    assert plot.read_bytes().startswith(b"\x89PNG")
    again = cli("compare", world / "matmul", *QUICK, "--plot", plot)
    assert again.code == 2
    assert "--force" in again.err


def test_json_says_what_the_table_says_and_keeps_samples(world: Path, cli: Cli) -> None:
    finished = cli("compare", world / "matmul", *QUICK, "--json")
    assert finished.code == 0, finished.err
    told = json.loads(finished.out)
    (row,) = told["rows"]
    assert len(row["samples_ms"]) == row["count"] >= 3
    assert row["top1"] is None
    assert told["ok"] is True


def test_a_bundle_over_the_drop_fails_and_is_named(world: Path, cli: Cli) -> None:
    finished = cli(
        "compare", world / "matmul", world / "other", *QUICK, "--data", world / "walks.pkl",
        "--max-drop", "0.5",
    )  # fmt: skip
    assert finished.code == 1
    assert f"FAILED: {world / 'other'} on onnxruntime: loses" in finished.err
    # In the other order it is the norm, and the first network gains.
    finished = cli(
        "compare", world / "other", world / "matmul", *QUICK, "--data", world / "walks.pkl",
        "--max-drop", "0.5",
    )  # fmt: skip
    assert finished.code == 0, finished.err


def test_a_network_with_broken_weights_fails_its_gate(
    world: Path, cli: Cli, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(world / "matmul", wrong)

    def scale(model: Any) -> None:
        bias = next(one for one in model.graph.initializer if list(one.dims) == [5])
        values = np.frombuffer(bias.raw_data, np.float32)
        bias.raw_data = (values + np.arange(5)).astype(np.float32).tobytes()

    edit_model(wrong, scale)
    finished = cli("compare", world / "matmul", wrong, *QUICK)
    assert finished.code == 1
    assert "off its reference" in finished.err


def test_a_broken_bundle_is_a_row_and_not_the_end(world: Path, cli: Cli, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(world / "matmul", broken)
    (broken / "golden.npz").write_bytes(b"")
    finished = cli("compare", world / "matmul", broken, tmp_path / "absent", *QUICK, "--json")
    assert finished.code == 1
    told = json.loads(finished.out)
    assert [row["verdict"] for row in told["rows"]] == ["ok", "no", "no"]
    assert "is not the file that was written" in told["rows"][1]["reasons"][0]
    assert "does not exist" in finished.err


def test_a_bundle_of_another_backend_is_skipped_and_that_is_seen(
    world: Path, cli: Cli, tmp_path: Path
) -> None:
    special = tmp_path / "special"
    shutil.copytree(world / "matmul", special)
    edit_manifest(special, lambda manifest: manifest["precision"].update(target="openvino"))
    finished = cli("compare", world / "matmul", special, *QUICK, "--backend", "onnxruntime")
    assert finished.code == 0, finished.err
    assert f"skipped: {special} on onnxruntime: made for openvino" in finished.out
    alone = cli("compare", special, *QUICK, "--backend", "onnxruntime")
    assert alone.code == 1
    assert "nothing was measured" in alone.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--max-drop", "0.5"), "give labelled recordings"),
        (("--max-drop", "-1"), "max_drop must be 0 or more"),
        (("--min-speed", "0"), "min_speed must be above 0"),
        (("--threads", "0"), "at least 1"),
        (("--backend", "onnxruntme"), "did you mean 'onnxruntime'"),
        (("--duration", "0"), "duration and rounds"),
    ],
    ids=str,
)
def test_wrong_use_is_refused(
    world: Path, cli: Cli, options: tuple[str, str], message: str
) -> None:
    finished = cli("compare", world / "matmul", *options)
    assert finished.code == 2
    assert message in finished.err


def test_a_split_that_is_not_there_is_named(world: Path, cli: Cli) -> None:
    finished = cli(
        "compare", world / "matmul", *QUICK, "--data", world / "walks.pkl", "--split", "tset1"
    )
    assert finished.code == 2
    assert "did you mean 'test1'" in finished.err
