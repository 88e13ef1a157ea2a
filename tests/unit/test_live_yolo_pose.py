"""YOLO-pose of the user's: raw and end to end, with notes and without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pose_graphs import constant_model
from pose_networks import (
    MARGIN,
    MIDDLES,
    ONE,
    expect_middles,
    image_frame,
    made_yolo,
    pose_settings,
    squares,
)

from stgcn_deploy.errors import (
    BackendError,
    UsageError,
)
from stgcn_deploy.live.pose import yolo_pose as yolo_file

pytest.importorskip("cv2", reason="opencv is not installed; these networks look at images")


def test_yolo_sees_red_first_between_zero_and_one(tmp_path: Path) -> None:
    pose = made_yolo(tmp_path, ONE)
    (people,) = pose.detect([image_frame(squares())])
    expect_middles(people[0], MIDDLES, MARGIN)
    assert people[0].box == pytest.approx((32, 8, 64, 64), abs=1e-3)
    assert people[0].score == pytest.approx(0.9)
    pose.close()


def test_yolo_end_to_end_gives_corners(tmp_path: Path) -> None:
    people = [([16, 12, 48, 44], 0.9), ([0, 0, 0, 0], 0.0)]
    pose = made_yolo(tmp_path, people, end_to_end=True)
    (found,) = pose.detect([image_frame(squares())])
    assert len(found) == 1
    expect_middles(found[0], MIDDLES, MARGIN)
    assert found[0].box == pytest.approx((32, 8, 64, 64), abs=1e-3)
    pose.close()


@pytest.mark.parametrize("end_to_end", [False, True])
def test_joints_without_scores_are_simply_known(tmp_path: Path, end_to_end: bool) -> None:
    people = [([16, 12, 48, 44], 0.9)] if end_to_end else ONE
    notes = {"kpt_shape": "[17, 2]", "task": "pose", "names": "{0: 'person'}"}
    for noted in (notes, None):
        pose = made_yolo(tmp_path, people, scored=False, notes=noted, end_to_end=end_to_end)
        expect_middles(pose.detect([image_frame(squares())])[0][0], MIDDLES, 1.0)
        pose.close()


def test_bytes_are_given_as_they_are(tmp_path: Path) -> None:
    pose = made_yolo(tmp_path, ONE, dtype="uint8", score=(0.0, 1 / 255))
    expect_middles(pose.detect([image_frame(squares())])[0][0], MIDDLES, MARGIN)
    pose.close()


def test_boxes_of_one_person_become_one_and_of_two_stay_two(tmp_path: Path) -> None:
    same = [([32, 28, 32, 32], 0.8), ([33, 28, 32, 32], 0.9), ([32, 29, 30, 32], 0.7)]
    other = [([50, 28, 20, 32], 0.6), ([12, 28, 20, 32], 0.5)]
    pose = made_yolo(tmp_path, same + other)
    (people,) = pose.detect([image_frame(squares())])
    assert [round(one.score, 2) for one in people] == [0.9, 0.6, 0.5]
    pose.close()
    capped = made_yolo(tmp_path, same + other, {"persons": 2})
    assert [round(one.score, 2) for one in capped.detect([image_frame(squares())])[0]] == [0.9, 0.6]
    capped.close()
    kept = made_yolo(tmp_path, [([16, 12, 48, 44], 0.9), ([16, 12, 48, 45], 0.8)], end_to_end=True)
    assert len(kept.detect([image_frame(squares())])[0]) == 2  # the graph has decided
    kept.close()


def test_another_number_of_joints_needs_its_layout(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"\(1, 44, 300\).*of 17 joints gives.*\(N, 56, places\).*--pose-layout"
    ):
        made_yolo(tmp_path, ONE, joints=13)
    with pytest.raises(UsageError, match="gives 14 joints, and layout coco17 has 17"):
        made_yolo(tmp_path, ONE, joints=14, notes={"kpt_shape": "[14, 3]"})
    pose = made_yolo(tmp_path, ONE, {"layout": "cococut14"}, joints=14)
    assert pose.layout == "cococut14"
    assert pose.detect([image_frame(squares())])[0][0].keypoints.shape == (14, 3)
    pose.close()


def test_other_tasks_and_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="task is 'detect', expected 'pose'"):
        made_yolo(tmp_path, ONE, notes={"task": "detect"})
    animals = {"task": "pose", "names": "{0: 'cat', 1: 'dog'}"}
    with pytest.raises(
        UsageError, match="knows the classes cat, dog; expected one called 'person'"
    ):
        made_yolo(tmp_path, ONE, notes=animals)


@pytest.mark.parametrize(
    "text", ["", "[", "__import__('os')", "{'a': 1}", "[1, 'x']", "9" * 10_000, "(" * 999]
)
def test_notes_that_are_no_notes_change_nothing(tmp_path: Path, text: str) -> None:
    pose = made_yolo(tmp_path, ONE, notes={"names": text, "kpt_shape": text})
    assert len(pose.detect([image_frame(squares())])[0]) == 1
    pose.close()


@pytest.mark.parametrize("shape", [(1, 84, 8400), (1, 8400, 56), (1, 56), (2, 56, 90), (1, 300, 6)])
def test_what_is_no_yolo_pose_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    file = constant_model(tmp_path / "odd.onnx", {"output0": np.zeros(shape)})
    with pytest.raises((UsageError, BackendError), match=r"odd\.onnx.*expected|odd\.onnx gives"):
        yolo_file.make(pose_settings("yolo-pose", file))
