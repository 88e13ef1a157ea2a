"""A bundle's graph in PyTorch behind the seam of the runtimes: low precision, CUDA graphs, compiling."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from stgcn_deploy.backends.base import Session, TensorSpec
from stgcn_deploy.errors import BackendError, ClipError, MissingDependencyError, UsageError
from stgcn_deploy.torchrun.network import Network

__all__ = ["Precision", "TorchGraphSession", "open_session"]

Precision = Literal["fp32", "fp16", "bf16"]
LOW: dict[Precision, torch.dtype | None] = {
    "fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16
}  # fmt: skip
# Programs for so many sets of input sizes are kept; each with its buffers.
PROGRAMS = 8
# Before a capture, so that libraries have chosen their kernels and taken their memory.
WARM_UP = 3

Tensors = tuple[torch.Tensor, ...]


class _Exact:
    """No TF32 inside: PyTorch's default takes it for convolutions, three digits in the place of seven.

    The switches belong to the process: the first thread that comes in sets them, the last that goes out
    puts back what it found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[Any] = []

    @staticmethod
    def _switches() -> list[tuple[Any, str, Any]]:
        convolution = getattr(torch.backends.cudnn, "conv", None)
        if hasattr(convolution, "fp32_precision"):  # renamed in PyTorch 2.9
            owners = (torch.backends.cuda.matmul, convolution)
            return [(owner, "fp32_precision", "ieee") for owner in owners]
        owners = (torch.backends.cuda.matmul, torch.backends.cudnn)
        return [(owner, "allow_tf32", False) for owner in owners]

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = [getattr(owner, name) for owner, name, _ in self._switches()]
                for owner, name, value in self._switches():
                    setattr(owner, name, value)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for (owner, name, _), value in zip(self._switches(), self._before, strict=True):
                    setattr(owner, name, value)


EXACT = _Exact()


class _Program:
    """One graph for fixed sizes, with its buffers.

    Args:
        module: takes the inputs in order, gives a tuple.
        graph: capture it as a CUDA graph.
    """

    def __init__(
        self,
        module: Callable[..., Tensors],
        inputs: list[tuple[tuple[int, ...], torch.dtype]],
        device: torch.device,
        *,
        graph: bool,
    ) -> None:
        self._module = module
        pinned = device.type == "cuda"
        self._host = [torch.empty(shape, dtype=kind, pin_memory=pinned) for shape, kind in inputs]
        self._inputs = tuple(
            torch.zeros(shape, dtype=kind, device=device) for shape, kind in inputs
        )
        self._graph: torch.cuda.CUDAGraph | None = None
        self._outputs: Tensors = module(*self._inputs)
        if graph:
            self._capture()
        self._results = [
            torch.empty(one.shape, dtype=one.dtype, pin_memory=pinned) for one in self._outputs
        ]

    def _capture(self) -> None:
        for _ in range(WARM_UP):
            self._module(*self._inputs)
        torch.cuda.current_stream().synchronize()
        captured = torch.cuda.CUDAGraph()
        # Other threads may take memory meanwhile.
        with torch.cuda.graph(
            captured, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"
        ):
            self._outputs = self._module(*self._inputs)
        self._graph = captured

    def on_device(self, tensors: Tensors) -> Tensors:
        """Run on tensors of the device; outputs are valid until the next run."""
        if self._graph is None:
            return self._module(*tensors)
        for target, source in zip(self._inputs, tensors, strict=True):
            target.copy_(source)
        self._graph.replay()
        return self._outputs

    def on_host(self, arrays: list[NDArray[Any]]) -> list[torch.Tensor]:
        """Run on arrays; begins the copies of the results, which must be waited for."""
        for host, target, array in zip(self._host, self._inputs, arrays, strict=True):
            np.copyto(host.numpy(), array)
            target.copy_(host, non_blocking=True)
        if self._graph is None:
            self._outputs = self._module(*self._inputs)
        else:
            self._graph.replay()
        for target, source in zip(self._results, self._outputs, strict=True):
            target.copy_(source, non_blocking=True)
        return self._results


class TorchGraphSession(Session):
    """A graph on one device, with a stream of its own; one thread at a time.

    Attributes:
        device: where it runs.
    """

    def __init__(
        self, network: Network, device: torch.device, *, graphs: bool, compiled: bool
    ) -> None:
        super().__init__(
            network.inputs,
            (
                *network.outputs,
                *(
                    TensorSpec(name, "float32", ())
                    for name in network.names[len(network.outputs) :]
                ),
            ),
        )
        self.device = device
        self._network: Network | None = network
        self._graphs, self._compiled = graphs, compiled
        self._programs: OrderedDict[tuple[tuple[int, ...], ...], _Program] = OrderedDict()
        self._lock = threading.Lock()
        self._stream: Any = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @contextmanager
    def _working(self) -> Iterator[Network]:
        """One call: on our stream, exactly, and with errors of ours."""
        if not self._lock.acquire(blocking=False):
            raise BackendError(
                "this session is in use by another thread; open the bundle once for each thread."
            )
        try:
            if self._network is None:
                raise BackendError("this session is closed; open the bundle again.")
            with ExitStack() as stack:
                stack.enter_context(EXACT)
                stack.enter_context(torch.inference_mode())
                if self._stream is not None:
                    stack.enter_context(torch.cuda.device(self.device))
                    stack.enter_context(torch.cuda.stream(self._stream))
                yield self._network
        except torch.cuda.OutOfMemoryError as error:
            raise BackendError(
                f"{self.device} has no memory left ({error}); give a smaller batch."
            ) from error
        except RuntimeError as error:
            raise BackendError(f"PyTorch failed: {error}") from error
        finally:
            self._lock.release()

    def _program(self, network: Network, shapes: dict[str, tuple[int, ...]]) -> _Program:
        key = tuple(shapes.values())
        if key in self._programs:
            self._programs.move_to_end(key)
            return self._programs[key]
        module: Any = network.program(shapes)
        if self._compiled:
            module = torch.compile(module, dynamic=False, fullgraph=True)
        inputs = [(shapes[one.name], getattr(torch, one.dtype)) for one in network.inputs]
        made = _Program(module, inputs, self.device, graph=self._graphs)
        self._programs[key] = made
        while len(self._programs) > PROGRAMS:
            self._programs.popitem(last=False)
        return made

    def _run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        with self._working() as network:
            program = self._program(network, {name: one.shape for name, one in feed.items()})
            results = program.on_host(list(feed.values()))
            if self._stream is not None:
                self._stream.synchronize()
            return {
                name: one.numpy().copy() for name, one in zip(network.names, results, strict=True)
            }

    def run_tensors(self, feed: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The same from and to tensors on the device, without a way through the host.

        What the caller's stream does next with the results waits for them, on the GPU.

        Raises:
            ClipError: a tensor is missing, or is on another device, or has another dtype or shape.
        """
        shapes = {}
        for spec in self.inputs:
            if spec.name not in feed:
                raise ClipError(f"input {spec.name!r} is missing.")
            tensor = feed[spec.name]
            kind = str(tensor.dtype).removeprefix("torch.")
            shape = tuple(tensor.shape)
            if tensor.device != self.device or kind != spec.dtype or not spec.fits(shape):
                raise ClipError(
                    f"input {spec.name!r} is {kind} {shape} on {tensor.device}, expected "
                    f"{spec.dtype} "
                    f"({', '.join(map(str, spec.shape))}) on {self.device}."
                )
            shapes[spec.name] = shape
        theirs = torch.cuda.current_stream(self.device) if self._stream is not None else None
        with self._working() as network:
            if self._stream is not None and theirs is not None:
                self._stream.wait_stream(theirs)
            program = self._program(network, shapes)
            outputs = program.on_device(tuple(feed[spec.name] for spec in self.inputs))
            found = {name: one.clone() for name, one in zip(network.names, outputs, strict=True)}
            if self._stream is not None and theirs is not None:
                theirs.wait_stream(self._stream)
                for one in found.values():
                    one.record_stream(theirs)
                for one in feed.values():
                    one.record_stream(self._stream)
            return found

    def _close(self) -> None:
        with self._lock:  # a call under way ends first
            self._programs.clear()
            self._network = None


def open_session(
    path: str | Path,
    *,
    precision: Precision = "fp32",
    graphs: bool | None = None,
    compiled: bool = False,
    channels_last: bool = False,
    device: str = "cuda",
    tap: str | None = None,
) -> TorchGraphSession:
    """Open a bundle's ONNX file.

    Args:
        precision: of layers with weights and what lies between them; "fp32" never takes TF32.
        graphs: whether a call is one CUDA graph; None on a GPU, where a call is many small kernels.
        compiled: torch.compile, which takes a minute at the first call of each size.
        channels_last: memory order of convolutions.
        device: "cuda", "cuda:1", or "cpu", which is for tests: ONNX Runtime is faster there.
        tap: name of an inner tensor to give beside the outputs.

    Raises:
        UsageError: CUDA graphs on a CPU, or no such precision.
        MissingDependencyError: no such GPU.
        BackendError: the file is no graph that it runs.
    """
    if precision not in LOW:
        raise UsageError(f"precision {precision!r} is none of {', '.join(LOW)}.")
    place = _device(device)
    if graphs and place.type != "cuda":
        raise UsageError("a CPU has no CUDA graphs; leave out graphs=True.")
    network = Network(
        Path(path), device=place, tap=tap, low=LOW[precision], channels_last=channels_last
    )
    on = place.type == "cuda" if graphs is None else graphs
    return TorchGraphSession(network, place, graphs=on, compiled=compiled)


def _device(name: str) -> torch.device:
    """A device that is there, with its index.

    Raises:
        UsageError, MissingDependencyError: see open_session.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r}: {str(error).splitlines()[0]}") from None
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise UsageError(f"device {name!r} is neither cuda nor cpu.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = (
        device.index if device.index is not None else (torch.cuda.current_device() if count else 0)
    )
    if index >= count:
        raise MissingDependencyError(
            f"there is no GPU {index} for PyTorch {torch.__version__} (it sees {count})."
        )
    return torch.device("cuda", index)
