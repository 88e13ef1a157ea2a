"""Kinetics-skeleton: prepared arrays with their labels, and the JSON files as they were released."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import shared_path
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.data.dataset import Header, ReadOptions
from stgcn_deploy.data.formats import open_dataset, read_recording
from stgcn_deploy.data.formats.jsonfile import first_keys, json_format, load_json
from stgcn_deploy.data.formats.kinetics_npy import FORMAT as PREPARED
from stgcn_deploy.data.labelfile import label_path, neighbour, read_labels
from stgcn_deploy.data.recording import UNLABELLED, Recording
from stgcn_deploy.errors import (
    DataError,
    FileUnreadableError,
    OutputExistsError,
    StgcnError,
    UnsafeFileError,
    UsageError,
)
from stgcn_deploy.skeleton.contract import Sequence, Step, apply_steps
from stgcn_deploy.skeleton.windows import fit_frames

# (N, C, T, V, M), all sizes different.
SHAPE = (4, 3, 6, 18, 2)
LABELS = [7, 0, 399, 12]
NAMES = ["a", "b", "c", "d"]


def _array(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _prepared(folder: Path, array: Any = None, labels: Any = (NAMES, LABELS)) -> Path:
    np.save(folder / "val_data.npy", _array() if array is None else array)
    if labels is not None:
        (folder / "val_label.pkl").write_bytes(pickle.dumps(labels))
    return folder / "val_data.npy"


# ---- prepared arrays -------------------------------------------------------------------------


def test_records_are_the_arrays_with_their_axes_in_our_order(tmp_path: Path) -> None:
    data = open_dataset(_prepared(tmp_path))
    assert (data.format, len(data)) == ("kinetics-npy", 4)
    for index, one in enumerate(data):
        assert one.clip.shape == (2, 6, 18, 3)
        assert one.clip.flags.c_contiguous
        for person, frame, joint, channel in np.ndindex(2, 2, 3, 3):
            wanted = _array()[index, channel, frame, joint, person]
            assert one.clip[person, frame, joint, channel] == wanted
        assert (one.name, one.label, one.raw) == (NAMES[index], LABELS[index], False)


@pytest.mark.parametrize("axes", ["NMTVC", "NTVCM", "NCTVM", "NVCMT"])
def test_other_orders_are_read_by_their_names(tmp_path: Path, axes: str) -> None:
    array = _array().transpose(["NCTVM".index(axis) for axis in axes])
    path = _prepared(tmp_path, np.ascontiguousarray(array))
    found = open_dataset(path, ReadOptions(axes=axes))[2].clip
    assert np.array_equal(found, _array()[2].transpose(3, 1, 2, 0))


def test_an_order_that_cannot_be_is_refused_with_the_likely_one(tmp_path: Path) -> None:
    array = np.zeros((2, 2, 30, 25, 3), np.float32)
    path = _prepared(tmp_path, array.transpose(0, 2, 3, 4, 1), None)
    with pytest.raises(DataError, match=r"30 channels.*--axes NTVCM"):
        open_dataset(path)
    assert open_dataset(path, ReadOptions(axes="NTVCM"))[0].clip.shape == (2, 30, 25, 3)
    path = _prepared(tmp_path, np.zeros((2, 11, 11, 11, 11), np.float32), None)
    with pytest.raises(DataError, match="say which: --axes ORDER"):
        open_dataset(path)


@pytest.mark.parametrize("axes", ["CTVM", "CTVMN", "NCTVV", "nctvm", ""])
def test_names_of_axes_that_are_none_are_refused(tmp_path: Path, axes: str) -> None:
    with pytest.raises(UsageError, match="expected N and then"):
        open_dataset(_prepared(tmp_path), ReadOptions(axes=axes))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3, 6, 18, 2), np.float32),
        np.zeros((2, 3, 0, 18, 2), np.float32),
        np.zeros((2, 3, 6, 18, 2), bool),
        np.zeros((2, 3, 6, 18, 2), np.complex64),
        np.zeros((2, 3, 6, 18, 2), "S3"),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_arrays_of_nothing_or_of_something_else_are_refused(
    tmp_path: Path, array: np.ndarray
) -> None:
    with pytest.raises(DataError, match=r"val_data\.npy.*expected numbers"):
        open_dataset(_prepared(tmp_path, array, None))


def test_an_array_of_four_axes_is_none_of_these(tmp_path: Path) -> None:
    path = _prepared(tmp_path, _array()[0], None)
    assert open_dataset(path, ReadOptions(axes="CTVM")).format == "clip"
    with pytest.raises(DataError, match="five axes"):
        open_dataset(path, format="kinetics-npy")


# ---- labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "labels"),
    [
        ("val_data.npy", "val_label.pkl"),
        ("val_data_joint.npy", "val_label.pkl"),
        ("val_data_bone_motion.npy", "val_label.pkl"),
        ("val_joint.npy", "val_label.pkl"),
        ("val_data.npy", "val_labels.npy"),
        ("foo.npy", "foo_label.pkl"),
        ("foo.npy", "foo_labels.txt"),
        ("data.npy", "label.csv"),
        ("metadata.npy", "metadata_label.json"),
        ("val_data.npy", "val_data_label.pkl"),
    ],
)
def test_labels_are_found_under_the_usual_names(tmp_path: Path, data: str, labels: str) -> None:
    (tmp_path / labels).touch()
    assert neighbour(tmp_path / data) == tmp_path / labels


@pytest.mark.parametrize("labels", ["train_label.pkl", "val.pkl", "label.pkl", "val_label.md"])
def test_other_files_are_no_labels(tmp_path: Path, labels: str) -> None:
    (tmp_path / labels).touch()
    (tmp_path / "val_label.json").mkdir()
    assert neighbour(tmp_path / "val_data.npy") is None


@pytest.mark.parametrize(
    ("data", "labels"),
    [
        ("val_data.npy", "val_label.pkl"),
        ("val_data_joint.npy", "val_label.pkl"),
        ("foo.npy", "foo_label.pkl"),
        ("data.npy", "label.pkl"),
    ],
)
def test_labels_are_written_where_they_are_looked_for(data: str, labels: str) -> None:
    assert label_path(Path("x") / data) == Path("x") / labels


@pytest.mark.parametrize(
    "value",
    [
        (NAMES, LABELS),
        [NAMES, np.array(LABELS)],
        (NAMES, (LABELS, [300, 300, 300, 300])),
        (NAMES, [np.int64(one) for one in LABELS]),
        (tuple(NAMES), np.array(LABELS, np.uint16)),
    ],
)
def test_a_pickle_of_names_and_labels_is_read(tmp_path: Path, value: Any) -> None:
    found = read_labels(_pickled(tmp_path, value))
    assert found.labels.tolist() == LABELS
    assert found.names == tuple(NAMES)


def _pickled(folder: Path, value: Any) -> Path:
    (folder / "l.pkl").write_bytes(pickle.dumps(value))
    return folder / "l.pkl"


def test_a_pickle_of_labels_alone_is_read(tmp_path: Path) -> None:
    for value in (LABELS, np.array(LABELS), [3, 4], np.array([[3], [4]])[:, 0]):
        found = read_labels(_pickled(tmp_path, value))
        assert found.labels.tolist() == list(value)
        assert found.names == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.json", "[7, 0, 399, 12]"),
        ("l.json", '[["a", "b", "c", "d"], [7, 0, 399, 12]]'),
        ("l.txt", "7\n0\n399\n12\n"),
        ("l.txt", "7\r\n0\r\n\r\n399\r\n12"),
        ("l.csv", "name,label\na,7\nb,0\nc,399\nd,12\n"),
        ("l.csv", "a, 7\nb, 0\nc, 399\nd, 12\n"),
    ],
)
def test_labels_are_read_from_text(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    found = read_labels(tmp_path / name)
    assert found.labels.tolist() == LABELS
    assert found.names in ((), tuple(NAMES))
    assert (found.names == ()) is ("a" not in content)


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        7,
        (NAMES, LABELS[:3]),
        (NAMES, [1, 2, 3, 2.0]),
        (NAMES, [1, 2, 3, True]),
        (NAMES, [1, 2, 3, "4"]),
        (NAMES, [1, 2, 3, -2]),
        (NAMES, [1, 2, 3, 10**30]),
        (NAMES, [1, 2, 3, None]),
        (NAMES, np.array([1.0, 2, 3, 4])),
        (NAMES, np.eye(4, dtype=int)),
        np.eye(4, dtype=int),
        np.array([0, 1, -5]),
    ],
    ids=range(13),
)
def test_what_is_no_label_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DataError, match=r"l\.pkl"):
        read_labels(_pickled(tmp_path, value))


def test_the_first_wrong_label_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"record 2: label is -3"):
        read_labels(_pickled(tmp_path, [0, 1, -3, -4]))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("l.txt", b"1\ntwo\n", "line 2"),
        ("l.txt", b"label\n1\n", "line 1"),
        ("l.csv", b"a,1\nb,\n", "line 2"),
        ("l.txt", b"99999999999999999999\n", "line 1"),
        ("l.txt", b"\xff\xfe\x00", "UTF-8"),
        ("l.json", b"{", "JSON"),
        ("l.npy", b"\x93NUMPY", "npy"),
        ("l.md", b"1", "unknown kind"),
    ],
)
def test_broken_files_of_labels_are_refused(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((DataError, FileUnreadableError), match=rf"l\..*{why}"):
        read_labels(tmp_path / name)


def test_labels_that_would_run_code_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError):
        read_labels(_pickled(tmp_path, (NAMES, Path("x"))))
    with pytest.raises(FileUnreadableError, match="does not exist"):
        read_labels(tmp_path / "absent.pkl")


def test_without_labels_records_have_none(tmp_path: Path) -> None:
    data = open_dataset(_prepared(tmp_path, labels=None))
    assert data.labels.tolist() == [UNLABELLED] * 4
    assert data[3].name == "3"
    with pytest.raises(DataError, match="--data-labels"):
        data.check_labels(data.select(), 400)


def test_the_file_that_is_named_goes_before_the_neighbour(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("1\n2\n3\n4\n", encoding="utf-8")
    data = open_dataset(_prepared(tmp_path), ReadOptions(labels=other))
    assert data.labels.tolist() == [1, 2, 3, 4]


def test_another_number_of_labels_is_refused_with_both_names(tmp_path: Path) -> None:
    path = _prepared(tmp_path, labels=(NAMES[:3], LABELS[:3]))
    with pytest.raises(DataError, match=r"val_data\.npy has 4 .*val_label\.pkl has 3"):
        open_dataset(path)


# ---- writing ---------------------------------------------------------------------------------


def _recordings(count: int = 4) -> list[Recording]:
    return [
        Recording(_array()[index].transpose(3, 1, 2, 0), name=NAMES[index], label=LABELS[index])
        for index in range(count)
    ]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "val_data.npy"
    report = PREPARED.write(path, iter(_recordings()), Header(4))
    assert np.array_equal(np.load(path), _array())
    assert np.load(path).dtype == np.float32
    assert pickle.loads((path.parent / "val_label.pkl").read_bytes()) == (NAMES, LABELS)
    assert report == {
        "records": 4,
        "files": {file.name: file.stat().st_size for file in path.parent.iterdir()},
    }
    data = open_dataset(path)
    for found, given_ in zip(data, _recordings(), strict=True):
        assert np.array_equal(found.clip, given_.clip)
        assert (found.name, found.label) == (given_.name, given_.label)


@pytest.mark.parametrize(
    ("recordings", "count", "why"),
    [
        (_recordings(3), 4, "3 recording.* 4 were announced"),
        (_recordings(4), 3, "more recordings than the 3"),
        ([], 0, "at least one"),
        ([*_recordings(2), Recording(np.zeros((1, 6, 18, 3), "f4"), name="odd")], 3, r"2 \(odd\)"),
        ([replace(_recordings(1)[0], raw=True)], 1, r"0 \(a\) is raw"),
        ([replace(_recordings(1)[0], image_size=(8, 8))], 1, r"0 \(a\) is raw"),
        ([Recording(np.zeros((1, 0, 18, 3), "f4"))], 1, "record 0 is empty"),
    ],
    ids=range(7),
)
def test_what_does_not_fit_is_refused_and_nothing_is_left(
    tmp_path: Path, recordings: list[Recording], count: int, why: str
) -> None:
    with pytest.raises(DataError, match=why):
        PREPARED.write(tmp_path / "val_data.npy", recordings, Header(count))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["val_data.npy", "val_label.pkl"])
def test_neither_file_is_overwritten_without_force(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine", encoding="utf-8")
    path = tmp_path / "val_data.npy"
    with pytest.raises(OutputExistsError, match=there):
        PREPARED.write(path, _recordings(), Header(4))
    assert [file.name for file in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text(encoding="utf-8") == "mine"
    PREPARED.write(path, _recordings(), Header(4), force=True)
    assert len(open_dataset(path)) == 4


def test_only_an_npy_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"call it val\.npy"):
        PREPARED.write(tmp_path / "val.pkl", _recordings(), Header(4))


@pytest.mark.shared
def test_a_pair_made_of_real_skeletons_gives_them_back(tmp_path: Path) -> None:
    source = open_dataset(shared_path("data", "jhmdb14.pkl"))
    chosen = source.select("test1")[:25]

    def prepared(index: int) -> Recording:
        one = source[index]
        width, height = one.image_size or (1, 1)
        clip = one.clip.copy()
        clip[..., :2] /= np.array([width, height], np.float32)
        return replace(one, clip=fit_frames(clip, (40, 40), "resample"), image_size=None, raw=False)

    path = tmp_path / "test1_data.npy"
    PREPARED.write(path, (prepared(int(index)) for index in chosen), Header(len(chosen)))
    data = open_dataset(path)
    assert np.load(path, mmap_mode="r").shape == (25, 2, 40, 15, 1)
    for place, index in enumerate(chosen):
        wanted, found = prepared(int(index)), data[place]
        assert np.array_equal(found.clip, wanted.clip)
        assert (found.name, found.label) == (wanted.name, wanted.label)


@pytest.mark.shared
def test_the_ntu_sample_is_a_clip_whose_axes_are_named() -> None:
    path = shared_path("data", "ntu_sample_ctvm.npy")
    clip = read_recording(path, options=ReadOptions(axes="CTVM", layout="ntu25")).clip
    assert clip.shape == (2, 300, 25, 3)
    assert np.array_equal(clip, np.load(path).transpose(3, 1, 2, 0))


# ---- released JSON ---------------------------------------------------------------------------


def _frame(index: int, people: list[np.ndarray]) -> dict[str, Any]:
    """A frame as it was released, of persons (V, 3)."""
    return {
        "frame_index": index,
        "skeleton": [
            {"pose": person[:, :2].ravel().tolist(), "score": person[:, 2].tolist()}
            for person in people
        ],
    }


def _person(seed: int, joints: int = 18) -> np.ndarray:
    return np.random.default_rng(seed).random((joints, 3)).astype(np.float32)


def _video(label: Any = 7, frames: Any = None) -> dict[str, Any]:
    frames = [_frame(1, [_person(0)]), _frame(2, [_person(1), _person(2)]), _frame(4, [])]
    return {"data": frames, "label": "class", "label_index": label}


def _released(folder: Path, count: int = 3, known: bool = True) -> Path:
    place = folder / "kinetics_val"
    place.mkdir()
    labels = {}
    for number in range(count):
        (place / f"v{number}.json").write_text(json.dumps(_video(number)), encoding="utf-8")
        labels[f"v{number}"] = {
            "has_skeleton": True,
            "label": f"class {number}",
            "label_index": number,
        }
    if known:
        (folder / "kinetics_val_label.json").write_text(json.dumps(labels), encoding="utf-8")
    return place


def _one(folder: Path, value: Any) -> Path:
    (folder / "v.json").write_text(json.dumps(value), encoding="utf-8")
    return folder / "v.json"


def test_frames_stand_where_the_file_says(tmp_path: Path) -> None:
    one = read_recording(_one(tmp_path, _video()))
    wanted = np.zeros((2, 5, 18, 3), np.float32)
    wanted[0, 1], wanted[0, 2], wanted[1, 2] = _person(0), _person(1), _person(2)
    assert np.array_equal(one.clip, wanted)
    assert (one.layout, one.raw, one.image_size) == ("openpose18", True, None)
    assert (one.name, one.label) == ("v", 7)


def test_a_folder_has_the_labels_of_the_file_beside_it(tmp_path: Path) -> None:
    data = open_dataset(_released(tmp_path))
    assert (data.format, len(data)) == ("kinetics-json", 3)
    assert data.labels.tolist() == [0, 1, 2]
    assert data.classes == ("class 0", "class 1", "class 2")
    assert [one.name for one in data] == ["v0", "v1", "v2"]


def test_without_that_file_each_has_its_own_label(tmp_path: Path) -> None:
    data = open_dataset(_released(tmp_path, known=False))
    assert data.labels.tolist() == [0, 1, 2]
    assert data.classes == ()


def test_records_without_a_skeleton_are_left_out(tmp_path: Path) -> None:
    place = _released(tmp_path)
    labels = tmp_path / "kinetics_val_label.json"
    known = json.loads(labels.read_text(encoding="utf-8"))
    known["v1"]["has_skeleton"] = False
    labels.write_text(json.dumps(known), encoding="utf-8")
    assert [one.name for one in open_dataset(place)] == ["v0", "v2"]
    known["v0"]["has_skeleton"] = known["v2"]["has_skeleton"] = False
    labels.write_text(json.dumps(known), encoding="utf-8")
    with pytest.raises(DataError, match="all 3"):
        open_dataset(place)


@pytest.mark.parametrize("place", ["start", "end", "middle", "nowhere"])
def test_a_label_is_found_wherever_it_stands(tmp_path: Path, place: str) -> None:
    frames = [_frame(index, [_person(index)]) for index in range(20)]
    parts: dict[str, dict[str, Any]] = {
        "start": {"label_index": 5, "data": frames},
        "end": {"data": frames, "label_index": 5},
        "middle": {"data": frames[:10], "label_index": 5, "more": frames},
        "nowhere": {"data": frames},
    }
    data = open_dataset(_one(tmp_path, parts[place]))
    assert data.labels.tolist() == [UNLABELLED if place == "nowhere" else 5]


def test_a_video_without_anybody_is_one_of_an_empty_person(tmp_path: Path) -> None:
    value = _video() | {"data": [_frame(0, []), _frame(3, [])]}
    clip = read_recording(_one(tmp_path, value)).clip
    assert clip.shape == (1, 4, 18, 3)
    assert not clip.any()


def test_persons_beyond_the_most_are_left_out(tmp_path: Path) -> None:
    crowd = [_person(seed) for seed in range(30)]
    clip = read_recording(_one(tmp_path, _video() | {"data": [_frame(0, crowd)]})).clip
    assert clip.shape == (10, 1, 18, 3)
    assert np.array_equal(clip[9, 0], crowd[9])


def test_the_steps_of_st_gcn_make_of_it_what_its_feeder_makes(tmp_path: Path) -> None:
    one = read_recording(_one(tmp_path, _video()))
    steps = (
        Step("coordinates", {"dimensions": 2}),
        Step("image_fractions", {"offset": 0.5}),
        Step("drop_unsure", {"threshold": 0.0}),
        Step("best_persons", {"keep": 2, "candidates": 5}),
        Step("merge_score"),
        Step("pad_frames", {"frames": 6}),
        Step("persons", {"count": 2}),
    )
    found = apply_steps(steps, Sequence(one.clip))[0]
    wanted = np.zeros((2, 6, 18, 3), np.float32)
    first, second = sorted((_person(1), _person(2)), key=lambda one: -one[:, 2].sum())
    wanted[0, 1], wanted[0, 2], wanted[1, 2] = _person(0), first, second
    there = wanted[..., 2] > 0
    wanted[..., :2] = np.where(there[..., None], wanted[..., :2] - np.float32(0.5), 0)
    assert np.array_equal(found, wanted)


def test_other_joints_need_the_name_of_their_layout(tmp_path: Path) -> None:
    path = _one(tmp_path, _video() | {"data": [_frame(0, [_person(0, 17)])]})
    with pytest.raises(DataError, match=r"v\.json, frame 0: a person of 17 joints.*--layout"):
        read_recording(path)
    found = read_recording(path, options=ReadOptions(layout="coco17"))
    assert (found.clip.shape, found.layout) == ((1, 1, 17, 3), "coco17")


GOOD = _frame(0, [_person(0)])
PERSON = GOOD["skeleton"][0]


@pytest.mark.parametrize(
    "data",
    [
        [],
        {},
        None,
        [3],
        [{"frame_index": 0}],
        [{"frame_index": 0, "skeleton": {}}],
        [{"skeleton": []}],
        [GOOD | {"frame_index": -1}],
        [GOOD | {"frame_index": 10**9}],
        [GOOD | {"frame_index": 10**30}],
        [GOOD | {"frame_index": True}],
        [GOOD | {"frame_index": 1.5}],
        [GOOD | {"frame_index": "1"}],
        [GOOD, GOOD],
        [GOOD | {"skeleton": [3]}],
        [GOOD | {"skeleton": [{}]}],
        [GOOD | {"skeleton": [PERSON | {"score": []}]}],
        [GOOD | {"skeleton": [PERSON | {"score": None}]}],
        [GOOD | {"skeleton": [PERSON | {"score": PERSON["score"][:-1]}]}],
        [GOOD | {"skeleton": [PERSON | {"pose": PERSON["pose"][:-1]}]}],
        [GOOD | {"skeleton": [PERSON | {"pose": [PERSON["pose"]]}]}],
        [GOOD | {"skeleton": [PERSON | {"pose": [[1], [1, 2]]}]}],
        [GOOD | {"skeleton": [PERSON | {"pose": ["1"] * 36}]}],
        [GOOD | {"skeleton": [PERSON | {"pose": [{}] * 36}]}],
        [GOOD | {"skeleton": [PERSON | {"pose": [10**400] * 36}]}],
        [GOOD | {"skeleton": [PERSON | {"pose": [float("nan")] * 36}]}],
        [GOOD | {"skeleton": [PERSON | {"pose": [1e300] * 36}]}],
        [GOOD | {"skeleton": [PERSON | {"score": [float("inf")] * 18}]}],
        [GOOD, _frame(1, [_person(0, 4)])],
    ],
    ids=range(29),
)
def test_a_video_that_is_none_is_refused_by_name(tmp_path: Path, data: Any) -> None:
    with pytest.raises(DataError, match=r"v\.json"):
        read_recording(_one(tmp_path, _video() | {"data": data}))


@pytest.mark.parametrize(
    "known",
    [
        [],
        {"v0": 3},
        {"v0": {"label_index": "1"}},
        {"v0": {"label_index": -2}},
        {"v0": {"label_index": True}},
        {"v0": {"label_index": 10**12}},
    ],
)
def test_a_map_of_labels_that_is_none_is_refused(tmp_path: Path, known: Any) -> None:
    place = _released(tmp_path)
    (tmp_path / "kinetics_val_label.json").write_text(json.dumps(known), encoding="utf-8")
    with pytest.raises(DataError, match=r"kinetics_val_label\.json"):
        open_dataset(place)


def test_every_truncation_of_a_video_is_refused(tmp_path: Path) -> None:
    whole = json.dumps(_video()).encode()
    path = tmp_path / "v.json"
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(StgcnError, match=r"v\.json"):
            read_recording(path)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 400) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["data", "frame_index", "skeleton", "pose", "score", "label_index"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_any_json_is_read_or_refused_as_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    path = _one(tmp_path_factory.mktemp("json"), {"data": value})
    refused = ""
    try:
        clip = read_recording(path).clip
        assert np.isfinite(clip).all()
    except StgcnError as error:
        refused = str(error)
    assert not refused or "v.json" in refused


# ---- telling JSON apart ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "keys", "kind"),
    [
        ('{"data": [{"frame_index": 1}]}', ("data",), "kinetics-json"),
        ('{"label": "a:{", "label_index": 3}', ("label", "label_index"), "kinetics-json"),
        ('{"version": 1.3, "people": [{"pose": []}]}', ("version", "people"), "openpose-json"),
        ('{"keypoints": [[]], "data": 1}', ("keypoints", "data"), "clip"),
        ("[[[[1, 2]]]]", (), "clip"),
        ('\ufeff [[{"u": {"v": 1}, "w": [1]}]]', ("u", "w"), "clip"),
        ('{"a": "\\"data\\":", "b": {"data": 1}}', ("a", "b"), "clip"),
        ('{"a": "unfinished', ("a",), "clip"),
        ('{"unfinished', (), "clip"),
        ('"data": 3', (), "clip"),
        ("}", (), "clip"),
        ("", (), "clip"),
    ],
)
def test_the_first_keys_say_which_format_it_is(
    tmp_path: Path, text: str, keys: tuple[str, ...], kind: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    assert first_keys(path) == keys
    assert json_format(path) == kind


@given(st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=5))
def test_the_first_keys_are_those_of_the_object(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    if path.stat().st_size < 4000:
        assert first_keys(path) == tuple(json.dumps(key)[1:-1] for key in value)


@given(st.text(alphabet='"\\{}[]:, a', max_size=60))
def test_any_text_has_some_first_keys(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(text, encoding="utf-8")
    assert isinstance(first_keys(path), tuple)


def test_a_folder_of_openpose_files_is_none_of_kinetics(tmp_path: Path) -> None:
    from stgcn_deploy.data.formats.kinetics_json import FORMAT as RELEASED

    place = _released(tmp_path)
    assert RELEASED.recognises(place)
    (place / "v_000000000000_keypoints.json").write_text('{"people": []}', encoding="utf-8")
    assert not RELEASED.recognises(place)
    assert not RELEASED.recognises(tmp_path / "absent")


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b"{", b"", b"1" * 5000])
def test_text_that_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(FileUnreadableError, match=r"a\.json is no valid JSON"):
        load_json(tmp_path / "a.json")


def test_json_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" + "1," * 1000 + "1]", encoding="utf-8")
    with pytest.raises(FileUnreadableError, match=r"exceeds 0 MiB; do this\."):
        load_json(path, most_bytes=1000, advice="do this.")
