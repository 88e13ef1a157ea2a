"""`stgcn profile`: layers of a real run, in a table, in JSON, in a picture and in a trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoints import save, stgcn
from conftest import Finished

import stgcn_deploy
from stgcn_deploy.measure import profile as measured

Cli = Callable[..., Finished]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough that its layers take milliseconds."""
    folder = tmp_path_factory.mktemp("profiled")
    checkpoint = save(stgcn(widths=(32, 32, 64)), folder / "network.pt")
    stgcn_deploy.export(checkpoint, folder / "bundle", frames=150, graph_form="aggregate")
    return folder / "bundle"


@pytest.fixture(autouse=True)
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of the tests does other work at the same time; no time is judged here."""
    monkeypatch.setattr(measured, "LEAST_SUM", 0.0)
    monkeypatch.setattr(measured, "MOST_SUM", float("inf"))


def _backend(name: str) -> str:
    return pytest.importorskip(name).__name__


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_product_is_a_layer_of_its_block(cli: Cli, bundle: Path, backend: str) -> None:
    done = cli(
        "profile", bundle, "--backend", _backend(backend), "--threads", 1, "--runs", 4, "--json"
    )
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    assert found["backend"] == backend
    assert found["macs_of_no_layer"] == 0
    assert found["uncounted"] == []
    assert sum(one["macs"] or 0 for one in found["layers"]) == found["macs"] > 0
    blocks = {one["name"]: one for one in found["blocks"]}
    assert list(blocks) == ["0", "1", "2", "outside the blocks"]
    assert all(blocks[name]["ms"] > 0 for name in ("0", "1", "2"))
    kinds = {one["name"]: one for one in found["kinds"]}
    assert {"graph product", "1x1", "temporal"} <= set(kinds)
    assert kinds["temporal"]["macs"] > kinds["graph product"]["macs"] > 0
    # Block 2 changes the width and halves the frames, by a convolution of its own.
    assert kinds["residual"]["macs"] == 2 * 75 * 18 * 32 * 64
    assert sum(one["ms"] for one in kinds.values()) == pytest.approx(found["layers_ms"])
    assert found["peak_gmacs_per_s"] > 0


def test_tables_picture_and_trace(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot, trace = tmp_path / "p.png", tmp_path / "t.json"
    asked = ("profile", bundle, "--threads", 1, "--runs", 2, "--plot", plot, "--trace", trace)
    done = cli(*asked)
    assert done.code == 0, done.err
    for words in (
        "graph product",
        "temporal",
        "of peak",
        "without the profiler",
        "of the time goes",
    ):
        assert words in done.out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert len(json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]) > 5
    again = cli(*asked)
    assert (again.code, "--force" in again.err) == (2, True)


def test_wrong_use_ends_in_words(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    for options, words in (
        (("--plot", tmp_path / "p.pdf"), ".png or .svg"),
        (("--runs", 0), "runs 1 to"),
        (("--backend", "nothing"), "unknown backend"),
        (("--threads", 10_000), "cores are usable"),
    ):
        done = cli("profile", bundle, *options)
        assert done.code in (1, 2)
        assert words in done.err


def test_layers_that_do_not_add_up_end_in_exit_code_1(
    cli: Cli, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "LEAST_SUM", 1e6)
    done = cli("profile", bundle, "--threads", 1, "--runs", 2)
    assert done.code == 1
    assert "says nothing about the run" in done.err
