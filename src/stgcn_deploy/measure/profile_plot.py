"""The picture of a profile: a bar for each block, stacked by kind, with its floor marked."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from stgcn_deploy.errors import requires
from stgcn_deploy.files import fresh_file
from stgcn_deploy.measure.layers import GRAPH, KINDS, MOVED, POINTWISE, RESIDUAL, REST, TEMPORAL
from stgcn_deploy.measure.profile import ProfileReport
from stgcn_deploy.measure.report import number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_profile"]

_COLOURS = {
    GRAPH: "#7b4fc9",
    POINTWISE: "#3b78e7",
    TEMPORAL: "#2ba59a",
    RESIDUAL: "#e3b341",
    MOVED: "#d9534f",
    REST: "#aab2bd",
}
_INK, _SOFT = "#1d2430", "#5d6673"
_BAR, _ROW, _WIDTH = 0.66, 0.27, 9.6
# Of the axis behind the longest bar: time and rate stand there.
_TEXT_ROOM = 1.2
# A floor below it, of the longest bar, is not marked: its mark would hide the bar.
_LEAST_MARK = 0.003


def plot_profile(report: ProfileReport, path: Path, *, force: bool = False) -> Path:
    """Write a picture, of the kind that the file's ending says (.png, .svg).

    Raises:
        OutputExistsError: `path` is there and `force` is not given.
        UsageError: the place cannot be written.
        MissingDependencyError: matplotlib is not installed.
    """
    with requires("plotting", "pip install 'stgcn-deploy[plots]'"):
        from matplotlib.figure import Figure
    blocks = report.by_block()
    height = _ROW * len(blocks) + 1.75
    figure = Figure(figsize=(_WIDTH, height), dpi=150, facecolor="white")
    ax = figure.subplots()
    longest = _bars(ax, report)
    _texts(ax, report, longest)
    ax.set_ylim(len(blocks) - 0.4, -0.6)
    names = [f"block {one.name}" if one.name.isdigit() else one.name for one in blocks]
    ax.set_yticks(range(len(blocks)), names, fontsize=8.5, color=_INK)
    ax.set_xlabel(
        f"ms of one run.   {_mark(report)}",
        fontsize=8, color=_SOFT, labelpad=8, loc="left",
    )  # fmt: skip
    _dress(ax, longest)
    left = 0.25 / _WIDTH
    threads = f"{report.threads} thread" + ("s" if report.threads > 1 else "")
    title = f"{Path(report.bundle).name} ({report.precision}) on {report.backend}, {threads}"
    figure.text(
        left, 1 - 0.18 / height, textwrap.shorten(title, 90, placeholder="…").replace("$", r"\$"),
        fontsize=12, fontweight="bold", color=_INK, va="top",
    )  # fmt: skip
    figure.text(
        left, 1 - 0.45 / height,
        f"layers {report.how} {number_text(report.total_ms)} ms{_floor(report)}; a typical run "
        f"{number_text(report.latency_ms)} ms",
        fontsize=9, color=_SOFT, va="top",
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.98 / height))
    _legend(figure, report, left, 1 - 0.68 / height)
    with fresh_file(path, force=force) as partial:
        figure.savefig(partial, format=path.suffix.lower().lstrip("."))
    return path


def _floor(report: ProfileReport) -> str:
    """That of the whole graph, behind the sum of the layers."""
    floor = report.floor_ms()
    return ", no floor" if floor is None else f", floor {number_text(floor)} ms"


def _mark(report: ProfileReport) -> str:
    """What the marks are, or why there are none."""
    if not report.peak:
        return f"No floor: {report.no_floor}."
    return (
        "Black mark: the floor, the block's multiply-accumulates at the rate of a large matrix "
        f"product here ({report.peak / 1e9:.0f} GMAC/s)."
    )


def _bars(ax: Axes, report: ProfileReport) -> float:
    """One bar a block; returns the longest, ms."""
    longest = 0.0
    for place, block in enumerate(report.by_block()):
        start = 0.0
        for kind in KINDS:
            ms = sum(
                one.ms for one in report.layers if one.block == block.name and one.kind == kind
            )
            ax.barh(place, ms, left=start, height=_BAR, color=_COLOURS[kind], linewidth=0, zorder=2)
            start += ms
        longest = max(longest, start, report.floor_ms(block.macs) or 0.0)
    for place, block in enumerate(report.by_block()):
        floor = report.floor_ms(block.macs)
        if floor is not None and floor > _LEAST_MARK * longest:
            for colour, width in (("white", 4.0), (_INK, 1.8)):  # a white rim sets it off the bar
                ax.plot(
                    [floor, floor], [place - 0.44, place + 0.44],
                    color=colour, linewidth=width, solid_capstyle="butt", zorder=4,
                )  # fmt: skip
    return longest


def _texts(ax: Axes, report: ProfileReport, longest: float) -> None:
    """Time and fraction of the rate, in columns behind the bars."""
    for place, block in enumerate(report.by_block()):
        share = report.of_peak(block)
        rate = f"{share:.0%}" if share >= 0.005 else "\N{EN DASH}"
        for text, end, colour in (
            (f"{number_text(block.ms)} ms", 52, _INK),
            (rate, 90, _SOFT),
        ):
            ax.annotate(
                text, (longest, place), (end, 0), textcoords="offset points", ha="right",
                va="center", fontsize=8, color=colour,
            )  # fmt: skip
    if not report.peak:
        return
    ax.annotate(
        "of the rate", (longest, -0.62), (90, 2), textcoords="offset points", ha="right",
        va="bottom", fontsize=7, color=_SOFT, annotation_clip=False,
    )  # fmt: skip


def _legend(figure: object, report: ProfileReport, left: float, top: float) -> None:
    """The kinds that occur, with their share of the time."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    assert isinstance(figure, Figure)
    shares = report.by_kind()
    figure.legend(
        [Patch(color=_COLOURS[share.name]) for share in shares],
        [f"{share.name} {share.ms / report.total_ms:.0%}" for share in shares],
        loc="upper left", bbox_to_anchor=(left - 0.008, top), ncol=len(shares), fontsize=8,
        frameon=False, handlelength=1.0, handleheight=0.9, columnspacing=1.4, labelcolor=_INK,
        borderpad=0.0,
    )  # fmt: skip


def _dress(ax: Axes, longest: float) -> None:
    """Little ink besides the data; ticks end where the bars do."""
    ax.set_xlim(0, longest * _TEXT_ROOM)
    ax.set_xticks([tick for tick in ax.get_xticks() if 0 <= tick <= longest * 1.001])
    ax.set_xlim(0, longest * _TEXT_ROOM)
    ax.grid(axis="x", color="#e3e6ea", linewidth=0.8, zorder=0)
    ax.set_axisbelow(True)
    ax.tick_params(axis="both", length=0)
    ax.tick_params(axis="x", labelsize=8, labelcolor=_SOFT)
    for name in ("top", "right", "bottom"):
        ax.spines[name].set_visible(False)
    ax.spines["left"].set_color("#b9c0c9")
