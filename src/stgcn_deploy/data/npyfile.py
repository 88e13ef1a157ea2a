"""A .npy file read record by record, without mapping it: pages of a mapped file count as memory used.

Format: numpy.lib.format, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import FileUnreadableError

__all__ = ["NpyFile", "NpyHeader", "read_header"]

# Longest header that numpy itself accepts from a file it does not trust.
MAX_HEADER = 10_000
VERSIONS = ((1, 0), (2, 0), (3, 0))
# What numpy's parser of headers lets out, once its input is no header.
_DAMAGE = (
    ValueError, EOFError, OSError, SyntaxError, TokenError, TypeError, LookupError, AttributeError,
    RecursionError, MemoryError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class NpyHeader:
    """What stands before the numbers.

    Attributes:
        shape, dtype: of the whole array.
        fortran: whether its first axis varies fastest.
        length: bytes of the header.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    length: int

    @property
    def size(self) -> int:
        """Bytes of the header and all the numbers."""
        return self.length + prod(self.shape) * self.dtype.itemsize


def read_header(what: str, file: IO[bytes]) -> NpyHeader:
    """The header of an array in a stream, which stands behind it afterwards.

    Args:
        what: the file, and what is in it, for messages.

    Raises:
        FileUnreadableError: no such header, or one of objects.
    """
    before = file.tell()
    try:
        version = np.lib.format.read_magic(file)
        if version not in VERSIONS:
            raise ValueError(f"its version is {version}.")
        first = version == (1, 0)
        at, size = file.tell(), 2 if first else 4
        # numpy makes room for as much as this says before it looks at it.
        if int.from_bytes(file.read(size), "little") > MAX_HEADER:
            raise ValueError(f"its header would be longer than {MAX_HEADER} bytes.")
        file.seek(at)
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            # Python 2 wrote 3L for 3; numpy reads it and says so, at length.
            warnings.simplefilter("ignore")
            shape, fortran, dtype = read(file, max_header_size=MAX_HEADER)
    except _DAMAGE as error:
        raise FileUnreadableError(f"{what} is no readable .npy array: {error}") from None
    if dtype.hasobject:
        raise FileUnreadableError(
            f"{what} is no readable .npy array: it holds Python objects (pickled), which could run "
            "code; save plain numbers."
        )
    if any(length < 0 for length in shape):
        raise FileUnreadableError(f"{what} is no readable .npy array: its shape is {shape}.")
    return NpyHeader(shape, dtype, bool(fortran), file.tell() - before)


class NpyFile:
    """An array in a file, and its records on demand.

    Args:
        start, size: where in the file it stands, where it is not all of it; in bytes.
        name: what to call it in messages.

    Attributes:
        shape, dtype: of the whole array; records lie along its first axis.

    Raises:
        FileUnreadableError: not such a file, of objects, or shorter than its header says.
    """

    def __init__(
        self, path: Path, *, start: int = 0, size: int | None = None, name: str = ""
    ) -> None:
        self.path = path
        self.what = name or str(path)
        try:
            with path.open("rb") as file:
                file.seek(start)
                header = read_header(self.what, file)
                there = path.stat().st_size - start
        except OSError as error:
            raise FileUnreadableError(
                f"{self.what} is no readable .npy array: {error.strerror}"
            ) from None
        there = there if size is None else min(size, there)
        if there < header.size:
            raise FileUnreadableError(
                f"{self.what} is cut short: {there} bytes, its header (shape {header.shape}, "
                f"{header.dtype}) says {header.size}; copy it again."
            )
        self.shape = header.shape
        self.dtype = header.dtype
        self._fortran = header.fortran
        self._start = start + header.length

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 1

    def read(self) -> NDArray[Any]:
        """The whole array.

        Raises:
            FileUnreadableError: it cannot be read, or the file changed meanwhile.
        """
        return self._values(self._start, self.shape, self.what, "F" if self._fortran else "C")

    def record(self, index: int) -> NDArray[Any]:
        """Number `index` along the first axis.

        Raises:
            FileUnreadableError: the file changed meanwhile, or is in Fortran order.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self._fortran and self.ndim > 1:
            raise FileUnreadableError(
                f"{self.what} is in Fortran order, in which no record lies in one piece; write it "
                "again with numpy.ascontiguousarray."
            )
        offset = self._start + index * prod(self.shape[1:]) * self.dtype.itemsize
        return self._values(offset, self.shape[1:], f"{self.what}, record {index}", "C")

    def _values(self, offset: int, shape: tuple[int, ...], what: str, order: Any) -> NDArray[Any]:
        """Numbers from a place in the file on."""
        count = prod(shape)
        if not count or not self.dtype.itemsize:
            return np.zeros(shape, self.dtype)
        try:
            flat = np.fromfile(self.path, dtype=self.dtype, count=count, offset=offset)
        except (OSError, ValueError, MemoryError) as error:
            raise FileUnreadableError(f"cannot read {what}: {error}") from None
        if flat.size != count:
            raise FileUnreadableError(f"{what}: the file ends before it does; copy it again.")
        return flat.reshape(shape, order=order)
