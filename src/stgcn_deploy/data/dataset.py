"""The seam between files of recordings and everything that reads them.

A data set is a row of recordings with random access, so that a split, a limit, a resumed run and a
class-balanced choice are all a matter of indices.  Reading one record costs the memory of that record
where the format allows it (PYSKL's pickle is the exception: it is one object).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.recording import UNLABELLED, Recording
from stgcn_deploy.errors import DataError, UnknownNameError
from stgcn_deploy.registry import nearest

__all__ = ["DataFormat", "Dataset", "Header", "ReadOptions", "WritableFormat"]

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about a file; None means unsaid.

    Attributes:
        labels: the file with the labels, where they stand apart from the recordings.
        layout: name of the joints' layout, where the file does not say.
        axes: order of the axes of a bare array, e.g. "NCTVM", "CTVM" or "MTVC".
        image_size: (width, height) that pixels are of, where the file does not say.
        fps: frames per second, where the file does not say.
    """

    labels: Path | None = None
    layout: str | None = None
    axes: str | None = None
    image_size: tuple[int, int] | None = None
    fps: float | None = None


class Dataset(ABC):
    """Recordings of one file or folder.

    Attributes:
        path: where they are.
        format: the table's name of the format.
        labels: (N,) index of each record's class, UNLABELLED where it is not known.
        classes: their names, or empty.
        splits: name -> indices of the records in it, ascending or in the file's order.
        layout: of all records, where it is known.
    """

    format: str = ""

    def __init__(
        self,
        path: Path,
        labels: Sequence[int] | Indices,
        *,
        classes: Sequence[str] = (),
        splits: Mapping[str, Indices] | None = None,
        options: ReadOptions | None = None,
        layout: str | None = None,
    ) -> None:
        self.path = path
        self.options = options or ReadOptions()
        self.labels: Indices = np.asarray(labels, dtype=np.int64)
        self.classes = tuple(classes)
        self.splits: dict[str, Indices] = dict(splits or {})
        self.layout = self.options.layout or layout

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Recording:
        """One recording, with its name and label and what the options say about all of them.

        Raises:
            DataError: no such record, or one that cannot be read; it is named.
        """
        if not 0 <= index < len(self):
            raise DataError(f"{self.path} has {len(self)} record(s); there is no record {index}.")
        found = self._read(index)
        given = self.options
        return replace(
            found,
            name=found.name or self.name(index),
            label=int(self.labels[index]),
            layout=found.layout or self.layout,
            image_size=found.image_size or given.image_size,
            fps=found.fps or given.fps,
        )

    def __iter__(self) -> Iterator[Recording]:
        return (self[index] for index in range(len(self)))

    @abstractmethod
    def _read(self, index: int) -> Recording:
        """Record `index`; label and options are added by the caller."""

    def name(self, index: int) -> str:
        """What the file calls a record; its number where it has no names."""
        return str(index)

    def where(self, index: int) -> str:
        """File and record, for messages."""
        name = self.name(index)
        return f"{self.path}, record {index}" + (f" ({name})" if name != str(index) else "")

    def select(self, split: str | None = None) -> Indices:
        """Indices of a split; all records without one.

        Raises:
            UnknownNameError: the file has no such split.
        """
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        if split not in self.splits:
            known = f"Known: {', '.join(self.splits)}." if self.splits else "The file has none."
            raise UnknownNameError(
                f"{self.path}: unknown split {split!r}{nearest(split, self.splits)} {known}"
            )
        return np.asarray(self.splits[split], dtype=np.int64)

    def fingerprint(self) -> list[Any]:
        """Changes whenever the recordings could: files with their sizes and times, and the options."""
        files = [self.path, *([self.options.labels] if self.options.labels else [])]
        if self.path.is_dir():
            files += sorted(self.path.rglob("*"))
        told = []
        for file in files:
            found = file.stat()
            told.append([str(file.resolve()), found.st_size, found.st_mtime_ns])
        return [self.format, told, repr(self.options), len(self), self.labels.tolist()]

    def check_labels(self, indices: Indices, num_classes: int) -> None:
        """That each of these records has a label below `num_classes`.

        Raises:
            DataError: one has not; the first is named.
        """
        labels = self.labels[indices]
        wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
        if not len(wrong):
            return
        first = int(indices[wrong[0]])
        label = int(self.labels[first])
        if label == UNLABELLED:
            raise DataError(
                f"{self.where(first)} has no label ({len(wrong)} of {len(indices)} records have "
                "none or a wrong one); give the file with the labels: --data-labels FILE."
            )
        raise DataError(
            f"{self.where(first)} has label {label}, expected 0 to {num_classes - 1} "
            f"({len(wrong)} of {len(indices)} records are outside); is this the data set of the "
            "network's classes?"
        )


@dataclass(frozen=True)
class Header:
    """What a written file says about all its recordings.

    Attributes:
        count: how many recordings follow.
        classes: names of the classes, or empty.
        layout: name of the joints' layout.
        splits: name -> indices.
    """

    count: int
    classes: tuple[str, ...] = ()
    layout: str | None = None
    splits: Mapping[str, Indices] = field(default_factory=dict)


class DataFormat(Protocol):
    """One kind of file or folder.

    Attributes:
        name: the table's name of it.
        title: one line for people.
    """

    name: str
    title: str

    def recognises(self, path: Path) -> bool:
        """Whether this is such a file or folder; cheap, and no two formats claim the same."""

    def open(self, path: Path, options: ReadOptions) -> Dataset:
        """Its recordings.

        Raises:
            DataError, FileUnreadableError, UnsafeFileError: it is damaged, or not to be trusted.
        """


class WritableFormat(DataFormat, Protocol):
    """A format that recordings can be written in."""

    def write(
        self,
        path: Path,
        recordings: Iterable[Recording],
        header: Header,
        *,
        force: bool = False,
    ) -> dict[str, Any]:
        """Write recordings, one after the other; each file is there whole or not at all.

        Args:
            path: the main file's final place; files that belong to it stand beside it.
            force: replace files that are there.

        Returns:
            {"records": how many, "files": {file's name: its bytes}}.

        Raises:
            DataError: a recording that this format cannot hold; it is named.
            OutputExistsError, UsageError: see files.fresh_file.
        """
