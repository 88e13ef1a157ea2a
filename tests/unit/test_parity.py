"""The comparison that everything rests on: its numbers, and that it can say no."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stgcn_deploy.errors import UsageError
from stgcn_deploy.measure.parity import CaseError, compare, summarise
from stgcn_deploy.measure.tolerances import TOLERANCES, Tolerance, tolerance_for

ROW = Tolerance(1e-5, 1.0, "for these tests")
Array = np.ndarray


def _logits(seed: int = 0, rows: int = 3, classes: int = 6, scale: float = 4.0) -> Array:
    return np.random.default_rng(seed).normal(0, scale, (rows, classes))


def _passes(reference: Array, candidate: Array, row: Tolerance = ROW) -> bool:
    return summarise([compare("case", reference, candidate)], row).passed


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 7))
def test_equal_logits_have_no_error(seed: int, rows: int, classes: int) -> None:
    logits = _logits(seed, rows, classes)
    case = compare("case", logits, logits.copy())
    assert case.max_error == case.mean_error == case.p99_error == 0
    assert case.same_top1
    assert case.finite
    assert summarise([case], ROW).passed


@given(st.integers(0, 1000), st.floats(1e-3, 10))
def test_the_error_is_the_largest_difference_over_the_scale(seed: int, moved: float) -> None:
    logits = _logits(seed)
    other = logits.copy()
    other[1, 2] += moved
    case = compare("case", logits, other)
    scale = max(1.0, np.abs(logits).max())
    assert case.scale == scale
    assert math.isclose(case.max_error, moved / scale, rel_tol=1e-9)
    assert math.isclose(case.mean_error, moved / scale / logits.size, rel_tol=1e-9)


def test_small_logits_are_not_blown_up() -> None:
    logits = _logits(scale=1e-3)
    assert compare("case", logits, logits + 1e-6).max_error == pytest.approx(1e-6)


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_large_networks_are_judged_as_small_ones(seed: int, factor: float) -> None:
    """Multiplying both sides changes nothing, once the logits are larger than one."""
    logits = _logits(seed)
    noise = np.random.default_rng(seed + 1).normal(0, 1e-4, logits.shape)
    assume(np.abs(logits).max() > 1 and np.abs(logits * factor).max() > 1)
    plain = compare("case", logits, logits + noise)
    scaled = compare("case", logits * factor, (logits + noise) * factor)
    assert math.isclose(plain.max_error, scaled.max_error, rel_tol=1e-6)


@pytest.mark.parametrize(("moved", "passes"), [(0.9e-5, True), (1.1e-5, False)])
def test_the_tolerance_is_the_border(moved: float, passes: bool) -> None:
    logits = _logits()
    other = logits.copy()
    other[0, 0] += moved * np.abs(logits).max()
    assert _passes(logits, other) is passes


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_fails(value: float) -> None:
    logits = _logits()
    other = logits.copy()
    other[2, 3] = value
    assert not _passes(logits, other)
    assert not _passes(logits, other, Tolerance(1e9, 0.0, "anything goes"))


def test_a_reference_that_is_no_number_fails() -> None:
    logits = _logits()
    logits[0, 0] = np.nan
    assert not _passes(logits, _logits())
    assert not _passes(logits, logits)


@pytest.mark.parametrize(
    ("shape", "other"),
    [((3, 6), (3, 5)), ((3, 6), (1, 6)), ((3, 6), (6,)), ((0, 6), (0, 6)), ((3, 0), (3, 0))],
)
def test_another_shape_or_none_at_all_fails(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Nothing is broadcast, cut to the shorter one, or passed because it is empty."""
    case = compare("case", np.zeros(shape), np.zeros(other))
    assert math.isinf(case.max_error)
    assert not summarise([case], Tolerance(1e9, 0.0, "anything goes")).passed


def test_no_case_at_all_fails() -> None:
    report = summarise([], Tolerance(1e9, 0.0, "anything goes"))
    assert not report.passed
    assert report.worst is None
    assert math.isnan(report.max_error)
    assert not report.as_dict()["passed"]


def test_one_bad_case_among_many_fails_and_is_the_worst() -> None:
    logits = _logits()
    good = [compare(f"good {index}", logits, logits) for index in range(9)]
    bad = compare("bad", logits, logits + 1)
    report = summarise([*good, bad], ROW)
    assert not report.passed
    assert report.worst is bad
    assert report.max_error == bad.max_error
    assert report.mean_error == pytest.approx(bad.mean_error / 10)


def test_a_case_that_is_no_number_is_worse_than_a_large_error() -> None:
    logits = _logits()
    far = compare("far", logits, logits + 1e6)
    none = compare("none", logits, np.full_like(logits, np.nan))
    assert summarise([none, far], ROW).worst is none
    assert summarise([far, none], ROW).worst is none


def _agreement(reference: Array, candidate: Array, row: Tolerance = ROW) -> float:
    return summarise([compare("case", reference, candidate)], row).top1_agreement


@pytest.mark.parametrize("error", [1e-5, 0.1])
def test_another_first_class_is_counted_as_another(error: float) -> None:
    """A flip needs an error of half the margin at least, so the error itself excuses none."""
    reference = np.array([[0.0, 1.0, 2.0]])
    flipped = np.array([[0.0, 2.0, 1.0]])
    assert compare("case", reference, flipped).margin == pytest.approx(0.5)
    assert _agreement(reference, flipped, Tolerance(error, 1.0, "given")) == 0


def test_a_tie_within_the_tolerance_is_no_flip() -> None:
    reference = np.array([[0.0, 2.0, 2.0 + 1e-7]])
    flipped = np.array([[0.0, 2.0 + 1e-7, 2.0]])
    assert _agreement(reference, flipped) == 1
    assert _passes(reference, flipped)


def test_a_margin_that_the_error_could_not_bridge_is_no_tie() -> None:
    """The worst row of a case must not lend its error to the others."""
    reference = np.array([[0.0, 5.0], [5.0, 0.0]])
    candidate = np.array([[0.0, 5.0], [0.0, 5.0]])
    assert _agreement(reference, candidate) == 0


def test_the_share_of_same_first_classes_is_required() -> None:
    flipped = CaseError("flip", 0.0, 0.0, 0.0, 1.0, margin=0.5, flip=0.5, finite=True)
    same = CaseError("same", 0.0, 0.0, 0.0, 1.0, margin=0.5, flip=0.0, finite=True)
    assert summarise([same, flipped], ROW).top1_agreement == 0.5
    assert not summarise([same, flipped], ROW).passed
    assert summarise([same, flipped], Tolerance(1e-5, 0.5, "half")).passed


@pytest.mark.parametrize(("moved", "passes"), [(0.9e-3, True), (1.1e-3, False)])
def test_an_absolute_tolerance_is_in_units_of_logits(moved: float, passes: bool) -> None:
    logits = _logits(scale=20)
    other = logits.copy()
    other[0, 0] += moved
    assert _passes(logits, other, Tolerance(0.0, 1.0, "given", 1e-3)) is passes


def test_one_class_has_nothing_to_be_confused_with() -> None:
    assert compare("case", np.ones((2, 1)), np.ones((2, 1))).margin == 1


def test_a_report_is_plain_values() -> None:
    found = summarise([compare("case", _logits(), _logits())], ROW).as_dict()
    assert found["tolerance"] == ROW.error
    assert found["cases"][0]["name"] == "case"
    assert all(isinstance(v, (bool, int, float, str)) for v in found["cases"][0].values())


def test_every_tolerance_has_its_evidence() -> None:
    for row in TOLERANCES.values():
        assert row.evidence
        assert 0 < row.error < 1
        assert 0 < row.top1 <= 1


def test_there_is_no_silent_default() -> None:
    assert tolerance_for("onnxruntime", "fp32").error == 1e-5
    with pytest.raises(UsageError, match="no tolerance is on record for onnxruntime fp8"):
        tolerance_for("onnxruntime", "fp8")
