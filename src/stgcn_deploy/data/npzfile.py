"""Arrays in a zip file, as numpy.savez makes it: read one record at a time where they are not packed.

No pickles, and a packed array is read only where its size is in proportion to the file's.
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

from stgcn_deploy.data.npyfile import NpyFile, read_header
from stgcn_deploy.errors import DataError, FileUnreadableError

__all__ = ["NpzFile", "ReadArray", "Records"]

# A compressed member is read whole: at most so large, and not much larger than what it is packed in.
MAX_PACKED = 4 << 30
SMALL, MAX_RATIO = 64 << 20, 200
LOCAL_HEADER, LOCAL_MAGIC = 30, b"PK\x03\x04"


class ReadArray:
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


Records = NpyFile | ReadArray


class NpzFile:
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

    def __enter__(self) -> NpzFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()

    def limit(self, most: int) -> None:
        """That all arrays together are not larger, unpacked.

        Raises:
            FileUnreadableError: they are.
        """
        size = sum(info.file_size for info in self.members.values())
        if size > most:
            raise FileUnreadableError(
                f"{self.path} would be {size} bytes, unpacked; expected at most {most}."
            )

    def records(self, name: str, kinds: str = "fiu") -> Records:
        """An array; on demand where the file has it unpacked.

        Args:
            kinds: of its dtype, as numpy's dtype.kind; numbers unless told.

        Raises:
            DataError: it has none of the name, or not of this kind.
            FileUnreadableError: damaged, or far larger than it should be.
        """
        if name not in self.members:
            raise DataError(f"{self.path} has no {name}; it holds {sorted(self.members)[:6]}.")
        info = self.members[name]
        stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
        found = self._stored(info, name) if stored else self._packed(info, name)
        if found.dtype.kind not in kinds:
            wanted = "numbers" if kinds == "fiu" else "text"
            raise DataError(f"{self.path}, {name} holds {found.dtype}, expected {wanted}.")
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

    def _packed(self, info: zipfile.ZipInfo, name: str) -> ReadArray:
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
        return ReadArray(flat.reshape(header.shape, order="F" if header.fortran else "C"))
