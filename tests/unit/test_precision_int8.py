"""Static quantisation: which layers, which types, and how far each is off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from quantised import make_world

from stgcn_deploy import api
from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import UsageError
from stgcn_deploy.precision.calibration import Calibration, from_data
from stgcn_deploy.precision.candidates import Maker, golden_of
from stgcn_deploy.precision.graphs import Graph, read_model
from stgcn_deploy.precision.int8 import Quantiser, check_opset
from stgcn_deploy.precision.recipes import METHODS, RECIPES, Recipe
from stgcn_deploy.precision.sensitivity import layer_errors, quantised_layers, rank_blocks
from stgcn_deploy.runtime import load

BY_NAME = {row.name: row for row in RECIPES}
VNNI = BY_NAME["onnxruntime-vnni"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("int8"))


@pytest.fixture(scope="module")
def clips(world: Path) -> Calibration:
    from stgcn_deploy.data.formats import open_dataset

    with load(world / "bundle") as model:
        data = open_dataset(world / "walks.pkl")
        return from_data(model, data, "train1", 24, 0, world / "clips")


def _ready(
    world: Path, clips: Calibration, scratch: Path, recipe: Recipe, method: Any = "minmax"
) -> Quantiser:
    scratch.mkdir(exist_ok=True)
    made = Quantiser(world / "bundle" / "model.onnx", scratch, recipe)
    made.calibrate(Bundle(world / "bundle").manifest, clips, method, lambda _: None)
    return made


def _types(model: onnx.ModelProto) -> set[int]:
    """Types of the zero points of activations."""
    zeros = {one.name: one.data_type for one in model.graph.initializer}
    return {zeros[n.input[2]] for n in model.graph.node if n.op_type == "QuantizeLinear"}


@pytest.mark.parametrize("name", BY_NAME)
def test_every_recipe_makes_a_graph_that_runs_and_keeps_the_logits(
    world: Path, clips: Calibration, tmp_path: Path, name: str
) -> None:
    made = _ready(world, clips, tmp_path, BY_NAME[name])
    counts = made.write(tmp_path / "out.onnx")
    assert counts["QuantizeLinear"] > 0
    model = onnx.load(str(tmp_path / "out.onnx"))
    wanted = {"u8": onnx.TensorProto.UINT8, "s8": onnx.TensorProto.INT8}
    assert wanted[BY_NAME[name].activations] in _types(model)
    assert set(quantised_layers(model)) == set(made.layers)
    assert {one.domain for one in model.opset_import} == {""}
    manifest = Bundle(world / "bundle").manifest
    options = OpenOptions(tap="logits")
    feed = manifest.feed(next(clips.batches(1)))
    with (
        BACKENDS["onnxruntime"].open(tmp_path / "out.onnx", options) as session,
        BACKENDS["onnxruntime"].open(world / "bundle" / "model.onnx", options) as base,
    ):
        got, exact = session.run(feed)["logits"], base.run(feed)["logits"]
    assert 0 < np.abs(got - exact).max() < 0.3 * max(1, np.abs(exact).max())


@pytest.mark.parametrize("method", METHODS)
def test_every_way_to_choose_ranges_works(
    world: Path, clips: Calibration, tmp_path: Path, method: str
) -> None:
    made = _ready(world, clips, tmp_path, VNNI, method)
    made.write(tmp_path / "out.onnx")
    import onnxruntime

    onnxruntime.InferenceSession(str(tmp_path / "out.onnx"))


def test_ranges_do_not_depend_on_the_size_of_chunks(
    world: Path, clips: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ready(world, clips, tmp_path / "a", VNNI).write(tmp_path / "a.onnx")
    monkeypatch.setattr("stgcn_deploy.precision.int8.CHUNK", 5)
    _ready(world, clips, tmp_path / "b", VNNI).write(tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_nothing_is_printed(
    world: Path, clips: Calibration, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _ready(world, clips, tmp_path, VNNI, "percentile").write(tmp_path / "out.onnx")
    assert capfd.readouterr() == ("", "")


def test_classifier_and_first_layer_stay_float(
    world: Path, clips: Calibration, tmp_path: Path
) -> None:
    recipe = replace(VNNI, op_types=("Conv", "MatMul", "Gemm"))
    made = _ready(world, clips, tmp_path, recipe)
    made.write(tmp_path / "out.onnx")
    quantised = quantised_layers(onnx.load(str(tmp_path / "out.onnx")))
    assert quantised
    assert not any("head" in name or "blocks.0/gcn" in name for name in quantised)
    assert set(quantised) == set(made.layers)


def test_a_pattern_keeps_layers_float(world: Path, tmp_path: Path) -> None:
    model = world / "bundle" / "model.onnx"
    made = Quantiser(model, tmp_path, VNNI, exclude=r"blocks\.2/")
    assert not any("blocks.2/" in name for name in made.layers)
    assert any("blocks.2/" in name for name in made.usable)


def test_a_pattern_that_fits_nothing_or_is_none_is_refused(world: Path, tmp_path: Path) -> None:
    model = world / "bundle" / "model.onnx"
    with pytest.raises(UsageError, match=r"fits none of the layers.*blocks"):
        Quantiser(model, tmp_path, VNNI, exclude="block_2")
    with pytest.raises(UsageError, match="no regular expression"):
        Quantiser(model, tmp_path, VNNI, exclude="blocks(")
    with pytest.raises(UsageError, match="nothing is left to quantise"):
        Quantiser(model, tmp_path, VNNI, exclude=".")


@pytest.mark.parametrize("opset", [11, 12, 21])
def test_operator_sets_that_cannot_be_quantised_are_refused(opset: int) -> None:
    with pytest.raises(UsageError, match=rf"opset {opset}.*--opset 18"):
        check_opset(opset)


def test_a_graph_that_is_quantised_is_refused(
    world: Path, clips: Calibration, tmp_path: Path
) -> None:
    _ready(world, clips, tmp_path, VNNI).write(tmp_path / "out.onnx")
    with pytest.raises(UsageError, match="quantised already"):
        Quantiser(tmp_path / "out.onnx", tmp_path, VNNI)


def test_blocks_are_ranked_by_what_they_do_alone(
    world: Path, clips: Calibration, tmp_path: Path
) -> None:
    base = Bundle(world / "bundle")
    made = _ready(world, clips, tmp_path, VNNI)
    found = rank_blocks(base, made, clips, tmp_path, lambda _: None)
    assert {one.block for one in found} == set(made.blocks)
    errors = [one.error for one in found]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0
    assert all(one.divergence >= 0 for one in found)


def test_layers_that_are_off_are_found(world: Path, clips: Calibration, tmp_path: Path) -> None:
    base = Bundle(world / "bundle")
    made = _ready(world, clips, tmp_path / "s", VNNI)
    maker = Maker(base, base.manifest.precision, golden_of(base, clips))
    folder = tmp_path / "candidate"
    folder.mkdir()
    candidate = maker.write(folder, made.write)
    found = layer_errors(base, candidate, clips)
    assert {one.layer for one in found if one.quantised} == set(made.layers)
    ratios = [one.sqnr for one in found]
    assert ratios == sorted(ratios)
    assert 10 < ratios[0] < 60
    first = next(one for one in found if one.layer.endswith("blocks.0/gcn/conv/Conv"))
    assert not first.quantised
    assert first.sqnr > 100


def test_golden_cases_of_a_calibrated_bundle_are_clips_with_the_base_s_logits(
    world: Path, clips: Calibration
) -> None:
    base = Bundle(world / "bundle")
    cases = golden_of(base, clips)
    assert len(cases) == 8
    assert np.array_equal(cases[0].batch[0], clips.clip(0))
    options = OpenOptions(tap="logits")
    with BACKENDS["onnxruntime"].open(base.model_path, options) as session:
        logits = session.run(base.manifest.feed(cases[0].batch))["logits"]
    assert np.array_equal(cases[0].logits, logits.astype(np.float64))


def test_a_fixed_batch_is_calibrated_in_whole_batches(world: Path, tmp_path: Path) -> None:
    api.export(world / "net.pth", tmp_path / "batched", graph_form="aggregate", batch=7, dynamic="")
    base = Bundle(tmp_path / "batched")
    assert base.manifest.clip.batch == 7
    from stgcn_deploy.data.formats import open_dataset

    with load(base.path) as model:
        data = open_dataset(world / "walks.pkl")
        found = from_data(model, data, "train1", 24, 0, tmp_path / "clips")
    (tmp_path / "s").mkdir()
    made = Quantiser(base.model_path, tmp_path / "s", VNNI)
    made.calibrate(base.manifest, found, "minmax", lambda _: None)
    made.write(tmp_path / "out.onnx")
    assert all(len(case.batch) == 7 for case in golden_of(base, found))
    assert not any(node.name == "" for node in read_model(tmp_path / "out.onnx").graph.node)


def test_what_stands_between_quantised_layers_is_quantised_too(
    world: Path, clips: Calibration, tmp_path: Path
) -> None:
    made = _ready(world, clips, tmp_path / "with", VNNI)
    counts = made.write(tmp_path / "with.onnx")
    bare = _ready(world, clips, tmp_path / "without", replace(VNNI, between=()))
    alone = bare.write(tmp_path / "without.onnx")
    assert made.layers == bare.layers
    # Sums and ReLU behind quantised layers read and write quantised tensors, or are folded away.
    assert counts["QuantizeLinear"] > alone["QuantizeLinear"] or counts["Relu"] < alone["Relu"]
    graph = Graph(read_model(world / "bundle" / "model.onnx"))
    chosen = graph.between(made.layers, VNNI.between)
    assert chosen
    assert not set(chosen) & graph.tail()
    assert not any("blocks.0/gcn" in name for name in chosen)
    assert graph.between((), VNNI.between) == ()
