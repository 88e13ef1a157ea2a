"""RTMPose of the user's: crops, people followed between runs of the detector, SimCC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pose_graphs import colour_squares, constant_model, simcc
from pose_networks import (
    MIDDLES,
    WHOLE,
    ToldDetector,
    image_frame,
    made_rtmpose,
    pose_settings,
    squares,
)

from stgcn_deploy.errors import (
    FileUnreadableError,
    UnknownNameError,
    UsageError,
)
from stgcn_deploy.live.frames import Box
from stgcn_deploy.live.pose import rtmpose
from stgcn_deploy.live.pose.crop import Crop
from stgcn_deploy.live.pose.onnx_model import OnnxModel
from stgcn_deploy.live.pose.simcc import simcc_joints

pytest.importorskip("cv2", reason="opencv is not installed; these networks look at images")


def test_rtmpose_sees_a_normalised_crop_with_nothing_outside(tmp_path: Path) -> None:
    pose = made_rtmpose(tmp_path, ToldDetector(WHOLE))
    (people,) = pose.detect([image_frame(squares())])
    joints = people[0].keypoints
    wanted = np.array([MIDDLES[j % 3] for j in range(17)])
    # A bin is 0.5 pixels of a network's image that is 1.48 times as small.
    assert np.abs(joints[:, :2] - wanted).max() < 2.0
    # Left of the frame there is 0, which is -mean / std: red first.
    black = -np.array([123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    np.testing.assert_allclose(joints[:3, 2], 0.6 + 0.1 * black, atol=2e-3)
    assert people[0].score == pytest.approx(float(joints[:, 2].mean()))
    x, y, width, height = people[0].box or (0, 0, 0, 0)
    assert (x, y, x + width, y + height) == pytest.approx((30, 20, 90, 76), abs=2)
    pose.close()


@pytest.mark.parametrize(
    ("box", "ratio"), [((40, 10, 30, 80), 0.75), ((10, 40, 100, 20), 0.75), ((0, 0, 64, 64), 1.0)]
)
def test_crops_hold_the_box_and_come_back(box: Box, ratio: float) -> None:
    size = (48, round(48 / ratio))
    crop = Crop.around(box, (128, 96), size)
    assert crop is not None
    corners = np.array([[box[0], box[1]], [box[0] + box[2], box[1] + box[3]]], np.float32)
    inside = (corners - [crop.left, crop.top]) * crop.scale
    assert (inside >= 0).all()
    assert (inside <= size).all()
    # 1.25 times as large on the side that counts.
    assert max((inside[1] - inside[0]) / size) == pytest.approx(1 / 1.25)
    np.testing.assert_allclose(crop.back(inside.astype(np.float32)), corners, atol=1e-3)


@pytest.mark.parametrize(
    "box",
    [
        (-50, 0, 40, 40),
        (0, 96, 10, 10),
        (5, 5, 0, 0),
        (5, 5, -9, 20),
        (np.nan, 0, 9, 9),
        (0, 0, np.inf, 9),
        (126.5, 3, 50, 50),
    ],
)
def test_boxes_without_anything_of_the_image_are_nobody(tmp_path: Path, box: Box) -> None:
    assert Crop.around(box, (128, 96), (48, 64)) is None
    pose = made_rtmpose(tmp_path, ToldDetector(box))
    assert pose.detect([image_frame(squares())]) == [()]
    pose.close()


def test_between_runs_of_the_detector_people_are_followed(tmp_path: Path) -> None:
    detector = ToldDetector(WHOLE)
    pose = made_rtmpose(tmp_path, detector, {"detector_every": 4}, score=(0.9, 0.0))
    for step in range(9):
        middles = [(x + step, y) for x, y in MIDDLES]
        image = colour_squares((128, 96), middles)
        (people,) = pose.detect([image_frame(image, t=step / 25)])
        assert len(people) == 1, step
        wanted = np.array([middles[j % 3] for j in range(17)])
        assert np.abs(people[0].keypoints[:, :2] - wanted).max() < 2.5
        assert detector.calls == step // 4 + 1
    pose.close()


def test_a_person_whom_the_detector_misses_is_still_followed(tmp_path: Path) -> None:
    detector = ToldDetector(WHOLE)
    pose = made_rtmpose(tmp_path, detector, score=(0.9, 0.0))
    assert len(pose.detect([image_frame(squares())])[0]) == 1
    detector.boxes = ()
    assert len(pose.detect([image_frame(squares())])[0]) == 1
    # Seen again they are not two.
    detector.boxes = (WHOLE,)
    assert len(pose.detect([image_frame(squares())])[0]) == 1
    # Another connection, or another picture, is another scene.
    detector.boxes = ()
    assert pose.detect([image_frame(squares(), epoch=1)]) == [()]
    detector.boxes = (WHOLE,)
    pose.detect([image_frame(squares(), epoch=1)])
    detector.boxes = ()
    assert pose.detect([image_frame(squares((200, 96)), epoch=1)]) == [()]
    pose.close()


def test_forgotten_people_are_looked_for_by_the_detector(tmp_path: Path) -> None:
    detector = ToldDetector(WHOLE)
    pose = made_rtmpose(tmp_path, detector, {"detector_every": 100}, score=(0.9, 0.0))
    pose.detect([image_frame(squares())])
    pose.detect([image_frame(squares())])
    assert detector.calls == 1
    pose.forget("a")
    pose.forget("a")
    pose.detect([image_frame(squares())])
    assert detector.calls == 2
    pose.close()
    assert detector.closed


def test_several_people_of_several_frames_go_together(tmp_path: Path) -> None:
    calls: list[int] = []
    detector = ToldDetector(WHOLE, (15, 5, 90, 86), (18, 0, 84, 96))
    pose = made_rtmpose(tmp_path, detector, score=(0.9, 0.0))
    run = pose._model.run
    pose._model.run = lambda blob: calls.append(len(blob)) or run(blob)  # type: ignore[method-assign]
    frames = [
        image_frame(squares(), "a"),
        image_frame(None, "b"),
        image_frame(squares(), "c"),
        image_frame(squares(), "a"),
    ]
    found = pose.detect(frames)
    # The second frame of camera a waits for the first.
    assert calls[0] == 6
    assert len(calls) == 2
    assert found[1] == ()
    for people in (found[0], found[2], found[3]):
        # All crops show the same three squares: one person, found three times.
        assert len(people) == 1
    pose.close()


def test_unsure_people_are_nobody_and_are_not_followed(tmp_path: Path) -> None:
    detector = ToldDetector(WHOLE)
    pose = made_rtmpose(tmp_path, detector, {"detector_every": 100}, score=(0.2, 0.0))
    for _ in range(3):
        assert pose.detect([image_frame(squares())]) == [()]
    assert detector.calls == 1
    pose.close()


@pytest.mark.parametrize("names", [("simcc_x", "simcc_y"), ("a", "b")])
def test_the_axes_are_told_apart_by_their_bins(tmp_path: Path, names: tuple[str, str]) -> None:
    pose = made_rtmpose(tmp_path, ToldDetector(WHOLE), names=names)
    assert (pose._x, pose._y) == (0, 1)
    pose.close()
    swapped = {"simcc_y": np.zeros((1, 17, 128)), "simcc_x": np.zeros((1, 17, 96))}
    file = constant_model(tmp_path / "swapped.onnx", swapped, image=(1, 3, 64, 48))
    other = rtmpose.RtmPose(
        pose_settings("rtmpose", file), OnnxModel(file, usual=(48, 64)), ToldDetector()
    )
    assert (other._x, other._y) == (1, 0)
    other.close()
    square = {"simcc_y": np.zeros((1, 17, 128)), "simcc_x": np.zeros((1, 17, 128))}
    file = constant_model(tmp_path / "square.onnx", square, image=(1, 3, 64, 64))
    other = rtmpose.RtmPose(
        pose_settings("rtmpose", file), OnnxModel(file, usual=(64, 64)), ToldDetector()
    )
    assert (other._x, other._y) == (1, 0)
    other.close()


@pytest.mark.parametrize(
    "outputs",
    [
        {"heatmaps": (1, 17, 64, 48)},
        {"simcc_x": (1, 17, 96)},
        {"simcc_x": (1, 17, 96), "simcc_y": (1, 16, 128)},
        {"simcc_x": (1, 17, 96), "simcc_y": (1, 17, 64)},
        {"simcc_x": (1, 17, 24), "simcc_y": (1, 17, 32)},
    ],
)
def test_what_is_no_rtmpose_is_refused(tmp_path: Path, outputs: dict[str, tuple[int, ...]]) -> None:
    made = {name: np.zeros(shape) for name, shape in outputs.items()}
    file = constant_model(tmp_path / "odd.onnx", made, image=(1, 3, 64, 48))
    with pytest.raises(UsageError, match=r"odd\.onnx gives .* RTMPose gives simcc_x \(N, V, 96\)"):
        rtmpose.RtmPose(
            pose_settings("rtmpose", file), OnnxModel(file, usual=(48, 64)), ToldDetector()
        )


def test_rtmpose_without_a_detector_says_what_to_do(tmp_path: Path) -> None:
    file = simcc(tmp_path / "rtmpose.onnx")
    with pytest.raises(UsageError, match="needs to be told where people are: --pose-detector"):
        rtmpose.make(pose_settings("rtmpose", file))
    with pytest.raises(UnknownNameError, match="unknown person detector 'hogg'"):
        rtmpose.make(pose_settings("rtmpose", file, detector="hogg"))
    with pytest.raises(FileUnreadableError, match=r"absent\.onnx"):
        rtmpose.make(pose_settings("rtmpose", file, detector=str(tmp_path / "absent.onnx")))
    with pytest.raises(UsageError, match="name its file: --pose-model"):
        rtmpose.make(pose_settings("rtmpose", detector="hog"))


def test_rtmpose_with_a_detector_of_the_users(tmp_path: Path) -> None:
    file = simcc(tmp_path / "rtmpose.onnx", score=(0.9, 0.0))
    rows = np.zeros((1, 84, 300))
    rows[0, :5, 0] = [30, 32, 40, 38, 0.8]
    found = constant_model(tmp_path / "yolo.onnx", {"output0": rows})
    pose = rtmpose.make(pose_settings("rtmpose", file, detector=str(found)))
    assert pose.detector_every == 5
    (people,) = pose.detect([image_frame(squares())])
    assert np.abs(people[0].keypoints[:3, :2] - np.array(MIDDLES)).max() < 2
    pose.close()


def test_simcc_takes_the_lower_maximum_and_no_joint_is_zero() -> None:
    x, y = np.zeros((4, 96), np.float32), np.zeros((4, 128), np.float32)
    x[0, 30], y[0, 101] = 0.9, 0.4
    x[1, 5], y[1, 6] = 3.0, 2.0
    x[2], y[2, 7] = np.nan, 0.5
    x[3, 4], y[3, 5] = 0.5, np.inf
    joints = simcc_joints(x, y, (48, 64))
    assert joints[0].tolist() == pytest.approx([15.0, 50.5, 0.4])
    assert joints[1].tolist() == pytest.approx([2.5, 3.0, 1.0])
    assert not joints[2:].any()
