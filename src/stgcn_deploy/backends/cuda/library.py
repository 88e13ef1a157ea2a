"""The CUDA runtime through its shared library: needs nothing but what every CUDA program has."""

from __future__ import annotations

import ctypes
from typing import Any

from stgcn_deploy.backends.cuda.calls import CALLS, Parameter
from stgcn_deploy.errors import MissingDependencyError

__all__ = ["LibraryCaller"]

KINDS: dict[str, Any] = {
    "int": ctypes.c_int,
    "uint": ctypes.c_uint,
    "size": ctypes.c_size_t,
    "flags": ctypes.c_ulonglong,
    "pointer": ctypes.c_void_p,
    "handle": ctypes.c_void_p,
}
# cudaPointerAttributes begins with the kind of memory and the device; later versions made it longer.
ATTRIBUTES_BYTES = 256
DEVICE_KINDS = (2, 3)  # cudaMemoryTypeDevice, cudaMemoryTypeManaged


def _kind(parameter: Parameter) -> Any:
    return KINDS.get(parameter.kind, ctypes.c_int)  # enums are ints in C


class LibraryCaller:
    """See Caller; `path` is a name that the system's loader finds, or a file.

    Raises:
        MissingDependencyError: it does not load, or lacks a function.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        try:
            self._library = ctypes.CDLL(path)
            self._functions = {name: getattr(self._library, name) for name in CALLS}
            self._attributes = self._library.cudaPointerGetAttributes
            self._last = self._library.cudaGetLastError
            self._texts = [self._library.cudaGetErrorName, self._library.cudaGetErrorString]
        except (OSError, AttributeError) as error:
            raise MissingDependencyError(f"{path} is no usable CUDA runtime: {error}") from error
        for name, function in self._functions.items():
            function.restype = ctypes.c_int
            function.argtypes = [
                ctypes.POINTER(_kind(one)) if one.out else _kind(one) for one in CALLS[name]
            ]
        for text in self._texts:
            text.restype, text.argtypes = ctypes.c_char_p, [ctypes.c_int]
        self._attributes.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

    def __call__(self, name: str, *given: int) -> tuple[int, tuple[int, ...]]:
        """See Caller.__call__."""
        values = iter(given)
        written = []
        arguments: list[Any] = []
        for parameter in CALLS[name]:
            if parameter.out:
                written.append(_kind(parameter)())
                arguments.append(ctypes.byref(written[-1]))
            else:
                arguments.append(next(values))
        code = self._functions[name](*arguments)
        return code, () if code else tuple(one.value or 0 for one in written)

    def describe(self, code: int) -> str:
        """See Caller.describe."""
        self._last()
        name, text = ((one(code) or b"?").decode(errors="replace") for one in self._texts)
        return f"{name} ({code}): {text}"

    def device_of(self, address: int) -> tuple[int, int | None]:
        """See Caller.device_of."""
        found = (ctypes.c_int * (ATTRIBUTES_BYTES // 4))()
        code = self._attributes(found, address)
        return code, found[1] if not code and found[0] in DEVICE_KINDS else None
