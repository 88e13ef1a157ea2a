"""What all pictures of a clip share: which joints can be drawn, whose colours, and where the people are.

Colours are mid tones, so that one drawing reads on light and on dark pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import ClipError, UsageError

__all__ = [
    "COLOURS",
    "LEFT",
    "MIDDLE",
    "RIGHT",
    "Bone",
    "Scene",
    "bone_side",
    "check_drawable",
    "is_face",
    "joint_side",
    "make_scene",
    "present_joints",
]

Edge = tuple[int, int]
Points = NDArray[np.float64]
Mask = NDArray[np.bool_]

# One row for each person slot, by turns: left side, neither side, right side of the body.
COLOURS = (
    ("#2367df", "#528ff2", "#8ab8fb"),
    ("#c2410c", "#ec6f26", "#f9ab6b"),
    ("#178a43", "#2fae63", "#7cd39b"),
    ("#8a35d8", "#a95feb", "#cfa0f7"),
)
LEFT, MIDDLE, RIGHT = 0, 1, 2
# The face is a crowd of short bones that would melt into a blot at full width.
_FACE = frozenset({"nose", "eye", "ear", "mouth"})
# Joints that lie so much further out than nearly all others do not set the scale.
_STRAY = 1.6


def check_drawable(clip: NDArray[Any], joints: Sequence[str], edges: Sequence[Edge]) -> None:
    """That a clip is (M, T, V, C) of these joints.

    Raises:
        ClipError: the clip is not, or is no numbers.
        UsageError: an edge outside the joints.
    """
    expected = f"(M, T, {len(joints)}, C) with x, y first"
    if clip.ndim != 4 or clip.shape[2] != len(joints) or clip.shape[3] < 2 or not clip.size:
        raise ClipError(f"the clip to draw has shape {clip.shape}, expected {expected}.")
    if not np.issubdtype(clip.dtype, np.number) or np.iscomplexobj(clip):
        raise ClipError(f"the clip to draw has dtype {clip.dtype}, expected numbers {expected}.")
    bad = sorted({joint for edge in edges for joint in edge if not 0 <= joint < len(joints)})
    if bad:
        raise UsageError(f"edges name joints {bad}, outside 0..{len(joints) - 1}.")


def present_joints(values: Points, *, metric: bool) -> Mask:
    """Which joints (M, T, V) of a clip (M, T, V, C) can be drawn.

    A joint is missing where it is not finite or x = y = 0, and for image data where channel three,
    the score, is 0.

    Args:
        metric: third channel z.  There a joint is missing where all its channels are 0, unless it
            alone lies there and the body around it: centred data.
    """
    finite = np.isfinite(values).all(axis=-1)
    if not metric:
        seen: Mask = finite & (values[..., :2] != 0).any(axis=-1)
        if values.shape[-1] > 2:
            seen &= values[..., 2] != 0
        return seen
    zero = (values == 0).all(axis=-1)
    known = (finite & ~zero)[..., None]
    low = np.where(known, values, np.inf).min(axis=2)
    high = np.where(known, values, -np.inf).max(axis=2)
    # Half a body of slack: the pelvis of a bowing person lies behind all other joints, whereas the
    # camera, the other origin in use, is metres away.
    some = known.any(axis=(2, 3))
    slack = 0.5 * np.where(some[..., None], high - low, 0.0).max(axis=-1, keepdims=True)
    around = ((low - slack <= 0) & (high + slack >= 0)).all(axis=-1) & some
    origin = zero & (zero.sum(axis=-1) == 1)[..., None] & around[..., None]
    found: Mask = finite & (~zero | origin)
    return found


def joint_side(joint: str) -> int:
    """LEFT, RIGHT or MIDDLE, by the prefix of a joint's name."""
    name = joint.lower()
    return LEFT if name.startswith("left_") else RIGHT if name.startswith("right_") else MIDDLE


def is_face(joint: str) -> bool:
    """Whether a joint is drawn finely."""
    return not _FACE.isdisjoint(joint.lower().split("_"))


def bone_side(start: int, end: int) -> int:
    """A limb's first bone hangs on the trunk: it takes the side of the end that has one."""
    found = {start, end} - {MIDDLE}
    return found.pop() if len(found) == 1 else MIDDLE


@dataclass(frozen=True)
class Bone:
    """From joint to joint, by index."""

    start: int
    end: int
    side: int
    face: bool


@dataclass(frozen=True)
class Scene:
    """A clip as moving pictures need it.

    Attributes:
        points: (M, T, V, 2), or 3 for metric data; x to the right, y down, z away; 0 where missing.
        present: (M, T, V).
        persons: slots that somebody is in.
        low, high: (2,) or (3,) the box that nearly everything lies in.
        body: height of a person, in units of the points.
    """

    points: Points
    present: Mask
    sides: tuple[int, ...]
    faces: tuple[bool, ...]
    bones: tuple[Bone, ...]
    persons: tuple[int, ...]
    low: Points
    high: Points
    body: float

    @property
    def frames(self) -> int:
        """T."""
        return int(self.points.shape[1])


def make_scene(
    clip: NDArray[Any], joints: Sequence[str], edges: Sequence[Edge], *, metric: bool = False
) -> Scene:
    """A clip (M, T, V, C), x and y first, made ready to be drawn.

    Args:
        joints: V names.
        edges: bones as pairs of joint indices.
        metric: x, y, z with y up, as Kinect data are.

    Raises:
        ClipError, UsageError: see check_drawable.
    """
    check_drawable(clip, joints, edges)
    values = clip.astype(np.float64)
    present = present_joints(values, metric=metric)
    deep = 3 if metric and values.shape[-1] > 2 else 2
    points = np.where(present[..., None], values[..., :deep], 0.0)
    if metric:
        points[..., 1] *= -1
    sides = tuple(joint_side(name) for name in joints)
    faces = tuple(is_face(name) for name in joints)
    low, high = _box(points[present])
    return Scene(
        points=points,
        present=present,
        sides=sides,
        faces=faces,
        bones=tuple(
            Bone(a, b, bone_side(sides[a], sides[b]), faces[a] or faces[b])
            for a, b in edges
            if a != b
        ),
        persons=tuple(int(one) for one in np.flatnonzero(present.any(axis=(1, 2)))),
        low=low,
        high=high,
        body=_body(points, present),
    )


def _box(points: Points) -> tuple[Points, Points]:
    """Lowest and highest coordinates of points (n, D), without the few that stray far."""
    if not len(points):
        return np.zeros(points.shape[-1]), np.ones(points.shape[-1])
    low, high = points.min(axis=0), points.max(axis=0)
    inner_low, inner_high = np.percentile(points, (0.5, 99.5), axis=0)
    room = 0.15 * (inner_high - inner_low)
    stray = high - low > _STRAY * (inner_high - inner_low)
    low, high = np.where(stray, inner_low - room, low), np.where(stray, inner_high + room, high)
    least = 1e-9 * max(1.0, float(np.abs(points).max()))
    return low, np.maximum(high, low + least)


def _body(points: Points, present: Mask) -> float:
    """Median over persons and frames of the longer side of a person's box."""
    some = present.any(axis=2)
    if not some.any():
        return 1.0
    shown, there = points[some][..., :2], present[some][..., None]
    spans = np.where(there, shown, -np.inf).max(axis=1) - np.where(there, shown, np.inf).min(axis=1)
    return max(float(np.median(spans.max(axis=1))), 1e-9)
