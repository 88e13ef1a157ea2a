"""Files that are no pose networks, or such that must not be opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from pose_graphs import constant_model, rtmo
from pose_networks import (
    BLUE,
    GREEN,
    MARGIN,
    RED,
    expect_middles,
    image_frame,
    pose_settings,
    squares,
)

from stgcn_deploy.errors import (
    BackendError,
    FileUnreadableError,
    StgcnError,
    UnknownNameError,
    UsageError,
)
from stgcn_deploy.live.pose import rtmo as rtmo_file
from stgcn_deploy.live.pose.onnx_model import OnnxModel
from stgcn_deploy.live.pose.registry import DETECTORS, POSES

pytest.importorskip("cv2", reason="opencv is not installed; these networks look at images")


def _no_onnx(path: Path) -> None:
    path.write_bytes(b"not a model" * 99)


def _empty(path: Path) -> None:
    path.touch()


def _folder(path: Path) -> None:
    path.mkdir()


def _too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)


def _cut(path: Path) -> None:
    rtmo(path, [[1, 1, 9, 9, 0.9]])
    path.write_bytes(path.read_bytes()[:200])


def _nodeless(path: Path) -> None:
    onnx.save(helper.make_model(helper.make_graph([], "none", [], [])), str(path))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_no_onnx, "no readable ONNX model|without a single node"),
        (_empty, "empty one; expected an ONNX network"),
        (_folder, "is no file"),
        (_too_large, "1024 MiB, which is no pose network"),
        (_cut, "no readable ONNX model"),
        (_nodeless, "without a single node"),
        (lambda path: None, "cannot read the network"),
    ],
)
@pytest.mark.parametrize("name", ["rtmo", "rtmpose", "yolo-pose"])
def test_files_that_are_no_networks_are_refused(
    tmp_path: Path, name: str, spoil: Callable[[Path], None], says: str
) -> None:
    file = tmp_path / "bad.onnx"
    spoil(file)
    good = constant_model(tmp_path / "good.onnx", {"output0": np.zeros((1, 300, 6))})
    with pytest.raises(FileUnreadableError, match=says):
        POSES[name](pose_settings(name, file, detector=str(good)))


@pytest.mark.parametrize("name", ["rtmo", "yolo-pose"])
def test_a_network_must_be_named(name: str) -> None:
    with pytest.raises(
        UsageError, match=f"{name} runs a network of yours; name its file: --pose-model"
    ):
        POSES[name](pose_settings(name))


def _outside(path: Path, where: str) -> Path:
    """A model whose weights are said to lie at `where`."""
    model = onnx.load(str(rtmo(path / "whole.onnx", [[1, 1, 9, 9, 0.9]])))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=where)
    file = path / "outside.onnx"
    file.write_bytes(model.SerializeToString())
    return file


@pytest.mark.parametrize(
    "where", ["/etc/passwd", "../weights.bin", "a/../../weights.bin", "", ".", "a\0b"]
)
def test_weights_outside_of_the_folder_are_refused(tmp_path: Path, where: str) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    folder = tmp_path / "inner"
    folder.mkdir()
    with pytest.raises(FileUnreadableError, match="outside of its own folder; refused"):
        rtmo_file.make(pose_settings("rtmo", _outside(folder, where)))


def test_a_link_out_of_the_folder_is_outside(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(FileUnreadableError, match="outside"):
        rtmo_file.make(pose_settings("rtmo", _outside(folder, "link.bin")))


def test_weights_beside_the_file_are_read_and_missed(tmp_path: Path) -> None:
    model = onnx.load(str(rtmo(tmp_path / "whole.onnx", [[16, 12, 48, 44, 0.9]])))
    file = tmp_path / "split.onnx"
    onnx.save(
        model, str(file), save_as_external_data=True, location="split.bin", size_threshold=200
    )
    pose = rtmo_file.make(pose_settings("rtmo", file))
    expect_middles(pose.detect([image_frame(squares())])[0][0], (BLUE, GREEN, RED), MARGIN)
    pose.close()
    (tmp_path / "split.bin").unlink()
    with pytest.raises(FileUnreadableError, match=r"needs 'split\.bin' beside it"):
        rtmo_file.make(pose_settings("rtmo", file))


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ((1, 64, 64, 3), r"takes input float32 \(1, 64, 64, 3\); expected one input, an image"),
        ((1, 1, 64, 64), "expected one input, an image"),
        ((1, 3, 64), "expected one input, an image"),
        ((1, 3, 8, 8), "side of 8; expected 32 to 4096"),
        ((1, 3, 64, 9000), "side of 9000"),
        ((99, 3, 64, 64), "99 images in one call"),
    ],
)
def test_inputs_that_are_no_image_are_refused(tmp_path: Path, image: Any, says: str) -> None:
    outputs = {"dets": np.zeros((1, 5, 5)), "keypoints": np.zeros((1, 5, 17, 3))}
    file = constant_model(tmp_path / "odd.onnx", outputs, image=image)
    with pytest.raises(UsageError, match=says):
        rtmo_file.make(pose_settings("rtmo", file))


def test_open_sides_are_the_usual_ones(tmp_path: Path) -> None:
    file = rtmo(
        tmp_path / "open.onnx", [[1, 1, 9, 9, 0.9]], size=(640, 640), image=("n", 3, "h", "w")
    )
    model = OnnxModel(file, usual=(640, 640))
    assert (model.size, model.batch) == ((640, 640), None)
    model.close()
    # A graph that was traced at another size does not run, and says so at once.
    with pytest.raises(
        BackendError, match=r"open\.onnx does not run on an image \(1, 3, 416, 416\)"
    ):
        OnnxModel(file, usual=(416, 416))


def test_a_batch_that_is_open_in_name_only_is_one(tmp_path: Path) -> None:
    outputs = {"dets": np.zeros((1, 5, 5)), "keypoints": np.zeros((1, 5, 17, 3))}
    outputs["dets"][0, 0] = [16, 12, 48, 44, 0.9]
    file = constant_model(tmp_path / "one.onnx", outputs, image=("batch", 3, 64, 64))
    pose = rtmo_file.make(pose_settings("rtmo", file))
    found = pose.detect([image_frame(squares(), "a"), image_frame(squares(), "b")])
    assert [len(people) for people in found] == [1, 1]
    pose.close()
    model = OnnxModel(rtmo(tmp_path / "any.onnx", [[1, 1, 9, 9, 0.9]]), usual=(64, 64))
    assert model.batch is None
    model.close()


def test_operators_of_another_runtime_are_refused(tmp_path: Path) -> None:
    node = helper.make_node("TRTBatchedNMS", ["input"], ["dets"], domain="mmdeploy")
    graph = helper.make_graph(
        [node],
        "tensorrt",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("dets", TensorProto.FLOAT, None)],
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("mmdeploy", 1)]
    file = tmp_path / "trt.onnx"
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=8), str(file))
    with pytest.raises(BackendError, match=r"cannot load .*trt\.onnx"):
        rtmo_file.make(pose_settings("rtmo", file))


def test_outputs_without_a_batch_axis_are_refused(tmp_path: Path) -> None:
    outputs = {"dets": np.zeros((5, 5)), "keypoints": np.zeros((5, 17, 3))}
    file = constant_model(tmp_path / "flat.onnx", outputs)
    with pytest.raises(BackendError, match=r"output 'dets' is float32 \(5, 5\) for 1 image"):
        rtmo_file.make(pose_settings("rtmo", file))


def test_the_tables_hold_what_they_name() -> None:
    for name in ("rtmo", "rtmpose", "yolo-pose"):
        assert callable(POSES[name])
    with pytest.raises(UnknownNameError, match="did you mean 'yolo-pose'"):
        POSES["yolopose"]
    assert DETECTORS.kind == "person detector"


@given(data=st.binary(max_size=400), place=st.integers(0, 5000))
def test_damaged_files_end_in_words(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, place: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    file = rtmo(folder / "rtmo.onnx", [[16, 12, 48, 44, 0.9]])
    whole = bytearray(file.read_bytes())
    place %= len(whole)
    whole[place : place + len(data)] = data
    file.write_bytes(whole)
    said = "rtmo.onnx"
    try:
        rtmo_file.make(pose_settings("rtmo", file)).close()
    except StgcnError as error:
        said = str(error)
    assert "rtmo.onnx" in said
