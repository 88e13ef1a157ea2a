"""Verification can say no: each way in which a graph is not the network makes it fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from checkpoints import copied, edit_manifest, edit_model, reseal, save, stgcn, tiny
from onnx import TensorProto, helper, numpy_helper

from stgcn_deploy import api
from stgcn_deploy.bundle import Bundle, Golden, write_golden
from stgcn_deploy.errors import CheckFailedError, StgcnError, UsageError
from stgcn_deploy.measure.verify import VerifyReport, failure_text, refuse_failed

PARITY = "parity with the recorded reference"
REFERENCE = "parity with the checkpoint's reference form"
DEPENDENCE = "output depends on every part of the input"

Edit = Callable[[onnx.ModelProto], object]


def _failed(report: VerifyReport) -> set[str]:
    return {check.name for check in report.checks if not check.passed}


def _verified(bundle: Path, **options: Any) -> VerifyReport:
    return api.verify(bundle, **{"seeds": 1} | options)


def _refusal(bundle: Path, **options: Any) -> str:
    """Why a bundle does not pass, whether a check says so or the runtime refuses before."""
    try:
        report = _verified(bundle, **options)
    except StgcnError as error:
        return str(error)
    return "" if report.passed else failure_text(report)


@pytest.fixture
def bundle(example: Callable[..., Any], tmp_path: Path) -> Path:
    """A small st-gcn bundle of this test's own."""
    return copied(example().bundle, tmp_path)


# ---- it passes what is right -----------------------------------------------------------------


@pytest.mark.parametrize("form", ["aggregate", "einsum", "matmul", "reference"])
@pytest.mark.parametrize("name", ["stgcn", "twostream-openpose", "stgcnpp"])
def test_an_untouched_bundle_passes(example: Callable[..., Any], name: str, form: str) -> None:
    made = example(name, graph_form=form)
    report = _verified(made.bundle, checkpoint=made.checkpoint)
    assert report.passed, failure_text(report)
    assert report.reference is not None
    assert report.golden.max_error < 2e-6
    assert report.reference.max_error < 2e-6
    refuse_failed(report)


@pytest.mark.parametrize(
    "options",
    [{"logits": True}, {"external_data": True}, {"batch": 2}, {"persons": 1}]
    + [{"dynamic": axes} for axes in ("batch", "frames", "persons", "batch,frames,persons")],
    ids=str,
)
def test_every_kind_of_bundle_passes(example: Callable[..., Any], options: dict[str, Any]) -> None:
    made = example(**options)
    report = _verified(made.bundle, checkpoint=made.checkpoint)
    assert report.passed, failure_text(report)


def test_a_model_saved_again_passes(bundle: Path) -> None:
    """The edits below prove something only if saving alone changes nothing."""
    assert _verified(edit_model(bundle, lambda model: None)).passed


# ---- weights ---------------------------------------------------------------------------------


def _scaled(name: str, factor: float) -> Edit:
    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == name:
                values = numpy_helper.to_array(tensor) * np.float32(factor)
                tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))

    return change


def _weights(bundle: Path, *, least: int, ranks: tuple[int, ...] = (1, 2, 3, 4)) -> list[str]:
    model = onnx.load(str(bundle / "model.onnx"))
    return [
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
        and np.prod(tensor.dims) >= least
        and len(tensor.dims) in ranks
    ]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("stgcn", "aggregate"),
        ("stgcn", "einsum"),
        ("stgcn", "matmul"),
        ("twostream-openpose", "aggregate"),
        pytest.param("stgcnpp", "aggregate", marks=pytest.mark.slow),
    ],
)
def test_one_percent_of_any_one_tensor_is_noticed(
    example: Callable[..., Any], tmp_path: Path, name: str, form: str
) -> None:
    source = example(name, graph_form=form).bundle
    names = _weights(source, least=2)
    assert len(names) >= 14
    passed = {}
    for index, tensor in enumerate(names):
        damaged = copied(source, tmp_path / str(index))
        report = _verified(edit_model(damaged, _scaled(tensor, 1.01)))
        if PARITY not in _failed(report):
            passed[tensor] = report.golden.max_error
    assert passed == {}


def test_one_percent_of_any_weight_of_the_reference_form_is_noticed(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    """Here biases stand alone; one of two numbers moves the logits by less than rounding may."""
    source = example("stgcnpp", graph_form="reference").bundle
    names = _weights(source, least=6, ranks=(2, 3, 4))
    assert len(names) >= 30
    passed = []
    for index, tensor in enumerate(names):
        damaged = copied(source, tmp_path / str(index))
        if _verified(edit_model(damaged, _scaled(tensor, 1.01))).passed:
            passed.append(tensor)
    assert passed == []


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_weight_that_is_no_number_or_nothing_is_noticed(bundle: Path, value: float) -> None:
    name = next(name for name in _weights(bundle, least=100) if "tcn" in name)
    assert PARITY in _failed(_verified(edit_model(bundle, _scaled(name, value))))


def test_the_weights_of_another_training_are_noticed(
    example: Callable[..., Any], bundle: Path
) -> None:
    other = example("stgcn", fps=30.0)  # the same network, in a folder of its own
    checkpoint = save(stgcn(seed=99), other.bundle.parent / "other.pt")
    report = _verified(bundle, checkpoint=checkpoint)
    assert _failed(report) == {REFERENCE}
    assert report.golden.passed


# ---- the graph -------------------------------------------------------------------------------


def _before(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray] | None = None) -> Edit:
    """Put nodes between the input and all that reads it; they end in "changed"."""

    def change(model: onnx.ModelProto) -> None:
        graph = model.graph
        for node in graph.node:
            for index, name in enumerate(node.input):
                if name == "input":
                    node.input[index] = "changed"
        old = list(graph.node)
        del graph.node[:]
        graph.node.extend([*nodes, *old])
        graph.initializer.extend(
            numpy_helper.from_array(value, name) for name, value in (constants or {}).items()
        )

    return change


def _behind(op: str, tensor: str, **attributes: Any) -> Edit:
    """Put one operator behind a tensor, which everybody else then reads."""

    def change(model: onnx.ModelProto) -> None:
        graph = model.graph
        place = next(i for i, node in enumerate(graph.node) if tensor in node.output)
        graph.node[place].output[0] = "before"
        graph.node.insert(place + 1, helper.make_node(op, ["before"], [tensor], **attributes))

    return change


def _joints_swapped(first: int, second: int) -> Edit:
    order = np.arange(18)
    order[[first, second]] = second, first
    gather = helper.make_node("Gather", ["input", "order"], ["changed"], axis=3)
    return _before([gather], {"order": order})


def _masked(axis: int, index: int, size: int) -> Edit:
    """One joint, channel, person or frame set to zero."""
    mask = np.ones([size if place == axis else 1 for place in range(5)], np.float32)
    mask[tuple(index if place == axis else 0 for place in range(5))] = 0
    return _before([helper.make_node("Mul", ["input", "mask"], ["changed"])], {"mask": mask})


EDITS: dict[str, Edit] = {
    "two joints swapped": _joints_swapped(4, 7),
    "neighbours swapped": _joints_swapped(0, 1),
    "one joint dropped": _masked(3, 17, 18),
    "one channel dropped": _masked(1, 2, 3),
    "one person dropped": _masked(4, 1, 2),
    "one frame dropped": _masked(2, 7, 20),
    "every input dropped": _before(
        [helper.make_node("Mul", ["input", "none"], ["changed"])],
        {"none": np.zeros(1, np.float32)},
    ),
    "input doubled": _before([helper.make_node("Add", ["input", "input"], ["changed"])]),
    "softmax before the logits": _behind("Softmax", "logits", axis=1),
    "sign turned": _behind("Neg", "logits"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_another_graph_is_noticed(bundle: Path, edit: str) -> None:
    assert PARITY in _failed(_verified(edit_model(bundle, EDITS[edit])))


def test_frames_in_reverse_are_noticed(bundle: Path) -> None:
    order = np.arange(20)[::-1].copy()
    gather = helper.make_node("Gather", ["input", "order"], ["changed"], axis=2)
    assert PARITY in _failed(_verified(edit_model(bundle, _before([gather], {"order": order}))))


@pytest.mark.parametrize("stream", ["origin", "motion"])
def test_a_dropped_stream_is_noticed(
    example: Callable[..., Any], tmp_path: Path, stream: str
) -> None:
    def drop(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name.endswith("head.weight"):
                values = numpy_helper.to_array(tensor).copy()
                half = values.shape[1] // 2
                values[:, slice(None, half) if stream == "origin" else slice(half, None)] = 0
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    damaged = copied(example("twostream-openpose").bundle, tmp_path)
    assert PARITY in _failed(_verified(edit_model(damaged, drop)))


def test_the_other_definition_of_motion_is_noticed(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    first = example("twostream-openpose")
    second = example("twostream-openpose", motion="second_difference")
    damaged = copied(first.bundle, tmp_path)
    (damaged / "model.onnx").write_bytes((second.bundle / "model.onnx").read_bytes())
    assert PARITY in _failed(_verified(reseal(damaged)))


def test_softmax_applied_twice_is_noticed(bundle: Path) -> None:
    """The logits are right, and so parity is: only the outputs tell."""
    report = _verified(edit_model(bundle, _behind("Softmax", "output", axis=1)))
    assert _failed(report) == {"outputs"}


def test_a_softmax_in_a_bundle_of_logits_is_noticed(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    damaged = copied(example(logits=True).bundle, tmp_path)
    report = _verified(edit_model(damaged, _behind("Softmax", "output", axis=1)))
    assert _failed(report) == {"outputs"}


def test_a_bundle_of_logits_that_says_probabilities_is_noticed(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    damaged = copied(example(logits=True).bundle, tmp_path)
    edit_manifest(damaged, lambda m: m.update(output="probabilities"))
    assert _failed(_verified(damaged)) == {"outputs"}


def test_probabilities_that_are_almost_right_are_noticed(bundle: Path) -> None:
    def shrink(model: onnx.ModelProto) -> None:
        _behind("Mul", "output")(model)
        model.graph.node[-1].input.append("almost")
        model.graph.initializer.append(numpy_helper.from_array(np.float32([0.999]), "almost"))

    assert _failed(_verified(edit_model(bundle, shrink))) == {"outputs"}


# ---- what the manifest says ------------------------------------------------------------------


@pytest.mark.parametrize("opset", [11, 17, 19])
def test_another_opset_than_the_file_has_is_noticed(bundle: Path, opset: int) -> None:
    edit_manifest(bundle, lambda m: m.update(opset=opset))
    assert _failed(_verified(bundle)) == {"opset in the file"}


def test_a_second_operator_set_is_noticed(bundle: Path) -> None:
    def add(model: onnx.ModelProto) -> None:
        model.opset_import.append(helper.make_opsetid("com.example", 1))

    assert "opset in the file" in _failed(_verified(edit_model(bundle, add)))


def test_an_axis_that_is_open_in_words_only_is_noticed(bundle: Path) -> None:
    edit_manifest(bundle, lambda m: m["clip"].update(dynamic={"N": [1, 1]}))
    assert "shape of input" in _failed(_verified(bundle))


def test_an_axis_that_is_fixed_in_words_only_is_noticed(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    damaged = copied(example(dynamic="frames").bundle, tmp_path)
    edit_manifest(damaged, lambda m: m["clip"].update(dynamic={}))
    assert "shape of input" in _failed(_verified(damaged))


def test_an_open_axis_that_breaks_at_its_ends_is_noticed(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    """Fixed inside, open outside: the traced size works, no other does."""
    damaged = copied(example(frames=60).bundle, tmp_path)

    def pretend(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "frames"

    edit_model(damaged, pretend)
    edit_manifest(damaged, lambda m: m["clip"].update(dynamic={"T": [50, 200]}))
    assert _refusal(damaged)


@pytest.mark.parametrize(("old", "new"), [("input", "clip"), ("output", "scores")])
def test_other_names_are_noticed(bundle: Path, old: str, new: str) -> None:
    def rename(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    if name == old:
                        names[index] = new
        (model.graph.input if old == "input" else model.graph.output)[0].name = new

    assert old in _refusal(edit_model(bundle, rename))


# ---- golden cases ----------------------------------------------------------------------------


def _golden(bundle: Path, change: Callable[[Golden], Golden | None]) -> Path:
    cases = [changed for case in Bundle(bundle).golden() if (changed := change(case))]
    write_golden(bundle, tuple(cases))
    return reseal(bundle)


def test_no_golden_case_is_a_failure(bundle: Path) -> None:
    report = _verified(_golden(bundle, lambda case: None))
    assert _failed(report) == {PARITY}
    assert not report.golden.cases


def test_no_golden_case_is_a_failure_even_with_the_checkpoint(
    example: Callable[..., Any], bundle: Path
) -> None:
    report = _verified(_golden(bundle, lambda case: None), checkpoint=example().checkpoint)
    assert not report.passed


def test_a_golden_case_that_was_changed_is_noticed(bundle: Path) -> None:
    def change(case: Golden) -> Golden:
        factor = 1.01 if case.name == "random" else 1.0
        return Golden(case.name, case.batch, case.logits * factor)

    assert _failed(_verified(_golden(bundle, change))) == {PARITY}


@pytest.mark.parametrize(
    "logits",
    [
        lambda logits: logits[:, :4],
        lambda logits: logits[0],
        lambda logits: logits * np.nan,
        lambda logits: logits[:0],
    ],
    ids=["fewer classes", "one axis less", "no numbers", "empty"],
)
def test_golden_logits_of_another_shape_or_none_fail(
    bundle: Path, logits: Callable[[np.ndarray], np.ndarray]
) -> None:
    _golden(bundle, lambda case: Golden(case.name, case.batch, logits(case.logits)))
    report = _verified(bundle)
    assert PARITY in _failed(report)


def test_a_golden_input_of_another_shape_is_a_failure_in_words(bundle: Path) -> None:
    _golden(bundle, lambda case: Golden(case.name, case.batch[..., :2], case.logits))
    assert _refusal(bundle)


def _swindled(bundle: Path, edit: Edit) -> Path:
    """A changed graph whose golden cases were recorded from the changed graph."""
    edit_model(bundle, edit)
    from stgcn_deploy.backends.base import OpenOptions
    from stgcn_deploy.backends.registry import BACKENDS

    feed = Bundle(bundle).manifest.feed
    with BACKENDS["onnxruntime"].open(bundle / "model.onnx", OpenOptions(tap="logits")) as session:

        def again(case: Golden) -> Golden:
            found = session.run(feed(case.batch))["logits"]
            return Golden(case.name, case.batch, found.astype(np.float64))

        return _golden(bundle, again)


DROPPED = [name for name in EDITS if "dropped" in name and "frame" not in name]


@pytest.mark.parametrize("edit", DROPPED)
def test_a_part_that_changes_nothing_is_noticed_without_any_reference(
    bundle: Path, edit: str
) -> None:
    report = _verified(_swindled(bundle, EDITS[edit]))
    assert _failed(report) == {DEPENDENCE}


@pytest.mark.parametrize("edit", EDITS)
def test_the_checkpoint_sees_through_golden_cases_that_agree(
    example: Callable[..., Any], bundle: Path, edit: str
) -> None:
    report = _verified(_swindled(bundle, EDITS[edit]), checkpoint=example().checkpoint)
    assert REFERENCE in _failed(report)


def test_a_constant_answer_is_noticed_even_when_the_manifest_calls_all_inputs_inert(
    example: Callable[..., Any], bundle: Path
) -> None:
    _swindled(bundle, EDITS["every input dropped"])
    inert = list(_verified(bundle).inert)
    assert len(inert) == 18 + 3 + 2 + 5
    edit_manifest(bundle, lambda m: m["parity"].update(inert=inert))
    report = _verified(bundle, checkpoint=example().checkpoint)
    assert {REFERENCE, DEPENDENCE} <= _failed(report)


def test_a_joint_that_the_training_never_used_is_inert_and_no_failure(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    """A column and row of zeros in A: the reference does not depend on it either."""
    state = tiny("stgcn")
    state["A"] = state["A"].clone()
    state["A"][:, 16, :] = 0
    checkpoint = save(state, tmp_path / "blind.pt")
    made = api.export(checkpoint, tmp_path / "blind", frames=20, persons=2, graph_form="aggregate")
    assert made.report is not None
    assert [name for name in made.report.inert if "joint 16" in name]
    report = _verified(tmp_path / "blind")
    assert report.passed, failure_text(report)


# ---- files that are no model -----------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"text", b"\x08\x08"], ids=["empty", "text", "header"])
def test_a_model_that_cannot_be_read_is_a_failure_in_words(bundle: Path, content: bytes) -> None:
    (bundle / "model.onnx").write_bytes(content)
    reseal(bundle)
    assert _refusal(bundle)


def test_a_graph_that_the_checker_refuses_fails(bundle: Path) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == "Relu")
        node.attribute.append(helper.make_attribute("no_such_attribute", 1))

    assert "no_such_attribute" in _refusal(edit_model(bundle, spoil))


# ---- options and verdicts --------------------------------------------------------------------


def test_the_caller_may_ask_for_less_error_than_there_is(bundle: Path) -> None:
    assert PARITY in _failed(_verified(bundle, rtol=1e-12))
    assert PARITY in _failed(_verified(bundle, atol=0.0))


def test_the_caller_may_allow_more(bundle: Path) -> None:
    name = _weights(bundle, least=100)[0]
    edit_model(bundle, _scaled(name, 1.001))
    assert not _verified(bundle).passed
    assert PARITY not in _failed(_verified(bundle, rtol=0.1))
    assert PARITY not in _failed(_verified(bundle, atol=0.5))


@pytest.mark.parametrize("seeds", [1, 3])
def test_every_seed_is_one_more_input(
    example: Callable[..., Any], bundle: Path, seeds: int
) -> None:
    report = _verified(bundle, checkpoint=example().checkpoint, seeds=seeds)
    assert report.reference is not None
    drawn = [case for case in report.reference.cases if "random[" in case.name]
    assert len(drawn) == seeds


def test_a_clip_of_the_users_is_one_more_input(
    example: Callable[..., Any], bundle: Path, tmp_path: Path
) -> None:
    clip = np.random.default_rng(5).normal(0, 1, (1, 33, 18, 3)).astype(np.float32)
    np.save(tmp_path / "mine.npy", clip)
    report = _verified(bundle, checkpoint=example().checkpoint, data=tmp_path / "mine.npy")
    assert report.passed, failure_text(report)
    assert report.reference is not None
    assert [case for case in report.reference.cases if "mine.npy" in case.name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"rtol": -1e-5}, "rtol must be at least 0"),
        ({"rtol": 1.0}, "below 1"),
        ({"atol": float("nan")}, "atol must be"),
        ({"data": "clip.npy"}, "give its --checkpoint too"),
        ({"backend": "onnxruntme"}, "did you mean 'onnxruntime'"),
    ],
)
def test_wrong_options_are_refused(bundle: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        api.verify(bundle, **options)


@pytest.mark.parametrize("other", ["pyskl", "stgcn-person", "stgcn-uniform", "twostream-openpose"])
def test_the_checkpoint_of_another_network_is_refused_or_fails(
    example: Callable[..., Any], bundle: Path, tmp_path: Path, other: str
) -> None:
    checkpoint = save(tiny(other), tmp_path / f"{other}.pt")
    reason = _refusal(bundle, checkpoint=checkpoint)
    assert "another network" in reason or REFERENCE in reason


def test_a_failed_report_says_what_failed_and_cannot_be_ignored(bundle: Path) -> None:
    report = _verified(edit_model(bundle, EDITS["sign turned"]))
    assert PARITY in failure_text(report)
    assert not report.as_dict()["passed"]
    with pytest.raises(CheckFailedError, match="failed verification"):
        refuse_failed(report)


def test_no_check_at_all_is_no_pass(bundle: Path) -> None:
    report = _verified(bundle)
    assert not VerifyReport(report.bundle, report.backend, (), report.golden).passed
