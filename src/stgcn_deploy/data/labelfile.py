"""Labels in a file of their own, beside the array that they belong to.

.pkl    (names, labels), as ST-GCN and 2s-AGCN write it; (names, (labels, ...)); or only the labels
.npy    whole numbers (N,)
.json   a list of whole numbers, or [names, labels]
.txt    one whole number a line
.csv    the label in the last column, the name before it; a first line of titles is passed over

Source: https://github.com/yysijie/st-gcn, tools/kinetics_gendata.py and tools/ntu_gendata.py.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.formats.jsonfile import load_json
from stgcn_deploy.data.npyfile import NpyFile
from stgcn_deploy.data.recording import UNLABELLED
from stgcn_deploy.data.safe_pickle import load_pickle
from stgcn_deploy.errors import DataError, FileUnreadableError

__all__ = ["Labels", "label_path", "neighbour", "read_labels", "write_labels"]

KINDS = (".pkl", ".pickle", ".npy", ".json", ".txt", ".csv")
MAX_TEXT_BYTES = 64 << 20
MAX_LABEL = 2**31
# What follows the name of a split: val_data.npy, val_data_joint.npy, val_bone_motion.npy.
_DATA = re.compile(r"(^|_)data(_(joint|bone)(_motion)?)?$|_(joint|bone)(_motion)?$")


@dataclass(frozen=True)
class Labels:
    """What a file of labels says.

    Attributes:
        labels: (N,) index of each record's class, UNLABELLED where it is not known.
        names: of the records, or empty.
    """

    labels: NDArray[np.int64]
    names: tuple[str, ...] = ()


def label_path(data: Path) -> Path:
    """Where the labels of an array are written: val_data.npy -> val_label.pkl."""
    stem = _DATA.sub("", data.stem)
    return data.with_name(f"{stem}_label.pkl" if stem else "label.pkl")


def neighbour(data: Path) -> Path | None:
    """The file with the labels of an array, if it stands beside it under a usual name."""
    for stem in dict.fromkeys((_DATA.sub("", data.stem), data.stem)):
        for word in ("label", "labels"):
            for suffix in KINDS:
                found = data.with_name(f"{stem}_{word}{suffix}" if stem else f"{word}{suffix}")
                if found.is_file() and found != data:
                    return found
    return None


def read_labels(path: Path) -> Labels:
    """Labels, and the names of their records where the file has them.

    Raises:
        FileUnreadableError, UnsafeFileError: missing, damaged, or of another kind.
        DataError: not whole numbers from -1 on; the first wrong one is named.
    """
    if not path.is_file():
        raise FileUnreadableError(f"{path} does not exist; give the file with the labels.")
    kind = path.suffix.lower()
    if kind in (".pkl", ".pickle"):
        return _told_apart(path, load_pickle(path))
    if kind == ".json":
        return _told_apart(path, load_json(path))
    if kind == ".npy":
        array = NpyFile(path)
        if array.ndim != 1:
            raise DataError(f"{path} has shape {array.shape}, expected (N,), one label a record.")
        return Labels(_numbers(path, array.read()))
    if kind in (".txt", ".csv"):
        return _from_text(path)
    raise FileUnreadableError(
        f"{path}: unknown kind of label file {path.suffix!r}; expected {', '.join(KINDS)}."
    )


def write_labels(path: Path, labels: Labels) -> None:
    """(names, labels) as st-gcn's feeders read it, into a file that is the caller's to replace."""
    with path.open("wb") as file:
        pickle.dump((list(labels.names), labels.labels.tolist()), file, protocol=4)


def _told_apart(path: Path, value: Any) -> Labels:
    """Names and labels, or labels alone."""
    pair = isinstance(value, (list, tuple)) and len(value) == 2
    if pair and _is_row(value[0]) and _is_row(value[1]):
        names, labels = value
        if isinstance(labels, (list, tuple)) and labels and _is_row(labels[0]):
            labels = labels[0]
        numbers = _numbers(path, labels)
        if len(names) != len(numbers):
            raise DataError(
                f"{path} has {len(names)} name(s) and {len(numbers)} label(s); expected as many."
            )
        return Labels(numbers, tuple(str(name) for name in names))
    if not _is_row(value):
        raise DataError(
            f"{path} holds {type(value).__name__}, expected the pair (names, labels) or a list of "
            "labels."
        )
    return Labels(_numbers(path, value))


def _is_row(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _numbers(path: Path, values: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
    """Whole numbers as labels; arrays of them are checked at once, lists one by one."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.ndim == 1:
        wrong = np.flatnonzero((values < UNLABELLED) | (values >= MAX_LABEL))
    else:
        wrong = np.array([n for n, one in enumerate(values) if not _is_label(one)], np.int64)
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{path}, record {first}: label is {str(values[first])[:40]}, expected a whole number, 0 "
            f"or more ({UNLABELLED} where it is not known)."
        )
    return np.array([int(one) for one in values], dtype=np.int64)


def _is_label(value: Any) -> bool:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
    return whole and UNLABELLED <= value < MAX_LABEL


def _from_text(path: Path) -> Labels:
    """See the module."""
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise FileUnreadableError(f"{path} exceeds {MAX_TEXT_BYTES >> 20} MiB.")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    except ValueError:
        raise FileUnreadableError(f"{path} is no text of labels (not UTF-8).") from None
    names, labels = [], []
    for number, line in enumerate(lines, start=1):
        *before, last = (part.strip() for part in line.split(","))
        if not last and not before:
            continue
        if not re.fullmatch(r"[+-]?[0-9]{1,10}", last):
            if number == 1 and before:
                continue
            raise DataError(f"{path}, line {number}: {line[:40]!r}, expected a label (0, 1, ...).")
        labels.append(int(last))
        names.append(before[0] if before else "")
    return Labels(_numbers(path, labels), tuple(names) if all(names) else ())
