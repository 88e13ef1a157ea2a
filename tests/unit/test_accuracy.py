"""Accuracy against labels, with the interval that the number of samples allows."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.errors import CheckFailedError
from stgcn_deploy.measure.accuracy import AccuracyReport, accuracy_of, places


def _scores(answers: list[int], classes: int) -> np.ndarray:
    """The answer first, then the classes after it, in a ring."""
    return np.stack([-np.mod(np.arange(classes) - a, classes).astype(float) for a in answers])


def _evaluated(pairs: list[tuple[int, int]], classes: int = 7) -> AccuracyReport:
    said, truths = [list(one) for one in zip(*pairs, strict=True)] if pairs else ([], [])
    scores = _scores(said, classes) if said else np.zeros((0, classes))
    return accuracy_of(scores, np.array(truths, dtype=np.int64))


def _two_classes(right: int, count: int) -> AccuracyReport:
    wrong = count - right
    return AccuracyReport(np.array([[right, wrong], [0, 0]]), np.array([right, wrong]))


def test_every_sample_is_counted_at_its_truth_and_its_prediction() -> None:
    report = _evaluated([(0, 0), (1, 0), (1, 1), (2, 6), (2, 2)])
    assert report.count == 5
    assert report.confusion[0, 0] == 1
    assert report.confusion[0, 1] == 1
    assert report.confusion[6, 2] == 1
    assert report.top1 == pytest.approx(3 / 5)


def test_the_five_best_are_the_five_best() -> None:
    # Said 0: the ring is 0, 1, 2, 3, 4 | 5, 6.
    assert _evaluated([(0, 4)]).top5 == 1
    assert _evaluated([(0, 5)]).top5 == 0
    assert _evaluated([(0, 4), (0, 5)]).top5 == pytest.approx(0.5)


def test_a_class_without_a_sample_has_no_recall_and_no_say() -> None:
    report = _evaluated([(0, 0), (0, 0), (0, 1)])
    assert report.per_class[0] == 1
    assert report.per_class[1] == 0
    assert np.isnan(report.per_class[2:]).all()
    assert report.mean_class == pytest.approx(0.5)


def test_no_sample_at_all_is_a_failed_check() -> None:
    with pytest.raises(CheckFailedError, match="no sample was evaluated"):
        _evaluated([])


@given(st.integers(1, 400), st.data())
def test_the_interval_holds_the_share_and_stays_between_nothing_and_all(
    count: int, data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, count))
    report = _two_classes(right, count)
    low, high = report.interval
    assert -1e-9 <= low <= report.top1 + 1e-9
    assert report.top1 - 1e-9 <= high <= 1 + 1e-9


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    # Newcombe 1998, table I, method 3 (Wilson score).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
     (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_the_interval_is_the_one_of_the_literature(
    right: int, count: int, low: float, high: float
) -> None:
    report = _two_classes(right, count)
    assert report.interval == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 100))
def test_more_samples_narrow_the_interval(times: int) -> None:
    few = _two_classes(3, 4)
    many = _two_classes(3 * (times + 1), 4 * (times + 1))
    assert math.dist(*[[x] for x in many.interval]) < math.dist(*[[x] for x in few.interval])


def test_the_report_is_plain_values() -> None:
    found = _evaluated([(0, 0), (1, 0)]).as_dict()
    assert json.loads(json.dumps(found))["count"] == 2
    assert found["top1"] == 0.5


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 1000))
def test_places_are_those_of_a_stable_sort(count: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Few different values: most of them tie.
    scores = rng.integers(0, 3, (count, classes)).astype(np.float32)
    labels = rng.integers(0, classes, count)
    order = np.argsort(-scores, axis=1, kind="stable")
    expected = [list(row).index(label) for row, label in zip(order, labels, strict=True)]
    assert places(scores, labels).tolist() == expected
    report = accuracy_of(scores, labels)
    assert report.top1 == pytest.approx(np.mean(order[:, 0] == labels))
    assert report.top(3) == pytest.approx(np.mean([place < 3 for place in expected]))
    assert np.trace(report.confusion) == report.ranks[0]


def test_nan_among_the_scores_is_no_hit_but_a_failed_check() -> None:
    scores = np.zeros((3, 4), np.float32)
    scores[1, 2] = np.nan
    with pytest.raises(CheckFailedError, match=r"1 of 3 samples have NaN .* first number 1"):
        accuracy_of(scores, np.zeros(3, np.int64))
