"""MediaPipe landmarks in JSON and CSV, in the spellings that people use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgcn_deploy.data.dataset import Dataset, ReadOptions
from stgcn_deploy.data.formats import open_dataset
from stgcn_deploy.errors import DataError, FileUnreadableError
from stgcn_deploy.skeleton.layouts import LAYOUTS

V = 33
NAMES = LAYOUTS["mediapipe33"].joints


def pose(value: float, joints: int = V, visibility: bool = True) -> list[dict[str, float]]:
    extra = {"visibility": 0.9} if visibility else {}
    return [{"x": value + j / 100, "y": value, "z": -0.5} | extra for j in range(joints)]


def arrays(value: float, count: int = 4) -> list[list[float]]:
    return [[value + j / 100, value, -0.5, 0.9][:count] for j in range(V)]


def written(folder: Path, value: Any, name: str = "walk.json") -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def opened(path: Path, **options: Any) -> Dataset:
    return open_dataset(path, ReadOptions(**options))


def expected(values: list[float | None], channels: int = 3) -> np.ndarray:
    clip = np.zeros((1, len(values), V, 3), np.float32)
    for frame, value in enumerate(values):
        if value is not None:
            clip[0, frame] = [[value + j / 100, value, 0.9] for j in range(V)]
    return clip[..., :channels]


@pytest.mark.parametrize(
    "make",
    [
        lambda v: v,
        lambda v: {"frames": v},
        lambda v: {"frames": [{"landmarks": one, "frame": 3} for one in v]},
        lambda v: {"frames": [{"pose_landmarks": one and [one]} for one in v]},
        lambda v: [one and [{"landmarks": one}] for one in v],
    ],
)
def test_json_of_any_nesting_gives_one_clip(tmp_path: Path, make: Callable[[Any], Any]) -> None:
    data = opened(written(tmp_path, make([None, pose(0.1), [], pose(0.3)])))
    assert data.format == "mediapipe"
    one = data[0]
    np.testing.assert_allclose(one.clip, expected([None, 0.1, None, 0.3]), rtol=1e-6)
    assert (one.layout, one.raw, one.image_size, one.name) == ("mediapipe33", True, None, "walk")


def test_bare_arrays_are_read_when_the_format_is_named(tmp_path: Path) -> None:
    for count, channels in ((4, 3), (3, 2), (2, 2)):
        path = written(tmp_path, [arrays(0.1, count), None])
        clip = open_dataset(path, format="mediapipe")[0].clip
        np.testing.assert_allclose(clip, expected([0.1, None], channels), rtol=1e-6)


def test_visibility_is_not_made_up(tmp_path: Path) -> None:
    hand = written(tmp_path, [pose(0.2, 21, visibility=False)])
    one = opened(hand)[0]
    assert one.clip.shape == (1, 1, 21, 2)
    assert one.layout == "handmp21"
    mixed = [pose(0.1), pose(0.1, visibility=False)]
    with pytest.raises(DataError, match="frame 1: visibility of some landmarks"):
        opened(written(tmp_path, mixed))[0]


def test_several_persons_fps_and_pixels(tmp_path: Path) -> None:
    path = written(tmp_path, {"fps": 30, "frames": [[pose(0.1), pose(0.5)], [pose(0.2)]]})
    one = opened(path)[0]
    assert (one.clip.shape, one.fps) == ((2, 2, V, 3), 30)
    assert not one.clip[1, 1].any()
    sized = opened(path, image_size=(640, 480))[0]
    assert sized.image_size == (640, 480)
    np.testing.assert_allclose(sized.clip[0, 0, 0], [64, 48, 0.9], rtol=1e-6)


def wide(spell: Callable[[int, str], str], axes: str = "xyzv", **others: Any) -> str:
    head = [*others, *(spell(j, axis) for j in range(V) for axis in axes)]
    numbers = {"y": 0.1, "z": -0.5, "v": 0.9}
    cells = [str(numbers.get(axis, 0.1 + j / 100)) for j in range(V) for axis in axes]
    first = [str(value) for value in others.values()]
    return "\n".join([",".join(head), ",".join(first + cells), ",".join(first + [""] * len(cells))])


@pytest.mark.parametrize(
    "spell",
    [
        lambda j, axis: f"{axis}{j}",
        lambda j, axis: f"{axis}{j + 1}",
        lambda j, axis: f"{axis}_{j}",
        lambda j, axis: f"{j}_{axis}",
        lambda j, axis: f"landmark_{j}_{axis}",
        lambda j, axis: f"{NAMES[j]}_{'visibility' if axis == 'v' else axis}",
        lambda j, axis: f"{NAMES[j].upper()}_{axis}"
        .replace("LEFT_MOUTH", "MOUTH_LEFT").replace("RIGHT_MOUTH", "MOUTH_RIGHT"),
    ],
)  # fmt: skip
def test_wide_tables_in_all_spellings(tmp_path: Path, spell: Callable[[int, str], str]) -> None:
    data = opened(written(tmp_path, wide(spell, label="jump"), "walk.csv"))
    assert data.format == "mediapipe"
    np.testing.assert_allclose(data[0].clip, expected([0.1, None]), rtol=1e-5)


def test_wide_tables_without_visibility_and_with_frames(tmp_path: Path) -> None:
    text = wide(lambda j, axis: f"{axis}{j}", "xyz")
    assert opened(written(tmp_path, text, "a.csv"))[0].clip.shape == (1, 2, V, 2)
    lines = wide(lambda j, axis: f"{axis}{j}", frame=7).splitlines()
    lines[2] = lines[1].replace("7,", "10,", 1)
    clip = opened(written(tmp_path, "\n".join(lines), "a.csv"))[0].clip
    np.testing.assert_allclose(clip, expected([0.1, None, None, 0.1]), rtol=1e-5)


@pytest.mark.parametrize("by_name", [True, False])
def test_long_tables(tmp_path: Path, by_name: bool) -> None:
    rows = ["frame,person,landmark,x,y,z,visibility"]
    for frame, value in ((1, 0.1), (3, 0.3)):
        rows += [
            f"{frame},0,{NAMES[j] if by_name else j},{value + j / 100},{value},0,0.9"
            for j in range(V)
        ]
    clip = opened(written(tmp_path, "\n".join(rows), "a.csv"))[0].clip
    np.testing.assert_allclose(clip, expected([0.1, None, 0.3]), rtol=1e-5)


def test_a_folder_of_files_is_many_recordings(tmp_path: Path) -> None:
    for name in ("b", "a"):
        written(tmp_path, [pose(0.1)], f"{name}.json")
    (tmp_path.parent / "labels.csv").write_text("a,3\nb,1\n")
    data = opened(tmp_path, labels=tmp_path.parent / "labels.csv")
    assert (data.format, data.labels.tolist()) == ("mediapipe", [3, 1])
    assert [one.name for one in data] == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"frames": []}, "no list of 1 to"),
        ({"frames": 3}, "no list of 1 to"),
        ({"frames": [3]}, "frame 0: int"),
        ({"frames": [{}]}, 'no "landmarks"'),
        ({"frames": [pose(0, 17)]}, "17 landmarks, expected 33 or 21"),
        ({"frames": [pose(0), pose(0, 21)]}, "frame 1: 21 landmarks, expected 33"),
        ({"frames": [[{"x": "a", "y": 1}] * V]}, "frame 0, landmark 0"),
        ({"frames": [[{"x": 1}] * V]}, "landmark 0"),
        ({"frames": [[True] * V]}, "landmark 0"),
        ({"frames": [[[1, 2, 3, 4, 5]] * V]}, "33 landmarks|landmark 0|5 landmarks"),
        ({"frames": [[pose(0), 3]]}, "a person is no list"),
        ({"frames": [None]}, "nobody in any frame"),
        ({"frames": [[pose(0)] * 65]}, "65 persons"),
    ],
)
def test_wrong_json_is_refused(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(written(tmp_path, value))[0]


def test_nobody_in_any_frame_is_a_recording_once_the_layout_is_known(tmp_path: Path) -> None:
    path = written(tmp_path, {"frames": [None, None]})
    assert opened(path, layout="mediapipe33")[0].clip.shape == (1, 2, V, 2)


def number(j: int, axis: str) -> str:
    return f"{axis}{j}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (wide(number).splitlines()[0], "a line of names and no other"),
        (wide(number).replace("0.9", "high"), "line 2: .* are no numbers"),
        (wide(number).replace("0.9", "inf"), "line 2: .* finite"),
        (wide(number) + "\n1,2", "line 4: 2 cells"),
        (wide(number).replace("x32", "x7"), "two columns are 'x7'"),
        (wide(number).replace("v32", "q"), "the same columns"),
        (wide(lambda j, axis: f"{axis}{j + 5}"), "counted from 5"),
        (wide(number, frame="a"), "frame is 'a'"),
        ("frame,landmark,x,y\n0,40,1,1", "landmark is '40'"),
        ("frame,landmark,x,y\n0,tail,1,1", "landmark is 'tail'"),
        ("frame,landmark,x,y\n0,5,1,1", "last landmark is 5"),
        ("landmark,x,y\n0,1,1", "no column says the frame"),
        ("x0,y0\n1,1", "columns of 1 landmarks"),
        ("nose_x,nose_y\n1,1", "columns of 1 landmarks by name"),
        ("a,b\n1,1", "names no columns of landmarks"),
        ("", "names no columns of landmarks"),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(written(tmp_path, text, "a.csv"), format="mediapipe")[0]


def test_frames_out_of_proportion_are_not_made(tmp_path: Path) -> None:
    rows = ["frame,landmark,x,y", *(f"{frame},32,1,1" for frame in (0, 999_999_999))]
    with pytest.raises(DataError, match="too large"):
        opened(written(tmp_path, "\n".join(rows), "a.csv"))[0]


def test_what_is_no_table_of_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"x0,y0\n\xff\xfe\x00")
    with pytest.raises((FileUnreadableError, DataError)):
        open_dataset(path, format="mediapipe")[0]
    assert written(tmp_path, "name,label\nwalk,3\n", "labels.csv").is_file()
    with pytest.raises(FileUnreadableError, match="no format recognises"):
        open_dataset(tmp_path / "labels.csv")
