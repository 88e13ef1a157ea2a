"""Boxes, pixels, and numbers that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pose_networks import (
    ONE,
    WHOLE,
    ToldDetector,
    image_frame,
    made_rtmo,
    made_rtmpose,
    made_yolo,
    squares,
)

from stgcn_deploy.live.frames import Detection
from stgcn_deploy.live.pose.letterbox import Letterbox
from stgcn_deploy.live.pose.nms import nms, overlaps
from stgcn_deploy.live.pose.pixels import Pixels

pytest.importorskip("cv2", reason="opencv is not installed; these networks look at images")


def test_overlaps_of_boxes() -> None:
    box = np.array([0, 0, 2, 2])
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 2, 4, 4], [5, 5, 5, 5], [3, 3, 1, 1]])
    np.testing.assert_allclose(overlaps(box, others), [1, 1 / 3, 0, 0, 0])
    assert overlaps(box, np.zeros((0, 4))).shape == (0,)
    assert overlaps(np.zeros(4), np.zeros((1, 4))).tolist() == [0]


def test_nms_keeps_the_surest_and_stops() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [20, 0, 30, 4]])
    scores = np.array([0.5, 0.9, 0.1, 0.2])
    assert nms(boxes, scores, overlap=0.7).tolist() == [1, 3, 2]
    assert nms(boxes, scores, overlap=0.3).tolist() == [1, 3]
    assert nms(boxes, scores, overlap=0.7, most=1).tolist() == [1]
    assert nms(np.zeros((0, 4)), np.zeros(0), overlap=0.7).tolist() == []


@given(
    image=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    size=st.tuples(st.integers(32, 1280), st.integers(32, 1280)),
    centred=st.booleans(),
)
def test_pictures_fit_and_their_corners_come_back(
    image: tuple[int, int], size: tuple[int, int], centred: bool
) -> None:
    box = Letterbox.fit(image, size, centred=centred)
    assert box.inner[0] + box.left <= size[0]
    assert box.inner[1] + box.top <= size[1]
    assert max(box.inner[0] / size[0], box.inner[1] / size[1]) == 1
    start = np.array([box.left, box.top], np.float32)
    corners = np.array([start, start + box.inner], np.float32)
    np.testing.assert_allclose(box.back(corners), [[0, 0], image], atol=0.01)


def test_pixels_are_ordered_and_normalised() -> None:
    image = np.full((1, 2, 2, 3), (10, 20, 30), np.uint8)
    assert Pixels().blob(image, "float32")[0, :, 0, 0].tolist() == [10, 20, 30]
    assert Pixels(bgr=True).blob(image, "uint8")[0, :, 0, 0].tolist() == [30, 20, 10]
    made = Pixels(bgr=True, mean=(1, 2, 3), std=(1, 2, 4)).blob(image, "float16")
    assert made.dtype == np.float16
    assert made[0, :, 0, 0].tolist() == [29, 9, 1.75]


ODD = st.sampled_from([np.nan, np.inf, -np.inf, 1e38, -1e38, 0.0, 0.5, 1.5, 30.0, -3.0])


def _sane(people: tuple[Detection, ...], least: float) -> None:
    for one in people:
        assert np.isfinite(one.keypoints).all()
        assert np.abs(one.keypoints).max() < 1e8
        assert ((one.keypoints[:, 2] >= 0) & (one.keypoints[:, 2] <= 1)).all()
        assert least <= one.score <= 1
        assert one.box is None or (np.isfinite(one.box).all() and min(one.box[2:]) > 0)
    scores = [one.score for one in people]
    assert scores == sorted(scores, reverse=True)


class _Replaced:
    """A pose whose network is taken out, and gives what it is told to."""

    def __init__(self, pose: Any, model: Any) -> None:
        self.pose, self.model = pose, model

    def give(self, *outputs: np.ndarray) -> tuple[Detection, ...]:
        self.model.run = lambda blob: [outputs] * len(blob)
        people: tuple[Detection, ...] = self.pose.detect([image_frame(squares())])[0]
        return people


def _whole(pose: Any) -> _Replaced:
    return _Replaced(pose, pose._finder.model)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("networks")
    poses = {
        "rtmo": made_rtmo(folder, [[16, 12, 48, 44, 0.9]]),
        "raw": made_yolo(folder, ONE),
        "end": made_yolo(folder, ONE, end_to_end=True),
        "rtmpose": made_rtmpose(folder, ToldDetector(WHOLE)),
    }
    yield poses
    for pose in poses.values():
        pose.close()


@given(
    dets=arrays.arrays(np.float32, (3, 5), elements=ODD),
    joints=arrays.arrays(np.float32, (3, 17, 3), elements=ODD, fill=st.just(np.float32(0.5))),
)
def test_rtmo_lets_no_odd_number_through(networks: Any, dets: Any, joints: Any) -> None:
    _sane(_whole(networks["rtmo"]).give(dets, joints), 0.3)


@given(rows=arrays.arrays(np.float32, (4, 57), elements=ODD))
def test_yolo_lets_no_odd_number_through(networks: Any, rows: Any) -> None:
    _sane(_whole(networks["raw"]).give(np.pad(rows[:, 1:].T, ((0, 0), (0, 96)))), 0.3)
    _sane(_whole(networks["end"]).give(rows), 0.3)


@given(x=arrays.arrays(np.float32, (17, 96), elements=ODD, fill=st.just(np.float32(0))))
def test_rtmpose_lets_no_odd_number_through(networks: Any, x: Any) -> None:
    pose = networks["rtmpose"]
    pose.forget("a")
    _sane(_Replaced(pose, pose._model).give(x, np.ones((17, 128), np.float32)), 0.3)


def test_people_without_numbers_are_counted(tmp_path: Path) -> None:
    pose = made_rtmo(
        tmp_path, [[16, 12, 48, 44, np.nan], [np.inf, 0, 9, 9, 0.9], [1, 1, 9, 9, 0.8]]
    )
    assert len(pose.detect([image_frame(squares())])[0]) == 1
    assert pose.unusable == 2
    pose.close()
