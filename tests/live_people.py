"""Synthetic people for tests of the live half: a skeleton that swings its joints and goes its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stgcn_deploy.live.frames import Detection, Frame
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.people import People, WindowShape
from stgcn_deploy.live.settings import TrackSettings, WindowSettings
from stgcn_deploy.live.windows import Window

Path = Callable[[float], tuple[float, float]]
JOINTS = 13
# Somebody 60 wide and 180 high, about the origin.
_REST = np.random.default_rng(7).uniform([-30, -90], [30, 90], (JOINTS, 2))
_SWING = np.random.default_rng(8).uniform(2, 12, (JOINTS, 2))
_TURN = np.random.default_rng(9).uniform(0, 6.28, (JOINTS, 2))


def keypoints(t: float, at: tuple[float, float], noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """(V, 3) of somebody at time t: steady limbs about a place, and errors that t and seed decide."""
    points = _REST + _SWING * np.sin(5 * t + _TURN) + at
    rng = np.random.default_rng([seed, round(t * 1000)])
    points = points + noise * rng.standard_normal(points.shape)
    return np.concatenate([points, np.full((JOINTS, 1), 0.9)], axis=1).astype(np.float32)


def somebody(
    t: float,
    at: tuple[float, float],
    *,
    id: int | None = None,  # noqa: A002 - the field's name
    score: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Detection:
    """A detection of somebody at a place."""
    return Detection(keypoints(t, at, noise, seed), score=score, id=id)


def frame(t: float, camera: str = "door", size: tuple[int, int] | None = (640, 480)) -> Frame:
    """A frame that arrives 10 ms after it was taken."""
    return Frame(camera, t, t + 0.01, size=size)


class Told(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.windows: list[Window] = []
        self.dropped: list[str] = []

    def window(self, window: Window) -> None:
        self.windows.append(window)

    def window_dropped(self, camera: str, reason: str) -> None:
        self.dropped.append(reason)


def people(
    told: Observer,
    *,
    frames: int = 50,
    fps: float = 25.0,
    persons: int = 1,
    mode: str = "person",
    camera: str = "door",
    phase: float | None = None,
    confirm: int = 1,
    max_age: float = 1.0,
    **windows: float,
) -> People:
    """People in front of a camera, with windows of 2 seconds; by default all phases are what they are."""
    shape = WindowShape(fps, frames, persons, mode)
    windows.setdefault("max_gap", 0.4)
    track = TrackSettings(confirm=confirm, max_age=max_age)
    return People(camera, shape, WindowSettings(**windows), track, told, phase or 0.0)


def times(start: float, stop: float, fps: float) -> Sequence[float]:
    """start, start + 1 / fps, ... up to stop, that included."""
    return [start + k / fps for k in range(round((stop - start) * fps) + 1)]
