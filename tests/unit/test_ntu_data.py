"""NTU RGB+D: .skeleton texts, and CTR-GCN's .npz."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.data.formats import open_dataset, read_recording
from stgcn_deploy.data.npyfile import NpyFile
from stgcn_deploy.errors import DataError, FileUnreadableError, StgcnError
from stgcn_deploy.skeleton.contract import Sequence, Step, apply_steps

NAME = "S001C002P003R002A058"


def _body(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(25, 3)).astype(np.float32)


def _text(frames: list[dict[str, np.ndarray]]) -> str:
    """Frames of {body ID: (25, 3)} as the data set writes them."""
    lines = [str(len(frames))]
    for frame in frames:
        lines.append(str(len(frame)))
        for body, joints in frame.items():
            lines += [f"{body} 0 1 1 0 0 0 -0.01 0.25 2", "25"]
            lines += [
                f"{x!s} {y!s} {z!s} 245.3 191.8 1033.4 NaN -0.2 0.01 0.02 0.9 2"
                for x, y, z in joints
            ]
    return "\n".join(lines) + "\n"


FRAMES = [
    {},
    {"72057594037931101": _body(0)},
    {"72057594037931102": _body(1), "72057594037931101": _body(2)},
    {},
]


def _skeleton(folder: Path, text: str | None = None, name: str = NAME) -> Path:
    path = folder / f"{name}.skeleton"
    path.write_text(_text(FRAMES) if text is None else text, encoding="utf-8")
    return path


# ---- .skeleton -------------------------------------------------------------------------------


def test_bodies_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    one = read_recording(_skeleton(tmp_path))
    wanted = np.zeros((2, 4, 25, 3), np.float32)
    wanted[0, 1], wanted[0, 2], wanted[1, 2] = _body(0), _body(2), _body(1)
    assert np.array_equal(one.clip, wanted)
    assert one.clip.dtype == np.float32
    assert (one.layout, one.raw, one.fps, one.image_size) == ("ntu25", True, 30.0, None)
    assert (one.name, one.label) == (NAME, 57)


def test_lines_may_end_as_on_windows_and_in_blanks(tmp_path: Path) -> None:
    text = _text(FRAMES).replace("\n", "  \r\n") + "\r\n\r\n"
    path = tmp_path / f"{NAME}.skeleton"
    path.write_bytes(text.encode())
    assert np.array_equal(
        read_recording(path).clip, read_recording(_skeleton(tmp_path, name="b")).clip
    )


def test_a_recording_of_nobody_is_one_of_an_empty_person(tmp_path: Path) -> None:
    clip = read_recording(_skeleton(tmp_path, _text([{}, {}, {}]))).clip
    assert clip.shape == (1, 3, 25, 3)
    assert not clip.any()


def test_of_many_ids_those_seen_most_are_kept_in_their_order(tmp_path: Path) -> None:
    frames = [{f"ghost{number}": _body(number)} for number in range(12)]
    frames += [{"late": _body(50)}, {"late": _body(51)}]
    clip = read_recording(_skeleton(tmp_path, _text(frames))).clip
    assert clip.shape == (10, 14, 25, 3)
    assert np.array_equal(clip[0, 0], _body(0))
    assert np.array_equal(clip[9, 13], _body(51))
    assert np.array_equal(clip[8, 8], _body(8))


def test_a_name_that_says_nothing_gives_no_label(tmp_path: Path) -> None:
    data = open_dataset(_skeleton(tmp_path, name="mine"))
    assert data.labels.tolist() == [-1]
    assert data.splits == {}
    assert open_dataset(_skeleton(tmp_path, name="S001C001P001R001A000")).labels.tolist() == [-1]


# Name -> the splits of NTU 120 it belongs to, by hand from the two papers.
PROTOCOLS = {
    "S001C001P001R001A001": {"xsub_train", "xview_val", "xsub120_train", "xset_val"},
    "S001C002P003R001A060": {"xsub_val", "xview_train", "xsub120_val", "xset_val"},
    "S002C003P038R002A009": {"xsub_train", "xview_train", "xsub120_train", "xset_train"},
    "S018C001P045R001A061": {"xsub120_train", "xset_train"},
    "S031C003P044R001A120": {"xsub120_val", "xset_val"},
    "S032C002P103R001A100": {"xsub120_train", "xset_train"},
}


def test_splits_are_those_of_the_papers(tmp_path: Path) -> None:
    for name in PROTOCOLS:
        _skeleton(tmp_path, "1\n0\n", name)
    data = open_dataset(tmp_path)
    assert (data.format, len(data)) == ("ntu-skeleton", 6)
    assert data.labels.tolist() == [0, 59, 8, 60, 119, 99]
    for index, (name, wanted) in enumerate(PROTOCOLS.items()):
        assert data.name(index) == name
        assert {split for split, numbers in data.splits.items() if index in numbers} == wanted


def test_a_folder_of_the_first_sixty_has_their_splits_alone(tmp_path: Path) -> None:
    for name in list(PROTOCOLS)[:3]:
        _skeleton(tmp_path, "1\n0\n", name)
    assert set(open_dataset(tmp_path).splits) == {
        "xsub_train", "xsub_val", "xview_train", "xview_val",
    }  # fmt: skip


def test_the_subjects_are_as_many_as_the_papers_say() -> None:
    from stgcn_deploy.data.formats.ntu_skeleton import TRAIN_SUBJECTS, TRAIN_SUBJECTS_120

    assert len(TRAIN_SUBJECTS) == 20
    assert len(TRAIN_SUBJECTS_120) == 53
    assert max(TRAIN_SUBJECTS) <= 40
    assert max(TRAIN_SUBJECTS_120) <= 106


def _changed(line: int, text: str) -> str:
    """The sample with one line (from 1) replaced."""
    lines = _text(FRAMES).splitlines()
    lines[line - 1] = text
    return "\n".join(lines)


JOINT = "1 2 3 4 5 6 7 8 9 10 11 12"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (1, "0"),
        (1, "-1"),
        (1, "4.0"),
        (1, "4 4"),
        (1, ""),
        (1, "999999999"),
        (1, "9" * 5000),
        (2, "17"),
        (3, "x"),
        (4, "1 2 3"),
        (4, "1 2 3 4 5 6 7 8 9 10 11"),
        (5, "24"),
        (5, "26"),
        (5, "999999999"),
        (6, JOINT.rsplit(" ", 1)[0]),
        (6, JOINT + " 13"),
        (6, JOINT.replace("1", "one", 1)),
        (6, JOINT.replace("2", "nan", 1)),
        (6, JOINT.replace("3", "inf", 1)),
        (6, JOINT.replace("3", "1e300", 1)),
        (6, "\0\0\0"),
    ],
    ids=range(21),
)
def test_a_wrong_line_is_refused_by_its_number(tmp_path: Path, line: int, text: str) -> None:
    path = _skeleton(tmp_path, _changed(line, text))
    with pytest.raises(DataError, match=rf"A058\.skeleton, line {line}: "):
        read_recording(path)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_frames_than_there_are_are_refused(tmp_path: Path, count: int) -> None:
    path = _skeleton(tmp_path, _changed(1, str(count)))
    with pytest.raises(DataError, match="text after the last"):
        read_recording(path)


def test_more_frames_than_there_are_are_refused(tmp_path: Path) -> None:
    path = _skeleton(tmp_path, _changed(1, "5"))
    with pytest.raises(DataError, match=r"ends after line 86, where the number of bodies"):
        read_recording(path)


def test_the_same_body_twice_in_a_frame_is_refused(tmp_path: Path) -> None:
    text = _text(FRAMES).replace("72057594037931102", "72057594037931101")
    with pytest.raises(DataError, match=r"line 59: body 72057594037931101 twice in frame 2"):
        read_recording(_skeleton(tmp_path, text))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = _text(FRAMES)
    # The last frame is empty; without its line the text ends too early as well.
    for size in range(0, len(whole) - 2, 131):
        with pytest.raises(DataError, match=r"\.skeleton"):
            read_recording(_skeleton(tmp_path, whole[:size]))


def test_a_large_claim_takes_no_memory(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ends after line 2"):
        read_recording(_skeleton(tmp_path, "65536\n0\n"))


def _refusal(path: Path) -> str | None:
    """What reading a file is refused with; None where it gives a sound clip."""
    try:
        clip = read_recording(path).clip
    except StgcnError as error:
        return str(error)
    assert clip.shape[2:] == (25, 3)
    assert np.isfinite(clip).all()
    return None


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_as_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("ntu") / "a.skeleton"
    path.write_bytes(content)
    refused = _refusal(path)
    assert refused is None or "a.skeleton" in refused


@given(st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=1, max_size=2)), max_size=3))
def test_any_change_is_read_or_refused_as_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]]
) -> None:
    content = _text(FRAMES).encode()
    for place, value in changes:
        content = content[:place] + value + content[place + len(value) :]
    path = tmp_path_factory.mktemp("ntu") / "a.skeleton"
    path.write_bytes(content)
    refused = _refusal(path)
    assert refused is None or "a.skeleton" in refused


# ---- .npz ------------------------------------------------------------------------------------


def _arrays() -> dict[str, np.ndarray]:
    """Three recordings to train with and two to test with, of 10 frames, padded."""
    rng = np.random.default_rng(0)
    made = {}
    for part, lengths, labels in (("train", (4, 10, 7), (3, 0, 59)), ("test", (1, 0), (1, 2))):
        numbers = np.zeros((len(lengths), 10, 150), np.float32)
        for record, length in enumerate(lengths):
            numbers[record, :length] = rng.normal(size=(length, 150))
        made[f"x_{part}"] = numbers
        made[f"y_{part}"] = np.eye(60)[list(labels)]
    return made


def _npz(folder: Path, packed: bool = False, **changes: Any) -> Path:
    arrays = {name: value for name, value in (_arrays() | changes).items() if value is not None}
    path = folder / "NTU60_CS.npz"
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_records_are_persons_of_joints_without_the_empty_end(tmp_path: Path, packed: bool) -> None:
    data = open_dataset(_npz(tmp_path, packed))
    assert (data.format, len(data)) == ("ntu-npz", 5)
    assert data.labels.tolist() == [3, 0, 59, 1, 2]
    assert {name: list(numbers) for name, numbers in data.splits.items()} == {
        "train": [0, 1, 2], "test": [3, 4],
    }  # fmt: skip
    assert [one.clip.shape[1] for one in data] == [4, 10, 7, 1, 1]
    flat = _arrays()["x_train"][2]
    clip = data[2].clip
    for person, frame, joint, axis in np.ndindex(2, 7, 25, 3):
        assert clip[person, frame, joint, axis] == flat[frame, person * 75 + joint * 3 + axis]
    one = data[3]
    assert (one.layout, one.raw, one.fps, one.name) == ("ntu25", True, 30.0, "test/0")


def test_the_codebases_steps_make_the_same_of_it_with_and_without_the_end(tmp_path: Path) -> None:
    steps = (
        Step("coordinates", {"dimensions": 3}),
        Step("persons", {"count": 2}),
        Step("from_first_valid", {"joint": 1}),
        Step("valid_crop_resize", {"frames": 16, "share": 0.95}),
    )
    data = open_dataset(_npz(tmp_path))
    for index in range(3):
        whole = _arrays()["x_train"][index].reshape(10, 2, 25, 3).transpose(1, 0, 2, 3)
        assert np.array_equal(
            apply_steps(steps, Sequence(data[index].clip)), apply_steps(steps, Sequence(whole))
        )


def test_records_of_an_unpacked_file_are_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: NpyFile) -> np.ndarray:
        raise AssertionError(f"{self.what} was read whole")

    labels = np.array([3, 0, 59]), np.array([1, 2])
    data = open_dataset(_npz(tmp_path, y_train=labels[0], y_test=labels[1]))
    monkeypatch.setattr(NpyFile, "read", refuse)
    assert np.array_equal(data[1].clip[1, :, 0], _arrays()["x_train"][1][:, 75:78])


def test_one_part_and_one_person_are_enough(tmp_path: Path) -> None:
    x_test = _arrays()["x_test"][..., :75]
    data = open_dataset(_npz(tmp_path, x_train=None, y_train=None, x_test=x_test))
    assert len(data) == 2
    assert list(data.splits) == ["test"]
    assert data[0].clip.shape == (1, 1, 25, 3)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"y_train": None}, "no y_train"),
        ({"x_test": None}, "no x_test"),
        ({"y_test": np.eye(60)[[1]]}, "x_test has 2 .*y_test 1"),
        ({"y_train": np.ones((3, 60))}, "y_train, record 0: not one class"),
        ({"y_train": np.eye(60)[[0, 1, 2]] * [[1], [1], [0]]}, "y_train, record 2"),
        ({"y_train": np.array([1, -2, 3])}, "y_train, record 1"),
        ({"y_train": np.array([1.0, 2, 3])}, "y_train has shape"),
        ({"y_train": np.zeros((3, 0))}, "y_train has shape"),
        ({"y_train": np.array(["a", "b", "c"])}, "y_train holds <U1"),
        ({"x_train": np.zeros((3, 10, 149), "f4")}, "x_train has shape"),
        ({"x_train": np.zeros((3, 10, 0), "f4")}, "x_train has shape"),
        ({"x_train": np.zeros((3, 10, 75 * 11), "f4")}, "x_train has shape"),
        ({"x_train": np.zeros((3, 0, 150), "f4")}, "x_train has shape"),
        ({"x_train": np.zeros((3, 150), "f4")}, "x_train has shape"),
        ({"x_train": np.zeros((3, 10, 150), complex)}, "x_train holds complex"),
        (
            dict.fromkeys(("x_train", "y_train", "x_test", "y_test")) | {"a": np.eye(2)},
            "expected x",
        ),
    ],
    ids=range(16),
)
@pytest.mark.parametrize("packed", [False, True])
def test_arrays_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, packed: bool, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(DataError, match=rf"NTU60_CS\.npz.*{why}"):
        open_dataset(_npz(tmp_path, packed, **changes))


@pytest.mark.parametrize("packed", [False, True])
def test_arrays_of_objects_are_refused(tmp_path: Path, packed: bool) -> None:
    path = _npz(tmp_path, packed, y_test=np.array([{}, {}], dtype=object))
    with pytest.raises(FileUnreadableError, match="pickled"):
        open_dataset(path)


def _archive(path: Path, content: bytes, **options: Any) -> Path:
    """A zip with x_test of these bytes."""
    labels = io.BytesIO()
    np.save(labels, np.array([1, 2]))
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("x_test.npy", content)
        archive.writestr("y_test.npy", labels.getvalue())
    return path


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    header = io.BytesIO()
    shape = (2, 60_000, 150)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    content = header.getvalue() + bytes(4 * 2 * 60_000 * 150)
    path = _archive(tmp_path / "a.npz", content, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < len(content) / 500
    with pytest.raises(FileUnreadableError, match=r"x_test would be .* numpy\.savez"):
        open_dataset(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_header_that_claims_more_than_there_is_is_refused(tmp_path: Path, method: int) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 300, 150)}
    )
    path = _archive(tmp_path / "a.npz", header.getvalue() + bytes(400), compression=method)
    with pytest.raises(FileUnreadableError, match="x_test is cut short"):
        open_dataset(path)


def test_other_kinds_of_packing_are_refused(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.npz", b"\x93NUMPY" * 50, compression=zipfile.ZIP_BZIP2)
    with pytest.raises(FileUnreadableError, match=r"numpy\.savez"):
        open_dataset(path)


@pytest.mark.parametrize("packed", [False, True])
def test_every_truncation_of_an_npz_is_refused(tmp_path: Path, packed: bool) -> None:
    whole = _npz(tmp_path, packed).read_bytes()
    path = tmp_path / "cut.npz"
    for size in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:size])
        with pytest.raises(FileUnreadableError, match=r"cut\.npz"):
            open_dataset(path)


@pytest.mark.parametrize("packed", [False, True])
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4))
def test_any_npz_is_read_or_refused_as_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, packed: bool, changes: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("npz")
    # Small arrays, so that the changes hit the zip's own fields.
    small = np.zeros((2, 1, 75), np.float32)
    arrays = {"x_test": small, "y_test": np.array([1, 2]), "x_train": None, "y_train": None}
    content = bytearray(_npz(folder, packed, **arrays).read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path = folder / "b.npz"
    path.write_bytes(content)
    try:
        for one in open_dataset(path):
            assert one.clip.ndim == 4
    except StgcnError:
        pass
