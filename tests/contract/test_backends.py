"""What every backend owes its callers, over the whole table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stgcn_deploy.backends.base import Backend, OpenOptions, Session, TensorSpec
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.backends.torch_cuda import TorchCudaBackend
from stgcn_deploy.errors import (
    BackendError,
    ClipError,
    MissingDependencyError,
    StgcnError,
)

SHAPE = (1, 3, 20, 18, 2)


class TorchOnCpu(TorchCudaBackend):
    """torch-cuda without its GPU: the same sessions, so that its logic is tested everywhere."""

    def available(self) -> str | None:
        return None if self.version() else "PyTorch is not installed"

    def open(self, model: Path, options: OpenOptions) -> Session:
        from stgcn_deploy.torchrun.session import open_session

        return open_session(model, precision=options.said, tap=options.tap, device="cpu")


TORCH_ON_CPU = "torch-cuda on the CPU"


@pytest.fixture(params=[*BACKENDS, TORCH_ON_CPU])
def backend(request: pytest.FixtureRequest, example: Callable[..., Any]) -> Backend:
    """Each backend that works here; the others are skipped with their reason."""
    found: Backend = TorchOnCpu() if request.param == TORCH_ON_CPU else BACKENDS[request.param]
    if reason := found.available():
        pytest.skip(reason)
    if not found.taps:
        pytest.skip(f"{found.name} opens files that are built, and has tests of its own")
    return found


@pytest.fixture
def model(example: Callable[..., Any]) -> Path:
    path: Path = example().bundle / "model.onnx"
    return path


@pytest.fixture
def session(backend: Backend, model: Path) -> Iterator[Session]:
    with backend.open(model, OpenOptions(threads=1)) as opened:
        yield opened


def _batch(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_that_works_has_a_version_and_one_that_does_not_has_a_reason(name: str) -> None:
    found = BACKENDS[name]
    reason = found.available()
    if reason is None:
        assert found.version()
    else:
        assert reason


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_says_how_to_install_it(name: str) -> None:
    assert BACKENDS[name].install


def test_the_required_backend_works_here() -> None:
    assert BACKENDS["onnxruntime"].available() is None


# ---- running ---------------------------------------------------------------------------------


def test_inputs_and_outputs_are_described(session: Session) -> None:
    assert session.inputs == (TensorSpec("input", "float32", SHAPE),)
    assert session.outputs == (TensorSpec("output", "float32", (1, 5)),)


def test_the_same_input_gives_the_same_answer(session: Session) -> None:
    first = session.run({"input": _batch()})["output"].copy()
    session.run({"input": _batch(1)})
    assert np.array_equal(session.run({"input": _batch()})["output"], first)


def test_an_answer_belongs_to_the_caller(session: Session) -> None:
    """The next run must not write into the last one's result."""
    first = session.run({"input": _batch()})["output"]
    kept = first.copy()
    second = session.run({"input": _batch(1)})["output"]
    assert np.array_equal(first, kept)
    assert not np.shares_memory(first, second)
    first[:] = 0
    assert np.array_equal(session.run({"input": _batch()})["output"], kept)


def test_inputs_are_read_only_to_the_backend(session: Session) -> None:
    batch = _batch()
    batch.setflags(write=False)
    before = batch.copy()
    session.run({"input": batch})
    assert np.array_equal(batch, before)


def test_an_input_that_is_not_contiguous_is_the_same_input(session: Session) -> None:
    batch = _batch()
    turned = np.asfortranarray(batch)
    sliced = np.repeat(batch, 2, axis=2)[:, :, ::2]
    wanted = session.run({"input": batch})["output"]
    for other in (turned, sliced):
        assert np.array_equal(session.run({"input": other})["output"], wanted)


def test_two_sessions_do_not_disturb_each_other(backend: Backend, model: Path) -> None:
    with (
        backend.open(model, OpenOptions(threads=1)) as one,
        backend.open(model, OpenOptions(threads=1)) as two,
    ):
        alone = one.run({"input": _batch()})["output"]
        two.run({"input": _batch(1)})
        two.close()
        assert np.array_equal(one.run({"input": _batch()})["output"], alone)


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_the_number_of_threads_does_not_change_the_answer(
    backend: Backend, model: Path, session: Session, threads: int | None
) -> None:
    wanted = session.run({"input": _batch()})["output"]
    with backend.open(model, OpenOptions(threads=threads)) as other:
        assert np.allclose(other.run({"input": _batch()})["output"], wanted, atol=1e-6)


def test_an_inner_tensor_can_be_tapped(backend: Backend, model: Path) -> None:
    with backend.open(model, OpenOptions(threads=1, tap="logits")) as session:
        found = session.run({"input": _batch()})
    powers = np.exp(found["logits"] - found["logits"].max())
    assert np.allclose(found["output"], powers / powers.sum(), atol=1e-6)


def test_weights_beside_the_model_are_found(
    backend: Backend, example: Callable[..., Any], session: Session
) -> None:
    bundle = example(external_data=True).bundle
    assert (bundle / "model.onnx.data").stat().st_size > 0
    wanted = session.run({"input": _batch()})["output"]
    for tap in (None, "logits"):
        with backend.open(bundle / "model.onnx", OpenOptions(threads=1, tap=tap)) as other:
            assert np.array_equal(other.run({"input": _batch()})["output"], wanted)


@pytest.mark.parametrize(("axes", "size"), [("batch", 3), ("frames", 77), ("persons", 4)])
def test_an_open_axis_takes_other_sizes(
    backend: Backend, example: Callable[..., Any], axes: str, size: int
) -> None:
    model = example(dynamic=axes).bundle / "model.onnx"
    with backend.open(model, OpenOptions(threads=1)) as session:
        place = {"batch": 0, "frames": 2, "persons": 4}[axes]
        assert session.inputs[0].shape[place] == axes
        shape = tuple(size if index == place else n for index, n in enumerate(SHAPE))
        found = session.run({"input": _batch(shape=shape)})["output"]
        assert found.shape == (size if axes == "batch" else 1, 5)


# ---- refusing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ({}, "input 'input' is missing"),
        ({"inputs": _batch()}, "no input is called 'inputs'; did you mean 'input'"),
        ({"input": _batch(), "zzz": _batch()}, "no input is called 'zzz'"),
        ({"input": _batch().astype(np.float64)}, "has dtype float64, expected float32"),
        ({"input": _batch().astype(np.int32)}, "has dtype int32"),
        ({"input": _batch()[0]}, r"has shape \(3, 20, 18, 2\), expected \(1, 3, 20, 18, 2\)"),
        ({"input": _batch(shape=(1, 3, 20, 17, 2))}, r"has shape \(1, 3, 20, 17, 2\)"),
        ({"input": _batch(shape=(2, 3, 20, 18, 2))}, "has shape"),
    ],
)
def test_a_wrong_input_is_refused_with_what_was_expected(
    session: Session, feed: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(ClipError, match=message):
        session.run(feed)


def test_a_refused_input_leaves_the_session_usable(session: Session) -> None:
    wanted = session.run({"input": _batch()})["output"]
    with pytest.raises(ClipError):
        session.run({})
    assert np.array_equal(session.run({"input": _batch()})["output"], wanted)


def test_a_closed_session_refuses_to_run(session: Session) -> None:
    session.close()
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.run({"input": _batch()})


def test_leaving_the_block_closes_the_session(backend: Backend, model: Path) -> None:
    with backend.open(model, OpenOptions()) as session:
        pass
    with pytest.raises(BackendError, match="closed"):
        session.run({"input": _batch()})


@pytest.mark.parametrize("content", [b"", b"text", b"\x08\x08"], ids=["empty", "text", "header"])
def test_a_file_that_is_no_model_is_an_error_of_ours(
    backend: Backend, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(StgcnError, match=r"broken\.onnx"):
        backend.open(path, OpenOptions())


@pytest.mark.parametrize("content", [b"", b"text"], ids=["empty", "text"])
def test_tapping_a_file_that_is_no_model_is_an_error_of_ours(
    backend: Backend, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(StgcnError, match=r"broken\.onnx"):
        backend.open(path, OpenOptions(tap="logits"))


def test_a_truncated_model_is_an_error_of_ours(
    backend: Backend, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(model.read_bytes()[:-2000])
    with pytest.raises(StgcnError, match=r"cut\.onnx"):
        backend.open(path, OpenOptions())


def test_a_missing_model_is_an_error_of_ours(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(StgcnError, match=r"absent\.onnx"):
        backend.open(tmp_path / "absent.onnx", OpenOptions())


def test_missing_weights_are_an_error_of_ours(
    backend: Backend, example: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes((example(external_data=True).bundle / "model.onnx").read_bytes())
    for tap in (None, "logits"):
        with pytest.raises(StgcnError, match=r"model\.onnx"):
            backend.open(path, OpenOptions(tap=tap))


def test_a_tensor_that_is_not_there_cannot_be_tapped(backend: Backend, model: Path) -> None:
    with pytest.raises(BackendError, match="no tensor called 'logit'"):
        backend.open(model, OpenOptions(tap="logit"))


def test_a_failure_inside_the_runtime_is_an_error_of_ours(backend: Backend, tmp_path: Path) -> None:
    """A graph that loads and then divides a shape that does not fit."""
    axes = helper.make_tensor("shape", TensorProto.INT64, [2], [7, 3])
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["input", "shape"], ["output"])],
        "breaks",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [7, 3])],
        [axes],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    with (
        backend.open(tmp_path / "m.onnx", OpenOptions(threads=1)) as session,
        pytest.raises(BackendError) as caught,
    ):
        session.run({"input": np.zeros(5, np.float32)})
    assert caught.value.__cause__ is not None


def test_errors_of_runtimes_are_of_the_kind_that_exits_with_three() -> None:
    assert issubclass(BackendError, MissingDependencyError)


# ---- the description of a tensor --------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "given", "fits"),
    [
        ((1, 3), (1, 3), True),
        ((1, 3), (2, 3), False),
        (("batch", 3), (7, 3), True),
        (("batch", 3), (7, 4), False),
        ((1, 3), (3,), False),
        ((), (), True),
    ],
)
def test_an_open_axis_fits_any_size_and_a_fixed_one_only_its_own(
    shape: tuple[int | str, ...], given: tuple[int, ...], fits: bool
) -> None:
    assert TensorSpec("t", "float32", shape).fits(given) is fits
