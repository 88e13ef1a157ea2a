"""Accuracy of results that lie in files, one for each record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.bins import read_results
from stgcn_deploy.errors import DataError
from stgcn_deploy.measure.accuracy import AccuracyReport, accuracy_of

__all__ = ["score_results"]


def score_results(
    results: Path,
    truths: NDArray[np.int64],
    *,
    where: str,
    dtype: str = "float32",
    classes: int | None = None,
) -> AccuracyReport:
    """Accuracy of a folder of results against the labels (N,) of all its records.

    Args:
        where: the file with the labels, for messages.
        dtype, classes: see data.bins.read_results.

    Raises:
        DataError: a result that is not right, or a label that is no class; it is named.
    """
    found = read_results(results, len(truths), dtype=dtype, classes=classes)
    width = found.scores.shape[1]
    wrong = np.flatnonzero((truths < 0) | (truths >= width))
    if len(wrong):
        raise DataError(
            f"{where}, record {wrong[0]}: label {truths[wrong[0]]}, and the results have {width} "
            "classes; give the labels that belong to them."
        )
    return accuracy_of(found.scores, truths)
