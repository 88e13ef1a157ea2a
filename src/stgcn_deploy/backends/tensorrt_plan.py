"""A TensorRT engine file ("plan"), opened: the tensors it takes, or why it is of no use here."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_deploy.backends.base import TensorSpec
from stgcn_deploy.backends.cuda.runtime import Cuda
from stgcn_deploy.bundle import read_manifest
from stgcn_deploy.errors import BackendError, ClipError, StgcnError
from stgcn_deploy.manifest import BuildRecord, Manifest

__all__ = ["HOST_CODE", "Plan", "Shape"]

Shape = tuple[int, ...]
# Version-compatible plans carry a library that runs on the CPU; TensorRT loads it only where it is told to.
HOST_CODE = "STGCN_TENSORRT_HOST_CODE"
REBUILD = "Build it again on this machine: stgcn build BUNDLE --to tensorrt"
# Of ILogger.Severity: INTERNAL_ERROR and ERROR.
ERRORS = 1
KEPT = 20

# TensorRT's words -> ours.  It says what this machine has ("expecting") before what the plan has ("got").
VERSION = re.compile(r"expecting library version (\S+) got ([\d.]*\d)?")
VERSION_TAG = re.compile(r"[Vv]ersion tag does not match")
DEVICE = re.compile(r"expecting compute ([\d.]+\d) got compute ([\d.]+\d)")
MEMORY = re.compile(r"[Oo]ut ?[Oo]f ?[Mm]emory|cudaErrorMemoryAllocation")
CODE = re.compile(r"host code|HostCode|lean runtime", re.IGNORECASE)


@dataclass(frozen=True)
class Profile:
    """An optimisation profile: by input, the smallest and the largest shape that it takes."""

    ranges: dict[str, tuple[Shape, Shape]]

    def takes(self, shapes: dict[str, Shape]) -> bool:
        """Whether all inputs are within it."""
        return all(
            all(
                low <= size <= high
                for low, size, high in zip(least, shapes[name], most, strict=True)
            )
            for name, (least, most) in self.ranges.items()
        )


class Plan:
    """An engine on one device; may be shared between threads, which each need a context of their own.

    Args:
        host_code: whether a plan may bring code that runs on the CPU; None asks the environment variable
            STGCN_TENSORRT_HOST_CODE.

    Attributes:
        inputs, outputs: tensors in the order of the engine.
        profiles: empty where all shapes are fixed.

    Raises:
        BackendError: the file was built for another TensorRT or GPU, is damaged, or is no such file.
    """

    def __init__(
        self, trt: Any, cuda: Cuda, path: Path, device: int, *, host_code: bool | None = None
    ) -> None:
        self.trt, self.cuda, self.path, self.device = trt, cuda, path, device
        self.messages: deque[str] = deque(maxlen=KEPT)
        self._logger = _logger(trt, self.messages.append)
        self._manifest = _manifest_beside(path)
        with cuda.on(device):
            self._runtime, self._engine = self._opened(_bytes_of(path), host_code)
            try:
                self.inputs, self.outputs = self._tensors()
                self.profiles = self._profiles()
            except (ValueError, TypeError, RuntimeError, AttributeError) as error:
                raise BackendError(f"TensorRT does not describe {path}: {error}") from error

    # ---- opening -----------------------------------------------------------------------------

    def _opened(self, data: bytes, host_code: bool | None) -> tuple[Any, Any]:
        allowed = os.environ.get(HOST_CODE) == "1" if host_code is None else host_code
        try:
            self.trt.init_libnvinfer_plugins(self._logger, "")
            runtime = self.trt.Runtime(self._logger)
            if allowed and hasattr(runtime, "engine_host_code_allowed"):
                runtime.engine_host_code_allowed = True
            engine = runtime.deserialize_cuda_engine(data)
        except Exception as error:  # pybind11 raises TypeError where the library gave nothing
            raise BackendError(self.said(f"TensorRT cannot open {self.path}: {error}")) from error
        if engine is None:
            raise BackendError(self._refusal())
        return runtime, engine

    def _refusal(self) -> str:
        """Why TensorRT gave no engine, and what to do."""
        text = " ".join(self.messages)
        here = f"TensorRT {self.trt.__version__}"
        record = self._record
        built = f" (built with {_tools(record)} for {record.device})" if record else ""
        if found := VERSION.search(text):
            theirs = found.group(2) or "another version"
            return (
                f"{self.path}{built} is an engine of TensorRT {theirs}, and here is "
                f"{found.group(1)}. "
                f"Engines do not move between versions. {REBUILD}; or install TensorRT {theirs}."
            )
        if VERSION_TAG.search(text):
            return (
                f"{self.path}{built} is an engine of another version of TensorRT, and here is "
                f"{here}. "
                f"Engines do not move between versions. {REBUILD}."
            )
        if found := DEVICE.search(text):
            mine, theirs = (f"sm_{one.replace('.', '')}" for one in found.groups())
            return (
                f"{self.path}{built} was built for GPUs of {theirs}, and GPU {self.device} is "
                f"{mine}. "
                f"{REBUILD}; or build it with --hardware-compatible."
            )
        if MEMORY.search(text):
            return self.said(
                f"{self.path} does not fit into the memory of GPU {self.device}; end what else "
                "uses it, or "
                "build for a smaller batch"
            )
        if CODE.search(text):
            return (
                f"{self.path} is version-compatible: it carries code that runs on the CPU. If "
                "you trust "
                f"where it comes from, set {HOST_CODE}=1 (in Python host_code=True)."
            )
        return self.said(
            f"{self.path}{built} is no engine that {here} can read: it is damaged, or no engine. "
            f"{REBUILD}"
        )

    def said(self, sentence: str) -> str:
        """A sentence, and what TensorRT last said."""
        last = f" TensorRT says: {self.messages[-1][:400]}" if self.messages else ""
        return f"{sentence}.{last}"

    @property
    def _record(self) -> BuildRecord | None:
        """What the bundle around the file says of it."""
        builds = self._manifest.builds if self._manifest else ()
        return next((build for build in builds if build.file == self.path.name), None)

    # ---- describing --------------------------------------------------------------------------

    def _tensors(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        inputs: list[TensorSpec] = []
        outputs: list[TensorSpec] = []
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            is_input = self._engine.get_tensor_mode(name) == self.trt.TensorIOMode.INPUT
            (inputs if is_input else outputs).append(self._spec(name, is_input=is_input))
        return tuple(inputs), tuple(outputs)

    def _spec(self, name: str, *, is_input: bool) -> TensorSpec:
        engine, trt = self._engine, self.trt
        if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
            raise BackendError(
                f"{self.path}: tensor {name!r} lives in memory of the host (it is a shape); such "
                "engines are "
                "none of ours. Build one from a bundle: stgcn build BUNDLE --to tensorrt"
            )
        if engine.get_tensor_format(name) != trt.TensorFormat.LINEAR:
            raise BackendError(
                f"{self.path}: tensor {name!r} has format {engine.get_tensor_format_desc(name)}, "
                "expected "
                "linear; build the engine without I/O formats."
            )
        kind = engine.get_tensor_dtype(name)
        try:
            dtype = np.dtype(trt.nptype(kind)).name
        except (TypeError, KeyError) as error:
            raise BackendError(
                f"{self.path}: tensor {name!r} is {kind}, which NumPy does not have; build the "
                "engine of a "
                "graph whose inputs and outputs are float32 or float16."
            ) from error
        names = self._open_axes(name) if is_input else ("batch",)
        shape = tuple(
            size if size >= 0 else (names[axis] if axis < len(names) else f"axis{axis}")
            for axis, size in enumerate(tuple(engine.get_tensor_shape(name)))
        )
        return TensorSpec(name, dtype, shape)

    def _open_axes(self, name: str) -> tuple[str, ...]:
        """Names of axes as the bundle has them; engines do not keep them."""
        shape = self._manifest.input_shapes.get(name, ()) if self._manifest else ()
        return tuple(
            size if isinstance(size, str) else f"axis{axis}" for axis, size in enumerate(shape)
        )

    def _profiles(self) -> tuple[Profile, ...]:
        opened = [spec.name for spec in self.inputs if any(isinstance(n, str) for n in spec.shape)]
        if not opened:
            return ()
        found = []
        for index in range(self._engine.num_optimization_profiles):
            ranges = {}
            for spec in self.inputs:
                least, _, most = self._engine.get_tensor_profile_shape(spec.name, index)
                ranges[spec.name] = (tuple(least), tuple(most))
            found.append(Profile(ranges))
        return tuple(found)

    def profile_for(self, shapes: dict[str, Shape]) -> int:
        """Index of the first profile that takes these shapes.

        Raises:
            ClipError: none does.
        """
        for index, profile in enumerate(self.profiles):
            if profile.takes(shapes):
                return index
        given = ", ".join(f"{name!r} {shape}" for name, shape in shapes.items())
        ranges = " or ".join(
            ", ".join(f"{name!r} {low} to {high}" for name, (low, high) in one.ranges.items())
            for one in self.profiles
        )
        raise ClipError(
            f"shape of {given}: {self.path.name} was built for {ranges}. Build one for it: stgcn "
            "build "
            "BUNDLE --to tensorrt with --max-batch or --profile."
        )

    # ---- contexts ----------------------------------------------------------------------------

    def create_context(self) -> Any:
        """An execution context, with the memory that its layers need.

        Raises:
            BackendError: there is no room for it.
        """
        context = self._engine.create_execution_context()
        if context is None:
            free, total = self.cuda.memory()
            raise BackendError(
                self.said(
                    f"TensorRT made no execution context of {self.path} ({free >> 20} of "
                    f"{total >> 20} MiB of "
                    f"GPU {self.device} are free); open fewer contexts, or build for a smaller "
                    "batch"
                )
            )
        return context


def _logger(trt: Any, keep: Callable[[str], None]) -> Any:
    """A logger that keeps errors and prints nothing."""

    def initialise(self: Any) -> None:
        trt.ILogger.__init__(self)  # without it pybind11 ends the process

    def log(self: Any, severity: Any, msg: str) -> None:  # noqa: ARG001
        if int(severity) <= ERRORS:
            keep(str(msg).strip())

    return type("Messages", (trt.ILogger,), {"__init__": initialise, "log": log})()


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BackendError(f"{path} cannot be read: {error.strerror}; {REBUILD}.") from None
    if not data:
        raise BackendError(f"{path} is empty. {REBUILD}.")
    return data


def _manifest_beside(path: Path) -> Manifest | None:
    with suppress(StgcnError, OSError):
        return read_manifest(path.parent)
    return None


def _tools(record: BuildRecord) -> str:
    return ", ".join(f"{name} {number}" for name, number in record.tools.items())


def volume(shape: Sequence[int]) -> int:
    """Number of elements."""
    return int(np.prod(shape, dtype=np.int64))
