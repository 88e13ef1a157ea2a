"""Each command that runs a bundle, on its TensorRT engine: fakes that compute the bundle's network.

The engine's results are those of ONNX Runtime, so that what is shown is the way there and back: which file
is opened, in which process, with which buffers and shapes, and how the result is judged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import Finished
from gpu import bundle_with_engines, fused_names, gpu
from labelled import recordings, save_network

from stgcn_deploy import api
from stgcn_deploy.measure import profile as measured

__all__ = ["gpu"]

Cli = Callable[..., Finished]
ON = ("--backend", "tensorrt")
QUICK = ("--threads", 1, "--duration", 0.2, "--rounds", 1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    api.export(
        save_network(folder / "net.pth"), folder / "plain", graph_form="aggregate", dynamic="batch"
    )
    return folder / "plain"


@pytest.fixture
def bundle(source: Path, tmp_path: Path) -> Path:
    """An engine for one clip, and one for 2 to 8."""
    return bundle_with_engines(
        source,
        tmp_path / "bundle",
        {"one_fp32.engine": (1,), "many_fp32.engine": (2, 8)},
        layers=fused_names(source),
    )


def _louder(model: onnx.ModelProto) -> None:
    """One weight of the network times 1.05."""
    weight = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    values = onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(1.05), weight.name))


# ---- verify, predict, eval -----------------------------------------------------------------------


def test_verify_runs_every_engine(gpu: Any, bundle: Path, cli: Cli) -> None:
    before = gpu.calls()
    done = cli("verify", bundle, *ON, "--seeds", 1)
    assert done.code == 0, done.out + done.err
    assert "tensorrt" in done.out
    assert "one_fp32.engine" in done.out
    assert "many_fp32.engine" in done.out
    assert gpu.calls() > before, "the results came from elsewhere"


def test_a_changed_engine_ends_verify_with_one(
    gpu: Any, source: Path, tmp_path: Path, cli: Cli
) -> None:
    changed = bundle_with_engines(
        source, tmp_path / "changed", {"one_fp32.engine": (1,)}, edit=_louder
    )
    done = cli("verify", changed, *ON, "--seeds", 1)
    assert done.code == 1, done.out + done.err
    assert "verdict: FAILED" in done.out


def test_a_bundle_without_an_engine_says_how_to_build_one(
    gpu: Any, source: Path, tmp_path: Path, cli: Cli
) -> None:
    np.save(tmp_path / "clip.npy", np.zeros((1, 32, 17, 2), np.float32))
    for arguments in (
        ("verify", source),
        ("predict", source, tmp_path / "clip.npy"),
        ("bench", source, *QUICK),
        ("profile", source, "--threads", 1),
    ):
        done = cli(*arguments, *ON)
        assert done.code == 2, (arguments, done.out, done.err)
        assert "stgcn build" in done.err
        assert "--to tensorrt" in done.err


def test_without_a_gpu_each_command_says_what_is_missing(bundle: Path, cli: Cli) -> None:
    from stgcn_deploy.backends.tensorrt import BACKEND

    if BACKEND.available() is None:
        pytest.skip("this machine has a GPU and TensorRT")
    for command in ("verify", "profile"):
        done = cli(command, bundle, *ON)
        assert done.code == 3, (command, done.out, done.err)


def test_predict_gives_the_scores_of_the_graph(
    gpu: Any, bundle: Path, tmp_path: Path, cli: Cli
) -> None:
    clip = np.random.default_rng(0).normal(size=(1, 32, 17, 2)).astype(np.float32)
    np.save(tmp_path / "clip.npy", clip)
    found = []
    for options in (ON, ()):
        done = cli("predict", bundle, tmp_path / "clip.npy", *options, "--json")
        assert done.code == 0, done.out + done.err
        found.append(json.loads(done.out)["scores"])
    assert np.allclose(*found, atol=1e-6)


def test_eval_counts_as_the_graph_does_and_sees_a_changed_engine(
    gpu: Any, bundle: Path, source: Path, tmp_path: Path, cli: Cli
) -> None:
    data = recordings(tmp_path / "walks.pkl", 12)
    done = cli("eval", bundle, "--data", data, *ON, "--json", "--no-resume")
    assert done.code == 0, done.out + done.err
    graph = api.evaluate([bundle], data, resume=False).rows[0]
    engine = api.evaluate([bundle], data, backend=["tensorrt"], resume=False).rows[0]
    assert np.allclose(engine.scores, graph.scores, atol=1e-6)
    changed = bundle_with_engines(
        source, tmp_path / "changed", {"one_fp32.engine": (1,)}, edit=_louder
    )
    other = api.evaluate([changed], data, backend=["tensorrt"], resume=False).rows[0]
    assert not np.allclose(other.scores, graph.scores, atol=1e-4)


# ---- bench, compare, profile: in processes of their own ------------------------------------------


def test_bench_times_each_batch_in_its_engine(gpu: Any, bundle: Path, cli: Cli) -> None:
    done = cli("bench", bundle, *ON, "--batch", "1,4", *QUICK, "--json")
    assert done.code == 0, done.out + done.err
    rows = json.loads(done.out)["rows"]
    assert [row["batch"] for row in rows] == [1, 4]
    assert all(row["error"] is None and row["p50_ms"] > 0 for row in rows)
    done = cli("bench", bundle, *ON, "--batch", 9, *QUICK)
    assert done.code == 2
    assert "--max-batch 9" in done.err or "2 to 8" in done.err


def test_compare_sets_engine_beside_graph(gpu: Any, bundle: Path, cli: Cli) -> None:
    done = cli("compare", bundle, "--backend", "onnxruntime", *ON, *QUICK, "--json")
    assert done.code == 0, done.out + done.err
    rows = json.loads(done.out)["rows"]
    assert [(row["backend"], row["precision"]) for row in rows] == [
        ("onnxruntime", "fp32"),
        ("tensorrt", "fp32"),
    ]
    assert all(row["p50_ms"] > 0 for row in rows)


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of the tests does other work at the same time; no time is judged here."""
    monkeypatch.setattr(measured, "LEAST_SUM", 0.0)
    monkeypatch.setattr(measured, "MOST_SUM", float("inf"))


def test_profile_brings_layers_back_to_their_blocks(
    gpu: Any, lenient: None, bundle: Path, cli: Cli
) -> None:
    done = cli("profile", bundle, *ON, "--threads", 1, "--runs", 4, "--json")
    assert done.code == 0, done.out + done.err
    found: dict[str, Any] = json.loads(done.out)
    assert (found["backend"], found["precision"], found["compute"]) == ("tensorrt", "fp32", None)
    assert found["macs_of_no_layer"] == 0
    assert sum(one["macs"] or 0 for one in found["layers"]) == found["macs"] > 0
    # Every line that TensorRT told is there, also that of which nothing is known.
    names = [one["name"] for one in found["layers"]]
    assert names == fused_names(bundle)
    each = found["layers_ms"] / len(names)
    assert found["unnamed_ms"] == pytest.approx(each, rel=0.5)
    blocks = {one["name"]: one for one in found["blocks"]}
    assert blocks["not attributed"]["layers"] == 1
    assert {name for name in blocks if name.isdigit()} == {
        str(number) for number in range(len(blocks) - 2)
    }
    assert {"graph product", "1x1", "temporal", "reorder and quantise", "rest"} <= {
        one["name"] for one in found["kinds"]
    }
    # No floor, and nothing that would need one.
    assert "engines" in found["no_floor"]
    assert (found["peak_gmacs_per_s"], found["floor_ms"]) == (None, None)
    assert all(one["of_peak"] is None for one in (*found["kinds"], *found["blocks"]))
    assert all(one["floor_ms"] is None for one in found["layers"])


def test_table_picture_and_trace_say_that_there_is_no_floor(
    gpu: Any, lenient: None, bundle: Path, tmp_path: Path, cli: Cli
) -> None:
    pytest.importorskip("matplotlib")
    plot, trace = tmp_path / "p.svg", tmp_path / "t.json"
    done = cli(
        "profile", bundle, *ON, "--threads", 1, "--runs", 2, "--plot", plot, "--trace", trace
    )
    assert done.code == 0, done.out + done.err
    assert "no floor: TensorRT runs nothing but engines" in done.out
    assert "whose names tell no block" in done.out
    assert "; floor" not in done.out
    assert plot.is_file()
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    assert len(events) == len(fused_names(bundle))


def test_an_engine_for_several_clips_alone_is_profiled_at_its_smallest(
    gpu: Any, lenient: None, source: Path, tmp_path: Path
) -> None:
    found = {}
    for low in (1, 4):
        bundle = bundle_with_engines(
            source, tmp_path / f"from{low}", {"m.engine": (low, 8)}, layers=fused_names(source)
        )
        found[low] = api.profile(bundle, backend="tensorrt", threads=1, runs=2)
    assert found[4].macs == 4 * found[1].macs


def test_an_engine_that_tells_nothing_of_its_layers_ends_profile_with_one(
    gpu: Any, lenient: None, source: Path, tmp_path: Path, cli: Cli
) -> None:
    silent = bundle_with_engines(source, tmp_path / "silent", {"m.engine": (1,)})
    done = cli("profile", silent, *ON, "--threads", 1, "--runs", 2)
    assert done.code == 1
    assert "nothing was measured" in done.err
