"""Which classes are taken for which: a table for programs, a picture for people."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError, requires
from stgcn_deploy.files import fresh_file

__all__ = ["most_confused", "write_confusion"]

# Beyond so many classes numbers in cells, and then names at the axes, are too small to read.
NUMBERED, NAMED = 25, 70


def most_confused(
    confusion: NDArray[np.int64], classes: Sequence[str], count: int = 5
) -> list[tuple[str, str, int]]:
    """(truth, taken for, how often) of the most frequent mistakes."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [np.unravel_index(place, wrong.shape) for place in order]
    return [
        (classes[truth], classes[said], int(wrong[truth, said]))
        for truth, said in pairs
        if wrong[truth, said]
    ]


def write_confusion(
    confusion: NDArray[np.int64],
    classes: Sequence[str],
    path: Path,
    *,
    title: str = "",
    force: bool = False,
) -> Path:
    """Write counts (truth, prediction) as .csv, or shares of each truth as .png.

    Raises:
        UsageError: another suffix. OutputExistsError: the file is there and `force` is not given.
        MissingDependencyError: a picture is asked for and matplotlib is not installed.
    """
    if path.suffix == ".csv":
        with (
            fresh_file(path, force=force) as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            table = csv.writer(file)
            table.writerow(["truth \\ prediction", *classes])
            for name, row in zip(classes, confusion.tolist(), strict=True):
                table.writerow([name, *row])
        return path
    if path.suffix == ".png":
        return _picture(confusion, classes, path, title, force)
    raise UsageError(f"a confusion table is written as .csv or .png; got {path.name!r}.")


def _picture(
    confusion: NDArray[np.int64], classes: Sequence[str], path: Path, title: str, force: bool
) -> Path:
    with requires("plotting", "pip install 'stgcn-deploy[plots]'"):
        from matplotlib.figure import Figure
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
    count = len(classes)
    side = float(np.clip(0.42 * count + 2.2, 4.5, 16))
    figure = Figure(figsize=(side + 0.9, side), dpi=140, facecolor="white")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if count <= NUMBERED:
        _numbers(axes, confusion, shares)
    if count <= NAMED:
        size = 9 if count <= NUMBERED else 6
        names = [name.replace("$", r"\$") for name in classes]
        axes.set_xticks(range(count), names, rotation=90, fontsize=size)
        axes.set_yticks(range(count), names, fontsize=size)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted", color="#5d6673")
    axes.set_ylabel("truth", color="#5d6673")
    axes.set_title(title.replace("$", r"\$"), loc="left", fontsize=10.5, color="#1d2430")
    for spine in axes.spines.values():
        spine.set_color("#b9c0c9")
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("share of the truth's records", color="#5d6673", fontsize=8)
    bar.ax.tick_params(labelsize=8, length=0)
    bar.outline.set_visible(False)
    figure.tight_layout()
    with fresh_file(path, force=force) as partial:
        figure.savefig(partial, format="png")
    return path


def _numbers(axes: Any, confusion: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for truth, said in np.argwhere(confusion > 0):
        colour = "white" if shares[truth, said] > 0.55 else "#1d2430"
        axes.text(
            said, truth, str(confusion[truth, said]), ha="center", va="center", fontsize=8,
            color=colour,
        )  # fmt: skip
