"""torch-cuda: a bundle's graph in PyTorch.  Everything but the GPU itself is tested on the CPU."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from stgcn_deploy.backends import torch_cuda
from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.backends.torch_cuda import BACKEND
from stgcn_deploy.errors import BackendError, ClipError, MissingDependencyError, UsageError
from stgcn_deploy.torchrun.session import EXACT, PROGRAMS, open_session

SHAPE = (1, 3, 20, 18, 2)
NAMES = ("stgcn", "stgcn-person", "twostream", "pyskl", "stgcnpp", "mmaction2-pp")


def _batch(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def _feed(session: Any, batch: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    return {
        spec.name: _batch(tuple(batch if isinstance(n, str) else n for n in spec.shape), seed)
        for spec in session.inputs
    }


def _error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max() / max(1, np.abs(wanted).max()))


# ---- parity ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["aggregate", "einsum", "matmul", "reference"])
@pytest.mark.parametrize("name", NAMES)
def test_every_form_is_the_same_as_on_onnxruntime(
    example: Callable[..., Any], name: str, form: str
) -> None:
    model = example(name, graph_form=form, dynamic="batch", verify=False).bundle / "model.onnx"
    with (
        BACKENDS["onnxruntime"].open(model, OpenOptions(threads=1, tap="logits")) as wanted,
        open_session(model, device="cpu", tap="logits") as found,
    ):
        assert found.inputs == wanted.inputs
        for batch in (1, 3):
            feed = _feed(wanted, batch)
            theirs, ours = wanted.run(feed), found.run(feed)
            assert ours.keys() == theirs.keys()
            for key, value in theirs.items():
                assert _error(ours[key], value) < 1e-5


@pytest.mark.parametrize(("precision", "most"), [("bf16", 3e-2), ("fp16", 1e-2)])
@pytest.mark.parametrize("name", ["stgcn", "twostream", "stgcnpp"])
def test_low_precision_is_near_and_not_the_same(
    example: Callable[..., Any], name: str, precision: Any, most: float
) -> None:
    model = example(name).bundle / "model.onnx"
    with (
        open_session(model, device="cpu", tap="logits") as full,
        open_session(model, device="cpu", tap="logits", precision=precision) as low,
    ):
        feed = _feed(full)
        wanted, found = full.run(feed), low.run(feed)
    assert found["output"].dtype == np.float32
    assert np.allclose(found["output"].sum(1), 1, atol=1e-5), "softmax is computed in float32"
    assert 1e-6 < _error(found["logits"], wanted["logits"]) < most


def test_differences_of_coordinates_are_taken_in_full_precision(tmp_path: Path) -> None:
    """What comes before the first layer with weights is not lowered, nor what comes after the last."""
    weight = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "weight")
    ends = [numpy_helper.from_array(np.array(v), n) for n, v in (("zero", [0]), ("one", [1]),
            ("two", [2]), ("axis", [3]))]  # fmt: skip
    third = numpy_helper.from_array(np.float32([1.0 / 3]), "third")
    nodes = [
        helper.make_node("Slice", ["input", "one", "two", "axis"], ["later"]),
        helper.make_node("Slice", ["input", "zero", "one", "axis"], ["sooner"]),
        helper.make_node("Sub", ["later", "sooner"], ["motion"]),
        helper.make_node("Conv", ["motion", "weight"], ["layer"]),
        helper.make_node("Add", ["layer", "third"], ["output"]),
    ]
    path = _save(tmp_path, nodes, [1, 1, 1, 2], [1, 1, 1, 1], [weight, third, *ends])
    batch = np.float32([[[[1000.0, 1000.5]]]])
    with open_session(path, device="cpu", precision="bf16") as session:
        found = session.run({"input": batch})["output"].item()
    assert found == pytest.approx(0.5 + 1 / 3, abs=1e-7)
    program = open_session(path, device="cpu", precision="bf16")._network.program(
        {"input": (1, 1, 1, 2)}
    )
    assert sum("bfloat16" in str(node.args) for node in program.graph.nodes) == 1


def _save(
    folder: Path, nodes: list[Any], taken: list[Any], given: list[Any], weights: list[Any]
) -> Path:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, given)],
        weights,
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), folder / "m.onnx")
    return folder / "m.onnx"


def test_a_half_precision_bundle_runs_as_its_file_says(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    from stgcn_deploy.precision.fp16 import to_half

    model = onnx.load(example("twostream").bundle / "model.onnx")
    to_half(model)
    onnx.save(model, tmp_path / "half.onnx")
    options = OpenOptions(threads=1)
    with (
        BACKENDS["onnxruntime"].open(tmp_path / "half.onnx", options) as wanted,
        open_session(tmp_path / "half.onnx", device="cpu") as found,
    ):
        feed = _feed(wanted)
        assert _error(found.run(feed)["output"], wanted.run(feed)["output"]) < 5e-3


def test_memory_order_changes_no_answer(example: Callable[..., Any]) -> None:
    model = example("stgcnpp").bundle / "model.onnx"
    with (
        open_session(model, device="cpu") as one,
        open_session(model, device="cpu", channels_last=True) as other,
    ):
        assert _error(other.run(_feed(one))["output"], one.run(_feed(one))["output"]) < 1e-6


@pytest.mark.slow
def test_a_compiled_graph_gives_the_same(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(_batch((4, 3, 1, 1)), "weight")
    to = numpy_helper.from_array(np.array([0, -1]), "to")
    nodes = [
        helper.make_node("Conv", ["input", "weight"], ["layer"]),
        helper.make_node("Relu", ["layer"], ["positive"]),
        helper.make_node("Reshape", ["positive", "to"], ["output"]),
    ]
    path = _save(tmp_path, nodes, ["batch", 3, 5, 5], ["batch", 100], [weight, to])
    with (
        open_session(path, device="cpu") as plain,
        open_session(path, device="cpu", compiled=True) as compiled,
    ):
        feed = {"input": _batch((2, 3, 5, 5))}
        assert _error(compiled.run(feed)["output"], plain.run(feed)["output"]) < 1e-5


def test_a_changed_weight_changes_the_answer(example: Callable[..., Any], tmp_path: Path) -> None:
    """Else the comparisons above could pass on anything."""
    source = example().bundle / "model.onnx"
    model = onnx.load(source)
    weight = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    values = numpy_helper.to_array(weight) * np.float32(1.01)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, tmp_path / "m.onnx")
    with (
        open_session(source, device="cpu", tap="logits") as one,
        open_session(tmp_path / "m.onnx", device="cpu", tap="logits") as other,
    ):
        feed = _feed(one)
        assert _error(other.run(feed)["logits"], one.run(feed)["logits"]) > 1e-5


# ---- programs --------------------------------------------------------------------------------


def test_a_program_has_tensor_calls_only(example: Callable[..., Any]) -> None:
    """A CUDA graph can hold nothing that comes back to the host."""
    model = example("stgcn", graph_form="reference", dynamic="batch", verify=False).bundle
    session = open_session(model / "model.onnx", device="cpu")
    program = session._network.program({"input": (2, *SHAPE[1:])})
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert targets
    assert not [name for name in targets if "item" in name or "tolist" in name]
    example_input = torch.zeros(2, *SHAPE[1:])
    traced = torch.jit.trace(program.eval(), example_input, check_trace=False)
    assert torch.allclose(traced(example_input)[0], program(example_input)[0])


def test_programs_of_many_sizes_do_not_pile_up(example: Callable[..., Any]) -> None:
    model = example("stgcn", graph_form="reference", dynamic="batch", verify=False).bundle
    with open_session(model / "model.onnx", device="cpu") as session:
        session.run(_feed(session, 1))
        weights = len(session._network._weights)
        for batch in range(1, PROGRAMS + 5):
            session.run(_feed(session, batch))
        assert len(session._programs) == PROGRAMS
        assert len(session._network._weights) == weights


def test_tensors_go_in_and_come_out(example: Callable[..., Any]) -> None:
    with open_session(example().bundle / "model.onnx", device="cpu") as session:
        batch = _batch()
        wanted = session.run({"input": batch})["output"]
        found = session.run_tensors({"input": torch.from_numpy(batch)})
        assert np.array_equal(found["output"].numpy(), wanted)
        kept = found["output"].clone()
        session.run_tensors({"input": torch.from_numpy(_batch(seed=1))})
        assert torch.equal(found["output"], kept), "results belong to the caller"
        for wrong, message in (
            ({}, "'input' is missing"),
            ({"input": torch.zeros(SHAPE, dtype=torch.float64)}, "is float64"),
            ({"input": torch.zeros(SHAPE, device="meta")}, "on meta, expected float32"),
            ({"input": torch.zeros(2, *SHAPE[1:])}, r"\(2, 3, 20, 18, 2\)"),
        ):
            with pytest.raises(ClipError, match=message):
                session.run_tensors(wrong)


# ---- refusing --------------------------------------------------------------------------------


def test_an_eight_bit_graph_is_refused(tmp_path: Path) -> None:
    scale = numpy_helper.from_array(np.float32(1), "scale")
    zero = numpy_helper.from_array(np.int8(0), "zero")
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["output"]),
    ]
    path = _save(tmp_path, nodes, [4], [4], [scale, zero])
    with pytest.raises(BackendError, match=r"m\.onnx is an 8-bit graph.*FP32 or FP16 bundle"):
        open_session(path, device="cpu")


def test_an_operator_of_no_export_is_named(tmp_path: Path) -> None:
    path = _save(
        tmp_path, [helper.make_node("Asinh", ["input"], ["output"], name="odd")], [4], [4], []
    )
    with pytest.raises(BackendError, match=r"operator Asinh \(node 'odd'\).*--skip-absent"):
        open_session(path, device="cpu")


@pytest.mark.parametrize(
    ("node", "weights"),
    [
        (helper.make_node("Slice", ["input", "a", "b", "c", "d"], ["output"]),
         {"a": [-1], "b": [-9], "c": [0], "d": [-1]}),
        (helper.make_node("Conv", ["input", "w"], ["output"], auto_pad="SAME_UPPER"),
         {"w": np.ones((1, 1, 1), np.float32)}),
        (helper.make_node("Pad", ["input", "a"], ["output"], mode="reflect"), {"a": [0, 1]}),
    ],
)  # fmt: skip
def test_a_use_of_an_operator_that_no_export_has_is_named(
    tmp_path: Path, node: Any, weights: dict[str, Any]
) -> None:
    made = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    shape = [1, 1, 4] if node.op_type == "Conv" else [4]
    path = _save(tmp_path, [node], shape, shape, made)
    with (
        open_session(path, device="cpu") as session,
        pytest.raises(BackendError, match=f"{node.op_type}.*in none of our exports"),
    ):
        session.run({"input": np.zeros(shape, np.float32)})


def test_options_that_cannot_be_are_refused(example: Callable[..., Any]) -> None:
    model = example().bundle / "model.onnx"
    with pytest.raises(UsageError, match="CPU has no CUDA graphs"):
        open_session(model, device="cpu", graphs=True)
    with pytest.raises(UsageError, match="'int8' is none of fp32, fp16, bf16"):
        open_session(model, device="cpu", precision="int8")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="neither cuda nor cpu"):
        open_session(model, device="meta")
    with pytest.raises(UsageError, match="device 'gpu'"):
        open_session(model, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(MissingDependencyError, match="no GPU 3"):
            open_session(model, device="cuda:3")


def test_a_second_thread_in_a_session_is_refused(
    example: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(example().bundle / "model.onnx", device="cpu")
    started, go_on = threading.Event(), threading.Event()
    program = type(session)._program

    def slow(*given: Any) -> Any:
        started.set()
        go_on.wait(30)
        return program(*given)

    monkeypatch.setattr(type(session), "_program", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(session.run, {"input": _batch()})
        assert started.wait(30)
        with pytest.raises(BackendError, match="in use by another thread"):
            session.run({"input": _batch()})
        go_on.set()
        assert first.result(30)["output"].shape == (1, 5)
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.run_tensors({"input": torch.zeros(SHAPE)})


# ---- no TF32 ---------------------------------------------------------------------------------


def _switches() -> list[Any]:
    return [getattr(owner, name) for owner, name, _ in EXACT._switches()]


def test_tf32_is_off_inside_and_as_it_was_outside() -> None:
    before = _switches()
    owner, name, value = EXACT._switches()[0]
    with EXACT:
        inside = _switches()
        with EXACT:
            pass
        assert _switches() == inside == [wanted for *_, wanted in EXACT._switches()]
    assert _switches() == before
    with pytest.raises(ZeroDivisionError), EXACT:
        raise ZeroDivisionError
    assert _switches() == before
    assert getattr(owner, name) != value or value is False


def test_the_last_of_several_threads_puts_the_switches_back() -> None:
    before = _switches()
    EXACT.__enter__()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(EXACT.__enter__).result()
        EXACT.__exit__()
        assert _switches() != before or before == [value for *_, value in EXACT._switches()]
        pool.submit(EXACT.__exit__).result()
    assert _switches() == before


# ---- the backend -----------------------------------------------------------------------------


def test_the_backend_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, example: Callable[..., Any]
) -> None:
    found = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(torch_cuda, "spec_of", lambda name: found)
    (tmp_path / "version.py").write_text("cuda: Optional[str] = None\n", encoding="utf-8")
    assert "a build without CUDA" in (BACKEND.available() or "")
    (tmp_path / "version.py").write_text("cuda: Optional[str] = '12.6'\n", encoding="utf-8")
    monkeypatch.setattr(torch_cuda, "DRIVERS", ("libno-such-driver.so",))
    assert "no NVIDIA driver here (libno-such-driver.so)" in (BACKEND.available() or "")
    with pytest.raises(MissingDependencyError, match="no NVIDIA driver"):
        BACKEND.open(example().bundle / "model.onnx", OpenOptions())
    monkeypatch.setattr(torch_cuda, "_has_driver", lambda: True)
    fake = types.ModuleType("torch")
    fake.cuda = types.SimpleNamespace(is_available=lambda: False)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", fake)
    assert "sees no GPU" in (BACKEND.available() or "")
    fake.cuda.is_available = lambda: True
    assert BACKEND.available() is None
    monkeypatch.setattr(torch_cuda, "spec_of", lambda name: None)
    assert "not installed" in (BACKEND.available() or "")


def test_the_backend_opens_a_session_with_the_bundle_s_precision(
    monkeypatch: pytest.MonkeyPatch, example: Callable[..., Any]
) -> None:
    asked = []
    fake = types.ModuleType(torch_cuda.SESSIONS)
    fake.open_session = lambda model, **options: asked.append((model, options))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, torch_cuda.SESSIONS, fake)
    monkeypatch.setattr(type(BACKEND), "available", lambda self: None)
    model = example().bundle / "model.onnx"
    BACKEND.open(model, OpenOptions(compute="bf16", tap="logits"))
    assert asked == [(model, {"precision": "bf16", "tap": "logits"})]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-5), ("bf16", 3e-2), ("fp16", 1e-2)])
def test_the_gpu_gives_the_same_as_the_cpu(
    example: Callable[..., Any], graphs: bool, precision: Any, most: float
) -> None:
    model = example("twostream", dynamic="batch").bundle / "model.onnx"
    with (
        open_session(model, device="cpu", tap="logits") as wanted,
        open_session(model, precision=precision, graphs=graphs, tap="logits") as found,
    ):
        for batch, seed in ((1, 0), (1, 1), (3, 2), (1, 3)):
            feed = _feed(wanted, batch, seed)
            assert _error(found.run(feed)["logits"], wanted.run(feed)["logits"]) < most
            tensors = {name: torch.from_numpy(one).cuda() for name, one in feed.items()}
            again = found.run_tensors(tensors)["logits"].cpu().numpy()
            assert _error(again, wanted.run(feed)["logits"]) < most
