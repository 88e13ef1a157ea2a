"""Our stream of key points: lines, files of several recordings, and what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.data.dataset import Header, ReadOptions
from stgcn_deploy.data.formats import keypoint_lines, keypoints_jsonl, open_dataset
from stgcn_deploy.data.formats.keypoint_lines import Frame, KeypointLines, StreamHeader, lines
from stgcn_deploy.data.formats.keypoints_jsonl import FORMAT, KeypointFile
from stgcn_deploy.data.recording import UNLABELLED, Recording
from stgcn_deploy.errors import DataError, FileUnreadableError, OutputExistsError, StgcnError

V = 17
HEADER = {
    "format": "stgcn-keypoints",
    "version": 1,
    "layout": "coco17",
    "fps": 25.0,
    "image_size": [1920, 1080],
    "channels": "xys",
}


def person(number: int, value: float = 1.0, **others: Any) -> dict[str, Any]:
    return {"id": number, "keypoints": [[value, value + 1, 0.5]] * V} | others


def frame(t: float, *persons: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"t": t, "persons": list(persons)} | others


def write(folder: Path, *objects: Any) -> Path:
    path = folder / "stream.jsonl"
    text = "".join((o if isinstance(o, str) else json.dumps(o)) + "\n" for o in objects)
    path.write_text(text, encoding="utf-8")
    return path


def opened(path: Path) -> KeypointFile:
    found = open_dataset(path)
    assert isinstance(found, KeypointFile)
    return found


def test_persons_take_slots_as_they_appear_and_gaps_stay_empty(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        HEADER | {"name": "lobby"},
        frame(10.0, person(7, 1)),
        frame(10.04, person(3, 2), person(7, 3)),
        frame(10.121, person(3, 4)),
    )
    (one,) = opened(path)
    assert one.clip.shape == (2, 4, V, 3)
    assert one.clip.dtype == np.float32
    np.testing.assert_array_equal(one.clip[:, :, 0, 0], [[1, 3, 0, 0], [0, 2, 0, 4]])
    assert (one.layout, one.image_size, one.fps) == ("coco17", (1920, 1080), 25.0)
    assert (one.name, one.raw, one.label) == ("lobby", True, UNLABELLED)


def test_a_label_that_all_frames_have_is_the_recordings(tmp_path: Path) -> None:
    same = [frame(t / 25, person(1), label=3) for t in range(4)]
    other = [frame(t / 25, person(1), label=t // 2) for t in range(4)]
    some = [frame(0, person(1), label=1), frame(0.04, person(1)), frame(0.08, label=1)]
    path = write(tmp_path, HEADER, *same, HEADER, *other, HEADER, *some)
    data = opened(path)
    assert data.labels.tolist() == [3, UNLABELLED, UNLABELLED]
    assert data.segments(0) == [(3, 0.0, pytest.approx(0.16))]
    assert data.segments(1) == [(0, 0.0, 0.08), (1, 0.08, pytest.approx(0.16))]
    assert data.segments(2) == [(1, 0.0, 0.04), (1, 0.08, pytest.approx(0.12))]


def test_null_joints_are_not_there_and_unknown_fields_are_passed_over(tmp_path: Path) -> None:
    one = person(1, score=0.9, box=[0, 0, 5, 5], mood="good")
    one["keypoints"] = [None, *one["keypoints"][1:]]
    path = write(tmp_path, HEADER | {"camera": 4}, "", frame(0, one, seen=True))
    clip = opened(path)[0].clip
    assert not clip[0, 0, 0].any()
    assert clip[0, 0, 1:].all()


def test_header_persons_fix_the_slots(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER | {"persons": [5, 1]}, frame(0, person(1)))
    assert opened(path)[0].clip[:, 0, 0, 0].tolist() == [0, 1]


def test_joints_of_no_known_layout_are_counted(tmp_path: Path) -> None:
    unknown = HEADER | {"layout": None, "channels": "xy", "image_size": None}
    points = {"id": 0, "keypoints": [[1, 2]] * 5}
    path = write(tmp_path, unknown, frame(0, points))
    assert opened(path)[0].clip.shape == (1, 1, 5, 2)
    more = {"id": 0, "keypoints": [[1, 2]] * 6}
    with pytest.raises(DataError, match=r"line 3: person 0 has 6 joints, expected 5"):
        opened(write(tmp_path, unknown, frame(0, points), frame(1, more)))[0]
    assert opened(write(tmp_path, unknown, frame(0, points), HEADER, frame(0, person(1))))[1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": "other"}, 'expected "stgcn-keypoints"'),
        ({"version": 2}, "version is 2"),
        ({"version": True}, "version is True"),
        ({"layout": "cocoo17"}, "did you mean 'coco17'"),
        ({"layout": 5}, "unknown layout 5"),
        ({"fps": 0}, "fps is 0"),
        ({"fps": None}, "fps is None"),
        ({"fps": 1e400}, "fps is inf"),
        ({"channels": "yx"}, "channels is 'yx'"),
        ({"channels": ["xys"]}, "channels is"),
        ({"image_size": [0, 5]}, "two whole numbers"),
        ({"classes": [1]}, "classes"),
        ({"persons": [1, 1]}, "different ids"),
        ({"name": 3}, "name a text"),
        ({"raw": 1}, "raw is true or false"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = write(tmp_path, HEADER | changed, frame(0, person(1)))
    with pytest.raises(DataError, match=message) as error:
        open_dataset(path, format="keypoints-jsonl")
    assert "stream.jsonl, line 1" in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "no JSON object"),
        ('{"t": 1, "persons": [' + "[" * 100_000, "no JSON object"),
        ("[1]", "list, expected an object"),
        (frame(0, person(1)), "times ascend"),
        (frame(float("nan"), person(1)), "t is nan"),
        (frame(1e300, person(1)), "t is 1e"),
        ({"t": "1", "persons": []}, "t is '1'"),
        ({"t": 1}, "no list of at most"),
        (frame(1, person(1), person(1)), "two persons have one id, 1"),
        (frame(1, person(True)), '"id"'),
        (frame(1, {"id": 1, "keypoints": [[1, 2, 3]] * 16}), "16 joints, expected 17"),
        (frame(1, {"id": 1, "keypoints": [[1, 2]] * 17}), "not 17 joints"),
        (frame(1, {"id": 1, "keypoints": [["1", "2", "3"]] * 17}), "not 17 joints"),
        (frame(1, {"id": 1, "keypoints": [[10**400, 2, 3]] * 17}), "not 17 joints"),
        (frame(1, {"id": 1, "keypoints": [[1, 2, [3]]] * 17}), "not 17 joints"),
        (frame(1, {"id": 1, "keypoints": [[1e300, 2, 3]] * 17}), "NaN or infinity"),
        (frame(1, {"id": 1}), "no list of 17 joints"),
        (frame(1, person(1, score="high")), "score"),
        (frame(1, person(1, box=[1, 2])), "box"),
        (frame(1, label=-7), "label is -7"),
        (frame(1, label=1.5), "label is 1.5"),
    ],
)
def test_a_wrong_line_spoils_its_recording_only(tmp_path: Path, line: Any, message: str) -> None:
    path = write(tmp_path, HEADER, frame(0, person(1)), line, HEADER, frame(0, person(2), label=1))
    data = opened(path)
    assert len(data) == 2
    with pytest.raises(DataError, match=message) as error:
        data[0]
    assert "stream.jsonl, line 3" in str(error.value)
    assert data[1].clip.shape == (1, 1, V, 3)


def test_files_without_header_or_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="before any header"):
        open_dataset(write(tmp_path, frame(0, person(1))), format="keypoints-jsonl")
    with pytest.raises(DataError, match="is empty"):
        open_dataset(write(tmp_path), format="keypoints-jsonl")
    with pytest.raises(DataError, match="record 0: a header without frames"):
        opened(write(tmp_path, HEADER))[0]
    with pytest.raises(DataError, match="no layout that says how many joints"):
        opened(write(tmp_path, HEADER | {"layout": None}, frame(0)))[0]
    with pytest.raises(DataError, match="line 3: other classes than in line 1"):
        open_dataset(
            write(tmp_path, HEADER | {"classes": ["a"]}, frame(0), HEADER | {"classes": ["b"]})
        )
    with pytest.raises(FileUnreadableError, match="no format recognises"):
        open_dataset(write(tmp_path, {"some": "json"}))


def test_a_file_cut_in_a_line_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, frame(0, person(1)), frame(1, person(1)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="line 3: no JSON"):
        opened(path)[0]


def test_a_clip_out_of_proportion_to_its_file_is_not_made(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER | {"fps": 10_000}, frame(0, person(1)), frame(1e6, person(1)))
    with pytest.raises(DataError, match="is t in seconds"):
        opened(path)[0]


def test_long_lines_are_not_read_to_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keypoint_lines, "MAX_LINE", 4000)
    assert [len(line) for line in lines(io.BytesIO(b"x" * 10_000))] == [4001]
    path = write(tmp_path, HEADER, frame(0, person(1)), "x" * 5000)
    with pytest.raises(DataError, match="line 3: longer than"):
        opened(path)[0]


def test_a_stream_goes_on_after_a_wrong_line() -> None:
    reader = KeypointLines("camera 1")
    assert isinstance(reader.read(json.dumps(HEADER)), StreamHeader)
    with pytest.raises(DataError, match="camera 1, line 2"):
        reader.read("broken")
    assert reader.read(b"\n") is None
    found = reader.read(json.dumps(frame(5, person(1, score=0.5, box=[1, 2, 3, 4]))))
    assert isinstance(found, Frame)
    assert found.persons[0].score == 0.5
    assert found.persons[0].box == (1, 2, 3, 4)


def recording(**others: Any) -> Recording:
    clip = np.random.default_rng(0).uniform(1, 9, (2, 5, V, 3)).astype(np.float32)
    clip[0, :2] = 0
    clip[1, 4, 3] = 0
    return Recording(clip, "coco17", (320, 240), raw=True, name="a", label=2, fps=30.0, **others)


def test_what_is_written_is_read_again_exactly(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    first = recording()
    second = Recording(first.clip[:1, :, :, :2], "coco17", None, raw=False, name="b", fps=12.5)
    third = Recording(np.ones((1, 2, 25, 3), np.float32), "ntu25", raw=True, name="c", fps=30)
    empty = Recording(np.zeros((1, 2, V, 3), np.float32), "coco17", raw=True, name="d", fps=30)
    wrote = [first, second, third, empty]
    report = FORMAT.write(path, wrote, Header(4, classes=("x", "y", "z")))
    assert report["records"] == 4
    assert report["files"] == {"out.jsonl": path.stat().st_size}
    data = opened(path)
    assert data.classes == ("x", "y", "z")
    for index, (one, found) in enumerate(zip(wrote, data, strict=True)):
        np.testing.assert_array_equal(found.clip, one.clip)
        for key in ("layout", "image_size", "raw", "name", "label", "fps"):
            assert getattr(found, key) == getattr(one, key), (index, key)


def test_joints_without_numbers_are_written_as_null(tmp_path: Path) -> None:
    one = recording()
    one.clip[1, 0, 0, 1] = np.nan
    report = FORMAT.write(tmp_path / "out.jsonl", [one], Header(1))
    assert report["joints_written_null"] == 1
    assert not opened(tmp_path / "out.jsonl")[0].clip[1, 0, 0].any()


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (Recording(np.ones((1, 2, 17, 3)), "coco17"), "--fps"),
        (Recording(np.ones((1, 2, 17, 3)), None, fps=5), "--layout"),
        (Recording(np.ones((1, 2, 17, 5)), "coco17", fps=5), "5 channels"),
        (Recording(np.ones((300, 1, 2, 2)), None, fps=5), "300 persons"),
    ],
)
def test_what_a_stream_cannot_say_is_not_written(
    tmp_path: Path, one: Recording, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        FORMAT.write(tmp_path / "out.jsonl", [one], Header(1))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    FORMAT.write(path, [recording()], Header(1))
    with pytest.raises(OutputExistsError):
        FORMAT.write(path, [recording()], Header(1))
    FORMAT.write(path, [recording(), recording()], Header(2), force=True)
    assert len(opened(path)) == 2


@given(st.data())
def test_damaged_files_end_in_errors_of_ours(data: st.DataObject) -> None:
    good = "\n".join(map(json.dumps, (HEADER, frame(0, person(1)), frame(0.04, person(2)))))
    raw = bytearray(good.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.jsonl"
        path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
        try:
            for one in keypoints_jsonl.FORMAT.open(path, ReadOptions()):
                assert one.clip.ndim == 4
        except StgcnError:
            pass
