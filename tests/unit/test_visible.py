"""What probabilities tell of logits, and what they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.measure.parity import compare, scale_of, summarise
from stgcn_deploy.measure.tolerances import Tolerance
from stgcn_deploy.measure.visible import OUTPUT, Visible, shares_of

SOFT = Visible("softmax", OUTPUT, 1e-30)
HALF = Visible("softmax", OUTPUT, 1e-4)
ODDS = Visible("sigmoid", OUTPUT, 2e-2, 2e-2)
ROW = Tolerance(1e-5, 1.0, "of this test")


def _logits(seed: int = 0, size: float = 3.0, shape: tuple[int, int] = (4, 6)) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, shape)


def _compared(visible: Visible, reference: np.ndarray, candidate: np.ndarray) -> Any:
    shown = {OUTPUT: shares_of(candidate, visible.kind).astype(np.float32)}
    return compare(
        "case",
        visible.expected(reference),
        visible.of(shown),
        scale=scale_of(reference),
        seen=visible.seen(reference),
    )


@given(st.integers(0, 1000), st.sampled_from([SOFT, ODDS]), st.floats(0.1, 15))
def test_rounding_to_float32_is_far_within_the_tolerance(
    seed: int, visible: Visible, size: float
) -> None:
    logits = _logits(seed, size)
    found = _compared(visible, logits, logits)
    assert found.max_error < 5e-6
    assert found.same_top1


@given(st.integers(0, 1000), st.floats(0.5, 10))
def test_one_logit_moved_by_a_little_is_noticed(seed: int, size: float) -> None:
    logits = _logits(seed, size)
    moved = logits.copy()
    moved[1, 2] += 4e-5 * scale_of(logits)
    assert _compared(SOFT, logits, moved).max_error > 1e-5


def test_one_odd_moved_by_a_little_is_noticed_unless_it_is_all_but_0_or_1() -> None:
    logits = np.array([[-20.0, 0.5, -3.0, 8.0]])
    for place, noticed in ((0, False), (1, True), (2, True), (3, False)):
        moved = logits.copy()
        moved[0, place] += 1e-3
        assert (_compared(ODDS, logits, moved).max_error > 1e-5) is noticed


@pytest.mark.parametrize("visible", [SOFT, HALF])
def test_a_common_term_changes_nothing(visible: Visible) -> None:
    logits = _logits()
    assert np.allclose(visible.expected(logits), visible.expected(logits + 11), atol=1e-12)


def test_twice_the_softmax_is_noticed_and_none_at_all() -> None:
    logits = _logits()
    once = shares_of(logits, "softmax")
    for wrong in (shares_of(once, "softmax"), logits):
        error = compare("case", SOFT.expected(logits), SOFT.of({OUTPUT: wrong}), scale=1.0)
        assert error.max_error > 0.1


def test_what_is_not_normalised_is_noticed() -> None:
    logits = _logits()
    doubled = 2 * shares_of(logits, "softmax")
    error = compare("case", SOFT.expected(logits), SOFT.of({OUTPUT: doubled}), scale=1.0)
    assert error.max_error == pytest.approx(np.log(2))


def test_small_on_both_sides_is_the_same_and_on_one_side_is_not() -> None:
    logits = np.array([[0.0, -20.0, -30.0, 0.3]])
    smaller = np.array([[0.0, -22.0, -90.0, 0.3]])
    assert _compared(HALF, logits, smaller).max_error < 1e-6
    larger = np.array([[0.0, -20.0, -0.5, 0.3]])
    assert _compared(HALF, logits, larger).max_error > 0.1
    assert _compared(SOFT, logits, smaller).max_error > 0.05


@pytest.mark.parametrize(
    ("visible", "logits", "seen"),
    [
        (SOFT, [[-92.37, 93.28]], 0.0),
        (SOFT, [[-20.0, 20.0]], 1.0),
        (HALF, [[-20.0, 20.0]], 0.0),
        (HALF, [[-20.0, 20.0], [0.0, 1.0]], 0.5),
        (HALF, [[0.0, 0.0, -30.0]], 1.0),
        (ODDS, [[80.0, -90.0]], 0.0),
        (ODDS, [[80.0, -1.0]], 1.0),
        (Visible("logits", OUTPUT), [[-92.37, 93.28]], 1.0),
    ],
)
def test_saturated_rows_tell_nothing(
    visible: Visible, logits: list[list[float]], seen: float
) -> None:
    assert visible.seen(np.array(logits)) == seen


def test_a_report_of_saturated_cases_alone_does_not_pass() -> None:
    """Any graph that is as sure would give the same; with one case that tells something it passes."""
    sure = np.array([[-92.37, 93.28]])
    wrong = np.array([[-40.0, 40.0]])
    blind = _compared(SOFT, sure, wrong)
    assert blind.max_error < 1e-5
    assert not summarise([blind], ROW).passed
    assert summarise([blind], ROW).told == 0
    telling = _compared(SOFT, _logits(), _logits())
    assert summarise([blind, telling], ROW).passed


@pytest.mark.parametrize("visible", [SOFT, HALF, ODDS])
def test_what_is_no_number_is_never_within_tolerance(visible: Visible) -> None:
    logits = _logits()
    broken = shares_of(logits, visible.kind)
    broken[0, 0] = np.nan
    assert not compare("case", visible.expected(logits), visible.of({OUTPUT: broken})).finite
    logits[0, 0] = np.inf
    assert not compare("case", visible.expected(logits), visible.of({OUTPUT: broken})).finite
