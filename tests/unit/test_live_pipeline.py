"""The run put together: images through a pose estimator, sessions, what breaks and what ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streams import write_video

from stgcn_deploy.errors import BackendError
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Detection, Frame, Reading
from stgcn_deploy.live.pipeline import Live
from stgcn_deploy.live.recorder import Recorder
from stgcn_deploy.live.settings import CameraSettings, LiveSettings, VideoSettings
from stgcn_deploy.live.tally import Tally

pytest.importorskip("av", reason="video needs PyAV")

RNG = np.random.default_rng(0)
BODY = RNG.uniform(10, 40, (18, 3)).astype(np.float32)


class StandingPose:
    """Somebody who stands in the middle of every picture, and moves a little."""

    name, layout = "standing", "openpose18"
    detector_every = 1

    def __init__(self, fails: Callable[[Frame], bool] = lambda frame: False) -> None:
        self.seen: list[tuple[str, tuple[int, ...]]] = []
        self.forgotten: list[str] = []
        self.closed = False
        self._fails = fails

    def detect(self, frames: Sequence[Frame]) -> list[tuple[Detection, ...]]:
        out = []
        for frame in frames:
            assert frame.image is not None
            if self._fails(frame):
                raise BackendError("the estimator broke")
            self.seen.append((frame.camera, frame.image.shape))
            body = BODY.copy()
            body[:, 0] += len(self.seen) % 5
            body[:, 2] = 1.0
            out.append((Detection(body, 0.9),))
        return out

    def forget(self, camera: str) -> None:
        self.forgotten.append(camera)

    def close(self) -> None:
        self.closed = True


class Sink:
    name = "list"

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        pass


@pytest.fixture
def bundle(example: Callable[..., Any]) -> Path:
    path: Path = example("stgcn", fps=25.0, persons=1, dynamic="batch").bundle
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_video(path, frames=50)
    return path


def settings(bundle: Path, *cameras: CameraSettings, **more: Any) -> LiveSettings:
    return LiveSettings.model_validate({"bundle": str(bundle), "cameras": cameras, **more})


def run(live: Live) -> bool:
    live.start()
    try:
        assert live.wait(60)
    finally:
        clean = live.stop()
    return clean


def no_threads_left() -> bool:
    mine = ("pose-", "action-", "capture ", "watch", "sink ")
    return not [one for one in threading.enumerate() if one.name.startswith(mine)]


def test_images_become_people_windows_and_a_video(bundle: Path, clip: Path, tmp_path: Path) -> None:
    pose, tally, sink = StandingPose(), Tally(), Sink()
    recorder = Recorder(
        "a", tmp_path / "a.mp4", VideoSettings(), edges=[(0, 1), (1, 2)], every=True
    )
    cameras = [CameraSettings(name=name, source=str(clip)) for name in ("a", "b")]
    live = Live(
        settings(bundle, *cameras, windows={"stride": 0.2}),
        pose=pose, sinks=[sink], observers=[tally, recorder],
    )  # fmt: skip
    assert run(live)
    report = tally.report(clean=True, failures=live.failures())
    assert report.frames == {"ok": 100}
    assert report.windows["ok"] >= 10
    assert set(report.windows) <= {"ok", "underfilled"}
    assert {camera for camera, _ in pose.seen} == {"a", "b"}
    assert pose.closed
    assert recorder.close().frames == 50
    assert [event.type for event in sink.events][-1] == "offline"
    assert no_threads_left()


def test_each_camera_may_have_a_session_of_its_own(bundle: Path, clip: Path) -> None:
    tally = Tally()
    cameras = [CameraSettings(name=name, source=str(clip)) for name in ("a", "b", "c")]
    live = Live(
        settings(bundle, *cameras, batch={"per_camera": True}, windows={"stride": 0.2}, threads=1),
        pose=StandingPose(), observers=[tally],
    )  # fmt: skip
    assert sum(thread.name.startswith("action-") for thread in live._actions) == 3
    assert run(live)
    assert set(tally.report(clean=True, failures={}).batches) == {1}


def test_a_frame_that_breaks_the_estimator_costs_that_frame(bundle: Path, clip: Path) -> None:
    calls = []

    def third(frame: Frame) -> bool:
        calls.append(frame)
        return len(calls) == 3

    pose, tally = StandingPose(third), Tally()
    live = Live(
        settings(bundle, CameraSettings(name="a", source=str(clip))), pose=pose, observers=[tally]
    )
    assert run(live)
    assert tally.report(clean=True, failures={}).frames == {"ok": 49, "failed": 1}
    assert pose.forgotten == ["a"]
    assert live.failures() == {}


def test_a_camera_that_breaks_it_again_and_again_is_given_up_and_the_others_go_on(
    bundle: Path, clip: Path
) -> None:
    pose, tally, sink = StandingPose(lambda frame: frame.camera == "bad"), Tally(), Sink()
    cameras = [CameraSettings(name=name, source=str(clip)) for name in ("bad", "good")]
    live = Live(settings(bundle, *cameras), pose=pose, sinks=[sink], observers=[tally])
    run(live)
    found = tally.report(clean=True, failures=live.failures())
    assert list(found.failures) == ["bad"]
    assert "the estimator broke" in found.failures["bad"]
    assert found.by_camera["good"]["frames ok"] == 50
    states = [(e.camera, e.label) for e in sink.events if e.type == "camera_state"]
    assert ("bad", "disabled") in states
    assert no_threads_left()


class Endless:
    """A camera whose people never end, and that notices when it is closed."""

    live, layout, channels, raw, fps = True, "openpose18", "xys", True, 25.0

    def __init__(self, name: str) -> None:
        self.name = name
        self._closed = threading.Event()

    def open(self) -> None:
        pass

    def read(self) -> Reading | None:
        if self._closed.wait(0.01):
            return None
        return Reading(None, persons=(Detection(BODY, 1.0, None, 1),), size=(64, 48))

    def close(self) -> None:
        self._closed.set()


class HangingSink(Sink):
    """Takes the first event and never comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def emit(self, event: Event) -> None:
        self.let_go.wait(60)


def test_a_sink_that_hangs_stalls_nothing_but_itself(bundle: Path) -> None:
    tally, hanging, sink = Tally(), HangingSink(), Sink()
    live = Live(
        settings(bundle, CameraSettings(name="a", source="0"), windows={"stride": 0.1}),
        make=lambda camera: Endless(camera.name),
        sinks=[hanging, sink], observers=[tally],
    )  # fmt: skip
    live.start()
    assert not live.wait(2.0)
    assert live.alive()
    assert live.ready() == (True, {"a": "running"})
    assert not live.stop()
    hanging.let_go.set()
    report = tally.report(clean=False, failures={})
    assert report.frames["ok"] > 20
    assert report.windows["ok"] > 3
    assert sink.events[-1].type == "offline"


def test_it_stops_without_having_begun(bundle: Path) -> None:
    live = Live(
        settings(bundle, CameraSettings(name="a", source="0")),
        make=lambda camera: Endless(camera.name),
    )
    assert live.ready() == (False, {"a": "init"})
    live.stop()
    assert no_threads_left()
