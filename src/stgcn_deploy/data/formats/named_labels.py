"""Labels of recordings that have names of their own, such as folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.labelfile import read_labels
from stgcn_deploy.data.recording import UNLABELLED
from stgcn_deploy.errors import DataError

__all__ = ["labels_of"]


def labels_of(path: Path, names: Sequence[str], labels: Path | None) -> NDArray[np.int64]:
    """One label for each name: by name where the file with the labels has names, else in order.

    Raises:
        DataError: a record without a label, or without names another number of labels.
        FileUnreadableError, UnsafeFileError: see read_labels.
    """
    if labels is None:
        return np.full(len(names), UNLABELLED, dtype=np.int64)
    found = read_labels(labels)
    if not found.names:
        if len(found.labels) != len(names):
            raise DataError(
                f"{path} has {len(names)} record(s), {labels} has {len(found.labels)} label(s) and no "
                "names; expected as many."
            )
        return found.labels
    known = dict(zip(found.names, found.labels.tolist(), strict=True))
    missing = [name for name in names if name not in known]
    if missing:
        raise DataError(
            f"{labels} has no label for {missing[0]!r} of {path} ({len(missing)} of {len(names)} "
            "records have none)."
        )
    return np.array([known[name] for name in names], dtype=np.int64)
