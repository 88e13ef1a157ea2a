"""Pictures of the benchmark by matplotlib: how old frames get over time, and how late events come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stgcn_deploy.errors import UsageError, requires
from stgcn_deploy.files import fresh_file
from stgcn_deploy.live.bench.delay import DelayReport
from stgcn_deploy.live.bench.report import LiveBench, Run
from stgcn_deploy.measure.plots import FIRST, INK, OTHER, SOFT, plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_ages", "plot_delay", "plot_live"]

COLOURS = (OTHER, "#d1495b", FIRST, "#3a9d6e", "#b8860b", "#7a5cb8")
INSTALL = "pip install 'stgcn-deploy[plots]'"


def plot_live(bench: LiveBench, path: Path, *, force: bool = False) -> Path:
    """Whatever there is to show of one command: ages over time, and else detection delay.

    Raises:
        UsageError: nothing of it can be drawn.
        OutputExistsError, MissingDependencyError: see plot_ages.
    """
    runs = list(bench.runs)
    if bench.found is not None and bench.found.confirmed is not None:
        runs.insert(0, Run(f"{bench.found.cameras} cameras", bench.found.confirmed))
    if runs:
        return plot_ages(runs, path, force=force)
    if bench.delay is not None:
        return plot_delay(bench.delay, path, force=force)
    raise UsageError("nothing was measured that a picture could show.")


def _figure(width: float, height: float) -> Figure:
    with requires("plotting", INSTALL):
        from matplotlib.figure import Figure
    return Figure(figsize=(width, height), dpi=150, facecolor="white")


def _plain(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8, colors=SOFT)
    ax.grid(visible=True, axis="y", color="#e5e8ec", linewidth=0.8)
    ax.set_axisbelow(True)


def plot_ages(
    runs: Sequence[Run], path: Path, *, limit_ms: float | None = None, force: bool = False
) -> Path:
    """Write a PNG: the age of frames and of answers over time, a line for each run.

    Lines are the 99th percentile of each second, on a logarithmic axis: a queue that grows and one that
    does not differ by powers of ten.

    Raises:
        OutputExistsError: `path` is there and `force` is not given.
        MissingDependencyError: matplotlib is not installed.
    """
    figure = _figure(9.6, 4.2)
    panels = figure.subplots(1, 2, sharey=True)
    for ax, kind, title in zip(
        panels, ("people", "result"), ("from frame to people", "from frame to answer"), strict=True
    ):
        for run, colour in zip(runs, COLOURS, strict=False):
            rows = [row for row in run.outcome.curves[kind] if row[2] > 0]
            ax.plot(
                [row[0] for row in rows], [row[2] for row in rows],
                color=colour, linewidth=1.4, label=plain_text(run.title),
            )  # fmt: skip
        ax.set_yscale("log")
        ax.set_title(title, fontsize=10, color=INK, loc="left")
        ax.set_xlabel("seconds", fontsize=8, color=SOFT)
        _plain(ax)
    if limit_ms is not None:
        panels[0].axhline(limit_ms, color=SOFT, linewidth=0.8, linestyle="--")
    panels[0].set_ylabel("age, ms: 99th percentile of each second", fontsize=8, color=SOFT)
    panels[0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    with fresh_file(path, force=force) as partial:
        figure.savefig(partial, format="png")
    return path


def plot_delay(report: DelayReport, path: Path, *, force: bool = False) -> Path:
    """Write a PNG: onset to event by smoothing, a line for each stride; and what was missed.

    Raises:
        OutputExistsError, MissingDependencyError: see plot_ages.
    """
    figure = _figure(9.6, 3.9)
    left, right = figure.subplots(1, 2)
    strides = list(dict.fromkeys(row.stride for row in report.rows))
    for number, (stride, colour) in enumerate(zip(strides, COLOURS, strict=False)):
        rows = [row for row in report.rows if row.stride == stride]
        # Side by side, that whiskers do not cover each other.
        places = [row.smoothing + 0.03 * (number - (len(strides) - 1) / 2) for row in rows]
        medians = [row.percentile(50) for row in rows]
        beyond = [row.percentile(90) - row.percentile(50) for row in rows]
        below = [0.0] * len(rows)
        left.errorbar(
            places, medians, yerr=(below, beyond), color=colour, marker="o", markersize=4,
            capsize=3, linewidth=1.4, label=f"a window every {stride:g} s",
        )  # fmt: skip
        facts = [row.as_dict() for row in rows]
        right.plot(
            places, [100 * (f["missed_share"] + f["late_share"]) for f in facts],
            color=colour, marker="o", markersize=4, linewidth=1.4,
        )  # fmt: skip
        right.plot(
            places, [f["false_starts_per_minute"] for f in facts],
            color=colour, marker="x", markersize=5, linewidth=1.0, linestyle="--",
        )  # fmt: skip
    left.set_title(
        "from onset to event, s (median; whisker: 90 %)", fontsize=9, color=INK, loc="left"
    )
    right.set_title(
        "solid: % not told while they went on;  dashed: false starts a minute",
        fontsize=9, color=INK, loc="left",
    )  # fmt: skip
    for ax in (left, right):
        ax.set_xlabel("smoothing, s", fontsize=8, color=SOFT)
        ax.set_ylim(bottom=0)
        _plain(ax)
    left.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    with fresh_file(path, force=force) as partial:
        figure.savefig(partial, format="png")
    return path
