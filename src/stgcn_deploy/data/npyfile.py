"""A .npy file read record by record, without mapping it: pages of a mapped file count as memory used.

Format: numpy.lib.format, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import FileUnreadableError

__all__ = ["NpyFile"]

# Longest header that numpy itself accepts from a file it does not trust.
MAX_HEADER = 10_000


class NpyFile:
    """Header of a .npy file, and its records on demand.

    Attributes:
        shape, dtype: of the whole array; records lie along its first axis.

    Raises:
        FileUnreadableError: not such a file, of objects, or shorter than its header says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                version = np.lib.format.read_magic(file)
                reader = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, fortran, dtype = reader(file, max_header_size=MAX_HEADER)
                self._start = file.tell()
            size = path.stat().st_size
        except (ValueError, EOFError, OSError, SyntaxError, RecursionError, TypeError) as error:
            raise FileUnreadableError(f"{path} is no readable .npy array: {error}") from None
        if dtype.hasobject:
            raise FileUnreadableError(
                f"{path} is no readable .npy array: it holds Python objects (pickled), which could run "
                "code; save plain numbers."
            )
        if any(length < 0 for length in shape):
            raise FileUnreadableError(f"{path} is no readable .npy array: its shape is {shape}.")
        self.shape: tuple[int, ...] = shape
        self.dtype: np.dtype[Any] = dtype
        self._fortran = fortran
        expected = self._start + prod(shape) * dtype.itemsize
        if size < expected:
            raise FileUnreadableError(
                f"{path} is cut short: {size} bytes, its header (shape {shape}, {dtype}) says "
                f"{expected}; copy it again."
            )

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 1

    def read(self) -> NDArray[Any]:
        """The whole array."""
        try:
            found: NDArray[Any] = np.load(self.path, allow_pickle=False)
        except (ValueError, EOFError, OSError, MemoryError) as error:
            raise FileUnreadableError(f"{self.path} is no readable .npy array: {error}") from None
        return found

    def record(self, index: int) -> NDArray[Any]:
        """Number `index` along the first axis.

        Raises:
            FileUnreadableError: the file changed meanwhile, or is in Fortran order.
        """
        if self._fortran and self.ndim > 1:
            raise FileUnreadableError(
                f"{self.path} is in Fortran order, in which no record lies in one piece; write it "
                "again with numpy.ascontiguousarray."
            )
        count = prod(self.shape[1:])
        offset = self._start + index * count * self.dtype.itemsize
        try:
            flat = np.fromfile(self.path, dtype=self.dtype, count=count, offset=offset)
        except (OSError, ValueError) as error:
            raise FileUnreadableError(f"cannot read {self.path}, record {index}: {error}") from None
        if flat.size != count:
            raise FileUnreadableError(f"{self.path}, record {index}: the file ends before it does.")
        return flat.reshape(self.shape[1:])
