"""Engines as sessions, on a strict fake of TensorRT that computes in the memory of a fake CUDA runtime."""

from __future__ import annotations

import gc
import re
import resource
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fake_cuda
import numpy as np
import pytest
from fake_tensorrt import VERSIONS, FakeTensorRt, answer, plan

from stgcn_deploy.backends.base import OpenOptions, TensorSpec
from stgcn_deploy.backends.cuda.runtime import Cuda
from stgcn_deploy.backends.tensorrt import BACKEND
from stgcn_deploy.backends.tensorrt_plan import HOST_CODE
from stgcn_deploy.backends.tensorrt_session import Engine, TensorRtSession, open_engine
from stgcn_deploy.errors import BackendError, ClipError, MissingDependencyError, UsageError

SHAPE = (2, 3, 4)
RANGE = (((1, 3, 4), (4, 3, 4)),)
TWO_RANGES = (((1, 3, 4), (2, 3, 4)), ((3, 3, 4), (8, 3, 4)))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    return fake_cuda.compiled_runtime(tmp_path_factory.mktemp("cudart"))


@pytest.fixture(params=["python", "library"])
def caller(request: pytest.FixtureRequest, library: Path | None) -> Iterator[Any]:
    """Both fakes; nothing of them may be left when a test ends."""
    if request.param == "library" and library is None:
        pytest.skip("no C compiler here, so no shared library to load")
    made: Any = (
        fake_cuda.FakeCaller() if request.param == "python" else fake_cuda.FakeLibrary(library)
    )
    yield made
    made.fail(0)
    if made.live():
        gc.collect()
    assert made.live() == 0


@pytest.fixture
def opened(caller: Any, tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Open a plan of the fake; engines are closed when the test ends."""
    engines = []

    def make(
        data: bytes | None = None, *, version: str = "10.3", trt: Any = None, **options: Any
    ) -> Engine:
        trt = trt or FakeTensorRt(version, caller)
        path = tmp_path / "model_fp16.engine"
        path.write_bytes(plan(version=trt.__version__) if data is None else data)
        engines.append(open_engine(path, cuda=Cuda(caller), trt=trt, **options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def _batch(size: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (size, *SHAPE[1:])).astype(np.float32)


def _scores(session: TensorRtSession, batch: np.ndarray) -> np.ndarray:
    return session.run({"input": batch})["output"]


# ---- running ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("profiles", [(), RANGE], ids=["fixed", "open"])
def test_every_version_runs_with_the_same_code(
    opened: Callable[..., Engine], caller: Any, version: str, profiles: Any
) -> None:
    trt = FakeTensorRt(version, caller)
    data = plan(version=trt.__version__, profiles=profiles)
    (session,) = opened(data, trt=trt).sessions
    for size in (2, 2, 2, 1, 4, 2) if profiles else (2, 2, 2):
        batch = _batch(size, size)
        assert np.allclose(_scores(session, batch), answer(batch), atol=1e-5)
    assert session.inputs == (TensorSpec("input", "float32", ("axis0" if profiles else 2, 3, 4)),)
    assert session.outputs == (TensorSpec("output", "float32", ("batch" if profiles else 2, 5)),)


def test_a_call_is_one_cuda_graph_from_the_third_on(
    opened: Callable[..., Engine], caller: Any
) -> None:
    (session,) = opened(plan(profiles=RANGE)).sessions
    _scores(session, _batch())
    assert not session.captured, "TensorRT asks for one plain call after a change of shape"
    _scores(session, _batch())
    assert session.captured
    before = caller.calls()
    batch = _batch(2, 5)
    assert np.allclose(_scores(session, batch), answer(batch), atol=1e-5)
    assert caller.calls() - before == 3, "device, launch, wait"
    _scores(session, _batch(3))
    assert not session.captured, "a graph holds for the shapes that it was captured with"


def test_graphs_can_be_switched_off(opened: Callable[..., Engine]) -> None:
    (session,) = opened(graphs=False).sessions
    for _ in range(4):
        _scores(session, _batch())
    assert not session.captured


def test_an_engine_that_cannot_be_captured_warns_and_runs_on(opened: Callable[..., Engine]) -> None:
    (session,) = opened(plan(capturable=False)).sessions
    _scores(session, _batch())
    with pytest.warns(
        RuntimeWarning, match=r"model_fp16\.engine runs without a CUDA graph: .*capturing"
    ):
        _scores(session, _batch())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.allclose(_scores(session, _batch()), answer(_batch()), atol=1e-5)


def test_an_engine_that_must_be_captured_and_cannot_is_refused(
    opened: Callable[..., Engine],
) -> None:
    (session,) = opened(plan(capturable=False), graphs=True).sessions
    _scores(session, _batch())
    with pytest.raises(BackendError, match=r"cannot be captured.*graphs=False"):
        _scores(session, _batch())


# ---- layers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_watched_session_is_told_what_each_layer_takes(
    opened: Callable[..., Engine], caller: Any, version: str
) -> None:
    trt = FakeTensorRt(version, caller)
    data = plan(version=trt.__version__, profiles=RANGE, layers=["a + b", "c"])
    (session,) = opened(data, trt=trt).sessions
    for _ in range(3):
        _scores(session, _batch())
    assert session.captured
    told: list[tuple[str, float]] = []
    session.watch(lambda name, ms: told.append((name, ms)))
    assert not session.captured, "a graph tells nothing of its layers"
    for size in (2, 2, 2, 3):
        batch = _batch(size, size)
        assert np.allclose(_scores(session, batch), answer(batch), atol=1e-5)
    assert [name for name, _ in told] == ["a + b", "c"] * 4
    assert all(ms > 0 for _, ms in told)
    assert not session.captured
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.watch(lambda name, ms: None)


def test_a_session_that_nobody_watches_tells_nothing(
    opened: Callable[..., Engine], caller: Any
) -> None:
    trt = FakeTensorRt("10.3", caller)
    data = plan(layers=["a"])
    first, second = opened(data, trt=trt, contexts=2).sessions
    told: list[str] = []
    first.watch(lambda name, ms: told.append(name))
    _scores(second, _batch())
    assert told == []
    _scores(first, _batch())
    assert told == ["a"]


def test_results_belong_to_the_caller(opened: Callable[..., Engine]) -> None:
    (session,) = opened().sessions
    first = _scores(session, _batch())
    kept = first.copy()
    second = _scores(session, _batch(2, 1))
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)
    session.close()
    assert np.array_equal(first, kept)


def test_results_can_go_into_arrays_that_are_there(opened: Callable[..., Engine]) -> None:
    (session,) = opened().sessions
    out = np.zeros((2, 5), np.float32)
    for seed in range(4):
        session.run_into({"input": _batch(2, seed)}, {"output": out})
        assert np.allclose(out, answer(_batch(2, seed)), atol=1e-5)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "'output' is missing"),
        ({"outputs": np.zeros((2, 5), np.float32)}, "did you mean 'output'"),
        ({"output": np.zeros((2, 4), np.float32)}, r"gives float32 \(2, 5\)"),
        ({"output": np.zeros((2, 5), np.float64)}, "is float64"),
    ],
)
def test_arrays_for_results_are_checked(
    opened: Callable[..., Engine], outputs: dict[str, np.ndarray], message: str
) -> None:
    (session,) = opened().sessions
    with pytest.raises(ClipError, match=message):
        session.run_into({"input": _batch()}, outputs)


def test_ten_thousand_calls_allocate_nothing(opened: Callable[..., Engine], caller: Any) -> None:
    (session,) = opened(plan(profiles=RANGE)).sessions
    out = {size: np.zeros((size, 5), np.float32) for size in (1, 2)}
    feeds = {size: {"input": _batch(size)} for size in (1, 2)}

    def calls(number: int) -> None:
        for index in range(number):
            size = 1 + index // 50 % 2  # shapes change now and then, and graphs with them
            session.run_into(feeds[size], {"output": out[size]})

    calls(1000)
    live, before = caller.live(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    calls(10_000)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert caller.live() - live in (-1, 0, 1), "a graph more or less"
    assert grown < 4096, f"{grown} KiB more after 10,000 calls"
    assert np.allclose(out[2], answer(feeds[2]["input"]), atol=1e-5)


# ---- profiles --------------------------------------------------------------------------------


def test_a_shape_out_of_all_profiles_is_refused_before_the_call(
    opened: Callable[..., Engine], caller: Any
) -> None:
    (session,) = opened(plan(profiles=TWO_RANGES)).sessions
    for size in (1, 2, 3, 8, 2):
        assert np.allclose(_scores(session, _batch(size)), answer(_batch(size)), atol=1e-4)
    with pytest.raises(
        ClipError, match=r"\(9, 3, 4\).*\(1, 3, 4\) to \(2, 3, 4\) or .*--max-batch"
    ):
        _scores(session, _batch(9))
    assert np.allclose(_scores(session, _batch(8)), answer(_batch(8)), atol=1e-4)


def test_a_wrong_fixed_shape_is_refused(opened: Callable[..., Engine]) -> None:
    (session,) = opened().sessions
    with pytest.raises(ClipError, match=r"has shape \(3, 3, 4\), expected \(2, 3, 4\)"):
        _scores(session, _batch(3))
    with pytest.raises(ClipError, match="dtype float64"):
        _scores(session, _batch().astype(np.float64))


@pytest.mark.parametrize(("version", "shares"), [("8.6", False), ("10.3", True)])
def test_contexts_share_a_profile_from_tensorrt_10_on(
    opened: Callable[..., Engine], caller: Any, version: str, shares: bool
) -> None:
    trt = FakeTensorRt(version, caller)
    data = plan(version=trt.__version__, profiles=RANGE)
    if shares:
        assert len(opened(data, trt=trt, contexts=3).sessions) == 3
        return
    with pytest.raises(BackendError, match=r"in use by another context.*fixed shapes"):
        opened(data, trt=trt, contexts=2)
    gc.collect()
    assert caller.live() == 0
    assert len(opened(plan(version=trt.__version__), trt=trt, contexts=3).sessions) == 3


def test_before_tensorrt_10_each_context_takes_a_profile_of_its_own(
    opened: Callable[..., Engine], caller: Any
) -> None:
    trt = FakeTensorRt("8.6", caller)
    engine = opened(plan(version="8.6.1", profiles=TWO_RANGES), trt=trt, contexts=2)
    first, second = engine.sessions
    assert np.allclose(_scores(first, _batch(2)), answer(_batch(2)), atol=1e-4)
    assert np.allclose(_scores(second, _batch(5)), answer(_batch(5)), atol=1e-4)
    with pytest.raises(BackendError, match="another context has optimisation profile 0"):
        _scores(second, _batch(2))


# ---- plans that cannot be used ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            plan(version="8.6.1"),
            r"engine of TensorRT 8\.6\.1, and here is 10\.3\.0.*stgcn build.*or install",
        ),
        (plan(sm="7.5"), r"built for GPUs of sm_75, and GPU 0 is sm_87.*--hardware-compatible"),
        (plan()[:-10], r"damaged, or no engine.*stgcn build .*TensorRT says"),
        (b"\x08\x08 some other file", "damaged, or no engine"),
        (b"", "is empty"),
        (plan(host_code=True), f"carries code that runs on the CPU.*{HOST_CODE}=1"),
        (plan(location="HOST"), "memory of the host"),
        (plan(format="CHW32"), "has format CHW32, expected linear"),
        (plan(dtype="BF16"), "NumPy does not have"),
        (plan(output_batch=-1), "depends on the data"),
    ],
)
def test_a_plan_that_cannot_be_used_says_what_to_do(
    opened: Callable[..., Engine], data: bytes, message: str
) -> None:
    with pytest.raises(BackendError, match=message) as caught:
        opened(data)
    assert "model_fp16.engine" in str(caught.value)


def test_the_manifest_beside_a_plan_tells_where_it_was_built(
    opened: Callable[..., Engine], caller: Any, tmp_path: Path, example: Callable[..., Any]
) -> None:
    manifest = example().bundle / "manifest.json"
    import json

    fields = json.loads(manifest.read_text(encoding="utf-8"))
    fields["builds"] = [_record("model_fp16.engine")]
    fields["files"]["model_fp16.engine"] = {"sha256": "0", "bytes": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(BackendError, match=r"built with tensorrt 8\.6\.1 for sm_87"):
        opened(plan(version="8.6.1"))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "Serialization assertion stdVersionRead == serializationVersion failed.Version tag "
            "does not match. "
            "Note: Current Version: 213, Serialized Engine Version: 232",
            "engine of another version of TensorRT",
        ),
        (
            "IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine plan file is "
            "not compatible with this version of TensorRT, expecting library version 10.12.0.36 got .)",
            "engine of TensorRT another version, and here is 10.12.0.36",
        ),
        ("Error Code 2: OutOfMemory (Requested size was 123 bytes.)", "does not fit into the memory"),
    ],
)  # fmt: skip
def test_words_of_tensorrt_are_understood(
    opened: Callable[..., Engine], caller: Any, said: str, message: str
) -> None:
    trt = FakeTensorRt("10.3", caller)
    trt.Runtime.deserialize_cuda_engine = lambda self, data: self._logger.log(1, said)
    with pytest.raises(BackendError, match=message):
        opened(plan(), trt=trt)


def test_code_in_a_plan_runs_only_where_it_is_trusted(
    opened: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(plan(host_code=True), host_code=True).close()
    monkeypatch.setenv(HOST_CODE, "1")
    opened(plan(host_code=True)).close()
    with pytest.raises(BackendError):
        opened(plan(host_code=True), host_code=False)


def test_a_missing_file_is_an_error_of_ours(caller: Any, tmp_path: Path) -> None:
    trt = FakeTensorRt("10.3", caller)
    with pytest.raises(BackendError, match=r"none\.engine cannot be read"):
        open_engine(tmp_path / "none.engine", cuda=Cuda(caller), trt=trt)
    with pytest.raises(UsageError, match="at least 1"):
        open_engine(tmp_path / "none.engine", contexts=0)


# ---- faults ----------------------------------------------------------------------------------

GIVES_BACK = ("cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaEventDestroy", "cudaGraphDestroy",
              "cudaGraphExecDestroy")  # fmt: skip


def _life(trt: FakeTensorRt, path: Path) -> None:
    """Open, run plainly, capture, launch, another shape, close."""
    with open_engine(path, contexts=2, cuda=Cuda(trt.caller), trt=trt, graphs=True) as engine:
        for session in engine.sessions:
            for size in (2, 2, 2, 3):
                batch = _batch(size)
                assert np.allclose(_scores(session, batch), answer(batch), atol=1e-5)


@pytest.mark.parametrize("code", [2, 700])
def test_an_error_at_each_cuda_call_in_turn_leaves_nothing_allocated(
    tmp_path: Path, code: int
) -> None:
    path = tmp_path / "model.engine"
    path.write_bytes(plan(profiles=RANGE))
    whole = fake_cuda.FakeCaller()
    _life(FakeTensorRt("10.3", whole), path)
    names = list(whole.log)
    assert len(names) > 80
    failed: list[str] = []
    for index, name in enumerate(names, 1):
        caller = fake_cuda.FakeCaller()
        caller.fail(index, code)
        try:
            _life(FakeTensorRt("10.3", caller), path)
        except BackendError as error:
            failed.append(str(error))
        if caller.live():
            gc.collect()
        left = caller.live()
        assert left == (1 if name in GIVES_BACK else 0), f"{name}, call {index}: {left} left"
    assert len(failed) > len(names) * 0.7
    assert all("CUDA" in text or "TensorRT" in text for text in failed)


def test_no_memory_for_a_context_says_how_much_there_is(
    opened: Callable[..., Engine], caller: Any
) -> None:
    trt = FakeTensorRt("10.3", caller)
    trt.ICudaEngine.create_execution_context = lambda self: None
    with pytest.raises(
        BackendError, match=r"no execution context.*1024 of 2048 MiB.*fewer contexts"
    ):
        opened(trt=trt)


def test_a_call_that_fails_says_what_tensorrt_said_and_the_session_goes_on(
    opened: Callable[..., Engine], caller: Any
) -> None:
    trt = FakeTensorRt("10.3", caller)
    (session,) = opened(trt=trt, graphs=False).sessions
    trt.execute_fails = True
    with pytest.raises(BackendError, match=r"failed to run .*TensorRT says: .*enqueueV3"):
        _scores(session, _batch())
    trt.execute_fails = False
    assert np.allclose(_scores(session, _batch()), answer(_batch()), atol=1e-5)


@pytest.mark.parametrize("refused", ["set_input_shape", "set_tensor_address"])
def test_a_refused_shape_or_address_is_an_error(
    opened: Callable[..., Engine], caller: Any, refused: str
) -> None:
    trt = FakeTensorRt("10.3", caller)
    setattr(trt.IExecutionContext, refused, lambda self, *given: False)
    with pytest.raises(BackendError, match="TensorRT refuses"):
        opened(plan(profiles=RANGE), trt=trt)


def test_what_the_python_module_raises_is_an_error_of_ours(
    opened: Callable[..., Engine], caller: Any
) -> None:
    trt = FakeTensorRt("10.3", caller)
    (session,) = opened(trt=trt).sessions

    def broken(self: Any, name: str) -> Any:
        raise RuntimeError("Could not get shape for tensor")

    trt.IExecutionContext.get_tensor_shape = broken
    with pytest.raises(BackendError, match="Could not get shape") as caught:
        _scores(session, _batch())
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_inputs_that_tensorrt_still_wants_are_an_error(
    opened: Callable[..., Engine], caller: Any
) -> None:
    trt = FakeTensorRt("10.3", caller)
    trt.IExecutionContext.infer_shapes = lambda self: ["input"]
    with pytest.raises(BackendError, match="cannot tell shapes without input"):
        opened(plan(profiles=RANGE), trt=trt)


# ---- threads, and giving back ----------------------------------------------------------------


def test_two_threads_with_two_contexts_do_not_disturb_each_other(
    opened: Callable[..., Engine],
) -> None:
    engine = opened(plan(profiles=RANGE), contexts=2)

    def camera(number: int) -> bool:
        session = engine.sessions[number]
        good = True
        for index in range(300):
            batch = _batch(1 + (index // 40 + number) % 4, seed=number * 1000 + index)
            good &= bool(np.allclose(_scores(session, batch), answer(batch), atol=1e-4))
        return good

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(camera, (0, 1))) == [True, True]


def test_workers_borrow_sessions_and_bring_them_back(opened: Callable[..., Engine]) -> None:
    engine = opened(contexts=2)
    seen = set()

    def work(seed: int) -> bool:
        with engine.borrow(timeout=30) as session:
            seen.add(id(session))
            return bool(
                np.allclose(_scores(session, _batch(2, seed)), answer(_batch(2, seed)), atol=1e-4)
            )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(200)))
    assert seen <= {id(session) for session in engine.sessions}
    third = engine.borrow(timeout=0.01)
    with engine.borrow(), engine.borrow(), pytest.raises(BackendError, match="more contexts"):
        third.__enter__()


def _slow(trt: FakeTensorRt, started: threading.Event, go_on: threading.Event) -> None:
    """Calls wait in the middle until they may go on."""
    execute = trt.IExecutionContext.execute_async_v3

    def wait(self: Any, stream: int) -> bool:
        started.set()
        go_on.wait(30)
        return bool(execute(self, stream))

    trt.IExecutionContext.execute_async_v3 = wait


def test_a_second_thread_in_a_session_is_refused(
    opened: Callable[..., Engine], caller: Any
) -> None:
    trt = FakeTensorRt("10.3", caller)
    started, go_on = threading.Event(), threading.Event()
    _slow(trt, started, go_on)
    (session,) = opened(trt=trt).sessions
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(_scores, session, _batch())
        assert started.wait(30)
        with pytest.raises(
            BackendError, match=r"in use by another thread.*as many contexts as threads"
        ):
            _scores(session, _batch())
        go_on.set()
        assert np.allclose(first.result(30), answer(_batch()), atol=1e-5)


def test_closing_waits_for_a_call_under_way(opened: Callable[..., Engine], caller: Any) -> None:
    trt = FakeTensorRt("10.3", caller)
    started, go_on = threading.Event(), threading.Event()
    _slow(trt, started, go_on)
    engine = opened(trt=trt)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(_scores, engine.sessions[0], _batch())
        assert started.wait(30)
        closing = pool.submit(engine.close)
        time.sleep(0.05)
        assert not closing.done()
        go_on.set()
        assert np.allclose(first.result(30), answer(_batch()), atol=1e-5)
        closing.result(30)


def test_who_waits_for_a_session_learns_that_the_engine_was_closed(
    opened: Callable[..., Engine],
) -> None:
    engine = opened()

    def wait() -> None:
        with engine.borrow(timeout=30):
            pass

    with ThreadPoolExecutor(2) as pool:
        with engine.borrow():
            waiting = [pool.submit(wait) for _ in range(2)]
            engine.close()
        for one in waiting:
            with pytest.raises(BackendError, match="closed"):
                one.result(30)


@pytest.mark.parametrize(
    "order", ["engine first", "sessions first", "twice", "forgotten", "one only"]
)
def test_memory_goes_back_in_any_order(
    opened: Callable[..., Engine], caller: Any, tmp_path: Path, order: str
) -> None:
    path = tmp_path / "one.engine"
    path.write_bytes(plan())
    engine = open_engine(path, contexts=2, cuda=Cuda(caller), trt=FakeTensorRt("10.3", caller))
    one, two = engine.sessions
    for _ in range(3):
        _scores(one, _batch())
    assert caller.live() > 10
    if order == "engine first":
        engine.close()
        one.close()
    elif order == "sessions first":
        two.close()
        one.close()
        engine.close()
    elif order == "twice":
        engine.close()
        engine.close()
    elif order == "one only":
        one.close()
        with engine.borrow() as free:
            assert free is two
        assert np.allclose(_scores(two, _batch()), answer(_batch()), atol=1e-5)
        engine.close()
    else:
        del engine, one, two
        gc.collect()
        assert caller.live() == 0
        return
    gc.collect()
    assert caller.live() == 0
    with pytest.raises(BackendError, match="closed"):
        _scores(one, _batch())
    with pytest.raises(BackendError, match="closed"):
        one.run_on_device({}, {})


def test_closing_in_another_thread_than_the_one_that_opened(
    opened: Callable[..., Engine], caller: Any
) -> None:
    engine = opened(contexts=2, device=1)
    _scores(engine.sessions[0], _batch())
    assert Cuda(caller).device() == 0, "the caller's device is as it was"
    with ThreadPoolExecutor(1) as pool:
        scores = pool.submit(_scores, engine.sessions[1], _batch()).result(30)
        assert np.allclose(scores, answer(_batch()), atol=1e-5)
        pool.submit(engine.close).result(30)
    assert caller.live() == 0


def test_an_error_inside_the_block_is_not_hidden_by_closing(
    opened: Callable[..., Engine], caller: Any
) -> None:
    engine = opened()
    Cuda(caller).destroy_stream(engine.sessions[0].stream)

    def fail() -> None:
        with engine:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


# ---- arrays that are on the GPU already -------------------------------------------------------


class OnDevice:
    """Memory of the fake GPU with an array interface, and the stream that its owner writes it on."""

    def __init__(self, cuda: Cuda, shape: tuple[int, ...], stream: int | None = None) -> None:
        self.cuda, self.shape, self.stream = cuda, shape, stream
        self.read_only = False
        self.address = cuda.malloc(4 * int(np.prod(shape)))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "data": (self.address, self.read_only), "shape": self.shape, "typestr": "<f4", "version": 3,
            "strides": None, "stream": self.stream,
        }  # fmt: skip

    def view(self) -> np.ndarray:
        """The fake's device memory is memory of this process."""
        import ctypes

        size = 4 * int(np.prod(self.shape))
        flat = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.address))
        return flat.view(np.float32).reshape(self.shape)

    def free(self) -> None:
        self.cuda.free(self.address)


def test_arrays_on_the_gpu_are_read_and_written_where_they_lie(
    opened: Callable[..., Engine], caller: Any
) -> None:
    cuda = Cuda(caller)
    (session,) = opened(plan(profiles=RANGE)).sessions
    for _ in range(3):
        _scores(session, _batch())
    source, target = OnDevice(cuda, (2, 3, 4)), OnDevice(cuda, (2, 5))
    source.view()[:] = _batch(2, 7)
    before = caller.calls()
    session.run_on_device({"input": source}, {"output": target})
    assert np.allclose(target.view(), answer(_batch(2, 7)), atol=1e-5)
    assert caller.calls() - before < 8, "no memory is taken, nothing is copied"
    kept = target.view().copy()
    assert np.allclose(_scores(session, _batch(2, 8)), answer(_batch(2, 8)), atol=1e-5)
    assert np.array_equal(target.view(), kept), "later calls use the session's own memory again"
    source.free()
    target.free()


def test_the_owner_s_stream_is_waited_for(opened: Callable[..., Engine], caller: Any) -> None:
    cuda = Cuda(caller)
    (session,) = opened().sessions
    theirs = cuda.create_stream()
    pinned = cuda.host_malloc(96)
    source, target = OnDevice(cuda, (2, 3, 4), theirs), OnDevice(cuda, (2, 5))
    import ctypes

    ctypes.memmove(pinned, _batch().ctypes.data, 96)
    cuda.copy(source.address, pinned, 96, "to device", theirs)  # under way, not done
    session.run_on_device({"input": source}, {"output": target})
    assert np.allclose(target.view(), answer(_batch()), atol=1e-5)
    source.free(), target.free(), cuda.host_free(pinned), cuda.destroy_stream(theirs)


def test_arrays_on_the_gpu_are_checked(opened: Callable[..., Engine], caller: Any) -> None:
    cuda = Cuda(caller)
    (session,) = opened().sessions
    source, target = OnDevice(cuda, (2, 3, 4)), OnDevice(cuda, (2, 5))
    with pytest.raises(ClipError, match="memory of the host"):
        session.run_on_device({"input": _batch()}, {"output": target})
    with pytest.raises(ClipError, match="'output' is missing"):
        session.run_on_device({"input": source}, {})
    with pytest.raises(ClipError, match="no tensor is called 'score'"):
        session.run_on_device({"input": source}, {"score": target})
    target.read_only = True
    with pytest.raises(ClipError, match="read-only"):
        session.run_on_device({"input": source}, {"output": target})
    target.read_only = False
    target.shape = (2, 4)
    with pytest.raises(ClipError, match=r"has shape \(2, 4\)"):
        session.run_on_device({"input": source}, {"output": target})
    assert np.allclose(_scores(session, _batch()), answer(_batch()), atol=1e-5)
    source.free()
    target.free()


def test_an_output_of_another_batch_is_refused(opened: Callable[..., Engine], caller: Any) -> None:
    cuda = Cuda(caller)
    (session,) = opened(plan(profiles=RANGE)).sessions
    source, target = OnDevice(cuda, (2, 3, 4)), OnDevice(cuda, (3, 5))
    with pytest.raises(BackendError, match=r"has shape \(3, 5\), the engine gives \(2, 5\)"):
        session.run_on_device({"input": source}, {"output": target})
    source.free()
    target.free()


# ---- the backend -----------------------------------------------------------------------------


def _record(file: str, *shapes: tuple[int, ...], target: str = "tensorrt") -> dict[str, Any]:
    return {
        "target": target, "file": file, "requested": "fp16", "actual": "fp16", "attempts": [],
        "shapes": {"input": shapes or [SHAPE]}, "device": "sm_87", "layers": {},
        "tools": {"tensorrt": "8.6.1"}, "command": [],
    }  # fmt: skip


@pytest.fixture
def with_engines(example: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """A bundle in which these engines were built."""
    from stgcn_deploy.bundle import Bundle, read_manifest, write_bundle

    def make(*builds: dict[str, Any]) -> Bundle:
        import shutil

        folder = tmp_path / "bundle"
        shutil.copytree(example(dynamic="batch").bundle, folder)
        for build in builds:
            (folder / build["file"]).write_bytes(plan())
        fields = read_manifest(folder).model_dump()
        write_bundle(folder, {**fields, "builds": builds})
        return Bundle(folder)

    return make


def test_the_newest_engine_for_exactly_the_batch_comes_before_one_for_a_range(
    with_engines: Callable[..., Any],
) -> None:
    rest = (3, 20, 18, 2)
    bundle = with_engines(
        _record("old.engine", (1, *rest)),
        _record("new.engine", (1, *rest)),
        _record("any.engine", (1, *rest), (1, *rest), (3, *rest)),
        _record("many.engine", (4, *rest), (4, *rest), (8, *rest)),
        _record("other.om", (2, *rest), target="ascend"),
    )
    assert BACKEND.model_of(bundle).name == "new.engine"
    assert BACKEND.model_of(bundle, 3).name == "any.engine"
    assert BACKEND.model_of(bundle, 8).name == "many.engine"
    expected = (
        r"no file for tensorrt with batch 9; there are batches 1, 1, 1 to 3, 4 to 8\. Make it with: "
        r"stgcn build .*bundle --to tensorrt --max-batch 9 -o DIR$"
    )
    from stgcn_deploy.errors import BundleError

    with pytest.raises(BundleError, match=expected):
        BACKEND.model_of(bundle, 9)


def test_a_bundle_without_engines_says_how_to_build_one(with_engines: Callable[..., Any]) -> None:
    from stgcn_deploy.errors import BundleError

    with pytest.raises(BundleError, match=r"stgcn build .*bundle --to tensorrt -o DIR$"):
        BACKEND.model_of(with_engines())


def test_inner_tensors_are_refused_with_the_reason(tmp_path: Path) -> None:
    assert BACKEND.taps is False
    with pytest.raises(BackendError, match="inner tensor 'logits' cannot be shown"):
        BACKEND.open(tmp_path / "x.engine", OpenOptions(tap="logits", compute=None))
    with pytest.raises(BackendError, match="cannot be told to compute in fp32"):
        BACKEND.open(tmp_path / "x.engine", OpenOptions())
    with pytest.raises(BackendError, match=r"is an ONNX file.*stgcn build"):
        BACKEND.open(tmp_path / "model.onnx", OpenOptions(compute=None))


def test_the_backend_opens_an_engine(
    caller: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stgcn_deploy.backends import tensorrt, tensorrt_session

    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt("10.3", caller))
    monkeypatch.setattr(tensorrt_session, "find_cuda", lambda: Cuda(caller))
    monkeypatch.setattr(tensorrt, "find_cuda", lambda: Cuda(caller))
    monkeypatch.setattr(tensorrt.TensorRtBackend, "version", lambda self: "10.3.0")
    assert BACKEND.available() is None
    (tmp_path / "model.engine").write_bytes(plan())
    with BACKEND.open(tmp_path / "model.engine", OpenOptions(threads=1, compute=None)) as session:
        gc.collect()
        assert np.allclose(session.run({"input": _batch()})["output"], answer(_batch()), atol=1e-5)
    with pytest.raises(BackendError, match="closed"):
        session.run({"input": _batch()})


def test_what_is_missing_is_named_with_its_install_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from stgcn_deploy.backends import tensorrt

    monkeypatch.setattr(tensorrt, "version", _no_package)
    monkeypatch.setattr(tensorrt, "spec_of", lambda name: None)
    assert BACKEND.version() is None
    assert re.search(r"not installed; pip install .*tensorrt10", BACKEND.available() or "")
    monkeypatch.setattr(tensorrt, "spec_of", lambda name: object())
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert "does not load" in (BACKEND.available() or "")
    with pytest.raises(MissingDependencyError, match="pip install"):
        open_engine(tmp_path / "x.engine")
    monkeypatch.setitem(sys.modules, "tensorrt", types.ModuleType("tensorrt"))

    def blind() -> None:
        raise MissingDependencyError("no usable CUDA runtime here: it sees no GPU")

    monkeypatch.setattr(tensorrt, "find_cuda", blind)
    assert "no GPU" in (BACKEND.available() or "")


def _no_package(name: str) -> str:
    from importlib.metadata import PackageNotFoundError

    raise PackageNotFoundError(name)
