"""What precisions know about a graph, and half precision itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from checkpoints import save, tiny
from onnx import TensorProto, helper, numpy_helper

from stgcn_deploy import api
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BundleError, ExportError, UsageError
from stgcn_deploy.precision.fp16 import to_half
from stgcn_deploy.precision.graphs import (
    Graph,
    block_of,
    is_quantised,
    read_model,
    save_model,
    sort_nodes,
)

FORMS = ("aggregate", "einsum", "matmul")


@pytest.fixture(scope="module", params=FORMS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("half")
    save(tiny("pyskl"), folder / "net.pt")
    api.export(folder / "net.pt", folder / "bundle", graph_form=request.param, frames=20)
    return folder / "bundle"


def _logits(model: Any, feed: dict[str, Any]) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)[0]


def test_blocks_are_read_off_names() -> None:
    assert block_of("/network/trunk/blocks.3/tcn/Conv") == "trunk/blocks.3"
    assert block_of("/network/motion/blocks.10/gcn/conv/Conv") == "motion/blocks.10"
    assert block_of("/network/trunk/blocks.0/tcn/branches.1/Conv") == "trunk/blocks.0"
    assert block_of("/network/head/Gemm") == "network/head/Gemm"


def test_the_classifier_is_the_head_and_the_softmax_follows_it(bundle: Path) -> None:
    graph = Graph(read_model(bundle / "model.onnx"))
    assert graph.heads() == {"/network/head/Gemm"}
    assert "/Softmax" in graph.tail()
    assert not any("blocks" in name for name in graph.tail())


def test_half_precision_keeps_inputs_outputs_and_logits_in_single(bundle: Path) -> None:
    model = read_model(bundle / "model.onnx")
    to_half(model)
    save_model(model, bundle.parent / "half.onnx")
    kinds = {one.type.tensor_type.elem_type for one in (*model.graph.input, *model.graph.output)}
    assert kinds == {TensorProto.FLOAT}
    stored = {one.data_type for one in model.graph.initializer}
    assert TensorProto.FLOAT16 in stored
    assert TensorProto.FLOAT not in stored
    casts = {node.output[0] for node in model.graph.node if node.op_type == "Cast"}
    assert "logits" in casts
    before = (bundle / "model.onnx").stat().st_size
    assert (bundle.parent / "half.onnx").stat().st_size < 0.75 * before


def test_half_precision_answers_like_single(bundle: Path) -> None:
    manifest = Bundle(bundle).manifest
    model = read_model(bundle / "model.onnx")
    rng = np.random.default_rng(0)
    clip = manifest.clip
    shape = (clip.batch, clip.persons, clip.frames, clip.joints, clip.channels)
    feed = manifest.feed(rng.normal(0, 1, shape).astype(np.float32))
    wanted = _logits(model, feed)
    to_half(model)
    got = _logits(model, feed)
    assert got.dtype == np.float32
    assert 0 < np.abs(got - wanted).max() < 5e-3


def test_a_weight_beyond_half_precision_is_named(bundle: Path) -> None:
    model = read_model(bundle / "model.onnx")
    large = next(one for one in model.graph.initializer if one.name.endswith("head.weight"))
    values = numpy_helper.to_array(large).copy()
    values.flat[0] = 7e4
    large.CopyFrom(numpy_helper.from_array(values, large.name))
    with pytest.raises(ExportError, match=r"head\.weight.*7e\+04"):
        to_half(model)


def test_weights_that_vanish_are_counted(bundle: Path) -> None:
    model = read_model(bundle / "model.onnx")
    small = next(one for one in model.graph.initializer if one.name.endswith("head.weight"))
    values = numpy_helper.to_array(small).copy()
    values.flat[:3] = 1e-9
    small.CopyFrom(numpy_helper.from_array(values, small.name))
    notes = to_half(model)
    assert notes
    assert "became 0" in notes[0]


def _pair(nodes: list[Any]) -> Any:
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [tensor("x", 1, [1, 2])], [tensor("y", 1, [1, 2])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_nodes_are_put_behind_what_they_read() -> None:
    model = _pair(
        [
            helper.make_node("Relu", ["b"], ["y"], name="last"),
            helper.make_node("Abs", ["x"], ["a"], name="first"),
            helper.make_node("Neg", ["a"], ["b"], name="middle"),
        ]
    )
    sort_nodes(model)
    assert [node.name for node in model.graph.node] == ["first", "middle", "last"]
    onnx.checker.check_model(model)


def test_a_cycle_is_refused() -> None:
    model = _pair(
        [helper.make_node("Add", ["x", "y"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    )
    with pytest.raises(ExportError, match="cycle"):
        sort_nodes(model)


def test_nodes_without_names_get_some(tmp_path: Path) -> None:
    model = _pair([helper.make_node("Abs", ["x"], ["a"]), helper.make_node("Abs", ["a"], ["y"])])
    onnx.save_model(model, str(tmp_path / "m.onnx"))
    names = [node.name for node in read_model(tmp_path / "m.onnx").graph.node]
    assert len(set(names)) == 2
    assert all(names)


def test_a_graph_that_is_not_valid_is_not_written(tmp_path: Path) -> None:
    model = _pair([helper.make_node("NoSuchOperator", ["x"], ["y"])])
    with pytest.raises(ExportError, match="not valid"):
        save_model(model, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x00\xffnothing")
    with pytest.raises(BundleError, match=r"m\.onnx cannot be read"):
        read_model(tmp_path / "m.onnx")


def test_a_quantised_graph_cannot_become_half() -> None:
    model = _pair(
        [
            helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s"], ["y"]),
        ]
    )
    assert is_quantised(model)
    with pytest.raises(UsageError, match="quantised"):
        to_half(model)
