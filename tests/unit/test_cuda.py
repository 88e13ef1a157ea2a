"""CUDA memory, streams, graphs, on two runtimes without a GPU: one in Python, one a shared library."""

from __future__ import annotations

import ctypes
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_cuda
import numpy as np
import pytest

from stgcn_deploy.backends.base import TensorSpec
from stgcn_deploy.backends.cuda import find
from stgcn_deploy.backends.cuda.arrays import device_array
from stgcn_deploy.backends.cuda.bindings import BindingsCaller
from stgcn_deploy.backends.cuda.calls import CALLS, CudaError
from stgcn_deploy.backends.cuda.find import choose_device, find_cuda
from stgcn_deploy.backends.cuda.holdings import Holdings
from stgcn_deploy.backends.cuda.library import LibraryCaller
from stgcn_deploy.backends.cuda.runtime import Cuda
from stgcn_deploy.errors import BackendError, ClipError, MissingDependencyError


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    return fake_cuda.compiled_runtime(tmp_path_factory.mktemp("cudart"))


@pytest.fixture(params=["python", "library"])
def caller(request: pytest.FixtureRequest, library: Path | None) -> Any:
    """Both fakes; nothing of them may be left when a test ends."""
    if request.param == "python":
        made: Any = fake_cuda.FakeCaller()
    elif library is None:
        pytest.skip("no C compiler here, so no shared library to load")
    else:
        made = fake_cuda.FakeLibrary(library)
    yield made
    made.fail(0)
    assert made.live() == 0


@pytest.fixture
def cuda(caller: Any) -> Cuda:
    return Cuda(caller)


@pytest.fixture
def holdings(cuda: Cuda) -> Any:
    made = Holdings(cuda, 0)
    yield made
    made.release()


def test_the_device_is_described(cuda: Cuda) -> None:
    assert cuda.version() == "12.6"
    assert cuda.device_count() == 2
    assert cuda.compute_capability(0) == (8, 7)
    free, total = cuda.memory()
    assert 0 < free < total


def test_a_copy_to_the_device_and_back_is_the_same(cuda: Cuda, holdings: Holdings) -> None:
    stream = holdings.stream()
    source, target = holdings.pinned(1000), holdings.pinned(1000)
    address = holdings.memory(1000)
    source[:] = np.arange(1000) % 251
    target[:] = 0
    cuda.copy(address, source.ctypes.data, 1000, "to device", stream)
    cuda.copy(target.ctypes.data, address, 1000, "to host", stream)
    assert not target.any(), "a fake that does not wait would let a forgotten wait pass"
    cuda.synchronise(stream)
    assert np.array_equal(source, target)


def test_a_graph_repeats_what_was_captured(cuda: Cuda, holdings: Holdings) -> None:
    stream = holdings.stream()
    source, target, address = holdings.pinned(8), holdings.pinned(8), holdings.memory(8)
    target[:] = 0
    cuda.begin_capture(stream)
    cuda.copy(address, source.ctypes.data, 8, "to device", stream)
    cuda.copy(target.ctypes.data, address, 8, "to host", stream)
    graph = cuda.end_capture(stream)
    executable = cuda.instantiate(graph)
    cuda.destroy_graph(graph)
    assert not target.any()
    for value in (3, 4):
        source[:] = value
        cuda.launch(executable, stream)
        cuda.synchronise(stream)
        assert (target == value).all()
    cuda.destroy_executable(executable)


def test_an_event_orders_two_streams(cuda: Cuda, holdings: Holdings) -> None:
    first, second, event = holdings.stream(), holdings.stream(), holdings.event()
    source, target, address = holdings.pinned(8), holdings.pinned(8), holdings.memory(8)
    source[:], target[:] = 9, 0
    cuda.copy(address, source.ctypes.data, 8, "to device", first)
    cuda.record(event, first)
    cuda.wait(second, event)
    cuda.copy(target.ctypes.data, address, 8, "to host", second)
    cuda.synchronise(second)
    assert (target == 9).all()


def test_pinned_memory_is_not_device_memory(cuda: Cuda, holdings: Holdings) -> None:
    with cuda.on(1):
        other = Holdings(cuda, 1)
        far = other.memory(10)
    assert cuda.device_of(holdings.memory(10)) == 0
    assert cuda.device_of(far + 5) == 1
    assert cuda.device_of(holdings.pinned(10).ctypes.data) is None
    assert cuda.device_of(np.zeros(10).ctypes.data) is None
    other.release()


def test_a_failed_call_is_named_with_its_arguments_and_what_to_do(cuda: Cuda, caller: Any) -> None:
    caller.fail(1, 2)
    with pytest.raises(
        CudaError, match=r"cudaMalloc\(77\).*out of memory.*Open fewer contexts"
    ) as caught:
        cuda.malloc(77)
    assert caught.value.code == 2
    with pytest.raises(CudaError, match="cudaStreamSynchronize"):
        cuda.synchronise(12345678)
    with pytest.raises(CudaError, match="cudaFree"):
        cuda.free(4096)


def test_the_device_of_a_thread_comes_back(cuda: Cuda) -> None:
    with cuda.on(1):
        assert cuda.device() == 1
        with pytest.raises(ZeroDivisionError), cuda.on(0):
            raise ZeroDivisionError
        assert cuda.device() == 1
    assert cuda.device() == 0
    seen = []
    thread = threading.Thread(target=lambda: seen.append(cuda.device()))
    with cuda.on(1):
        thread.start()
        thread.join()
    assert seen == [0], "another thread has a device of its own"


def test_holdings_go_back_in_reverse_order_and_only_once(cuda: Cuda, caller: Any) -> None:
    made = Holdings(cuda, 1)
    order: list[str] = []
    made.keep(order.append, "first")
    with cuda.on(1):
        made.memory(100), made.pinned(0), made.stream(), made.event()
    made.keep(order.append, "last")
    assert caller.live() == 4
    made.release()
    made.release()
    assert order == ["last", "first"]


def test_what_is_refused_on_release_does_not_keep_the_rest(cuda: Cuda, caller: Any) -> None:
    made = Holdings(cuda, 0)
    made.memory(8), made.memory(8), made.stream()
    address = made.memory(8)
    cuda.free(address)  # so that giving it back again is refused
    with pytest.raises(CudaError, match="cudaFree"):
        made.release()
    assert caller.live() == 0


def test_holdings_go_back_even_where_the_device_is_refused(cuda: Cuda, caller: Any) -> None:
    made = Holdings(cuda, 0)
    made.memory(8)
    caller.fail(1, 3)
    with pytest.raises(CudaError, match="cudaGetDevice"):
        made.release()
    assert caller.live() == 0


# ---- finding it ------------------------------------------------------------------------------


def test_a_file_that_is_no_cuda_runtime_is_refused(tmp_path: Path) -> None:
    (tmp_path / "libcudart.so").write_bytes(b"no library")
    with pytest.raises(MissingDependencyError, match="no usable CUDA runtime"):
        LibraryCaller(str(tmp_path / "libcudart.so"))
    with pytest.raises(MissingDependencyError, match=r"cudaRuntimeGetVersion|symbol"):
        LibraryCaller("libm.so.6" if sys.platform == "linux" else "libm.dylib")


def test_without_a_gpu_every_attempt_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind:
        def __call__(self, name: str, *given: int) -> tuple[int, tuple[int, ...]]:
            return (0, (0,)) if name == "cudaGetDeviceCount" else (1, ())

    def absent() -> Any:
        raise ImportError("no cuda-bindings here")

    monkeypatch.setattr(find, "_attempts", lambda: iter([absent, Blind]))
    with pytest.raises(
        MissingDependencyError, match=r"no cuda-bindings here; it sees no GPU.*pip install"
    ):
        find_cuda()


def test_the_first_runtime_that_sees_a_gpu_is_taken(
    monkeypatch: pytest.MonkeyPatch, caller: Any
) -> None:
    def broken() -> Any:
        raise MissingDependencyError("broken")

    monkeypatch.setattr(find, "_attempts", lambda: iter([broken, lambda: caller]))
    assert find_cuda().device_count() == 2


def test_pytorch_s_own_cuda_version_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    version = types.SimpleNamespace(cuda="12.4")
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(version=version))
    assert next(find._libraries()) == "libcudart.so.12"
    version.cuda = "11.8"
    assert next(find._libraries()) == "libcudart.so.11.0"
    version.cuda = None
    assert next(find._libraries()) == find.SONAMES[0]


def test_the_device_is_pytorch_s_where_it_is_in_use(
    cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch_cuda = types.SimpleNamespace(is_initialized=lambda: True, current_device=lambda: 1)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=torch_cuda))
    assert choose_device(cuda, None) == 1
    torch_cuda.is_initialized = lambda: False
    assert choose_device(cuda, None) == 0
    assert choose_device(cuda, 1) == 1
    with pytest.raises(BackendError, match="no GPU 2; this process sees 2"):
        choose_device(cuda, 2)


def test_a_context_of_pycuda_s_own_is_refused(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.autoinit", types.ModuleType("pycuda.autoinit"))
    with pytest.raises(BackendError, match="a CUDA context of its own"):
        choose_device(cuda, 0)


# ---- cuda-bindings ---------------------------------------------------------------------------


def _bindings_over(fake: fake_cuda.FakeCaller) -> Any:
    """A module shaped as cuda.bindings.runtime: enums, and tuples that begin with the error."""
    import enum

    module: Any = types.SimpleNamespace()
    for kind in ("cudaDeviceAttr", "cudaMemcpyKind", "cudaStreamCaptureMode", "cudaError_t"):
        values = (0, 1, 2, 3, 35, 75, 76, 400)
        setattr(module, kind, enum.IntEnum(kind, {f"v{n}": n for n in values}))

    def function(name: str) -> Callable[..., Any]:
        kinds = [one.kind for one in CALLS[name] if not one.out]

        def call(*given: Any) -> Any:
            for kind, value in zip(kinds, given, strict=True):
                if kind.startswith("cuda") and not isinstance(value, enum.IntEnum):
                    raise TypeError(f"{kind} expected")
            code, written = fake(name, *map(int, given))
            return (
                module.cudaError_t(code),
                *(written or [None] * (len(CALLS[name]) - len(kinds))),
            )

        return call

    for name in CALLS:
        setattr(module, name, function(name))
    module.cudaGetLastError = lambda: (module.cudaError_t(0),)
    module.cudaGetErrorName = lambda code: (module.cudaError_t(0), b"cudaErrorSome")
    module.cudaGetErrorString = lambda code: (module.cudaError_t(0), b"some text")
    module.cudaPointerGetAttributes = lambda address: (
        module.cudaError_t(0), types.SimpleNamespace(type=2, device=1)
    )  # fmt: skip
    return module


def test_cuda_bindings_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = fake_cuda.FakeCaller()
    cuda = Cuda(BindingsCaller(_bindings_over(fake)))
    test_the_device_is_described(cuda)
    for check in (
        test_a_copy_to_the_device_and_back_is_the_same,
        test_a_graph_repeats_what_was_captured,
        test_an_event_orders_two_streams,
    ):
        holdings = Holdings(cuda, 0)
        check(cuda, holdings)
        holdings.release()
    assert cuda.device_of(1) == 1
    fake.fail(1, 2)
    with pytest.raises(CudaError, match=r"cudaErrorSome \(2\): some text"):
        cuda.malloc(1)
    assert fake.live() == 0


# ---- arrays of other libraries ---------------------------------------------------------------

SPEC = TensorSpec("input", "float32", ("batch", 3))


class CudaArray:
    """An array on the fake GPU that speaks one protocol, or both."""

    def __init__(self, address: int, shape: tuple[int, ...], **about: Any) -> None:
        self.address, self.shape, self.about = address, shape, about
        self.asked_stream: int | None = None


class WithInterface(CudaArray):
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        base = {"data": (self.address, False), "shape": self.shape, "typestr": "<f4", "version": 3}
        return base | self.about


class WithDlpack(CudaArray):
    def __dlpack_device__(self) -> tuple[int, int]:
        return self.about.get("device", (2, 0))

    def __dlpack__(self, stream: int | None = None) -> Any:
        """A capsule as a library makes it, with a deleter that is called once."""
        self.asked_stream = stream
        if "refuses" in self.about:
            raise BufferError(self.about["refuses"])
        code, bits = self.about.get("dtype", (2, 32))
        rank = len(self.shape)
        shape = (ctypes.c_int64 * rank)(*self.shape)
        strides = self.about.get("strides")
        steps = (ctypes.c_int64 * rank)(*strides) if strides else None
        device = self.__dlpack_device__()

        class Managed(ctypes.Structure):
            _fields_ = [
                ("data", ctypes.c_void_p), ("kind", ctypes.c_int32), ("id", ctypes.c_int32),
                ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
                ("lanes", ctypes.c_uint16), ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p),
                ("offset", ctypes.c_uint64), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
            ]  # fmt: skip

        self.managed = Managed(
            self.address - self.about.get("offset", 0), *device, rank, code, bits,
            self.about.get("lanes", 1), ctypes.addressof(shape),
            ctypes.addressof(steps) if steps else None, self.about.get("offset", 0), None, None,
        )  # fmt: skip
        self.kept = (shape, steps)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = (
            ctypes.py_object,
            [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
        )
        return new(ctypes.addressof(self.managed), b"dltensor", None)


def _array(cuda: Cuda, value: Any, spec: TensorSpec = SPEC) -> Any:
    return device_array("input", value, spec, cuda, 0, 77)


@pytest.mark.parametrize("kind", [WithInterface, WithDlpack])
def test_an_array_on_the_gpu_is_used_where_it_lies(
    cuda: Cuda, holdings: Holdings, kind: type[CudaArray]
) -> None:
    address = holdings.memory(24)
    found = _array(cuda, kind(address, (2, 3)))
    assert (found.address, found.shape, found.dtype, found.device) == (
        address,
        (2, 3),
        "float32",
        0,
    )


def test_a_library_that_speaks_dlpack_is_told_the_stream(cuda: Cuda, holdings: Holdings) -> None:
    value = WithDlpack(holdings.memory(24), (2, 3), offset=256, strides=(3, 1))
    value.address += 0
    found = _array(cuda, value)
    assert value.asked_stream == 77
    assert found.address == value.address


def test_the_interface_s_stream_is_kept(cuda: Cuda, holdings: Holdings) -> None:
    assert _array(cuda, WithInterface(holdings.memory(24), (2, 3), stream=1)).stream == 1
    assert _array(cuda, WithInterface(holdings.memory(24), (2, 3))).stream is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda a: np.zeros((2, 3), np.float32), "is in memory of the host"),
        (lambda a: [[1.0]], "is a list, which has neither"),
        (lambda a: WithDlpack(a, (2, 3), device=(2, 1)), "is in GPU 1, and the engine on GPU 0"),
        (lambda a: WithDlpack(a, (2, 3), device=(10, 0)), "memory of the host"),
        (lambda a: WithDlpack(a, (2, 3), dtype=(2, 16)), "has dtype float16, expected float32"),
        (lambda a: WithDlpack(a, (2, 3), dtype=(4, 16)), "has dtype bfloat16"),
        (lambda a: WithDlpack(a, (2, 3), dtype=(0, 64)), "has dtype int64"),
        (lambda a: WithDlpack(a, (2, 3), lanes=4), "vectors of 4"),
        (lambda a: WithDlpack(a, (2, 3), refuses="requires gradient"), "requires gradient"),
        (lambda a: WithDlpack(a, (2, 3), strides=(1, 2)), "not contiguous"),
        (lambda a: WithDlpack(a, (2, 4)), r"has shape \(2, 4\), expected \(batch, 3\)"),
        (lambda a: WithDlpack(a + 4, (2, 3)), "no multiple of 256"),
        (lambda a: WithInterface(a, (2, 3), strides=(4, 8)), "not contiguous"),
        (lambda a: WithInterface(a, (2, 3), typestr="<f8"), "has dtype float64"),
        (lambda a: WithInterface(a, (2, 3), mask=object()), "masked"),
        (lambda a: WithInterface(np.zeros(6).ctypes.data, (2, 3)), "memory of the host"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(
    cuda: Cuda, holdings: Holdings, make: Callable[[int], Any], message: str
) -> None:
    with pytest.raises(ClipError, match=message):
        _array(cuda, make(holdings.memory(64)))


def test_strides_of_axes_of_one_element_do_not_matter(cuda: Cuda, holdings: Holdings) -> None:
    value = WithDlpack(holdings.memory(64), (1, 3), strides=(999, 1))
    assert _array(cuda, value).shape == (1, 3)


def test_a_tensor_of_pytorch_on_the_cpu_is_refused(cuda: Cuda) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ClipError, match="memory of the host"):
        _array(cuda, torch.zeros(2, 3))
