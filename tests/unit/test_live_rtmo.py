"""RTMO of the user's, and what networks of whole images have in common."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from pose_graphs import colour_squares, constant_model
from pose_networks import (
    BLUE,
    GREEN,
    MARGIN,
    RED,
    expect_middles,
    image_frame,
    made_rtmo,
    pose_settings,
    squares,
)

from stgcn_deploy.errors import (
    BackendError,
    UnknownNameError,
    UsageError,
)
from stgcn_deploy.live.pose import rtmo as rtmo_file
from stgcn_deploy.live.pose.joint_orders import pick_joints
from stgcn_deploy.skeleton.layouts import LAYOUTS

pytest.importorskip("cv2", reason="opencv is not installed; these networks look at images")


def test_rtmo_sees_blue_first_in_the_middle_of_grey(tmp_path: Path) -> None:
    pose = made_rtmo(tmp_path, [[16, 12, 48, 44, 0.9]])
    (people,) = pose.detect([image_frame(squares())])
    assert (pose.name, pose.layout) == ("rtmo", "coco17")
    expect_middles(people[0], (BLUE, GREEN, RED), MARGIN)
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
    pose = made_rtmo(tmp_path, [[1, 1, 9, 9, 0.9]], size=(128, 128), score=(0.5, 0.0))
    (people,) = pose.detect([image_frame(image)])
    found = people[0].keypoints[:3, :2]
    exact = [
        np.argwhere(image[..., colour] == 255)[:, ::-1].mean(axis=0) + 0.5 for colour in (2, 1, 0)
    ]
    assert np.abs(found - np.array(exact)).max() < max(1.0, max(size) / 128)
    pose.close()


def test_nobody_is_nobody_and_not_a_person_of_zeros(tmp_path: Path) -> None:
    pose = made_rtmo(tmp_path, [[0, 0, 0, 0, 0.0], [1, 1, 9, 9, 0.2]])
    assert pose.detect([image_frame(squares())]) == [()]
    pose.close()
    everyone = made_rtmo(tmp_path, [[0, 0, 0, 0, 0.0], [1, 1, 9, 9, 0.2]], {"score": 0.0})
    assert len(everyone.detect([image_frame(squares())])[0]) == 1
    everyone.close()
    none = made_rtmo(tmp_path, [])
    assert none.detect([image_frame(squares())]) == [()]
    none.close()


def test_the_surest_come_first_and_only_so_many(tmp_path: Path) -> None:
    rows = [[i, i, i + 9, i + 9, 0.4 + i / 20] for i in range(8)]
    pose = made_rtmo(tmp_path, rows, {"persons": 3})
    (people,) = pose.detect([image_frame(squares())])
    assert [round(one.score, 2) for one in people] == [0.75, 0.7, 0.65]
    pose.close()


@pytest.mark.parametrize("batch", ["batch", 1, 3])
def test_frames_go_together_or_one_by_one_with_the_same_answers(
    tmp_path: Path, batch: int | str
) -> None:
    pose = made_rtmo(tmp_path, [[16, 12, 48, 44, 0.9]], batch=batch)
    images = [colour_squares((128, 96), [(x, 40.0), GREEN, BLUE]) for x in range(20, 120, 9)]
    frames = [image_frame(image, f"cam{i}") for i, image in enumerate(images)]
    together = pose.detect(frames)
    for frame, people in zip(frames, together, strict=True):
        (alone,) = pose.detect([frame])
        np.testing.assert_array_equal(people[0].keypoints, alone[0].keypoints)
    reds = [people[0].keypoints[2, 0] for people in together]
    assert np.allclose(np.diff(reds), 9, atol=1)
    pose.close()


def test_frames_of_different_sizes_and_without_an_image_go_together(tmp_path: Path) -> None:
    pose = made_rtmo(tmp_path, [[16, 12, 48, 44, 0.9]])
    empty = np.zeros((0, 0, 3), np.uint8)
    wide = np.pad(squares(), ((0, 0), (0, 128), (0, 0)))
    found = pose.detect(
        [image_frame(None), image_frame(squares()), image_frame(empty), image_frame(wide)]
    )
    assert found[0] == found[2] == ()
    expect_middles(found[1][0], (BLUE, GREEN, RED), MARGIN)
    expect_middles(found[3][0], (BLUE, GREEN, RED), MARGIN)
    assert pose.detect([]) == []
    pose.close()


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_networks_that_take_other_numbers_are_given_them(tmp_path: Path, dtype: str) -> None:
    pose = made_rtmo(tmp_path, [[16, 12, 48, 44, 0.9]], dtype=dtype)
    expect_middles(pose.detect([image_frame(squares())])[0][0], (BLUE, GREEN, RED), MARGIN)
    pose.close()


def test_one_network_serves_several_threads(tmp_path: Path) -> None:
    pose = made_rtmo(tmp_path, [[16, 12, 48, 44, 0.9]])
    wrong: list[object] = []

    def work(camera: str) -> None:
        try:
            for _ in range(20):
                expect_middles(
                    pose.detect([image_frame(squares(), camera)])[0][0], (BLUE, GREEN, RED), MARGIN
                )
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
        pose.detect([image_frame(squares())])


def test_nothing_is_kept_of_a_camera(tmp_path: Path) -> None:
    pose = made_rtmo(tmp_path, [[16, 12, 48, 44, 0.9]])
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
        rtmo_file.make(pose_settings("rtmo", file))


def test_more_joints_than_a_layout_are_its_joints_by_name(tmp_path: Path) -> None:
    rows = np.zeros((1, 1, 26, 3))
    rows[..., 0], rows[..., 1], rows[..., 2] = np.arange(26), 7, 0.5
    outputs = {"dets": np.array([[[1, 1, 60, 60, 0.9]]]), "keypoints": rows}
    file = constant_model(tmp_path / "halpe.onnx", outputs)
    image = np.zeros((64, 64, 3), np.uint8)
    for layout, first, neck in ((None, [0, 1, 2, 3], None), ("openpose25", [0, 18, 6, 8], 18)):
        pose = rtmo_file.make(pose_settings("rtmo", file, layout=layout))
        joints = pose.detect([image_frame(image)])[0][0].keypoints
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
