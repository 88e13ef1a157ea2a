"""docs/overlays.py draws the middle frame of every clip, and does not take nothing for a success."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import shared_path
from docs.pages import ROOT

from stgcn_deploy.errors import FileUnreadableError
from stgcn_deploy.live.frames import Detection, Frame
from stgcn_deploy.live.recorder import Recorder
from stgcn_deploy.live.settings import VideoSettings
from stgcn_deploy.skeleton.layouts import LAYOUTS

pytest.importorskip("av", reason="clips need PyAV")
pytest.importorskip("cv2", reason="pictures need opencv-python-headless")

FRAMES, SIZE = 80, (160, 120)


@pytest.fixture(scope="module")
def overlays() -> ModuleType:
    spec = importlib.util.spec_from_file_location("overlays", ROOT / "docs" / "overlays.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["overlays"] = module
    spec.loader.exec_module(module)
    return module


class FakePose:
    """Finds a person whose left edge is the brightness of the picture."""

    name, layout, detector_every = "fake", "coco17", 1

    def __init__(self, *, blind: bool = False) -> None:
        self.seen: list[Frame] = []
        self.closed = False
        self._blind = blind

    def detect(self, frames: Sequence[Frame]) -> list[tuple[Detection, ...]]:
        self.seen += frames
        if self._blind:
            return [() for _ in frames]
        count = LAYOUTS[self.layout].num_joints
        points = np.ones((count, 3), np.float32)
        points[:, 0] = np.linspace(40, 120, count)
        points[:, 1] = np.linspace(50, 100, count)
        return [(Detection(points, 0.87),) for _ in frames]

    def forget(self, camera: str) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of two clips that get brighter from frame to frame, and a text."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        recorder = Recorder("x", folder / name, VideoSettings(crf=5), edges=(), every=True)
        for index in range(FRAMES):
            image = np.full((SIZE[1], SIZE[0], 3), 20 + 2 * index, np.uint8)
            recorder.people(Frame("x", index / 25, 0.0, image), [], 0.0)
        assert recorder.close(60.0).frames == FRAMES
    (folder / "notes.txt").write_text("no clip")
    return folder


def run(overlays: ModuleType, pose: FakePose, *arguments: object) -> int:
    return int(overlays.main([str(one) for one in arguments], pose=pose))


def test_the_middle_of_every_clip_is_drawn(
    overlays: ModuleType, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    pose = FakePose()
    assert run(overlays, pose, "--clips", clips, "-o", tmp_path / "out") == 0
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["a.jpg", "b.jpg"]
    assert "a.mp4: 1 found in frame 41" in capsys.readouterr().out
    assert pose.closed
    # The second before it, in order, and its own brightness.
    first = [one for one in pose.seen if one.camera == "a.mp4"]
    assert len(first) == overlays.BEFORE + 1
    times = [one.t for one in first]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(40 / 25, abs=0.01)
    image = first[-1].image
    assert image is not None
    assert abs(float(image.mean()) - (20 + 2 * 40)) < 4
    drawn = cv2.imread(str(tmp_path / "out" / "a.jpg"))[:, :, ::-1].astype(int)
    assert drawn.shape == (SIZE[1], SIZE[0], 3)
    assert np.abs(drawn[60:100, 40:120] - 100).max() > 60
    assert np.abs(drawn[108:, 130:] - 100).max() < 25


def test_pictures_are_not_replaced_unless_told(
    overlays: ModuleType, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--clips", clips / "a.mp4", "-o", tmp_path / "out")
    assert run(overlays, FakePose(), *where) == 0
    assert run(overlays, FakePose(), *where) == 2
    assert "exists" in capsys.readouterr().err
    assert run(overlays, FakePose(), *where, "--force") == 0


def test_nobody_in_any_clip_is_a_failure(
    overlays: ModuleType, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pose = FakePose(blind=True)
    assert run(overlays, pose, "--clips", clips, "-o", tmp_path / "out") == 1
    assert "nobody was found" in capsys.readouterr().err


def test_wrong_places_are_told(
    overlays: ModuleType, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    out = ("-o", tmp_path / "out")
    assert run(overlays, FakePose(), "--clips", tmp_path / "empty", *out) == 2
    assert run(overlays, FakePose(), "--clips", tmp_path / "none", *out) == 2
    assert run(overlays, FakePose(), "--clips", clips, clips / "a.mp4", *out) == 2
    assert "two clips have one name" in capsys.readouterr().err
    assert overlays.main(["--clips", str(clips), "-o", "x", "--pose", "blazepoze"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_what_is_no_video_is_told(overlays: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video" * 100)
    with pytest.raises(FileUnreadableError, match="no video"):
        overlays.middle(path)


@pytest.mark.shared
def test_real_clips_have_a_middle(overlays: ModuleType) -> None:
    for clip in overlays.find_clips([shared_path("data", "video")])[:2]:
        frames, index, count = overlays.middle(clip)
        assert 0 < index < count
        assert len(frames) == min(index, overlays.BEFORE) + 1
        assert frames[-1].image is not None
