"""An articulated body: segments that turn about their pivots, and the joints that ride on them.

Body axes: x to the body's left, y up, z forward; right-handed.  Every number in the tables is a
fraction of the stature, from the usual anthropometric tables (Winter, "Biomechanics and Motor
Control of Human Movement", chapter 4: thigh .245, shank .246, upper arm .186, forearm .146 ...).

A segment's rotation is swing @ twist: the twist is about its own long axis (y), the swing about a
horizontal axis, given as a rotation vector (x, 0, z).  A swing has no preferred direction and no
singularity until half a turn, so an arm may go anywhere without a gimbal jump.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BODY_BONES",
    "BODY_JOINTS",
    "EXTRA_JOINTS",
    "JOINT_SEGMENTS",
    "SEGMENTS",
    "Body",
    "random_body",
]

Array = NDArray[np.float64]
Vector = tuple[float, float, float]
# name, segment, offset, thickness
JointRow = tuple[str, str, Vector, float]

_ARM = (
    # segment, parent, pivot in the parent's frame
    ("upper_arm", "chest", (0.108, 0.135, 0.0)),
    ("forearm", "upper_arm", (0.0, -0.186, 0.0)),
    ("hand", "forearm", (0.0, -0.146, 0.0)),
)
_LEG = (
    ("thigh", "pelvis", (0.052, -0.02, 0.0)),
    ("shank", "thigh", (0.0, -0.245, 0.0)),
    ("foot", "shank", (0.0, -0.246, 0.0)),
)
_SIDE_JOINTS = (
    # joint, segment, offset in the segment's frame, thickness of the flesh around it
    ("shoulder", "upper_arm", (0.0, 0.0, 0.0), 0.045),
    ("elbow", "forearm", (0.0, 0.0, 0.0), 0.025),
    ("wrist", "hand", (0.0, 0.0, 0.0), 0.018),
    ("hand", "hand", (0.0, -0.045, 0.005), 0.015),
    ("pinky", "hand", (0.0, -0.05, -0.022), 0.01),
    ("index", "hand", (0.0, -0.055, 0.018), 0.01),
    ("thumb", "hand", (-0.008, -0.035, 0.028), 0.01),
    ("hand_tip", "hand", (0.0, -0.1, 0.0), 0.008),
    ("hip", "thigh", (0.0, 0.0, 0.0), 0.06),
    ("knee", "shank", (0.0, 0.0, 0.0), 0.033),
    ("ankle", "foot", (0.0, 0.0, 0.0), 0.025),
    ("heel", "foot", (0.0, -0.034, -0.03), 0.005),
    ("foot_index", "foot", (0.006, -0.034, 0.115), 0.005),
    ("foot", "foot", (0.004, -0.024, 0.075), 0.012),
    ("eye_inner", "head", (0.01, 0.07, 0.052), 0.0),
    ("eye", "head", (0.019, 0.071, 0.05), 0.0),
    ("eye_outer", "head", (0.028, 0.07, 0.045), 0.0),
    ("ear", "head", (0.043, 0.055, 0.002), 0.02),
    ("mouth", "head", (0.014, 0.028, 0.05), 0.0),
)
_MIDDLE_JOINTS = (
    ("spine_base", "pelvis", (0.0, 0.0, 0.0), 0.065),
    ("spine_mid", "pelvis", (0.0, 0.13, 0.0), 0.065),
    ("spine_shoulder", "chest", (0.0, 0.13, 0.0), 0.06),
    ("neck", "chest", (0.0, 0.175, 0.0), 0.04),
    ("head", "head", (0.0, 0.075, 0.012), 0.06),
    ("nose", "head", (0.0, 0.05, 0.065), 0.01),
)
# Points that some layouts have and nothing else depends on: neither the floor nor the picture's frame.
_SIDE_EXTRAS = (
    ("small_toe", "foot", (0.026, -0.034, 0.09), 0.005),
    ("thumb_tip", "hand", (-0.006, -0.062, 0.038), 0.008),
)
# Bones by name, for checks and pictures: (child, parent).
_SIDE_BONES = (
    ("elbow", "shoulder"), ("wrist", "elbow"), ("hand", "wrist"), ("hand_tip", "wrist"),
    ("thumb", "wrist"), ("index", "wrist"), ("pinky", "wrist"), ("knee", "hip"),
    ("ankle", "knee"), ("heel", "ankle"), ("foot", "ankle"), ("foot_index", "heel"),
    ("ear", "eye_outer"), ("eye_outer", "eye"), ("eye", "eye_inner"),
)  # fmt: skip
_MIDDLE_BONES = (
    ("spine_mid", "spine_base"), ("spine_shoulder", "spine_mid"), ("neck", "spine_shoulder"),
    ("head", "neck"), ("nose", "head"), ("left_shoulder", "spine_shoulder"),
    ("right_shoulder", "spine_shoulder"), ("left_hip", "spine_base"), ("right_hip", "spine_base"),
)  # fmt: skip


def _sided(side: str, offset: Vector) -> Vector:
    return offset if side == "left" else (-offset[0], offset[1], offset[2])


def _segments() -> tuple[tuple[str, str, Vector], ...]:
    """(name, parent, pivot), every parent before its children."""
    rows: list[tuple[str, str, Vector]] = [
        ("pelvis", "", (0.0, 0.0, 0.0)),
        ("chest", "pelvis", (0.0, 0.13, 0.0)),
        ("head", "chest", (0.0, 0.175, 0.0)),
    ]
    for side in ("left", "right"):
        for name, parent, pivot in (*_ARM, *_LEG):
            above = parent if parent in {"chest", "pelvis"} else f"{side}_{parent}"
            rows.append((f"{side}_{name}", above, _sided(side, pivot)))
    return tuple(rows)


def _on_both_sides(table: tuple[JointRow, ...]) -> tuple[JointRow, ...]:
    rows: list[JointRow] = []
    for side in ("left", "right"):
        for name, segment, offset, radius in table:
            owner = segment if segment == "head" else f"{side}_{segment}"
            rows.append((f"{side}_{name}", owner, _sided(side, offset), radius))
    return tuple(rows)


_SEGMENT_ROWS = _segments()
_JOINT_ROWS: tuple[JointRow, ...] = (*_MIDDLE_JOINTS, *_on_both_sides(_SIDE_JOINTS))
_EXTRA_ROWS = _on_both_sides(_SIDE_EXTRAS)
SEGMENTS: tuple[str, ...] = tuple(row[0] for row in _SEGMENT_ROWS)
BODY_JOINTS: tuple[str, ...] = tuple(row[0] for row in _JOINT_ROWS)
EXTRA_JOINTS: tuple[str, ...] = tuple(row[0] for row in _EXTRA_ROWS)
BODY_BONES: tuple[tuple[int, int], ...] = tuple(
    (BODY_JOINTS.index(child), BODY_JOINTS.index(parent))
    for child, parent in (
        *_MIDDLE_BONES,
        *((f"{s}_{c}", f"{s}_{p}") for s in ("left", "right") for c, p in _SIDE_BONES),
    )
)
_PARENT = tuple(SEGMENTS.index(row[1]) if row[1] else -1 for row in _SEGMENT_ROWS)
# The segment that each joint, extra ones last, rides on (V,).
JOINT_SEGMENTS = np.array([SEGMENTS.index(row[1]) for row in (*_JOINT_ROWS, *_EXTRA_ROWS)])


def _rotations(angles: Array) -> Array:
    """(S, T, 3) swing about x, twist about y, swing about z -> matrices (S, T, 3, 3)."""
    x, y, z = angles[..., 0], angles[..., 1], angles[..., 2]
    size = np.sqrt(x * x + z * z)
    # sin(a)/a and (1-cos(a))/a^2 have finite limits; sinc keeps them exact at zero.
    first = np.sinc(size / np.pi)
    second = 0.5 * np.sinc(size / (2 * np.pi)) ** 2
    cos, sin = np.cos(y), np.sin(y)
    s00, s01, s02 = 1 - second * z * z, -first * z, second * x * z
    s10, s11, s12 = first * z, 1 - second * (x * x + z * z), -first * x
    s20, s21, s22 = second * x * z, first * x, 1 - second * x * x
    rows = (
        (s00 * cos - s02 * sin, s01, s00 * sin + s02 * cos),
        (s10 * cos - s12 * sin, s11, s10 * sin + s12 * cos),
        (s20 * cos - s22 * sin, s21, s20 * sin + s22 * cos),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


@dataclass(frozen=True)
class Body:
    """One person's proportions in metres.

    Attributes:
        pivots: (S, 3), of every segment in its parent's frame.
        offsets: (V + E, 3), of every joint, extra ones last, in its segment's frame.
        radii: (V,), thickness of the flesh around the joint.
    """

    pivots: Array
    offsets: Array
    radii: Array

    def pose(self, angles: Array, joints: int = len(BODY_JOINTS)) -> Array:
        """The first joints (T, V, 3) for segment angles (S, T, 3), the pelvis at the origin."""
        local = _rotations(angles)
        rotation: list[Array] = []
        origin: list[Array] = []
        for index, parent in enumerate(_PARENT):
            if parent < 0:
                rotation.append(local[index])
                origin.append(np.zeros((angles.shape[1], 3)))
            else:
                rotation.append(rotation[parent] @ local[index])
                origin.append(origin[parent] + rotation[parent] @ self.pivots[index])
        on = JOINT_SEGMENTS[:joints]
        turned = np.einsum("vtij,vj->tvi", np.stack(rotation)[on], self.offsets[:joints])
        posed: Array = turned + np.stack(origin, axis=1)[:, on]
        return posed


def random_body(rng: np.random.Generator) -> Body:
    """A symmetric body of random stature, limb lengths and breadth."""
    stature = float(np.clip(rng.normal(1.7, 0.11), 1.35, 2.0))
    length = {
        region: float(np.clip(rng.normal(1.0, 0.04), 0.88, 1.12))
        for region in ("arm", "leg", "trunk", "head")
    }
    breadth = float(np.clip(rng.normal(1.0, 0.08), 0.8, 1.25))

    def scale(segment: str) -> tuple[float, float]:
        name = segment.removeprefix("left_").removeprefix("right_")
        if name in {"upper_arm", "forearm", "hand"}:
            return length["arm"], length["arm"]
        if name in {"thigh", "shank", "foot"}:
            return length["leg"], length["leg"]
        if name == "head":
            return length["head"], length["head"]
        return breadth, length["trunk"]

    def sized(rows: list[tuple[str, Vector]]) -> Array:
        return np.array(
            [
                (x * scale(segment)[0], y * scale(segment)[1], z * scale(segment)[1])
                for segment, (x, y, z) in rows
            ]
        )

    pivots = sized([(parent or "pelvis", pivot) for _, parent, pivot in _SEGMENT_ROWS])
    rows = (*_JOINT_ROWS, *_EXTRA_ROWS)
    offsets = sized([(segment, offset) for _, segment, offset, _ in rows])
    return Body(
        pivots * stature, offsets * stature, np.array([row[3] for row in _JOINT_ROWS]) * stature
    )
