"""The part of CUDA's runtime API that is used here, as data: what every way to call it agrees on.

Sources: NVIDIA's CUDA Runtime API reference; the names and the order of arguments are the same from CUDA
11.4 (JetPack 5) to 13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from stgcn_deploy.errors import BackendError

__all__ = ["CALLS", "OUT_OF_MEMORY", "Caller", "CudaError", "Parameter"]

# Of cudaError_t.
OUT_OF_MEMORY = 2


class CudaError(BackendError):
    """A call of the CUDA runtime failed.

    Attributes:
        code: its cudaError_t.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Parameter:
    """One parameter in C.

    Attributes:
        kind: "int", "uint", "size", "flags" (unsigned long long), "pointer" or "handle", or the name of
            an enum.
        out: whether the call writes it.
    """

    kind: str
    out: bool = False


def _given(*kinds: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(kind) for kind in kinds)


def _made(*kinds: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(kind, out=True) for kind in kinds)


CALLS: dict[str, tuple[Parameter, ...]] = {
    "cudaRuntimeGetVersion": _made("int"),
    "cudaGetDeviceCount": _made("int"),
    "cudaGetDevice": _made("int"),
    "cudaSetDevice": _given("int"),
    "cudaDeviceGetAttribute": _made("int") + _given("cudaDeviceAttr", "int"),
    "cudaMemGetInfo": _made("size", "size"),
    "cudaMalloc": _made("pointer") + _given("size"),
    "cudaFree": _given("pointer"),
    "cudaHostAlloc": _made("pointer") + _given("size", "uint"),
    "cudaFreeHost": _given("pointer"),
    "cudaMemcpyAsync": _given("pointer", "pointer", "size", "cudaMemcpyKind", "handle"),
    "cudaStreamCreateWithFlags": _made("handle") + _given("uint"),
    "cudaStreamDestroy": _given("handle"),
    "cudaStreamSynchronize": _given("handle"),
    "cudaStreamWaitEvent": _given("handle", "handle", "uint"),
    "cudaEventCreateWithFlags": _made("handle") + _given("uint"),
    "cudaEventDestroy": _given("handle"),
    "cudaEventRecord": _given("handle", "handle"),
    "cudaStreamBeginCapture": _given("handle", "cudaStreamCaptureMode"),
    "cudaStreamEndCapture": _given("handle") + _made("handle"),
    "cudaGraphInstantiateWithFlags": _made("handle") + _given("handle", "flags"),
    "cudaGraphLaunch": _given("handle", "handle"),
    "cudaGraphExecDestroy": _given("handle"),
    "cudaGraphDestroy": _given("handle"),
}


class Caller(Protocol):
    """One way to reach the CUDA runtime."""

    def __call__(self, name: str, *given: int) -> tuple[int, tuple[int, ...]]:
        """The cudaError_t of a call of CALLS, and what it wrote; nothing where it failed."""

    def describe(self, code: int) -> str:
        """Name and meaning of a cudaError_t; forgets it as the thread's last error."""

    def device_of(self, address: int) -> tuple[int, int | None]:
        """The cudaError_t, and the device on which memory lies; None for memory of the host."""
