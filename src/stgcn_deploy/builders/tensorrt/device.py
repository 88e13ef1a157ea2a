"""The little of CUDA that building needs: memory for calibration batches, and the GPU's architecture."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.cuda.find import find_cuda
from stgcn_deploy.backends.cuda.runtime import Cuda
from stgcn_deploy.errors import BackendError

__all__ = ["CudaDevice", "Device", "DeviceBuffer", "open_device"]

# Calibration has nothing to overlap with.
DEFAULT_STREAM = 0


class DeviceBuffer(Protocol):
    """Memory of a device; `pointer` is its address there."""

    pointer: int
    nbytes: int

    def upload(self, array: NDArray[Any]) -> None:
        """Copy an array of exactly `nbytes` there, in C order."""

    def free(self) -> None:
        """Give it back; a second call does nothing."""


class Device(Protocol):
    """One GPU."""

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """Memory.

        Raises:
            BackendError: there is not enough.
        """

    def architecture(self) -> str:
        """As NVIDIA names it: "sm_87"."""


class CudaBuffer:
    """See DeviceBuffer."""

    def __init__(self, cuda: Cuda, nbytes: int) -> None:
        self.nbytes = nbytes
        self._cuda = cuda
        self.pointer = cuda.malloc(nbytes)

    def upload(self, array: NDArray[Any]) -> None:
        """See DeviceBuffer."""
        whole = np.ascontiguousarray(array)
        if whole.nbytes != self.nbytes:
            raise BackendError(f"{whole.nbytes} bytes for a device buffer of {self.nbytes}.")
        self._cuda.copy(self.pointer, whole.ctypes.data, self.nbytes, "to device", DEFAULT_STREAM)
        self._cuda.synchronise(DEFAULT_STREAM)

    def free(self) -> None:
        """See DeviceBuffer."""
        if self.pointer:
            self._cuda.free(self.pointer)
            self.pointer = 0


class CudaDevice:
    """This thread's GPU."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """See Device."""
        return CudaBuffer(self._cuda, nbytes)

    def architecture(self) -> str:
        """See Device."""
        major, minor = self._cuda.compute_capability(self._cuda.device())
        return f"sm_{major}{minor}"


def open_device() -> CudaDevice:
    """This thread's GPU.

    Raises:
        MissingDependencyError: CUDA's runtime library is not here, or sees no GPU.
    """
    return CudaDevice(find_cuda())
