"""The user's own pose networks: what goes in, what comes back in pixels, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper
from pose_graphs import colour_squares, constant_model, rtmo, simcc, yolo_pose

from stgcn_deploy.errors import (
    BackendError,
    FileUnreadableError,
    StgcnError,
    UnknownNameError,
    UsageError,
)
from stgcn_deploy.live.frames import Box, Detection, Frame
from stgcn_deploy.live.pose import rtmo as rtmo_file
from stgcn_deploy.live.pose import rtmpose, yolo_detector
from stgcn_deploy.live.pose import yolo_pose as yolo_file
from stgcn_deploy.live.pose.crop import Crop
from stgcn_deploy.live.pose.joint_orders import pick_joints
from stgcn_deploy.live.pose.letterbox import Letterbox
from stgcn_deploy.live.pose.nms import nms, overlaps
from stgcn_deploy.live.pose.onnx_model import OnnxModel
from stgcn_deploy.live.pose.pixels import Pixels
from stgcn_deploy.live.pose.registry import DETECTORS, POSES
from stgcn_deploy.live.pose.simcc import simcc_joints
from stgcn_deploy.live.settings import PoseSettings
from stgcn_deploy.skeleton.layouts import LAYOUTS

pytest.importorskip("cv2", reason="opencv is not installed; these networks look at images")

RED, GREEN, BLUE = (30.0, 40.0), (90.0, 20.0), (64.0, 76.0)
MIDDLES = (RED, GREEN, BLUE)
MARGIN = 114 / 255


def _frame(image: Any, camera: str = "a", t: float = 0.0, epoch: int = 0) -> Frame:
    return Frame(camera, t, t, image=image, epoch=epoch)


def _settings(name: str, model: Path | None = None, **fields: Any) -> PoseSettings:
    return PoseSettings(name=name, model=None if model is None else str(model), **fields)


def _squares(size: tuple[int, int] = (128, 96)) -> np.ndarray:
    return colour_squares(size, MIDDLES)


def _expect(found: Detection, middles: Sequence[tuple[float, float]], score: float) -> None:
    """Joint j in the middle of colour j % 3, to a pixel; all with this score."""
    joints = found.keypoints
    assert joints.dtype == np.float32
    wanted = np.array([middles[j % 3] for j in range(len(joints))])
    assert np.abs(joints[:, :2] - wanted).max() < 1.0
    np.testing.assert_allclose(joints[:, 2], score, atol=2e-3)


# ---- RTMO ------------------------------------------------------------------------------------


def _rtmo(path: Path, boxes: Sequence[Sequence[float]], settings: Any = None, **how: Any) -> Any:
    return rtmo_file.make(
        _settings("rtmo", rtmo(path / "rtmo.onnx", boxes, **how), **(settings or {}))
    )


def test_rtmo_sees_blue_first_in_the_middle_of_grey(tmp_path: Path) -> None:
    pose = _rtmo(tmp_path, [[16, 12, 48, 44, 0.9]])
    (people,) = pose.detect([_frame(_squares())])
    assert (pose.name, pose.layout) == ("rtmo", "coco17")
    _expect(people[0], (BLUE, GREEN, RED), MARGIN)
    # The picture is half as large and 8 lines down in the network's image.
    assert people[0].box == pytest.approx((32, 8, 64, 64))
    assert people[0].score == pytest.approx(0.9)
    pose.close()


@pytest.mark.parametrize("size", [(128, 96), (96, 128), (64, 64), (50, 90), (640, 360), (101, 77)])
def test_points_come_back_in_pixels_of_frames_of_any_size(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    width, height = size
    middles = [(width * x, height * y) for x, y in ((0.3, 0.4), (0.7, 0.3), (0.5, 0.8))]
    image = colour_squares(size, middles, side=max(6, 2 * (max(size) // 32)))
    pose = _rtmo(tmp_path, [[1, 1, 9, 9, 0.9]], size=(128, 128), score=(0.5, 0.0))
    (people,) = pose.detect([_frame(image)])
    found = people[0].keypoints[:3, :2]
    exact = [
        np.argwhere(image[..., colour] == 255)[:, ::-1].mean(axis=0) + 0.5 for colour in (2, 1, 0)
    ]
    assert np.abs(found - np.array(exact)).max() < max(1.0, max(size) / 128)
    pose.close()


def test_nobody_is_nobody_and_not_a_person_of_zeros(tmp_path: Path) -> None:
    pose = _rtmo(tmp_path, [[0, 0, 0, 0, 0.0], [1, 1, 9, 9, 0.2]])
    assert pose.detect([_frame(_squares())]) == [()]
    pose.close()
    everyone = _rtmo(tmp_path, [[0, 0, 0, 0, 0.0], [1, 1, 9, 9, 0.2]], {"score": 0.0})
    assert len(everyone.detect([_frame(_squares())])[0]) == 1
    everyone.close()
    none = _rtmo(tmp_path, [])
    assert none.detect([_frame(_squares())]) == [()]
    none.close()


def test_the_surest_come_first_and_only_so_many(tmp_path: Path) -> None:
    rows = [[i, i, i + 9, i + 9, 0.4 + i / 20] for i in range(8)]
    pose = _rtmo(tmp_path, rows, {"persons": 3})
    (people,) = pose.detect([_frame(_squares())])
    assert [round(one.score, 2) for one in people] == [0.75, 0.7, 0.65]
    pose.close()


@pytest.mark.parametrize("batch", ["batch", 1, 3])
def test_frames_go_together_or_one_by_one_with_the_same_answers(
    tmp_path: Path, batch: int | str
) -> None:
    pose = _rtmo(tmp_path, [[16, 12, 48, 44, 0.9]], batch=batch)
    images = [colour_squares((128, 96), [(x, 40.0), GREEN, BLUE]) for x in range(20, 120, 9)]
    frames = [_frame(image, f"cam{i}") for i, image in enumerate(images)]
    together = pose.detect(frames)
    for frame, people in zip(frames, together, strict=True):
        (alone,) = pose.detect([frame])
        np.testing.assert_array_equal(people[0].keypoints, alone[0].keypoints)
    reds = [people[0].keypoints[2, 0] for people in together]
    assert np.allclose(np.diff(reds), 9, atol=1)
    pose.close()


def test_frames_of_different_sizes_and_without_an_image_go_together(tmp_path: Path) -> None:
    pose = _rtmo(tmp_path, [[16, 12, 48, 44, 0.9]])
    empty = np.zeros((0, 0, 3), np.uint8)
    wide = np.pad(_squares(), ((0, 0), (0, 128), (0, 0)))
    found = pose.detect([_frame(None), _frame(_squares()), _frame(empty), _frame(wide)])
    assert found[0] == found[2] == ()
    _expect(found[1][0], (BLUE, GREEN, RED), MARGIN)
    _expect(found[3][0], (BLUE, GREEN, RED), MARGIN)
    assert pose.detect([]) == []
    pose.close()


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_networks_that_take_other_numbers_are_given_them(tmp_path: Path, dtype: str) -> None:
    pose = _rtmo(tmp_path, [[16, 12, 48, 44, 0.9]], dtype=dtype)
    _expect(pose.detect([_frame(_squares())])[0][0], (BLUE, GREEN, RED), MARGIN)
    pose.close()


def test_one_network_serves_several_threads(tmp_path: Path) -> None:
    pose = _rtmo(tmp_path, [[16, 12, 48, 44, 0.9]])
    wrong: list[object] = []

    def work(camera: str) -> None:
        try:
            for _ in range(20):
                _expect(pose.detect([_frame(_squares(), camera)])[0][0], (BLUE, GREEN, RED), MARGIN)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(f"cam{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    pose.close()
    with pytest.raises(BackendError, match="closed"):
        pose.detect([_frame(_squares())])


def test_nothing_is_kept_of_a_camera(tmp_path: Path) -> None:
    pose = _rtmo(tmp_path, [[16, 12, 48, 44, 0.9]])
    pose.forget("never seen")
    assert pose.detector_every == 1
    pose.close()


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ({"dets": (1, 5, 5)}, r"gives dets \(1, 5, 5\); RTMO gives dets \(N, n, 5\)"),
        ({"dets": (1, 5, 4), "keypoints": (1, 5, 17, 3)}, "RTMO gives dets"),
        ({"dets": (1, 5, 5), "keypoints": (1, 5, 17, 2)}, "RTMO gives dets"),
        (
            {"dets": (1, 5, 5), "keypoints": (1, 5, 14, 3)},
            "gives 14 joints.*coco17 has 17.*cococut14",
        ),
        ({"dets": (1, 5, 5), "keypoints": (1, 5, 99, 3)}, "No layout of `stgcn layouts`"),
        ({"output0": (1, 56, 8400)}, "another --pose"),
    ],
)
def test_what_is_no_rtmo_is_refused(
    tmp_path: Path, outputs: dict[str, tuple[int, ...]], says: str
) -> None:
    made = {name: np.zeros(shape) for name, shape in outputs.items()}
    file = constant_model(tmp_path / "odd.onnx", made)
    with pytest.raises(UsageError, match=says):
        rtmo_file.make(_settings("rtmo", file))


def test_more_joints_than_a_layout_are_its_joints_by_name(tmp_path: Path) -> None:
    rows = np.zeros((1, 1, 26, 3))
    rows[..., 0], rows[..., 1], rows[..., 2] = np.arange(26), 7, 0.5
    outputs = {"dets": np.array([[[1, 1, 60, 60, 0.9]]]), "keypoints": rows}
    file = constant_model(tmp_path / "halpe.onnx", outputs)
    image = np.zeros((64, 64, 3), np.uint8)
    for layout, first, neck in ((None, [0, 1, 2, 3], None), ("openpose25", [0, 18, 6, 8], 18)):
        pose = rtmo_file.make(_settings("rtmo", file, layout=layout))
        joints = pose.detect([_frame(image)])[0][0].keypoints
        assert pose.layout == (layout or "coco17")
        assert len(joints) == LAYOUTS[pose.layout].num_joints
        assert joints[:4, 0].tolist() == first
        if neck:
            assert joints[LAYOUTS["openpose25"].joints.index("neck"), 0] == neck
        pose.close()


def test_joint_orders_hold_what_they_say() -> None:
    for count in (26, 133):
        name, order = pick_joints("it", count, None)
        assert (name, order) == ("coco17", list(range(17)))
    _, halpe = pick_joints("it", 26, "openpose25")
    assert halpe is not None
    assert len(set(halpe)) == 25
    assert 17 not in halpe  # the top of the head, which BODY_25 has not
    with pytest.raises(UsageError, match="133 joints, and layout openpose25 has 25"):
        pick_joints("it", 133, "openpose25")  # no neck in it
    with pytest.raises(UnknownNameError, match="coco17"):
        pick_joints("it", 17, "coco71")


# ---- YOLO-pose -------------------------------------------------------------------------------


def _yolo(path: Path, people: Any, settings: Any = None, **how: Any) -> Any:
    file = yolo_pose(path / "yolo.onnx", people, **how)
    return yolo_file.make(_settings("yolo-pose", file, **(settings or {})))


ONE = [([32, 28, 32, 32], 0.9)]


def test_yolo_sees_red_first_between_zero_and_one(tmp_path: Path) -> None:
    pose = _yolo(tmp_path, ONE)
    (people,) = pose.detect([_frame(_squares())])
    _expect(people[0], MIDDLES, MARGIN)
    assert people[0].box == pytest.approx((32, 8, 64, 64), abs=1e-3)
    assert people[0].score == pytest.approx(0.9)
    pose.close()


def test_yolo_end_to_end_gives_corners(tmp_path: Path) -> None:
    people = [([16, 12, 48, 44], 0.9), ([0, 0, 0, 0], 0.0)]
    pose = _yolo(tmp_path, people, end_to_end=True)
    (found,) = pose.detect([_frame(_squares())])
    assert len(found) == 1
    _expect(found[0], MIDDLES, MARGIN)
    assert found[0].box == pytest.approx((32, 8, 64, 64), abs=1e-3)
    pose.close()


@pytest.mark.parametrize("end_to_end", [False, True])
def test_joints_without_scores_are_simply_known(tmp_path: Path, end_to_end: bool) -> None:
    people = [([16, 12, 48, 44], 0.9)] if end_to_end else ONE
    notes = {"kpt_shape": "[17, 2]", "task": "pose", "names": "{0: 'person'}"}
    for noted in (notes, None):
        pose = _yolo(tmp_path, people, scored=False, notes=noted, end_to_end=end_to_end)
        _expect(pose.detect([_frame(_squares())])[0][0], MIDDLES, 1.0)
        pose.close()


def test_bytes_are_given_as_they_are(tmp_path: Path) -> None:
    pose = _yolo(tmp_path, ONE, dtype="uint8", score=(0.0, 1 / 255))
    _expect(pose.detect([_frame(_squares())])[0][0], MIDDLES, MARGIN)
    pose.close()


def test_boxes_of_one_person_become_one_and_of_two_stay_two(tmp_path: Path) -> None:
    same = [([32, 28, 32, 32], 0.8), ([33, 28, 32, 32], 0.9), ([32, 29, 30, 32], 0.7)]
    other = [([50, 28, 20, 32], 0.6), ([12, 28, 20, 32], 0.5)]
    pose = _yolo(tmp_path, same + other)
    (people,) = pose.detect([_frame(_squares())])
    assert [round(one.score, 2) for one in people] == [0.9, 0.6, 0.5]
    pose.close()
    capped = _yolo(tmp_path, same + other, {"persons": 2})
    assert [round(one.score, 2) for one in capped.detect([_frame(_squares())])[0]] == [0.9, 0.6]
    capped.close()
    kept = _yolo(tmp_path, [([16, 12, 48, 44], 0.9), ([16, 12, 48, 45], 0.8)], end_to_end=True)
    assert len(kept.detect([_frame(_squares())])[0]) == 2  # the graph has decided
    kept.close()


def test_another_number_of_joints_needs_its_layout(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"\(1, 44, 300\).*of 17 joints gives.*\(N, 56, places\).*--pose-layout"
    ):
        _yolo(tmp_path, ONE, joints=13)
    with pytest.raises(UsageError, match="gives 14 joints, and layout coco17 has 17"):
        _yolo(tmp_path, ONE, joints=14, notes={"kpt_shape": "[14, 3]"})
    pose = _yolo(tmp_path, ONE, {"layout": "cococut14"}, joints=14)
    assert pose.layout == "cococut14"
    assert pose.detect([_frame(_squares())])[0][0].keypoints.shape == (14, 3)
    pose.close()


def test_other_tasks_and_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="task is 'detect', expected 'pose'"):
        _yolo(tmp_path, ONE, notes={"task": "detect"})
    animals = {"task": "pose", "names": "{0: 'cat', 1: 'dog'}"}
    with pytest.raises(
        UsageError, match="knows the classes cat, dog; expected one called 'person'"
    ):
        _yolo(tmp_path, ONE, notes=animals)


@pytest.mark.parametrize(
    "text", ["", "[", "__import__('os')", "{'a': 1}", "[1, 'x']", "9" * 10_000, "(" * 999]
)
def test_notes_that_are_no_notes_change_nothing(tmp_path: Path, text: str) -> None:
    pose = _yolo(tmp_path, ONE, notes={"names": text, "kpt_shape": text})
    assert len(pose.detect([_frame(_squares())])[0]) == 1
    pose.close()


@pytest.mark.parametrize("shape", [(1, 84, 8400), (1, 8400, 56), (1, 56), (2, 56, 90), (1, 300, 6)])
def test_what_is_no_yolo_pose_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    file = constant_model(tmp_path / "odd.onnx", {"output0": np.zeros(shape)})
    with pytest.raises((UsageError, BackendError), match=r"odd\.onnx.*expected|odd\.onnx gives"):
        yolo_file.make(_settings("yolo-pose", file))


# ---- RTMPose ---------------------------------------------------------------------------------


class _Detector:
    """Gives what it is told to, and counts."""

    name = "told"

    def __init__(self, *boxes: Box) -> None:
        self.boxes = boxes
        self.calls = 0
        self.closed = False

    def detect(self, image: np.ndarray) -> list[tuple[Box, float]]:
        self.calls += 1
        return [(box, 0.9) for box in self.boxes]

    def close(self) -> None:
        self.closed = True


WHOLE = (20.0, 10.0, 80.0, 76.0)


def _rtmpose(path: Path, detector: Any, settings: Any = None, **how: Any) -> rtmpose.RtmPose:
    file = simcc(path / "rtmpose.onnx", **how)
    chosen = _settings("rtmpose", file, **({"detector_every": 1} | (settings or {})))
    return rtmpose.RtmPose(chosen, OnnxModel(file, usual=rtmpose.USUAL), detector)


def test_rtmpose_sees_a_normalised_crop_with_nothing_outside(tmp_path: Path) -> None:
    pose = _rtmpose(tmp_path, _Detector(WHOLE))
    (people,) = pose.detect([_frame(_squares())])
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
    pose = _rtmpose(tmp_path, _Detector(box))
    assert pose.detect([_frame(_squares())]) == [()]
    pose.close()


def test_between_runs_of_the_detector_people_are_followed(tmp_path: Path) -> None:
    detector = _Detector(WHOLE)
    pose = _rtmpose(tmp_path, detector, {"detector_every": 4}, score=(0.9, 0.0))
    for step in range(9):
        middles = [(x + step, y) for x, y in MIDDLES]
        image = colour_squares((128, 96), middles)
        (people,) = pose.detect([_frame(image, t=step / 25)])
        assert len(people) == 1, step
        wanted = np.array([middles[j % 3] for j in range(17)])
        assert np.abs(people[0].keypoints[:, :2] - wanted).max() < 2.5
        assert detector.calls == step // 4 + 1
    pose.close()


def test_a_person_whom_the_detector_misses_is_still_followed(tmp_path: Path) -> None:
    detector = _Detector(WHOLE)
    pose = _rtmpose(tmp_path, detector, score=(0.9, 0.0))
    assert len(pose.detect([_frame(_squares())])[0]) == 1
    detector.boxes = ()
    assert len(pose.detect([_frame(_squares())])[0]) == 1
    # Seen again they are not two.
    detector.boxes = (WHOLE,)
    assert len(pose.detect([_frame(_squares())])[0]) == 1
    # Another connection, or another picture, is another scene.
    detector.boxes = ()
    assert pose.detect([_frame(_squares(), epoch=1)]) == [()]
    detector.boxes = (WHOLE,)
    pose.detect([_frame(_squares(), epoch=1)])
    detector.boxes = ()
    assert pose.detect([_frame(_squares((200, 96)), epoch=1)]) == [()]
    pose.close()


def test_forgotten_people_are_looked_for_by_the_detector(tmp_path: Path) -> None:
    detector = _Detector(WHOLE)
    pose = _rtmpose(tmp_path, detector, {"detector_every": 100}, score=(0.9, 0.0))
    pose.detect([_frame(_squares())])
    pose.detect([_frame(_squares())])
    assert detector.calls == 1
    pose.forget("a")
    pose.forget("a")
    pose.detect([_frame(_squares())])
    assert detector.calls == 2
    pose.close()
    assert detector.closed


def test_several_people_of_several_frames_go_together(tmp_path: Path) -> None:
    calls: list[int] = []
    detector = _Detector(WHOLE, (15, 5, 90, 86), (18, 0, 84, 96))
    pose = _rtmpose(tmp_path, detector, score=(0.9, 0.0))
    run = pose._model.run
    pose._model.run = lambda blob: calls.append(len(blob)) or run(blob)  # type: ignore[method-assign]
    frames = [
        _frame(_squares(), "a"),
        _frame(None, "b"),
        _frame(_squares(), "c"),
        _frame(_squares(), "a"),
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
    detector = _Detector(WHOLE)
    pose = _rtmpose(tmp_path, detector, {"detector_every": 100}, score=(0.2, 0.0))
    for _ in range(3):
        assert pose.detect([_frame(_squares())]) == [()]
    assert detector.calls == 1
    pose.close()


@pytest.mark.parametrize("names", [("simcc_x", "simcc_y"), ("a", "b")])
def test_the_axes_are_told_apart_by_their_bins(tmp_path: Path, names: tuple[str, str]) -> None:
    pose = _rtmpose(tmp_path, _Detector(WHOLE), names=names)
    assert (pose._x, pose._y) == (0, 1)
    pose.close()
    swapped = {"simcc_y": np.zeros((1, 17, 128)), "simcc_x": np.zeros((1, 17, 96))}
    file = constant_model(tmp_path / "swapped.onnx", swapped, image=(1, 3, 64, 48))
    other = rtmpose.RtmPose(
        _settings("rtmpose", file), OnnxModel(file, usual=(48, 64)), _Detector()
    )
    assert (other._x, other._y) == (1, 0)
    other.close()
    square = {"simcc_y": np.zeros((1, 17, 128)), "simcc_x": np.zeros((1, 17, 128))}
    file = constant_model(tmp_path / "square.onnx", square, image=(1, 3, 64, 64))
    other = rtmpose.RtmPose(
        _settings("rtmpose", file), OnnxModel(file, usual=(64, 64)), _Detector()
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
        rtmpose.RtmPose(_settings("rtmpose", file), OnnxModel(file, usual=(48, 64)), _Detector())


def test_rtmpose_without_a_detector_says_what_to_do(tmp_path: Path) -> None:
    file = simcc(tmp_path / "rtmpose.onnx")
    with pytest.raises(UsageError, match="needs to be told where people are: --pose-detector"):
        rtmpose.make(_settings("rtmpose", file))
    with pytest.raises(UnknownNameError, match="unknown person detector 'hogg'"):
        rtmpose.make(_settings("rtmpose", file, detector="hogg"))
    with pytest.raises(FileUnreadableError, match=r"absent\.onnx"):
        rtmpose.make(_settings("rtmpose", file, detector=str(tmp_path / "absent.onnx")))
    with pytest.raises(UsageError, match="name its file: --pose-model"):
        rtmpose.make(_settings("rtmpose", detector="hog"))


def test_rtmpose_with_a_detector_of_the_users(tmp_path: Path) -> None:
    file = simcc(tmp_path / "rtmpose.onnx", score=(0.9, 0.0))
    rows = np.zeros((1, 84, 300))
    rows[0, :5, 0] = [30, 32, 40, 38, 0.8]
    found = constant_model(tmp_path / "yolo.onnx", {"output0": rows})
    pose = rtmpose.make(_settings("rtmpose", file, detector=str(found)))
    assert pose.detector_every == 5
    (people,) = pose.detect([_frame(_squares())])
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


# ---- person detectors ------------------------------------------------------------------------


def _detector(file: Path, **fields: Any) -> yolo_detector.YoloDetector:
    return yolo_detector.make(_settings("rtmpose", detector=str(file), **fields))


def test_yolo_detectors_give_persons_only(tmp_path: Path) -> None:
    rows = np.zeros((1, 84, 300))
    rows[0, :4, 0], rows[0, 4, 0] = [32, 32, 16, 32], 0.9
    rows[0, :4, 1], rows[0, 6, 1] = [10, 32, 16, 32], 0.95  # a car
    rows[0, :4, 2], rows[0, 4, 2] = [33, 32, 16, 32], 0.8  # the same person
    finder = _detector(constant_model(tmp_path / "yolo.onnx", {"output0": rows}))
    ((box, score),) = finder.detect(_squares())
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
    assert [round(score, 2) for _, score in finder.detect(_squares())] == [0.7]
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
    ((box, _),) = finder.detect(_squares())
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
    ((box, _),) = finder.detect(_squares())
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


# ---- boxes -----------------------------------------------------------------------------------


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


# ---- numbers that are none -------------------------------------------------------------------

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
        people: tuple[Detection, ...] = self.pose.detect([_frame(_squares())])[0]
        return people


def _whole(pose: Any) -> _Replaced:
    return _Replaced(pose, pose._finder.model)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("networks")
    poses = {
        "rtmo": _rtmo(folder, [[16, 12, 48, 44, 0.9]]),
        "raw": _yolo(folder, ONE),
        "end": _yolo(folder, ONE, end_to_end=True),
        "rtmpose": _rtmpose(folder, _Detector(WHOLE)),
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
    pose = _rtmo(tmp_path, [[16, 12, 48, 44, np.nan], [np.inf, 0, 9, 9, 0.9], [1, 1, 9, 9, 0.8]])
    assert len(pose.detect([_frame(_squares())])[0]) == 1
    assert pose.unusable == 2
    pose.close()


# ---- files -----------------------------------------------------------------------------------


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
        POSES[name](_settings(name, file, detector=str(good)))


@pytest.mark.parametrize("name", ["rtmo", "yolo-pose"])
def test_a_network_must_be_named(name: str) -> None:
    with pytest.raises(
        UsageError, match=f"{name} runs a network of yours; name its file: --pose-model"
    ):
        POSES[name](_settings(name))


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
        rtmo_file.make(_settings("rtmo", _outside(folder, where)))


def test_a_link_out_of_the_folder_is_outside(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(FileUnreadableError, match="outside"):
        rtmo_file.make(_settings("rtmo", _outside(folder, "link.bin")))


def test_weights_beside_the_file_are_read_and_missed(tmp_path: Path) -> None:
    model = onnx.load(str(rtmo(tmp_path / "whole.onnx", [[16, 12, 48, 44, 0.9]])))
    file = tmp_path / "split.onnx"
    onnx.save(
        model, str(file), save_as_external_data=True, location="split.bin", size_threshold=200
    )
    pose = rtmo_file.make(_settings("rtmo", file))
    _expect(pose.detect([_frame(_squares())])[0][0], (BLUE, GREEN, RED), MARGIN)
    pose.close()
    (tmp_path / "split.bin").unlink()
    with pytest.raises(FileUnreadableError, match=r"needs 'split\.bin' beside it"):
        rtmo_file.make(_settings("rtmo", file))


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
        rtmo_file.make(_settings("rtmo", file))


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
    pose = rtmo_file.make(_settings("rtmo", file))
    found = pose.detect([_frame(_squares(), "a"), _frame(_squares(), "b")])
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
        rtmo_file.make(_settings("rtmo", file))


def test_outputs_without_a_batch_axis_are_refused(tmp_path: Path) -> None:
    outputs = {"dets": np.zeros((5, 5)), "keypoints": np.zeros((5, 17, 3))}
    file = constant_model(tmp_path / "flat.onnx", outputs)
    with pytest.raises(BackendError, match=r"output 'dets' is float32 \(5, 5\) for 1 image"):
        rtmo_file.make(_settings("rtmo", file))


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
        rtmo_file.make(_settings("rtmo", file)).close()
    except StgcnError as error:
        said = str(error)
    assert "rtmo.onnx" in said
