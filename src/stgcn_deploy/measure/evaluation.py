"""Deployed forms against labels: the same records through every candidate, and what each loses.

All candidates see a record before the next one is read, so that two that stop agreeing do so on the
same data, and a run of any length needs the memory of one record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import ClipError, UsageError
from stgcn_deploy.measure.accuracy import AccuracyReport, Z, accuracy_of, places
from stgcn_deploy.measure.confusion import most_confused
from stgcn_deploy.measure.environment import environment
from stgcn_deploy.measure.journal import Journal
from stgcn_deploy.runtime import Model
from stgcn_deploy.skeleton.windows import Fit

__all__ = ["Candidate", "Choice", "Drop", "Evaluation", "Row", "evaluate"]

FLUSH_SECONDS = 1.0
Counter = Callable[[int, int], None]


@dataclass(frozen=True)
class Candidate:
    """One thing that is judged.

    Attributes:
        name: for the report, unlike that of any other.
        form: backend, graph form and precision, for the report.
        identity: changes whenever its scores could.
        classes: names, in index order.
    """

    name: str
    form: str
    identity: str
    model: Model
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """Which records, and how they become clips.

    Attributes:
        split: of the data set; None takes all.
        limit: only so many, spread evenly over the split.
        clips: see Model.predict; fit: see Model.predict.
        raw: take every record as a pose estimator gave it.
    """

    split: str | None = None
    limit: int | None = None
    clips: int | None = None
    fit: Fit = "exact"
    raw: bool = False


@dataclass(frozen=True)
class Drop:
    """How a candidate's top-1 differs from the first one's, on the same records.

    Attributes:
        points: percentage points lost; negative where it gained.
        margin: half the width of the 95 % interval of `points`, from the records on which only one of
            the two is right (paired differences, Newcombe 1998, method of Wald).
        lost, won: records that only the first, only this one has right.
        agreement: share of records with the same best class.
    """

    points: float
    margin: float
    lost: int
    won: int
    agreement: float


@dataclass(frozen=True)
class Row:
    """One candidate's result; `drop` is None for the first."""

    name: str
    form: str
    classes: tuple[str, ...]
    accuracy: AccuracyReport
    drop: Drop | None
    scores: NDArray[np.float32]

    @property
    def points(self) -> float:
        """Percentage points lost against the first."""
        return self.drop.points if self.drop else 0.0


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        data: file, format, split and number of records.
        indices: (N,) the records; labels: (N,) their classes; names: what the file calls them.
        resumed: records whose scores an earlier run had left.
        max_drop: points that a later candidate may lose; None judges nothing.
        notes: what a reader should know, in words.
    """

    data: dict[str, Any]
    rows: tuple[Row, ...]
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    resumed: int
    seconds: float
    environment: dict[str, Any]
    topk: tuple[int, ...] = (1, 5)
    max_drop: float | None = None
    min_top1: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[str, ...]:
        """What is worse than allowed, in words."""
        found = []
        for row in self.rows:
            # A hair of tolerance: 0.5 points are allowed when 0.5 was said.
            if self.max_drop is not None and row.points > self.max_drop + 1e-9:
                found.append(
                    f"{row.name} loses {row.points:.2f} points of top-1, allowed are {self.max_drop:g}"
                )
            if self.min_top1 is not None and row.accuracy.top1 < self.min_top1 - 1e-12:
                found.append(
                    f"{row.name} has top-1 {row.accuracy.top1:.2%}, at least {self.min_top1:.2%} was "
                    "asked for"
                )
        return tuple(found)

    @property
    def ok(self) -> bool:
        """Whether nothing is worse than allowed."""
        return not self.failures

    def mistakes(self, row: Row) -> list[tuple[str, str, int]]:
        """(truth, taken for, how often) of the most frequent mistakes of a candidate."""
        return most_confused(row.accuracy.confusion, row.classes)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "data": self.data,
            "candidates": [
                {
                    "name": row.name,
                    "form": row.form,
                    **row.accuracy.as_dict(),
                    **{f"top{k}": row.accuracy.top(k) for k in self.topk},
                    "drop": asdict(row.drop) if row.drop else None,
                    "classes": list(row.classes),
                }
                for row in self.rows
            ],
            "max_drop": self.max_drop,
            "min_top1": self.min_top1,
            "ok": self.ok,
            "failures": list(self.failures),
            "notes": list(self.notes),
            "resumed": self.resumed,
            "seconds": self.seconds,
            "environment": self.environment,
        }


def evaluate(
    candidates: Sequence[Candidate],
    data: Dataset,
    choice: Choice,
    *,
    topk: Sequence[int] = (1, 5),
    max_drop: float | None = None,
    min_top1: float | None = None,
    resume: bool = True,
    count: Counter | None = None,
    note: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score every chosen record with every candidate.

    Args:
        candidates: the first one is what the others are compared with.
        topk: places that count, for the report.
        resume: go on where an earlier run of the same plan was stopped.
        count: called with records done and in all.
        note: called with a line for people.

    Raises:
        UsageError: nothing to judge, or candidates of other classes than the first.
        DataError: a record without a label, or with one that is no class of theirs.
        ClipError: a record that a candidate cannot take; it is named.
        CheckFailedError: no record, or scores that are NaN.
    """
    _check_alike(candidates)
    if not topk or min(topk) < 1:
        raise UsageError(f"topk must be 1 or more, got {', '.join(map(str, topk)) or 'nothing'}.")
    indices = _chosen(data, choice)
    data.check_labels(indices, candidates[0].model.manifest.num_classes)
    widths = [one.model.manifest.num_classes for one in candidates]
    journal = Journal(_plan(candidates, data, choice, indices), widths, fresh=not resume)
    done, start = journal.done, time.perf_counter()
    if done and note:
        note(
            f"an earlier run had done {done:,} of {len(indices):,}; going on (--no-resume starts over)"
        )
    try:
        _run(candidates, data, choice, indices, journal, count)
        scores = journal.scores()
    finally:
        journal.close()
    labels = data.labels[indices]
    rows = tuple(
        Row(
            one.name,
            one.form,
            one.classes,
            accuracy_of(found, labels),
            _drop(scores[0], found, labels) if number else None,
            found,
        )
        for number, (one, found) in enumerate(zip(candidates, scores, strict=True))
    )
    journal.remove()
    return Evaluation(
        data={
            "file": str(data.path),
            "format": data.format,
            "split": choice.split,
            "records": len(indices),
            "of": len(data),
        },
        rows=rows,
        indices=indices,
        labels=labels,
        names=tuple(data.name(int(index)) for index in indices),
        resumed=done,
        seconds=time.perf_counter() - start,
        environment=environment(),
        topk=tuple(topk),
        max_drop=max_drop,
        min_top1=min_top1,
        notes=_notes(candidates, data, choice, len(indices)),
    )


def _run(
    candidates: Sequence[Candidate],
    data: Dataset,
    choice: Choice,
    indices: NDArray[np.int64],
    journal: Journal,
    count: Counter | None,
) -> None:
    """The records that the journal does not have yet."""
    flushed = time.perf_counter()
    for number in range(journal.done, len(indices)):
        index = int(indices[number])
        recording = data[index]
        journal.add([_score(one.model, recording, choice, data, index) for one in candidates])
        if time.perf_counter() - flushed > FLUSH_SECONDS:
            journal.flush()
            flushed = time.perf_counter()
        if count:
            count(number + 1, len(indices))


def _score(
    model: Model, recording: Recording, choice: Choice, data: Dataset, index: int
) -> NDArray[np.float32]:
    try:
        return model.scores_of(recording, fit=choice.fit, clips=choice.clips, raw=choice.raw)
    except ClipError as error:
        raise ClipError(f"{data.where(index)}: {error}") from None


def _check_alike(candidates: Sequence[Candidate]) -> None:
    if not candidates:
        raise UsageError("nothing to evaluate; name bundles or checkpoints.")
    first = candidates[0]
    for other in candidates[1:]:
        mine, theirs = first.model.manifest.num_classes, other.model.manifest.num_classes
        if mine != theirs:
            raise UsageError(
                f"{first.name} has {mine} classes and {other.name} {theirs}; only networks of the same "
                "classes can be compared."
            )


def _chosen(data: Dataset, choice: Choice) -> NDArray[np.int64]:
    indices = data.select(choice.split)
    if choice.limit is None or choice.limit >= len(indices):
        return indices
    if choice.limit < 1:
        raise UsageError(f"limit must be at least 1, got {choice.limit}.")
    # Files are often sorted by class: the first ones alone would be one class.
    spread = np.linspace(0, len(indices) - 1, choice.limit).round().astype(np.int64)
    chosen: NDArray[np.int64] = indices[spread]
    return chosen


def _plan(
    candidates: Sequence[Candidate], data: Dataset, choice: Choice, indices: NDArray[np.int64]
) -> dict[str, Any]:
    """All that the scores depend on."""
    return {
        "candidates": [one.identity for one in candidates],
        "data": data.fingerprint(),
        "indices": indices.tolist(),
        "choice": [choice.clips, choice.fit, choice.raw],
    }


def _drop(
    first: NDArray[np.float32], other: NDArray[np.float32], labels: NDArray[np.int64]
) -> Drop:
    one, two = places(first, labels) == 0, places(other, labels) == 0
    count = len(labels)
    lost, won = int((one & ~two).sum()), int((two & ~one).sum())
    spread = sqrt(max(lost + won - (lost - won) ** 2 / count, 0)) / count
    return Drop(
        points=100 * (lost - won) / count,
        margin=100 * Z * spread,
        lost=lost,
        won=won,
        agreement=float((first.argmax(axis=1) == other.argmax(axis=1)).mean()),
    )


def _notes(
    candidates: Sequence[Candidate], data: Dataset, choice: Choice, count: int
) -> tuple[str, ...]:
    found = []
    known = data.classes
    for one in candidates:
        if known and one.classes[: len(known)] != known:
            odd = next(
                (pair for pair in zip(known, one.classes, strict=False) if pair[0] != pair[1]),
                (f"{len(known)} classes", f"{len(one.classes)} classes"),
            )
            found.append(
                f"the data set calls a class {odd[0]!r} that {one.name} calls {odd[1]!r}; indices were "
                "compared, not names"
            )
    if choice.limit is not None and count == choice.limit:
        found.append(f"only {count} records, spread over the split (--limit)")
    return tuple(found)
