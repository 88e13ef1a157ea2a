"""What one owner holds of a GPU, given back together and in reverse order."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.cuda.runtime import Cuda

__all__ = ["Holdings"]


class Holdings:
    """Memory, streams and events of one owner on one device.

    Each method takes something and remembers how to give it back; `release` gives all of it back, whatever
    fails among it, from any thread.
    """

    def __init__(self, cuda: Cuda, device: int) -> None:
        self._cuda = cuda
        self._device = device
        self._stack = ExitStack()

    def keep(self, give_back: Callable[..., None], *arguments: object) -> None:
        """Call this on release, before what was taken earlier goes."""
        self._stack.callback(give_back, *arguments)

    def memory(self, size: int) -> int:
        """Address of `size` bytes on the device, at least one."""
        address = self._cuda.malloc(max(1, size))
        self.keep(self._cuda.free, address)
        return address

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """`size` pinned bytes of the host, at least one; must not be touched after release."""
        address = self._cuda.host_malloc(max(1, size))
        self.keep(self._cuda.host_free, address)
        return np.ctypeslib.as_array((ctypes.c_uint8 * max(1, size)).from_address(address))

    def stream(self) -> int:
        """A stream."""
        stream = self._cuda.create_stream()
        self.keep(self._cuda.destroy_stream, stream)
        return stream

    def event(self) -> int:
        """An event."""
        event = self._cuda.create_event()
        self.keep(self._cuda.destroy_event, event)
        return event

    def release(self) -> None:
        """Give everything back; a second call does nothing.

        Raises:
            CudaError: something was refused; the rest was given back all the same.
        """
        stack = self._stack.pop_all()
        try:
            with self._cuda.on(self._device):
                stack.close()
        finally:
            stack.close()  # what is left where the device itself was refused; else nothing
