"""A layout as a picture: joints with index and name, the edges of one edge set, its centre.

One plan, two pens: SVG as plain text, PNG by matplotlib where it is installed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError, requires
from stgcn_deploy.files import fresh_file
from stgcn_deploy.skeleton.catalogue import sides
from stgcn_deploy.skeleton.layout import EdgeSet, Layout
from stgcn_deploy.skeleton.poses import standing_pose

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["edge_set_of", "layout_png", "layout_svg", "write_picture"]

Points = NDArray[np.float64]
Place = tuple[float, float]

# Side -> (fill, colour of the number on it): mid tones, for light pages and dark ones.
_COLOURS: dict[str | None, tuple[str, str]] = {
    "left": ("#1d5fd6", "#ffffff"),
    None: ("#6d7890", "#ffffff"),
    "right": ("#8fbcff", "#0a2450"),
}
_CENTRE = "#e08a00"
# Everything is laid out in these units; the picture's height in pixels only scales them.
_HEIGHT, _HEAD, _PAD, _LINE, _FONT, _NUMBER = 480.0, 44.0, 12.0, 14.0, 11.0, 8.5
_RADIUS = 7.6
_CHARACTER = 0.6  # mean width of a letter of a wide font, in font sizes
_AIR = 26.0  # between the pose and the names
_LEAST = 120  # pixels; below, nothing can be read


@dataclass(frozen=True)
class _Bone:
    """A line, or a bow around a joint in its way, where `bend` is given (quadratic Bezier)."""

    start: Place
    end: Place
    bend: Place | None
    side: str | None


@dataclass(frozen=True)
class _Name:
    """A joint's name beside the pose; `at` is the end of the text that looks at the pose."""

    joint: int
    text: str
    at: Place
    on_the_left: bool


@dataclass(frozen=True)
class _Plan:
    """What both pens draw, in the units above."""

    width: float
    height: float
    title: str
    subtitle: str
    dots: Points
    radius: float
    sides: tuple[str | None, ...]
    center: int
    bones: tuple[_Bone, ...]
    names: tuple[_Name, ...]

    @property
    def sided(self) -> bool:
        return "left" in self.sides


def edge_set_of(layout: Layout, name: str | None) -> EdgeSet:
    """The edge set of that name; the first without a name.

    Raises:
        UsageError: the layout has none of that name.
    """
    if name is None:
        return layout.edge_sets[0]
    for edge_set in layout.edge_sets:
        if edge_set.name == name:
            return edge_set
    known = ", ".join(edge_set.name for edge_set in layout.edge_sets)
    raise UsageError(f"layout {layout.name} has no edge set {name!r}; it has {known}.")


def layout_svg(layout: Layout, *, edge_set: str | None = None, height: int = 480) -> str:
    """One `<svg>` element; texts take the colour of the page around it.

    Args:
        edge_set: by name; the layout's first without.
        height: in pixels; the width follows.

    Raises:
        UsageError: no such edge set, or too little height.
    """
    plan = _plan(layout, edge_set, height)
    scale = height / plan.height
    size = f"{plan.width:.0f}", f"{plan.height:.0f}"
    parts = [*_svg_texts(plan), *_svg_bones(plan), *_svg_dots(plan)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" '
        f'width="{plan.width * scale:.0f}" height="{height}" role="img" fill="none" '
        f'font-family="system-ui,sans-serif" font-size="{_FONT:g}" stroke-linecap="round">'
        f"<title>{_text(plan.title)}: {_text(plan.subtitle)}</title>{''.join(parts)}</svg>"
    )


def layout_png(layout: Layout, *, edge_set: str | None = None, height: int = 960) -> bytes:
    """The same picture as a PNG on white.

    Args:
        edge_set: by name; the layout's first without.
        height: in pixels; the width follows.

    Raises:
        UsageError: no such edge set, or too little height.
        MissingDependencyError: matplotlib is not installed.
    """
    with requires("drawing a PNG", "pip install 'stgcn-deploy[plots]'"):
        from matplotlib.figure import Figure
    plan = _plan(layout, edge_set, height)
    dpi = 100.0
    points = height / plan.height * 72 / dpi  # of one unit
    figure = Figure(
        figsize=(plan.width * height / plan.height / dpi, height / dpi), dpi=dpi, facecolor="white"
    )
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, plan.width)
    axes.set_ylim(plan.height, 0)
    axes.axis("off")
    _png_draw(axes, plan, points)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi)
    return out.getvalue()


def write_picture(
    layout: Layout, path: Path, *, edge_set: str | None = None, force: bool = False
) -> Path:
    """Draw a layout into a file: SVG or PNG, as its name ends.

    Raises:
        UsageError: another kind of file, no such edge set, or a place that cannot be written.
        OutputExistsError: `path` is there and `force` is not given.
        MissingDependencyError: a PNG, and matplotlib is not installed.
    """
    kind = path.suffix.lower()
    if kind not in (".svg", ".png"):
        raise UsageError(f"{path}: a picture of a layout is an .svg or a .png file.")
    # The place is tried first: matplotlib takes a second to load.
    with fresh_file(path, force=force) as partial:
        if kind == ".svg":
            partial.write_text(layout_svg(layout, edge_set=edge_set), encoding="utf-8")
        else:
            partial.write_bytes(layout_png(layout, edge_set=edge_set))
    return path


# The plan.


def _plan(layout: Layout, name: str | None, height: int) -> _Plan:
    edge_set = edge_set_of(layout, name)
    if height < _LEAST:
        raise UsageError(f"height is {height}; at least {_LEAST} pixels are needed.")
    pose = standing_pose(layout.joints, edge_set.edges)
    side = sides(layout)
    left = _left_column(pose, side)
    lines = max(len(left), layout.num_joints - len(left))
    total = max(_HEIGHT, _HEAD + 2 * _PAD + lines * _LINE)
    texts = [
        f"{index} {joint}" + (" (centre)" if index == edge_set.center else "")
        for index, joint in enumerate(layout.joints)
    ]
    column = max(map(len, texts)) * _FONT * _CHARACTER
    low, high = pose.min(axis=0), pose.max(axis=0)
    room = total - _HEAD - 2 * (_PAD + _RADIUS)
    scale = float(min(room / max(0.6, high[1] - low[1]), room / max(0.6, high[0] - low[0])))
    offset = np.array([_PAD + column + _AIR + _RADIUS, _HEAD + _PAD + _RADIUS])
    dots = (pose - low) * scale + offset
    dots[:, 1] += (room - (high[1] - low[1]) * scale) / 2
    inner = float((high[0] - low[0]) * scale) + 2 * (_AIR + _RADIUS)
    radius = _radius(dots)
    subtitle = (
        f"{layout.num_joints} joints, {len(edge_set.edges)} edges, centre {edge_set.center} "
        f"{layout.joints[edge_set.center]}"
    )
    return _Plan(
        width=max(2 * (_PAD + column) + inner, len(subtitle) * _FONT * _CHARACTER + 120),
        height=total,
        title=f"{layout.name}, {edge_set.name} edges",
        subtitle=subtitle,
        dots=dots,
        radius=radius,
        sides=side,
        center=edge_set.center,
        bones=tuple(_bones(dots, edge_set, side, radius)),
        names=(
            *_column(texts, dots, left, _PAD + column, total, on_the_left=True),
            *_column(
                texts,
                dots,
                [joint for joint in range(layout.num_joints) if joint not in left],
                _PAD + column + inner,
                total,
                on_the_left=False,
            ),
        ),
    )


def _left_column(pose: Points, side: Sequence[str | None]) -> list[int]:
    """Joints whose names stand at the viewer's left: the body's right side and half of its middle."""
    free = [joint for joint, where in enumerate(side) if where is None]
    if len(free) == len(side):
        middle = (pose[:, 0].min() + pose[:, 0].max()) / 2
        return [joint for joint in free if pose[joint, 0] < middle]
    # The middle line from top to bottom by turns, so that neither column runs ahead.
    free.sort(key=lambda joint: float(pose[joint, 1]))
    return [joint for joint, where in enumerate(side) if where == "right"] + free[::2]


def _radius(dots: Points) -> float:
    gaps = np.linalg.norm(dots[:, None] - dots[None], axis=-1)
    np.fill_diagonal(gaps, np.inf)
    return float(np.clip(0.48 * gaps.min(), 2.5, _RADIUS))


def _bones(
    dots: Points, edge_set: EdgeSet, side: Sequence[str | None], radius: float
) -> Iterator[_Bone]:
    for child, parent in edge_set.edges:
        if child == parent:
            continue
        # A limb's first bone hangs on the trunk: it takes the side of the end that has one.
        found = {side[child], side[parent]} - {None}
        yield _Bone(
            _place(dots[child]),
            _place(dots[parent]),
            _bend(dots, child, parent, radius),
            found.pop() if len(found) == 1 else None,
        )


def _bend(dots: Points, child: int, parent: int, radius: float) -> Place | None:
    """Where a bone must pass that would else run through other joints; None for a straight one."""
    start, end = dots[child], dots[parent]
    along = end - start
    length = float(np.linalg.norm(along))
    across = np.array([-along[1], along[0]]) / length
    share = (dots - start) @ along / length**2
    aside = (dots - start) @ across
    between = (share > 0) & (share < 1) & (np.abs(aside) < 1.1 * radius)
    between[[child, parent]] = False
    if not between.any():
        return None
    middle = (start + end) / 2
    away = -np.sign(aside[between].mean()) if abs(aside[between].mean()) > 0.5 else 0.0
    if not away:
        # Straight through: outwards, where there is room.
        away = 1.0 if (middle - dots.mean(axis=0)) @ across >= 0 else -1.0
    return _place(middle + away * across * (3.4 * radius + 0.06 * length))


def _column(
    texts: Sequence[str],
    dots: Points,
    joints: Sequence[int],
    x: float,
    total: float,
    *,
    on_the_left: bool,
) -> Iterator[_Name]:
    """Names one below the other, each near its joint's height, so that no two leaders cross."""
    if not joints:
        return
    order = sorted(joints, key=lambda joint: float(dots[joint, 1]))
    heights = _spread([float(dots[joint, 1]) for joint in order], total)
    swapped = True
    while swapped:
        # Where two leaders cross, exchanging their ends makes both together shorter.
        swapped = False
        for one in range(len(order) - 1):
            for two in range(one + 1, len(order)):
                a, b = order[one], order[two]
                now = _far(dots[a], x, heights[one]) + _far(dots[b], x, heights[two])
                then = _far(dots[b], x, heights[one]) + _far(dots[a], x, heights[two])
                if then < now - 1e-6:
                    order[one], order[two] = b, a
                    swapped = True
    for joint, y in zip(order, heights, strict=True):
        yield _Name(joint, texts[joint], (x, y), on_the_left)


def _far(dot: Points, x: float, y: float) -> float:
    return float(np.hypot(dot[0] - x, dot[1] - y))


def _spread(wanted: Sequence[float], total: float) -> list[float]:
    """Ascending heights at least one line apart, as near as can be to the ascending ones wanted."""
    top, bottom = _HEAD + _PAD + _LINE / 2, total - _PAD - _LINE / 2
    # Blocks of touching lines: [sum of wanted first lines, count].
    blocks: list[tuple[float, int]] = []
    for rank, height in enumerate(wanted):
        block = (height - rank * _LINE, 1)
        while blocks and blocks[-1][0] / blocks[-1][1] > block[0] / block[1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1])
        blocks.append(block)
    last = bottom - (len(wanted) - 1) * _LINE
    firsts = [float(np.clip(b[0] / b[1], top, max(top, last))) for b in blocks for _ in range(b[1])]
    return [first + rank * _LINE for rank, first in enumerate(firsts)]


def _place(point: Points) -> Place:
    return float(point[0]), float(point[1])


def _key(plan: _Plan) -> list[tuple[float, str, str]]:
    """(x, colour, text) of the legend at the upper right."""
    if not plan.sided:
        return []
    return [
        (plan.width - _PAD - 84, _COLOURS["left"][0], "left"),
        (plan.width - _PAD - 40, _COLOURS["right"][0], "right"),
    ]


def _leader(plan: _Plan, name: _Name) -> tuple[Place, Place]:
    """From the name to the rim of the dot."""
    x, y = name.at
    start = np.array([x + 3 if name.on_the_left else x - 3, y])
    dot = plan.dots[name.joint]
    towards = (start - dot) / (np.linalg.norm(start - dot) + 1e-9)
    return _place(start), _place(dot + towards * plan.radius)


# SVG.


def _text(text: str) -> str:
    """Without what XML forbids even when escaped."""
    return escape("".join(letter if letter.isprintable() else " " for letter in text))


def _svg_texts(plan: _Plan) -> Iterator[str]:
    yield (
        f'<text x="{_PAD:g}" y="19" font-size="14" font-weight="600" fill="currentColor">'
        f"{_text(plan.title)}</text>"
        f'<text x="{_PAD:g}" y="35" fill="currentColor" fill-opacity=".7">'
        f"{_text(plan.subtitle)}</text>"
    )
    for x, colour, text in _key(plan):
        yield (
            f'<circle cx="{x:.1f}" cy="15" r="5" fill="{colour}"/>'
            f'<text x="{x + 9:.1f}" y="19" fill="currentColor" fill-opacity=".7">{text}</text>'
        )
    leaders = []
    for name in plan.names:
        (x0, y0), (x1, y1) = _leader(plan, name)
        leaders.append(f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}")
        number, _, rest = name.text.partition(" ")
        anchor = ' text-anchor="end"' if name.on_the_left else ""
        yield (
            f'<text class="name" x="{name.at[0]:.1f}" y="{name.at[1] + 0.35 * _FONT:.1f}"{anchor} '
            f'fill="currentColor"><tspan font-weight="600">{number}</tspan> {_text(rest)}</text>'
        )
    yield (
        f'<path class="leaders" d="{"".join(leaders)}" stroke="currentColor" '
        f'stroke-opacity=".28" stroke-width=".7"/>'
    )


def _svg_bones(plan: _Plan) -> Iterator[str]:
    for bone in plan.bones:
        (x0, y0), (x1, y1) = bone.start, bone.end
        to = f"Q{bone.bend[0]:.1f} {bone.bend[1]:.1f} " if bone.bend else "L"
        yield (
            f'<path class="bone" d="M{x0:.1f} {y0:.1f}{to}{x1:.1f} {y1:.1f}" '
            f'stroke="{_COLOURS[bone.side][0]}" stroke-width="{0.4 * plan.radius:.2f}"/>'
        )


def _svg_dots(plan: _Plan) -> Iterator[str]:
    for joint, (x, y) in enumerate(plan.dots):
        fill, ink = _COLOURS[plan.sides[joint]]
        if joint == plan.center:
            yield (
                f'<circle class="centre" cx="{x:.1f}" cy="{y:.1f}" r="{plan.radius + 2.6:.1f}" '
                f'stroke="{_CENTRE}" stroke-width="2.6"/>'
            )
        yield (
            f'<circle class="joint" cx="{x:.1f}" cy="{y:.1f}" r="{plan.radius:.1f}" fill="{fill}"/>'
        )
        if plan.radius >= 0.7 * _RADIUS:
            yield (
                f'<text x="{x:.1f}" y="{y + 0.35 * _NUMBER:.1f}" font-size="{_NUMBER:g}" '
                f'text-anchor="middle" font-weight="600" fill="{ink}">{joint}</text>'
            )


# PNG.


def _plain(text: str) -> str:
    """Matplotlib reads a pair of dollar signs as mathematics."""
    return text.replace("$", r"\$")


def _png_draw(axes: Axes, plan: _Plan, points: float) -> None:
    """Everything into matplotlib axes; `points` is one unit in typographic points."""
    from matplotlib.patches import Circle, PathPatch
    from matplotlib.path import Path as Curve

    ink, soft = "#1d2430", "#5d6673"
    axes.text(_PAD, 19, _plain(plan.title), fontsize=14 * points, fontweight="bold", color=ink)
    axes.text(_PAD, 35, _plain(plan.subtitle), fontsize=_FONT * points, color=soft)
    for x, colour, text in _key(plan):
        axes.add_patch(Circle((x, 15), 5, color=colour))
        axes.text(x + 9, 19, text, fontsize=_FONT * points, color=soft)
    for name in plan.names:
        ends = np.array(_leader(plan, name))
        axes.plot(*ends.T, color=ink, alpha=0.25, linewidth=0.7 * points, zorder=1)
        axes.text(
            *name.at, _plain(name.text), fontsize=_FONT * points, color=ink, va="center",
            ha="right" if name.on_the_left else "left",
        )  # fmt: skip
    for bone in plan.bones:
        stops = [bone.start, bone.bend, bone.end] if bone.bend else [bone.start, bone.end]
        codes = [Curve.MOVETO, *([Curve.CURVE3] * 2 if bone.bend else [Curve.LINETO])]
        axes.add_patch(
            PathPatch(
                Curve(stops, codes), facecolor="none", edgecolor=_COLOURS[bone.side][0],
                linewidth=0.4 * plan.radius * points, capstyle="round", zorder=2,
            )
        )  # fmt: skip
    for joint, (x, y) in enumerate(plan.dots):
        fill, number = _COLOURS[plan.sides[joint]]
        if joint == plan.center:
            axes.add_patch(Circle((x, y), plan.radius + 3.9, color=_CENTRE, zorder=3))
            axes.add_patch(Circle((x, y), plan.radius + 1.3, color="white", zorder=3))
        axes.add_patch(Circle((x, y), plan.radius, color=fill, zorder=4))
        if plan.radius >= 0.7 * _RADIUS:
            axes.text(
                x, y, str(joint), fontsize=0.86 * _NUMBER * points, fontweight="bold", color=number,
                ha="center", va="center_baseline", zorder=5,
            )  # fmt: skip
