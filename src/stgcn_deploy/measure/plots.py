"""Benchmark pictures by matplotlib, drawn without pyplot: no window, no global state."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stgcn_deploy.errors import UsageError, requires
from stgcn_deploy.files import fresh_file
from stgcn_deploy.measure.bench import BenchReport, Row
from stgcn_deploy.measure.report import (
    axis_limit,
    failure,
    number_text,
    ratio_text,
    rows_by_batch,
    speedup,
    threads_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "FADED",
    "FIRST",
    "INK",
    "OTHER",
    "SOFT",
    "plain_text",
    "plot_bench",
    "short_text",
]

FIRST, OTHER, FADED, INK, SOFT = "#8b95a5", "#3b78e7", "#9aa1ab", "#1d2430", "#5d6673"
_BAR = 0.62
_TEXT_ROOM = 1.40  # of the axis beyond its last value: ratio and throughput stand there


def plot_bench(report: BenchReport, path: Path, *, force: bool = False) -> Path:
    """Write a PNG: one panel for each batch size, one bar (median latency) for each contender.

    Whiskers reach to the 90th percentile, dots are single calls; at the bars' ends stand the speed
    against the panel's first row and the throughput.  Failed contenders stay, with the reason.

    Raises:
        OutputExistsError: `path` is there and `force` is not given.
        UsageError: the report has no rows, or the place cannot be written.
        MissingDependencyError: matplotlib is not installed.
    """
    with requires("plotting", "pip install 'stgcn-deploy[plots]'"):
        from matplotlib.figure import Figure
    if not report.rows:
        raise UsageError("the benchmark report has no rows; there is nothing to plot.")
    panels = rows_by_batch(report)
    counts = [len(rows) for rows in panels.values()]
    height = 0.42 * sum(counts) + 0.75 * len(counts) + 0.85
    figure = Figure(figsize=(9.6, height), dpi=150, facecolor="white")
    axes = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": counts})[
        :, 0
    ]
    for ax, (batch, rows) in zip(axes, panels.items(), strict=True):
        _panel(ax, rows, f"{batch} clip in a call" if batch == 1 else f"{batch} clips in a call")
    axes[-1].set_xlabel(
        "latency of one call, ms.   Bar: median.   Whisker: up to the 90th percentile.   "
        "Dots: single calls.",
        fontsize=8, color=SOFT, labelpad=8, loc="left",
    )  # fmt: skip
    cpu = str(report.environment.get("cpu", "unknown CPU"))
    left = 0.25
    figure.text(
        left / 9.6, 1 - 0.2 / height, f"{short_text(cpu, 60)}, {threads_text(report.rows)}",
        fontsize=12, fontweight="bold", color=INK, va="top",
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.42 / height), h_pad=1.2)
    with fresh_file(path, force=force) as partial:
        figure.savefig(partial, format="png")
    return path


def short_text(text: str, width: int) -> str:
    """Text on one line of at most so many letters."""
    return textwrap.shorten(" ".join(text.split()), width, placeholder="…") or text[:width]


def plain_text(text: str) -> str:
    """Matplotlib reads a pair of dollar signs as mathematics."""
    return text.replace("$", r"\$")


def _name(name: str) -> str:
    lines = textwrap.wrap(" ".join(name.split()), 30) or [""]
    return plain_text("\n".join(lines[:2]) + ("…" if len(lines) > 2 else ""))


def _panel(ax: Axes, rows: Sequence[Row], title: str) -> None:
    limit = axis_limit(rows)
    first = rows[0]
    beyond = 0
    for place, row in enumerate(rows):
        reason = failure(row)
        if reason is not None:
            ax.text(
                0.006 * limit, place, f"failed: {plain_text(short_text(reason, 90))}",
                va="center", fontsize=8, style="italic", color=FADED,
            )  # fmt: skip
            continue
        beyond += _bar(ax, place, row, limit, FIRST if place == 0 else OTHER)
        texts = (
            (ratio_text(speedup(row, first)), 44, 9.5, "bold", INK),
            (f"{number_text(row.percentile(50))} ms", 92, 8, "normal", SOFT),
            (f"{number_text(row.clips_per_s)} clips/s", 148, 8, "normal", SOFT),
        )
        for text, end, size, weight, colour in texts:
            ax.annotate(
                text, (limit, place), (end, 0), textcoords="offset points", ha="right",
                va="center", fontsize=size, fontweight=weight, color=colour,
            )  # fmt: skip
    ax.set_xlim(0, limit * _TEXT_ROOM)
    ax.set_ylim(len(rows) - 0.45, -0.55)
    ax.set_yticks(range(len(rows)), [_name(row.name) for row in rows], fontsize=8.5)
    for label, row in zip(ax.get_yticklabels(), rows, strict=True):
        label.set_color(INK if failure(row) is None else FADED)
    calls = "1 slower call lies" if beyond == 1 else f"{beyond} slower calls lie"
    left_out = f"   ({calls} beyond the axis)" if beyond else ""
    ax.set_title(title + left_out, loc="left", fontsize=9.5, color=SOFT)
    _dress(ax, limit)


def _bar(ax: Axes, place: int, row: Row, limit: float, fill: str) -> int:
    """Draw one contender; returns how many of its calls lie beyond the axis."""
    samples = np.asarray(row.samples_ms)
    inside = samples[samples <= limit]
    p50, p90 = row.percentile(50), row.percentile(90)
    ax.barh(place, p50, height=_BAR, color=fill, alpha=0.9, linewidth=0, zorder=2)
    # The golden ratio spreads neighbours apart and is the same every time.
    spread = (np.arange(len(inside)) * 0.618034 % 1 - 0.5) * _BAR * 0.8
    # Thousands of dots may show where they crowd, and must not hide the bar's end.
    alpha = float(np.clip(1.7 / np.sqrt(len(samples)), 0.02, 0.25))
    ax.scatter(inside, place + spread, s=5, color=INK, alpha=alpha, linewidth=0, zorder=3)
    for colour, width in (("white", 3.2), (INK, 1.3)):  # a white rim sets it off the dots
        ax.errorbar(
            p50, place, xerr=[[0.0], [max(0.0, p90 - p50)]],
            color=colour, elinewidth=width, capsize=3.5, capthick=width, zorder=4,
        )  # fmt: skip
    return len(samples) - len(inside)


def _dress(ax: Axes, limit: float) -> None:
    """Little ink besides the data; ticks end where the data do."""
    ax.set_xticks([tick for tick in ax.get_xticks() if 0 <= tick <= limit * 1.001])
    ax.set_xlim(0, limit * _TEXT_ROOM)
    ax.grid(axis="x", color="#e3e6ea", linewidth=0.8, zorder=0)
    ax.set_axisbelow(True)
    ax.tick_params(axis="both", length=0)
    ax.tick_params(axis="x", labelsize=8, labelcolor=SOFT)
    for name in ("top", "right", "bottom"):
        ax.spines[name].set_visible(False)
    ax.spines["left"].set_color("#b9c0c9")
