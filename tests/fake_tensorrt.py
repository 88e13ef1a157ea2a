"""A strict `tensorrt` without TensorRT: what a version does not have is not there, and arity is checked.

Engines compute something simple in the memory and on the stream that they are given, when that stream
does its work: so addresses, shapes, copies and waits all have to be right.  Names and parameters
of each version are read from data/nvidia/tensorrt_api.json.
"""

from __future__ import annotations

import ctypes
import enum
import json
import time
import types
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

API = json.loads(
    (Path(__file__).parent / "data" / "nvidia" / "tensorrt_api.json").read_text(encoding="utf-8")
)
VERSIONS = tuple(API)
MAGIC = b"a plan of the fake: "
DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT32": "int32", "INT8": "int8", "BOOL": "bool"}
SHARING = 10  # the first version whose contexts share optimisation profiles


def plan(
    *,
    version: str = "10.3.0",
    sm: str = "8.7",
    shape: tuple[int, ...] = (2, 3, 4),
    classes: int = 5,
    profiles: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (),
    dtype: str = "FLOAT",
    **more: Any,
) -> bytes:
    """A serialised engine: one input, one output (N, classes).

    Of `more`, "model" is an ONNX file that it computes with in place of `answer`, "layers" the names of its
    layers, which share its time.
    """
    batch = -1 if profiles else shape[0]
    about = {
        "version": version,
        "sm": sm,
        "input": {"shape": [batch, *shape[1:]] if profiles else shape, "dtype": dtype},
        "output": {"shape": [batch, classes], "dtype": "FLOAT"},
        "profiles": profiles,
        "capturable": True,
        "host_code": False,
    } | more
    return MAGIC + json.dumps(about).encode()


def answer(batch: np.ndarray, classes: int = 5) -> np.ndarray:
    """What the fake computes: (N, ...) -> (N, classes)."""
    sums = batch.reshape(len(batch), -1).astype(np.float64).sum(axis=1)
    first = batch.reshape(len(batch), -1)[:, :1].astype(np.float64)
    return (sums[:, None] * np.arange(1, classes + 1) + first).astype(np.float32)


def _binds(overloads: list[list[str]], given: tuple[Any, ...], named: dict[str, Any]) -> bool:
    for parameters in overloads:
        names = [name.rstrip("?") for name in parameters]
        needed = [name for name in parameters if not name.endswith("?")]
        have = [*names[: len(given)], *named]
        if len(given) <= len(names) and set(named) <= set(names) and set(needed) <= set(have):
            return True
    return False


def _checked(name: str, method: Callable[..., Any], overloads: list[list[str]] | None) -> Any:
    def call(self: Any, *given: Any, **named: Any) -> Any:
        if overloads is not None and not _binds(overloads, given, named):
            raise TypeError(f"{name}(): incompatible function arguments {given} {named}")
        return method(self, *given, **named)

    return call


def _strict(cls: type, known: dict[str, Any]) -> Any:
    """The class with only those public names that the version has."""
    kept: dict[str, Any] = {"__slots__": ("__dict__", "__weakref__")}
    for name, value in vars(cls).items():
        if name in ("__dict__", "__weakref__"):
            continue
        if name.startswith("_") or isinstance(value, (property, type)):
            if name.startswith("_") or name in known:
                kept[name] = value
        elif name in known:
            kept[name] = _checked(name, value, known[name])
    settable = {
        name
        for name, kind in known.items()
        # Of 8.5 the names alone are known.
        if kind == "rw" or (kind is None and getattr(vars(cls).get(name), "fset", None))
    }

    def refuse(self: Any, name: str, value: Any) -> None:
        if not name.startswith("_") and name not in settable:
            raise AttributeError(f"{cls.__name__!r} object has no settable attribute {name!r}")
        object.__setattr__(self, name, value)

    if cls.__name__ not in ("ILogger", "IProfiler"):  # these are made to be subclassed
        kept["__setattr__"] = refuse
    return type(cls.__name__, (), kept)


class FakeTensorRt(types.ModuleType):
    """The module.

    Args:
        version: a key of API.
        caller: the fake CUDA runtime in whose memory engines compute.
        sm: what the GPU is.
    """

    def __init__(self, version: str, caller: Any, sm: str = "8.7") -> None:
        super().__init__("tensorrt")
        api = API[version]
        self.__version__ = api["version"]
        self.caller, self.sm = caller, sm
        self.contexts: weakref.WeakSet[Any] = weakref.WeakSet()
        self.execute_fails = False
        for name in ("TensorIOMode", "TensorLocation", "TensorFormat", "DataType"):
            setattr(self, name, enum.Enum(name, api[name]))
        for cls in (ILogger, IProfiler, Runtime, ICudaEngine, IExecutionContext):
            made = _strict(cls, api[cls.__name__])
            made._module = self
            setattr(self, cls.__name__, made)

    def init_libnvinfer_plugins(self, logger: Any, namespace: str) -> bool:
        assert isinstance(logger, self.ILogger)
        return True

    def nptype(self, kind: Any) -> Any:
        if kind.name not in DTYPES:
            raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
        return np.dtype(DTYPES[kind.name]).type

    @property
    def major(self) -> int:
        return int(self.__version__.partition(".")[0])


class ILogger:
    def __init__(self) -> None:
        self._initialised = True

    def log(self, severity: int, msg: str) -> None:
        raise NotImplementedError


class IProfiler:
    def __init__(self) -> None:
        self._initialised = True

    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise NotImplementedError


def _say(logger: Any, text: str) -> None:
    logger.log(1, text)


class Runtime:
    _module: FakeTensorRt

    def __init__(self, logger: Any) -> None:
        assert logger._initialised, (
            "pybind11 ends the process where a base class was not initialised"
        )
        self._logger = logger
        self._host_code = False

    @property
    def engine_host_code_allowed(self) -> bool:
        return self._host_code

    @engine_host_code_allowed.setter
    def engine_host_code_allowed(self, value: bool) -> None:
        self._host_code = value

    def deserialize_cuda_engine(self, data: bytes) -> Any:
        trt = self._module
        if not data.startswith(MAGIC):
            _say(
                self._logger,
                "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (magicTagRead == kMAGIC)",
            )
            return None
        try:
            about = json.loads(data[len(MAGIC) :])
        except ValueError:
            _say(
                self._logger,
                "Error Code 1: Serialization (Serialization assertion remaining failed.)",
            )
            return None
        if about["version"] != trt.__version__:
            _say(
                self._logger,
                "The engine plan file is not compatible with this version of TensorRT, expecting "
                "library version "
                f"{trt.__version__} got {about['version']}, please rebuild.",
            )
            return None
        if about["sm"] != trt.sm:
            _say(
                self._logger,
                "The engine plan file is generated on an incompatible device, expecting compute "
                f"{trt.sm} got compute {about['sm']}, please rebuild.",
            )
            return None
        if about["host_code"] and not self._host_code:
            _say(self._logger, "setEngineHostCodeAllowed must be called to load this engine")
            return None
        engine = trt.ICudaEngine.__new__(trt.ICudaEngine)
        engine._about, engine._logger, engine._runtime = about, self._logger, self
        return engine


class ICudaEngine:
    _module: FakeTensorRt

    @property
    def num_io_tensors(self) -> int:
        return 2

    @property
    def num_optimization_profiles(self) -> int:
        return max(1, len(self._about["profiles"]))

    def get_tensor_name(self, index: int) -> str:
        return ("input", "output")[index]

    def get_tensor_mode(self, name: str) -> Any:
        return self._module.TensorIOMode[name.upper()]

    def get_tensor_location(self, name: str) -> Any:
        return self._module.TensorLocation[self._about.get("location", "DEVICE")]

    def get_tensor_format(self, name: str) -> Any:
        return self._module.TensorFormat[self._about.get("format", "LINEAR")]

    def get_tensor_format_desc(self, name: str) -> str:
        return str(self._about.get("format", "LINEAR"))

    def get_tensor_dtype(self, name: str) -> Any:
        return self._module.DataType[self._about[name]["dtype"]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._about[name]["shape"])

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        least, most = self._about["profiles"][profile]
        return [tuple(least), tuple(least), tuple(most)]

    def create_execution_context(self) -> Any:
        trt = self._module
        code, made = trt.caller("cudaMalloc", 64)  # the memory of its layers
        if code:
            _say(self._logger, "Error Code 2: OutOfMemory (no further information)")
            return None
        context = trt.IExecutionContext.__new__(trt.IExecutionContext)
        context._engine, context._scratch = self, made[0]
        context._addresses, context._shape, context._work = {}, None, {}
        context._profiler, context._emits, context._took = None, True, [0.0]
        context._profile = 0 if not self._about["profiles"] else None
        if self._about["profiles"] and not _taken(trt, self, 0):
            context._profile = 0  # the first context gets the first profile
        trt.contexts.add(context)
        return context


def _taken(trt: FakeTensorRt, engine: Any, profile: int) -> bool:
    """Whether another context has it, where they are not shared."""
    return trt.major < SHARING and any(
        one._engine is engine and one._profile == profile for one in trt.contexts
    )


class IExecutionContext:
    _module: FakeTensorRt

    def __del__(self) -> None:
        self._module.caller("cudaFree", self._scratch)

    @property
    def profiler(self) -> Any:
        return self._profiler

    @profiler.setter
    def profiler(self, value: Any) -> None:
        if not isinstance(value, self._module.IProfiler) or not value._initialised:
            raise TypeError("pybind11: incompatible function arguments")
        self._profiler = value

    @property
    def enqueue_emits_profile(self) -> bool:
        return self._emits

    @enqueue_emits_profile.setter
    def enqueue_emits_profile(self, value: bool) -> None:
        self._emits = value

    def _report(self, stream: int) -> None:
        """As the real one: the call waits, and its times are told before it returns."""
        self._module.caller("cudaStreamSynchronize", stream)
        layers = self._engine._about.get("layers", [])
        for name in layers:
            self._profiler.report_layer_time(name, self._took[0] / len(layers))

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        if profile == self._profile:
            return True
        if profile >= self._engine.num_optimization_profiles or _taken(
            self._module, self._engine, profile
        ):
            _say(
                self._engine._logger,
                f"Profile {profile} has been chosen by another IExecutionContext.",
            )
            return False
        self._profile, self._shape = profile, None
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if name != "input":
            return False
        if self._profile is None:
            _say(self._engine._logger, "Must select an optimization profile first.")
            return False
        least, most = self._engine._about["profiles"][self._profile]
        if len(shape) != len(least) or not all(
            low <= size <= high for low, size, high in zip(least, shape, most, strict=True)
        ):
            _say(self._engine._logger, "Set dimensions do not satisfy any optimization profiles.")
            return False
        self._shape = tuple(shape)
        return True

    def infer_shapes(self) -> list[str]:
        return [] if self._input_shape() else ["input"]

    def _input_shape(self) -> tuple[int, ...] | None:
        return (
            self._shape
            if self._engine._about["profiles"]
            else self._engine.get_tensor_shape("input")
        )

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shape = self._input_shape()
        if name == "input":
            return shape or self._engine.get_tensor_shape("input")
        batch = shape[0] if shape else -1
        return (
            self._engine._about.get("output_batch", batch),
            self._engine.get_tensor_shape("output")[1],
        )

    def set_tensor_address(self, name: str, address: int) -> bool:
        if name not in ("input", "output") or address % 256 or not address:
            _say(self._engine._logger, f"bad address {address} for {name}")
            return False
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        trt = self._module
        shape = self._input_shape()
        if trt.execute_fails or shape is None or len(self._addresses) < 2:
            _say(
                self._engine._logger,
                "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (fake failure)",
            )
            return False
        if trt.caller.capturing(stream) and not self._engine._about["capturable"]:
            _say(self._engine._logger, "operation not permitted when stream is capturing")
            return False
        key = (shape, tuple(self._addresses.items()))
        if key not in self._work:
            self._work[key] = trt.caller.host_function(self._kernel(shape, dict(self._addresses)))
        code = trt.caller.on_stream(stream, self._work[key])
        if code:
            _say(self._engine._logger, f"CUDA error {code} in enqueueV3")
        elif self._profiler is not None and self._emits and not trt.caller.capturing(stream):
            self._report(stream)
        return not code

    def _kernel(self, shape: tuple[int, ...], addresses: dict[str, int]) -> Callable[[], None]:
        about = self._engine._about
        classes = about["output"]["shape"][1]
        dtype = np.dtype(DTYPES[about["input"]["dtype"]])
        network = _network(about["model"]) if "model" in about else partial(answer, classes=classes)
        took = self._took

        def run() -> None:
            batch = _array(addresses["input"], shape, dtype)
            target = _array(addresses["output"], (shape[0], classes), np.dtype("float32"))
            start = time.perf_counter()
            target[:] = network(batch)
            took[0] = (time.perf_counter() - start) * 1e3

        return run


def _network(model: str) -> Callable[[np.ndarray], np.ndarray]:
    """An ONNX file, run as it is."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {"input": batch})[0]


def _array(address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    size = int(np.prod(shape)) * dtype.itemsize
    return (
        np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        .view(dtype)
        .reshape(shape)
    )
