"""Pose networks on OpenVINO: what is asked for is computed, in float32, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stgcn_deploy.errors import BackendError, MissingDependencyError
from stgcn_deploy.live.pose import openvino_network
from stgcn_deploy.live.pose.blazepose import _opener
from stgcn_deploy.live.pose.openvino_network import OpenVinoNetwork, unusable
from stgcn_deploy.live.settings import PoseSettings

needs_openvino = pytest.mark.skipif(
    unusable() is not None, reason=f"OpenVINO cannot be used here: {unusable()}"
)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Three outputs: twice the input, plus one, minus one."""
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["a"]),
        helper.make_node("Add", ["x", "one"], ["b"]),
        helper.make_node("Sub", ["x", "one"], ["c"]),
    ]
    numbers = [
        helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0]),
        helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
    ]

    def value(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 2, 3])

    made = helper.make_graph(nodes, "g", [value("x")], [value(n) for n in "abc"], numbers)
    path = tmp_path / "g.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)]), str(path))
    return path


@needs_openvino
def test_outputs_that_are_not_kept_are_empty(graph: Path) -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    network = OpenVinoNetwork(graph, (0, 2))
    first = network(x)
    assert [one.size for one in first] == [12, 0, 12]
    np.testing.assert_array_equal(first[0], 2 * x)
    np.testing.assert_array_equal(first[2], x - 1)
    # Results belong to the caller: another call does not change them.
    network(x + 5)
    np.testing.assert_array_equal(first[0], 2 * x)


@needs_openvino
def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"nothing")
    with pytest.raises(BackendError, match=r"bad\.tflite"):
        OpenVinoNetwork(tmp_path / "bad.tflite", (0,))


@needs_openvino
def test_another_precision_than_asked_is_refused(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(openvino_network.SETTINGS, "INFERENCE_PRECISION_HINT", "f16")
    with pytest.raises(BackendError, match="f32"):
        OpenVinoNetwork(graph, (0,))


@needs_openvino
def test_both_runtimes_find_the_same_joints(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ai_edge_litert")
    from stgcn_deploy.live.pose.fetch import LANDMARKS, find_weights
    from stgcn_deploy.live.pose.litert import LiteNetwork

    try:
        path = find_weights()[LANDMARKS]
    except MissingDependencyError as error:
        pytest.skip(f"BlazePose's weights are not here: {error}")
    image = np.random.default_rng(1).random((1, 256, 256, 3)).astype(np.float32)
    ours, theirs = OpenVinoNetwork(path, (0, 1, 3))(image), LiteNetwork(path)(image)
    assert ours[2].size == ours[4].size == 0
    for place in (0, 1, 3):
        bound = 1e-4 * max(1.0, float(np.abs(theirs[place]).max()))
        assert np.abs(ours[place] - theirs[place]).max() < bound


def test_the_runtime_is_chosen_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_network, "unusable", lambda: None)
    assert _opener(PoseSettings())[1] == "openvino"
    assert _opener(PoseSettings(runtime="litert"))[1] == "litert"
    monkeypatch.setattr(openvino_network, "unusable", lambda: "it is not installed")
    assert _opener(PoseSettings())[1] == "litert"
    with pytest.raises(MissingDependencyError, match="it is not installed"):
        _opener(PoseSettings(runtime="openvino"))
