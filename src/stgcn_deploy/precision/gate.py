"""The accuracy gate: before and after, on recordings that nothing was calibrated on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle, sha256_of
from stgcn_deploy.data.dataset import Dataset
from stgcn_deploy.data.recording import UNLABELLED
from stgcn_deploy.errors import CheckFailedError
from stgcn_deploy.manifest import MANIFEST
from stgcn_deploy.measure.evaluation import Candidate, Choice, Evaluation, Row, evaluate
from stgcn_deploy.runtime import Model, load

__all__ = ["Gate", "held_out", "partner_of"]

Indices = NDArray[np.int64]
Count = Callable[[int, int], None]

HELD_OUT = "held out"
# A split for training, and what codebases call the one beside it.
PARTNERS = ("test", "val", "valid", "validation", "eval")
TRAIN = re.compile(r"(?<![a-z])train(?![a-z])")


def partner_of(split: str | None, splits: Sequence[str]) -> str | None:
    """The held-out split beside a training one: test1 for train1, xsub_val for xsub_train."""
    if split is None or not TRAIN.search(split):
        return None
    made = [TRAIN.sub(word, split) for word in PARTNERS]
    return next((name for name in made if name in splits), None)


def held_out(
    data: Dataset, split: str | None, used: Sequence[int], *, same_file: bool
) -> tuple[Indices, tuple[str, ...]]:
    """Records to judge on, and notes.

    Args:
        used: records of the calibration; left out where the file is the same.

    Raises:
        CheckFailedError: nothing is left, or nothing has a label.
    """
    found = data.select(split)
    what = f"{data.path}" + (f", split {split}" if split else "")
    notes = []
    if same_file and used:
        kept = found[~np.isin(found, np.asarray(used))]
        left_out = len(found) - len(kept)
        if left_out:
            notes.append(
                f"{left_out} record(s) of {what} were calibrated on and are left out of the evaluation"
            )
        found = kept
    if not len(found):
        raise CheckFailedError(
            f"{what} has no record that was not calibrated on, so nothing was measured. Give others "
            "with --eval-data and --eval-split, or --no-gate."
        )
    if (data.labels[found] == UNLABELLED).all():
        raise CheckFailedError(
            f"{what} has no labels, so the loss of accuracy cannot be measured. Give labelled "
            "recordings with --eval-data (or --data-labels), or --no-gate."
        )
    return found, tuple(notes)


class Recorded(Model):
    """A model whose scores are known already, in the order in which records will be asked for."""

    def __init__(self, model: Model, scores: NDArray[np.float32]) -> None:
        self.manifest = model.manifest
        self.labels = model.labels
        self._next = iter(scores)

    def scores_of(self, *_: Any, **__: Any) -> NDArray[np.float32]:
        """See Model.scores_of."""
        return next(self._next)

    def close(self) -> None:
        """Nothing is open."""


class Gate:
    """Judges bundles against the one that they were made from, which is run only once.

    Args:
        indices: the records.
        backend: that all of them are judged on, the base too.
    """

    def __init__(
        self, base: Bundle, data: Dataset, split: str | None, indices: Indices, backend: str
    ) -> None:
        self.data = data
        self.split = split
        self.backend = backend
        self.count = len(indices)
        self._base = _candidate(base, backend, "base")
        self._scores: NDArray[np.float32] | None = None
        # A split of its own says which records count; the data set is this gate's alone.
        data.splits[HELD_OUT] = indices

    def judge(self, bundle: Bundle, count: Count | None = None) -> tuple[Row, Row]:
        """The base's row, and the bundle's with what it loses.

        Raises:
            CheckFailedError: no record was judged.
            DataError: a record has no label, or a wrong one.
        """
        if not self.count:
            raise CheckFailedError("the accuracy gate has no record; nothing was measured.")
        if self._scores is None:
            self._scores = self._alone(self._base, count)
            self._base.model.close()
        known = replace(self._base, model=Recorded(self._base.model, self._scores))
        other = _candidate(bundle, self.backend, "candidate")
        try:
            found = self._evaluate([known, other], count)
        finally:
            other.model.close()
        one, two = found.rows
        return one, two

    def _alone(self, candidate: Candidate, count: Count | None) -> NDArray[np.float32]:
        """Scores of one candidate; two runtimes in one process would wait for each other's threads."""
        return self._evaluate([candidate], count).rows[0].scores

    def _evaluate(self, candidates: list[Candidate], count: Count | None) -> Evaluation:
        return evaluate(candidates, self.data, Choice(HELD_OUT), resume=False, count=count)

    def close(self) -> None:
        """Release the runtime."""
        self._base.model.close()


def _candidate(bundle: Bundle, backend: str, name: str) -> Candidate:
    model = load(bundle.path, backend=backend)
    version = BACKENDS[backend].version()
    return Candidate(
        name=name,
        form=f"{backend}, {model.manifest.graph_form}, {model.manifest.precision.actual}",
        identity=f"{sha256_of(bundle.path / MANIFEST)} {backend} {version}",
        model=model,
        classes=model.labels,
    )
