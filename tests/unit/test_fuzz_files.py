"""Damaged files of every kind that is read: our own errors, in seconds, in bounded memory.

Every case is a small sound file with a few faults (tests/mutations.py), the same ones in each run.  2,000
of them run always; the variant marked slow has ten times as many, of other faults.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import signal
import tracemalloc
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from checkpoints import copied, reseal
from mutations import changed_json, changed_lines, changed_npz, changed_pickle, damaged

import stgcn_deploy
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.data.dataset import Header
from stgcn_deploy.data.describe import describe
from stgcn_deploy.data.formats import FORMATS, open_dataset
from stgcn_deploy.data.formats.clip_writer import write_clip
from stgcn_deploy.data.labelfile import read_labels
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.data.safe_pickle import load_pickle
from stgcn_deploy.errors import StgcnError

# What one damaged file of a few kilobytes may cost.  The largest clip that a reader makes room for is
# 256 MiB (data/limits.py); these files, of two persons at the most, cannot ask for so much.
MOST_BYTES = 256 << 20
MOST_SECONDS = 10.0
CASES = 2000
SUFFIXES = (".npy", ".npz", ".json", ".jsonl", ".pkl", ".skeleton", ".csv", ".txt", "")

Mutate = Callable[[random.Random, bytes], bytes]
Files = dict[str, bytes]


class TookTooLong(BaseException):
    """No Exception: a reader that catches everything must not catch it."""


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """Fails when the block takes too long or too much."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TookTooLong(f"{what}: more than {MOST_SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert peak < MOST_BYTES, f"{what}: {peak >> 20} MiB"


# ---- sound files -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """One kind of file or folder.

    Attributes:
        format: its name in the table.
        files: what it consists of, by path; the first are damaged.
        opened: what is given to the reader; a file, or a folder of them.
        soundly: changes values, and leaves the file as its format writes it.
    """

    format: str
    files: Files
    opened: str
    soundly: Mutate | None = None


def _clip(persons: int = 2, frames: int = 4, joints: int = 17, channels: int = 3) -> Any:
    rng = np.random.default_rng(joints)
    return rng.uniform(0.1, 0.9, (persons, frames, joints, channels)).astype(np.float32)


def _recordings(count: int) -> list[Recording]:
    return [
        Recording(_clip(), "coco17", None, False, f"walk{number}", number % 2, 25.0)
        for number in range(count)
    ]


def _written(folder: Path, format_name: str, file: str, count: int = 2) -> Files:
    """What a format's own writer makes."""
    place = folder / format_name / file
    place.parent.mkdir(exist_ok=True)
    writer: Any = FORMATS[format_name]
    write = write_clip if format_name == "clip" else writer.write
    found = write(place, _recordings(count), Header(count, ("a", "b"), "coco17"))
    return {name: (place.parent / name).read_bytes() for name in found["files"]}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _pyskl() -> bytes:
    scored = {"keypoint": _clip(channels=2), "keypoint_score": _clip()[..., 0]}
    packed = {"keypoint": _clip(1, 6)[0], "frame_inds": np.array([0, 0, 2, 3, 3, 5])}
    one = {"frame_dir": "v1", "label": 1, "img_shape": (240, 320), "total_frames": 4, **scored}
    two = {"frame_dir": "v2", "label": 0, "img_shape": (240, 320), **packed}
    names = {"train": ["v1"], "val": ["v2"]}
    return pickle.dumps({"split": names, "annotations": [one, two], "fps": 25, "layout": "coco17"})


def _skeleton() -> bytes:
    body = "7205 0 1 1 0 0 0 -0.01 0.25 2\n25\n" + "0.1 0.2 3.1 2 1 1 1 -0.2 0 0 1 2\n" * 25
    return f"3\n1\n{body}0\n2\n{body}{body.replace('7205', '7206')}".encode()


def _video() -> bytes:
    person = {"pose": [0.25, 0.5] * 18, "score": [0.5] * 18}
    frames = [{"frame_index": at, "skeleton": [person] * (at % 3)} for at in (1, 2, 4)]
    return _json({"data": frames, "label": "walking", "label_index": 1})


def _npz(save: Callable[..., None]) -> bytes:
    numbers = np.zeros((2, 3, 150), np.float32)
    numbers[:, :2] = 0.5
    file = io.BytesIO()
    save(file, x_train=numbers, y_train=np.eye(2), x_test=numbers[:1], y_test=np.eye(2)[:1])
    return file.getvalue()


def _landmarks(joints: int) -> list[dict[str, float]]:
    return [{"x": 0.1, "y": 0.2, "z": 0.0, "visibility": 0.5}] * joints


def _people(*numbers: int) -> bytes:
    points = [0.25, 0.5, 0.75] * 18
    return _json({"people": [{"person_id": [n], "pose_keypoints_2d": points} for n in numbers]})


def _kinds(folder: Path) -> dict[str, Kind]:
    wide = ",".join(f"x{j},y{j},z{j},v{j}" for j in range(21))
    row = ",".join(["0.1,0.2,0,1"] * 21)
    long = "".join(f"{f},{j},0.1,0.2,0,1\n" for f in (0, 1) for j in range(33))
    labels = _json({"v1": {"has_skeleton": True, "label": "walking", "label_index": 1}})
    frames = {"walk/walk_1_keypoints.json": _people(3), "walk/walk_2_keypoints.json": _people(3, 4)}
    landmarks = {"fps": 30, "frames": [{"landmarks": _landmarks(21)}, None, [_landmarks(21)]]}
    texts = {
        "wide.csv": f"frame,{wide}\n0,{row}\n3,{row}\n".encode(),
        "long.csv": f"frame,landmark,x,y,z,visibility\n{long}".encode(),
    }
    stream = _written(folder, "keypoints-jsonl", "walk.jsonl")
    prepared = _written(folder, "kinetics-npy", "val_data.npy")
    return {
        "clip .npy": Kind("clip", _written(folder, "clip", "c.npy", 1), "c.npy"),
        "clip .json": Kind("clip", _written(folder, "clip", "c.json", 1), "c.json", changed_json),
        "pyskl": Kind("pyskl", {"a.pkl": _pyskl()}, "a.pkl", changed_pickle),
        "pyskl, ours": Kind("pyskl", _written(folder, "pyskl", "a.pkl"), "a.pkl", changed_pickle),
        "kinetics-npy": Kind("kinetics-npy", prepared, "val_data.npy"),
        "kinetics-json": Kind("kinetics-json", {"v1.json": _video()}, "v1.json", changed_json),
        "kinetics-json, folder": Kind(
            "kinetics-json",
            {"val_label.json": labels, "val/v1.json": _video()},
            "val",
            changed_json,
        ),
        "ntu-skeleton": Kind("ntu-skeleton", {"S001C002P003R002A058.skeleton": _skeleton()}, "."),
        "ntu-npz": Kind("ntu-npz", {"NTU60_CS.npz": _npz(np.savez)}, "NTU60_CS.npz", changed_npz),
        "ntu-npz, packed": Kind(
            "ntu-npz", {"NTU60_CS.npz": _npz(np.savez_compressed)}, "NTU60_CS.npz", changed_npz
        ),
        "keypoints-jsonl": Kind("keypoints-jsonl", stream, "walk.jsonl", changed_lines),
        "openpose-json": Kind("openpose-json", frames, "walk", changed_json),
        "mediapipe .json": Kind("mediapipe", {"m.json": _json(landmarks)}, "m.json", changed_json),
        "mediapipe, wide": Kind("mediapipe", {"m.csv": texts["wide.csv"]}, "m.csv"),
        "mediapipe, long": Kind("mediapipe", {"m.csv": texts["long.csv"]}, "m.csv"),
    }


LABELS: dict[str, tuple[bytes, Mutate | None]] = {
    "l.pkl": (pickle.dumps((["a", "b", "c"], [0, 1, 2]), 2), changed_pickle),
    "l.pickle": (pickle.dumps(np.arange(4), 4), None),
    "l.json": (_json([["a", "b"], [0, 1]]), changed_json),
    "l.csv": (b"name,label\na,0\nb,1\n", None),
    "l.txt": (b"0\n1\n2\n", None),
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    """One of each, and one of every format."""
    found = _kinds(tmp_path_factory.mktemp("sound"))
    assert {kind.format for kind in found.values()} == set(FORMATS)
    return found


# ---- one case --------------------------------------------------------------------------------


def _mutated(rng: random.Random, data: bytes, soundly: Mutate | None) -> bytes:
    return soundly(rng, data) if soundly and rng.random() < 0.5 else damaged(rng, data)


def _put(folder: Path, files: Files) -> None:
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _read_all(path: Path, format_name: str | None) -> bool:
    """Everything that a data set offers; whether all of it could be read."""
    try:
        data = open_dataset(path, format=format_name)
    except StgcnError:
        return False
    told = describe(data)
    json.dumps(told)
    for index in range(len(data)):
        try:
            assert data[index].clip.ndim == 4
        except StgcnError:
            assert told["problem_count"]
    for split in data.splits:
        data.select(split)
    data.fingerprint()
    return bool(told["ok"])


def _outcomes(
    name: str, count: int, run: Callable[[random.Random], bool], salt: str
) -> Counter[bool]:
    found: Counter[bool] = Counter()
    for case in range(count):
        what = f"{name}, case {case}{salt}"
        with bounded(what):
            try:
                found[run(random.Random(what))] += 1
            except Exception as error:
                raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    return found


def _data_case(folder: Path, kind: Kind) -> Callable[[random.Random], bool]:
    place = folder / "case"

    def run(rng: random.Random) -> bool:
        _put(place, kind.files)
        name = rng.choice(list(kind.files))
        _put(place, {name: _mutated(rng, kind.files[name], kind.soundly)})
        path, format_name = place / kind.opened, rng.choice((None, kind.format))
        if path.is_file() and rng.random() < 0.1:
            path = path.with_suffix(rng.choice(SUFFIXES))
            path.write_bytes((place / name).read_bytes())
        good = _read_all(path, format_name)
        if path.name != Path(kind.opened).name and path.is_file():
            path.unlink()
        return good

    return run


def _bundle_case(bundle: Path) -> Callable[[random.Random], bool]:
    """manifest.json changed, or another file changed and sealed again."""
    sound = {
        name: (bundle / name).read_bytes() for name in ("manifest.json", "golden.npz", "labels.txt")
    }
    soundly: dict[str, Mutate] = {"manifest.json": changed_json, "golden.npz": changed_npz}

    def run(rng: random.Random) -> bool:
        _put(bundle, sound)
        name = rng.choice(list(sound))
        if name == "manifest.json" and rng.random() < 0.8:
            _put(bundle, {name: changed_json(rng, sound[name])})
        else:
            _put(bundle, {name: _mutated(rng, sound[name], soundly.get(name))})
        if name != "manifest.json":
            reseal(bundle)
        try:
            opened = Bundle(bundle)
            assert len(opened.labels) == opened.manifest.num_classes
            assert all(case.batch.ndim == 5 for case in opened.golden())
            with stgcn_deploy.load(bundle, threads=1) as model:
                assert model.labels == opened.labels
        except StgcnError:
            return False
        return True

    return run


def _label_case(folder: Path, name: str) -> Callable[[random.Random], bool]:
    data, soundly = LABELS[name]

    def run(rng: random.Random) -> bool:
        path = folder / name
        path.write_bytes(_mutated(rng, data, soundly))
        if rng.random() < 0.1:
            path = path.rename(path.with_suffix(rng.choice(SUFFIXES)))
        try:
            found = read_labels(path)
        except StgcnError:
            return False
        assert found.labels.dtype == np.int64
        assert found.labels.ndim == 1
        return True

    return run


# ---- all cases -------------------------------------------------------------------------------

DATA = (
    "clip .npy", "clip .json", "pyskl", "pyskl, ours", "kinetics-npy", "kinetics-json",
    "kinetics-json, folder", "ntu-skeleton", "ntu-npz", "ntu-npz, packed", "keypoints-jsonl",
    "openpose-json", "mediapipe .json", "mediapipe, wide", "mediapipe, long",
)  # fmt: skip
OF_LABELS, OF_BUNDLES = 60, 200
OF_DATA = (CASES - OF_BUNDLES - OF_LABELS * len(LABELS)) // len(DATA)
TIMES = [1, pytest.param(10, marks=pytest.mark.slow)]


def _judge(name: str, found: Counter[bool], count: int) -> None:
    """All were run, and the faults neither miss everything nor break everything."""
    assert found.total() == count
    assert found[False] > count // 10, f"{name}: {found}"
    assert found[True] > 0, f"{name}: {found}"


def test_there_are_two_thousand_cases() -> None:
    assert OF_DATA * len(DATA) + OF_LABELS * len(LABELS) + OF_BUNDLES >= CASES


@pytest.mark.parametrize("name", DATA)
def test_sound_files_are_read_whole(tmp_path: Path, kinds: dict[str, Kind], name: str) -> None:
    _put(tmp_path, kinds[name].files)
    assert _read_all(tmp_path / kinds[name].opened, None)


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("name", DATA)
def test_damaged_data(tmp_path: Path, kinds: dict[str, Kind], name: str, times: int) -> None:
    count, salt = OF_DATA * times, "" if times == 1 else " again"
    _judge(name, _outcomes(name, count, _data_case(tmp_path, kinds[name]), salt), count)


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("name", LABELS)
def test_damaged_labels(tmp_path: Path, name: str, times: int) -> None:
    count, salt = OF_LABELS * times, "" if times == 1 else " again"
    _judge(name, _outcomes(name, count, _label_case(tmp_path, name), salt), count)


@pytest.mark.parametrize("times", TIMES)
def test_damaged_bundles(example: Callable[..., Any], tmp_path: Path, times: int) -> None:
    count, salt = OF_BUNDLES * times, "" if times == 1 else " again"
    bundle = copied(example().bundle, tmp_path)
    _judge("bundle", _outcomes("bundle", count, _bundle_case(bundle), salt), count)


# ---- pickles that chance does not write ---

# A tuple of twice the last tuple, sixty times.
MANY = b")" + b"".join(b"q%ch%c\x86" % (number, number) for number in range(60))


@pytest.mark.parametrize(
    "code",
    [
        MANY,
        b"}" + MANY + b"K\x01s",
        b"}(" + MANY + b"K\x01u",
        b"(" + MANY + b"K\x01d",
        b"\x8f(" + MANY + b"\x90",
        b"(" + MANY + b"\x91",
        b"cbuiltins\nset\n]" + MANY + b"a\x85R",
        b"ccollections\nOrderedDict\n]" + MANY + b"K\x01\x86a\x85R",
        b"]q\x00h\x00a",
        b"]" * 10_000 + b"a" * 9_999,
        b"\x96" + (1 << 40).to_bytes(8, "little") + b"abc",
        b"\x8d" + (1 << 40).to_bytes(8, "little") + b"abc",
        b"B\xff\xff\xff\xffabc",
        b"\x8b\xff\xff\xff\x7fabc",
        b"r\xff\xff\xff\x7f",
        b"\x8b\x00\x10\x00\x00" + b"\x7f" * 4096,
    ],
)
def test_pickles_that_unfold_hash_or_allocate_without_end(tmp_path: Path, code: bytes) -> None:
    path = tmp_path / "l.pkl"
    path.write_bytes(b"\x80\x05" + code + b".")
    with bounded("a pickle"), pytest.raises(StgcnError):
        read_labels(path)


def test_what_sound_pickles_hold_is_read_in_every_protocol(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    plain = [(1, 2.5), {1, "b"}, frozenset("ab"), bytearray(b"x"), b"y", None]
    value = {"array": np.arange(3), "plain": plain, ("a", 1): OrderedDict(b=np.float32(1))}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(value, protocol))
        read = load_pickle(path)
        assert list(read) == list(value)
        np.testing.assert_array_equal(read["array"], value["array"])
        assert read["array"].dtype == value["array"].dtype
        # Not by their text: a set shows its members in another order from one process to the next.
        assert read["plain"] == plain
        assert [type(item) for item in read["plain"]] == [type(item) for item in plain]
        assert isinstance(read["a", 1], OrderedDict)
        assert read["a", 1] == value["a", 1]


# ---- the judge itself ------------------------------------------------------------------------


def test_what_takes_too_long_is_stopped_even_where_all_exceptions_are_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(globals(), "MOST_SECONDS", 0.05)

    def forever() -> None:
        while True:
            try:
                while True:
                    pass
            except Exception:
                continue

    with pytest.raises(TookTooLong), bounded("a loop"):
        forever()


def test_what_takes_too_much_fails() -> None:
    with pytest.raises(AssertionError, match="too much: 300 MiB"), bounded("too much"):
        np.zeros(300 << 20, np.uint8)


def test_another_error_is_named_with_its_case() -> None:
    def run(_rng: random.Random) -> bool:
        raise KeyError("x")

    with pytest.raises(AssertionError, match="odd, case 0: KeyError"):
        _outcomes("odd", 1, run, "")
