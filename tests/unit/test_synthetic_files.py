"""Synthetic motion in files: read back as it was made, in every format, lazily."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgcn_deploy.data.formats import open_dataset
from stgcn_deploy.data.formats.keypoints_jsonl import KeypointFile
from stgcn_deploy.data.recording import UNLABELLED
from stgcn_deploy.data.synthetic import ACTIONS, ClipSettings, iter_dataset
from stgcn_deploy.data.synthetic import files as synth_files
from stgcn_deploy.data.synthetic.files import iter_recordings, write_clips, write_sequences
from stgcn_deploy.errors import OutputExistsError, UsageError

FEW = ("walk", "fall", "wave")
SHORT = ClipSettings(layout="coco17", frames=20)


def write(path: Path, **options: Any) -> dict[str, Any]:
    given = {"count": 7, "seed": 3, "settings": SHORT, "actions": FEW} | options
    return write_clips(path, **given)


def test_annotations_are_raw_pixels_with_labels(tmp_path: Path) -> None:
    made = write(tmp_path / "a.pkl")
    data = open_dataset(tmp_path / "a.pkl")
    assert data.format == "pyskl"
    assert data.classes == FEW
    assert data.layout == "coco17"
    assert data.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    for one, (clip, label) in zip(
        data, iter_dataset(7, seed=3, layout="coco17", frames=20, actions=FEW), strict=True
    ):
        assert one.is_raw
        assert one.image_size == (640, 480)
        assert one.fps == 25.0
        assert one.label == label
        np.testing.assert_allclose(one.clip, clip * [640, 480, 1], rtol=1e-6)
    assert made["clips"] == 7
    assert made["classes"] == list(FEW)
    assert made["written"]["records"] == 7


def test_metric_annotations_are_raw_metres(tmp_path: Path) -> None:
    settings = ClipSettings(layout="ntu25", frames=20, persons=2, channels="xyz")
    write(tmp_path / "a.pkl", settings=settings)
    one = open_dataset(tmp_path / "a.pkl")[4]
    assert one.raw
    assert one.image_size is None
    assert one.clip.shape == (2, 20, 25, 3)
    assert one.clip[..., 2].max() > 2


@pytest.mark.parametrize(
    ("layout", "middle"), [("openpose18", 0.5), ("mediapipe33", 0.0), ("handmp21", 0.0)]
)
def test_prepared_data_are_as_networks_see_them(layout: str, middle: float, tmp_path: Path) -> None:
    settings = ClipSettings(layout=layout, frames=20, persons=2, missing=0.2)
    write(tmp_path / "val_data.npy", settings=settings, actions=("wave",))
    assert np.load(tmp_path / "val_data.npy", mmap_mode="r").shape[:3] == (7, 3, 20)
    data = open_dataset(tmp_path / "val_data.npy")
    assert data.format == "kinetics-npy"
    expected = iter_dataset(
        7, seed=3, layout=layout, frames=20, persons=2, missing=0.2, actions=("wave",)
    )
    for one, (clip, label) in zip(data, expected, strict=True):
        assert not one.is_raw
        assert one.label == label
        seen = clip[..., 2] > 0
        np.testing.assert_allclose(one.clip[seen], clip[seen] - [middle, middle, 0], atol=1e-6)
        assert not one.clip[~seen].any()


def test_metres_are_prepared_as_they_are(tmp_path: Path) -> None:
    settings = ClipSettings(layout="mediapipe33", frames=20, channels="xyz")
    write(tmp_path / "a.npy", settings=settings)
    clip, _ = next(
        iter_dataset(1, seed=3, layout="mediapipe33", frames=20, channels="xyz", actions=FEW)
    )
    np.testing.assert_array_equal(open_dataset(tmp_path / "a.npy")[0].clip, clip)


def test_a_stream_holds_clips_too(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl")
    data = open_dataset(tmp_path / "a.jsonl")
    assert data.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert data.classes == FEW
    assert data[0].clip.shape == (1, 20, 17, 3)
    assert data[0].image_size == (640, 480)


def test_splits_are_balanced_and_whole(tmp_path: Path) -> None:
    made = write(tmp_path / "a.pkl", count=30, test_share=0.2)
    data = open_dataset(tmp_path / "a.pkl")
    train, test = data.select("train"), data.select("test")
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(30))
    assert np.bincount(data.labels[test]).tolist() == [2, 2, 2]
    assert made["splits"] == {"train": 24, "test": 6}


def test_unique_performances_come_again_with_other_errors() -> None:
    settings = ClipSettings(layout="coco17", frames=30, missing=0.0, noise=0.002)
    plain = list(iter_recordings(4, seed=1, settings=settings, actions=FEW))
    again = list(iter_recordings(12, seed=1, settings=settings, actions=FEW, unique=4))
    for one, other in zip(plain, again, strict=False):
        np.testing.assert_array_equal(one.clip, other.clip)
        assert one.name == other.name
    for index in range(4, 12):
        first = again[index % 4]
        assert again[index].label == first.label
        assert not np.array_equal(again[index].clip, first.clip)
        assert np.abs(again[index].clip - first.clip)[..., :2].max() < 0.05 * 640
        assert again[index].name == f"{first.name}_again_{index // 4}"
    assert len({one.name for one in again}) == 12


def test_recordings_are_made_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = synth_files.stage_clip

    def counted(*arguments: Any) -> Any:
        made.append(1)
        return real(*arguments)

    monkeypatch.setattr(synth_files, "stage_clip", counted)
    recordings = iter_recordings(1_000_000, seed=0, settings=SHORT)
    assert not made
    next(recordings)
    next(recordings)
    assert len(made) == 2


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write(tmp_path / "a.npy", progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 7) for done in range(1, 8)]


def test_a_sequence_has_a_label_in_each_frame(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    script = [("walk", 2.0), ("wave", 3.0)]
    settings = ClipSettings(layout="openpose18", persons=2, missing=0.2)
    made = write_sequences(path, script, 2, seed=0, settings=settings, actions=FEW)
    data = open_dataset(path)
    assert isinstance(data, KeypointFile)
    assert len(data) == 2
    assert data.classes == FEW
    assert data.labels.tolist() == [UNLABELLED, UNLABELLED]
    for index, sequence in enumerate(made["sequences"]):
        assert data.name(index) == sequence["name"]
        found = data.segments(index)
        first, second = sequence["segments"]
        assert [label for label, _, _ in found] == [0, 2]
        assert found[0][1] == 0
        assert found[1][1] == pytest.approx(second["settled"], abs=1e-3)
        assert first["end"] == second["start"] == 2
        assert data[index].clip.shape == (2, 125, 18, 3)
    again = synth_files.generate_sequence(script, seed=0, settings=settings, actions=FEW, index=1)
    np.testing.assert_allclose(data[1].clip, again.recording.clip, atol=0.006)


def test_a_metric_sequence_is_read_back(tmp_path: Path) -> None:
    settings = ClipSettings(layout="ntu25", channels="xyz")
    write_sequences(tmp_path / "s.jsonl", 6.0, seed=0, settings=settings)
    one = open_dataset(tmp_path / "s.jsonl")[0]
    assert one.layout == "ntu25"
    assert one.clip.shape == (1, 150, 25, 3)
    header = json.loads((tmp_path / "s.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert header["channels"] == "xyz"
    assert header["classes"] == list(ACTIONS)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("a.txt", {}, "Known: .pkl"),
        ("a.pk", {}, "did you mean '.pkl'"),
        ("a", {}, "without an ending"),
        ("a.pkl", {"count": 0}, "clips is 0"),
        ("a.pkl", {"seed": -1}, "seed is -1"),
        ("a.pkl", {"unique": 2}, "unique is 2, expected at least 3"),
        ("a.npy", {"unique": 10**6, "count": 10**6}, "of memory"),
        ("a.npy", {"test_share": 0.2}, "only .pkl files hold splits"),
        ("a.pkl", {"test_share": 0.2}, "leaves a split empty"),
        ("a.pkl", {"test_share": 1.5}, "between 0 and 1"),
        ("a.pkl", {"test_share": float("nan")}, "between 0 and 1"),
        ("a.pkl", {"actions": ("wlak",)}, "did you mean 'walk'"),
        ("a.pkl", {"settings": ClipSettings(channels="xyz")}, "would be taken for that"),
    ],
)
def test_wrong_use_leaves_nothing_behind(
    name: str, options: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=says):
        write(tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_sequence_goes_into_a_stream_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"call it a\.jsonl"):
        write_sequences(tmp_path / "a.pkl", 5.0, seed=0, settings=SHORT)
    with pytest.raises(UsageError, match="clips is 0"):
        write_sequences(tmp_path / "a.jsonl", 5.0, 0, seed=0, settings=SHORT)
    with pytest.raises(UsageError, match="would be taken for that"):
        write_sequences(tmp_path / "a.jsonl", 5.0, seed=0, settings=ClipSettings(channels="xyz"))
    with pytest.raises(UsageError, match="less than 2 frames"):
        write_sequences(tmp_path / "a.jsonl", [("walk", 0.01)], seed=0, settings=SHORT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.pkl", "a.npy", "a.jsonl"])
def test_nothing_is_overwritten_unasked(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(OutputExistsError):
        write(tmp_path / name)
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"
    write(tmp_path / name, force=True)
    assert len(open_dataset(tmp_path / name)) == 7


# ---- the command -----------------------------------------------------------------------------


def test_the_command_makes_clips(cli: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    options = ("--layout", "ntu", "--clips", 9, "--frames", 20, "--actions", "walk, fall,kick")
    done = cli("data", "synth", *options, "--occlusion", "0.1-0.2", "-o", path, "--json")
    assert done.code == 0, done.err
    made = json.loads(done.out)
    assert made["classes"] == ["walk", "fall", "kick"]
    # A layout in space is made in metres unless said otherwise.
    assert made["settings"]["channels"] == "xyz"
    assert made["settings"]["occlusion"] == [0.1, 0.2]
    assert len(open_dataset(path)) == 9
    assert cli("data", "synth", *options, "-o", path).code == 2
    done = cli("data", "synth", *options, "-o", path, "--force", "--test-share", 0.34)
    assert done.code == 0, done.err
    assert "9 clips, 1 person(s), 20 frames each" in done.out
    assert "labels 0 to 2: walk, fall, kick" in done.out


def test_the_command_makes_sequences(cli: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    done = cli("data", "synth", "--sequence", "wave:3,fist:2s", "--layout", "hand", "-o", path)
    assert done.code == 0, done.err
    assert "1 sequence(s), 125 frames" in done.out
    done = cli("data", "synth", "--sequence", "10s", "-o", path, "--force", "--json")
    assert done.code == 0, done.err
    (sequence,) = json.loads(done.out)["sequences"]
    assert sequence["segments"][-1]["end"] == 10


def test_the_command_says_what_is_only_for_load_tests(
    cli: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.npy"
    done = cli("data", "synth", "--clips", 30, "--frames", 10, "--unique", 11, "-o", path)
    assert done.code == 0, done.err
    assert "only 11 of them are distinct performances" in done.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--noise", "much"), "--noise takes a number"),
        (("--missing", "0.2-0.1"), "missing is (0.2, 0.1)"),
        (("--sequence", "long"), "--sequence takes seconds"),
        (("--sequence", "walk:long"), "--sequence takes seconds"),
        (("--sequence", "5s", "--unique", "20"), "are for clips"),
        (("--layout", "cocoo17"), "did you mean 'coco17'"),
        (("--actions", ""), "unknown action ''"),
        (("--frames", "1"), "at least 2 frames"),
    ],
)
def test_wrong_options_are_refused(
    options: tuple[str, ...], says: str, cli: Callable[..., Any], tmp_path: Path
) -> None:
    done = cli("data", "synth", "-o", tmp_path / "a.jsonl", *options)
    assert done.code == 2
    assert says in done.err
    assert list(tmp_path.iterdir()) == []


def test_small_numbers_may_be_written_with_an_exponent(
    cli: Callable[..., Any], tmp_path: Path
) -> None:
    done = cli(
        "data", "synth", "--clips", 2, "--frames", 5, "--noise", "1e-3-2e-3", "--missing", "1e-3",
        "-o", tmp_path / "a.npy", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads(done.out)["settings"]["noise"] == [0.001, 0.002]
