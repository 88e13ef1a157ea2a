"""Raw files for Ascend's tools: what is written is whole and exactly there, what is scored is all of it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgcn_deploy import api
from stgcn_deploy.data.bins import BinPlan, read_results, write_bins, write_scores
from stgcn_deploy.errors import DataError, FileUnreadableError, OutputExistsError, UsageError

SHAPE = (1, 3, 8, 5, 2)
COUNT, CLASSES = 7, 6
LABELS = np.arange(COUNT) % CLASSES


def _plan(**source: Any) -> BinPlan:
    return BinPlan({"val_data": SHAPE}, LABELS.astype(np.int64), source)


def _sample(index: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(index)
    return {"val_data": rng.normal(size=SHAPE).astype(np.float32)}


def _pair(folder: Path) -> Path:
    """val_data.npy and val_label.pkl of the same samples, as st-gcn writes them."""
    stacked = np.concatenate([_sample(index)["val_data"] for index in range(COUNT)])
    np.save(folder / "val_data.npy", stacked)
    names = [f"clip{index}" for index in range(COUNT)]
    (folder / "val_label.pkl").write_bytes(pickle.dumps((names, LABELS.tolist())))
    return folder / "val_data.npy"


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.bin")
    }


# ---- writing ---------------------------------------------------------------------------------


def test_each_record_is_its_raw_bytes_with_a_batch_axis(tmp_path: Path) -> None:
    made = api.data_bins_write(_pair(tmp_path), tmp_path / "bins")
    data = np.load(tmp_path / "val_data.npy")
    assert (made["count"], made["written"], made["kept"]) == (COUNT, COUNT, 0)
    for index in range(COUNT):
        file = tmp_path / "bins" / "val_data" / f"{index}.bin"
        assert file.read_bytes() == data[index][None].tobytes()
        label = np.fromfile(tmp_path / "bins" / "val_label" / f"{index}.bin", np.int64)
        assert label.tolist() == [LABELS[index]]
    assert len(_files(tmp_path / "bins")) == 2 * COUNT
    assert json.loads((tmp_path / "bins" / "bins.json").read_text())["complete"] is True


def test_float64_data_are_written_as_float32(tmp_path: Path) -> None:
    path = _pair(tmp_path)
    np.save(path, np.load(path).astype(np.float64))
    api.data_bins_write(path, tmp_path / "bins")
    assert (tmp_path / "bins" / "val_data" / "0.bin").stat().st_size == 4 * np.prod(SHAPE)


class Killed(Exception):
    """The process ends here."""


@pytest.mark.parametrize("at", [0, 1, 4, COUNT - 1])
def test_a_stopped_run_goes_on_and_ends_in_the_same_files(tmp_path: Path, at: int) -> None:
    def stopping(index: int) -> dict[str, np.ndarray]:
        if index == at:
            raise Killed
        return _sample(index)

    with pytest.raises(Killed):
        write_bins(tmp_path / "bins", _plan(), stopping)
    assert json.loads((tmp_path / "bins" / "bins.json").read_text())["complete"] is False
    # What a kill between writing and renaming leaves.
    (tmp_path / "bins" / "val_data" / f".{at}.bin.part").write_bytes(b"half")
    made = write_bins(tmp_path / "bins", _plan(), _sample)
    assert (made["written"], made["kept"]) == (COUNT - at, at)
    write_bins(tmp_path / "whole", _plan(), _sample)
    assert _files(tmp_path / "bins") == _files(tmp_path / "whole")
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_of_the_wrong_size_is_written_again(tmp_path: Path) -> None:
    write_bins(tmp_path / "bins", _plan(), _sample)
    place = tmp_path / "bins" / "val_data" / "3.bin"
    place.write_bytes(place.read_bytes()[:-4])
    made = write_bins(tmp_path / "bins", _plan(), _sample)
    assert made["written"] == 1
    assert place.read_bytes() == _sample(3)["val_data"].tobytes()


def test_bins_of_other_data_are_not_continued(tmp_path: Path) -> None:
    write_bins(tmp_path / "bins", _plan(data="one"), _sample)
    with pytest.raises(OutputExistsError, match="other data"):
        write_bins(tmp_path / "bins", _plan(data="two"), _sample)
    made = write_bins(tmp_path / "bins", _plan(data="two"), _sample, force=True)
    assert made["written"] == COUNT


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(OutputExistsError, match="holds other files"):
            write_bins(tmp_path / "mine", _plan(), _sample, force=force)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["7.bin", "notes.txt", "01.bin", "bin"])
def test_a_stray_file_that_would_be_read_as_a_sample_is_named(tmp_path: Path, name: str) -> None:
    write_bins(tmp_path / "bins", _plan(), _sample)
    (tmp_path / "bins" / "val_data" / name).write_bytes(b"")
    with pytest.raises(DataError, match=name):
        write_bins(tmp_path / "bins", _plan(), _sample)


@pytest.mark.parametrize("change", [lambda a: a.astype(np.float64), lambda a: a[:, :, :-1]])
def test_a_sample_of_another_kind_is_refused(
    tmp_path: Path, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    def sample(index: int) -> dict[str, np.ndarray]:
        made = _sample(index)["val_data"]
        return {"val_data": change(made) if index == 2 else made}

    with pytest.raises(DataError, match="record 2"):
        write_bins(tmp_path / "bins", _plan(), sample)
    assert not (tmp_path / "bins" / "val_data" / "2.bin").exists()


def test_raw_recordings_need_the_bundle_that_they_are_for(tmp_path: Path) -> None:
    value = {"frame_dir": "a", "label": 0, "keypoint": np.ones((1, 9, 17, 2), np.float32)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([value]))
    with pytest.raises(DataError, match="--bundle"):
        api.data_bins_write(tmp_path / "a.pkl", tmp_path / "bins")


def test_records_without_labels_are_refused(tmp_path: Path) -> None:
    path = _pair(tmp_path)
    (tmp_path / "val_label.pkl").unlink()
    with pytest.raises(DataError, match="no label"):
        api.data_bins_write(path, tmp_path / "bins")


# ---- scoring ---------------------------------------------------------------------------------


def _scores() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(COUNT, CLASSES)).astype(np.float32)


def _results(folder: Path, scores: np.ndarray | None = None) -> Path:
    folder.mkdir()
    for index, row in enumerate(_scores() if scores is None else scores):
        write_scores(folder, index, row)
    return folder


def test_scores_are_read_in_the_order_of_the_records(tmp_path: Path) -> None:
    many = np.random.default_rng(2).normal(size=(12, CLASSES)).astype(np.float32)
    found = read_results(_results(tmp_path / "r", many), 12)
    assert np.array_equal(found.scores, many)
    assert found.ignored == ()


def test_only_first_outputs_are_read_and_the_rest_is_told(tmp_path: Path) -> None:
    folder = _results(tmp_path / "r")
    (folder / "0_1.bin").write_bytes(b"1234")
    (folder / "sumary.json").write_text("{}", encoding="utf-8")
    found = read_results(folder, COUNT)
    assert np.array_equal(found.scores, _scores())
    assert found.ignored == ("0_1.bin", "sumary.json")


def test_half_precision_scores_are_read_as_such(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    for index, row in enumerate(_scores().astype(np.float16)):
        (folder / f"{index}_0.bin").write_bytes(row.tobytes())
    found = read_results(folder, COUNT, dtype="float16")
    assert np.array_equal(found.scores, _scores().astype(np.float16).astype(np.float32))


def _break(folder: Path, how: str) -> None:
    place = folder / "3_0.bin"
    if how == "missing":
        place.unlink()
    elif how == "truncated":
        place.write_bytes(place.read_bytes()[:-4])
    elif how == "empty":
        place.write_bytes(b"")
    elif how == "duplicated":
        (folder / "03_0.bin").write_bytes(place.read_bytes())
    elif how == "stray":
        (folder / "copy_0.bin").write_bytes(place.read_bytes())
    elif how == "beyond":
        (folder / f"{COUNT}_0.bin").write_bytes(place.read_bytes())
    elif how == "odd":
        for file in folder.iterdir():
            file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", r"1 of 7 results are missing, first 3_0\.bin"),
        ("truncated", r"3_0\.bin has 20 bytes, the others 24"),
        ("empty", r"3_0\.bin has 0 bytes"),
        ("duplicated", "record 3 twice"),
        ("stray", "copy_0.bin is no result of a numbered record"),
        ("beyond", "result of record 7, and there are 7 labels"),
        ("odd", "23 bytes, which are no 32-bit scores"),
    ],
)
def test_a_result_that_is_not_right_is_named_and_nothing_is_scored(
    tmp_path: Path, how: str, message: str
) -> None:
    folder = _results(tmp_path / "r")
    _break(folder, how)
    _pair(tmp_path)
    with pytest.raises(DataError, match=message):
        api.data_bins_score(folder, tmp_path / "val_label.pkl")


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    with pytest.raises(DataError, match=r"no \*_0\.bin"):
        read_results(tmp_path / "r", 3)
    with pytest.raises(FileUnreadableError, match="no folder"):
        read_results(tmp_path / "absent", 3)
    with pytest.raises(UsageError, match="float32 or float16"):
        read_results(tmp_path / "r", 3, dtype="int8")


def test_labels_of_more_classes_than_the_results_have_are_refused(tmp_path: Path) -> None:
    folder = _results(tmp_path / "r", _scores()[:, :3])
    _pair(tmp_path)
    with pytest.raises(DataError, match="record 3: label 3, and the results have 3 classes"):
        api.data_bins_score(folder, tmp_path / "val_label.pkl")


def test_fewer_records_are_scored_only_when_said(tmp_path: Path) -> None:
    _pair(tmp_path)
    folder = _results(tmp_path / "r", _scores()[:4])
    with pytest.raises(DataError, match="3 of 7 results are missing"):
        api.data_bins_score(folder, tmp_path / "val_label.pkl")
    assert api.data_bins_score(folder, tmp_path / "val_label.pkl", limit=4).count == 4
