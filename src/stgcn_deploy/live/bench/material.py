"""What simulated cameras show: synthetic motion of the bundle's layout, a file of recordings, or clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import DataError, FileUnreadableError, UsageError
from stgcn_deploy.live.bench.cameras import (
    Feed,
    KeypointFeed,
    SimulatedCamera,
    Timetable,
    VideoFeed,
)
from stgcn_deploy.live.bench.faults import FaultyCamera
from stgcn_deploy.live.bench.plan import BenchPlan, camera_name
from stgcn_deploy.live.bench.series import Series
from stgcn_deploy.live.settings import CameraSettings
from stgcn_deploy.live.sources.base import Source
from stgcn_deploy.live.sources.registry import open_source
from stgcn_deploy.manifest import Manifest

__all__ = ["VIDEO_SUFFIXES", "Cameras", "as_taken", "recordings", "video_files"]

# Different recordings at most; more cameras show the same ones, each from another frame on.
MOST_RECORDINGS = 12
SYNTHETIC_SECONDS = 20.0
LONGEST_SECONDS = 60.0
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")
# What synthetic motion is of where preparation is for depth cameras.
METRES = ("prenormalize_3d",)


def video_files(path: Path) -> tuple[str, ...]:
    """The clips of a folder, or the one file.

    Raises:
        UsageError: there are none.
    """
    if path.is_file():
        return (str(path),)
    found = sorted(
        one for one in path.glob("*") if one.is_file() and one.suffix.lower() in VIDEO_SUFFIXES
    )
    if not found:
        raise UsageError(
            f"{path} holds no clips ({', '.join(VIDEO_SUFFIXES)}); name a folder of some, or one file."
        )
    return tuple(str(one) for one in found)


class Cameras:
    """The cameras of a run, and how late each of them was.

    Args:
        zero: the time from which on faults count, once it is known.

    Raises:
        StgcnError: there is nothing to show.
    """

    def __init__(
        self, plan: BenchPlan, manifest: Manifest, zero: Callable[[], float | None] = lambda: None
    ) -> None:
        self._plan, self._zero = plan, zero
        random = np.random.default_rng(plan.seed)
        self._feeds: Callable[[int], Feed] = (
            _clips(plan) if plan.images else _keypoints(plan, manifest, random)
        )
        self._phases = random.random(plan.cameras).tolist()
        self._numbers = {camera_name(number): number for number in range(plan.cameras)}
        # One for each time that a camera was opened: a thread that hangs may be late in ending.
        self._lateness: list[Series] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Of all cameras, in their order."""
        return tuple(self._numbers)

    def make(self, settings: CameraSettings) -> Source:
        """One of them, closed; another one each time."""
        plan, number = self._plan, self._numbers[settings.name]
        if plan.streams:
            return open_source(settings.model_copy(update={"source": plan.streams[number]}))
        timetable = Timetable(
            plan.fps,
            phase=self._phases[number],
            jitter=plan.jitter,
            loss=plan.loss,
            pause_every=plan.pause_every,
            pause=plan.pause,
            seed=plan.seed + number,
        )
        series = Series()
        camera = SimulatedCamera(settings.name, self._feeds(number), timetable, series)
        faults = [one for one in plan.faults if one.camera == number]
        if faults:
            # It is late on purpose.
            return FaultyCamera(camera, faults, self._zero)
        self._lateness.append(series)
        return camera

    def lateness(self, start: float, end: float) -> NDArray[np.float64]:
        """By how much later frames were given that were due between two times, ms."""
        parts = [np.zeros(0)]
        for series in self._lateness:
            times, values = series.times, series.values
            # The camera goes on: it may have added a time and not yet its value.
            count = min(len(times), len(values))
            times, values = times[:count], values[:count]
            parts.append(values[(times >= start) & (times < end)])
        return np.concatenate(parts)


# ---- clips -----------------------------------------------------------------------------------


def _clips(plan: BenchPlan) -> Callable[[int], Feed]:
    def feed(number: int) -> Feed:
        settings = CameraSettings(
            name=camera_name(number), source=plan.clips[number % len(plan.clips)]
        )

        def opened() -> Source:
            return open_source(settings)

        return VideoFeed(opened)

    return feed


# ---- key points --------------------------------------------------------------------------------


def _keypoints(
    plan: BenchPlan, manifest: Manifest, random: np.random.Generator
) -> Callable[[int], Feed]:
    several = recordings(plan, manifest)
    starts = random.integers(1 << 20, size=plan.cameras).tolist()
    feeds = []
    for number in range(plan.cameras):
        one = several[number % len(several)]
        one = replace(one, layout=one.layout or manifest.layout.name)
        feeds.append(KeypointFeed.of(one, persons=plan.persons, start=starts[number]))
    return lambda number: feeds[number]


def recordings(plan: BenchPlan, manifest: Manifest) -> Sequence[Recording]:
    """What the cameras show, a few different ones.

    Raises:
        UsageError: the bundle's layout is nobody's, so that no motion can be made of it.
        StgcnError: the file cannot be read, or shows nobody.
    """
    wanted = min(plan.cameras, MOST_RECORDINGS)
    found = list(_read(plan, wanted) if plan.data else _made(plan, manifest, wanted))
    if not found:
        raise DataError(f"{plan.data} shows nobody in two frames or more; give another file.")
    return found


def _made(plan: BenchPlan, manifest: Manifest, count: int) -> Iterator[Recording]:
    from stgcn_deploy.data.synthetic.clips import LAYOUT_NAMES, ClipSettings
    from stgcn_deploy.data.synthetic.sequences import generate_sequence

    layout = manifest.layout.name
    if layout is None or layout not in LAYOUT_NAMES:
        raise UsageError(
            f"no motion can be made of the bundle's layout ({layout or 'your own'}); give recordings of "
            "it with --data FILE."
        )
    metres = any(step.name in METRES for step in manifest.steps)
    settings = ClipSettings(
        layout=layout,
        fps=plan.fps,
        persons=plan.persons,
        channels="xyz" if metres else "xyv",
        # Who is lost for a while asks for fewer windows: the load would not be what was said.
        missing=0.0,
    )
    for index in range(count):
        made = generate_sequence(SYNTHETIC_SECONDS, seed=plan.seed, settings=settings, index=index)
        yield as_taken(made.recording, manifest)


def as_taken(one: Recording, manifest: Manifest) -> Recording:
    """A recording as the bundle takes it: one that knows no steps gets numbers from 0 to 1."""
    if manifest.steps or one.image_size is None:
        return one
    clip = one.clip / np.array([*one.image_size, 1], np.float32)
    return Recording(clip, one.layout, None, raw=False, name=one.name, fps=one.fps)


def _read(plan: BenchPlan, count: int) -> Iterator[Recording]:
    from stgcn_deploy.data.formats import open_dataset

    assert plan.data is not None
    if not Path(plan.data).exists():
        raise FileUnreadableError(f"{plan.data} does not exist; name a file of recordings.")
    data = open_dataset(Path(plan.data))
    most = int(LONGEST_SECONDS * plan.fps)
    for index in range(len(data)):
        one = data[index]
        if one.clip.ndim == 4 and one.clip.shape[1] >= 2 and np.any(one.clip):
            clip = one.clip[:, :most]
            yield Recording(clip, one.layout, one.image_size, one.raw, one.name, one.label, one.fps)
            count -= 1
        if not count:
            return
