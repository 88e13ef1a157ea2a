"""Streams and groups of rows run side by side and answer as the whole graph does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from checkpoints import save, tiny
from onnx import TensorProto, helper

from stgcn_deploy import api, cores
from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.backends.rows import cut_rows
from stgcn_deploy.backends.streams import cut_streams
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BackendError, ClipError

ORT = BACKENDS["onnxruntime"]


def int8(folder: Path, checkpoint: Path, **options: Any) -> Path:
    """An INT8 bundle, calibrated on noise."""
    api.export(checkpoint, folder / "fp32", verify=False, graph_form="aggregate", **options)
    api.quantize(folder / "fp32", folder / "int8", to="int8", samples=16, gate=False,
                 noise_calibration=True, latency=False)  # fmt: skip
    return folder / "int8"


@pytest.fixture(scope="module")
def twostream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twostream")
    checkpoint = save(tiny("twostream"), folder / "net.pt")
    return int8(folder, checkpoint, frames=20, dynamic="batch")


def feed_of(bundle: Path, batch: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    shapes = Bundle(bundle).manifest.shapes_at(batch)
    return {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def same_answers(
    bundle: Path, parts: int, *, tap: str | None, batch: int, threads: int = 2
) -> None:
    """That it runs in so many parts, and answers bit for bit as the whole graph does."""
    model, feed = Bundle(bundle).model_path, feed_of(bundle, batch)
    with ORT.open(model, OpenOptions(threads=threads, tap=tap)) as apart:
        found = apart.run(feed)
        assert apart.parallel_parts == parts
    with ORT.open(model, OpenOptions(threads=threads, tap=tap, parallel=False)) as whole:
        expected = whole.run(feed)
        assert whole.parallel_parts == 1
    assert (apart.inputs, [one.name for one in apart.outputs]) == (
        whole.inputs, [one.name for one in whole.outputs])  # fmt: skip
    assert list(found) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("tap", [None, "logits"])
@pytest.mark.parametrize("batch", [1, 3])
def test_streams_answer_as_the_whole_graph(
    twostream: Path, precision: str, tap: str | None, batch: int
) -> None:
    same_answers(twostream.parent / precision, 2, tap=tap, batch=batch)


# Name of a checkpoint, persons, threads -> parts.
ROWS = [
    ("stgcn", 2, 2, 2),
    ("stgcn-person", 2, 2, 2),
    ("stgcn-raw-input", 4, 3, 1),
    ("stgcn-raw-input", 4, 2, 2),
    ("pyskl-offset", 2, 4, 2),
    ("pyskl-person", 2, 2, 2),
    ("pyskl-square", 3, 2, 1),
    ("stgcn", 1, 2, 1),
]


@pytest.mark.parametrize(("name", "persons", "threads", "parts"), ROWS)
def test_rows_answer_as_the_whole_graph(
    tmp_path: Path, name: str, persons: int, threads: int, parts: int
) -> None:
    checkpoint = save(tiny(name), tmp_path / "net.pt")
    api.export(
        checkpoint,
        tmp_path / "fp32",
        verify=False,
        graph_form="aggregate",
        frames=20,
        persons=persons,
    )
    same_answers(tmp_path / "fp32", parts, tap="logits", batch=1, threads=threads)


@pytest.mark.parametrize("form", ["matmul", "einsum"])
def test_reshapes_could_mix_rows(tmp_path: Path, form: str) -> None:
    checkpoint = save(tiny("stgcn"), tmp_path / "net.pt")
    api.export(checkpoint, tmp_path / "net", verify=False, graph_form=form, frames=20, persons=2)
    same_answers(tmp_path / "net", 1, tap=None, batch=1)


def test_rows_of_an_8_bit_graph(tmp_path: Path) -> None:
    checkpoint = save(tiny("stgcnpp"), tmp_path / "net.pt")
    bundle = int8(tmp_path, checkpoint, frames=20, persons=2)
    same_answers(bundle, 2, tap=None, batch=1)


def test_absent_persons_and_open_numbers_of_them_stay_whole(tmp_path: Path) -> None:
    checkpoint = save(tiny("stgcn"), tmp_path / "net.pt")
    for name, options in {"skip": {"skip_absent": True}, "open": {"dynamic": "batch"}}.items():
        api.export(checkpoint, tmp_path / name, verify=False, graph_form="aggregate", frames=20,
                   persons=2, **options)  # fmt: skip
        same_answers(tmp_path / name, 1, tap=None, batch=1)


def test_it_is_checked_like_any_other_session(twostream: Path) -> None:
    session = ORT.open(Bundle(twostream).model_path, OpenOptions(threads=2))
    feed = feed_of(twostream)
    name = next(iter(feed))
    with pytest.raises(ClipError, match="has dtype float64"):
        session.run({name: feed[name].astype(np.float64)})
    with pytest.raises(ClipError, match="has shape"):
        session.run({name: feed[name][..., :-1]})
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.run(feed)


def test_threads_that_streams_cannot_share_evenly_run_the_whole_graph(twostream: Path) -> None:
    for threads, parts in ((3, 1), (4, 2)):
        with ORT.open(Bundle(twostream).model_path, OpenOptions(threads=threads)) as session:
            assert session.parallel_parts == parts


def test_cores_are_counted_once_for_both_of_their_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cores, "TOPOLOGY", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 4, 5})
    assert (cores.physical_cores(), cores.usable_cores()) == (4, 4)  # nothing is told
    for number, siblings in {0: "0,4", 4: "0,4", 1: "1,5", 5: "1,5"}.items():
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{siblings}\n", encoding="ascii")
    assert (cores.physical_cores(), cores.usable_cores()) == (2, 4)


def test_one_thread_runs_the_whole_graph(twostream: Path) -> None:
    with ORT.open(Bundle(twostream).model_path, OpenOptions(threads=1)) as session:
        assert session.parallel_parts == 1


def test_a_benchmark_says_how_many_ran_side_by_side(twostream: Path) -> None:
    (row,) = api.bench([twostream], duration=0.1, rounds=1, threads=2).rows
    assert row.parallel_parts == row.as_dict()["parallel_parts"] == 2
    assert row.title == f"{row.name}, 2 parts in parallel"


def test_what_goes_wrong_in_a_stream_is_told(
    twostream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ORT.open(Bundle(twostream).model_path, OpenOptions(threads=2)) as session:
        broken = session._streams[1]  # type: ignore[attr-defined]
        monkeypatch.setattr(broken, "_session", None)
        with pytest.raises(BackendError, match="ONNX Runtime failed"):
            session.run(feed_of(twostream))


def stream(source: str, name: str, length: int) -> list[Any]:
    """A chain of `length` products with the matrix W."""
    nodes = []
    for index in range(length):
        out = f"{name}{index}"
        nodes.append(helper.make_node("MatMul", [source, "W"], [out]))
        source = out
    return nodes


def model_of(nodes: list[Any], outputs: list[str]) -> Any:
    weight = onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32), "W")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in outputs]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    return helper.make_model(helper.make_graph(nodes, "g", [given], values, [weight]))


def ensemble(lengths: list[int]) -> tuple[list[Any], str]:
    """Streams of these lengths, summed two by two as an ensemble is."""
    nodes = [
        node for index, length in enumerate(lengths) for node in stream("x", f"s{index}_", length)
    ]
    total = f"s0_{lengths[0] - 1}"
    for index, length in enumerate(lengths[1:], start=1):
        nodes.append(helper.make_node("Add", [total, f"s{index}_{length - 1}"], [f"sum{index}"]))
        total = f"sum{index}"
    return nodes, total


def test_all_streams_of_a_nested_sum_are_found() -> None:
    nodes, total = ensemble([9, 9, 9, 9])
    cut = cut_streams(model_of([*nodes, helper.make_node("Softmax", [total], ["y"])], ["y"]))
    assert cut is not None
    assert [len(part.graph.node) for part in cut.streams] == [9, 9, 9, 9]
    assert [node.op_type for node in cut.tail([]).graph.node] == ["Add", "Add", "Add", "Softmax"]


def unequal() -> Any:
    nodes, total = ensemble([9, 3])
    return model_of(nodes, [total])


def a_common_trunk() -> Any:
    nodes = stream("x", "trunk", 2)
    for name in ("a", "b"):
        nodes += stream("trunk1", name, 9)
    return model_of([*nodes, helper.make_node("Add", ["a8", "b8"], ["y"])], ["y"])


def branches_of_the_first_block_only() -> Any:
    nodes, total = ensemble([1, 1])
    return model_of([*nodes, *stream(total, "t", 9)], ["t8"])


def a_heavy_tail() -> Any:
    nodes, total = ensemble([2, 2])
    return model_of([*nodes, *stream(total, "t", 1)], ["t0"])


def an_output_from_within_a_stream() -> Any:
    nodes, total = ensemble([9, 9])
    return model_of(nodes, [total, "s0_7"])


def a_subgraph() -> Any:
    nodes, total = ensemble([9, 9])
    value = helper.make_tensor_value_info("inner", TensorProto.FLOAT, [2, 3])
    inner = helper.make_graph(
        [helper.make_node("Identity", ["s0_3"], ["inner"])], "then", [], [value]
    )
    condition = onnx.numpy_helper.from_array(np.array(True), "condition")
    made = model_of(
        [*nodes, helper.make_node("If", ["condition"], ["z"], then_branch=inner, else_branch=inner),
         helper.make_node("Add", [total, "z"], ["y"])], ["y"])  # fmt: skip
    made.graph.initializer.append(condition)
    return made


@pytest.mark.parametrize(
    "make",
    [unequal, a_common_trunk, branches_of_the_first_block_only, a_heavy_tail,
     an_output_from_within_a_stream, a_subgraph],
)  # fmt: skip
def test_what_is_not_made_of_streams_is_left_whole(make: Callable[[], Any]) -> None:
    onnx.checker.check_model(make())
    assert cut_streams(make()) is None


def rowwise(*middle: Any, rows: int = 2) -> Any:
    """Products before and after some nodes from "a" to "b"; all but the first axis are free of rows."""
    nodes = [
        helper.make_node("Identity", ["x"], ["r"]),
        helper.make_node("MatMul", ["r", "W"], ["a"]),
        *middle,
        *stream("b", "z", 3),
        helper.make_node("ReduceSum", ["z2"], ["y"], keepdims=1),
    ]
    made = model_of(nodes, ["y"])
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = rows
    made.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    made.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1
    made.graph.initializer.append(
        onnx.numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "by row")
    )
    made.graph.initializer.append(
        onnx.numpy_helper.from_array(np.arange(3, dtype=np.float32)[None], "by column")
    )
    return made


MIXING = {
    "a softmax over rows": [helper.make_node("Softmax", ["a"], ["b"], axis=0)],
    "a sum with a constant for each row": [helper.make_node("Add", ["a", "by row"], ["b"])],
    "rows exchanged for columns": [
        helper.make_node("Transpose", ["a"], ["t"], perm=[1, 0]),
        helper.make_node("Transpose", ["t"], ["b"], perm=[1, 0])],
    "rows joined": [
        helper.make_node("Concat", ["a", "a"], ["t"], axis=0),
        helper.make_node("Split", ["t"], ["b", "c"], axis=0)],
    "a product of rows": [
        helper.make_node("Transpose", ["a"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["t", "a"], ["p"]),
        helper.make_node("MatMul", ["a", "p"], ["b"])],
    "an operator that nobody looked at": [helper.make_node("Abs", ["a"], ["b"])],
}  # fmt: skip


def test_operators_that_keep_rows_apart_are_in_the_trunk() -> None:
    cut = cut_rows(
        rowwise(
            helper.make_node("Add", ["a", "by column"], ["s"]),
            helper.make_node("Softmax", ["s"], ["b"], axis=1),
        )
    )
    assert cut is not None
    assert (cut.rows, cut.count, cut.results) == ("r", 2, ("z2",))
    assert cut_rows(rowwise(helper.make_node("Relu", ["a"], ["b"]), rows=1)) is None


@pytest.mark.parametrize("what", MIXING)
def test_what_mixes_rows_ends_the_trunk(what: str) -> None:
    model = rowwise(*MIXING[what])
    onnx.checker.check_model(model)
    assert cut_rows(model) is None
