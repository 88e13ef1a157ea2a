"""Graphs that atc cannot take are refused before it is run, with what to export instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from checkpoints import copied, edit_manifest, edit_model
from onnx import helper, numpy_helper

from stgcn_deploy.builders.ascend_graph import batches_of, check_graph
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BundleError, UsageError

Example = Callable[..., Any]
OLD = {"graph_form": "matmul", "opset": 11}


@pytest.mark.parametrize("form", ["matmul", "aggregate"])
def test_forms_without_einsum_at_opset_11_are_taken_without_a_note(
    example: Example, form: str
) -> None:
    bundle = Bundle(example(graph_form=form, opset=11).bundle)
    assert check_graph(bundle) == ()


def test_a_newer_opset_is_taken_with_a_note(example: Example) -> None:
    (note,) = check_graph(Bundle(example(graph_form="matmul").bundle))
    assert "opset 18" in note
    assert "--opset 11" in note


def test_einsum_is_refused_with_the_export_to_run(example: Example) -> None:
    made = example(graph_form="einsum", dynamic="batch")
    with pytest.raises(UsageError, match="3 Einsum nodes") as caught:
        check_graph(Bundle(made.bundle))
    said = str(caught.value)
    line = (
        f"stgcn export {made.checkpoint.name} -o DIR --graph-form matmul --opset 11 --frames 20 "
        "--persons 2 --dynamic batch"
    )
    assert line in said


def test_the_export_that_is_named_is_one_that_works(
    example: Example, cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = example(graph_form="einsum")
    with pytest.raises(UsageError) as caught:
        check_graph(Bundle(made.bundle))
    words = [
        "export",
        *str(caught.value).partition("stgcn export ")[2].partition(" (or")[0].split(),
    ]
    monkeypatch.chdir(made.checkpoint.parent)
    words[words.index("DIR")] = str(tmp_path / "again")
    assert cli(*words).code == 0
    assert check_graph(Bundle(tmp_path / "again")) == ()


def test_skipping_absent_persons_is_refused(example: Example) -> None:
    with pytest.raises(UsageError, match="without --skip-absent"):
        check_graph(Bundle(example(**OLD, skip_absent=True).bundle))


def test_sizes_that_follow_from_values_are_refused(example: Example, tmp_path: Path) -> None:
    def grow(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("NonZero", [model.graph.input[0].name], ["where"]))

    bundle = edit_model(copied(example(**OLD).bundle, tmp_path), grow)
    with pytest.raises(UsageError, match="has NonZero: sizes that follow from values"):
        check_graph(Bundle(bundle))


def test_an_opset_that_no_atc_reads_is_refused(example: Example) -> None:
    with pytest.raises(UsageError, match="opset 20, and no atc reads more than 18"):
        check_graph(Bundle(example(graph_form="aggregate", opset=20).bundle))


def test_open_frames_and_persons_become_fixed_and_a_note_says_so(example: Example) -> None:
    made = example(**OLD, dynamic="frames,persons", frames=50)
    notes = check_graph(Bundle(made.bundle))
    assert notes == (
        "open in the graph, fixed in an OM: persons 2",
        "open in the graph, fixed in an OM: frames 50",
    )


def test_quantised_bundles_are_refused(example: Example, tmp_path: Path) -> None:
    def lower(manifest: dict[str, Any]) -> None:
        manifest["precision"]["actual"] = "int8"

    bundle = edit_manifest(copied(example(**OLD).bundle, tmp_path), lower)
    with pytest.raises(UsageError, match="is int8, which atc does not read"):
        check_graph(Bundle(bundle))


def _quantise(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("QuantizeLinear", ["a", "b"], ["c"]))


def _double(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3), "wide"))


def _double_node(model: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.ones(3))
    model.graph.node.append(helper.make_node("Constant", [], ["wide"], value=value))


def _foreign(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("FusedMatMul", ["a"], ["b"], domain="com.microsoft"))


def _no_opset(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (_quantise, UsageError, "holds QuantizeLinear"),
        (_double, UsageError, "double precision"),
        (_double_node, UsageError, "double precision"),
        (_foreign, UsageError, "operators of com.microsoft"),
        (_no_opset, BundleError, "names no operator set"),
    ],
)
def test_graphs_of_other_kinds_are_refused(
    example: Example,
    tmp_path: Path,
    change: Callable[[onnx.ModelProto], None],
    kind: type[Exception],
    message: str,
) -> None:
    bundle = edit_model(copied(example(**OLD).bundle, tmp_path), change)
    with pytest.raises(kind, match=message):
        check_graph(Bundle(bundle))


def test_a_file_that_is_no_graph_is_a_damaged_bundle(example: Example, tmp_path: Path) -> None:
    folder = copied(example(**OLD).bundle, tmp_path)
    bundle = Bundle(folder)
    (folder / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(BundleError, match="cannot be read"):
        check_graph(bundle)


# ---- batch sizes -----------------------------------------------------------------------------


def test_an_open_batch_gives_any_sizes(example: Example) -> None:
    manifest = Bundle(example(**OLD, dynamic="batch").bundle).manifest
    assert batches_of(manifest, ()) == ((1,), ())
    assert batches_of(manifest, (1, 4, 8)) == ((1, 4, 8), ())
    sizes, (note,) = batches_of(manifest, (1, 16, 64))
    assert sizes == (1, 16, 64)
    assert "verified for batches 1 to 8" in note
    assert "not for 16, 64" in note


def test_a_fixed_batch_gives_that_size_alone(example: Example) -> None:
    manifest = Bundle(example(**OLD, batch=3).bundle).manifest
    assert batches_of(manifest, ()) == ((3,), ())
    assert batches_of(manifest, (3,)) == ((3,), ())
    with pytest.raises(UsageError, match=r"fixed to batch 3, .* batch 1 .*--dynamic batch"):
        batches_of(manifest, (3, 1))
