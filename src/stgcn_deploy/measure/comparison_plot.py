"""A comparison as a picture: one line for each form, one panel for each thing that counts."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stgcn_deploy.errors import UsageError, requires
from stgcn_deploy.files import fresh_file
from stgcn_deploy.measure.comparison import Compared, Comparison
from stgcn_deploy.measure.plots import FADED, FIRST, INK, OTHER, SOFT, plain_text, short_text
from stgcn_deploy.measure.report import number_text, ratio_text, threads_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_comparison"]

_BAD, _GRID = "#c0392b", "#e3e6ea"
_BAR = 0.56
_WIDTH, _MARGIN = 12.0, 0.25


def plot_comparison(found: Comparison, path: Path, *, force: bool = False) -> Path:
    """Write a PNG: latency, size, memory and, where it was measured, top-1 of every row.

    Whiskers of latency reach to the 90th percentile, those of top-1 span its 95 % interval.  What
    failed is red, with its reasons below.

    Raises:
        OutputExistsError: `path` is there and `force` is not given.
        UsageError: the comparison has no rows, or the place cannot be written.
        MissingDependencyError: matplotlib is not installed.
    """
    with requires("plotting", "pip install 'stgcn-deploy[plots]'"):
        from matplotlib.figure import Figure
    if not found.rows:
        raise UsageError("the comparison has no rows; there is nothing to plot.")
    drawn: list[tuple[float, Callable[[Axes, Comparison], None]]] = [
        (3.2, _latency), (1.5, _size), (1.5, _memory),
    ]  # fmt: skip
    if any(one.accuracy for one in found.rows):
        drawn.append((2.2, _accuracy))
    notes = _notes(found)
    below = 0.17 * len(notes) + (0.15 if notes else 0)
    height = 0.56 * len(found.rows) + 1.25 + below
    figure = Figure(figsize=(_WIDTH, height), dpi=150, facecolor="white")
    grid = {"width_ratios": [width for width, _ in drawn]}
    axes = figure.subplots(1, len(drawn), squeeze=False, gridspec_kw=grid)[0]
    for ax, (_, draw) in zip(axes, drawn, strict=True):
        draw(ax, found)
        _dress(ax, len(found.rows))
    _labels(axes[0], found)
    for ax in axes[1:]:
        ax.set_yticks([])
    _title(figure.text, found, height)
    for number, (text, colour) in enumerate(notes):
        figure.text(
            _MARGIN / _WIDTH,
            (below - 0.17 * number) / height,
            text,
            fontsize=8,
            color=colour,
            va="top",
        )
    figure.tight_layout(rect=(0, (below + 0.05) / height, 1, 1 - 0.42 / height), w_pad=1.6)
    with fresh_file(path, force=force) as partial:
        figure.savefig(partial, format="png")
    return path


def _title(write: Callable[..., object], found: Comparison, height: float) -> None:
    cpu = short_text(str(found.environment.get("cpu", "unknown CPU")), 60)
    rows = [one.row for one in found.rows if one.row is not None]
    batch = f", batch {rows[0].batch}" if rows else ""
    write(
        _MARGIN / _WIDTH, 1 - 0.18 / height, f"{plain_text(cpu)}, {threads_text(rows)}{batch}",
        fontsize=12, fontweight="bold", color=INK, va="top",
    )  # fmt: skip


def _labels(ax: Axes, found: Comparison) -> None:
    """Name and form of each row, red where its verdict is no."""
    names = [
        f"{plain_text(short_text(one.entry.path.name, 34))}\n{plain_text(short_text(one.form, 40))}"
        for one in found.rows
    ]
    ax.set_yticks(range(len(names)), names, fontsize=8.5)
    for label, one in zip(ax.get_yticklabels(), found.rows, strict=True):
        label.set_color(FADED if one.entry.skipped else _BAD if found.verdict(one) else INK)


def _notes(found: Comparison) -> list[tuple[str, str]]:
    """Lines below the panels, with their colour."""
    lines = []
    for text in found.failures:
        lines += [(line, _BAD) for line in textwrap.wrap(plain_text(f"failed: {text}"), 165)[:3]]
    return lines


def _values(found: Comparison, value: Callable[[Compared], float]) -> list[float]:
    """One number a row; NaN where there is none."""
    return [float("nan") if one.problem or one.entry.skipped else value(one) for one in found.rows]


def _bars(ax: Axes, found: Comparison, values: Sequence[float], room: float) -> float:
    """Bars from zero, the first one grey; returns the largest value."""
    limit = max((value for value in values if np.isfinite(value)), default=1.0) or 1.0
    for place, value in enumerate(values):
        if not np.isfinite(value):
            continue
        first = found.rows[place] is found.first
        ax.barh(
            place, value, _BAR, color=FIRST if first else OTHER, alpha=0.9, linewidth=0, zorder=2
        )
    ax.set_xlim(0, limit * room)
    return limit


def _beside(ax: Axes, place: int, value: float, text: str, strong: bool = False) -> None:
    ax.annotate(
        text, (value, place), (5, 0), textcoords="offset points", va="center", fontsize=8.5,
        color=INK if strong else SOFT, fontweight="bold" if strong else "normal", zorder=5,
    )  # fmt: skip


def _latency(ax: Axes, found: Comparison) -> None:
    values = _values(found, lambda one: one.row.percentile(50) if one.row else float("nan"))
    ends = _values(found, lambda one: one.row.percentile(90) if one.row else float("nan"))
    _bars(ax, found, values, 1.0)
    longest = max((end for end in ends if np.isfinite(end)), default=1.0)
    ax.set_xlim(0, 1.5 * longest)
    for place, (one, value, end) in enumerate(zip(found.rows, values, ends, strict=True)):
        if not np.isfinite(value):
            _beside(ax, place, 0, "skipped" if one.entry.skipped else "failed")
            continue
        ax.errorbar(
            value, place, xerr=[[0.0], [max(0.0, end - value)]], color=INK, elinewidth=1.2,
            capsize=3, capthick=1.2, zorder=4,
        )  # fmt: skip
        speed = ratio_text(found.speed(one))
        _beside(ax, place, max(end, value), f"{number_text(value)} ms, {speed}", strong=True)
    ax.set_title("latency, ms (median, 90 %) and speed", loc="left", fontsize=9, color=SOFT)


def _size(ax: Axes, found: Comparison) -> None:
    values = _values(found, lambda one: one.size_mb)
    _bars(ax, found, values, 1.45)
    for place, value in enumerate(values):
        if np.isfinite(value):
            _beside(ax, place, value, number_text(value))
    ax.set_title("model, MB", loc="left", fontsize=9, color=SOFT)


def _memory(ax: Axes, found: Comparison) -> None:
    values = _values(found, lambda one: one.row.peak_rss_mb if one.row else float("nan"))
    _bars(ax, found, values, 1.45)
    for place, value in enumerate(values):
        if np.isfinite(value):
            _beside(ax, place, value, number_text(value))
    ax.set_title("peak memory, MiB", loc="left", fontsize=9, color=SOFT)


def _accuracy(ax: Axes, found: Comparison) -> None:
    ends = []
    for place, one in enumerate(found.rows):
        if one.accuracy is None or one.problem:
            continue
        report = one.accuracy.accuracy
        left, right = (100 * end for end in report.interval)
        top1 = 100 * report.top1
        colour = FIRST if one is found.first else OTHER
        ax.plot([left, right], [place, place], color=colour, linewidth=2.2, alpha=0.55, zorder=2)
        ax.scatter([top1], [place], s=42, color=colour, zorder=3)
        lost = "" if one.points is None else f", {-one.points:+.2f}"
        ends.append((left, right))
        _beside(ax, place, right, f"{top1:.1f} %{lost}", strong=True)
    low = min((low for low, _ in ends), default=0.0)
    high = max((high for _, high in ends), default=100.0)
    span = max(high - low, 1.0)
    ax.set_xlim(low - 0.06 * span, high + 0.75 * span)
    ax.set_title("top-1, % (95 % interval), points won", loc="left", fontsize=9, color=SOFT)


def _dress(ax: Axes, rows: int) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_ylim(rows - 0.4, -0.6)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.grid(axis="x", color=_GRID, linewidth=0.8, zorder=0)
    ax.set_axisbelow(True)
    ax.tick_params(axis="both", length=0)
    ax.tick_params(axis="x", labelsize=8, labelcolor=SOFT)
    for name in ("top", "right", "bottom"):
        ax.spines[name].set_visible(False)
    ax.spines["left"].set_color("#b9c0c9")
