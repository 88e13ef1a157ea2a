"""Pickled arrays from outside, without running code: numpy arrays and plain containers, nothing else.

Names are looked up in a table of our own builders, which check what they are given.  numpy's own would
hand the state of a dtype to C, where damaged bytes end in errors of any kind, and perhaps in worse.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import FileUnreadableError, UnsafeFileError

__all__ = ["builds_arrays", "load_pickle"]

MAX_BYTES = 8 << 30
MAX_AXES = 32
_NUMPY_NAMES = {"_reconstruct", "scalar", "ndarray", "dtype", "_frombuffer"}
_NUMPY_MODULES = {
    "numpy", "numpy.core.multiarray", "numpy._core.multiarray",
    "numpy.core.numeric", "numpy._core.numeric",
}  # fmt: skip
_BUILTINS = {"set", "frozenset", "slice", "complex", "bytearray", "tuple"}
# Empty arrays of protocols 0 to 2 call it.
_BYTES = (("builtins", "bytes"), ("__builtin__", "bytes"))
# Numbers and short texts: no records, no objects, no dates.
_CODE = re.compile(r"[<>|=]?(b1|[iu][1248]|f(2|4|8|16)|c(8|16)|[SU]\d{1,4})")
OBJECTS = "an object array; save plain number arrays"


def builds_arrays(module: str, name: str) -> bool:
    """Whether module.name is one of the harmless names that pickled numpy arrays need."""
    return (
        (module in _NUMPY_MODULES and name in _NUMPY_NAMES)
        or (module in ("builtins", "__builtin__") and name in _BUILTINS)
        # The second is how arrays of protocol 2 carry their bytes.
        or (module, name) in (("collections", "OrderedDict"), ("_codecs", "encode"))
    )


class _Dtype:
    """A dtype of plain numbers or text, as long as the array of it is made."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        del align, copy
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            if str(code).lstrip("<>|=").startswith("O"):
                raise UnsafeFileError(OBJECTS)
            raise ValueError(f"an array of {str(code)[:40]!r}")
        self.real: np.dtype[Any] = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        plain = isinstance(state, tuple) and len(state) >= 8 and state[2:5] == (None, None, None)
        if not plain or state[1] not in ("<", ">", "|", "="):
            raise ValueError("an array of records")
        if state[1] in "<>":
            self.real = self.real.newbyteorder(state[1])


def _bytes(data: Any) -> bytes:
    """What carries bytes in any protocol; a number, which would ask for so many, is refused."""
    return data.encode("latin1") if isinstance(data, str) else bytes(memoryview(data))


def _filled(data: Any, dtype: Any, shape: Any, *, fortran: bool) -> NDArray[Any]:
    """An array whose size is that of its bytes."""
    if not isinstance(dtype, _Dtype):
        raise TypeError("an array of no dtype")
    raw = _bytes(data)
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array of no shape")
    if len(shape) > MAX_AXES or prod(shape) * dtype.real.itemsize != len(raw):
        raise ValueError(f"an array of shape {shape} in {len(raw)} bytes")
    flat: NDArray[Any] = np.frombuffer(raw, dtype.real, prod(shape))
    return flat.reshape(shape, order="F" if fortran else "C")


class _Array(np.ndarray):
    """An array that is filled after it was made, as pickles do it; np.asarray gives a plain one."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if isinstance(data, list):
            raise UnsafeFileError(OBJECTS)
        made = _filled(data, dtype, shape, fortran=bool(fortran))
        state = (1, made.shape, made.dtype, bool(fortran), made.tobytes("A"))
        super().__setstate__(state)


def _reconstruct(*asked: Any) -> NDArray[Any]:
    """numpy's: an empty array; its state, with the true shape, follows."""
    del asked
    made: NDArray[Any] = np.ndarray.__new__(_Array, (0,), "b")
    return made


def _scalar(dtype: Any, data: Any = b"") -> Any:
    """numpy's: one number."""
    return _filled(data, dtype, (1,), fortran=False)[0]


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    """numpy's, of protocol 5."""
    return _filled(data, dtype, shape, fortran=order == "F")


def _encode(text: str, code: str = "latin1") -> bytes:
    """_codecs': the bytes of arrays in protocols without bytes."""
    if code != "latin1":
        raise ValueError(f"an encoding {str(code)[:20]!r}")
    return text.encode("latin1")


def _bytearray(data: Any = b"", code: Any = "latin1") -> bytearray:
    """The builtin, of bytes and text only: of a number it would be as long as that says."""
    del code
    return bytearray(_bytes(data))


_BUILDERS: dict[str, Any] = {
    "_reconstruct": _reconstruct,
    "scalar": _scalar,
    "ndarray": object(),  # named as an argument, never called
    "dtype": _Dtype,
    "_frombuffer": _frombuffer,
    "encode": _encode,
    "bytearray": _bytearray,
    "bytes": lambda data=b"": _bytes(data),
    "set": set,
    "frozenset": frozenset,
    "slice": slice,
    "complex": complex,
    "tuple": tuple,
    "OrderedDict": OrderedDict,
}


# The unpickler written in Python: its memo is a dict, while C's is an array as long as the largest
# index in the file, which seven bytes can make fill the memory.
class _Unpickler(pickle._Unpickler):  # noqa: SLF001
    def find_class(self, module: str, name: str) -> Any:
        """Only what rebuilds numpy arrays."""
        if builds_arrays(module, name) or (module, name) in _BYTES:
            return _BUILDERS[name]
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
        size = path.stat().st_size
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    if size > MAX_BYTES:
        raise FileUnreadableError(f"{path} exceeds {MAX_BYTES >> 30} GiB.")
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except UnsafeFileError as error:
        raise UnsafeFileError(f"{path}: {error}") from None
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    except Exception as error:  # damaged bytes make the machine of pickle fail in any way
        raise FileUnreadableError(
            f"{path} is no complete pickle ({type(error).__name__}: {error}); copy it again."
        ) from None
