"""Does the camera's frame rate change the answer?  bench/frame_rates.md and bench/frame_rates.json.

    python bench/frame_rates.py [--clips 1100] [--seed 71]

Each motion is made once, 150 times a second, and filmed by cameras of several rates that all see the same
moments of it.  Windows are made in two ways: by the live half, which goes by time, and as others do, by
appending frames as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.synthetic import ACTIONS, ClipSettings, observe, sample_rng, stage_clip
from stgcn_deploy.live.frames import Detection, Frame
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.people import People, WindowShape
from stgcn_deploy.live.settings import TrackSettings, WindowSettings

HERE = Path(__file__).parent
Clip = NDArray[np.float32]

FPS, FRAMES = 25, 150
# 10, 15, 25, 30 and 50 divide it: their cameras meet at the same moments.
FINE = 150
STEP = FINE // FPS
# A little longer in sight than a window is, as most people are when one is due.
SECONDS = 6.4
TRUTH = "25 fps"


@dataclass(frozen=True)
class Film:
    """One motion as a pose estimator reports it at every moment: (T, V, C), T = FINE a second."""

    label: int
    reports: Clip
    again: Clip


def film(index: int, seed: int, **flaws: float) -> Film:
    """Motion `index` with the estimator's errors, and the same with other errors.

    The errors are the synthetic estimator's at 25 frames a second, each held until the next one: so they
    keep their memory (wrong for some frames in a row, lost for some frames in a row), and at one moment
    all cameras see the same ones.
    """
    frames = round(SECONDS * FPS) + 1
    label = index % len(ACTIONS)
    fine = ClipSettings(frames=frames * STEP, fps=FINE, **flaws)
    scene = stage_clip(ACTIONS[label], fine, sample_rng(seed, index))
    both = []
    for take in (1, 2):
        reports = np.zeros((frames * STEP, *scene.points.shape[2:3], 3), np.float32)
        for part in range(STEP):
            moments = replace(
                scene,
                points=scene.points[:, part::STEP],
                hidden=scene.hidden[:, part::STEP],
                flat=scene.flat[:, part::STEP],
            )
            # The same generator for each part: one error for the STEP moments of a frame.
            reports[part::STEP] = observe(moments, fine, sample_rng(seed, index, take))[0]
        both.append(reports)
    return Film(label, *both)


@dataclass(frozen=True)
class Camera:
    """Which moments of a film it takes, and which of the two estimates."""

    fps: int = FPS
    kept: float = 1.0
    again: bool = False

    def frames(self, one: Film, index: int, seed: int) -> list[tuple[float, Clip]]:
        """Time and report (V, C) of each frame; all zero where nobody was found."""
        reports = one.again if self.again else one.reports
        moments = range(0, round(SECONDS * FINE) + 1, FINE // self.fps)
        rng = sample_rng(seed, index, 3)
        return [(k / FINE, reports[k]) for k in moments if rng.random() < self.kept]


CAMERAS = {
    TRUTH: Camera(),
    "10 fps": Camera(10),
    "15 fps": Camera(15),
    "30 fps": Camera(30),
    "25 fps, half of the frames dropped at random": Camera(kept=0.5),
    "25 fps, the estimator's errors drawn anew": Camera(again=True),
}


def by_time(frames: Sequence[tuple[float, Clip]]) -> Clip | None:
    """The window (M, T, V, C) of the live half with the newest frame; None: it makes none."""
    shape = WindowShape(FPS, FRAMES, 1, "person")
    crowd = People("camera", shape, WindowSettings(), TrackSettings(), Observer())
    crowd.most = 0
    made = []
    for number, (t, report) in enumerate(frames):
        if number == len(frames) - 1:
            crowd.most, crowd.stride = None, 1e-3
        _, made = crowd.update(Frame("camera", t, t), [Detection(report)], t)
    return made[0].clip if made else None


def by_append(frames: Sequence[tuple[float, Clip]]) -> Clip | None:
    """The last T frames in which somebody was found, whenever that was."""
    found = [report for _, report in frames if report.any()]
    return np.stack(found[-FRAMES:])[None] if found else None


WAYS: dict[str, Callable[[Sequence[tuple[float, Clip]]], Clip | None]] = {
    "by time": by_time,
    "appended": by_append,
}


def answers(model: Any, count: int, seed: int, **flaws: float) -> Iterator[dict[str, Any]]:
    """For each motion its label, and of each camera and way the probabilities, or None."""
    for index in range(count):
        one = film(index, seed, **flaws)
        row: dict[str, Any] = {"label": one.label}
        clips: dict[tuple[str, str], Clip | None] = {("eval", TRUTH): None}
        for name, camera in CAMERAS.items():
            frames = camera.frames(one, index, seed)
            for way, make in WAYS.items():
                clips[way, name] = make(frames)
        # What `eval` would have of it: the frames as they are, nobody found being zeros.
        truth = CAMERAS[TRUTH].frames(one, index, seed)
        clips["eval", TRUTH] = np.stack([report for _, report in truth[-FRAMES:]])[None]
        there = [key for key, clip in clips.items() if clip is not None]
        batch = np.stack([model.prepare(clips[key], fit="pad") for key in there])
        scores = dict(zip(there, model.scores(batch), strict=True))
        row["scores"] = {key: scores.get(key) for key in clips}
        yield row
