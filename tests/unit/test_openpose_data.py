"""OpenPose's folders: order, slots, labels, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgcn_deploy.data.dataset import ReadOptions
from stgcn_deploy.data.formats import open_dataset
from stgcn_deploy.errors import DataError, FileUnreadableError


def person(value: float, number: int = -1, joints: int = 25, **others: Any) -> dict[str, Any]:
    return {"person_id": [number], "pose_keypoints_2d": [value, value + 1, 0.5] * joints} | others


def folder(place: Path, *frames: list[dict[str, Any]], first: int = 0) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for number, people in enumerate(frames, start=first):
        file = place / f"{place.name}_{number}_keypoints.json"
        file.write_text(json.dumps({"version": 1.3, "people": people}), encoding="utf-8")
    return place


def test_files_follow_each_other_by_number(tmp_path: Path) -> None:
    place = folder(tmp_path / "walk", *[[person(value)] for value in range(1, 13)])
    data = open_dataset(place)
    assert (data.format, len(data)) == ("openpose-json", 1)
    one = data[0]
    assert one.clip.shape == (1, 12, 25, 3)
    assert one.clip[0, :, 0, 0].tolist() == list(range(1, 13))
    assert (one.layout, one.raw, one.image_size, one.name) == ("openpose25", True, None, "walk")
    sized = open_dataset(place, ReadOptions(image_size=(640, 480), fps=30))[0]
    assert (sized.image_size, sized.fps) == ((640, 480), 30)


def test_slots_go_by_id_where_everybody_has_one(tmp_path: Path) -> None:
    tracked = [[person(1, 4)], [person(2, 9), person(3, 4)], [], [person(5, 9)]]
    one = open_dataset(folder(tmp_path / "a", *tracked))[0]
    np.testing.assert_array_equal(one.clip[:, :, 0, 0], [[1, 3, 0, 0], [0, 2, 0, 5]])
    listed = [[person(1)], [person(2, 9), person(3)], [person(5, 9)]]
    one = open_dataset(folder(tmp_path / "b", *listed))[0]
    np.testing.assert_array_equal(one.clip[:, :, 0, 0], [[1, 2, 5], [0, 3, 0]])


def test_eighteen_joints_are_openpose18_and_one_file_is_one_frame(tmp_path: Path) -> None:
    place = folder(tmp_path / "a", [person(1, joints=18)])
    one = open_dataset(place / "a_0_keypoints.json")[0]
    assert one.clip.shape == (1, 1, 18, 3)
    assert (one.layout, one.name) == ("openpose18", "a_0")


def test_a_folder_of_folders_has_labels_by_name_or_in_order(tmp_path: Path) -> None:
    for name in ("clip10", "clip2"):
        folder(tmp_path / "all" / name, [person(1)])
    data = open_dataset(tmp_path / "all")
    assert [data.name(index) for index in range(2)] == ["clip2", "clip10"]
    assert data.labels.tolist() == [-1, -1]
    (tmp_path / "by_name.csv").write_text("clip10,4\nclip2,7\n")
    (tmp_path / "in_order.txt").write_text("1\n0\n")
    for file, labels in (("by_name.csv", [7, 4]), ("in_order.txt", [1, 0])):
        found = open_dataset(tmp_path / "all", ReadOptions(labels=tmp_path / file))
        assert found.labels.tolist() == labels
        assert found[0].label == labels[0]
    (tmp_path / "few.txt").write_text("1\n")
    with pytest.raises(DataError, match="has 2 record"):
        open_dataset(tmp_path / "all", ReadOptions(labels=tmp_path / "few.txt"))
    (tmp_path / "other.csv").write_text("clip10,4\nclip3,7\n")
    with pytest.raises(DataError, match="no label for 'clip2'"):
        open_dataset(tmp_path / "all", ReadOptions(labels=tmp_path / "other.csv"))


def test_an_empty_folder_among_others_is_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    folder(tmp_path / "all" / "a", [person(1)])
    (tmp_path / "all" / "b").mkdir()
    data = open_dataset(tmp_path / "all")
    assert data[0].clip.shape == (1, 1, 25, 3)
    with pytest.raises(DataError, match=r"record 1 \(b\).* holds no \*_keypoints.json"):
        data[1]


def test_frames_with_nobody_need_a_layout(tmp_path: Path) -> None:
    place = folder(tmp_path / "a", [], [])
    with pytest.raises(DataError, match="nobody in any frame"):
        open_dataset(place)[0]
    clip = open_dataset(place, ReadOptions(layout="openpose25"))[0].clip
    assert clip.shape == (1, 2, 25, 3)
    assert not clip.any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", '"people"'),
        ('{"people": 3}', '"people"'),
        ('{"people": [4]}', "person 0"),
        ('{"people": [{}]}', "pose_keypoints_2d"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', "of 3 numbers"),
        ('{"people": [{"pose_keypoints_2d": ["a"]}]}', "of 1 numbers"),
        ('{"people": [{"pose_keypoints_2d": [[1], 2]}]}', "of 0 numbers"),
        (json.dumps({"people": [{"pose_keypoints_2d": [1] * 76}]}), "not x, y, c"),
        (json.dumps({"people": [person(1, joints=18)]}), "18 joints, and 25 in the frames before"),
        (json.dumps({"people": [person(1)] * 300}), "at most 256"),
    ],
)
def test_a_wrong_frame_is_named(tmp_path: Path, text: str, message: str) -> None:
    place = folder(tmp_path / "a", [person(1)], [person(1)])
    (place / "a_1_keypoints.json").write_text(text)
    with pytest.raises(DataError, match=message) as error:
        open_dataset(place)[0]
    assert "a_1_keypoints.json" in str(error.value)


def test_a_frame_that_is_cut_short_is_named(tmp_path: Path) -> None:
    place = folder(tmp_path / "a", [person(1)])
    (place / "a_0_keypoints.json").write_text('{"people": [')
    with pytest.raises(FileUnreadableError, match="is no valid JSON"):
        open_dataset(place)[0]
