"""People painted as two dots, and networks with BlazePose's outputs that see such people alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.live.frames import Frame
from stgcn_deploy.live.pose.blaze_anchors import ANCHORS
from stgcn_deploy.live.pose.blazepose import BlazePose
from stgcn_deploy.live.pose.pool import Pool
from stgcn_deploy.live.settings import PoseSettings

# What a dot has in the red channel (hips) or the green one (scale point), for each person.
SHADES = (100, 150, 200, 250)
# Dots of fewer pixels are too small to be seen.
LEAST = 6


@dataclass(frozen=True)
class Person:
    """Somebody whose hips and scale point are here, in pixels."""

    x: float
    y: float
    up: tuple[float, float] = (0.0, -60.0)
    shade: int = SHADES[0]
    dot: int = 6

    @property
    def points(self) -> NDArray[np.float64]:
        return np.array([(self.x, self.y), (self.x + self.up[0], self.y + self.up[1])])

    @property
    def joints(self) -> NDArray[np.float64]:
        """Joint j lies between hips and scale point, j / 32 of the way."""
        hips, scale = self.points
        return hips + np.arange(33)[:, None] / 32 * (scale - hips)


def paint(*people: Person, width: int = 640, height: int = 480) -> NDArray[np.uint8]:
    image = np.zeros((height, width, 3), np.uint8)
    for person in people:
        for channel, (x, y) in enumerate(person.points):
            rows = slice(max(0, round(y) - person.dot), max(0, round(y) + person.dot + 1))
            columns = slice(max(0, round(x) - person.dot), max(0, round(x) + person.dot + 1))
            image[rows, columns, channel] = person.shade
    return image


def frame(*people: Person, t: float = 0.0, camera: str = "a", **options: Any) -> Frame:
    return Frame(camera, t, t, paint(*people, **options))


def _dots(image: NDArray[Any]) -> list[NDArray[np.float64]]:
    """Of each person in an input (1, H, W, 3), 0 to 255: hips and scale point, 0 to 1."""
    found = []
    size = image.shape[1]
    for shade in SHADES:
        points = []
        for channel in (0, 1):
            rows, columns = np.nonzero(np.abs(image[0, ..., channel] - shade) < 3)
            if len(rows) >= LEAST:
                points.append((columns.mean() / size, rows.mean() / size))
        if len(points) == 2:
            found.append(np.array(points))
    return found


@dataclass
class Networks:
    """Both networks; counts what was made and called, and breaks when told."""

    made: int = 0
    detector_calls: int = 0
    landmark_calls: int = 0
    score: float = 0.9
    broken: Callable[[], None] = lambda: None
    poison: bool = False
    _lock: Lock = field(default_factory=Lock)

    def detector(self) -> Callable[[NDArray[np.float32]], tuple[NDArray[Any], ...]]:
        self.made += 1

        def run(image: NDArray[np.float32], /) -> tuple[NDArray[Any], ...]:
            with self._lock:
                self.detector_calls += 1
            self.broken()
            assert image.shape == (1, 224, 224, 3)
            assert image.dtype == np.float32
            values = np.zeros((1, 2254, 12), np.float32)
            logits = np.full((1, 2254, 1), -50.0, np.float32)
            for hips, scale in _dots((image + 1) * 127.5):
                at = int(np.abs(ANCHORS - hips).sum(axis=1).argmin())
                box = [*(hips - ANCHORS[at]), 0.05, 0.05]
                values[0, at] = (
                    np.array([*box, *(hips - ANCHORS[at]), *(scale - ANCHORS[at]), *[0.0] * 4])
                    * 224
                )
                logits[0, at] = 3.0
            return values, logits

        return run

    def landmarks(self) -> Callable[[NDArray[np.float32]], tuple[NDArray[Any], ...]]:
        self.made += 1

        def run(image: NDArray[np.float32], /) -> tuple[NDArray[Any], ...]:
            with self._lock:
                self.landmark_calls += 1
            self.broken()
            assert image.shape == (1, 256, 256, 3)
            dots = _dots(image * 255.0)
            told = np.zeros((39, 5), np.float32)
            score = 0.0
            if dots:
                hips, scale = min(dots, key=lambda points: float(np.abs(points[0] - 0.5).sum()))
                told[:33, :2] = (hips + np.arange(33)[:, None] / 32 * (scale - hips)) * 256
                told[33, :2], told[34, :2] = hips * 256, scale * 256
                told[:33, 3] = 4.0
                score = self.score if np.abs(hips - 0.5).max() < 0.25 else 0.0
            if self.poison:
                told[:] = np.nan
            heat = np.full((1, 64, 64, 39), -20.0, np.float32)
            mask = np.zeros((1, 256, 256, 1), np.float32)
            return told.reshape(1, 195), np.array([[score]], np.float32), mask, heat

        return run

    def pose(self, *, boxes: Any = None, smooth: bool = False, **settings: Any) -> BlazePose:
        """The estimator with these networks."""
        return BlazePose(
            PoseSettings(**settings),
            Pool(self.detector),
            Pool(self.landmarks),
            boxes,
            smooth=smooth,
        )
