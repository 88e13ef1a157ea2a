"""From format to format and layout to layout: the same numbers, and an honest account."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgcn_deploy.data.convert import Changes, convert
from stgcn_deploy.data.dataset import Dataset, ReadOptions
from stgcn_deploy.data.formats import open_dataset
from stgcn_deploy.errors import DataError, OutputExistsError, StgcnError, UsageError
from stgcn_deploy.skeleton.layouts import LAYOUTS

COCO = LAYOUTS["coco17"]


def points(frames: int, persons: int = 2) -> np.ndarray:
    rng = np.random.default_rng(frames)
    return rng.uniform(1, 200, (persons, frames, 17, 2)).astype(np.float32)


def source(folder: Path, *lengths: int, fps: float | None = 25.0, persons: int = 2) -> Dataset:
    annotations: list[dict[str, Any]] = [
        {
            "frame_dir": f"clip{number}",
            "label": number % 3,
            "keypoint": points(frames, persons),
            "keypoint_score": np.full((persons, frames, 17), 0.5, np.float32),
            "img_shape": (240, 320),
        }
        for number, frames in enumerate(lengths)
    ]
    value = {
        "annotations": annotations,
        "split": {"val": [f"clip{len(lengths) - 1}"], "train": ["clip0"]},
        "classes": ["a", "b", "c"],
        "layout": "coco17",
    }
    path = folder / "source.pkl"
    path.write_bytes(pickle.dumps(value))
    return open_dataset(path, ReadOptions(fps=fps))


def test_to_our_stream_and_back_nothing_but_splits_is_lost(tmp_path: Path) -> None:
    data = source(tmp_path, 5, 7, 6)
    out = tmp_path / "out.jsonl"
    report = convert(data, out, Changes())
    assert (report["format"], report["records"]) == ("keypoints-jsonl", 3)
    assert report["lost"] == ["splits (val, train)"]
    assert report["changed"] == []
    back = tmp_path / "back.pkl"
    assert convert(open_dataset(out), back, Changes())["lost"] == []
    for one, same in zip(data, open_dataset(back), strict=True):
        np.testing.assert_array_equal(one.clip, same.clip)
        assert (one.name, one.label, one.image_size) == (same.name, same.label, same.image_size)


def test_to_a_prepared_array_all_must_be_alike_and_said_to_be_prepared(tmp_path: Path) -> None:
    data = source(tmp_path, 5, 7, 6)
    out = tmp_path / "val_data.npy"
    with pytest.raises(DataError, match=r"clip0.* is raw"):
        convert(data, out, Changes(frames=6))
    with pytest.raises(DataError, match="shape"):
        convert(data, out, Changes(prepared=True))
    assert list(tmp_path.glob("val*")) == []
    report = convert(data, out, Changes(frames=6, prepared=True))
    assert report["format"] == "kinetics-npy"
    assert report["changed"] == [
        "numbers taken as prepared, image size dropped in 3 recording(s)",
        "end cut off in 1 recording(s)",
    ]
    assert "layout (coco17)" in report["lost"]
    assert "frames per second (25.0)" in report["lost"]
    back = open_dataset(out)
    assert back.labels.tolist() == [0, 1, 2]
    assert [one.clip.shape for one in back] == [(2, 6, 17, 3)] * 3
    np.testing.assert_array_equal(back[0].clip[:, :5], data[0].clip)
    assert not back[0].clip[:, 5:].any()


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_one_record_as_a_clip(tmp_path: Path, suffix: str) -> None:
    data = source(tmp_path, 5, 7)
    out = tmp_path / f"clip{suffix}"
    report = convert(data, out, Changes(), record=1)
    assert report["format"] == "clip"
    np.testing.assert_array_equal(open_dataset(out)[0].clip, data[1].clip)
    lost = "; ".join(report["lost"])
    assert ("image size (320x240)" in lost) == (suffix == ".npy")
    assert ("that the numbers are raw" in lost) == (suffix == ".npy")
    assert "labels" in report["lost"]


def test_another_layout(tmp_path: Path) -> None:
    data = source(tmp_path, 5)
    out = tmp_path / "out.pkl"
    report = convert(data, out, Changes(to_layout=LAYOUTS["openpose18"]))
    back = open_dataset(out)
    assert (back.layout, report["shape"]) == ("openpose18", [2, 5, 18, 3])
    middle = data[0].clip[:, :, 5:7, :2].mean(axis=2)
    np.testing.assert_allclose(back[0].clip[:, :, 1, :2], middle, rtol=1e-5)
    with pytest.raises(UsageError, match=r"record 0 \(clip0\): jhmdb15 has .* belly"):
        convert(data, tmp_path / "no.pkl", Changes(to_layout=LAYOUTS["jhmdb15"]))
    assert not (tmp_path / "no.pkl").exists()
    convert(data, tmp_path / "near.pkl", Changes(to_layout=LAYOUTS["jhmdb15"], near=True))
    assert open_dataset(tmp_path / "near.pkl")[0].clip.shape == (2, 5, 15, 3)


def test_a_layout_that_nobody_says_is_asked_for(tmp_path: Path) -> None:
    np.save(tmp_path / "clip.npy", points(4))
    data = open_dataset(tmp_path / "clip.npy")
    with pytest.raises(UsageError, match="--layout"):
        convert(data, tmp_path / "out.npy", Changes(to_layout=LAYOUTS["openpose18"]))
    changes = Changes(layout=COCO, to_layout=LAYOUTS["openpose18"])
    assert convert(data, tmp_path / "out.npy", changes)["shape"] == [2, 4, 18, 2]


def test_loop_and_resample(tmp_path: Path) -> None:
    data = source(tmp_path, 4)
    clip = data[0].clip
    looped = tmp_path / "loop.json"
    convert(data, looped, Changes(frames=10, fit="loop"))
    np.testing.assert_array_equal(open_dataset(looped)[0].clip, clip[:, [0, 1, 2, 3] * 2 + [0, 1]])
    out = tmp_path / "out.jsonl"
    convert(data, out, Changes(frames=7, fit="resample"))
    found = open_dataset(out)[0]
    np.testing.assert_allclose(found.clip[:, ::2], clip, rtol=1e-5)
    np.testing.assert_allclose(found.clip[:, 1], (clip[:, 0] + clip[:, 1]) / 2, rtol=1e-5)
    assert found.fps == pytest.approx(50)


def test_resampling_makes_no_joint_halfway_to_a_missing_one(tmp_path: Path) -> None:
    clip = np.full((1, 3, 17, 3), 8, np.float32)
    clip[0, 1] = 0
    np.save(tmp_path / "clip.npy", clip)
    convert(
        open_dataset(tmp_path / "clip.npy"),
        tmp_path / "out.npy",
        Changes(frames=7, fit="resample"),
    )
    found = np.load(tmp_path / "out.npy")
    assert set(np.unique(found)) == {0, 8}


def test_of_more_persons_those_seen_most_stay_in_their_order(tmp_path: Path) -> None:
    clip = points(6, persons=3)
    clip[0, 2:] = 0
    np.save(tmp_path / "clip.npy", clip)
    data = open_dataset(tmp_path / "clip.npy")
    report = convert(data, tmp_path / "two.npy", Changes(persons=2))
    np.testing.assert_array_equal(np.load(tmp_path / "two.npy"), clip[1:])
    assert report["changed"] == ["persons left out in 1 recording(s)"]
    report = convert(data, tmp_path / "four.npy", Changes(persons=4))
    assert (report["shape"], report["changed"]) == ([4, 6, 17, 2], [])


def test_splits_go_along_with_the_records_that_are_left(tmp_path: Path) -> None:
    data = source(tmp_path, 5, 6, 7)
    convert(data, tmp_path / "val.pkl", Changes(), split="val")
    back = open_dataset(tmp_path / "val.pkl")
    assert {name: found.tolist() for name, found in back.splits.items()} == {"val": [0]}
    convert(data, tmp_path / "two.pkl", Changes(), limit=2)
    assert len(open_dataset(tmp_path / "two.pkl")) == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("out.txt", {}, "no format ends in '.txt'"),
        ("out.npy", {"to": "clip"}, "a clip is one recording, and 2 are chosen"),
        ("out.npy", {"to": "ntu-skeleton"}, "can be read, not written"),
        ("out.npy", {"to": "pyskul"}, "did you mean 'pyskl'"),
        ("out.pkl", {"record": 5}, "there is no record 5"),
        ("out.pkl", {"record": 0, "limit": 1}, "do not go with it"),
        ("out.pkl", {"limit": 0}, "limit is 0"),
        ("out.pkl", {"split": "test"}, "unknown split"),
        ("source.pkl", {"force": True}, "is what is read"),
    ],
)
def test_calls_that_make_no_sense(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    data = source(tmp_path, 5, 6)
    with pytest.raises(UsageError, match=message):
        convert(data, tmp_path / name, Changes(), **options)
    assert [one.name for one in tmp_path.iterdir()] == ["source.pkl"]


def test_numbers_of_frames_and_persons_are_at_least_one() -> None:
    for wrong in ({"frames": 0}, {"persons": -1}):
        with pytest.raises(UsageError, match="expected at least 1"):
            Changes(**wrong)


def test_a_damaged_record_leaves_nothing(tmp_path: Path) -> None:
    data = source(tmp_path, 5, 6)
    path = tmp_path / "broken.pkl"
    value = pickle.loads((tmp_path / "source.pkl").read_bytes())
    value["annotations"][1]["keypoint_score"] = np.ones(3)
    path.write_bytes(pickle.dumps(value))
    for name in ("out.pkl", "out.jsonl"):
        with pytest.raises(StgcnError, match="clip1"):
            convert(open_dataset(path, ReadOptions(fps=5)), tmp_path / name, Changes())
        assert not (tmp_path / name).exists()
    assert len(data) == 2


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    data = source(tmp_path, 5)
    (tmp_path / "out.pkl").write_text("mine")
    with pytest.raises(OutputExistsError):
        convert(data, tmp_path / "out.pkl", Changes())
    assert (tmp_path / "out.pkl").read_text() == "mine"
    convert(data, tmp_path / "out.pkl", Changes(), force=True)
    assert len(open_dataset(tmp_path / "out.pkl")) == 1
