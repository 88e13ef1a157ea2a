"""What an export is asked for: presets, options that win over them, and contradictions."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from stgcn_deploy import api
from stgcn_deploy.errors import ExportError, UnknownNameError, UsageError
from stgcn_deploy.exporter.presets import (
    AXIS_NAMES,
    DEFAULT_OPSET,
    DYNAMIC_RANGES,
    MAX_OPSET,
    MIN_OPSET,
    PRESETS,
    ExportOptions,
    apply_preset,
    parse_dynamic,
)
from stgcn_deploy.models.graphforms import GRAPH_FORMS
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.skeleton.inputs import OPEN_AXES


def _apply(preset: str, **given: Any) -> ExportOptions:
    return apply_preset(preset, **{"batch": None, "dynamic": None, "graph_form": "auto"} | given)


@pytest.mark.parametrize(
    ("preset", "wanted"),
    [
        ("realtime", (1, frozenset("T"), "auto")),
        ("batch", (8, frozenset(), "auto")),
        ("development", (1, frozenset(), "reference")),
        ("custom", (1, frozenset(), "auto")),
    ],
)
def test_presets_answer_what_was_not_said(preset: str, wanted: tuple[object, ...]) -> None:
    options = _apply(preset)
    assert (options.batch, options.dynamic, options.graph_form) == wanted


@pytest.mark.parametrize("preset", PRESETS)
def test_what_was_said_wins_over_the_preset(preset: str) -> None:
    options = _apply(preset, batch=3, dynamic="persons", graph_form="einsum", opset=13)
    assert (options.batch, options.dynamic) == (3, frozenset("M"))
    assert (options.graph_form, options.opset) == ("einsum", 13)


def test_no_open_axis_can_be_said_too() -> None:
    assert _apply("realtime", dynamic="").dynamic == frozenset()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_says_what_it_is_for(preset: str) -> None:
    assert PRESETS[preset].meaning


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, ""),
        ("", ""),
        ("batch", "N"),
        ("batch,frames,persons", "NTM"),
        (" frames , batch ,", "NT"),
        ("frames,frames", "T"),
    ],
)
def test_axes_are_named_by_words(text: str | None, wanted: str) -> None:
    assert parse_dynamic(text) == frozenset(wanted)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _apply("realtme"), "unknown preset 'realtme'; did you mean 'realtime'"),
        (lambda: _apply("zzz"), "unknown preset 'zzz'.*Known: realtime, batch"),
        (lambda: parse_dynamic("frame"), "unknown axis 'frame'; did you mean 'frames'"),
        (lambda: parse_dynamic("N"), "unknown axis 'N'"),
        (lambda: parse_dynamic("batch;frames"), "unknown axis"),
        (lambda: ExportOptions(graph_form="einsun"), "'einsun'; did you mean 'einsum'"),
        (lambda: ExportOptions(graph_form=""), "unknown graph form ''"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(call: Any, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        call()


@pytest.mark.parametrize("opset", [0, 9, MIN_OPSET - 1, MAX_OPSET + 1, 99])
def test_an_opset_that_cannot_be_written_is_refused(opset: int) -> None:
    with pytest.raises(ExportError, match=f"give {MIN_OPSET} to {MAX_OPSET}"):
        ExportOptions(opset=opset)


@pytest.mark.parametrize("form", ["einsum", "reference"])
def test_einsum_is_refused_where_onnx_lacks_it(form: str) -> None:
    with pytest.raises(ExportError, match="--graph-form aggregate or matmul"):
        ExportOptions(opset=11, graph_form=form)
    assert ExportOptions(opset=12, graph_form=form).graph_form == form


def test_the_development_preset_below_opset_12_is_refused_with_the_way_out() -> None:
    with pytest.raises(ExportError, match="needs Einsum"):
        _apply("development", opset=11)


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_below_one_is_refused(batch: int) -> None:
    with pytest.raises(UsageError, match="batch must be at least 1"):
        ExportOptions(batch=batch)


@pytest.mark.parametrize(
    ("form", "opset", "wanted"),
    [
        ("auto", 18, set(GRAPH_FORMS)),
        ("auto", 12, set(GRAPH_FORMS)),
        ("auto", 11, set(GRAPH_FORMS) - {"einsum"}),
        ("matmul", 11, {"matmul"}),
        ("reference", 18, {"reference"}),
    ],
)
def test_auto_chooses_among_the_forms_that_the_opset_has(
    form: str, opset: int, wanted: set[str]
) -> None:
    assert set(ExportOptions(graph_form=form, opset=opset).candidates) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"), [("opset", DEFAULT_OPSET), ("graph_form", "auto"), ("preset", "custom")]
)
def test_the_defaults_of_the_verb_are_those_of_the_options(name: str, wanted: object) -> None:
    assert inspect.signature(api.export).parameters[name].default == wanted


def test_axis_tables_agree_with_each_other() -> None:
    assert {letter: name for name, letter in AXIS_NAMES.items()} == OPEN_AXES
    assert set(DYNAMIC_RANGES) == set(OPEN_AXES)
    assert all(1 <= low < high for low, high in DYNAMIC_RANGES.values())


@pytest.mark.parametrize("axes", ["V", "C", "NX"])
def test_joints_and_channels_are_never_open(axes: str) -> None:
    with pytest.raises(UsageError, match="cannot be dynamic"):
        InputShape(1, 1, 20, frozenset(axes))
