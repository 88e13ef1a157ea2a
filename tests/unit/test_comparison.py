"""The verdict of a comparison, on rows whose numbers are known beforehand."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import copied, edit_manifest, edit_model

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import (
    CheckFailedError,
    DataError,
    StgcnError,
    UnknownNameError,
    UsageError,
)
from stgcn_deploy.measure import bench
from stgcn_deploy.measure.accuracy import accuracy_of
from stgcn_deploy.measure.bench import BenchReport, Row
from stgcn_deploy.measure.comparing import compare, entries_of
from stgcn_deploy.measure.comparison import Compared, Comparison, Entry
from stgcn_deploy.measure.comparison_plot import plot_comparison
from stgcn_deploy.measure.environment import environment
from stgcn_deploy.measure.evaluation import Drop, Evaluation
from stgcn_deploy.measure.evaluation import Row as AccuracyRow
from stgcn_deploy.measure.parity import CaseError, ParityReport

ORT = "onnxruntime"


def parity(error: float = 1e-7, *, allowed: float = 1e-5, flip: float = 0.0) -> ParityReport:
    finite = bool(np.isfinite(error))
    case = CaseError("random", error, error, error, 1.0, 0.1, flip, finite)
    return ParityReport((case,), allowed, 1.0)


def accuracy(points: float | None, top1: float = 0.75) -> AccuracyRow:
    labels = np.arange(100) % 2
    right = np.arange(100) < round(100 * top1)
    scores = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
    drop = None if points is None else Drop(points, 0.4, 2, 1, 0.97)
    return AccuracyRow("n", "f", ("a", "b"), accuracy_of(scores, labels), drop, scores)


def row(latency: float = 10.0, **others: Any) -> Row:
    return Row("r", 1, 2, samples_ms=(latency,) * 3, load_ms=5.0, peak_rss_mb=90.0, **others)


def one(bundle: Bundle | None, name: str = "one", latency: float = 10.0, **others: Any) -> Compared:
    """A row that passes everything."""
    entry = Entry(Path(name), ORT, bundle)
    return replace(Compared(entry, row(latency), parity()), **others)


def found(*rows: Compared, **gates: Any) -> Comparison:
    return Comparison(rows, environment(), 1, **gates)


@pytest.fixture
def bundle(example: Callable[..., Any]) -> Bundle:
    return Bundle(example().bundle)


# ---- the verdict -------------------------------------------------------------------------------


def test_all_is_well_where_nothing_is_wrong(bundle: Bundle) -> None:
    told = found(one(bundle), one(bundle, "two", 5.0), min_speed=2.0)
    assert told.ok
    assert told.speed(told.rows[1]) == 2
    assert [told.record(row)["verdict"] for row in told.rows] == ["ok", "ok"]


def test_a_slow_one_fails_where_speed_was_asked_for(bundle: Bundle) -> None:
    rows = one(bundle), one(bundle, "slow", 8.0)
    assert found(*rows).ok
    (text,) = found(*rows, min_speed=1.3).failures
    assert text == "slow on onnxruntime: is 1.25 times as fast as the first, asked for are 1.3"
    assert found(*rows, min_speed=1.25).ok


def test_a_bundle_over_the_drop_fails(bundle: Bundle) -> None:
    def judged(points: float) -> Comparison:
        return found(
            one(bundle, accuracy=accuracy(None)), one(bundle, "int8", accuracy=accuracy(points)),
            max_drop=0.5,
        )  # fmt: skip

    assert judged(0.5).ok
    assert judged(-3).ok
    (text,) = judged(0.51).failures
    assert text == "int8 on onnxruntime: loses 0.51 points of top-1, allowed are 0.5"


def test_a_drop_that_is_not_known_is_no_pass(bundle: Bundle) -> None:
    rows = one(bundle, accuracy=accuracy(None)), one(bundle, "int8", accuracy=accuracy(None))
    (text,) = found(*rows, max_drop=0.5).failures
    assert "not known" in text


def test_a_speed_against_one_that_failed_is_no_pass(bundle: Bundle) -> None:
    broken = one(bundle, "broken", row=row(error="fell over"))
    told = found(broken, one(bundle, "two"), min_speed=0.1)
    assert math.isnan(told.speed(told.rows[1]))
    assert len(told.failures) == 2
    assert "nan times" in told.failures[1]


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (parity(1e-2), r"is 1\.0e-02 off its reference \(allowed 1e-05\)"),
        (parity(1e-6, flip=1e-3), "same first class in 0%"),
        (parity(float("inf")), "NaN or infinite"),
        (ParityReport((), 1.0, 0.0), "no recorded case"),
        (None, "no recorded case"),
    ],
    ids=["far", "flipped", "nan", "empty", "none"],
)
def test_one_that_is_not_its_reference_fails(
    bundle: Bundle, report: ParityReport | None, text: str
) -> None:
    told = found(one(bundle), one(bundle, "two", parity=report))
    (failure,) = told.failures
    assert failure.startswith("two on onnxruntime")
    assert re.search(text, failure)


def test_without_a_tolerance_on_record_an_error_is_shown_and_not_judged(bundle: Bundle) -> None:
    told = found(one(bundle), one(bundle, "new", parity=parity(0.3), judged=False))
    assert told.ok
    assert told.record(told.rows[1])["max_error"] == 0.3
    assert told.record(told.rows[1])["error_allowed"] is None
    # NaN is wrong whatever is on record.
    assert not found(one(bundle), one(bundle, parity=parity(float("nan")), judged=False)).ok


@pytest.mark.parametrize(
    "broken",
    [
        {"row": row(error="fell over")},
        {"row": Row("r", 1, 2)},
        {"row": None},
        {"error": "fell over"},
        {"entry": Entry(Path("two"), ORT, None, error="fell over")},
    ],
    ids=["timing", "no sample", "not timed", "measuring", "reading"],
)
def test_a_broken_one_is_a_failed_row(bundle: Bundle, broken: dict[str, Any]) -> None:
    told = found(one(bundle), one(bundle, "two", **broken))
    assert len(told.failures) == 1
    record = told.record(told.rows[1])
    assert record["verdict"] == "no"
    assert record["p50_ms"] is None
    assert json.dumps(told.as_dict(), allow_nan=False)


def test_nothing_measured_is_a_failure(bundle: Bundle) -> None:
    skipped = Compared(Entry(Path("one"), ORT, bundle, skipped="made for ascend"))
    told = found(skipped)
    assert told.failures == ("nothing was measured",)
    assert told.record(skipped)["reasons"] == ["made for ascend"]
    assert not found().ok


def test_a_skipped_one_fails_nothing_and_is_not_the_norm(bundle: Bundle) -> None:
    skipped = Compared(Entry(Path("one"), ORT, bundle, skipped="made for ascend"))
    told = found(skipped, one(bundle), one(bundle, "two", 5.0), min_speed=2)
    assert told.ok
    assert told.first is told.rows[1]
    assert told.record(skipped)["verdict"] == "skipped"


def test_the_size_is_that_of_the_model_alone(bundle: Bundle) -> None:
    size = (bundle.path / "model.onnx").stat().st_size
    assert one(bundle).size_mb == pytest.approx(size / 1e6)


# ---- which bundles on which backends -------------------------------------------------------------


def test_a_bundle_is_skipped_where_it_was_not_made_for(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    special = copied(example().bundle, tmp_path)
    edit_manifest(special, lambda manifest: manifest["precision"].update(target="openvino"))
    paths = [example().bundle, special]
    every = entries_of(paths, ["onnxruntime", "ov", "ort"])
    assert [(entry.path, entry.backend, entry.skipped) for entry in every] == [
        (paths[0], "onnxruntime", None), (paths[0], "openvino", None),
        (paths[1], "onnxruntime", "made for openvino"), (paths[1], "openvino", None),
    ]  # fmt: skip
    assert [entry.backend for entry in entries_of(paths, [])] == ["onnxruntime", "openvino"]
    edit_manifest(special, lambda manifest: manifest["precision"].update(target="ascend"))
    (entry,) = entries_of([special], [])
    assert entry.skipped == "made for ascend, and nothing was built for it yet"
    (asked,) = entries_of([special], ["ascend"])
    assert asked.skipped is None
    edit_manifest(special, lambda manifest: manifest["precision"].update(target="chips"))
    (entry,) = entries_of([special], [])
    assert entry.skipped == "made for chips, which is no backend here"


def test_what_is_no_bundle_is_a_failed_row(tmp_path: Path, example: Callable[..., Any]) -> None:
    (entry,) = entries_of([tmp_path / "absent"], [])
    assert "does not exist" in (entry.error or "")
    damaged = copied(example().bundle, tmp_path)
    (damaged / "model.onnx").write_bytes(b"no graph")
    (entry,) = entries_of([damaged], [ORT])
    assert "is not the file that was written" in (entry.error or "")


def test_an_unknown_backend_and_no_bundle_are_refused(example: Callable[..., Any]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'openvino'"):
        entries_of([example().bundle], ["opnvino"])
    with pytest.raises(UsageError, match="name bundles"):
        entries_of([], [ORT])


# ---- measuring -----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are not what is tested here."""

    def fake(contenders: Sequence[Any], **_: Any) -> BenchReport:
        return BenchReport(tuple(replace(row(), name=c.name) for c in contenders), {}, 1)

    monkeypatch.setattr(bench, "run_bench", fake)


def broken_scores(path: Path, factor: float) -> Path:
    """The bundle with its last weights scaled, sealed as if it were right."""

    def change(model: Any) -> None:
        bias = next(one for one in model.graph.initializer if list(one.dims) == [5])
        values = np.frombuffer(bias.raw_data, np.float32)
        bias.raw_data = (values * factor + 1).astype(np.float32).tobytes()

    edit_model(path, change)
    return path


def test_a_network_with_broken_scales_fails(example: Callable[..., Any], tmp_path: Path) -> None:
    wrong = broken_scores(copied(example().bundle, tmp_path), 3.0)
    told = compare(entries_of([example().bundle, wrong], [ORT]), threads=1)
    (text,) = told.failures
    assert text.startswith(str(wrong))
    assert "off its reference" in text


def test_a_graph_that_no_runtime_takes_is_a_failed_row(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    wrong = copied(example().bundle, tmp_path)

    def unknown(model: Any) -> None:
        model.graph.node[0].op_type = "NoSuchThing"

    edit_model(wrong, unknown)
    told = compare(entries_of([wrong, example().bundle], [ORT]), threads=1)
    assert "cannot load" in (told.rows[0].problem or "")
    assert told.rows[1].problem is None


def test_a_batch_that_one_does_not_allow_is_a_failed_row(example: Callable[..., Any]) -> None:
    paths = [example("pyskl", dynamic="batch").bundle, example().bundle]
    told = compare(entries_of(paths, [ORT]), batch=4, threads=1)
    assert told.rows[0].problem is None
    assert "fixed batch of 1" in (told.rows[1].problem or "")


def test_when_the_benchmark_fails_every_row_has(
    example: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> BenchReport:
        raise CheckFailedError("no contender could run")

    monkeypatch.setattr(bench, "run_bench", fail)
    told = compare(entries_of([example().bundle], [ORT]), threads=1)
    assert told.rows[0].problem == "no contender could run"
    assert "nothing was measured" in told.failures


def test_a_gate_of_accuracy_needs_data(example: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="give labelled recordings"):
        compare(entries_of([example().bundle], [ORT]), max_drop=0.5)


def evaluation(entries: Sequence[Entry]) -> Evaluation:
    rows = tuple(accuracy(None if number == 0 else 0.25) for number in range(len(entries)))
    nothing = np.zeros(0, np.int64)
    data = {"file": "f", "split": None, "records": 100}
    return Evaluation(data, rows, nothing, nothing, (), 0, 0.0, {})


def test_accuracy_goes_to_its_own_row(example: Callable[..., Any], tmp_path: Path) -> None:
    paths = [example().bundle, tmp_path / "absent", example("pyskl").bundle]
    told = compare(entries_of(paths, [ORT]), judge=evaluation, max_drop=0.2, threads=1)
    assert [one.points for one in told.rows] == [None, None, 0.25]
    assert told.rows[1].accuracy is None
    assert sum("loses 0.25 points" in text for text in told.failures) == 1
    assert told.data == {"file": "f", "split": None, "records": 100}


def test_without_the_first_one_no_drop_is_told(example: Callable[..., Any], tmp_path: Path) -> None:
    """The others are then compared with each other, which nobody asked for."""
    paths = [tmp_path / "absent", example().bundle, example("pyskl").bundle]
    told = compare(entries_of(paths, [ORT]), judge=evaluation, max_drop=1.0, threads=1)
    assert [one.points for one in told.rows] == [None, None, None]
    assert sum("not known" in text for text in told.failures) == 2


def test_one_that_overflows_on_the_data_fails_alone(example: Callable[..., Any]) -> None:
    bad = example("pyskl").bundle

    def judge(entries: Sequence[Entry]) -> Evaluation:
        if any(entry.path == bad for entry in entries):
            raise CheckFailedError("NaN among their scores")
        return evaluation(entries)

    told = compare(entries_of([example().bundle, bad], [ORT]), judge=judge, threads=1)
    assert told.rows[0].accuracy is not None
    assert told.rows[1].problem == "NaN among their scores"
    alone = compare(entries_of([bad], [ORT]), judge=judge, threads=1)
    assert alone.failures[0].endswith("NaN among their scores")


@pytest.mark.parametrize("error", [DataError("record 3 has no label"), UsageError("no split")])
def test_what_is_wrong_with_the_data_is_nobody_elses_fault(
    example: Callable[..., Any], error: StgcnError
) -> None:
    def judge(_: Sequence[Entry]) -> Evaluation:
        raise error

    with pytest.raises(type(error), match=str(error)):
        compare(entries_of([example().bundle, example("pyskl").bundle], [ORT]), judge=judge)


def test_bundles_that_cannot_be_judged_together_are_refused(example: Callable[..., Any]) -> None:
    def judge(entries: Sequence[Entry]) -> Evaluation:
        if len(entries) > 1:
            raise UsageError("5 classes and 4")
        return evaluation(entries)

    with pytest.raises(UsageError, match="5 classes and 4"):
        compare(entries_of([example().bundle, example("pyskl").bundle], [ORT]), judge=judge)


# ---- the picture ---------------------------------------------------------------------------------


def test_the_picture_holds_every_kind_of_row(bundle: Bundle, tmp_path: Path) -> None:
    rows = (
        one(bundle, "first", accuracy=accuracy(None)),
        one(bundle, "second $x$", 5.0, accuracy=accuracy(1.5, 0.7)),
        one(bundle, "broken", row=row(error="it fell over " * 30)),
        one(None, "absent", entry=Entry(Path("absent"), ORT, None, error="does not exist")),
        Compared(Entry(Path("other"), ORT, bundle, skipped="made for ascend")),
    )
    for number, chosen in enumerate((rows, rows[:1], rows[2:3])):
        place = plot_comparison(found(*chosen, max_drop=0.5), tmp_path / f"{number}.png")
        assert place.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="nothing to plot"):
        plot_comparison(found(), tmp_path / "none.png")
