"""NTU RGB+D as CTR-GCN keeps it: NTU60_CS.npz and its like.

    x_train, x_test     (N, T, 150): in each frame person after person, joint after joint, x y z;
                        frames behind the end of a recording are 0
    y_train, y_test     (N, classes), 1 at the class

numpy.savez does not compress: then records are read one by one.  A compressed file is read whole.

Source: https://github.com/Uason-Chen/CTR-GCN, data/ntu/seq_transformation.py.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset, Indices, ReadOptions
from stgcn_deploy.data.limits import MOST_FRAMES, MOST_PERSONS
from stgcn_deploy.data.npyfile import NpyFile, read_header
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import DataError, FileUnreadableError

__all__ = ["FORMAT", "Aligned"]

SUFFIX, LAYOUT, FPS = ".npz", "ntu25", 30.0
PARTS = ("train", "test")
JOINTS, CHANNELS = 25, 3
# A compressed member is read whole: at most so large, and not much larger than what it is packed in.
MAX_PACKED = 4 << 30
SMALL, MAX_RATIO = 64 << 20, 200
LOCAL_HEADER, LOCAL_MAGIC = 30, b"PK\x03\x04"


class _Whole:
    """An array in memory."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values
        self.shape: tuple[int, ...] = values.shape
        self.dtype: np.dtype[Any] = values.dtype

    def read(self) -> NDArray[Any]:
        """All of it."""
        return self.values

    def record(self, index: int) -> NDArray[Any]:
        """Number `index` along the first axis."""
        found: NDArray[Any] = self.values[index]
        return found


Records = NpyFile | _Whole


class Aligned(Dataset):
    """The recordings of one file, those to train with first."""

    format = "ntu-npz"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._parts: list[tuple[str, Records]] = []
        labels: list[NDArray[np.int64]] = []
        splits: dict[str, Indices] = {}
        start = 0
        with _Archive(path) as archive:
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
        with np.errstate(over="ignore"):
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


# ---- arrays in a zip file --------------------------------------------------------------------


class _Archive:
    """The arrays of an .npz by their names.

    Raises:
        FileUnreadableError: no zip file, or a damaged one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (
            OSError,
            zipfile.BadZipFile,
            ValueError,
            NotImplementedError,
            struct.error,
        ) as error:
            raise FileUnreadableError(f"{path} is no readable .npz file: {error}") from None
        self.members = {
            info.filename.removesuffix(".npy"): info
            for info in self._zip.infolist()
            if info.filename.endswith(".npy")
        }

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()

    def records(self, name: str) -> Records:
        """An array of numbers; on demand where the file has it unpacked.

        Raises:
            DataError: it has none of the name, or not of numbers.
            FileUnreadableError: damaged, or far larger than it should be.
        """
        if name not in self.members:
            raise DataError(f"{self.path} has no {name}; it holds {sorted(self.members)[:6]}.")
        info = self.members[name]
        stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
        found = self._stored(info, name) if stored else self._packed(info, name)
        if found.dtype.kind not in "fiu":
            raise DataError(f"{self.path}, {name} holds {found.dtype}, expected numbers.")
        return found

    def _stored(self, info: zipfile.ZipInfo, name: str) -> NpyFile:
        """Where an unpacked member stands in the file."""
        what = f"{self.path}, {name}"
        try:
            with self.path.open("rb") as file:
                file.seek(info.header_offset)
                local = file.read(LOCAL_HEADER)
        except (OSError, ValueError, OverflowError) as error:
            raise FileUnreadableError(f"cannot read {what}: {error}") from None
        if len(local) < LOCAL_HEADER or local[:4] != LOCAL_MAGIC:
            raise FileUnreadableError(f"{what}: the .npz file is damaged; copy it again.")
        names, extra = struct.unpack("<HH", local[26:30])
        start = info.header_offset + LOCAL_HEADER + names + extra
        return NpyFile(self.path, start=start, size=info.file_size, name=what)

    def _packed(self, info: zipfile.ZipInfo, name: str) -> _Whole:
        """A compressed member, whole."""
        what = f"{self.path}, {name}"
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FileUnreadableError(
                f"{what} is packed in a way that numpy does not use; write it with numpy.savez."
            )
        most = min(MAX_PACKED, max(SMALL, MAX_RATIO * info.compress_size))
        if info.file_size > most:
            raise FileUnreadableError(
                f"{what} would be {info.file_size} bytes, unpacked from {info.compress_size}; at most "
                f"{most} are. If it is sound, write it with numpy.savez, which does not compress."
            )
        try:
            with self._zip.open(info) as file:
                header = read_header(what, file)
                if header.size > info.file_size:
                    raise FileUnreadableError(
                        f"{what} is cut short: {info.file_size} bytes, its header (shape "
                        f"{header.shape}, {header.dtype}) says {header.size}; copy it again."
                    )
                data = file.read(header.size - header.length)
        except (
            OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError,
            RuntimeError, struct.error, MemoryError,
        ) as error:  # fmt: skip
            raise FileUnreadableError(f"{what} cannot be unpacked: {error}") from None
        if len(data) != header.size - header.length or not header.dtype.itemsize:
            raise FileUnreadableError(f"{what} ends too early; copy the file again.")
        flat = np.frombuffer(data, header.dtype, prod(header.shape))
        return _Whole(flat.reshape(header.shape, order="F" if header.fortran else "C"))
