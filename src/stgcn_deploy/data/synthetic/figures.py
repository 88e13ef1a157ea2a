"""The two things that can move, a body and a hand, and how a layout's joints are had from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.synthetic.body import (
    BODY_JOINTS,
    EXTRA_JOINTS,
    JOINT_SEGMENTS,
    Body,
    random_body,
)
from stgcn_deploy.data.synthetic.camera import Eye, soft_step
from stgcn_deploy.data.synthetic.gestures import GESTURES
from stgcn_deploy.data.synthetic.hand import (
    HAND_JOINTS,
    JOINT_FINGERS,
    Hand,
    new_hand_stage,
    random_hand,
)
from stgcn_deploy.data.synthetic.motions import MOVES
from stgcn_deploy.data.synthetic.stage import new_stage, segment_angles
from stgcn_deploy.data.synthetic.timeline import Timeline
from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.layout import EdgeSet, Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.remap import correspondence

__all__ = ["BODY", "HAND", "Casting", "Figure", "cast"]

Array = NDArray[np.float64]
# Name -> (..., T); "heading" is an angle that goes on where the last action left it.
Tracks = dict[str, Array]

# Points within about this height of the lowest one share the body's weight with it.
_SOFTNESS_M = 0.006
_PERSON_SPACING_M = 1.2
_HAND_SPACING_M = 0.3
# Seconds of walking over which a camera that follows evens out where it points.
_FOLLOWING_S = 1.5


class Figure(ABC):
    """Something that moves.

    Attributes:
        joints: names (V,), those that only some layouts have last.
        framed: the first so many are in the picture whatever happens.
        groups: (V,) joints with the same number are found, and missed, together.
        moves: action -> what writes it on a stage.
        eye: where a camera may stand.
        metres: what the unit of image noise is in metres of a camera that measures depth.
    """

    joints: ClassVar[tuple[str, ...]]
    framed: ClassVar[int]
    groups: ClassVar[NDArray[np.intp]]
    moves: ClassVar[Mapping[str, Callable[[Any], None]]]
    eye: ClassVar[Eye]
    metres: ClassVar[float]

    @abstractmethod
    def one(self, rng: np.random.Generator) -> Any:
        """A body or hand of random proportions."""

    @abstractmethod
    def stage(
        self, rng: np.random.Generator, frames: int, fps: float, window: float | None = None
    ) -> Timeline:
        """An empty stage for it."""

    def perform(self, action: str, stage: Timeline) -> Tracks:
        """One random performance of an action, left-handed or right-handed."""
        self.moves[action](stage)
        return self.tracks(stage, mirror=stage.chance(0.5))

    @abstractmethod
    def tracks(self, stage: Timeline, *, mirror: bool) -> Tracks:
        """What `place` needs of a performance."""

    @abstractmethod
    def place(
        self, one: Any, tracks: Tracks, turn: float, fps: float, joints: int, *, follow: bool
    ) -> Array:
        """The first joints (T, V, 3) in the room, in metres, y up.

        Args:
            turn: radians about the vertical.
            follow: whether the camera stays with who walks away.
        """

    @abstractmethod
    def spread(self, points: Array, rng: np.random.Generator) -> None:
        """Several of them (M, T, V, 3), moved apart in place."""

    @abstractmethod
    def hidden(self, view: Array) -> Array:
        """How much of each joint (M, T, V) is behind the rest of its own body or hand, 0..1."""


class _BodyFigure(Figure):
    joints = (*BODY_JOINTS, *EXTRA_JOINTS)
    framed = len(BODY_JOINTS)
    groups = JOINT_SEGMENTS
    moves = MOVES
    eye = Eye(distance=(2.4, 5.5), aside=(-0.25, 0.25), height=(0.5, 2.7))
    # Depth errors of a Kinect are some centimetres where a 2-D estimator is off by a pixel or two.
    metres = 3.0

    def one(self, rng: np.random.Generator) -> Body:
        return random_body(rng)

    def stage(
        self, rng: np.random.Generator, frames: int, fps: float, window: float | None = None
    ) -> Timeline:
        return new_stage(rng, frames, fps, window)

    def tracks(self, stage: Any, *, mirror: bool) -> Tracks:
        if mirror:
            stage.mirror()
        still = np.zeros_like(stage.time)
        return {
            "controls": stage.controls,
            "heading": stage.heading,
            "lift": stage.lift,
            "travel": still + stage.travel,
            "drift": still + stage.drift,
            "left_swings": stage.swinging if stage.mirrored else still,
            "right_swings": still if stage.mirrored else stage.swinging,
        }

    def place(
        self, one: Any, tracks: Tracks, turn: float, fps: float, joints: int, *, follow: bool
    ) -> Array:
        posed = one.pose(segment_angles(tracks["controls"]), joints)
        heading = tracks["heading"] + turn
        cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
        x, z = posed[..., 0], posed[..., 2]
        turned = np.stack([cos * x + sin * z, posed[..., 1], cos * z - sin * x], axis=-1)
        drift = tracks["drift"][:, None] * np.concatenate([sin, cos], axis=1)
        placed = _put_on_floor(turned, one, tracks, drift, fps)
        if follow:
            placed[..., ::2] -= _smooth(placed[:, 0, ::2], _FOLLOWING_S * fps)[:, None]
        return placed

    def spread(self, points: Array, rng: np.random.Generator) -> None:
        # A sunflower's spiral keeps any number of people apart.
        turn = np.arange(len(points)) * 2.4 + rng.uniform(0, 2 * np.pi)
        radius = _PERSON_SPACING_M * np.sqrt(np.arange(len(points)))
        points[..., 0] += (radius * np.cos(turn))[:, None, None]
        points[..., 2] += (radius * np.sin(turn))[:, None, None]

    def hidden(self, view: Array) -> Array:
        at = {name: index for index, name in enumerate(BODY_JOINTS)}
        depth = view[..., 2]
        flat = view[..., :2] / depth[..., None]
        base, top = flat[..., at["spine_base"], :], flat[..., at["spine_shoulder"], :]
        axis = (top - base)[..., None, :]
        along = ((flat - base[..., None, :]) * axis).sum(-1) / ((axis * axis).sum(-1) + 1e-9)
        along = np.clip(along, 0, 1)
        off = np.linalg.norm(flat - base[..., None, :] - along[..., None] * axis, axis=-1)
        ends = depth[..., [at["spine_base"]]], depth[..., [at["spine_shoulder"]]]
        behind = depth - (1 - along) * ends[0] - along * ends[1]
        trunk = soft_step((0.115 - off * depth) / 0.02) * soft_step((behind - 0.07) / 0.02)
        head = flat[..., [at["head"]], :]
        off_head = np.linalg.norm(flat - head, axis=-1) * depth
        behind_head = depth - depth[..., [at["head"]]]
        skull = soft_step((0.1 - off_head) / 0.012) * soft_step((behind_head - 0.03) / 0.012)
        return np.maximum(trunk, skull)


def _put_on_floor(joints: Array, body: Body, tracks: Tracks, drift: Array, fps: float) -> Array:
    """Joints (T, V, 3) relative to the pelvis -> in the room, carried by whatever is lowest.

    What carries stands still, so the body moves against it: steps take it forward, a fall rolls
    over knee, hip and shoulder.  In the air it keeps to `drift` (T, 2) m/s.
    """
    carrying = joints[:, : len(body.radii)]
    height = carrying[..., 1] - body.radii
    lowest = height.min(axis=1, keepdims=True)
    weight = np.exp((lowest - height) / _SOFTNESS_M)
    # A soft minimum: the support passes from point to point without a jump.
    floor = lowest - _SOFTNESS_M * np.log(weight.sum(axis=1, keepdims=True))
    # A kicking leg that brushes the floor must not drag the body along.
    for side in ("left_", "right_"):
        free = np.clip(4 * tracks[f"{side}swings"][:, None], 0, 1)
        weight = weight * np.where([name.startswith(side) for name in BODY_JOINTS], 1 - free, 1)
    weight = weight + 1e-12
    share = weight / weight.sum(axis=1, keepdims=True)
    step = np.diff(carrying[..., ::2], axis=0)
    carried = -((share[1:] + share[:-1])[..., None] * 0.5 * step).sum(axis=1)
    airborne = np.clip(tracks["lift"][1:, None] / 0.02, 0, 1)
    carried = (1 - airborne) * carried + airborne * drift[1:] / fps
    out: Array = joints.copy()
    out[..., 1] += tracks["lift"][:, None] - floor
    out[1:, :, ::2] += np.cumsum(tracks["travel"][1:, None] * carried, axis=0)[:, None]
    return out


def _smooth(path: Array, sigma: float) -> Array:
    """A path (T, C) evened out over about `sigma` frames."""
    reach = min(int(3 * sigma), len(path) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    # Reflected in its ends, the path goes on at the speed with which it ends.
    before = 2 * path[0] - path[reach:0:-1]
    after = 2 * path[-1] - path[-2 : -2 - reach : -1]
    long = np.concatenate([before, path, after])
    columns = [np.convolve(column, kernel / kernel.sum(), mode="valid") for column in long.T]
    return np.stack(columns, axis=1)


class _HandFigure(Figure):
    joints = HAND_JOINTS
    framed = len(HAND_JOINTS)
    groups = JOINT_FINGERS
    moves = GESTURES
    eye = Eye(distance=(0.45, 0.9), aside=(-0.05, 0.05), height=(-0.15, 0.4), around=(-0.6, 0.6))
    metres = 0.4

    def one(self, rng: np.random.Generator) -> Hand:
        return random_hand(rng)

    def stage(
        self, rng: np.random.Generator, frames: int, fps: float, window: float | None = None
    ) -> Timeline:
        return new_hand_stage(rng, frames, fps, window)

    def tracks(self, stage: Timeline, *, mirror: bool) -> Tracks:
        # Which hand it is stays with the hand; a performance has no side.
        del mirror
        return {"controls": stage.controls}

    def place(
        self, one: Any, tracks: Tracks, turn: float, fps: float, joints: int, *, follow: bool
    ) -> Array:
        del turn, fps, follow  # it faces the camera, and stays
        placed: Array = one.pose(tracks["controls"])[:, :joints]
        return placed

    def spread(self, points: Array, rng: np.random.Generator) -> None:
        points[..., 0] += (_HAND_SPACING_M * np.arange(len(points)))[:, None, None]
        points[..., 1] += rng.uniform(-0.05, 0.05, (len(points), 1, 1))

    def hidden(self, view: Array) -> Array:
        at = [HAND_JOINTS.index(name) for name in ("wrist", "index_1", "pinky_1")]
        palm = view[..., at, :].mean(axis=2, keepdims=True)
        depth = view[..., 2]
        flat = view[..., :2] / depth[..., None] - palm[..., :2] / palm[..., 2:]
        off = np.linalg.norm(flat, axis=-1) * depth
        behind = depth - palm[..., 2]
        return np.asarray(soft_step((0.035 - off) / 0.008) * soft_step((behind - 0.018) / 0.005))


BODY: Figure = _BodyFigure()
HAND: Figure = _HandFigure()


@dataclass(frozen=True)
class Casting:
    """Who plays a layout, and how its joints come from theirs.

    Attributes:
        sources: of each joint of the layout, the joints of the figure that it is the mean of.
        made_of: the layout that it is computed from by its codebase, if it is not estimated itself.
    """

    figure: Figure
    layout: Layout
    sources: tuple[tuple[int, ...], ...]
    made_of: Layout | None = None

    @property
    def joints(self) -> int:
        """How many of the figure's joints are needed."""
        beyond = any(source >= self.figure.framed for each in self.sources for source in each)
        return len(self.figure.joints) if beyond else self.figure.framed

    @property
    def groups(self) -> NDArray[np.intp]:
        """(V,) which joints of the layout err together."""
        return self.figure.groups[[each[0] for each in self.sources]]

    @property
    def num_groups(self) -> int:
        """How many groups the figure has."""
        return int(self.figure.groups.max()) + 1

    def take(self, values: Array) -> Array:
        """The figure's (M, T, B, ...) as the layout's (M, T, V, ...)."""
        out: Array = values[:, :, [each[0] for each in self.sources]]
        for position, each in enumerate(self.sources):
            if len(each) > 1:
                out[:, :, position] = values[:, :, list(each)].mean(axis=2)
        return out


_NO_EDGES = (EdgeSet("none", (), 0),)
_PLAYED = Layout("synthetic body", BODY.joints, _NO_EDGES, dimensions=3)
# OpenPose's neck lies between the shoulders, Kinect's above them.
_RENAMED = {(name, "neck"): "spine_shoulder" for name in ("openpose18", "openpose25")}
# TSSTG's last joint is no estimate: it is the mean of two that are, score included.
_COMPUTED = {"cococut14": "coco17"}


def cast(layout: Layout | str) -> Casting:
    """Who plays a layout.

    Raises:
        UnknownNameError: no such layout.
        UsageError: it has joints that neither a body nor a hand has.
    """
    return _cast(LAYOUTS[layout] if isinstance(layout, str) else layout)


@lru_cache(maxsize=64)
def _cast(layout: Layout) -> Casting:
    if layout.name in _COMPUTED:
        made_of = LAYOUTS[_COMPUTED[layout.name]]
        return Casting(BODY, layout, _cast(made_of).sources, made_of)
    if set(layout.joints) <= set(HAND_JOINTS):
        return Casting(HAND, layout, tuple((HAND_JOINTS.index(name),) for name in layout.joints))
    names = tuple(_RENAMED.get((layout.name, joint), joint) for joint in layout.joints)
    wanted = Layout(layout.name, names, _NO_EDGES, dimensions=3)
    found = correspondence(_PLAYED, wanted)
    lacking = found.of_kind("missing")
    if lacking:
        raise UsageError(
            f"layout {layout.name!r} has joints that a synthetic body lacks: {', '.join(lacking)}; "
            f"use one of {', '.join(LAYOUTS)}."
        )
    return Casting(BODY, layout, tuple(origin.sources for origin in found.origins))
