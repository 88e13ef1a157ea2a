"""Accuracy against labels, with the interval that the number of samples allows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.errors import CheckFailedError
from stgcn_deploy.measure.accuracy import AccuracyReport, evaluate

CLIP = np.zeros((1, 2, 3, 2), np.float32)


def _clip(answer: int) -> np.ndarray:
    """A clip on which the classifier of these tests says `answer`."""
    return CLIP + answer


def _scores(classes: int) -> object:
    def scores_of(batch: np.ndarray) -> np.ndarray:
        assert batch.shape == (1, *CLIP.shape)
        answer = int(batch[0, 0, 0, 0, 0])
        # The answer first, then the classes after it, in a ring.
        return -np.mod(np.arange(classes) - answer, classes, dtype=np.float64)[None]

    return scores_of


def _evaluated(pairs: list[tuple[int, int]], classes: int = 7) -> AccuracyReport:
    samples: Iterator[tuple[np.ndarray, int]] = ((_clip(said), truth) for said, truth in pairs)
    return evaluate(_scores(classes), samples, classes)  # type: ignore[arg-type]


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
    report = AccuracyReport(np.array([[right, count - right], [0, 0]]), count)
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
    report = AccuracyReport(np.array([[right, count - right], [0, 0]]), count)
    assert report.interval == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 100))
def test_more_samples_narrow_the_interval(times: int) -> None:
    few = AccuracyReport(np.array([[3, 1], [0, 0]]), 4)
    many = AccuracyReport(np.array([[3, 1], [0, 0]]) * (times + 1), 4 * (times + 1))
    assert math.dist(*[[x] for x in many.interval]) < math.dist(*[[x] for x in few.interval])


def test_the_report_is_plain_values() -> None:
    found = _evaluated([(0, 0), (1, 0)]).as_dict()
    assert json.loads(json.dumps(found))["count"] == 2
    assert found["top1"] == 0.5
