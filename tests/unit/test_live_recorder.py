"""Annotated videos are whole, timed by the frames' clock, and playable when they were cut off."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgcn_deploy.errors import OutputExistsError, UsageError
from stgcn_deploy.live import recorder as module
from stgcn_deploy.live.frames import Detection, Frame, Tracked
from stgcn_deploy.live.recorder import Recorded, Recorder
from stgcn_deploy.live.settings import VideoSettings

av = pytest.importorskip("av", reason="videos need PyAV")
pytest.importorskip("cv2", reason="drawing needs opencv-python-headless")

SIZE = (96, 64)
SETTINGS = VideoSettings(fps=25.0, crf=20)
BONE = np.array([[20, 48, 1], [76, 48, 1]], np.float32)
WAIT = 60.0


def frame(t: float, shape: tuple[int, int] = SIZE, **fields: Any) -> Frame:
    image = np.full((shape[1], shape[0], 3), 90, np.uint8)
    return Frame("door", t, t, **({"image": image} | fields))


def somebody(track: int = 0) -> list[Tracked]:
    return [Tracked(track, Detection(BONE, box=(0.0, 0.0, 8.0, 8.0)))]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    made: list[Recorder] = []

    def build(name: str = "door.mp4", **options: Any) -> Recorder:
        usual = {"edges": ((0, 1),), "every": True, "settings": SETTINGS}
        made.append(Recorder("door", tmp_path / name, **(usual | options)))
        return made[-1]

    yield build
    for one in made:
        one.close(WAIT)
    assert not [one for one in threading.enumerate() if one.name.startswith("recorder")]


def record(recorder: Recorder, times: Sequence[float]) -> Recorded:
    for t in times:
        recorder.people(frame(t), somebody(), t)
    return recorder.close(WAIT)


def read(path: Path) -> tuple[np.ndarray, float]:
    """All pictures (T, H, W, 3), and the length in seconds."""
    with av.open(str(path)) as file:
        images = [one.to_ndarray(format="rgb24") for one in file.decode(video=0)]
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        ends = [
            float((packet.pts + packet.duration) * stream.time_base)
            for packet in file.demux(stream)
            if packet.pts is not None
        ]
    return np.stack(images), max(ends)


def test_fifty_frames_are_two_seconds(make: Any, tmp_path: Path) -> None:
    report = record(make(), [7.0 + index / 25 for index in range(50)])
    path = tmp_path / "door.mp4"
    assert report == Recorded(path, 50, 2.0, 0, 0, 0.0)
    assert str(report) == f"{path}: 50 frames, 2.0 s"
    images, seconds = read(path)
    assert images.shape == (50, SIZE[1], SIZE[0], 3)
    assert seconds == pytest.approx(2.0, abs=0.01)
    # On the bone it is another colour, beside it what it was.
    assert (np.abs(images[:, 48, 30:70].astype(int) - 90).max(axis=2) > 40).all()
    assert (np.abs(images[:, 20:36, 30:].astype(int) - 90) < 12).all()
    assert list(tmp_path.iterdir()) == [path]


def test_the_caption_of_the_moment_is_drawn(make: Any, tmp_path: Path) -> None:
    asked = []

    def caption(camera: str, track: int) -> str:
        asked.append((camera, track))
        return "fall"

    recorder = make(caption=caption)
    recorder.people(frame(0.0), [Tracked(7, Detection(BONE))], 0.0)
    recorder.close(WAIT)
    bare = make("bare.mp4")
    bare.people(frame(0.0), [Tracked(7, Detection(BONE))], 0.0)
    bare.close(WAIT)
    with_text, without = (read(tmp_path / name)[0][0] for name in ("door.mp4", "bare.mp4"))
    assert asked == [("door", 7)]
    assert np.abs(with_text[30:44, 20:40].astype(int) - without[30:44, 20:40]).max() > 40


@pytest.mark.parametrize(
    ("times", "frames", "skipped"),
    [
        ([0.0, 0.1, 0.2, 0.3], 9, 0),  # 10 a second, each shown two or three times
        ([index / 100 for index in range(100)], 26, 74),  # 100 a second
        ([0.0, 0.04, 0.03, 0.08], 3, 1),  # one from the past
        ([5.0], 1, 0),
    ],
)
def test_frames_keep_their_time(
    make: Any, tmp_path: Path, times: list[float], frames: int, skipped: int
) -> None:
    report = record(make(), times)
    assert (report.frames, report.skipped) == (frames, skipped)
    assert len(read(tmp_path / "door.mp4")[0]) == frames


def test_a_long_absence_is_cut(make: Any) -> None:
    report = record(make(), [0.0, 3600.0, 3600.04])
    assert report.frames == round(module.HOLD * 25) + 3
    assert report.cut == pytest.approx(3600.0 - module.HOLD - 0.04)
    assert "left out" in str(report)


def test_another_size_is_fitted_into_the_first(make: Any, tmp_path: Path) -> None:
    recorder = make()
    recorder.people(frame(0.0), [], 0.0)
    recorder.people(frame(0.04, (50, 200)), [], 0.04)
    recorder.people(frame(0.08, (1920, 64)), [], 0.08)
    recorder.close(WAIT)
    images, _ = read(tmp_path / "door.mp4")
    assert images.shape == (3, SIZE[1], SIZE[0], 3)
    across = images[1][32, :, 0]
    assert across[:36].max() < 30
    assert across[44:52].min() > 60
    assert images[2][:28].max() < 30


@pytest.mark.parametrize("size", [(97, 65), (17, 16), (16, 16)])
def test_odd_sizes_lose_a_line(make: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    recorder = make()
    for index in range(3):
        recorder.people(frame(index / 25, size), somebody(), 0.0)
    assert recorder.close(WAIT).error == ""
    images, _ = read(tmp_path / "door.mp4")
    assert images.shape == (3, size[1] // 2 * 2, size[0] // 2 * 2, 3)


def test_large_pictures_are_made_smaller(make: Any, tmp_path: Path) -> None:
    recorder = make(settings=VideoSettings(height=101))
    recorder.people(frame(0.0, (1920, 1080)), [], 0.0)
    assert recorder.close(WAIT).error == ""
    images, _ = read(tmp_path / "door.mp4")
    assert images.shape == (1, 100, 178, 3)
    assert images.min() > 80


def test_key_points_alone_are_drawn_on_a_plain_picture(make: Any, tmp_path: Path) -> None:
    recorder = make()
    recorder.people(frame(0.0, image=None, size=SIZE), somebody(), 0.0)
    recorder.people(frame(0.04, image=None), somebody(), 0.0)
    report = recorder.close(WAIT)
    assert (report.frames, report.skipped) == (1, 1)
    images, _ = read(tmp_path / "door.mp4")
    assert images[0][20:36, 30:].max() < 60
    assert images[0][48, 30:70].max() > 90


def test_other_cameras_are_none_of_its_business(make: Any, tmp_path: Path) -> None:
    recorder = make()
    recorder.people(Frame("gate", 0.0, 0.0, np.zeros((64, 96, 3), np.uint8)), [], 0.0)
    report = recorder.close(WAIT)
    assert report.path is None
    assert str(report) == "no frame came, so no video was written"
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_is_cut_off_can_be_read(make: Any, tmp_path: Path) -> None:
    recorder = make()
    for index in range(200):
        recorder.people(frame(index / 25), somebody(), 0.0)
    # As it lies there after eight seconds, while the program runs.
    copy = tmp_path / "copy.mp4"
    shutil.copy(tmp_path / "door.mp4.part", copy)
    assert not (tmp_path / "door.mp4").exists()
    assert len(read(copy)[0]) >= 50


def test_the_pipeline_is_not_stalled_and_drops_are_counted(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = threading.Event()
    annotate = module.annotate

    def slow(*args: Any, **options: Any) -> np.ndarray:
        assert going.wait(WAIT)
        return annotate(*args, **options)

    monkeypatch.setattr(module, "annotate", slow)
    recorder = make(every=False)
    for index in range(100):
        recorder.people(frame(index / 25), [], 0.0)
    going.set()
    report = recorder.close(WAIT)
    # One in work or not yet, the newest ones in the queue.
    assert report.dropped in (100 - module.PENDING, 100 - module.PENDING - 1)
    assert "dropped" in str(report)
    assert report.error == ""


def test_after_the_end_nothing_is_taken(make: Any) -> None:
    recorder = make()
    first = record(recorder, [0.0])
    recorder.people(frame(1.0), [], 0.0)
    assert recorder.close(WAIT) == first


def test_an_error_is_told_at_once_and_the_pipeline_goes_on(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> np.ndarray:
        raise OSError("no space left")

    monkeypatch.setattr(module, "annotate", broken)
    said: list[str] = []
    recorder = make(say=said.append)
    report = record(recorder, [index / 25 for index in range(30)])
    assert report.path is None
    assert said == [report.error] == [str(report)]
    assert "no space left" in report.error
    assert report.dropped == 29
    assert not (tmp_path / "door.mp4").exists()


def test_nothing_of_the_users_is_replaced(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "door.mp4"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="exists"):
        make()
    report = record(make(force=True), [0.0])
    assert report.path == path
    assert len(read(path)[0]) == 1


def test_what_another_run_left_is_not_replaced(make: Any, tmp_path: Path) -> None:
    (tmp_path / "door.mp4.part").write_text("half a video")
    with pytest.raises(OutputExistsError, match="cut off"):
        make()


def test_a_file_that_was_made_meanwhile_stays(make: Any, tmp_path: Path) -> None:
    recorder = make()
    (tmp_path / "door.mp4").write_text("mine")
    report = record(recorder, [0.0])
    assert "made meanwhile" in report.error
    assert (tmp_path / "door.mp4").read_text() == "mine"
    assert len(read(tmp_path / "door.mp4.part")[0]) == 1


def test_wrong_places_are_refused_before_anything_runs(make: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        make("none/door.mp4")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputExistsError, match="directory"):
        make("folder.mp4")


def test_without_x264_another_codec_is_taken(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    report = record(make(), [index / 25 for index in range(10)])
    assert report.error == ""
    images, _ = read(tmp_path / "door.mp4")
    assert len(images) == 10
    assert (np.abs(images[:, 48, 30:70].astype(int) - 90).max(axis=2) > 30).all()
