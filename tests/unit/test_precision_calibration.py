"""Calibration clips: real, balanced, the same every time, and refused where they say nothing."""

from __future__ import annotations

import hashlib
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled import recordings
from quantised import make_world

from stgcn_deploy.data.dataset import ReadOptions
from stgcn_deploy.data.formats import open_dataset
from stgcn_deploy.errors import ClipError, DataError, UsageError
from stgcn_deploy.precision.calibration import Calibration, balanced, from_data, from_noise
from stgcn_deploy.runtime import load


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("calibration"))


def _taken(world: Path, data: Path, folder: Path, **changes: Any) -> Calibration:
    settings = {"split": "train1", "samples": 20, "seed": 0, **changes}
    options = settings.pop("options", None)
    with load(world / "bundle") as model:
        return from_data(model, open_dataset(data, options), folder=folder, **settings)


def _changed(world: Path, target: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    value = pickle.loads((world / "walks.pkl").read_bytes())
    for one in value["annotations"]:
        change(one)
    target.write_bytes(pickle.dumps(value))
    return target


def test_rare_classes_are_taken_before_frequent_ones_come_again() -> None:
    labels = [0] * 90 + [1] * 7 + [2] * 3
    chosen = balanced(labels, 15, seed=0)
    assert Counter(labels[index] for index in chosen) == {0: 6, 1: 6, 2: 3}
    assert len(set(chosen)) == 15
    assert chosen == balanced(labels, 15, seed=0)
    assert chosen != balanced(labels, 15, seed=1)


def test_clips_are_what_the_network_sees_and_their_hash_is_over_their_bytes(
    world: Path, tmp_path: Path
) -> None:
    found = _taken(world, world / "walks.pkl", tmp_path / "clips")
    data = open_dataset(world / "walks.pkl")
    digest = hashlib.sha256()
    with load(world / "bundle") as model:
        for number, index in enumerate(found.indices):
            wanted = model.prepare(data[index])
            assert np.array_equal(found.clip(number), wanted)
            digest.update(wanted.tobytes())
    assert found.sha256 == digest.hexdigest()
    assert set(found.indices) <= set(data.splits["train1"].tolist())
    assert found.count == 20


def test_the_same_seed_takes_the_same_clips(world: Path, tmp_path: Path) -> None:
    one = _taken(world, world / "walks.pkl", tmp_path / "a")
    two = _taken(world, world / "walks.pkl", tmp_path / "b")
    other = _taken(world, world / "walks.pkl", tmp_path / "c", seed=1)
    assert one.sha256 == two.sha256
    assert one.sha256 != other.sha256


def test_the_last_batch_is_filled_with_clips_and_can_be_read_again(
    world: Path, tmp_path: Path
) -> None:
    found = _taken(world, world / "walks.pkl", tmp_path / "clips")
    batches = list(found.batches(8))
    assert [len(batch) for batch in batches] == [8, 8, 8]
    assert np.array_equal(batches[2][4], found.clip(0))
    assert len(list(found.batches(8))) == 3


def test_fewer_clips_than_asked_for_are_said(world: Path, tmp_path: Path) -> None:
    found = _taken(world, world / "walks.pkl", tmp_path / "clips", samples=300)
    assert found.count == 30
    assert "300 were asked for" in found.notes[0]


def test_too_few_clips_are_refused(world: Path, tmp_path: Path) -> None:
    recordings(tmp_path / "few.pkl", 20)
    with pytest.raises(DataError, match=r"10 usable clip.*at least 16"):
        _taken(world, tmp_path / "few.pkl", tmp_path / "clips")
    with pytest.raises(UsageError, match="at least 16, got 8"):
        _taken(world, world / "walks.pkl", tmp_path / "clips", samples=8)


def test_clips_that_are_a_constant_are_left_out_and_named(world: Path, tmp_path: Path) -> None:
    def still(one: dict[str, Any]) -> None:
        if one["frame_dir"] in ("walk3", "walk4"):
            one["keypoint"] = np.zeros_like(one["keypoint"])

    data = _changed(world, tmp_path / "some.pkl", still)
    found = _taken(world, data, tmp_path / "clips", samples=30)
    assert found.count == 28
    assert "2 record(s)" in found.notes[0]
    assert "walk" in found.notes[0]


def test_nothing_but_constants_is_refused(world: Path, tmp_path: Path) -> None:
    data = _changed(
        world, tmp_path / "all.pkl", lambda one: one.update(keypoint=one["keypoint"] * 0)
    )
    with pytest.raises(DataError, match="30 that are a constant"):
        _taken(world, data, tmp_path / "clips")


def test_another_layout_is_refused_by_record(world: Path, tmp_path: Path) -> None:
    data = _changed(
        world, tmp_path / "ntu.pkl", lambda one: one.update(keypoint=one["keypoint"][:, :, :15])
    )
    with pytest.raises(ClipError, match=r"ntu\.pkl, record \d+ \(walk\d+\)"):
        _taken(world, data, tmp_path / "clips")


def test_a_layout_of_another_name_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="layout"):
        _taken(world, world / "walks.pkl", tmp_path / "clips", options=ReadOptions(layout="ucla20"))


def test_nan_is_refused_by_record(world: Path, tmp_path: Path) -> None:
    def broken(one: dict[str, Any]) -> None:
        one["keypoint"] = one["keypoint"].copy()
        one["keypoint"][0, 0, 0, 0] = np.nan

    data = _changed(world, tmp_path / "nan.pkl", broken)
    with pytest.raises((ClipError, DataError), match="NaN"):
        _taken(world, data, tmp_path / "clips")


def test_data_without_labels_is_taken_with_a_note(world: Path, tmp_path: Path) -> None:
    data = _changed(world, tmp_path / "bare.pkl", lambda one: one.pop("label"))
    found = _taken(world, data, tmp_path / "clips")
    assert "no labels" in found.notes[0]


def test_noise_is_called_noise(world: Path, tmp_path: Path) -> None:
    with load(world / "bundle") as model:
        found = from_noise(model.manifest, 16, 0, tmp_path / "clips")
    assert (found.data, found.count, found.indices) == ("noise", 16, ())
    assert "noise" in found.notes[0]
    assert not np.array_equal(found.clip(0), found.clip(1))
