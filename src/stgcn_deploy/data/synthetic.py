"""Procedural human motion: labelled skeleton clips without a camera, a download or a licence.

    joint angles over time -> joints in metres on a floor -> camera -> what a pose estimator reports

The angles come from a small model of each action with random habit, speed, amplitude, handedness
and onset; a body of random proportions turns them into points; the lowest points carry the body, so
feet stand still on the floor without inverse kinematics.  A random pinhole camera, correlated
noise, self-occlusion and lost joints make image-like clips.  Everything follows from one random
generator, so a seed and an index name a clip for good.

The motion is plausible, not measured: use it to run, test and demonstrate; judge a network on
recordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data._body import (
    BODY_BONES,
    BODY_JOINTS,
    JOINT_SEGMENTS,
    SEGMENTS,
    Body,
    random_body,
)
from stgcn_deploy.data._motions import MOVES
from stgcn_deploy.data._stage import Stage, new_stage
from stgcn_deploy.errors import UnknownNameError, UsageError
from stgcn_deploy.registry import nearest
from stgcn_deploy.skeleton.layout import Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = [
    "ACTIONS",
    "BODY_BONES",
    "BODY_JOINTS",
    "LAYOUT_NAMES",
    "Motion",
    "generate_clip",
    "generate_motion",
    "iter_dataset",
    "make_dataset",
]

Array = NDArray[np.float64]
Clip = NDArray[np.float32]

ACTIONS: tuple[str, ...] = tuple(MOVES)
CHANNELS: tuple[str, ...] = ("xyv", "xyz")

LAYOUT_NAMES: tuple[str, ...] = ("mediapipe33", "coco17", "openpose18", "ntu25", "ntu24")
# OpenPose's neck lies between the shoulders, Kinect's above them.
_RENAMED = {("openpose18", "neck"): "spine_shoulder"}
_IMAGE_ASPECT = 640 / 480
# Points within about this height of the lowest one share the body's weight with it.
_SOFTNESS_M = 0.006
_PERSON_SPACING_M = 1.2
# Mean length in frames of a run in which a joint, or a whole person, is lost.
_LOST_RUN = 6.0
# Of the lost joint-frames, this share is lost by whole persons: the detector, not the joint.
_LOST_PERSON_SHARE = 0.3
# Of an error's variance, the part that a joint shares with its face, hand or foot.
_SHARED_ERROR = 0.85
# Depth errors of a Kinect are some centimetres where a 2-D estimator is off by a pixel or two.
_METRES_PER_IMAGE = 3.0


@dataclass(frozen=True)
class Motion:
    """One person's movement in a room.

    Attributes:
        joints3d: (T, V, 3) metres, y up from the floor; V as in `BODY_JOINTS`.
    """

    action: str
    joints3d: Array
    fps: float


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def _check_action(action: str) -> None:
    if action not in MOVES:
        raise UnknownNameError(
            f"unknown action {action!r}{nearest(action, ACTIONS)} Known: {', '.join(ACTIONS)}."
        )


def _check_time(frames: int, fps: float) -> None:
    _require(frames >= 2, f"frames is {frames}; a motion needs at least 2 frames.")
    _require(
        bool(np.isfinite(fps)) and fps > 0, f"fps is {fps}; give the frames per second, above 0."
    )


def _check_view(channels: str, persons: int, noise: float, missing: float) -> None:
    if channels not in CHANNELS:
        raise UnknownNameError(
            f"unknown channels {channels!r}{nearest(channels, CHANNELS)} Known: 'xyv' (image x, y, "
            "visibility) and 'xyz' (camera metres)."
        )
    _require(persons >= 1, f"persons is {persons}; a clip has at least 1 person.")
    _require(
        bool(np.isfinite(noise)) and noise >= 0,
        f"noise is {noise}; give a standard deviation of 0 or more (0.004 is usual).",
    )
    _require(
        0 <= missing < 1, f"missing is {missing}; give the share of lost joints, 0 to below 1."
    )


def _layout_columns(name: str) -> NDArray[np.intp]:
    """Which body joint each joint of the layout is, (V,)."""
    layout: Layout = LAYOUTS[name]
    wanted = [_RENAMED.get((layout.name, joint), joint) for joint in layout.joints]
    _require(
        set(wanted) <= set(BODY_JOINTS),
        f"layout {name!r} has joints that a synthetic body lacks; use one of "
        f"{', '.join(LAYOUT_NAMES)}.",
    )
    return np.array([BODY_JOINTS.index(joint) for joint in wanted])


def _put_on_floor(joints: Array, body: Body, stage: Stage, drift: Array, fps: float) -> Array:
    """Joints (T, V, 3) relative to the pelvis -> in the room, carried by whatever is lowest.

    What carries stands still, so the body moves against it: steps take it forward, a fall rolls
    over knee, hip and shoulder.  In the air it keeps to `drift` (T, 2) m/s.
    """
    height = joints[..., 1] - body.radii
    lowest = height.min(axis=1, keepdims=True)
    weight = np.exp((lowest - height) / _SOFTNESS_M)
    # A soft minimum: the support passes from point to point without a jump.
    floor = lowest - _SOFTNESS_M * np.log(weight.sum(axis=1, keepdims=True))
    # A kicking leg that brushes the floor must not drag the body along.
    side = "left_" if stage.mirrored else "right_"
    swings = np.array([name.startswith(side) for name in BODY_JOINTS])
    free = np.clip(4 * stage.swinging[:, None], 0, 1)
    weight = weight * np.where(swings, 1 - free, 1) + 1e-12
    share = weight / weight.sum(axis=1, keepdims=True)
    step = np.diff(joints[..., ::2], axis=0)
    carried = -((share[1:] + share[:-1])[..., None] * 0.5 * step).sum(axis=1)
    airborne = np.clip(stage.lift[1:, None] / 0.02, 0, 1)
    carried = (1 - airborne) * carried + airborne * drift[1:] / fps
    out: Array = joints.copy()
    out[..., 1] += stage.lift[:, None] - floor
    out[1:, :, ::2] += stage.travel * np.cumsum(carried, axis=0)[:, None]
    return out


def generate_motion(
    action: str, rng: np.random.Generator, *, frames: int = 150, fps: float = 25.0
) -> Motion:
    """One random performance of an action.

    Args:
        action: a name in `ACTIONS`.
        rng: the only source of randomness.

    Raises:
        UsageError: unknown action, fewer than 2 frames, or fps not above 0.
    """
    _check_action(action)
    _check_time(frames, fps)
    body = random_body(rng)
    stage = new_stage(rng, frames, fps)
    MOVES[action](stage)
    if stage.chance(0.5):
        stage.mirror()
    joints = body.pose(stage.angles())
    heading = stage.heading + stage.uniform(0, 2 * np.pi)
    cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
    x, z = joints[..., 0], joints[..., 2]
    turned = np.stack([cos * x + sin * z, joints[..., 1], cos * z - sin * x], axis=-1)
    drift = stage.drift * np.concatenate([sin, cos], axis=1)
    return Motion(action, _put_on_floor(turned, body, stage, drift, fps), fps)


def _camera_view(points: Array, rng: np.random.Generator) -> Array:
    """Room (M, T, V, 3) -> camera (right, up, depth) in metres, from a random place."""
    low, high = points.min(axis=(0, 1, 2)), points.max(axis=(0, 1, 2))
    radius = 0.5 * float(np.hypot(high[0] - low[0], high[2] - low[2]))
    distance = float(rng.uniform(2.4, 5.5)) + radius
    around = float(rng.uniform(0, 2 * np.pi))
    target = 0.5 * (low + high) + [0.0, float(rng.uniform(-0.25, 0.25)), 0.0]
    place = target + distance * np.array([np.sin(around), 0.0, np.cos(around)])
    place[1] = float(rng.uniform(0.5, 2.7))
    ahead = target - place
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    roll = float(rng.normal(0, 0.035))
    up = np.cross(right, ahead)
    tilted = np.cos(roll) * right + np.sin(roll) * up
    axes = np.stack([tilted, np.cross(tilted, ahead), ahead])
    view: Array = (points - place) @ axes.T
    return view


def _project(view: Array, rng: np.random.Generator) -> Array:
    """Camera metres (M, T, V, 3) -> image x, y (M, T, V, 2) in 0..1, y down, everybody inside."""
    image = view[..., :2] / np.maximum(view[..., 2:], 0.3) * [1.0 / _IMAGE_ASPECT, -1.0]
    low, high = image.min(axis=(0, 1, 2)), image.max(axis=(0, 1, 2))
    # The lens is as wide as it has to be, and the bodies stand anywhere in the picture.
    fill = float(rng.uniform(0.7, 0.95))
    focal = min(float(rng.uniform(0.8, 1.5)), fill / float((high - low).max()))
    free = 1.0 - focal * (high - low)
    corner = free * rng.uniform(0.1, 0.9, 2)
    projected: Array = focal * (image - low) + corner
    return projected


def _hidden(view: Array) -> Array:
    """How much of each joint (M, T, V) is behind its own person's trunk or head, 0..1."""
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
    trunk = _step((0.115 - off * depth) / 0.02) * _step((behind - 0.07) / 0.02)
    head = flat[..., [at["head"]], :]
    off_head = np.linalg.norm(flat - head, axis=-1) * depth
    behind_head = depth - depth[..., [at["head"]]]
    skull = _step((0.1 - off_head) / 0.012) * _step((behind_head - 0.03) / 0.012)
    return np.maximum(trunk, skull)


def _step(x: Array) -> Array:
    """A soft step from 0 to 1 around zero."""
    return 0.5 + 0.5 * np.tanh(x)


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Unit noise (M, T, V, C) with memory along T, about a bias that each joint keeps."""
    persons, frames, *rest = shape
    taps = np.array([0.3, 0.55, 0.65, 0.55, 0.3])
    taps /= np.linalg.norm(taps)
    raw = rng.standard_normal((persons, frames + len(taps) - 1, *rest))
    smooth = sum(tap * raw[:, lag : lag + frames] for lag, tap in enumerate(taps))
    bias = rng.standard_normal((persons, 1, *rest))
    return np.asarray(0.75 * smooth + 0.45 * raw[:, 2 : frames + 2] + 0.5 * bias)


def _jitter(rng: np.random.Generator, shape: tuple[int, ...], columns: NDArray[np.intp]) -> Array:
    """Unit noise (M, T, V, C); the joints of a face, hand or foot err mostly together."""
    persons, frames, _, channels = shape
    shared = _noise(rng, (persons, frames, len(SEGMENTS), channels))
    together = np.sqrt(_SHARED_ERROR) * shared[:, :, JOINT_SEGMENTS[columns]]
    return np.asarray(together + np.sqrt(1 - _SHARED_ERROR) * _noise(rng, shape))


def _runs(rng: np.random.Generator, rows: int, frames: int, share: float) -> NDArray[np.bool_]:
    """Rows (rows, T), true in random runs that cover about `share` of the frames."""
    # Runs overlap; asking for -log(1 - share) of the frames covers `share` of them.
    count = int(rng.poisson(-np.log1p(-share) * rows * frames / _LOST_RUN))
    row = rng.integers(rows, size=count)
    length = rng.geometric(1 / _LOST_RUN, size=count)
    start = rng.integers(1 - length, frames)
    edges = np.zeros((rows, frames + 1))
    np.add.at(edges, (row, np.maximum(start, 0)), 1)
    np.add.at(edges, (row, np.minimum(start + length, frames)), -1)
    return np.asarray(np.cumsum(edges, axis=1)[:, :frames] > 0)


def _lost(rng: np.random.Generator, shape: tuple[int, int, int], share: float) -> NDArray[np.bool_]:
    """Which joints (M, T, V) the estimator lost: short runs of a joint or of a whole person."""
    persons, frames, joints = shape
    single = _runs(rng, persons * joints, frames, share * (1 - _LOST_PERSON_SHARE))
    whole = _runs(rng, persons, frames, share * _LOST_PERSON_SHARE)
    lost: NDArray[np.bool_] = (
        single.reshape(persons, joints, frames).swapaxes(1, 2) | whole[..., None]
    )
    return lost


def _observe(
    view: Array, columns: NDArray[np.intp], rng: np.random.Generator, noise: float, missing: float
) -> Array:
    """Camera metres (M, T, body, 3) -> (x, y, visibility) (M, T, V, 3)."""
    image = _project(view, rng)[:, :, columns]
    hidden = _hidden(view)[:, :, columns]
    image = image + noise * (1 + 2 * hidden)[..., None] * _jitter(rng, image.shape, columns)
    seen = 0.985 - 0.75 * hidden + 0.03 * _noise(rng, (*hidden.shape, 1))[..., 0]
    clip = np.concatenate([np.clip(image, 0, 1), np.clip(seen, 0.01, 1)[..., None]], axis=-1)
    clip[_lost(rng, hidden.shape, missing)] = 0
    return clip


def generate_clip(
    action: str,
    rng: np.random.Generator,
    *,
    layout: str = "mediapipe33",
    frames: int = 150,
    fps: float = 25.0,
    persons: int = 1,
    channels: str = "xyv",
    noise: float = 0.004,
    missing: float = 0.03,
) -> Clip:
    """One clip (M, T, V, C) as a pose estimator would report it.

    Args:
        action: a name in `ACTIONS`; everybody in the clip does it, each in their own way.
        rng: the only source of randomness.
        layout: joints and their order; one of `LAYOUT_NAMES` or an alias.
        channels: "xyv" is image x, y in 0..1 (y down, 640 x 480 picture) and visibility 0..1;
            "xyz" is camera metres (x to the camera's left, y up, z ahead), as a Kinect gives.
        noise: standard deviation, in image widths and heights; for "xyz" times 3 metres.
        missing: share of joints lost, in short runs; a lost joint is all zeros.

    Raises:
        UsageError: a name or number that makes no sense.
    """
    _check_view(channels, persons, noise, missing)
    columns = _layout_columns(layout)
    motions = [generate_motion(action, rng, frames=frames, fps=fps) for _ in range(persons)]
    points = np.stack([motion.joints3d for motion in motions])
    # A sunflower's spiral keeps any number of people apart.
    turn = np.arange(persons) * 2.4 + rng.uniform(0, 2 * np.pi)
    radius = _PERSON_SPACING_M * np.sqrt(np.arange(persons))
    points[..., 0] += (radius * np.cos(turn))[:, None, None]
    points[..., 2] += (radius * np.sin(turn))[:, None, None]
    view = _camera_view(points, rng)
    if channels == "xyv":
        return _observe(view, columns, rng, noise, missing).astype(np.float32)
    clip = view[:, :, columns] * [-1.0, 1.0, 1.0]
    clip += noise * _METRES_PER_IMAGE * _jitter(rng, clip.shape, columns)
    clip[_lost(rng, (persons, frames, len(columns)), missing)] = 0
    return clip.astype(np.float32)


def iter_dataset(
    count: int,
    *,
    seed: int,
    actions: Sequence[str] = ACTIONS,
    layout: str = "mediapipe33",
    frames: int = 150,
    fps: float = 25.0,
    persons: int = 1,
    channels: str = "xyv",
    noise: float = 0.004,
    missing: float = 0.03,
) -> Iterator[tuple[Clip, int]]:
    """Clips (M, T, V, C) and labels, one at a time; `make_dataset` stacks them.

    Sample i performs actions[i % len(actions)] and depends on (seed, i) alone: a longer data set
    begins with the shorter one.

    Raises:
        UsageError: a name or number that makes no sense; at the call, not at the first sample.
    """
    _require(count >= 1, f"count is {count}; a data set has at least 1 clip.")
    _require(seed >= 0, f"seed is {seed}; give a whole number of 0 or more.")
    _require(len(actions) > 0, f"actions is empty; name some of {', '.join(ACTIONS)}.")
    for action in actions:
        _check_action(action)
    _check_time(frames, fps)
    _check_view(channels, persons, noise, missing)
    _layout_columns(layout)

    def samples() -> Iterator[tuple[Clip, int]]:
        for index in range(count):
            label = index % len(actions)
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
            clip = generate_clip(
                actions[label],
                rng,
                layout=layout,
                frames=frames,
                fps=fps,
                persons=persons,
                channels=channels,
                noise=noise,
                missing=missing,
            )
            yield clip, label

    return samples()


def make_dataset(
    count: int,
    *,
    seed: int,
    actions: Sequence[str] = ACTIONS,
    layout: str = "mediapipe33",
    frames: int = 150,
    fps: float = 25.0,
    persons: int = 1,
    channels: str = "xyv",
    noise: float = 0.004,
    missing: float = 0.03,
) -> tuple[Clip, NDArray[np.int64]]:
    """Clips (N, M, T, V, C) and labels (N,), balanced over `actions`.

    Raises:
        UsageError: a name or number that makes no sense.
    """
    samples = iter_dataset(
        count,
        seed=seed,
        actions=actions,
        layout=layout,
        frames=frames,
        fps=fps,
        persons=persons,
        channels=channels,
        noise=noise,
        missing=missing,
    )
    clips, labels = zip(*samples, strict=True)
    return np.stack(clips), np.array(labels, dtype=np.int64)
