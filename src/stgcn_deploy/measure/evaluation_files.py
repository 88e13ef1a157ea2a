"""What an evaluation leaves on disk: confusion tables and pictures, scores."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stgcn_deploy.errors import OutputExistsError, UsageError
from stgcn_deploy.files import fresh_file
from stgcn_deploy.measure.confusion import write_confusion
from stgcn_deploy.measure.evaluation import Evaluation

__all__ = ["check_outputs", "write_outputs"]

SUFFIXES = (".csv", ".png", ".npz")


def check_outputs(files: Sequence[Path], *, force: bool = False) -> None:
    """Before hours of work: that the files can be written afterwards.

    Raises:
        UsageError: a suffix that nothing is written as.
        OutputExistsError: a file is there and `force` is not given.
    """
    for file in files:
        if file.suffix not in SUFFIXES:
            raise UsageError(
                f"cannot write {file.name!r}: a confusion table is .csv or .png, scores are .npz."
            )
        for known in (file, *file.parent.glob(f"{glob.escape(file.stem)}-[0-9]*{file.suffix}")):
            if known.exists() and not force:
                raise OutputExistsError(
                    f"{known} exists; choose another name, or replace it with --force."
                )


def write_outputs(found: Evaluation, files: Sequence[Path], *, force: bool = False) -> list[Path]:
    """Write each file by its suffix; of several candidates the pictures are numbered.

    Raises:
        OutputExistsError, UsageError, MissingDependencyError: see write_confusion.
    """
    written = []
    for file in files:
        if file.suffix == ".npz":
            written.append(_write_scores(found, file, force))
            continue
        for number, row in enumerate(found.rows, start=1):
            alone = len(found.rows) == 1
            place = file if alone else file.with_stem(f"{file.stem}-{number}")
            title = f"{row.name}: top-1 {row.accuracy.top1:.1%} of {row.accuracy.count:,}"
            written.append(
                write_confusion(
                    row.accuracy.confusion, row.classes, place, title=title, force=force
                )
            )
    return written


def _write_scores(found: Evaluation, path: Path, force: bool) -> Path:
    """Scores (candidates, N, classes), labels (N,), records (N,) and names (N,), candidates."""
    with fresh_file(path, force=force) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            scores=np.stack([row.scores for row in found.rows]),
            labels=found.labels,
            records=found.indices,
            names=np.array(found.names),
            candidates=np.array([f"{row.name} ({row.form})" for row in found.rows]),
        )
    return path
