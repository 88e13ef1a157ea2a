"""Pickled arrays from outside, without running code: numpy arrays and plain containers, nothing else.

Names are looked up in a table of our own builders, which check what they are given.  numpy's own would
hand the state of a dtype to C, where damaged bytes end in errors of any kind, and perhaps in worse.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections import OrderedDict
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import FileUnreadableError, UnsafeFileError

__all__ = ["builds_arrays", "load_pickle"]

MAX_BYTES = 8 << 30
MAX_AXES = 32
# Of containers: annotations nest five deep, and write an item in no less than a byte.
MAX_DEPTH = 64
MOST_ITEMS, MOST_ITEMS_PER_BYTE = 10_000, 8
# Python refuses to write out whole numbers of more than 4,300 digits.
MAX_BITS = 4096
_CONTAINERS = (list, tuple, dict, set, frozenset)
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


def _plain_key(key: Any) -> Any:
    """A key, or what is in a set; the hash of tuples that hold each other would not end."""
    if isinstance(key, _CONTAINERS) and any(isinstance(one, _CONTAINERS) for one in key):
        raise TypeError("a key of containers in containers")
    return key


def _set_of(items: Any = ()) -> set[Any]:
    """The builtin."""
    return {_plain_key(one) for one in items}


def _ordered(items: Any = ()) -> OrderedDict[Any, Any]:
    """collections', of pairs."""
    return OrderedDict((_plain_key(key), value) for key, value in items)


_BUILDERS: dict[str, Any] = {
    "_reconstruct": _reconstruct,
    "scalar": _scalar,
    "ndarray": object(),  # named as an argument, never called
    "dtype": _Dtype,
    "_frombuffer": _frombuffer,
    "encode": _encode,
    "bytearray": _bytearray,
    "bytes": lambda data=b"": _bytes(data),
    "set": _set_of,
    "frozenset": lambda items=(): frozenset(_set_of(items)),
    "slice": slice,
    "complex": complex,
    "tuple": tuple,
    "OrderedDict": _ordered,
}


class _Bytes:
    """A file that gives no more than it has, before memory is taken for what a pickle says follows."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        """At most so many bytes."""
        return self._file.read(max(0, min(count, self._size - self._file.tell())))


# The unpickler written in Python: its memo is a dict, while C's is an array as long as the largest
# index in the file, which seven bytes can make fill the memory.
class _Unpickler(pickle._Unpickler):  # noqa: SLF001
    # By opcode; the stubs of pickle have none of it.
    dispatch: ClassVar[dict[int, Any]] = {**pickle._Unpickler.dispatch}  # noqa: SLF001
    stack: list[Any]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def load_bytearray8(self) -> None:
        """As the original, but the bytes are read before there is room for them."""
        (count,) = struct.unpack("<Q", self.read(8))
        self.stack.append(bytearray(self.read(count)))

    def load_setitem(self) -> None:
        """Of one item."""
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self) -> None:
        """Of many."""
        self._set(self.pop_mark())

    def load_dict(self) -> None:
        """Of protocol 0."""
        items = self.pop_mark()
        self.stack.append({})
        self._set(items)

    def _set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise TypeError(f"items of a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_plain_key(key)] = value

    def load_additems(self) -> None:
        """Into a set."""
        items = self.pop_mark()
        self.stack[-1].update(_set_of(items))

    def load_frozenset(self) -> None:
        """Of protocol 4."""
        items = self.pop_mark()
        self.stack.append(frozenset(_set_of(items)))

    for _code, _load in (
        (pickle.BYTEARRAY8, load_bytearray8),
        (pickle.SETITEM, load_setitem),
        (pickle.SETITEMS, load_setitems),
        (pickle.DICT, load_dict),
        (pickle.ADDITEMS, load_additems),
        (pickle.FROZENSET, load_frozenset),
    ):
        dispatch[_code[0]] = _load

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
            found = _Unpickler(_Bytes(file, size), encoding="latin1").load()
        _check_tree(found, size)
    except UnsafeFileError as error:
        raise UnsafeFileError(f"{path}: {error}") from None
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    except Exception as error:  # damaged bytes make the machine of pickle fail in any way
        raise FileUnreadableError(
            f"{path} is no complete pickle ({type(error).__name__}: {error}); copy it again."
        ) from None
    return found


def _check_tree(value: Any, size: int) -> None:
    """That containers are no deeper and, written out, no larger than a file of `size` bytes makes them.

    A pickle may hold one thing many times by name, and things that hold themselves: what then goes
    through it would not end.

    Raises:
        ValueError: they are.
    """
    most = MOST_ITEMS + MOST_ITEMS_PER_BYTE * size
    counts: dict[int, int] = {}
    # (container, its depth, whether its items are counted); those above it are in `above`.
    todo, above = [(value, 0, False)], set()
    while todo:
        one, depth, done = todo.pop()
        if isinstance(one, int) and one.bit_length() > MAX_BITS:
            raise ValueError(f"a number of {one.bit_length()} bits")
        if not isinstance(one, _CONTAINERS) or (id(one) in counts and not done):
            continue
        items = [*one.keys(), *one.values()] if isinstance(one, dict) else one
        if done:
            above.discard(id(one))
            counts[id(one)] = 1 + sum(counts.get(id(item), 1) for item in items)
            if counts[id(one)] > most:
                raise ValueError("it unfolds to more than its size allows")
            continue
        if id(one) in above or depth > MAX_DEPTH:
            raise ValueError(f"containers in each other, deeper than {MAX_DEPTH}")
        above.add(id(one))
        todo.append((one, depth, True))
        todo.extend((item, depth + 1, False) for item in items)
