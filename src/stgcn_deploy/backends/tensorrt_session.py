"""Engines as sessions: one engine, several execution contexts, each with its own stream and buffers.

    with open_engine("bundle/model_fp16.engine", contexts=4) as engine:
        scores = engine.sessions[camera].run(feed)["output"]   # a session for each camera, or
        with engine.borrow() as session:                       # one that is free, for each piece of work
            scores = session.run(feed)["output"]

Threads: engines may be shared; a session serves one thread at a time, and refuses a second one.  Closing
waits for a call under way.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.base import Session, TensorSpec
from stgcn_deploy.backends.cuda.arrays import DeviceArray, device_array
from stgcn_deploy.backends.cuda.find import choose_device, find_cuda
from stgcn_deploy.backends.cuda.runtime import Cuda
from stgcn_deploy.backends.tensorrt_context import Context
from stgcn_deploy.backends.tensorrt_plan import Plan
from stgcn_deploy.errors import BackendError, ClipError, StgcnError, UsageError, requires
from stgcn_deploy.registry import nearest

__all__ = ["INSTALL", "Engine", "TensorRtSession", "open_engine"]

INSTALL = (
    "pip install 'stgcn-deploy[tensorrt10,cuda]' (on a Jetson, JetPack brings TensorRT: "
    "docs/jetson.md)"
)


class TensorRtSession(Session):
    """One execution context; its memory goes back on `close`, or when the session is forgotten."""

    def __init__(self, plan: Plan, graphs: bool | None) -> None:
        super().__init__(plan.inputs, plan.outputs)
        self._plan = plan
        self._context = Context(plan, graphs)
        self._lock = threading.Lock()
        self._release = weakref.finalize(self, self._context.release)
        self._release.atexit = False  # by then the driver takes everything back itself

    @property
    def closed(self) -> bool:
        """Whether its memory went back."""
        return self._closed

    @property
    def captured(self) -> bool:
        """Whether the next call with the same shapes is one CUDA graph."""
        return self._context.captured

    @property
    def stream(self) -> int:
        """The stream that it works on, a cudaStream_t."""
        return self._context.stream

    def watch(self, told: Callable[[str, float], None]) -> None:
        """Have TensorRT tell what each layer takes: `told(name, ms)`, in each call before it returns.

        Calls are slower from now on, and no CUDA graphs.

        Raises:
            BackendError: the session is closed or in use, or TensorRT refuses.
        """
        with self._alone() as context:
            context.watch(told)

    @contextmanager
    def _alone(self) -> Iterator[Context]:
        """One call at a time, of a session that is open."""
        if not self._lock.acquire(blocking=False):
            raise BackendError(
                "this session is in use by another thread; open the engine with as many contexts "
                "as threads, "
                "or take sessions with borrow()."
            )
        try:
            if self._closed:
                raise BackendError("this session is closed; open the bundle again.")
            yield self._context
        finally:
            self._lock.release()

    def _run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        with self._alone() as context:
            return {name: view.copy() for name, view in context.run(feed).items()}

    def run_into(
        self, feed: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]
    ) -> None:
        """The same as run, with the results in arrays that the caller has: nothing is allocated.

        Args:
            feed, outputs: all inputs and outputs by name, in memory of the host.

        Raises:
            ClipError, BackendError: see Session.run; an output of another dtype or shape.
        """
        self._check_names(outputs, self.outputs)
        arrays = {spec.name: self._checked(spec, feed) for spec in self._named(feed, self.inputs)}
        with self._alone() as context:
            for name, view in context.run(arrays).items():
                target = outputs[name]
                if target.shape != view.shape or target.dtype != view.dtype:
                    raise ClipError(
                        f"output {name!r} is {target.dtype} {target.shape}, the engine gives "
                        f"{view.dtype} "
                        f"{view.shape}."
                    )
                np.copyto(target, view)

    def run_on_device(self, feed: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """From and to arrays on the GPU, without a copy; done when it returns.

        Args:
            feed, outputs: all inputs and outputs by name, as anything with `__dlpack__` (PyTorch, CuPy,
                JAX) or `__cuda_array_interface__` (Numba).

        Raises:
            ClipError: an array is not on the engine's GPU, or has another dtype or shape, or is not
                contiguous.
            BackendError: the session is closed, or TensorRT failed.
        """
        with self._alone() as context:
            inputs = self._on_device(feed, self.inputs)
            targets = self._on_device(outputs, self.outputs)
            for name, array in targets.items():
                if array.read_only:
                    raise ClipError(f"output {name!r} is read-only; give one that can be written.")
            context.run_in_place(inputs, targets)

    def _on_device(
        self, arrays: Mapping[str, Any], specs: tuple[TensorSpec, ...]
    ) -> dict[str, DeviceArray]:
        plan, stream = self._plan, self._context.stream
        return {
            spec.name: device_array(
                spec.name, arrays[spec.name], spec, plan.cuda, plan.device, stream
            )
            for spec in self._named(arrays, specs)
        }

    def _named(
        self, given: Mapping[str, Any], specs: tuple[TensorSpec, ...]
    ) -> tuple[TensorSpec, ...]:
        """`specs`, when exactly these names are given."""
        self._check_names(given, specs)
        return specs

    @staticmethod
    def _check_names(given: Mapping[str, Any], specs: tuple[TensorSpec, ...]) -> None:
        names = [spec.name for spec in specs]
        for name in given:
            if name not in names:
                raise ClipError(
                    f"no tensor is called {name!r}{nearest(name, names)} Expected: "
                    f"{', '.join(names)}."
                )
        for name in names:
            if name not in given:
                raise ClipError(f"tensor {name!r} is missing.")

    def _close(self) -> None:
        with self._lock:  # a call under way ends first
            self._release()


class Engine:
    """An engine with its sessions; a context manager; may be shared between threads.

    Attributes:
        sessions: one for each execution context.
        device: the GPU.
    """

    def __init__(self, plan: Plan, contexts: int, graphs: bool | None) -> None:
        self.device = plan.device
        self._free: queue.LifoQueue[TensorRtSession] = queue.LifoQueue()
        with ExitStack() as made:
            sessions = []
            for _ in range(contexts):
                sessions.append(TensorRtSession(plan, graphs))
                made.callback(sessions[-1].close)
            self.sessions = tuple(sessions)
            made.pop_all()
        for session in reversed(self.sessions):
            self._free.put(session)

    @contextmanager
    def borrow(self, timeout: float | None = None) -> Iterator[TensorRtSession]:
        """A session that nobody else has borrowed, for a block.

        Args:
            timeout: seconds to wait for one; None waits until there is one.

        Raises:
            BackendError: none became free in time, or the engine is closed.
        """
        try:
            session = self._open_one(timeout)
        except queue.Empty:
            raise BackendError(
                f"none of the {len(self.sessions)} sessions became free within {timeout} s; open "
                "the engine "
                "with more contexts."
            ) from None
        try:
            yield session
        finally:
            self._free.put(session)

    def _open_one(self, timeout: float | None) -> TensorRtSession:
        while True:
            session = self._free.get(timeout=timeout)
            if not session.closed:
                return session
            if all(one.closed for one in self.sessions):
                self._free.put(session)  # for the next one who waits
                raise BackendError("this engine is closed; open it again.")

    def close(self) -> None:
        """Give all memory back, when calls under way are done; a second call does nothing."""
        with ExitStack() as closing:
            for session in self.sessions:
                closing.callback(session.close)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.close()
        else:
            with suppress(StgcnError):  # the error inside the block is the one to tell
                self.close()


def open_engine(
    path: str | Path,
    *,
    contexts: int = 1,
    graphs: bool | None = None,
    device: int | None = None,
    host_code: bool | None = None,
    cuda: Cuda | None = None,
    trt: Any = None,
) -> Engine:
    """Open an engine file with as many execution contexts as threads or cameras will use it.

    Args:
        graphs: whether a call is one CUDA graph: None where that works, see Context.
        device: the GPU; None the one that PyTorch, where it is in use, or this thread has.
        host_code: whether a version-compatible engine may bring code for the CPU, see Plan.
        cuda, trt: the CUDA runtime and the module tensorrt, where they are not to be looked for.

    Raises:
        MissingDependencyError: there is no TensorRT, or no GPU.
        BackendError: the engine cannot be used here, or does not fit.
    """
    if contexts < 1:
        raise UsageError(f"contexts must be at least 1, got {contexts}.")
    if trt is None:
        with requires("running a TensorRT engine", INSTALL):
            trt = import_module("tensorrt")
    runtime = find_cuda() if cuda is None else cuda
    plan = Plan(trt, runtime, Path(path), choose_device(runtime, device), host_code=host_code)
    return Engine(plan, contexts, graphs)
