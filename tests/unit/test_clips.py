"""One clip from a file, whoever wrote it; and no code of the file's."""

from __future__ import annotations

import collections
import json
import os
import pickle
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.data.formats import read_recording
from stgcn_deploy.data.safe_pickle import load_pickle
from stgcn_deploy.errors import (
    ClipError,
    DataError,
    FileUnreadableError,
    StgcnError,
    UnsafeFileError,
)

SHAPE = (2, 6, 4, 3)


def _clip() -> np.ndarray:
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def _npy(folder: Path, value: Any, **options: Any) -> Path:
    np.save(folder / "clip.npy", value, **options)
    return folder / "clip.npy"


def _json(folder: Path, value: Any) -> Path:
    (folder / "clip.json").write_text(json.dumps(value), encoding="utf-8")
    return folder / "clip.json"


def _pkl(folder: Path, value: Any, protocol: int = 4) -> Path:
    (folder / "clip.pkl").write_bytes(pickle.dumps(value, protocol))
    return folder / "clip.pkl"


def _annotation(**others: Any) -> dict[str, Any]:
    clip = _clip()
    return {
        "frame_dir": "v1",
        "label": 3,
        "img_shape": (240, 320),
        "keypoint": clip[..., :2].astype(np.float16),
        "keypoint_score": clip[..., 2].astype(np.float16),
    } | others


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)


# ---- what is read ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.uint8])
def test_numbers_of_any_kind_become_float32(tmp_path: Path, dtype: Any) -> None:
    found = read_recording(_npy(tmp_path, (_clip() * 10).astype(dtype)))
    assert found.clip.dtype == np.float32
    assert found.clip.shape == SHAPE
    assert found.layout is None
    assert found.image_size is None


def test_one_person_may_leave_out_the_first_axis(tmp_path: Path) -> None:
    assert read_recording(_npy(tmp_path, _clip()[0])).clip.shape == (1, *SHAPE[1:])


def test_json_holds_the_same_numbers(tmp_path: Path) -> None:
    found = read_recording(_json(tmp_path, _clip().tolist()))
    assert np.allclose(found.clip, _clip())


def test_json_may_name_its_layout(tmp_path: Path) -> None:
    found = read_recording(_json(tmp_path, {"keypoints": _clip().tolist(), "layout": "coco17"}))
    assert found.layout == "coco17"


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_an_annotation_is_read_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    found = read_recording(_pkl(tmp_path, _annotation(), protocol))
    assert found.clip.shape == SHAPE
    assert found.image_size == (320, 240)
    assert np.allclose(found.clip, _clip(), atol=1e-2)


def test_an_annotation_without_scores_keeps_its_channels(tmp_path: Path) -> None:
    value = _annotation(keypoint=_clip())
    del value["keypoint_score"], value["img_shape"]
    found = read_recording(_pkl(tmp_path, value))
    assert np.array_equal(found.clip, _clip())
    assert found.image_size is None


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3,), (6, 3), (1, 1, 2, 3, 4, 5)])
def test_another_number_of_axes_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ClipError, match=r"expected \(M, T, V, C\)"):
        read_recording(_npy(tmp_path, np.zeros(shape)))


@pytest.mark.parametrize(
    "value",
    [
        np.array([["a", "b"]]),
        np.array([[["1", "2"]]]),
        np.zeros((1, 2, 3, 2), dtype=np.complex64),
        np.zeros((1, 2, 3, 2), dtype="datetime64[s]"),
        np.zeros((1, 2, 3), dtype=[("x", "f4"), ("y", "f4")]),
        np.zeros((1, 2, 3, 2), dtype="V4"),
    ],
    ids=lambda value: str(value.dtype),
)
def test_an_array_of_something_else_is_refused(tmp_path: Path, value: np.ndarray) -> None:
    with pytest.raises(ClipError, match=r"clip\.npy"):
        read_recording(_npy(tmp_path, value))


def test_an_array_of_objects_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    value = np.array([Bomb(marker)], dtype=object)
    with pytest.raises(FileUnreadableError, match=r"clip\.npy"):
        read_recording(_npy(tmp_path, value, allow_pickle=True))
    assert not marker.exists()


@pytest.mark.parametrize("size", [0, 1, 5, 20, 100, 200])
def test_a_truncated_array_is_refused(tmp_path: Path, size: int) -> None:
    path = _npy(tmp_path, _clip())
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FileUnreadableError, match=r"clip\.npy is (no readable|cut short)"):
        read_recording(path)


def test_an_array_that_claims_to_be_endless_is_refused(tmp_path: Path) -> None:
    path = _npy(tmp_path, np.zeros((1, 2, 3, 2), np.float32))
    data = path.read_bytes().replace(b"(1, 2, 3, 2), }", b"(99999999,9999999,), }"[:15])
    header = data.index(b"(")
    claim = b"(9999, 99999, 9999, 999), }"
    data = data[:header] + claim + b" " * (127 - header - len(claim)) + data[127:]
    path.write_bytes(data)
    with pytest.raises(StgcnError, match=r"clip\.npy"):
        read_recording(path)


def test_several_arrays_in_one_file_are_no_clip(tmp_path: Path) -> None:
    np.savez(tmp_path / "several.npz", a=_clip())
    path = (tmp_path / "several.npz").rename(tmp_path / "clip.npy")
    with pytest.raises(StgcnError, match=r"clip\.npy"):
        read_recording(path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1, 2", b"\xff\xfe", b"[" * 200_000], ids=lambda content: content[:3]
)
def test_broken_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.json"
    path.write_bytes(content)
    with pytest.raises(FileUnreadableError, match=r"clip\.json is no valid JSON"):
        read_recording(path)


@pytest.mark.parametrize(
    "value",
    [
        "text",
        None,
        True,
        [[1, 2], [3]],
        [["a"]],
        {"points": []},
        {"keypoints": {"nose": [1, 2]}},
        {"keypoints": None},
        {},
    ],
    ids=str,
)
def test_json_of_something_else_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ClipError, match=r"clip\.json"):
        read_recording(_json(tmp_path, value))


@pytest.mark.parametrize("layout", [7, ["coco17"], {"name": "coco17"}, True])
def test_a_layout_that_is_no_name_is_refused(tmp_path: Path, layout: Any) -> None:
    value = {"keypoints": _clip().tolist(), "layout": layout}
    with pytest.raises(ClipError, match="layout"):
        read_recording(_json(tmp_path, value))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "record 0: int, expected a dict with a keypoint"),
        ({"keypoints": 1}, 'no "keypoint"'),
        ({"split": {}, "annotations": []}, "holds no annotation"),
        (_annotation(keypoint="text"), r"expected numbers \(M, T, V, C\)"),
        (_annotation(keypoint=[[1], [1, 2]]), "not a regular array"),
        (_annotation(keypoint_score=np.zeros((2, 5, 4))), "keypoint_score has shape"),
        (_annotation(keypoint_score="text"), "keypoint_score"),
        (_annotation(keypoint_score=[[1], [1, 2]]), "keypoint_score"),
        (_annotation(img_shape=(240,)), "img_shape"),
        (_annotation(img_shape=240), "img_shape"),
        (_annotation(img_shape=("a", "b")), "img_shape"),
        (_annotation(img_shape=(0, 0)), "img_shape"),
        (_annotation(img_shape=(-240, 320)), "img_shape"),
        (_annotation(img_shape=(float("nan"), 320)), "img_shape"),
    ],
)
def test_an_annotation_with_a_wrong_field_is_refused(
    tmp_path: Path, value: Any, message: str
) -> None:
    with pytest.raises((ClipError, DataError), match=message):
        read_recording(_pkl(tmp_path, value))


@pytest.mark.parametrize("name", ["clip.txt", "clip", "clip.NPY.gz", "folder.npy"])
def test_an_unknown_kind_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.npy").mkdir()
    if name != "folder.npy":
        (tmp_path / name).touch()
    with pytest.raises(FileUnreadableError, match=r"no format recognises it\. Known are clip: "):
        read_recording(tmp_path / name)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadableError, match="does not exist"):
        read_recording(tmp_path / "absent.npy")


# ---- pickles ---------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: {"keypoint": b}, lambda b: [1, [b]]])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_would_run_code_is_refused_before_it_does(
    tmp_path: Path, wrap: Any, protocol: int
) -> None:
    marker = tmp_path / "ran"
    with pytest.raises(UnsafeFileError, match=r"clip\.pkl: the file asks for posix\.mkdir"):
        load_pickle(_pkl(tmp_path, wrap(Bomb(marker)), protocol))
    assert not marker.exists()


@pytest.mark.parametrize(
    "value",
    [
        {"a": np.arange(6.0).reshape(2, 3), "b": [1, "two", None, True]},
        np.float32(2.5),
        collections.OrderedDict(a=1),
        {1, 2},
        (np.int64(3), b"bytes", 1 + 2j),
        np.array(["text"]),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_and_plain_containers_are_read(tmp_path: Path, value: Any, protocol: int) -> None:
    found = load_pickle(_pkl(tmp_path, value, protocol))
    # Arrays may be of a subclass; np.array_equal and dtype tell whether they are the same.
    plain = json.dumps(found, default=_plain, sort_keys=True)
    assert plain == json.dumps(value, default=_plain, sort_keys=True)
    assert isinstance(found, type(value))


def _plain(value: Any) -> Any:
    """What JSON does not know, with its type."""
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.shape, value.tolist()]
    return [type(value).__name__, sorted(value) if isinstance(value, set) else repr(value)]


@pytest.mark.parametrize(
    "content",
    [b"]r\xff\xff\xff\xff.", b"]r\xff\xff\xff\x7f.", b"]" * 20_000 + b"a" * 19_999 + b".",
     b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", b"c__builtin__\nbytearray\n(I2000000000\ntR."],
    ids=["memo", "memo-signed", "deep", "long-text", "bytearray"],
)  # fmt: skip
def test_a_few_bytes_cannot_ask_for_much_memory(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.pkl"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with suppress(StgcnError):
            load_pickle(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "value",
    [Path("a"), collections.Counter(), print, os.system, np.load, np.random.default_rng(0)],
    ids=lambda value: type(value).__name__,
)
def test_any_other_object_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(UnsafeFileError, match="Save it again as"):
        load_pickle(_pkl(tmp_path, value))


@pytest.mark.parametrize("inside", [False, True])
def test_arrays_of_objects_are_refused(tmp_path: Path, inside: bool) -> None:
    value = np.array([{"a": 1}], dtype=object)
    with pytest.raises(StgcnError, match=r"clip\.pkl"):
        read_recording(_pkl(tmp_path, {"keypoint": value} if inside else value))


def test_any_bytes_are_read_or_refused_as_an_error_of_ours(tmp_path: Path) -> None:
    whole = pickle.dumps(_annotation(), 4)
    path = tmp_path / "clip.pkl"

    @given(
        st.integers(0, len(whole)),
        st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), max_size=3),
    )
    def try_it(length: int, changes: list[tuple[int, int]]) -> None:
        data = bytearray(whole[:length])
        for place, value in changes:
            if place < len(data):
                data[place] = value
        path.write_bytes(data)
        try:
            read_recording(path)
        except StgcnError:
            return

    try_it()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b"\x80\x04",
        b"\x80\x04h\x00.",
        b"\x80\x04K\x01R.",
        b"\x80\x63.",
        b"0",
        b".",
        # Frames and bytes that claim more than any machine has.
        b"\x80\x04\x95" + (1 << 46).to_bytes(8, "little"),
        b"\x80\x04\x95" + b"\xff" * 8,
        b"\x80\x04\x8e" + (1 << 46).to_bytes(8, "little"),
    ],
    ids=repr,
)
def test_a_broken_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.pkl"
    path.write_bytes(content)
    with pytest.raises(FileUnreadableError, match=r"clip\.pkl is no complete pickle"):
        load_pickle(path)


def test_a_missing_pickle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadableError, match="cannot read"):
        load_pickle(tmp_path / "absent.pkl")
