"""Person detectors in files of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pose_graphs import constant_model
from pose_networks import (
    pose_settings,
    squares,
)

from stgcn_deploy.errors import (
    UsageError,
)
from stgcn_deploy.live.pose import yolo_detector

pytest.importorskip("cv2", reason="opencv is not installed; these networks look at images")


def _detector(file: Path, **fields: Any) -> yolo_detector.YoloDetector:
    return yolo_detector.make(pose_settings("rtmpose", detector=str(file), **fields))


def test_yolo_detectors_give_persons_only(tmp_path: Path) -> None:
    rows = np.zeros((1, 84, 300))
    rows[0, :4, 0], rows[0, 4, 0] = [32, 32, 16, 32], 0.9
    rows[0, :4, 1], rows[0, 6, 1] = [10, 32, 16, 32], 0.95  # a car
    rows[0, :4, 2], rows[0, 4, 2] = [33, 32, 16, 32], 0.8  # the same person
    finder = _detector(constant_model(tmp_path / "yolo.onnx", {"output0": rows}))
    ((box, score),) = finder.detect(squares())
    assert box == pytest.approx((48, 16, 32, 64), abs=1e-3)
    assert score == pytest.approx(0.9)
    assert finder.name == "yolo.onnx"
    assert finder.detect(np.zeros((0, 0, 3), np.uint8)) == []
    finder.close()


def test_the_class_of_persons_is_found_by_its_name(tmp_path: Path) -> None:
    rows = np.zeros((1, 6, 300))
    rows[0, :4, 0], rows[0, 4, 0] = [32, 32, 16, 32], 0.9
    rows[0, :4, 1], rows[0, 5, 1] = [10, 32, 16, 32], 0.7
    notes = {"names": "{0: 'helmet', 1: 'person'}", "task": "detect"}
    finder = _detector(constant_model(tmp_path / "own.onnx", {"output0": rows}, notes=notes))
    assert [round(score, 2) for _, score in finder.detect(squares())] == [0.7]
    finder.close()
    notes["names"] = "{0: 'helmet', 1: 'vest'}"
    file = constant_model(tmp_path / "vests.onnx", {"output0": rows}, notes=notes)
    with pytest.raises(UsageError, match="helmet, vest; expected one called 'person'"):
        _detector(file)


def test_end_to_end_detectors_give_corners_and_classes(tmp_path: Path) -> None:
    rows = np.zeros((1, 300, 6))
    rows[0, 0] = [24, 16, 40, 48, 0.9, 0]
    rows[0, 1] = [4, 16, 20, 48, 0.8, 2]
    finder = _detector(constant_model(tmp_path / "end.onnx", {"output0": rows}))
    ((box, _),) = finder.detect(squares())
    assert box == pytest.approx((48, 16, 32, 64), abs=1e-3)
    finder.close()


@pytest.mark.parametrize(
    ("weights", "normalised"), [((), False), (("bbox_head.rtm_cls.0.weight",), True)]
)
def test_mmdeploy_detectors_have_the_picture_in_the_corner(
    tmp_path: Path, weights: tuple[str, ...], normalised: bool
) -> None:
    rows = np.array([[[24, 16, 40, 48, 0.9], [24, 16, 40, 48, 0.9], [0, 0, 0, 0, 0]]])
    outputs = {"dets": rows, "labels": np.array([[0, 1, 0]])}
    finder = _detector(constant_model(tmp_path / "yolox.onnx", outputs, weights=weights))
    ((box, _),) = finder.detect(squares())
    assert box == pytest.approx((48, 32, 32, 64), abs=1e-3)
    assert finder._finder._pixels.bgr
    assert (finder._finder._pixels.std != (1, 1, 1)) is normalised
    finder.close()


@pytest.mark.parametrize(
    "outputs",
    [
        {"output": (1, 8400, 85)},
        {"dets": (1, 100, 5)},
        {"dets": (1, 100, 5), "labels": (1, 100, 1)},
        {"scores": (1, 4)},
        {"output0": (1, 4, 8400)},
    ],
)
def test_what_is_no_person_detector_is_refused(
    tmp_path: Path, outputs: dict[str, tuple[int, ...]]
) -> None:
    made = {name: np.zeros(shape) for name, shape in outputs.items()}
    file = constant_model(tmp_path / "odd.onnx", made)
    with pytest.raises(UsageError, match=r"odd\.onnx gives .*; a person detector gives"):
        _detector(file)
