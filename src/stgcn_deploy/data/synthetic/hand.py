"""A hand on a forearm: a palm, four fingers and a thumb that bend, and how it is held at ease.

Hand axes of a right hand held up with its palm to the viewer: x to the thumb's side, y to the finger
tips, z out of the palm; a left hand is its mirror image.  Controls (D, T), in degrees:

    sway pitch roll     forearm: to the thumb's side, towards the viewer; palm turned to the thumb's side
    flex deviate        wrist: towards the palm, to the thumb's side
    right up near       where the elbow is, in centimetres; right is to the thumb's side
    <finger>_base _bend flexion of the knuckle, and of the joint after it; <finger>_spread to the thumb
    thumb_out _over     thumb away from the index finger, and before the palm
    thumb_base _bend    flexion of its two joints, across the palm

Lengths are about those of an adult's hand of 0.19 m.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.synthetic.timeline import Timeline

__all__ = ["HAND_JOINTS", "JOINT_FINGERS", "Hand", "HandStage", "new_hand_stage", "random_hand"]

Array = NDArray[np.float64]

FINGERS = ("index", "middle", "ring", "pinky")
_THUMB = ("thumb_out", "thumb_over", "thumb_base", "thumb_bend")
_ARM = ("sway", "pitch", "roll", "flex", "deviate", "right", "up", "near")
_CONTROLS = (
    *_ARM,
    *_THUMB,
    *(f"{finger}_{part}" for finger in FINGERS for part in ("base", "bend", "spread")),
)
HAND_JOINTS: tuple[str, ...] = (
    "wrist",
    *(f"{finger}_{part}" for finger in ("thumb", *FINGERS) for part in (1, 2, 3, 4)),
)
# The finger that each joint belongs to (V,); the wrist is by itself.
JOINT_FINGERS = np.array([0, *(np.arange(20) // 4 + 1)])

_FOREARM = 0.26
# Knuckles in the palm's frame, and the lengths of the bones after them, in metres.
_KNUCKLES = np.array(
    [[0.026, 0.09, 0.0], [0.004, 0.093, 0.0], [-0.017, 0.087, 0.0], [-0.036, 0.077, 0.0]]
)
_PHALANGES = np.array(
    [[0.042, 0.025, 0.022], [0.047, 0.029, 0.023], [0.043, 0.028, 0.023], [0.034, 0.021, 0.02]]
)
_THUMB_ROOT = np.array([0.022, 0.022, 0.008])
_THUMB_BONES = np.array([0.042, 0.034, 0.028])
# Where a thumb goes when it bends: across the palm, and a little before it.
_THUMB_ACROSS = np.array([-0.78, 0.3, 0.55])
# The last joint of a finger follows the one before it; nobody bends it alone.
_LAST_JOINT = 0.6


@dataclass(frozen=True)
class Hand:
    """One hand's proportions.

    Attributes:
        size: of everything, 1 for 0.19 m.
        fingers: of the fingers' length, besides.
        left: whether it is a left one.
    """

    size: float
    fingers: float
    left: bool

    def pose(self, controls: Array) -> Array:
        """Joints (T, V, 3) in metres for controls (D, T); the upright forearm's elbow at 0."""
        at = {name: controls[index] for name, index in HandStage.INDEX.items()}
        angle = {name: np.deg2rad(row) for name, row in at.items()}
        arm = _turn(2, -angle["sway"]) @ _turn(0, angle["pitch"]) @ _turn(1, angle["roll"])
        palm = arm @ _turn(0, angle["flex"]) @ _turn(2, -angle["deviate"])
        elbow = 0.01 * np.stack([at["right"], at["up"], at["near"]], axis=1)
        wrist = elbow + arm[..., 1] * _FOREARM
        local = [np.zeros((len(wrist), 1, 3)), self._thumb(angle)]
        local += [self._finger(number, angle) for number in range(len(FINGERS))]
        joints = np.concatenate(local, axis=1) * self.size
        placed: Array = wrist[:, None] + np.einsum("tij,tvj->tvi", palm, joints)
        if self.left:
            placed[..., 0] *= -1
        return placed

    def _finger(self, number: int, angle: dict[str, Array]) -> Array:
        """Knuckle to tip (T, 4, 3) in the palm's frame."""
        base, bend, spread = (angle[f"{FINGERS[number]}_{p}"] for p in ("base", "bend", "spread"))
        flexion = np.stack([base, base + bend, base + (1 + _LAST_JOINT) * bend], axis=1)
        side = spread[:, None]
        along = np.stack(
            [np.sin(side) * np.cos(flexion), np.cos(side) * np.cos(flexion), np.sin(flexion)],
            axis=-1,
        )
        return _chain(_KNUCKLES[number], along * (self.fingers * _PHALANGES[number])[:, None])

    def _thumb(self, angle: dict[str, Array]) -> Array:
        """Root to tip (T, 4, 3) in the palm's frame."""
        out, over, base, bend = (angle[name] for name in _THUMB)
        first = np.stack([np.sin(out) * np.cos(over), np.cos(out) * np.cos(over), np.sin(over)], 1)
        across = _THUMB_ACROSS - (first @ _THUMB_ACROSS)[:, None] * first
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        flexion = np.stack([np.zeros_like(base), base, base + bend], axis=1)[..., None]
        along = np.cos(flexion) * first[:, None] + np.sin(flexion) * across[:, None]
        return _chain(_THUMB_ROOT, along * (self.fingers * _THUMB_BONES)[:, None])


def _chain(root: Array, bones: Array) -> Array:
    """The joints (T, 4, 3) of a chain of bones (T, 3, 3)."""
    start = np.broadcast_to(root, (len(bones), 1, 3))
    return np.concatenate([start, root + np.cumsum(bones, axis=1)], axis=1)


def _turn(axis: int, angle: Array) -> Array:
    """Rotations (T, 3, 3) about x, y or z."""
    out = np.zeros((len(angle), 3, 3))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    out[:, axis, axis] = 1
    out[:, first, first] = out[:, second, second] = np.cos(angle)
    out[:, second, first] = np.sin(angle)
    out[:, first, second] = -out[:, second, first]
    return out


def random_hand(rng: np.random.Generator) -> Hand:
    """A left or right hand of random size."""
    size = float(np.clip(rng.normal(1.0, 0.08), 0.8, 1.2))
    return Hand(size, float(np.clip(rng.normal(1.0, 0.04), 0.9, 1.1)), bool(rng.random() < 0.5))


class HandStage(Timeline):
    """One hand's clip in the making."""

    INDEX: ClassVar[Mapping[str, int]] = {name: index for index, name in enumerate(_CONTROLS)}


def new_hand_stage(
    rng: np.random.Generator, frames: int, fps: float, window: float | None = None
) -> HandStage:
    """An empty stage of `frames` frames with a hand held up at ease.

    Args:
        window: seconds in which the action is to happen; all of them without.
    """
    window = window or frames / fps
    stage = HandStage(
        rng=rng,
        time=np.arange(frames) / fps,
        window=window,
        pace=min(1.0, window / 3.0),
        controls=np.zeros((len(_CONTROLS), frames)),
        happens=(0.0, window),
    )
    arm = {"sway": (-25, 20), "pitch": (5, 40), "roll": (-25, 30), "flex": (-15, 25)}
    thumb = {"out": (15, 40), "over": (10, 35), "base": (0, 25), "bend": (0, 30)}
    ranges = arm | {f"thumb_{name}": span for name, span in thumb.items()}
    stage.add(1, **{name: stage.uniform(*span) for name, span in ranges.items()})
    curl = stage.uniform(0, 1)
    for number, finger in enumerate(FINGERS):
        stage.add(
            1,
            **{
                f"{finger}_base": 8 + 25 * curl + stage.uniform(-4, 4),
                f"{finger}_bend": 12 + 30 * curl + stage.uniform(-6, 6) + 3 * number,
                f"{finger}_spread": 5 - 4 * number + stage.uniform(-2, 2),
            },
        )
    # No hand is ever still.
    size = np.full((len(_CONTROLS), 2, 1), stage.uniform(0.2, 1.0))
    size[[stage.INDEX[name] for name in ("right", "up", "near")]] *= 0.4
    rate = rng.uniform(0.08, 0.7, size.shape)
    phase = rng.uniform(0, 2 * np.pi, size.shape)
    stage.controls += (size * np.sin(2 * np.pi * rate * stage.time + phase)).sum(axis=1)
    return stage
