"""The trade-off as table rows and as a picture: accuracy against latency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stgcn_deploy.errors import UsageError, requires
from stgcn_deploy.files import fresh_file

if TYPE_CHECKING:
    from stgcn_deploy.precision.result import Quantised
    from stgcn_deploy.precision.tradeoff import Trial

__all__ = ["HEADER", "cells", "plot_trials", "title"]

HEADER = ("", "top-1", "points lost", "same answer", "median ms", "speed", "MiB", "verdict")
_BASE, _GOOD, _BAD, _INK, _SOFT = "#8b95a5", "#3b78e7", "#c8553d", "#1d2430", "#5d6673"
NONE = "-"


def title(found: Quantised) -> str:
    """What the table says it is."""
    one = next((trial.accuracy for trial in found.trials if trial.accuracy), None)
    if one is None:
        return f"{found.base.path} as {found.request.to}; accuracy not measured"
    split = f", split {one.split}" if one.split else ""
    return (
        f"{found.base.path} as {found.request.to} on {one.backend}: {one.data}{split}, {one.records:,} "
        f"records, budget {found.request.budget:g} points"
    )


def cells(found: Quantised) -> list[list[str]]:
    """The base, then each trial."""
    before = next((trial.accuracy.before for trial in found.trials if trial.accuracy), None)
    base = [
        found.base.manifest.precision.actual,
        NONE if before is None else f"{before:.2%}",
        NONE,
        NONE,
        _number(found.base_ms),
        NONE if found.base_ms is None else "1.00x",
        f"{found.base_mbytes:.1f}",
        NONE,
    ]
    return [base, *(_row(found, number) for number in range(len(found.trials)))]


def _row(found: Quantised, number: int) -> list[str]:
    trial = found.trials[number]
    lost = trial.accuracy
    speed = NONE
    if found.base_ms and trial.milliseconds:
        speed = f"{found.base_ms / trial.milliseconds:.2f}x"
    return [
        f"{found.request.to}, {trial.name}" if found.recipe else trial.name,
        f"{lost.after:.2%}" if lost else NONE,
        f"{lost.points:.2f} ± {lost.margin:.2f}" if lost else NONE,
        f"{lost.agreement:.2%}" if lost else NONE,
        _number(trial.milliseconds),
        speed,
        f"{trial.mbytes:.1f}",
        _verdict(trial, taken=number == found.chosen),
    ]


def _verdict(trial: Trial, *, taken: bool) -> str:
    words = {None: "not judged", True: "within budget", False: "over budget"}[trial.within]
    return f"{words}, taken" if taken else words


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def plot_trials(found: Quantised, path: Path, *, force: bool = False) -> Path:
    """Write a PNG: top-1 against median latency, the base and each trial a dot; the budget a line.

    Raises:
        OutputExistsError: `path` is there and `force` is not given.
        UsageError: accuracy or latency was not measured.
        MissingDependencyError: matplotlib is not installed.
    """
    with requires("plotting", "pip install 'stgcn-deploy[plots]'"):
        from matplotlib.figure import Figure
    timed = [one for one in found.trials if one.accuracy and one.milliseconds is not None]
    if not timed or found.base_ms is None:
        raise UsageError(
            "the plot shows accuracy against latency, and one was not measured; leave out --no-gate "
            "and --no-latency, or --plot."
        )
    first = timed[0].accuracy
    assert first is not None
    figure = Figure(figsize=(7.2, 4.6), dpi=150, facecolor="white")
    ax = figure.subplots()
    ax.axhline(
        100 * first.before - found.request.budget, color=_SOFT, linewidth=1, linestyle=(0, (4, 3))
    )
    ax.annotate(
        f"budget: {found.request.budget:g} points", (1, 100 * first.before - found.request.budget),
        (-2, 3), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
        fontsize=8, color=_SOFT,
    )  # fmt: skip
    dots = [(found.base_ms, 100 * first.before, found.base.manifest.precision.actual, _BASE, False)]
    for trial in timed:
        assert trial.accuracy is not None
        assert trial.milliseconds is not None
        colour = _GOOD if trial.within else _BAD
        taken = trial is found.trial
        dots.append((trial.milliseconds, 100 * trial.accuracy.after, trial.name, colour, taken))
    for x, y, name, colour, taken in dots:
        ax.scatter(
            x, y, s=90 if taken else 45, color=colour, zorder=3,
            edgecolors=_INK if taken else "none", linewidth=1.4,
        )  # fmt: skip
        below = colour == _BAD
        ax.annotate(
            f"{name} (taken)" if taken else name, (x, y), (6, -11 if below else 5),
            textcoords="offset points", fontsize=8, color=_INK,
        )  # fmt: skip
    ax.set_xlim(0, 1.25 * max(x for x, *_ in dots))
    ax.margins(y=0.2)
    ax.set_xlabel("median latency of one call, ms", fontsize=9, color=_SOFT)
    ax.set_ylabel("top-1, %", fontsize=9, color=_SOFT)
    ax.set_title(
        f"{found.base.path.name} as {found.request.to} on {found.backend}: {first.records:,} records",
        loc="left", fontsize=10.5, color=_INK,
    )  # fmt: skip
    ax.grid(color="#e3e6ea", linewidth=0.8, zorder=0)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, labelsize=8, labelcolor=_SOFT)
    for name in ("top", "right"):
        ax.spines[name].set_visible(False)
    figure.tight_layout()
    with fresh_file(path, force=force) as partial:
        figure.savefig(partial, format="png")
    return path
