"""Pickled arrays from outside, without running code: numpy arrays and plain containers, nothing else."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_deploy.errors import FileUnreadableError, UnsafeFileError

__all__ = ["builds_arrays", "load_pickle"]

MAX_BYTES = 8 << 30
_NUMPY_NAMES = {"_reconstruct", "scalar", "ndarray", "dtype", "_frombuffer"}
_NUMPY_MODULES = {
    "numpy", "numpy.core.multiarray", "numpy._core.multiarray",
    "numpy.core.numeric", "numpy._core.numeric",
}  # fmt: skip
_BUILTINS = {"set", "frozenset", "slice", "complex", "bytearray", "tuple"}


def builds_arrays(module: str, name: str) -> bool:
    """Whether module.name is one of the harmless names that pickled numpy arrays need."""
    return (
        (module in _NUMPY_MODULES and name in _NUMPY_NAMES)
        or (module in ("builtins", "__builtin__") and name in _BUILTINS)
        # The second is how arrays of protocol 2 carry their bytes.
        or (module, name) in (("collections", "OrderedDict"), ("_codecs", "encode"))
    )


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Only what rebuilds numpy arrays."""
        if builds_arrays(module, name):
            return super().find_class(module, name)
        raise UnsafeFileError(
            f"the file asks for {module}.{name} while being read; data needs numpy arrays, lists, "
            "dicts, numbers and strings only. Save it again as .npy or .npz."
        )


def load_pickle(path: Path) -> Any:
    """The object in a pickle file.

    Raises:
        FileUnreadableError: missing, too large, truncated.
        UnsafeFileError: it holds more than arrays and plain containers.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileUnreadableError(f"{path} exceeds {MAX_BYTES >> 30} GiB.")
        with path.open("rb") as file:
            value = _Unpickler(file, encoding="latin1").load()
    except UnsafeFileError as error:
        raise UnsafeFileError(f"{path}: {error}") from None
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        AttributeError,
        IndexError,
        MemoryError,
        OverflowError,
    ) as error:
        raise FileUnreadableError(
            f"{path} is no complete pickle ({type(error).__name__}: {error}); copy it again."
        ) from None
    if isinstance(value, np.ndarray) and value.dtype == object:
        raise UnsafeFileError(f"{path}: an object array; save plain number arrays.")
    return value
