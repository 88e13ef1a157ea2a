"""PYSKL's and MMAction2's annotations: splits, scores, Kinetics' compressed form, and what is wrong."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import shared_path
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.data.dataset import Header, ReadOptions
from stgcn_deploy.data.formats import open_dataset, read_recording
from stgcn_deploy.data.formats.pyskl import FORMAT as PYSKL
from stgcn_deploy.data.recording import UNLABELLED, Recording
from stgcn_deploy.errors import (
    ClipError,
    DataError,
    OutputExistsError,
    StgcnError,
    UnknownNameError,
)

SHAPE = (2, 6, 17)


def _points(seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((*SHAPE, 2)) * 200).astype(np.float32)


def _scores(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + 100).random(SHAPE).astype(np.float32)


def _annotation(name: str = "v0", label: Any = 3, seed: int = 0, **others: Any) -> dict[str, Any]:
    return {
        "frame_dir": name,
        "label": label,
        "img_shape": (240, 320),
        "total_frames": SHAPE[1],
        "keypoint": _points(seed),
        "keypoint_score": _scores(seed),
    } | others


def _file(folder: Path, value: Any) -> Path:
    (folder / "a.pkl").write_bytes(pickle.dumps(value, 4))
    return folder / "a.pkl"


def _three(**others: Any) -> dict[str, Any]:
    annotations = [_annotation(f"v{number}", number, number) for number in range(3)]
    return {"split": {"train1": ["v2", "v0"], "test1": ["v1"]}, "annotations": annotations} | others


# ---- plain annotations -----------------------------------------------------------------------


def test_records_have_their_points_with_the_score_behind(tmp_path: Path) -> None:
    data = open_dataset(_file(tmp_path, _three()))
    assert (data.format, len(data)) == ("pyskl", 3)
    assert data.labels.tolist() == [0, 1, 2]
    for number, one in enumerate(data):
        assert np.array_equal(one.clip[..., :2], _points(number))
        assert np.array_equal(one.clip[..., 2], _scores(number))
        assert (one.name, one.label) == (f"v{number}", number)
        assert (one.image_size, one.raw, one.layout) == ((320, 240), True, None)


def test_splits_are_indices_in_the_files_order(tmp_path: Path) -> None:
    data = open_dataset(_file(tmp_path, _three()))
    assert data.select("train1").tolist() == [2, 0]
    assert data.select("test1").tolist() == [1]
    assert data.select().tolist() == [0, 1, 2]
    with pytest.raises(UnknownNameError, match="did you mean 'test1'"):
        data.select("test")


def test_a_split_that_is_a_set_has_one_order(tmp_path: Path) -> None:
    data = open_dataset(_file(tmp_path, _three(split={"all": {"v2", "v0", "v1"}})))
    assert data.select("all").tolist() == [0, 1, 2]


@pytest.mark.parametrize("split", [None, {}])
def test_a_file_may_have_no_splits(tmp_path: Path, split: Any) -> None:
    data = open_dataset(_file(tmp_path, _three(split=split)))
    assert data.splits == {}
    with pytest.raises(UnknownNameError, match="The file has none"):
        data.select("test1")


def test_a_list_of_annotations_and_one_alone_are_read(tmp_path: Path) -> None:
    assert len(open_dataset(_file(tmp_path, _three()["annotations"]))) == 3
    assert len(open_dataset(_file(tmp_path, tuple(_three()["annotations"])))) == 3
    assert np.array_equal(read_recording(_file(tmp_path, _annotation())).clip[..., :2], _points())


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "v0"),
        ({"frame_dir": 7}, "7"),
        ({"frame_dir": None, "filename": "b.mp4"}, "b.mp4"),
        ({"frame_dir": np.array(["x", "y"])}, "0"),
        ({"frame_dir": ""}, "0"),
    ],
)
def test_names_are_those_of_the_annotations(
    tmp_path: Path, changes: dict[str, Any], name: str
) -> None:
    assert read_recording(_file(tmp_path, _annotation(**changes))).name == name


def test_options_say_what_the_file_does_not(tmp_path: Path) -> None:
    value = _annotation()
    del value["img_shape"], value["label"]
    options = ReadOptions(layout="coco17", image_size=(64, 48), fps=25.0)
    one = read_recording(_file(tmp_path, value), options=options)
    assert (one.layout, one.image_size, one.fps, one.label) == ("coco17", (64, 48), 25.0, -1)


def test_one_person_may_leave_out_the_first_axis(tmp_path: Path) -> None:
    value = _annotation(keypoint=_points()[0], keypoint_score=_scores()[0])
    assert read_recording(_file(tmp_path, value)).clip.shape == (1, 6, 17, 3)


def test_three_coordinates_have_no_score(tmp_path: Path) -> None:
    value = _annotation(keypoint=np.ones((1, 4, 25, 3), np.float16), keypoint_score=None)
    assert read_recording(_file(tmp_path, value)).clip.shape == (1, 4, 25, 3)


# ---- the compressed form ---------------------------------------------------------------------

# Of which frame each row is: one person in frame 0, three in frame 2, two in frame 5.
FRAMES = [0, 2, 2, 2, 5, 5]


def _rows(count: int = len(FRAMES)) -> np.ndarray:
    return np.random.default_rng(5).random((count, 17, 3)).astype(np.float32)


def _compressed(**others: Any) -> dict[str, Any]:
    value = _annotation(keypoint=_rows(), frame_inds=np.array(FRAMES, np.int16), total_frames=9)
    del value["keypoint_score"]
    return value | others


def test_rows_become_persons_of_the_frames_that_have_any(tmp_path: Path) -> None:
    clip = read_recording(_file(tmp_path, _compressed())).clip
    wanted = np.zeros((3, 3, 17, 3), np.float32)
    for person, frame, row in ((0, 0, 0), (0, 1, 1), (1, 1, 2), (2, 1, 3), (0, 2, 4), (1, 2, 5)):
        wanted[person, frame] = _rows()[row]
    assert np.array_equal(clip, wanted)


@pytest.mark.parametrize(
    "chosen", [np.array([0, 1, 3]), np.array([1, 1, 0, 1, 0, 0], bool), [0, 1, 3]]
)
def test_only_the_chosen_rows_are_taken(tmp_path: Path, chosen: Any) -> None:
    clip = read_recording(_file(tmp_path, _compressed(anno_inds=chosen))).clip
    assert clip.shape == (2, 2, 17, 3)
    assert np.array_equal(clip[0, 0], _rows()[0])
    assert np.array_equal(clip[:, 1], _rows()[[1, 3]])


def test_of_a_crowd_the_surest_are_kept_and_stand_first(tmp_path: Path) -> None:
    rows = _rows(14)
    value = _compressed(keypoint=rows, frame_inds=[0] * 12 + [1] * 2)
    clip = read_recording(_file(tmp_path, value)).clip
    assert clip.shape == (10, 2, 17, 3)
    order = sorted(range(12), key=lambda row: -rows[row, :, 2].sum())[:10]
    assert np.array_equal(clip[:, 0], rows[order])
    order = sorted((12, 13), key=lambda row: -rows[row, :, 2].sum())
    assert np.array_equal(clip[:2, 1], rows[order])
    assert not clip[2:, 1].any()


@pytest.mark.parametrize("folder", [".", "kpfiles"])
def test_points_may_stand_in_a_file_of_their_own(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    inner = {"keypoint": _rows(), "frame_inds": np.array(FRAMES)}
    (tmp_path / folder / "v0.pkl").write_bytes(pickle.dumps(inner))
    value = {"frame_dir": "v0", "label": 3, "raw_file": "/somewhere/else/v0.pkl"}
    clip = read_recording(_file(tmp_path, [value])).clip
    assert clip.shape == (3, 3, 17, 3)


@pytest.mark.parametrize("inner", [None, [1], {"other": 1}])
def test_a_file_of_points_that_is_absent_or_none_is_refused(tmp_path: Path, inner: Any) -> None:
    if inner is not None:
        (tmp_path / "v0.pkl").write_bytes(pickle.dumps(inner))
    value = {"frame_dir": "v0", "label": 3, "raw_file": "v0.pkl"}
    with pytest.raises(DataError, match=r"a\.pkl, record 0 \(v0\)"):
        read_recording(_file(tmp_path, [value]))


@pytest.mark.parametrize(
    "changes",
    [
        {"frame_inds": FRAMES[:-1]},
        {"frame_inds": []},
        {"frame_inds": None},
        {"frame_inds": "012345"},
        {"frame_inds": [0.0, 1, 2, 3, 4, 5]},
        {"frame_inds": [float("nan")] * 6},
        {"frame_inds": [[0], [1, 2]]},
        {"frame_inds": np.zeros((6, 1), int)},
        {"frame_inds": [10**30] * 6},
        {"keypoint": _rows()[..., 0]},
        {"keypoint": _rows()[None]},
        {"keypoint": "points"},
        {"keypoint": _rows().astype(complex)},
        {"anno_inds": [6]},
        {"anno_inds": [True]},
        {"anno_inds": []},
        {"anno_inds": "all"},
        {"anno_inds": [[0, 1]]},
        {"anno_inds": None, "keypoint": None},
    ],
    ids=range(19),
)
def test_a_compressed_annotation_that_is_none_is_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises((ClipError, DataError), match=r"a\.pkl, record 0 \(v0\)"):
        read_recording(_file(tmp_path, [_compressed(**changes)]))


def test_frames_far_apart_take_no_memory(tmp_path: Path) -> None:
    frames = [0, 1, 2, 3, 4, 2**40]
    value = _compressed(frame_inds=frames, total_frames=2**40)
    assert read_recording(_file(tmp_path, value)).clip.shape == (1, 6, 17, 3)


# ---- what is wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({}, "no .keypoint."),
        ([], "holds no annotation"),
        ({"annotations": []}, "holds no annotation"),
        ({"annotations": {"a": 1}}, "expected PYSKL"),
        (7, "expected PYSKL"),
        ([3], "record 0: int"),
        (_three(split=[1]), "expected a dict of names"),
        (_three(split=np.array([1, 2])), "expected a dict of names"),
        (_three(split={"a": "v1"}), "'a' is no list"),
        (_three(split={"a": ["v1", "v9"]}), "names 'v9'.*did you mean"),
        (_three(classes="abc"), "classes"),
        (_three(classes=[1]), "classes"),
        ([_annotation(label="3")], "record 0: label"),
        ([_annotation(label=3.0)], "record 0: label"),
        ([_annotation(label=True)], "record 0: label"),
        ([_annotation(label=None)], "record 0: label"),
        ([_annotation(), _annotation(label=-2)], "record 1: label"),
        ([_annotation(label=2**40)], "record 0: label"),
    ],
    ids=range(18),
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, value: Any, why: str) -> None:
    with pytest.raises(DataError, match=rf"a\.pkl.*{why}"):
        open_dataset(_file(tmp_path, value))


@pytest.mark.parametrize(
    "changes",
    [
        {"keypoint": None},
        {"keypoint": np.zeros((2, 6))},
        {"keypoint": [[[1, 2]], [[3]]]},
        {"keypoint": np.array([["a"]])},
        {"keypoint": {}},
        {"keypoint_score": _scores()[:1]},
        {"keypoint_score": "sure"},
        {"keypoint_score": [10**400]},
        {"img_shape": (0, 320)},
        {"img_shape": 240},
        {"img_shape": (240, 320, 3)},
        {"img_shape": (float("inf"), 3)},
    ],
    ids=range(12),
)
def test_a_wrong_record_is_refused_by_name_when_it_is_read(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    value = [_annotation("good"), _annotation("bad", **changes)]
    data = open_dataset(_file(tmp_path, value))
    assert data[0].clip.shape == (*SHAPE, 3)
    with pytest.raises(ClipError, match=r"a\.pkl, record 1 \(bad\)"):
        data[1]


def test_there_is_no_record_beyond_the_last(tmp_path: Path) -> None:
    data = open_dataset(_file(tmp_path, _three()))
    with pytest.raises(DataError, match="no record 3"):
        data[3]


def test_labels_outside_the_networks_classes_are_named(tmp_path: Path) -> None:
    data = open_dataset(_file(tmp_path, _three()))
    data.check_labels(data.select(), 3)
    with pytest.raises(DataError, match=r"record 2 \(v2\) has label 2, expected 0 to 1 \(1 of 3"):
        data.check_labels(data.select(), 2)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, _three())
    whole = path.read_bytes()
    for size in range(0, len(whole), 101):
        path.write_bytes(whole[:size])
        with pytest.raises(StgcnError, match=r"a\.pkl"):
            open_dataset(path)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(-2, 8), max_size=7),
    st.lists(st.lists(st.floats(), max_size=3), max_size=3),
    st.sampled_from(
        [
            np.zeros(3),
            np.zeros((6, 17, 3)),
            np.zeros((6, 17)),
            np.zeros((1, 2, 3, 4)),
            np.arange(6),
            np.array("x"),
            np.zeros((0, 2)),
        ]
    ),
)
KEYS = st.sampled_from(
    [
        "keypoint", "keypoint_score", "frame_inds", "anno_inds", "total_frames", "img_shape", "label",
        "frame_dir", "filename", "raw_file", "fps", "raw",
    ]
)  # fmt: skip


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.booleans())
def test_any_annotation_is_read_or_refused_as_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any], compressed: bool
) -> None:
    start = _compressed() if compressed else _annotation()
    path = _file(tmp_path_factory.mktemp("pyskl"), [start | changes])
    refused = ""
    try:
        assert read_recording(path).clip.ndim == 4
    except StgcnError as error:
        refused = str(error)
    assert not refused or "a.pkl" in refused


@given(st.dictionaries(st.sampled_from(["split", "annotations", "classes", "layout"]), VALUES))
def test_any_file_is_read_or_refused_as_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    path = _file(tmp_path_factory.mktemp("pyskl"), _three() | changes)
    refused = ""
    try:
        assert len(open_dataset(path)) == 3
    except StgcnError as error:
        refused = str(error)
    assert not refused or "a.pkl" in refused


# ---- writing ---------------------------------------------------------------------------------


def _recordings() -> list[Recording]:
    pixels = np.concatenate([_points(), _scores()[..., None]], axis=-1)
    space = np.ones((1, 4, 17, 3), np.float32)
    return [
        Recording(pixels, "coco17", (320, 240), raw=True, name="pixels", label=2, fps=24.0),
        Recording(pixels / 300, "coco17", raw=True, name="fractions", label=0),
        Recording(_points()[:1], "coco17", name="seen", label=UNLABELLED),
        Recording(space, "human36m17", raw=True, name="space", label=1, fps=50.0),
    ]


@pytest.mark.parametrize("chosen", [[0, 1, 2], [3], [2]])
def test_what_is_written_is_read_again(tmp_path: Path, chosen: list[int]) -> None:
    recordings = [_recordings()[index] for index in chosen]
    splits = {"train": np.array([len(chosen) - 1]), "none": np.array([], np.int64)}
    layout = recordings[0].layout
    header = Header(len(recordings), ("a", "b", "c"), layout, splits)
    report = PYSKL.write(tmp_path / "out.pkl", iter(recordings), header)
    size = (tmp_path / "out.pkl").stat().st_size
    assert report == {"records": len(chosen), "files": {"out.pkl": size}}
    data = open_dataset(tmp_path / "out.pkl")
    assert data.classes == ("a", "b", "c")
    assert data.layout == layout
    assert {name: found.tolist() for name, found in data.splits.items()} == {
        "train": [len(chosen) - 1], "none": [],
    }  # fmt: skip
    for found, wanted in zip(data, recordings, strict=True):
        assert np.array_equal(found.clip, wanted.clip)
        for said in ("name", "label", "fps", "image_size", "raw", "layout"):
            assert getattr(found, said) == getattr(wanted, said), said


def test_two_recordings_of_one_name_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    twice = [_recordings()[0], _recordings()[0]]
    with pytest.raises(DataError, match="two recordings are called 'pixels'"):
        PYSKL.write(tmp_path / "out.pkl", twice, Header(2))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    path = tmp_path / "out.pkl"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(OutputExistsError):
        PYSKL.write(path, _recordings()[:1], Header(1))
    assert path.read_text(encoding="utf-8") == "mine"
    PYSKL.write(path, _recordings()[:1], Header(1), force=True)
    assert len(open_dataset(path)) == 1


# ---- real files ------------------------------------------------------------------------------


@pytest.mark.shared
def test_the_three_splits_of_jhmdb_are_read() -> None:
    data = open_dataset(shared_path("data", "jhmdb14.pkl"))
    for number in (1, 2, 3):
        train, test = data.select(f"train{number}"), data.select(f"test{number}")
        assert not set(train) & set(test)
        assert len(train) + len(test) == len(data)
    data.check_labels(data.select(), 14)
    assert data[0].clip.shape[2:] == (15, 2)


@pytest.mark.shared
def test_the_ucf101_sample_is_read() -> None:
    for one in open_dataset(shared_path("data", "ucf101_sample_pyskl.pkl")):
        assert one.clip.shape[2:] == (17, 3)
        assert one.image_size is not None
        assert one.raw
