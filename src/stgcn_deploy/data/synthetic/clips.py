"""Procedural human motion: labelled skeleton clips without a camera, a download or a licence.

    joint angles over time -> joints in metres on a floor -> camera -> what a pose estimator reports

The angles come from a small model of each action with random habit, speed, amplitude, handedness
and onset; a body of random proportions turns them into points; the lowest points carry the body, so
feet stand still on the floor without inverse kinematics.  A random pinhole camera, correlated
noise, self-occlusion, things in the way and lost joints make image-like clips.  Hands are made in the
same way, with gestures of their own.  Everything follows from one random generator, so a seed and an
index name a clip for good.

The motion is plausible, not measured: use it to run, test, calibrate and demonstrate; judge a network
on recordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.recording import Recording
from stgcn_deploy.data.synthetic.body import BODY_BONES, BODY_JOINTS
from stgcn_deploy.data.synthetic.camera import IMAGE_SIZE, camera_view, project
from stgcn_deploy.data.synthetic.estimator import Amount, Flaws, Scene, estimate
from stgcn_deploy.data.synthetic.figures import BODY, Casting, Figure, Tracks, cast
from stgcn_deploy.errors import UnknownNameError, UsageError
from stgcn_deploy.registry import nearest
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.remap import remap

__all__ = [
    "ACTIONS",
    "BODY_BONES",
    "BODY_JOINTS",
    "IMAGE_SIZE",
    "LAYOUT_NAMES",
    "ClipSettings",
    "Motion",
    "actions_of",
    "as_recording",
    "film",
    "generate_clip",
    "generate_motion",
    "iter_dataset",
    "make_dataset",
    "observe",
    "sample_rng",
    "stage_clip",
]

Array = NDArray[np.float64]
Clip = NDArray[np.float32]

ACTIONS: tuple[str, ...] = tuple(BODY.moves)
CHANNELS: tuple[str, ...] = ("xyv", "xyz")
LAYOUT_NAMES: tuple[str, ...] = tuple(LAYOUTS)
# About half a GiB while a clip is made.
MOST_PERSON_FRAMES = 200_000


def actions_of(layout: str) -> tuple[str, ...]:
    """What can be performed in a layout: `ACTIONS` by bodies, gestures by hands.

    Raises:
        UnknownNameError: no such layout.
    """
    return tuple(cast(layout).figure.moves)


@dataclass(frozen=True)
class Motion:
    """One person's movement in a room.

    Attributes:
        joints3d: (T, V, 3) metres, y up from the floor; V as in `BODY_JOINTS`.
    """

    action: str
    joints3d: Array
    fps: float


@dataclass(frozen=True)
class ClipSettings:
    """How clips are made; also the keywords of the functions that make them.

    Attributes:
        layout: joints and their order: a name of `LAYOUT_NAMES` or an alias.
        frames: T.
        fps: frames per second.
        persons: M; everybody in a clip does the same, each in their own way.
        channels: "xyv" is image x, y in 0..1 (y down, 640 x 480 picture) and visibility 0..1;
            "xyz" is camera metres (x to the camera's left, y up, z ahead), as a Kinect gives.
        noise: standard deviation, in image widths and heights; for "xyz" times 3 metres (0.4 for hands).
            Here as below a pair is a range, of which each clip draws its own.
        missing: share of joints lost, in short runs; a lost joint is all zeros.
        occlusion: share of the people that something in the picture stands before: a bar, a table, a
            wall.  Of what it covers half is lost and half guessed, with little visibility and much noise.

    Raises:
        UsageError: a name or number that makes no sense.
    """

    layout: str = "mediapipe33"
    frames: int = 150
    fps: float = 25.0
    persons: int = 1
    channels: str = "xyv"
    noise: Amount = 0.004
    missing: Amount = 0.03
    occlusion: Amount = 0.0

    def __post_init__(self) -> None:
        _check_time(self.frames, self.fps)
        if self.channels not in CHANNELS:
            raise UnknownNameError(
                f"unknown channels {self.channels!r}{nearest(self.channels, CHANNELS)} Known: 'xyv' "
                "(image x, y, visibility) and 'xyz' (camera metres)."
            )
        _require(self.persons >= 1, f"persons is {self.persons}; a clip has at least 1 person.")
        _require(
            self.persons * self.frames <= MOST_PERSON_FRAMES,
            f"{self.persons} person(s) for {self.frames} frames; one clip holds at most "
            f"{MOST_PERSON_FRAMES} frames of all persons together.",
        )
        _check_amount(
            "noise", self.noise, "give a standard deviation of 0 or more (0.004 is usual)"
        )
        for name, what in (("missing", "lost joints"), ("occlusion", "people covered")):
            advice = f"give the share of {what}, 0 to below 1"
            _check_amount(name, getattr(self, name), advice, below=1)
        cast(self.layout)

    @property
    def casting(self) -> Casting:
        """Who plays the layout."""
        return cast(self.layout)

    @property
    def flaws(self) -> Flaws:
        """The estimator's, in the unit of the channels."""
        noise = self.noise
        if self.channels == "xyz":
            metres = self.casting.figure.metres
            noise = (
                (noise[0] * metres, noise[1] * metres)
                if isinstance(noise, tuple)
                else noise * metres
            )
        return Flaws(noise, self.missing, self.occlusion)

    def choose(self, actions: Sequence[str] | None) -> tuple[str, ...]:
        """These actions, or all of the layout's.

        Raises:
            UsageError: none, or one that this layout's figure cannot perform.
        """
        known = actions_of(self.layout)
        chosen = known if actions is None else tuple(actions)
        _require(len(chosen) > 0, f"actions is empty; name some of {', '.join(known)}.")
        for action in chosen:
            _check_action(action, known)
        return chosen


def _settings(given: dict[str, Any]) -> ClipSettings:
    """Keywords as settings.

    Raises:
        UsageError: one that is none, or a value that makes no sense.
    """
    known = [field.name for field in fields(ClipSettings)]
    for name in given:
        if name not in known:
            raise UsageError(
                f"unknown setting {name!r}{nearest(name, known)} Known: {', '.join(known)}."
            )
    return ClipSettings(**given)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def _check_action(action: str, known: tuple[str, ...]) -> None:
    if action not in known:
        raise UnknownNameError(
            f"unknown action {action!r}{nearest(action, known)} Known: {', '.join(known)}."
        )


def _check_time(frames: int, fps: float) -> None:
    _require(frames >= 2, f"frames is {frames}; a motion needs at least 2 frames.")
    _require(
        bool(np.isfinite(fps)) and fps > 0, f"fps is {fps}; give the frames per second, above 0."
    )


def _check_amount(name: str, value: Amount, advice: str, below: float = np.inf) -> None:
    """A number from 0 to below a limit, or a range of such."""
    ends = value if isinstance(value, tuple) else (value, value)
    fits = len(ends) == 2 and 0 <= ends[0] <= ends[1] < below
    _require(fits, f"{name} is {value}; {advice}, or a range (low, high) of such.")


def generate_motion(
    action: str, rng: np.random.Generator, *, frames: int = 150, fps: float = 25.0
) -> Motion:
    """One random performance of an action by a body.

    Args:
        action: a name in `ACTIONS`.
        rng: the only source of randomness.

    Raises:
        UsageError: unknown action, fewer than 2 frames, or fps not above 0.
    """
    _check_action(action, ACTIONS)
    _check_time(frames, fps)
    return Motion(action, _performed(BODY, action, rng, frames, fps, BODY.framed), fps)


def _performed(
    figure: Figure, action: str, rng: np.random.Generator, frames: int, fps: float, joints: int
) -> Array:
    """The first joints (T, V, 3) of one random performance, in the room."""
    one = figure.one(rng)
    tracks: Tracks = figure.perform(action, figure.stage(rng, frames, fps))
    turn = float(rng.uniform(0, 2 * np.pi))
    return figure.place(one, tracks, turn, fps, joints, follow=False)


def film(points: Array, settings: ClipSettings, rng: np.random.Generator) -> Scene:
    """What a camera at a random place sees of figures (M, T, B, 3), which it moves apart."""
    casting = settings.casting
    figure = casting.figure
    figure.spread(points, rng)
    view = camera_view(points, points[:, :, : figure.framed], figure.eye, rng)
    hidden = None
    if settings.channels == "xyz":
        points = casting.take(view) * [-1.0, 1.0, 1.0]
        flat = points[..., :2] / points[..., 2:]
    else:
        points = flat = casting.take(project(view, figure.framed, rng))
        hidden = casting.take(figure.hidden(view))
    return Scene(points, hidden, flat, casting.groups, casting.num_groups)


def observe(scene: Scene, settings: ClipSettings, rng: np.random.Generator) -> Clip:
    """A scene (M, T, V, C) as a pose estimator reports it."""
    clip = estimate(scene, settings.flaws, rng).astype(np.float32)
    casting = settings.casting
    if casting.made_of is not None:
        clip = remap(clip, casting.made_of, casting.layout)
    return clip


def stage_clip(action: str, settings: ClipSettings, rng: np.random.Generator) -> Scene:
    """The scene of one clip."""
    casting = settings.casting
    performed = [
        _performed(casting.figure, action, rng, settings.frames, settings.fps, casting.joints)
        for _ in range(settings.persons)
    ]
    return film(np.stack(performed), settings, rng)


def as_recording(clip: NDArray[Any], settings: ClipSettings, *, name: str, label: int) -> Recording:
    """A clip as a pose estimator's raw numbers: pixels and scores, or metres."""
    size = None
    if settings.channels == "xyv":
        size = IMAGE_SIZE
        clip = clip * np.array([*IMAGE_SIZE, 1], np.float32)
    layout = settings.casting.layout.name
    return Recording(clip, layout, size, raw=True, name=name, label=label, fps=settings.fps)


def generate_clip(action: str, rng: np.random.Generator, **settings: Any) -> Clip:
    """One clip (M, T, V, C) as a pose estimator would report it.

    Args:
        action: one of `actions_of` the layout.
        rng: the only source of randomness.
        settings: see `ClipSettings`.

    Raises:
        UsageError: a name or number that makes no sense.
    """
    chosen = _settings(settings)
    chosen.choose([action])
    return observe(stage_clip(action, chosen, rng), chosen, rng)


def sample_rng(seed: int, index: int, *more: int) -> np.random.Generator:
    """The source of everything random in sample `index` of a data set."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, *more)))


def iter_dataset(
    count: int, *, seed: int, actions: Sequence[str] | None = None, **settings: Any
) -> Iterator[tuple[Clip, int]]:
    """Clips (M, T, V, C) and labels, one at a time; `make_dataset` stacks them.

    Sample i performs actions[i % len(actions)] and depends on (seed, i) alone: a longer data set
    begins with the shorter one.

    Args:
        actions: of `actions_of` the layout; all of them without.
        settings: see `ClipSettings`.

    Raises:
        UsageError: a name or number that makes no sense; at the call, not at the first sample.
    """
    _require(count >= 1, f"count is {count}; a data set has at least 1 clip.")
    _require(seed >= 0, f"seed is {seed}; give a whole number of 0 or more.")
    chosen = _settings(settings)
    names = chosen.choose(actions)

    def samples() -> Iterator[tuple[Clip, int]]:
        for index in range(count):
            label = index % len(names)
            rng = sample_rng(seed, index)
            yield observe(stage_clip(names[label], chosen, rng), chosen, rng), label

    return samples()


def make_dataset(
    count: int, *, seed: int, actions: Sequence[str] | None = None, **settings: Any
) -> tuple[Clip, NDArray[np.int64]]:
    """Clips (N, M, T, V, C) and labels (N,), balanced over `actions`; see `iter_dataset`.

    Raises:
        UsageError: a name or number that makes no sense.
    """
    clips, labels = zip(*iter_dataset(count, seed=seed, actions=actions, **settings), strict=True)
    return np.stack(clips), np.array(labels, dtype=np.int64)
