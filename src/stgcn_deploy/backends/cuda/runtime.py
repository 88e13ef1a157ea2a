"""What is asked of a GPU: memory, streams, events, graphs; every error code becomes an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from stgcn_deploy.backends.cuda.calls import OUT_OF_MEMORY, Caller, CudaError

__all__ = ["Cuda", "Direction"]

Direction = Literal["to device", "to host", "on device"]
# Of cudaMemcpyKind.
DIRECTIONS: dict[Direction, int] = {"to device": 1, "to host": 2, "on device": 3}
# cudaDevAttrComputeCapabilityMajor and Minor.
MAJOR, MINOR = 75, 76
# cudaStreamNonBlocking: no implicit wait for the default stream, which PyTorch uses.
NON_BLOCKING = 1
# cudaEventDisableTiming: events here only order work.
NO_TIMING = 2
# cudaStreamCaptureModeThreadLocal: other threads may allocate while this one captures.
THREAD_LOCAL = 1


class Cuda:
    """The CUDA runtime; addresses and handles are integers.

    It works in the primary context of a device, which is the one that PyTorch uses.  Safe to share between
    threads; the current device belongs to the thread (see `on`).
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def _call(self, name: str, *given: int) -> tuple[int, ...]:
        code, written = self._caller(name, *given)
        if code:
            raise self._error(name, given, code)
        return written

    def _error(self, name: str, given: tuple[int, ...], code: int) -> CudaError:
        said = f"{name}({', '.join(map(str, given))}) failed: {self._caller.describe(code)}"
        if code == OUT_OF_MEMORY:
            said += (
                ". Open fewer contexts, build for a smaller batch, or end what else uses the GPU"
            )
        return CudaError(f"CUDA: {said}.", code)

    # ---- devices -----------------------------------------------------------------------------

    def version(self) -> str:
        """The runtime's version."""
        (number,) = self._call("cudaRuntimeGetVersion")
        return f"{number // 1000}.{number % 1000 // 10}"

    def device_count(self) -> int:
        """How many GPUs this process sees."""
        return self._call("cudaGetDeviceCount")[0]

    def device(self) -> int:
        """This thread's device."""
        return self._call("cudaGetDevice")[0]

    @contextmanager
    def on(self, device: int) -> Iterator[None]:
        """Make `device` this thread's one for a block; PyTorch finds its own again afterwards."""
        before = self.device()
        if before == device:
            yield
            return
        self._call("cudaSetDevice", device)
        try:
            yield
        finally:
            self._call("cudaSetDevice", before)

    def compute_capability(self, device: int) -> tuple[int, int]:
        """Such as (8, 7) for Orin."""
        major, minor = (self._call("cudaDeviceGetAttribute", n, device)[0] for n in (MAJOR, MINOR))
        return major, minor

    def memory(self) -> tuple[int, int]:
        """Free and total bytes of this thread's device."""
        free, total = self._call("cudaMemGetInfo")
        return free, total

    def device_of(self, address: int) -> int | None:
        """The device on which memory lies; None for memory of the host."""
        code, device = self._caller.device_of(address)
        if code:
            raise self._error("cudaPointerGetAttributes", (address,), code)
        return device

    # ---- memory ------------------------------------------------------------------------------

    def malloc(self, size: int) -> int:
        """Address of `size` bytes on the device; CUDA aligns them to 256 and more."""
        return self._call("cudaMalloc", size)[0]

    def free(self, address: int) -> None:
        """Give back what malloc gave."""
        self._call("cudaFree", address)

    def host_malloc(self, size: int) -> int:
        """Address of `size` pinned bytes of the host: copies from them do not hold up the caller."""
        return self._call("cudaHostAlloc", size, 0)[0]

    def host_free(self, address: int) -> None:
        """Give back what host_malloc gave."""
        self._call("cudaFreeHost", address)

    def copy(self, target: int, source: int, size: int, direction: Direction, stream: int) -> None:
        """Begin a copy of `size` bytes."""
        self._call("cudaMemcpyAsync", target, source, size, DIRECTIONS[direction], stream)

    # ---- streams and events ------------------------------------------------------------------

    def create_stream(self) -> int:
        """A stream that does not wait for the default one."""
        return self._call("cudaStreamCreateWithFlags", NON_BLOCKING)[0]

    def destroy_stream(self, stream: int) -> None:
        """Give back a stream."""
        self._call("cudaStreamDestroy", stream)

    def synchronise(self, stream: int) -> None:
        """Wait until all work of a stream is done; errors of that work come out here."""
        self._call("cudaStreamSynchronize", stream)

    def create_event(self) -> int:
        """An event, for order between streams."""
        return self._call("cudaEventCreateWithFlags", NO_TIMING)[0]

    def destroy_event(self, event: int) -> None:
        """Give back an event."""
        self._call("cudaEventDestroy", event)

    def record(self, event: int, stream: int) -> None:
        """The event happens when what the stream has now is done."""
        self._call("cudaEventRecord", event, stream)

    def wait(self, stream: int, event: int) -> None:
        """What the stream gets from now on waits for the event."""
        self._call("cudaStreamWaitEvent", stream, event, 0)

    # ---- graphs ------------------------------------------------------------------------------

    def begin_capture(self, stream: int) -> None:
        """From now on work of the stream is written down instead of done."""
        self._call("cudaStreamBeginCapture", stream, THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        """What was written down: a graph."""
        return self._call("cudaStreamEndCapture", stream)[0]

    def instantiate(self, graph: int) -> int:
        """A graph, ready to launch."""
        return self._call("cudaGraphInstantiateWithFlags", graph, 0)[0]

    def destroy_graph(self, graph: int) -> None:
        """Give back what end_capture gave."""
        self._call("cudaGraphDestroy", graph)

    def destroy_executable(self, executable: int) -> None:
        """Give back what instantiate gave."""
        self._call("cudaGraphExecDestroy", executable)

    def launch(self, executable: int, stream: int) -> None:
        """All work of a graph, with one call."""
        self._call("cudaGraphLaunch", executable, stream)
