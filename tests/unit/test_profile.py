"""Profiles: products counted from shapes, layers brought back to their blocks, sums that must agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.onnxruntime import BACKEND
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.errors import (
    CheckFailedError,
    FileUnreadableError,
    OutputExistsError,
    UnknownNameError,
    UsageError,
)
from stgcn_deploy.measure.layers import OUTSIDE, UNNAMED, Layer, Timed, attribute
from stgcn_deploy.measure.node_macs import Graph, Node, read_graph
from stgcn_deploy.measure.peak import peak_contender, write_peak_model
from stgcn_deploy.measure.profile import ProfileReport, check, profile_bundle
from stgcn_deploy.measure.profile_plot import plot_profile
from stgcn_deploy.measure.profile_worker import best_of, faster_half
from stgcn_deploy.measure.profilers import PROFILERS
from stgcn_deploy.measure.profilers.onnxruntime import by_run
from stgcn_deploy.models.families import count_macs
from stgcn_deploy.models.spec import NetworkSpec

# ---- products --------------------------------------------------------------------------------


def _spec(example: Any) -> NetworkSpec:
    return load_checkpoint(example.checkpoint, Hints(frames=20, persons=2)).spec


def _graph(bundle: Path) -> Graph:
    manifest = Bundle(bundle).manifest
    return read_graph(bundle / "model.onnx", manifest.shapes_at(manifest.clip.batch))


@pytest.mark.parametrize(
    "name", ["stgcn", "stgcn-uniform", "stgcn-person", "twostream", "pyskl", "pyskl-offset"]
)
def test_the_nodes_of_the_aggregate_form_do_what_the_family_counts(
    example: Callable[..., Any], name: str
) -> None:
    made = example(name)
    found = _graph(made.bundle)
    assert found.uncounted == ()
    wanted = count_macs(_spec(made), frames=20, persons=2, aggregate=True)
    assert found.macs == wanted > 0


@pytest.mark.parametrize("form", ["einsum", "matmul"])
def test_the_nodes_of_the_other_forms_do_what_the_manifest_counts(
    example: Callable[..., Any], form: str
) -> None:
    made = example("stgcn", graph_form=form)
    assert _graph(made.bundle).macs == Bundle(made.bundle).manifest.macs


def test_what_the_aggregate_form_adds_is_the_identity_of_shortcuts_and_the_pools_affine(
    example: Callable[..., Any],
) -> None:
    made = example("stgcnpp")
    spec = _spec(made)
    extra, frames, joints = 0, 20, spec.num_joints
    for block in spec.blocks:
        if block.graph_residual == "conv":
            extra += joints * joints * block.in_channels * frames
        frames = -(-frames // block.stride)
        pools = [one.channels for one in block.branches if one.kind == "max"]
        extra += sum(pools) * frames * joints
    counted = count_macs(spec, frames=20, persons=2, aggregate=True)
    assert _graph(made.bundle).macs == counted + 2 * extra


def _model(
    op: str, inputs: dict[str, list[Any]], out: list[Any], tensors: dict[str, Any], **about: Any
) -> onnx.ModelProto:
    def info(name: str, shape: list[Any]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    names = [*inputs, *tensors]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["out"], name="it", **about)],
        "one",
        [info(name, shape) for name, shape in inputs.items()],
        [info("out", out)],
        [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _zeros(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        # out (1, 8, 5, 4), each from 2 of the 4 channels and 3 taps.
        (
            _model(
                "Conv", {"x": [1, 4, 10, 4]}, [1, 8, None, None], {"w": _zeros(8, 2, 3, 1)},
                group=2, strides=[2, 1], pads=[1, 0, 1, 0],
            ),
            160 * 6,
        ),
        (_model("MatMul", {"x": [2, 3, 5, 7]}, [2, 3, 5, 4], {"w": _zeros(7, 4)}), 120 * 7),
        (_model("Gemm", {"x": [7, 5]}, [5, 4], {"w": _zeros(7, 4)}, transA=1), 20 * 7),
        (_model("Gemm", {"x": [5, 7]}, [5, 4], {"w": _zeros(4, 7)}, transB=1), 20 * 7),
        (
            _model(
                "Einsum", {"x": [1, 3, 2, 5, 4]}, [1, 2, 5, 6], {"w": _zeros(3, 4, 6)},
                equation="nkctv, kvw -> nctw",
            ),
            3 * 2 * 5 * 4 * 6,
        ),
        (_model("Relu", {"x": [2, 3]}, [2, 3], {}), 0),
        (_model("MatMul", {"x": ["some", 5, 7]}, ["some", 5, 4], {"w": _zeros(7, 4)}), 6 * 20 * 7),
    ],
)  # fmt: skip
def test_products_are_counted_from_shapes(
    tmp_path: Path, model: onnx.ModelProto, wanted: int
) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(model, str(path))
    assert read_graph(path, {}, rows=6).macs == wanted


def test_a_product_of_unknown_size_is_said_to_be_uncounted(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(
        _model("MatMul", {"x": [2, "some", 7]}, [2, "some", 4], {"w": _zeros(7, 4)}), str(path)
    )
    found = read_graph(path, {})
    assert (found.macs, found.uncounted) == (0, ("it",))
    assert read_graph(path, {"x": [2, 9, 7]}).macs == 2 * 9 * 4 * 7


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no graph")
    with pytest.raises(FileUnreadableError, match="cannot read the graph"):
        read_graph(tmp_path / "m.onnx", {})


# ---- layers ----------------------------------------------------------------------------------


def _of(*nodes: tuple[str, str, tuple[str, ...], int]) -> Graph:
    made = tuple(
        Node(name, op, inputs, (f"{name}_output_0",), macs) for name, op, inputs, macs in nodes
    )
    return Graph(
        made, {one.name: one for one in made}, {one.outputs[0]: one for one in made}
    )  # fmt: skip


B = "/network/origin/blocks"
GRAPH = _of(
    ("/network/prepare/Squeeze", "Squeeze", ("input",), 0),
    (f"{B}.1/gcn/MatMul", "MatMul", ("/network/prepare/Squeeze_output_0",), 10),
    (f"{B}.1/gcn/conv/Conv", "Conv", (f"{B}.1/gcn/MatMul_output_0",), 20),
    (f"{B}.1/gcn/Relu", "Relu", (f"{B}.1/gcn/conv/Conv_output_0",), 0),
    (f"{B}.1/tcn/Conv", "Conv", (f"{B}.1/gcn/Relu_output_0",), 30),
    (f"{B}.1/shortcut/Conv", "Conv", ("/network/prepare/Squeeze_output_0",), 5),
    (f"{B}.1/Add", "Add", (f"{B}.1/tcn/Conv_output_0", f"{B}.1/shortcut/Conv_output_0"), 0),
    (f"{B}.1/Relu", "Relu", (f"{B}.1/Add_output_0",), 0),
    ("/network/fcn/Gemm", "Gemm", (f"{B}.1/Relu_output_0",), 1),
)


def _timed(*lines: tuple[str, str]) -> list[Timed]:
    return [Timed(name, op, float(number)) for number, (name, op) in enumerate(lines, 1)]


def test_fused_and_inserted_layers_of_onnxruntime_find_their_block() -> None:
    found = attribute(
        _timed(
            ("/network/prepare/Squeeze", "Squeeze"),
            (f"{B}.1/gcn/MatMul", "MatMul"),
            ("ReorderInput_token_3", "ReorderInput"),
            (f"{B}.1/gcn/Relu_output_0_nchwc", "Conv"),
            (f"{B}.1/shortcut/Conv_output_0_nchwc", "Conv"),
            # Convolution, sum and ReLU in one, named after what it gives.
            (f"{B}.1/Relu_output_0_nchwc", "Conv"),
            ("ReorderOutput_token_4", "ReorderOutput"),
            ("/network/fcn/Gemm", "FusedGemm"),
        ),
        GRAPH,
    )
    at = "origin 1"
    assert [(one.block, one.kind, one.macs) for one in found] == [
        (OUTSIDE, "rest", 0),
        (at, "graph product", 10),
        (at, "reorder and quantise", 0),
        (at, "1x1", 20),
        (at, "residual", 5),
        (at, "temporal", 30),
        (at, "reorder and quantise", 0),
        (OUTSIDE, "rest", 1),
    ]
    assert found[5].node == f"{B}.1/tcn/Conv"
    assert [one.ms for one in found] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_names_of_openvino_are_understood() -> None:
    found = attribute(
        _timed(
            (f"{B}.1/gcn/MatMul", "FullyConnected"),
            (f"{B}.1/gcn/MatMul_abcd_acdb_{B}.1/gcn/conv/Conv", "Reorder"),
            (f"{B}.1/gcn/conv/Conv/WithoutBiases", "Convolution"),
            (f"{B}.1/gcn/Relu", "Subgraph"),
            (f"{B}.1/tcn/Conv/WithoutBiases", "Convolution"),
        ),
        GRAPH,
    )
    assert [(one.block, one.kind, one.macs) for one in found] == [
        ("origin 1", "graph product", 10),
        ("origin 1", "reorder and quantise", 0),
        ("origin 1", "1x1", 20),
        ("origin 1", "rest", 0),
        ("origin 1", "temporal", 30),
    ]


def test_no_product_is_counted_twice() -> None:
    found = attribute(_timed(*[(f"{B}.1/tcn/Conv", "Conv")] * 3), GRAPH)
    assert sorted(one.macs or 0 for one in found) == [0, 0, 30]
    (lost,) = attribute(_timed(("something else", "Conv")), GRAPH)
    assert (lost.block, lost.node, lost.macs) == (OUTSIDE, "", 0)


def test_runs_are_told_apart_by_how_often_a_node_was_seen() -> None:
    def event(name: str, ts: int, ms: float, **others: Any) -> dict[str, Any]:
        about = {"op_name": "Conv", "node_index": name}
        return {"cat": "Node", "name": name, "ts": ts, "dur": ms * 1e3, "args": about} | others

    events = [
        event("b_kernel_time", 2, 2.0),
        event("a_kernel_time", 1, 1.0),
        event("a_fence_before", 1, 9.0),
        event("model_run", 0, 9.0, cat="Session"),
        event("a_kernel_time", 3, 3.0),
        event("b_kernel_time", 4, 4.0),
    ]
    assert [[(one.name, one.ms) for one in run] for run in by_run(events)] == [
        [("a", 1.0), ("b", 2.0)],
        [("a", 3.0), ("b", 4.0)],
    ]


def test_layers_count_with_their_best_and_runs_with_their_faster_half() -> None:
    runs = [
        [Timed("a", "Conv", one), Timed("a", "Conv", 5.0), Timed("b", "Relu", 10 / one)]
        for one in (1.0, 2.0, 5.0)
    ]
    best = [Timed("a", "Conv", 1.0), Timed("a", "Conv", 5.0), Timed("b", "Relu", 2.0)]
    assert best_of(runs) == best
    assert best_of([*runs, runs[0][:2]]) == best[:2]
    assert faster_half([9.0, 1.0, 3.0, 50.0]) == 2.0
    assert faster_half([9.0, 1.0, 3.0]) == 2.0
    assert faster_half([9.0]) == 9.0


def test_a_mean_since_the_start_becomes_one_of_the_last_runs() -> None:
    pytest.importorskip("openvino")
    from stgcn_deploy.measure.profilers.openvino import mean_of_last

    # Runs of 9, 1, 2 and 3 ms: means so far 9, 5, 4 and 3.75.
    said = [[Timed("a", "Conv", ms)] for ms in (9.0, 5.0, 4.0, 3.75)]
    assert mean_of_last(said, 3) == [Timed("a", "Conv", 2.0)]
    assert mean_of_last(said, 4) == [Timed("a", "Conv", 3.75)]


# ---- reports ---------------------------------------------------------------------------------

LAYERS = (
    Layer("n0", "Squeeze", "", OUTSIDE, "rest", 1.0, 0),
    Layer("n1", "MatMul", "m", "a 0", "graph product", 2.0, 1_000_000),
    Layer("n2", "Conv", "c", "a 10", "temporal", 6.0, 4_000_000),
    Layer("n3", "ReorderInput", "", "a 2", "reorder and quantise", 1.0, 0),
)
REPORT = ProfileReport(
    bundle="some/bundle", backend="onnxruntime", precision="fp32", compute="fp32", threads=1, runs=5,
    layers=LAYERS, typical_ms=10.0, latency_ms=8.0, profiled_ms=10.0, peak=1e9, macs=5_000_000, missing=0,
    uncounted=(), means=False, environment={"load_average": [0.2, 0.1, 0.1], "cores": 2},
)  # fmt: skip


def test_kinds_and_blocks_sum_up_to_the_layers() -> None:
    for shares in (REPORT.by_kind(), REPORT.by_block()):
        assert sum(share.ms for share in shares) == REPORT.total_ms == 10.0
        assert sum(share.macs for share in shares) == REPORT.macs
        assert sum(share.layers for share in shares) == len(LAYERS)
    assert [share.name for share in REPORT.by_block()] == ["a 0", "a 2", "a 10", OUTSIDE]
    assert REPORT.floor_ms() == 5.0
    assert REPORT.overhead == pytest.approx(0.25)
    assert REPORT.of_peak(LAYERS[2]) == pytest.approx(4 / 6)
    assert np.isnan(REPORT.of_peak(LAYERS[0]))


def test_a_sentence_says_where_the_time_goes() -> None:
    assert REPORT.sentence() == (
        "60% of the time goes into the temporal convolutions, at 67% of the machine's rate; 20% is spent "
        "beside the products; of 5.0 ms above the floor, 2.0 ms are in the temporal convolutions."
    )
    assert "above the floor" not in replace(REPORT, peak=1e8).sentence()
    assert (REPORT.busy, REPORT.how, replace(REPORT, means=True).how) == (
        "", "at their best", "on average",
    )  # fmt: skip
    assert "load 9.0 on 2 cores" in replace(
        REPORT, environment={"load_average": [9.0], "cores": 2}
    ).busy  # fmt: skip


WITHOUT = replace(
    REPORT,
    peak=None,
    no_floor="nothing was measured",
    compute=None,
    layers=(*LAYERS, Layer("__myl_1", "__myl_1", "", UNNAMED, "rest", 10.0, None)),
)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for one in value for number in _numbers(one)]
    return [value] if isinstance(value, float) else []


def test_without_a_peak_there_is_no_floor_and_the_reason_is_told() -> None:
    assert (WITHOUT.floor_ms(), WITHOUT.floor_ms(5)) == (None, None)
    assert np.isnan(WITHOUT.of_peak(LAYERS[2]))
    assert WITHOUT.sentence() == (
        "55% of the time goes into the rest (bias, ReLU, pooling, copies); 60% is spent beside the "
        "products."
    )
    found = WITHOUT.as_dict()
    assert (found["peak_gmacs_per_s"], found["floor_ms"], found["compute"]) == (None, None, None)
    assert found["no_floor"] == "nothing was measured"
    for one in (*found["kinds"], *found["blocks"], *found["layers"]):
        assert one["floor_ms"] is None
    assert not [number for number in _numbers(found) if np.isinf(number)]
    assert REPORT.as_dict()["no_floor"] == ""


def test_what_has_no_place_is_said_and_nothing_is_dropped() -> None:
    assert REPORT.remarks() == ()
    assert WITHOUT.unnamed.ms == WITHOUT.as_dict()["unnamed_ms"] == 10.0
    assert sum(share.ms for share in WITHOUT.by_block()) == WITHOUT.total_ms == 20.0
    assert [share.name for share in WITHOUT.by_block()][-2:] == [UNNAMED, OUTSIDE]
    assert WITHOUT.remarks() == (
        "no floor: nothing was measured.",
        "50% of the time is in 1 of 5 layers whose names tell no block; that is counted as rest.",
    )
    assert replace(REPORT, missing=10**9, uncounted=("a",)).remarks() == (
        "1 GMAC belong to no layer of the profile, and 1 product(s) could not be counted.",
    )


@pytest.mark.parametrize("report", [REPORT, WITHOUT])
def test_tables_of_a_report(report: ProfileReport, capsys: pytest.CaptureFixture[str]) -> None:
    from stgcn_deploy.cli.profile import print_profile

    print_profile(report)
    out = " ".join(capsys.readouterr().out.split())
    assert ("; floor 5.00 ms: 0.005 GMAC" in out) is (report is REPORT)
    assert ("no floor: nothing was measured." in out) is (report is WITHOUT)
    assert ("67%" in out) is (report is REPORT)


def test_a_trace_has_all_layers_one_after_the_other() -> None:
    events = REPORT.as_trace()["traceEvents"]
    assert [event["ts"] for event in events] == [0.0, 1000.0, 3000.0, 9000.0]
    assert [event["name"] for event in events] == ["n0", "m", "c", "n3"]


def test_a_profile_that_measured_nothing_fails() -> None:
    check(REPORT)
    with pytest.raises(CheckFailedError, match="nothing was measured"):
        check(replace(REPORT, layers=()))
    with pytest.raises(CheckFailedError, match="nothing was measured"):
        check(replace(REPORT, layers=tuple(replace(layer, ms=0.0) for layer in LAYERS)))


@pytest.mark.parametrize("latency", [4.9, 20.1])
def test_layers_that_are_no_account_of_the_run_fail(latency: float) -> None:
    with pytest.raises(CheckFailedError, match="says nothing about the run"):
        check(replace(REPORT, latency_ms=latency))


def test_wrong_use_is_refused_before_anything_runs(example: Callable[..., Any]) -> None:
    bundle = Bundle(example().bundle)
    for options in ({"threads": 0}, {"runs": 0}, {"runs": 10**6}):
        with pytest.raises(UsageError, match="runs 1 to"):
            profile_bundle(bundle, **options)
    with pytest.raises(UnknownNameError, match="onnxruntime"):
        profile_bundle(bundle, backend="onnxruntim")
    assert set(PROFILERS) == {"onnxruntime", "openvino", "tensorrt"}


def test_the_picture_says_that_there_is_no_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    texts = []
    for name, report in (("with.svg", REPORT), ("without.svg", WITHOUT)):
        texts.append(plot_profile(report, tmp_path / name).read_text(encoding="utf-8"))
    assert ["No floor: nothing was measured." in text for text in texts] == [False, True]
    assert [", no floor;" in text for text in texts] == [False, True]
    assert ["of the rate" in text for text in texts] == [True, False]


@pytest.mark.parametrize("report", [REPORT, WITHOUT])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_picture_is_written_whole_and_overwrites_nothing(
    tmp_path: Path, suffix: str, report: ProfileReport
) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"p{suffix}"
    plot_profile(report, path)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")
    with pytest.raises(OutputExistsError):
        plot_profile(report, path)
    assert path.read_bytes() == data


# ---- the peak --------------------------------------------------------------------------------


def test_the_peak_model_is_one_product_also_quantised(tmp_path: Path) -> None:
    batch = np.random.default_rng(1).normal(0, 1, (64, 64)).astype(np.float32)
    found = []
    for quantised in (False, True):
        path = write_peak_model(tmp_path / f"{quantised}.onnx", size=64, quantised=quantised)
        assert read_graph(path, {}).macs == 64**3
        with BACKEND.open(path, OpenOptions(threads=1)) as session:
            found.append(session.run({"input": batch})["output"])
    assert np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1] > 0.99
    assert np.abs(found[0] - found[1]).max() > 0


def test_the_peak_is_a_contender_like_the_others(tmp_path: Path) -> None:
    made = peak_contender(tmp_path, 2, size=32)
    assert (made.macs, made.options["threads"], made.options["backend"]) == (
        32**3,
        2,
        "onnxruntime",
    )
    assert Path(made.options["model"]).is_file()
