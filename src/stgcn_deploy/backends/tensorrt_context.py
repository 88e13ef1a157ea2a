"""One execution context of an engine, with its stream and buffers: what one camera or worker runs on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.base import TensorSpec
from stgcn_deploy.backends.cuda.arrays import DeviceArray
from stgcn_deploy.backends.cuda.holdings import Holdings
from stgcn_deploy.backends.tensorrt_plan import Plan, Shape, volume
from stgcn_deploy.errors import BackendError, StgcnError

__all__ = ["Context"]

Arrays = dict[str, NDArray[Any]]


class Context:
    """An execution context; one call at a time.

    All memory is taken here: pinned and device buffers for the largest shapes of the engine.  A call copies
    in, runs, copies out and waits, all on a stream of its own.

    Args:
        graphs: whether calls are one CUDA graph, captured at the second call with the same shapes. None
            captures where that works and warns where it does not; True makes that an error.

    Raises:
        BackendError: there is no room for it, or another context has the engine's only profile.
    """

    def __init__(self, plan: Plan, graphs: bool | None) -> None:
        self._plan, self._cuda = plan, plan.cuda
        self._graphs = graphs is not False
        self._demanded = graphs is True
        self._executable: int | None = None
        self._shapes: dict[str, Shape] = {}
        self._warm = False
        self._profile = 0
        self._holdings = Holdings(plan.cuda, plan.device)
        self._context: Any = None
        self._profiler: Any = None
        self._stream = 0
        self._pinned: Arrays = {}
        self._device: dict[str, int] = {}
        self._views: Arrays = {}
        try:
            with plan.cuda.on(plan.device), self._told():
                self._take()
        except BaseException:
            with suppress(StgcnError):  # what went wrong first is told
                self.release()
            raise

    @property
    def captured(self) -> bool:
        """Whether the next call with the same shapes is one CUDA graph."""
        return self._executable is not None

    @property
    def stream(self) -> int:
        """Its stream."""
        return self._stream

    def watch(self, told: Callable[[str, float], None]) -> None:
        """See TensorRtSession.watch."""
        with self._cuda.on(self._plan.device), self._told():
            self._graphs = self._demanded = False  # a launched graph tells nothing of its layers
            self._forget()
            self._profiler = _profiler(self._plan.trt, told)
            # The call waits for the GPU, and tells before it returns.
            self._context.enqueue_emits_profile = True
            self._context.profiler = self._profiler

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What TensorRT's Python module raises, as an error of ours."""
        try:
            yield
        except (RuntimeError, TypeError, ValueError) as error:
            raise BackendError(
                self._plan.said(f"TensorRT failed with {self._plan.path}: {error}")
            ) from error

    def _take(self) -> None:
        plan = self._plan
        self._stream = self._holdings.stream()
        self._event = self._holdings.event()
        self._context = plan.create_context()
        if plan.profiles:
            self._profile = self._free_profile()
        tensors = (*plan.inputs, *plan.outputs)
        sizes = self._largest()
        self._pinned = {spec.name: self._holdings.pinned(sizes[spec.name]) for spec in tensors}
        self._device = {spec.name: self._holdings.memory(sizes[spec.name]) for spec in tensors}
        self._own_addresses()

    def _free_profile(self) -> int:
        """The first profile that no other context has; from TensorRT 10 on contexts share them."""
        for index in range(len(self._plan.profiles)):
            if self._context.set_optimization_profile_async(index, self._stream):
                self._cuda.synchronise(self._stream)
                return index
        raise BackendError(
            self._plan.said(
                f"each optimisation profile of {self._plan.path} is in use by another context, "
                "and TensorRT "
                f"{self._plan.trt.__version__} does not share them; open fewer contexts, build "
                "with fixed "
                "shapes, or use TensorRT 10"
            )
        )

    def _largest(self) -> dict[str, int]:
        """Bytes of each tensor at the largest shapes that the engine takes."""
        plan = self._plan
        sizes = dict.fromkeys((spec.name for spec in (*plan.inputs, *plan.outputs)), 0)
        before = self._profile
        for index, profile in enumerate(plan.profiles):
            if index != self._profile and not self._switch(index):
                continue  # another context has it; then this one never runs in it either
            shapes = {name: most for name, (_, most) in profile.ranges.items()}
            self._raise_to(sizes, shapes, self._set_shapes(shapes))
        if not plan.profiles:
            fixed = {spec.name: _fixed(spec) for spec in plan.inputs}
            self._raise_to(sizes, fixed, self._output_shapes())
        elif self._profile != before:
            self._switch(before)
        return sizes

    def _raise_to(
        self, sizes: dict[str, int], inputs: dict[str, Shape], outputs: dict[str, Shape]
    ) -> None:
        plan = self._plan
        shapes = inputs | outputs
        for spec in (*plan.inputs, *plan.outputs):
            size = volume(shapes[spec.name]) * np.dtype(spec.dtype).itemsize
            sizes[spec.name] = max(sizes[spec.name], size)

    # ---- shapes ------------------------------------------------------------------------------

    def _switch(self, profile: int) -> bool:
        """Take another profile; whether TensorRT gave it."""
        if not self._context.set_optimization_profile_async(profile, self._stream):
            return False
        self._cuda.synchronise(self._stream)
        self._profile = profile
        return True

    def _set_shapes(self, shapes: dict[str, Shape]) -> dict[str, Shape]:
        """Tell TensorRT the shapes of inputs; gives those of outputs."""
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise BackendError(self._plan.said(f"TensorRT refuses shape {shape} for {name!r}"))
        missing = self._context.infer_shapes()
        if missing:
            raise BackendError(
                self._plan.said(f"TensorRT cannot tell shapes without {', '.join(missing)}")
            )
        return self._output_shapes()

    def _output_shapes(self) -> dict[str, Shape]:
        found = {}
        for spec in self._plan.outputs:
            shape = tuple(self._context.get_tensor_shape(spec.name))
            if min(shape, default=0) < 0:
                raise BackendError(
                    f"{self._plan.path}: the shape of output {spec.name!r} depends on the data "
                    f"({shape}); such "
                    "engines are none of ours."
                )
            found[spec.name] = shape
        return found

    def _prepare(self, shapes: dict[str, Shape]) -> None:
        """Take the shapes of a call, unless the last one had the same."""
        if shapes == self._shapes:
            return
        self._forget()
        if self._plan.profiles:
            wanted = self._plan.profile_for(shapes)
            if not self._plan.profiles[self._profile].takes(shapes) and not self._switch(wanted):
                raise BackendError(
                    self._plan.said(f"another context has optimisation profile {wanted}")
                )
            outputs = self._set_shapes(shapes)
        else:
            outputs = self._output_shapes()
        views = {}
        for spec in (*self._plan.inputs, *self._plan.outputs):
            shape = (shapes | outputs)[spec.name]
            size = volume(shape) * np.dtype(spec.dtype).itemsize
            if size > self._pinned[spec.name].nbytes:
                raise BackendError(
                    f"{self._plan.path}: {spec.name!r} takes {size} bytes at {shape}, more than "
                    "at the largest "
                    f"shape of its profile ({self._pinned[spec.name].nbytes})."
                )
            views[spec.name] = self._pinned[spec.name][:size].view(spec.dtype).reshape(shape)
        self._views = views
        self._shapes = dict(shapes)

    def _forget(self) -> None:
        """A graph holds for the shapes that it was captured with."""
        self._shapes, self._warm = {}, False
        executable, self._executable = self._executable, None
        if executable is not None:
            self._cuda.destroy_executable(executable)

    # ---- running -----------------------------------------------------------------------------

    def run(self, feed: Arrays) -> Arrays:
        """Outputs as views of pinned memory: to be copied before the next call."""
        with self._cuda.on(self._plan.device), self._told():
            self._prepare({name: array.shape for name, array in feed.items()})
            for name, array in feed.items():
                np.copyto(self._views[name], array)
            if self._executable is None and self._warm and self._graphs:
                self._capture()
            try:
                if self._executable is not None:
                    self._cuda.launch(self._executable, self._stream)
                else:
                    self._enqueue()
            finally:
                # Also after an error: the buffers may not be touched while copies are under way.
                self._cuda.synchronise(self._stream)
            self._warm = True
            return {spec.name: self._views[spec.name] for spec in self._plan.outputs}

    def run_in_place(
        self, inputs: Mapping[str, DeviceArray], outputs: Mapping[str, DeviceArray]
    ) -> None:
        """From and to memory of others on the GPU; done when it returns.

        Raises:
            BackendError: an output has not the shape that the engine gives.
        """
        with self._cuda.on(self._plan.device), self._told():
            self._prepare({name: array.shape for name, array in inputs.items()})
            for name, array in outputs.items():
                if array.shape != self._views[name].shape:
                    raise BackendError(
                        f"output {name!r} has shape {array.shape}, the engine gives "
                        f"{self._views[name].shape}."
                    )
            try:
                for name, array in {**inputs, **outputs}.items():
                    self._after(array)
                    self._address(name, array.address)
                self._execute()
            finally:
                # Also after an error: nothing may run into memory that its owner has taken back.
                try:
                    self._cuda.synchronise(self._stream)
                finally:
                    self._own_addresses()

    def _after(self, array: DeviceArray) -> None:
        """Wait, on the GPU, for the stream that the array's library names."""
        if array.stream is not None:
            self._cuda.record(self._event, array.stream)
            self._cuda.wait(self._stream, self._event)

    def _own_addresses(self) -> None:
        for name, address in self._device.items():
            self._address(name, address)

    def _address(self, name: str, address: int) -> None:
        if not self._context.set_tensor_address(name, address):
            raise BackendError(self._plan.said(f"TensorRT refuses an address for {name!r}"))

    def _enqueue(self) -> None:
        """Copies in, the network, copies out."""
        for spec in self._plan.inputs:
            view = self._views[spec.name]
            self._cuda.copy(
                self._device[spec.name], view.ctypes.data, view.nbytes, "to device", self._stream
            )
        self._execute()
        for spec in self._plan.outputs:
            view = self._views[spec.name]
            self._cuda.copy(
                view.ctypes.data, self._device[spec.name], view.nbytes, "to host", self._stream
            )

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._stream):
            raise BackendError(self._plan.said(f"TensorRT failed to run {self._plan.path}"))

    def _capture(self) -> None:
        """Write a call down as a graph; where that fails, warn and go on without, or say so."""
        try:
            self._executable = self._captured()
        except BackendError as error:
            if self._demanded:
                raise BackendError(
                    f"a call of {self._plan.path} cannot be captured as a CUDA graph ({error}); "
                    "open it with "
                    "graphs=False."
                ) from error
            self._graphs = False
            warnings.warn(
                f"{self._plan.path.name} runs without a CUDA graph: {error}",
                RuntimeWarning,
                stacklevel=2,
            )

    def _captured(self) -> int:
        self._cuda.begin_capture(self._stream)
        try:
            self._enqueue()
        except BaseException:
            with suppress(BackendError):  # a stream that captures takes no other work
                self._cuda.destroy_graph(self._cuda.end_capture(self._stream))
            raise
        graph = self._cuda.end_capture(self._stream)
        try:
            executable = self._cuda.instantiate(graph)
        finally:
            with suppress(StgcnError):  # it is only written down; what is launched is its copy
                self._cuda.destroy_graph(graph)
        return executable

    def release(self) -> None:
        """Give everything back, when running work is done; a second call does nothing.

        Raises:
            CudaError: something was refused; the rest was given back all the same.
        """
        self._views, self._pinned = {}, {}
        try:
            with self._cuda.on(self._plan.device):
                if self._stream:
                    with suppress(StgcnError):  # an error of that work is not one of giving back
                        self._cuda.synchronise(self._stream)
                self._forget()
        finally:
            self._context, self._stream = None, 0  # with the memory of its layers
            self._profiler = None  # after the context that calls it
            self._holdings.release()


def _profiler(trt: Any, told: Callable[[str, float], None]) -> Any:
    """What TensorRT tells the times of layers."""

    def initialise(self: Any) -> None:
        trt.IProfiler.__init__(self)  # without it pybind11 ends the process

    def report_layer_time(self: Any, layer_name: str, ms: float) -> None:  # noqa: ARG001
        told(str(layer_name), float(ms))

    methods = {"__init__": initialise, "report_layer_time": report_layer_time}
    return type("LayerTimes", (trt.IProfiler,), methods)()


def _fixed(spec: TensorSpec) -> Shape:
    return tuple(size for size in spec.shape if isinstance(size, int))
