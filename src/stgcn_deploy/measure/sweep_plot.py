"""A sweep as a picture: latency against clips per second, and what is not beaten in both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stgcn_deploy.errors import CheckFailedError, requires
from stgcn_deploy.files import fresh_file
from stgcn_deploy.measure.plots import INK, SOFT, plain_text, short_text
from stgcn_deploy.measure.report import number_text
from stgcn_deploy.measure.sweep import Measured, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_sweep"]

_FRONT = "#d5dae2"
# Told apart by people who see few colours; shapes repeat after the colours do.
_COLOURS = ("#3b78e7", "#d9822b", "#2c9c69", "#b03a8c", "#7a6ff0", "#8a6d3b", "#0f8b9d", "#c0392b")
_SHAPES = "osD^vP"
# Beyond this ratio of slowest to fastest an even axis would crowd all short calls together.
_WIDE = 4.0
# Of more points only the ends of lines and those of the front say their batch.
_CROWD = 24


def plot_sweep(sweep: Sweep, path: Path, *, force: bool = False) -> Path:
    """Write a PNG: a line for each backend, threads and sessions, a point for each batch on it.

    Raises:
        OutputExistsError: `path` is there and `force` is not given.
        UsageError: the place cannot be written.
        CheckFailedError: nothing was measured.
        MissingDependencyError: matplotlib is not installed.
    """
    with requires("plotting", "pip install 'stgcn-deploy[plots]'"):
        from matplotlib.figure import Figure
    if not sweep.ran():
        raise CheckFailedError("no setting of the sweep has numbers; there is nothing to plot.")
    crowded = len(sweep.ran()) > _CROWD
    figure = Figure(figsize=(9.6, 5.6), dpi=150, facecolor="white")
    ax = figure.add_subplot()
    _front(ax, sweep.front)
    styles = cycle((colour, shape) for shape in _SHAPES for colour in _COLOURS)
    for (label, points), (colour, shape) in zip(_lines(sweep), styles, strict=False):
        named = [one for one in points if not crowded or one in (*sweep.front, points[-1])]
        _line(ax, label, points, colour, shape, named)
    _axes(ax, sweep.ran())
    _winners(ax, sweep)
    facts = sweep.environment
    title = f"{Path(sweep.bundle).name} on {facts.get('cpu', 'unknown CPU')}"
    figure.text(
        0.02, 0.975, f"{plain_text(short_text(title, 75))}, {facts.get('cores', '?')} cores",
        fontsize=12, fontweight="bold", color=INK, va="top",
    )  # fmt: skip
    figure.text(
        0.02, 0.925, "Numbers at the points: clips in one call. Grey: settings that no other beats in "
        "both.", fontsize=8.5, color=SOFT, va="top",
    )  # fmt: skip
    ax.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8.5,
        labelcolor=INK, borderaxespad=0,
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0, 1, 0.91))
    with fresh_file(path, force=force) as partial:
        figure.savefig(partial, format="png")
    return path


def _lines(sweep: Sweep) -> Iterator[tuple[str, list[Measured]]]:
    """Settings that differ only in their batch, smallest first, with what they have in common."""
    several = len({one.setting.backend for one in sweep.ran()}) > 1
    groups: dict[tuple[str, int, int], list[Measured]] = {}
    for one in sweep.ran():
        setting = one.setting
        groups.setdefault((setting.backend, setting.threads, setting.instances), []).append(one)
    for (backend, _, _), members in groups.items():
        common = members[0].setting.text.partition(", ")[2]
        label = f"{backend}, {common}" if several else common
        yield label, sorted(members, key=lambda one: one.setting.batch)


def _line(
    ax: Axes,
    label: str,
    points: Sequence[Measured],
    colour: str,
    shape: str,
    named: Sequence[Measured],
) -> None:
    """One line; the batches of `named` points stand beside them."""
    x, y = [one.latency_ms for one in points], [one.clips_per_s for one in points]
    ax.plot(
        x, y, color=colour, marker=shape, markersize=7, linewidth=1.2, alpha=0.95,
        markeredgecolor="white", markeredgewidth=0.8, label=label, zorder=3,
    )  # fmt: skip
    for one in named:
        ax.annotate(
            str(one.setting.batch), (one.latency_ms, one.clips_per_s), (6, -11), fontsize=8,
            textcoords="offset points", color=colour, zorder=4,
        )  # fmt: skip


def _front(ax: Axes, front: Sequence[Measured]) -> None:
    """Discs under the points, and steps between them: what a longer wait would buy."""
    x, y = [one.latency_ms for one in front], [one.clips_per_s for one in front]
    ax.plot(
        x, y, color=_FRONT, linewidth=3, solid_capstyle="round", drawstyle="steps-post", zorder=1
    )
    ax.scatter(x, y, s=260, color=_FRONT, linewidth=0, zorder=1)


def _winners(ax: Axes, sweep: Sweep) -> None:
    quick, busy = sweep.lowest_latency(), sweep.most_clips()
    if quick is busy:
        _say(ax, quick, "lowest latency and most clips", (-6, 38))
        return
    _say(ax, quick, f"lowest latency: {number_text(quick.latency_ms)} ms", (-6, 38))
    _say(ax, busy, f"most clips: {number_text(busy.clips_per_s)} a second", (0, 24))


def _say(ax: Axes, one: Measured, text: str, offset: tuple[int, int]) -> None:
    box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}
    stalk = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.8, "shrinkB": 7}
    middle: dict[str, Any] = {"ha": "center"} if offset[0] == 0 else {}
    ax.annotate(
        text, (one.latency_ms, one.clips_per_s), offset, textcoords="offset points", fontsize=9,
        fontweight="bold", color=INK, zorder=5, bbox=box, arrowprops=stalk, **middle,
    )  # fmt: skip


def _axes(ax: Axes, ran: Sequence[Measured]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    latencies = [one.latency_ms for one in ran]
    low, high = min(latencies), max(latencies)
    if high > _WIDE * low:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 3, 5, 7), numticks=20))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlim(low / 1.25, high * 1.4)
    else:
        room = max(high - low, 0.1 * high)
        ax.set_xlim(max(0.0, low - 0.15 * room), high + 0.3 * room)
        ax.xaxis.set_major_locator(MaxNLocator(8))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_ylim(0, 1.2 * max(one.clips_per_s for one in ran))
    ax.set_xlabel("latency: median of one call, ms (less is better)", fontsize=9, color=SOFT)
    ax.set_ylabel("clips a second, all sessions together", fontsize=9, color=SOFT)
    ax.grid(color="#e8eaee", linewidth=0.8, zorder=0)
    ax.set_axisbelow(True)
    ax.tick_params(which="both", length=0, labelsize=8, labelcolor=SOFT)
    for name in ("top", "right"):
        ax.spines[name].set_visible(False)
    for name in ("left", "bottom"):
        ax.spines[name].set_color("#b9c0c9")
