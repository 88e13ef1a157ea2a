"""What `data info` finds: figures, and records that cannot be used."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgcn_deploy.data.describe import MOST_PROBLEMS, describe
from stgcn_deploy.data.formats import open_dataset
from stgcn_deploy.errors import UnknownNameError, UsageError
from stgcn_deploy.skeleton.layouts import LAYOUTS


def annotation(name: str, label: int, frames: int = 4, **others: Any) -> dict[str, Any]:
    points = np.ones((2, frames, 17, 2), np.float32)
    points[0, 0] = [5, 7]
    points[1] = 0
    score = np.full((2, frames, 17), 0.5, np.float32)
    return {
        "frame_dir": name,
        "label": label,
        "keypoint": points,
        "keypoint_score": score,
        "img_shape": (240, 320),
    } | others


def dataset(folder: Path, *annotations: dict[str, Any], **others: Any) -> Any:
    path = folder / "set.pkl"
    path.write_bytes(pickle.dumps({"annotations": list(annotations)} | others))
    return open_dataset(path)


def test_a_sound_file_is_described(tmp_path: Path) -> None:
    first = annotation("a", 1)
    first["keypoint"][0, 3] = 0
    first["keypoint"][0, 2, 0] = 0
    data = dataset(
        tmp_path,
        first,
        annotation("b", 0, frames=6),
        annotation("c", 1),
        split={"train": ["a", "c"], "val": ["b"]},
        classes=["sit", "stand"],
        layout="coco17",
    )
    seen = []
    found = describe(data, count=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert (found["ok"], found["problems"], found["records"], found["read"]) == (True, [], 3, 3)
    assert (found["persons"], found["frames"]) == ([2, 2], [4, 6])
    assert (found["joints"], found["channels"]) == ([17], [3])
    assert (found["layout"], found["raw"], found["prepared"]) == ("coco17", 3, 0)
    assert found["splits"] == {"train": 2, "val": 1}
    assert found["labels"] == [
        {"label": 0, "name": "sit", "records": 1},
        {"label": 1, "name": "stand", "records": 2},
    ]
    assert found["image_sizes"] == [{"size": [320, 240], "records": 3}]
    assert found["empty_frames"] == 1 / 14
    assert found["missing_joints"] == 1 / (13 * 17)
    assert found["not_finite"] == 0
    assert [one["channel"] for one in found["values"]] == ["x", "y", "score"]
    assert (found["values"][1]["min"], found["values"][1]["max"]) == (1, 7)
    assert json.loads(json.dumps(found)) == found


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    names = [annotation(name, 0) for name in "abcd"]
    data = dataset(tmp_path, *names, split={"val": ["d", "b"]})
    assert describe(data, split="val")["read"] == 2
    assert describe(data, limit=3)["read"] == 3
    with pytest.raises(UnknownNameError):
        describe(data, split="vall")
    with pytest.raises(UsageError, match="limit is 0"):
        describe(data, limit=0)


def test_every_record_with_a_problem_is_named_and_counted(tmp_path: Path) -> None:
    bad_shape = annotation("shape", 0, keypoint_score=np.ones((1, 1, 1)))
    bad_joints = annotation("joints", 0)
    bad_joints["keypoint"] = bad_joints["keypoint"][:, :, :15]
    bad_joints["keypoint_score"] = bad_joints["keypoint_score"][:, :, :15]
    data = dataset(
        tmp_path,
        annotation("good", 0),
        bad_shape,
        bad_joints,
        annotation("label", 9),
        classes=["sit"],
        layout="coco17",
    )
    found = describe(data)
    assert (found["ok"], found["problem_count"]) == (False, 3)
    assert [one["name"] for one in found["problems"]] == ["shape", "joints", "label"]
    assert [one["record"] for one in found["problems"]] == [1, 2, 3]
    assert "15 joints, and layout coco17 has 17" in found["problems"][1]["problem"]
    assert "label 9, and there are 1 classes" in found["problems"][2]["problem"]


def test_a_flood_of_problems_is_counted(tmp_path: Path) -> None:
    wrong = [annotation(str(n), 0, keypoint=np.ones(3)) for n in range(MOST_PROBLEMS + 5)]
    found = describe(dataset(tmp_path, *wrong))
    assert (len(found["problems"]), found["problem_count"]) == (MOST_PROBLEMS, MOST_PROBLEMS + 5)
    assert found["frames"] is None
    assert found["empty_frames"] is None


def test_layouts_that_fit_are_offered_and_a_given_one_is_checked(tmp_path: Path) -> None:
    data = dataset(tmp_path, annotation("a", 0))
    found = describe(data)
    assert found["layout"] is None
    assert found["layouts_that_fit"] == ["coco17", "human36m17"]
    assert not describe(data, layout=LAYOUTS["ntu25"])["ok"]


def test_missing_joints_of_metric_data_are_all_zero_and_nan_is_counted(tmp_path: Path) -> None:
    clip = np.ones((1, 2, 25, 3), np.float32) * np.arange(1, 26)[:, None]
    clip[0, 0, 3] = 0
    clip[0, 0, 4] = 0
    clip[0, 1, 5, 2] = 0
    clip[0, 1, 6] = np.nan
    np.save(tmp_path / "clip.npy", clip)
    found = describe(open_dataset(tmp_path / "clip.npy"), layout=LAYOUTS["ntu25"])
    assert found["missing_joints"] == 3 / 50
    assert found["not_finite"] == 3 / 150
    assert [one["channel"] for one in found["values"]] == ["x", "y", "z"]
    assert found["values"][2]["min"] == 0
    assert found["labels"] == [{"label": None, "name": None, "records": 1}]
