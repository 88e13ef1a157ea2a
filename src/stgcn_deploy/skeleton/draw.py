"""Skeleton clips as SVG film strips: text only, so that a report needs no plotting library.

Colours are mid tones and texts take the surrounding colour, so that one drawing reads on light and
on dark pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.scene import (
    COLOURS,
    LEFT,
    MIDDLE,
    RIGHT,
    bone_side,
    check_drawable,
    is_face,
    joint_side,
    present_joints,
)

__all__ = ["clip_svg"]

Edge = tuple[int, int]
Points = NDArray[np.float64]
Mask = NDArray[np.bool_]

_GAP, _PAD, _HEAD, _FOOT = 6.0, 9.0, 24.0, 17.0
# A cell is at least this wide and at most this wide, in heights: a lone pole, a whole street.
_NARROWEST, _WIDEST = 0.42, 1.6
_SLIMMEST = 190.0  # the whole picture: a title needs some room
_CHARACTER = 0.62  # mean width of a letter of a wide font, in font sizes


@dataclass(frozen=True)
class _Strip:
    """Where everything goes, in SVG units.

    Attributes:
        scale: SVG units for one unit of the clip, alike in x and y.
        middles: (cells, 2) the clip's point that lies in the middle of each cell.
    """

    cells: int
    cell: tuple[float, float]
    top: float
    scale: float
    middles: Points
    bone: float

    @property
    def width(self) -> float:
        return max(_SLIMMEST, self.cells * self.cell[0] + (self.cells - 1) * _GAP)

    def left(self, index: int) -> float:
        return index * (self.cell[0] + _GAP)

    def place(self, points: Points, index: int) -> Points:
        """Points (V, 2) of the clip into cell `index`."""
        centre = (self.left(index) + self.cell[0] / 2, self.top + self.cell[1] / 2)
        placed: Points = (points - self.middles[index]) * self.scale + centre
        return placed


def clip_svg(
    clip: NDArray[Any],
    layout_joints: Sequence[str],
    edges: Sequence[Edge],
    *,
    frames: int = 6,
    height: int = 220,
    title: str = "",
    y_up: bool = False,
) -> str:
    """Draw a film strip: poses evenly spaced from the first to the last frame that shows anybody.

    Persons differ in colour, the left and the right side of the body in shade (by the joint names'
    prefix `left_` or `right_`).  All poses share one scale and one floor, so that a jump is seen;
    sideways each cell follows the people, or somebody who crosses the room would come out tiny.
    One unit is drawn equally long in x and in y: where x is divided by the image's width and y by
    its height, multiply x by width / height first, or people come out thin.

    Args:
        clip: (M, T, V, C), x and y first.  A joint is missing, and left out with its bones, where
            it is not finite or x = y = 0, and for image data where channel three, the score, is 0.
        layout_joints: V names.
        edges: bones as pairs of joint indices.
        frames: how many poses; fewer where the clip is shorter.
        height: of the picture, in pixels; the width follows.
        title: stands above; cut where it is too long, and kept whole as the tooltip.
        y_up: metric data, y up from the floor, third channel z.  There a joint is missing where all
            its channels are 0, unless it alone lies there and the body around it: centred data.

    Returns:
        One `<svg>` element, fit for a file and for a page.

    Raises:
        ClipError: the clip is not (M, T, V, C), or V differs from the names.
        UsageError: an edge outside the joints, no frames, or too little height.
    """
    check_drawable(clip, layout_joints, edges)
    if frames < 1 or height < 80:
        raise UsageError(f"frames is {frames}, height {height}; at least 1 and 80 are needed.")
    values = clip.astype(np.float64)
    present = present_joints(values, metric=y_up)
    points = np.where(present[..., None], values[..., :2], 0.0)
    if y_up:
        points[..., 1] *= -1
    sides = [joint_side(name) for name in layout_joints]
    chosen = _choose(present, frames)
    points, present = points[:, chosen], present[:, chosen]
    strip = _arrange(points, present, height, headed=bool(title) or set(sides) != {MIDDLE})
    shown = [int(person) for person in np.flatnonzero(present.any(axis=(1, 2)))]
    parts = [*_header(strip, title, shown, sides), *_cells(strip, chosen, empty=not shown)]
    faces = [is_face(name) for name in layout_joints]
    for index in range(len(chosen)):
        for person in shown:
            pose = _Pose(
                strip.place(points[person, index], index), present[person, index], sides, faces
            )
            parts += _pose(pose, edges, COLOURS[person % len(COLOURS)], strip.bone)
    label = escape(_printable(title or "skeleton clip"))
    size = f"{strip.width:.0f}", f"{height}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" '
        f'width="{size[0]}" height="{size[1]}" role="img" fill="none" stroke-linecap="round" '
        f'font-family="system-ui,sans-serif"><title>{label}</title>{"".join(parts)}</svg>'
    )


def _choose(present: Mask, frames: int) -> NDArray[np.intp]:
    """Indices into T; the padding before and after the motion is not worth a pose."""
    filled = np.flatnonzero(present.any(axis=(0, 2)))
    first, last = (filled[0], filled[-1]) if filled.size else (0, present.shape[1] - 1)
    chosen: NDArray[np.intp] = np.unique(np.linspace(first, last, frames).round().astype(np.intp))
    return chosen


def _arrange(points: Points, present: Mask, height: int, *, headed: bool) -> _Strip:
    """One scale for all poses (M, cells, V, 2)."""
    top = _HEAD if headed else 0.0
    cell_height = height - top - _FOOT
    low, high = _bounds(points, present)
    bottom, peak = low[:, 1].min(), high[:, 1].max()
    middles = np.stack([(low + high)[:, 0] / 2, np.full(len(low), (bottom + peak) / 2)], axis=-1)
    least = 1e-9 * max(1.0, float(np.abs(points).max()))
    extent = np.maximum([(high - low)[:, 0].max(), peak - bottom], least)
    inner = cell_height - 2 * _PAD
    across = inner * float(np.clip(extent[0] / extent[1], _NARROWEST, _WIDEST))
    scale = float(min(across / extent[0], inner / extent[1]))
    # Lines are as thick as suits the people, not the cell: several of them in one cell are small.
    everybody = points.reshape(1, -1, *points.shape[2:]), present.reshape(1, -1, present.shape[2])
    feet, heads = _bounds(*everybody)
    body = float(np.median((heads - feet).max(axis=1))) * scale
    return _Strip(
        cells=points.shape[1],
        cell=(across + 2 * _PAD, cell_height),
        top=top,
        scale=scale,
        middles=middles,
        bone=float(np.clip(0.021 * body, 1.0, 4.0)),
    )


def _bounds(points: Points, present: Mask) -> tuple[Points, Points]:
    """Lowest and highest coordinates (cells, 2); an empty cell takes another cell's."""
    low = np.where(present[..., None], points, np.inf).min(axis=(0, 2))
    high = np.where(present[..., None], points, -np.inf).max(axis=(0, 2))
    filled = np.flatnonzero(present.any(axis=(0, 2)))
    if not filled.size:
        return np.zeros_like(low), np.zeros_like(high)
    source = np.where(np.isfinite(low[:, 0]), np.arange(len(low)), filled[0])
    return low[source], high[source]


def _printable(text: str) -> str:
    """Without the control characters that XML forbids even when escaped."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _header(strip: _Strip, title: str, shown: Sequence[int], sides: Sequence[int]) -> Iterator[str]:
    """Title at the left, a key to the colours at the right where there is room for it."""
    sided = bool(shown) and {LEFT, RIGHT} <= set(sides)
    key = _key(shown) if sided or len(shown) > 1 else []
    wide = sum(9 * len(colours) + 11 * _CHARACTER * len(text) + 16 for colours, text in key)
    if wide > strip.width * (0.45 if title else 1.0):
        key, wide = [], 0.0
    if title:
        text, room = _printable(title), int((strip.width - wide) / (13 * _CHARACTER))
        cut = text if len(text) <= room else text[: max(1, room - 1)].rstrip() + "…"
        yield (
            f'<text x="1" y="14" font-size="13" font-weight="600" fill="currentColor">'
            f"{escape(cut)}</text>"
        )
    x = strip.width - wide + 12
    for colours, text in key:
        for colour in colours:
            yield f'<circle cx="{x:.1f}" cy="10" r="4" fill="{colour}"/>'
            x += 9
        yield (
            f'<text x="{x - 1:.1f}" y="14" font-size="11" fill="currentColor" '
            f'fill-opacity=".7">{text}</text>'
        )
        x += 11 * _CHARACTER * len(text) + 16


def _key(shown: Sequence[int]) -> list[tuple[tuple[str, ...], str]]:
    """(dots, text) for each entry."""
    if len(shown) < 2:
        left, _, right = COLOURS[shown[0] % len(COLOURS)]
        return [((left,), "left"), ((right,), "right")]
    rows = [(person, COLOURS[person % len(COLOURS)]) for person in shown]
    return [((left, right), f"person {person + 1}") for person, (left, _, right) in rows]


def _cells(strip: _Strip, chosen: NDArray[np.intp], *, empty: bool) -> Iterator[str]:
    """The ground of every cell and its frame number."""
    width, height = strip.cell
    for index, frame in enumerate(chosen):
        left = strip.left(index)
        yield (
            f'<rect x="{left:.1f}" y="{strip.top:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'rx="5" fill="currentColor" fill-opacity=".05"/>'
            f'<text x="{left + width / 2:.1f}" y="{strip.top + height + 13:.1f}" font-size="10.5" '
            f'text-anchor="middle" fill="currentColor" fill-opacity=".6">'
            f"{'frame ' if index == 0 else ''}{frame}</text>"
        )
    if empty:
        yield (
            f'<text x="{strip.width / 2:.1f}" y="{strip.top + height / 2:.1f}" font-size="12" '
            f'text-anchor="middle" fill="currentColor" fill-opacity=".7">no joints</text>'
        )


@dataclass(frozen=True)
class _Pose:
    """One person in one cell: points (V, 2) in SVG units, present (V,), and what each joint is."""

    points: Points
    present: Mask
    sides: Sequence[int]
    faces: Sequence[bool]


def _pose(
    pose: _Pose, edges: Sequence[Edge], colours: tuple[str, str, str], bone: float
) -> Iterator[str]:
    """Bones, then joints over them; one path for all that share colour and width."""
    lines: dict[tuple[int, bool], list[str]] = {}
    for start, end in edges:
        if pose.present[start] and pose.present[end]:
            side = bone_side(pose.sides[start], pose.sides[end])
            face = pose.faces[start] or pose.faces[end]
            (x0, y0), (x1, y1) = pose.points[start], pose.points[end]
            lines.setdefault((side, face), []).append(f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}")
    for (side, face), found_lines in sorted(lines.items()):
        wide = bone * (0.45 if face else 1.0)
        yield (
            f'<path class="bones" d="{"".join(found_lines)}" stroke="{colours[side]}" '
            f'stroke-width="{wide:.2f}"/>'
        )
    dots: dict[tuple[int, bool], list[str]] = {}
    for joint in map(int, np.flatnonzero(pose.present)):
        x, y = pose.points[joint]
        # A line of no length with round ends: a dot in far fewer letters than a circle.
        dots.setdefault((pose.sides[joint], pose.faces[joint]), []).append(f"M{x:.1f} {y:.1f}h.01")
    for (side, face), found_dots in sorted(dots.items()):
        wide = bone * (0.8 if face else 1.75)
        yield (
            f'<path class="joints" d="{"".join(found_dots)}" stroke="{colours[side]}" '
            f'stroke-width="{wide:.2f}"/>'
        )
