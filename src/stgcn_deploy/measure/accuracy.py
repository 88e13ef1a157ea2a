"""Accuracy: predictions against labels, with the interval that the number of samples allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import CheckFailedError

__all__ = ["AccuracyReport", "evaluate"]

# Two-sided 95 %.
Z = 1.959964


@dataclass(frozen=True)
class AccuracyReport:
    """Counts over one data set.

    Attributes:
        confusion: (classes, classes), row = truth, column = prediction.
        top5_hits: samples whose truth is among the five best scores.
    """

    confusion: NDArray[np.int64]
    top5_hits: int

    @property
    def count(self) -> int:
        """Samples."""
        return int(self.confusion.sum())

    @property
    def top1(self) -> float:
        """Share of samples whose best score is the truth."""
        return float(np.trace(self.confusion)) / self.count

    @property
    def top5(self) -> float:
        """Share of samples whose truth is among the five best."""
        return self.top5_hits / self.count

    @property
    def per_class(self) -> NDArray[np.float64]:
        """Recall of each class; NaN for classes without a sample."""
        total = self.confusion.sum(axis=1)
        hits = np.diag(self.confusion)
        recall: NDArray[np.float64] = np.full(len(total), np.nan)
        np.divide(hits, total, out=recall, where=total > 0)
        return recall

    @property
    def mean_class(self) -> float:
        """Mean recall over the classes that occur."""
        return float(np.nanmean(self.per_class))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of top1 (Wilson 1927)."""
        n, p = self.count, self.top1
        middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
        half = Z * sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
        return middle - half, middle + half

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "count": self.count,
            "top1": self.top1,
            "top1_interval": list(self.interval),
            "top5": self.top5,
            "mean_class": self.mean_class,
            "per_class": self.per_class.tolist(),
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    scores_of: Callable[[NDArray[np.float32]], NDArray[np.floating]],
    samples: Iterable[tuple[NDArray[np.float32], int]],
    num_classes: int,
) -> AccuracyReport:
    """Score every sample.

    Args:
        scores_of: a batch (1, M, T, V, C) -> scores (1, classes).
        samples: pairs of a clip (M, T, V, C) and its class.

    Raises:
        CheckFailedError: there is no sample: nothing was measured.
    """
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    top5 = 0
    for clip, truth in samples:
        scores = scores_of(clip[None])[0]
        order = np.argsort(-scores, kind="stable")
        confusion[truth, order[0]] += 1
        top5 += int(truth in order[:5])
    if not confusion.sum():
        raise CheckFailedError("no sample was evaluated; give data that is not empty.")
    return AccuracyReport(confusion, top5)
