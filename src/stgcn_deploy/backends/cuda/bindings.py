"""The CUDA runtime through NVIDIA's own Python package, cuda-bindings."""

from __future__ import annotations

from typing import Any

from stgcn_deploy.backends.cuda.calls import CALLS

__all__ = ["BindingsCaller"]

PLAIN = {"int", "uint", "size", "flags", "pointer", "handle"}
DEVICE_KINDS = (2, 3)  # cudaMemoryTypeDevice, cudaMemoryTypeManaged


class BindingsCaller:
    """See Caller; `runtime` is the module cuda.bindings.runtime, which carries the CUDA runtime in it."""

    name = "cuda-bindings"

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._functions = {name: getattr(runtime, name) for name in CALLS}
        # Its functions take members of their enums, and refuse plain integers.
        self._enums = {
            name: [
                None if one.kind in PLAIN else getattr(runtime, one.kind)
                for one in parameters
                if not one.out
            ]
            for name, parameters in CALLS.items()
        }

    def __call__(self, name: str, *given: int) -> tuple[int, tuple[int, ...]]:
        """See Caller.__call__."""
        arguments = [
            value if enum is None else enum(value)
            for value, enum in zip(given, self._enums[name], strict=True)
        ]
        code, *written = self._functions[name](*arguments)
        return int(code), () if int(code) else tuple(int(one) for one in written)

    def describe(self, code: int) -> str:
        """See Caller.describe."""
        self._runtime.cudaGetLastError()
        known = self._runtime.cudaError_t(code)
        name, text = (
            function(known)[1].decode(errors="replace")
            for function in (self._runtime.cudaGetErrorName, self._runtime.cudaGetErrorString)
        )
        return f"{name} ({code}): {text}"

    def device_of(self, address: int) -> tuple[int, int | None]:
        """See Caller.device_of."""
        code, found = self._runtime.cudaPointerGetAttributes(address)
        if int(code):
            return int(code), None
        return 0, int(found.device) if int(found.type) in DEVICE_KINDS else None
