"""NTU RGB+D as CTR-GCN keeps it: NTU60_CS.npz and its like.

    x_train, x_test     (N, T, 150): in each frame person after person, joint after joint, x y z;
                        frames behind the end of a recording are 0
    y_train, y_test     (N, classes), 1 at the class

numpy.savez does not compress: then records are read one by one.  A compressed file is read whole.

Source: https://github.com/Uason-Chen/CTR-GCN, data/ntu/seq_transformation.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset, Indices, ReadOptions
from stgcn_deploy.data.limits import MOST_FRAMES, MOST_PERSONS
from stgcn_deploy.data.npzfile import NpzFile, Records
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import DataError

__all__ = ["FORMAT", "Aligned"]

SUFFIX, LAYOUT, FPS = ".npz", "ntu25", 30.0
PARTS = ("train", "test")
JOINTS, CHANNELS = 25, 3


class Aligned(Dataset):
    """The recordings of one file, those to train with first."""

    format = "ntu-npz"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._parts: list[tuple[str, Records]] = []
        labels: list[NDArray[np.int64]] = []
        splits: dict[str, Indices] = {}
        start = 0
        with NpzFile(path) as archive:
            for part in PARTS:
                if f"x_{part}" not in archive.members and f"y_{part}" not in archive.members:
                    continue
                numbers = archive.records(f"x_{part}")
                _check(f"{path}, x_{part}", numbers)
                found = _labels(f"{path}, y_{part}", archive.records(f"y_{part}"))
                if len(found) != numbers.shape[0]:
                    raise DataError(
                        f"{path}: x_{part} has {numbers.shape[0]} record(s), y_{part} {len(found)} "
                        "label(s); expected as many."
                    )
                self._parts.append((part, numbers))
                labels.append(found)
                splits[part] = np.arange(start, start + len(found), dtype=np.int64)
                start += len(found)
            if not self._parts:
                raise DataError(
                    f"{path} holds {sorted(archive.members)[:6]}; expected x_train, y_train, x_test "
                    "and y_test, or a pair of them."
                )
        super().__init__(
            path, np.concatenate(labels), splits=splits, options=options, layout=LAYOUT
        )

    def name(self, index: int) -> str:
        """Its part, and its number in it."""
        part, place, _ = self._place(index)
        return f"{part}/{place}"

    def _place(self, index: int) -> tuple[str, int, Records]:
        for part, numbers in self._parts:
            if index < numbers.shape[0]:
                return part, index, numbers
            index -= numbers.shape[0]
        raise IndexError(index)

    def _read(self, index: int) -> Recording:
        _, place, numbers = self._place(index)
        with np.errstate(over="ignore", invalid="ignore"):
            frames = numbers.record(place).astype(np.float32)
        # The end of the recording; what is behind it would count as frames of an empty room.
        there = np.flatnonzero((frames != 0).any(axis=1))
        frames = frames[: int(there[-1]) + 1 if len(there) else 1]
        clip = frames.reshape(len(frames), -1, JOINTS, CHANNELS).transpose(1, 0, 2, 3)
        return Recording(np.ascontiguousarray(clip), raw=True, fps=FPS)


class AlignedFormat:
    """See the module."""

    name = "ntu-npz"
    title = "NTU RGB+D as CTR-GCN keeps it, .npz with x_train, y_train, x_test, y_test"

    def recognises(self, path: Path) -> bool:
        """Any .npz: opening decides."""
        return path.suffix == SUFFIX and path.is_file()

    def open(self, path: Path, options: ReadOptions) -> Aligned:
        """See DataFormat.open."""
        return Aligned(path, options)


FORMAT = AlignedFormat()


def _check(what: str, numbers: Records) -> None:
    """That these can be recordings."""
    shape = numbers.shape
    width = JOINTS * CHANNELS
    fits = len(shape) == 3 and 0 not in shape and shape[2] % width == 0
    if not fits or shape[1] > MOST_FRAMES or shape[2] > MOST_PERSONS * width:
        raise DataError(
            f"{what} has shape {shape}, expected (N, T, {2 * width}): two persons of {JOINTS} joints "
            f"in at most {MOST_FRAMES} frames."
        )


def _labels(what: str, found: Records) -> NDArray[np.int64]:
    """(N,) of (N, classes) with a 1 in each row, or of whole numbers (N,)."""
    values = found.read()
    if values.ndim == 1 and values.dtype.kind in "iu":
        wrong = np.flatnonzero((values < 0) | (values >= 2**31))
        labels = values.astype(np.int64)
    elif values.ndim == 2 and values.size:
        marked = values > 0
        wrong = np.flatnonzero(marked.sum(axis=1) != 1)
        labels = marked.argmax(axis=1).astype(np.int64)
    else:
        raise DataError(
            f"{what} has shape {values.shape} of {values.dtype}, expected (N, classes) with a 1 at "
            "each record's class."
        )
    if len(wrong):
        raise DataError(
            f"{what}, record {int(wrong[0])}: not one class ({len(wrong)} such record(s)); expected "
            "a single 1, or a whole number from 0 on."
        )
    return labels
