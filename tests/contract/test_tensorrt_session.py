"""What the run half calls, through NVIDIA's own bindings and libraries: TensorRT 8.6 to 11, CUDA 11 to 13.

No GPU: TensorRT's libraries are stubs, so only the bindings' checks of names and arguments are real; CUDA's
are whole, and answer that there is no GPU.  Each runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nvidia
import pytest

import stgcn_deploy
from stgcn_deploy.backends.cuda.calls import CALLS

TESTS = Path(__file__).resolve().parents[1]
NO_DEVICE = ("cudaErrorInsufficientDriver", "cudaErrorNoDevice", "cudaErrorStubLibrary")

# Real bindings; returned numbers mean nothing, so they are given a meaning after the real, checked call.
OPEN = """
import ctypes, json, os, sys, tempfile, warnings
from pathlib import Path
sys.path[:0] = [{bindings!r}, {tests!r}, {package!r}]
for library in {libraries!r}:
    ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
import numpy as np
import tensorrt_bindings as trt
import fake_cuda
from stgcn_deploy.backends.cuda.runtime import Cuda
from stgcn_deploy.backends.tensorrt_session import open_engine

calls = []
def after(cls, name, value):
    real = getattr(cls, name)
    def call(self, *given, **named):
        try:
            real(self, *given, **named)
        except RuntimeError:  # said of the stub's answer; arguments that do not fit are a TypeError
            pass
        calls.append(name)
        return value(*given) if callable(value) else value
    setattr(cls, name, call)

# The network of the calls: the address that it was given, doubled.
state = {{}}
def execute(stream):
    def work():
        source = (ctypes.c_float * 24).from_address(state["input"])
        target = (ctypes.c_float * 10).from_address(state["output"])
        target[:] = [2 * value for value in source[:10]]
    key = (state["input"], state["output"])
    state.setdefault(key, caller.host_function(work))
    return caller.on_stream(stream, state[key]) == 0

engine, context = trt.ICudaEngine, trt.IExecutionContext
trt.init_libnvinfer_plugins = lambda logger, namespace: True
engine.num_io_tensors = property(lambda self: 2)
engine.num_optimization_profiles = property(lambda self: 1)
after(engine, "get_tensor_name", lambda index: ("input", "output")[index])
after(engine, "get_tensor_mode", lambda name: getattr(trt.TensorIOMode, name.upper()))
after(engine, "get_tensor_location", trt.TensorLocation.DEVICE)
after(engine, "get_tensor_format", trt.TensorFormat.LINEAR)
after(engine, "get_tensor_dtype", trt.DataType.FLOAT)
after(engine, "get_tensor_shape", lambda name: (-1, 3, 4) if name == "input" else (-1, 5))
# Its result is read as a list of shapes, which the stub's is not: the check of arguments needs no call.
engine.get_tensor_profile_shape = lambda self, name, profile: [(1, 3, 4), (2, 3, 4), (4, 3, 4)]
after(context, "set_optimization_profile_async", True)
after(context, "set_input_shape", True)
context.infer_shapes = lambda self: []
after(context, "get_tensor_shape", lambda name: (2, 5))
def address(name, value):
    state[name] = value
    return True
after(context, "set_tensor_address", address)
after(context, "execute_async_v3", execute)

written = {{}}
def watched(cls, name):
    real = written[name] = getattr(cls, name).__set__
    def write(self, value):
        real(self, value)
        calls.append(name + "=")
    setattr(cls, name, property(getattr(cls, name).__get__, write))
watched(context, "profiler")
watched(context, "enqueue_emits_profile")

caller = fake_cuda.FakeCaller()
path = Path(tempfile.mkdtemp()) / "model.engine"
path.write_bytes(b"a plan")
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    opened = open_engine(path, contexts=2, cuda=Cuda(caller), trt=trt, host_code=True)
    right = True
    for seed in range(4):
        batch = np.random.default_rng(seed).normal(size=(2, 3, 4)).astype(np.float32)
        session = opened.sessions[-1]
        found = session.run({{"input": batch}})["output"]
        right &= bool(np.allclose(found.ravel(), 2 * batch.ravel()[:10]))
    captured = session.captured
    # The stub's context calls nobody: what it would call is called here, through the vendor's class.
    told = []
    session.watch(lambda name, ms: told.append((name, ms)))
    profiler = session._context._profiler
    profiler.report_layer_time("a + b", 1.5)
    profiled = isinstance(profiler, trt.IProfiler) and not session.captured and told == [("a + b", 1.5)]
    right &= bool(np.allclose(session.run({{"input": batch}})["output"].ravel(), 2 * batch.ravel()[:10]))
    refused = []
    native = session._context._context
    wrongs = ("set_input_shape", "input"), ("set_tensor_address", "input", "x"), ("execute_async_v3",)
    for wrong in wrongs:
        try:
            getattr(native, wrong[0])(*wrong[1:])
        except TypeError:
            refused.append(wrong[0])
    for name, value in (("profiler", "x"), ("enqueue_emits_profile", "x")):
        try:
            written[name](native, value)
        except TypeError:
            refused.append(name)
    opened.close()
print(json.dumps({{
    "version": trt.__version__, "calls": sorted(set(calls)), "right": right, "captured": captured,
    "profiled": profiled, "live": caller.live(), "refused": refused,
    "warned": [str(one.message) for one in warned],
}}), flush=True)
# The stub's objects must not be destroyed.
os._exit(0)
"""


def _python(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(code, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **environment},
    )


def _answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("version", nvidia.TENSORRT)
def test_sessions_pass_the_checks_of_nvidia_s_bindings(version: str, tmp_path: Path) -> None:
    bindings = nvidia.unpacked(nvidia.TENSORRT[version])
    libraries = [str(path) for path in nvidia.stub_libraries(tmp_path, version)]
    code = OPEN.format(
        bindings=str(bindings),
        tests=str(TESTS),
        package=str(Path(stgcn_deploy.__file__).parents[1]),
        libraries=libraries,
    )
    found = _answer(_python(code, tmp_path))
    assert found["version"].startswith(version)
    assert found["right"], "the addresses given to the bindings are those of the buffers"
    assert found["captured"]
    assert found["profiled"], "what the bindings tell of a layer arrives"
    assert found["live"] == 0
    assert found["refused"] == [
        "set_input_shape", "set_tensor_address", "execute_async_v3", "profiler",
        "enqueue_emits_profile",
    ]  # fmt: skip
    assert not [text for text in found["warned"] if "deprecated" in text.lower()]
    assert set(found["calls"]) >= {
        "execute_async_v3", "get_tensor_dtype", "get_tensor_format", "get_tensor_location",
        "get_tensor_mode", "get_tensor_name", "get_tensor_shape", "set_input_shape",
        "set_optimization_profile_async", "set_tensor_address", "profiler=", "enqueue_emits_profile=",
    }  # fmt: skip


# Every call, with arguments of the right kind: without a GPU CUDA answers with an error of its own, which
# shows that the call was taken; a wrong name or type would be an error of the bindings instead.
EVERY_CALL = """
import json, sys
sys.path[:0] = [{package!r}]
{make}
from stgcn_deploy.backends.cuda.calls import CALLS, CudaError
from stgcn_deploy.backends.cuda.runtime import Cuda
cuda = Cuda(caller)
found = {{}}
for name, parameters in CALLS.items():
    given = [1 if one.kind != "cudaDeviceAttr" else 75 for one in parameters if not one.out]
    if name in {left_out!r}:
        continue
    code, written = caller(name, *given)
    found[name] = "ok" if not code else caller.describe(code)
try:
    cuda.malloc(10)
    malloc = ""
except CudaError as error:
    malloc = str(error)
found["device of"] = str(caller.device_of(4096)[0] != 0)
print(json.dumps({{"calls": found, "malloc": malloc}}), flush=True)
"""
BINDINGS = """
sys.path.insert(0, {folder!r})
from cuda.bindings import runtime
from stgcn_deploy.backends.cuda.bindings import BindingsCaller
caller = BindingsCaller(runtime)
"""
LIBRARY = """
from stgcn_deploy.backends.cuda.library import LibraryCaller
caller = LibraryCaller({path!r})
"""
# With an address that is none these end the process, GPU or not.
NOT_WITHOUT_A_GPU: tuple[str, ...] = ()


def _every_call(make: str, folder: Path) -> None:
    code = EVERY_CALL.format(
        package=str(Path(stgcn_deploy.__file__).parents[1]), make=make, left_out=NOT_WITHOUT_A_GPU
    )
    found = _answer(_python(code, folder, CUDA_VISIBLE_DEVICES=""))
    assert set(found["calls"]) == {*CALLS, "device of"}
    answers = {name: said for name, said in found["calls"].items() if name.startswith("cuda")}
    taken = [name for name, said in answers.items() if said.startswith(NO_DEVICE)]
    assert len(taken) > len(CALLS) * 0.8, answers
    assert found["malloc"].startswith("CUDA: cudaMalloc(10) failed: cudaError")


@pytest.mark.parametrize("version", nvidia.CUDA_BINDINGS)
def test_every_call_passes_the_checks_of_cuda_bindings(version: str, tmp_path: Path) -> None:
    folder = nvidia.unpacked(*nvidia.CUDA_BINDINGS[version])
    _every_call(BINDINGS.format(folder=str(folder)), tmp_path)


@pytest.mark.parametrize("version", nvidia.CUDART)
def test_every_call_is_in_nvidia_s_library(version: str, tmp_path: Path) -> None:
    folder = nvidia.unpacked(*nvidia.CUDART[version])
    paths = sorted(folder.rglob("libcudart.so*"))
    if not paths:
        pytest.skip(f"the wheel of CUDA {version} holds no library for this system")
    _every_call(LIBRARY.format(path=str(paths[0])), tmp_path)


def test_a_call_that_no_library_has_would_be_seen(tmp_path: Path) -> None:
    """Else the two tests above would prove little."""
    folder = nvidia.unpacked(*nvidia.CUDART["12"])
    path = next(iter(sorted(folder.rglob("libcudart.so*"))), None)
    if path is None:
        pytest.skip("the wheel holds no library for this system")
    code = EVERY_CALL.format(
        package=str(Path(stgcn_deploy.__file__).parents[1]),
        make="from stgcn_deploy.backends.cuda import calls\n"
        "calls.CALLS['cudaMallocTwice'] = calls.CALLS['cudaMalloc']\n"
        + LIBRARY.format(path=str(path)),
        left_out=(),
    )
    done = _python(code, tmp_path)
    assert done.returncode != 0
    assert "cudaMallocTwice" in done.stderr
