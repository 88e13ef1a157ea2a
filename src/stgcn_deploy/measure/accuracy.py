"""Accuracy: predictions against labels, with the interval that the number of samples allows."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import CheckFailedError

__all__ = ["AccuracyReport", "accuracy_of", "places"]

# Two-sided 95 %.
Z = 1.959964


@dataclass(frozen=True)
class AccuracyReport:
    """Counts over one data set.

    Attributes:
        confusion: (classes, classes), row = truth, column = prediction.
        ranks: (classes,) samples whose truth came at that place, 0 = best.
    """

    confusion: NDArray[np.int64]
    ranks: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Samples."""
        return int(self.confusion.sum())

    @property
    def top1(self) -> float:
        """Share of samples whose best score is the truth."""
        return self.top(1)

    @property
    def top5(self) -> float:
        """Share of samples whose truth is among the five best."""
        return self.top(5)

    def top(self, k: int) -> float:
        """Share of samples whose truth is among the `k` best."""
        return float(self.ranks[:k].sum()) / self.count

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


def places(scores: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """At which place each truth came, (N,): 0 = best; equal scores go by index of the class.

    Args:
        scores: (N, classes); labels: (N,) indices of classes.

    Raises:
        CheckFailedError: a score is NaN, which would compare as anything.
    """
    broken = np.flatnonzero(np.isnan(scores).any(axis=1))
    if len(broken):
        raise CheckFailedError(
            f"{len(broken)} of {len(scores)} samples have NaN among their scores, first number "
            f"{broken[0]}; the network or its precision overflows on this data."
        )
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    before = (scores > own) | ((scores == own) & earlier)
    found: NDArray[np.int64] = before.sum(axis=1)
    return found


def accuracy_of(scores: NDArray[Any], labels: NDArray[np.int64]) -> AccuracyReport:
    """Scores (N, classes) against labels (N,).

    Raises:
        CheckFailedError: there is no sample (nothing was measured), or NaN among the scores.
    """
    if not len(scores):
        raise CheckFailedError("no sample was evaluated; give data that is not empty.")
    classes = scores.shape[1]
    confusion = np.zeros((classes, classes), dtype=np.int64)
    # argmax takes the first of equal scores, as `places` does.
    np.add.at(confusion, (labels, scores.argmax(axis=1)), 1)
    ranks = np.bincount(places(scores, labels), minlength=classes).astype(np.int64)
    return AccuracyReport(confusion, ranks)
