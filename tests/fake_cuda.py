"""Two CUDA runtimes without a GPU: one in Python, and one in C that the ctypes path really loads.

Both do the work of a stream only when somebody waits for it, refuse unknown addresses and handles, count
what was not given back, and fail on demand.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from stgcn_deploy.backends.cuda.library import LibraryCaller

SOURCE = Path(__file__).parent / "data" / "nvidia" / "fake_cudart.c"
ALIGN = 256
INVALID_VALUE, INVALID_HANDLE, CAPTURING = 1, 400, 900
DEVICES = 2
HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def compiled_runtime(folder: Path) -> Path | None:
    """fake_cudart.c as a shared library; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    path = folder / "libcudart.so.12"
    argv = [compiler, "-shared", "-fPIC", "-O1", "-pthread", "-o", str(path), str(SOURCE)]
    subprocess.run(argv, check=True, capture_output=True, timeout=120)
    return path


class FakeLibrary(LibraryCaller):
    """LibraryCaller, unchanged, on the library in C; with the hooks that tests need."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.library = ctypes.CDLL(str(path))
        self.library.fake_live.restype = self.library.fake_calls.restype = ctypes.c_long
        self.library.fake_fail.argtypes = [ctypes.c_long, ctypes.c_int]
        self.library.fake_capturing.argtypes = [ctypes.c_void_p]
        self.library.cudaLaunchHostFunc.argtypes = [
            ctypes.c_void_p, HOST_FUNCTION, ctypes.c_void_p
        ]  # fmt: skip

    def live(self) -> int:
        """What was taken and not given back."""
        return int(self.library.fake_live())

    def calls(self) -> int:
        """How many calls there were."""
        return int(self.library.fake_calls())

    def fail(self, after: int, code: int = 2) -> None:
        """The call number `after` from now fails; 0 lets all pass."""
        self.library.fake_fail(after, code)

    def capturing(self, stream: int) -> bool:
        """Whether a stream writes down its work."""
        return bool(self.library.fake_capturing(stream))

    def on_stream(self, stream: int, work: Any) -> int:
        """Put `work`, made by `host_function`, into a stream; a kernel, so to speak."""
        return int(self.library.cudaLaunchHostFunc(stream, work, None))

    @staticmethod
    def host_function(work: Callable[[], None]) -> Any:
        """A function as a stream can run it; to be kept alive as long as it may run."""
        return HOST_FUNCTION(lambda _: work())


@dataclass
class _Stream:
    device: int
    work: list[Callable[[], None]] = field(default_factory=list)
    captured: list[Callable[[], None]] | None = None
    queued: int = 0
    done: int = 0


class FakeCaller:
    """The same in Python: see Caller."""

    name = "a fake in Python"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._thread = threading.local()
        self._handles = count(0x1000)
        self._memory: dict[int, tuple[int, int | None, Any]] = {}
        self._streams: dict[int, _Stream] = {0: _Stream(0), 1: _Stream(0), 2: _Stream(0)}
        self._events: dict[int, tuple[_Stream, int] | None] = {}
        self._graphs: dict[int, list[Callable[[], None]]] = {}
        self.log: list[str] = []
        self._fail: tuple[int, int] | None = None

    # ---- hooks -------------------------------------------------------------------------------

    def live(self) -> int:
        return len(self._memory) + len(self._streams) - 3 + len(self._events) + len(self._graphs)

    def calls(self) -> int:
        return len(self.log)

    def fail(self, after: int, code: int = 2) -> None:
        self._fail = (after, code) if after else None

    def capturing(self, stream: int) -> bool:
        return self._streams[stream].captured is not None

    def on_stream(self, stream: int, work: Callable[[], None]) -> int:
        return self._put(self._streams[stream], work)

    @staticmethod
    def host_function(work: Callable[[], None]) -> Callable[[], None]:
        return work

    # ---- the runtime -------------------------------------------------------------------------

    def __call__(self, name: str, *given: int) -> tuple[int, tuple[int, ...]]:
        with self._lock:
            self.log.append(name)
            del self.log[:-10_000]
            if self._fail is not None:
                after, code = self._fail
                self._fail = (after - 1, code) if after > 1 else None
                if after == 1:
                    return code, ()
            try:
                found = getattr(self, f"_{name}")(*given)
            except KeyError:
                return INVALID_HANDLE, ()
            except ValueError:
                return INVALID_VALUE, ()
            if isinstance(found, int):
                return found, ()
            return 0, found or ()

    def describe(self, code: int) -> str:
        return (
            "cudaErrorMemoryAllocation (2): out of memory" if code == 2 else f"cudaError ({code})"
        )

    def device_of(self, address: int) -> tuple[int, int | None]:
        for start, (size, device, _) in self._memory.items():
            if start <= address < start + size:
                return 0, device
        return 0, None

    @property
    def _current(self) -> int:
        return getattr(self._thread, "device", 0)

    def _cudaRuntimeGetVersion(self) -> tuple[int]:
        return (12060,)

    def _cudaGetDeviceCount(self) -> tuple[int]:
        return (DEVICES,)

    def _cudaGetDevice(self) -> tuple[int]:
        return (self._current,)

    def _cudaSetDevice(self, device: int) -> int:
        if not 0 <= device < DEVICES:
            return 101
        self._thread.device = device
        return 0

    def _cudaDeviceGetAttribute(self, attribute: int, device: int) -> tuple[int]:
        return ({75: 8, 76: 7}[attribute],)

    def _cudaMemGetInfo(self) -> tuple[int, int]:
        return 1 << 30, 1 << 31

    def _take(self, size: int, device: int | None) -> tuple[int]:
        buffer = (ctypes.c_uint8 * (size + ALIGN))()
        ctypes.memset(buffer, 0xAB, size + ALIGN)
        address = -(-ctypes.addressof(buffer) // ALIGN) * ALIGN
        self._memory[address] = (size, device, buffer)
        return (address,)

    def _cudaMalloc(self, size: int) -> tuple[int]:
        return self._take(size, self._current)

    def _cudaHostAlloc(self, size: int, flags: int) -> tuple[int]:
        return self._take(size, None)

    def _cudaFree(self, address: int) -> None:
        if address not in self._memory or self._memory[address][1] is None:
            raise ValueError
        del self._memory[address]

    def _cudaFreeHost(self, address: int) -> None:
        if address not in self._memory or self._memory[address][1] is not None:
            raise ValueError
        del self._memory[address]

    def _cudaMemcpyAsync(self, to: int, source: int, size: int, kind: int, stream: int) -> int:
        on_device = [self.device_of(address)[1] is not None for address in (to, source)]
        if on_device != [kind != 2, kind != 1]:
            raise ValueError
        return self._put(self._streams[stream], lambda: ctypes.memmove(to, source, size) and None)

    def _put(self, stream: _Stream, work: Callable[[], None]) -> int:
        if stream.device != self._current:
            return INVALID_HANDLE
        if stream.captured is not None:
            stream.captured.append(work)
        else:
            stream.work.append(work)
            stream.queued += 1
        return 0

    def _until(self, stream: _Stream, ticket: int) -> None:
        while stream.done < ticket and stream.work:
            stream.done += 1
            stream.work.pop(0)()

    def _cudaStreamCreateWithFlags(self, flags: int) -> tuple[int]:
        handle = next(self._handles)
        self._streams[handle] = _Stream(self._current)
        return (handle,)

    def _cudaStreamDestroy(self, stream: int) -> None:
        self._until(self._streams[stream], self._streams[stream].queued)
        del self._streams[stream]

    def _cudaStreamSynchronize(self, stream: int) -> int:
        if self._streams[stream].captured is not None:
            return CAPTURING
        self._until(self._streams[stream], self._streams[stream].queued)
        return 0

    def _cudaEventCreateWithFlags(self, flags: int) -> tuple[int]:
        handle = next(self._handles)
        self._events[handle] = None
        return (handle,)

    def _cudaEventDestroy(self, event: int) -> None:
        del self._events[event]

    def _cudaEventRecord(self, event: int, stream: int) -> None:
        self._events[event]  # a KeyError is an invalid handle
        self._events[event] = (self._streams[stream], self._streams[stream].queued)

    def _cudaStreamWaitEvent(self, stream: int, event: int, flags: int) -> int:
        recorded = self._events[event]
        return self._put(
            self._streams[stream], lambda: self._until(*recorded) if recorded else None
        )

    def _cudaStreamBeginCapture(self, stream: int, mode: int) -> int:
        if self._streams[stream].captured is not None:
            return CAPTURING
        self._streams[stream].captured = []
        return 0

    def _cudaStreamEndCapture(self, stream: int) -> Any:
        found = self._streams[stream].captured
        if found is None:
            return 901
        self._streams[stream].captured = None
        handle = next(self._handles)
        self._graphs[handle] = found
        return (handle,)

    def _cudaGraphInstantiateWithFlags(self, graph: int, flags: int) -> tuple[int]:
        handle = next(self._handles)
        self._graphs[handle] = list(self._graphs[graph])
        return (handle,)

    def _cudaGraphLaunch(self, executable: int, stream: int) -> int:
        for work in self._graphs[executable]:
            if code := self._put(self._streams[stream], work):
                return code
        return 0

    def _cudaGraphExecDestroy(self, executable: int) -> None:
        del self._graphs[executable]

    def _cudaGraphDestroy(self, graph: int) -> None:
        del self._graphs[graph]
