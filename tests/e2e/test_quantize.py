"""stgcn quantize: from a bundle to one of fewer bits, or to a refusal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from quantised import make_world, to_int8

from stgcn_deploy import api
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import (
    CheckFailedError,
    MissingDependencyError,
    OutputExistsError,
    UnknownNameError,
    UsageError,
)
from stgcn_deploy.precision.result import OverBudgetError

Cli = Callable[..., Any]
QUICK = {"samples": 24, "latency": False}
WITHOUT_OPENVINO = "openvino" not in BACKENDS or BACKENDS["openvino"].available() is not None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("quantize"))


def _int8(world: Path, output: Path, **changes: Any) -> Any:
    settings: dict[str, Any] = {
        "to": "int8", "data": world / "walks.pkl", "split": "train1", "budget": 100.0, **QUICK
    }  # fmt: skip
    return api.quantize(world / "bundle", output, **(settings | changes))


def _hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every activation in steps a hundred times too wide."""
    from quantised import scale_activations

    from stgcn_deploy.precision import int8

    keep = int8.save_model

    def broken(model: Any, path: Path) -> None:
        scale_activations(model)
        keep(model, path)

    monkeypatch.setattr(int8, "save_model", broken)


def test_an_int8_bundle_says_all_about_itself(world: Path, tmp_path: Path) -> None:
    found = _int8(world, tmp_path / "int8", seed=3)
    manifest = found.bundle.manifest
    base = Bundle(world / "bundle").manifest
    precision = manifest.precision
    assert (precision.requested, precision.actual, precision.compute) == ("int8", "int8", "fp32")
    assert precision.target == "onnxruntime"
    assert len(precision.base or "") == 64
    assert precision.calibration is not None
    assert precision.calibration.data == "walks.pkl"
    assert precision.calibration.split == "train1"
    assert precision.calibration.samples == 24
    assert "per channel" in precision.calibration.scheme
    assert precision.accuracy is not None
    assert (precision.accuracy.split, precision.accuracy.records) == ("test1", 30)
    assert precision.accuracy.before == 1
    assert precision.accuracy.points == pytest.approx(100 * (1 - precision.accuracy.after))
    assert precision.accuracy.budget == 100
    for field in (
        "family",
        "layout",
        "inputs",
        "clip",
        "contract",
        "graph_form",
        "sources",
        "macs",
    ):
        assert getattr(manifest, field) == getattr(base, field)
    assert manifest.name == "int8"
    assert manifest.parity is not None
    assert manifest.parity.cases == 8
    assert found.bundle.labels == Bundle(world / "bundle").labels
    stored = onnx.load(str(found.bundle.model_path)).graph.initializer
    assert sum(one.data_type == onnx.TensorProto.INT8 for one in stored) >= 5
    assert found.operators["QuantizeLinear"] > 0
    assert api.verify(tmp_path / "int8").passed
    with api.load(tmp_path / "int8") as model:
        assert model.manifest.precision.actual == "int8"


def test_an_int8_bundle_can_be_verified_with_its_checkpoint(world: Path, tmp_path: Path) -> None:
    _int8(world, tmp_path / "int8")
    report = api.verify(tmp_path / "int8", checkpoint=world / "net.pth")
    assert report.passed
    assert report.reference is not None
    assert report.reference.max_error == pytest.approx(report.golden.max_error, rel=1e-3)


def test_the_same_request_gives_the_same_graph(world: Path, tmp_path: Path) -> None:
    _int8(world, tmp_path / "a")
    _int8(world, tmp_path / "b")
    assert (tmp_path / "a/model.onnx").read_bytes() == (tmp_path / "b/model.onnx").read_bytes()


def test_the_command_prints_what_it_costs_and_writes_the_plot(
    world: Path, cli: Cli, tmp_path: Path
) -> None:
    done = cli(
        "quantize", world / "bundle", "--to", "int8", "--data", world / "walks.pkl", "--split",
        "train1", "--samples", 24, "--budget", 100, "-o", tmp_path / "int8", "--plot",
        tmp_path / "p.png",
    )  # fmt: skip
    assert done.code == 0
    assert "within budget, taken" in done.out
    assert "SQNR" in done.out
    assert "per channel" in done.out
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_a_plot_of_what_is_not_measured_is_refused_before_anything_runs(
    world: Path, cli: Cli, tmp_path: Path
) -> None:
    for option in ("--no-gate", "--no-latency"):
        done = cli(
            "quantize", world / "bundle", "--to", "int8", "--data", world / "walks.pkl", "--split",
            "train1", option, "-o", tmp_path / "i", "--plot", tmp_path / "p.png",
        )  # fmt: skip
        assert done.code == 2
        assert option in done.err
    assert list(tmp_path.iterdir()) == []


def test_json_holds_trials_and_layers(world: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli(
        "quantize", world / "bundle", "--to", "int8", "--data", world / "walks.pkl", "--split",
        "train1", "--samples", 24, "--budget", 100, "--no-latency", "--json", "-o", tmp_path / "i",
    )  # fmt: skip
    told = json.loads(done.out)
    assert told["chosen"] == 0
    assert told["trials"][0]["accuracy"]["records"] == 30
    assert told["trials"][0]["within"] is True
    assert {one["quantised"] for one in told["layers"]} == {True, False}
    assert told["bundle"] == str(tmp_path / "i")
    assert told["verification"]["bundle"] == str(tmp_path / "i")


def test_over_budget_exits_1_prints_the_table_and_leaves_nothing(
    world: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hopeless(monkeypatch)
    done = cli(
        "quantize", world / "bundle", "--to", "int8", "--data", world / "walks.pkl", "--split",
        "train1", "--samples", 24, "--no-latency", "-o", tmp_path / "int8",
    )  # fmt: skip
    assert done.code == 1
    assert "over budget" in done.out
    assert "2 of 3 blocks float" in done.out
    assert "no bundle is written" in done.err
    assert list(tmp_path.iterdir()) == []


def test_in_python_the_refusal_carries_the_report(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hopeless(monkeypatch)
    with pytest.raises(OverBudgetError) as stop:
        _int8(world, tmp_path / "int8", budget=0.5)
    assert isinstance(stop.value, CheckFailedError)
    report = stop.value.report
    assert report.bundle is None
    assert [len(trial.float_blocks) for trial in report.trials] == [0, 1, 2]
    assert len(report.blocks) == 3


def test_a_graph_that_is_broken_is_not_written_even_if_any_loss_is_allowed(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hopeless(monkeypatch)
    with pytest.raises(CheckFailedError, match="parity with the recorded reference"):
        _int8(world, tmp_path / "int8", allow=True)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_over_budget_is_refused_unless_it_is_allowed_and_then_recorded(
    world: Path, cli: Cli, tmp_path: Path
) -> None:
    made = to_int8(world, tmp_path / "first")
    lost = made.trials[0].accuracy
    assert lost is not None
    assert lost.points > 0
    arguments = (
        "quantize", world / "bundle", "--to", "int8", "--data", world / "walks.pkl", "--split",
        "train1", "--samples", 24, "--no-latency", "--budget", 0, "-o", tmp_path / "int8",
    )  # fmt: skip
    done = cli(*arguments, "--allow")
    assert done.code == 0
    assert "WARNING: loses" in done.err
    accuracy = Bundle(tmp_path / "int8").manifest.precision.accuracy
    assert accuracy is not None
    assert (accuracy.points, accuracy.budget) == (lost.points, 0)


def test_half_precision_loses_nothing_here(world: Path, tmp_path: Path) -> None:
    found = api.quantize(
        world / "bundle", tmp_path / "half", to="fp16", data=world / "walks.pkl", split="train1",
        latency=False,
    )  # fmt: skip
    assert found.trials[0].accuracy is not None
    assert found.trials[0].accuracy.agreement == 1
    precision = found.bundle.manifest.precision  # type: ignore[union-attr]
    assert (precision.actual, precision.compute, precision.target) == ("fp16", "fp32", None)
    assert precision.calibration is None
    assert any("slower" in note for note in found.notes)
    assert found.trials[0].mbytes < 0.8 * found.base_mbytes
    assert api.verify(tmp_path / "half").passed


@pytest.mark.skipif(WITHOUT_OPENVINO, reason="needs the openvino backend")
@pytest.mark.parametrize("to", ["bf16", "int8"])
def test_openvino_bundles_are_judged_on_openvino(world: Path, tmp_path: Path, to: Any) -> None:
    found = api.quantize(
        world / "bundle", tmp_path / to, to=to, target="openvino", data=world / "walks.pkl",
        split="train1", budget=100, **QUICK,
    )  # fmt: skip
    assert found.backend == "openvino"
    precision = found.bundle.manifest.precision  # type: ignore[union-attr]
    assert (precision.actual, precision.target) == (to, "openvino")
    assert precision.compute == ("bf16" if to == "bf16" else "fp32")
    assert precision.accuracy is not None
    assert precision.accuracy.backend == "openvino"
    if to == "bf16":
        base = (world / "bundle/model.onnx").read_bytes()
        assert (tmp_path / "bf16/model.onnx").read_bytes() == base
    assert api.verify(tmp_path / to, backend="openvino").passed


def test_a_target_that_is_not_here_is_judged_elsewhere_and_says_so(
    world: Path, tmp_path: Path
) -> None:
    found = _int8(world, tmp_path / "trt", target="tensorrt")
    assert found.backend == "onnxruntime"
    assert any("tensorrt" in note and "judged on onnxruntime" in note for note in found.notes)
    model = onnx.load(str(tmp_path / "trt/model.onnx"))
    zeros = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert pairs
    assert all(not np.any(zeros[node.input[2]]) for node in pairs)


def test_a_pattern_keeps_layers_float_and_the_manifest_names_them(
    world: Path, tmp_path: Path
) -> None:
    found = _int8(world, tmp_path / "int8", exclude=r"blocks\.2/")
    layers = found.bundle.manifest.precision.float_layers
    assert layers
    assert all("blocks.2/" in name for name in layers)


def test_without_data_noise_is_not_taken_for_granted(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Noise has other ranges"):
        api.quantize(world / "bundle", tmp_path / "i", to="int8", gate=False)
    found = api.quantize(
        world / "bundle", tmp_path / "i", to="int8", gate=False, noise_calibration=True, **QUICK
    )
    precision = found.bundle.manifest.precision  # type: ignore[union-attr]
    assert precision.calibration is not None
    assert precision.calibration.data == "noise"
    assert precision.accuracy is None
    assert any("gate is off" in note for note in found.notes)


def test_a_loss_that_cannot_be_measured_fails(world: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match="cannot be measured"):
        api.quantize(world / "bundle", tmp_path / "h", to="fp16")
    with pytest.raises(UsageError, match="--eval-split SPLIT"):
        api.quantize(world / "bundle", tmp_path / "i", to="int8", data=world / "walks.pkl")
    with pytest.raises(CheckFailedError, match="nothing was measured"):
        _int8(world, tmp_path / "i", samples=30, eval_split="train1")


def test_records_of_the_calibration_are_never_judged_on(world: Path, tmp_path: Path) -> None:
    found = _int8(world, tmp_path / "i", samples=20, eval_split="train1")
    assert found.trials[0].accuracy.records == 10
    assert any("20 record(s)" in note for note in found.notes)


def test_what_is_quantised_is_not_quantised_again(world: Path, tmp_path: Path) -> None:
    _int8(world, tmp_path / "i")
    with pytest.raises(UsageError, match="int8 already"):
        api.quantize(
            tmp_path / "i", tmp_path / "j", to="fp16", data=world / "walks.pkl", split="train1"
        )


def test_old_operator_sets_are_refused_with_a_way_out(world: Path, tmp_path: Path) -> None:
    api.export(world / "net.pth", tmp_path / "old", graph_form="matmul", opset=11)
    with pytest.raises(UsageError, match=r"opset 11.*--opset 18"):
        api.quantize(
            tmp_path / "old", tmp_path / "i", to="int8", data=world / "walks.pkl", split="train1"
        )


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"target": "tensort"}, UnknownNameError, "did you mean 'tensorrt'"),
        ({"target": "ascend"}, UsageError, "AMCT"),
        ({"budget": -1.0}, UsageError, "budget"),
        ({"samples": 3}, UsageError, "at least 16"),
        ({"split": "train9"}, UnknownNameError, "did you mean 'train1'"),
        ({"eval_split": "test9"}, UnknownNameError, "did you mean 'test1'"),
        ({"to": "bf16"}, UsageError, "--for openvino"),
        ({"to": "fp16", "exclude": "x"}, UsageError, "--exclude is for int8"),
        ({"noise_calibration": True}, UsageError, "exclude each other"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    world: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        _int8(world, tmp_path / "i", **options)
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_the_user_s_is_overwritten(world: Path, tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    (tmp_path / "i/mine.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        _int8(world, tmp_path / "i", force=True)
    assert (tmp_path / "i/mine.txt").read_text() == "mine"


def test_bf16_where_it_cannot_be_judged_says_what_is_missing(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stgcn_deploy.precision import build

    monkeypatch.setattr(build, "runner_of", lambda _: ("onnxruntime", "openvino is not installed"))
    with pytest.raises(MissingDependencyError, match="openvino is not installed"):
        _int8(world, tmp_path / "b", to="bf16", target="openvino")
