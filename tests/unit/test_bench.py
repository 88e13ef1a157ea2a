"""The benchmark harness: nothing is lost, mixed up, or passed off as measured."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import copied, save, stgcn

from stgcn_deploy import api
from stgcn_deploy.cli.bench import print_bench
from stgcn_deploy.errors import CheckFailedError, UnknownNameError, UsageError
from stgcn_deploy.measure.bench import BenchReport, Contender, Row, model_contender, run_bench
from stgcn_deploy.measure.contenders import bundle_contenders
from stgcn_deploy.measure.environment import CPU_FLAGS, environment

SHAPES = {"input": [1, 3, 20, 18, 2]}
QUICK = {"duration": 0.02, "rounds": 2}


def _contender(example: Callable[..., Any], name: str, **others: Any) -> Contender:
    settings = {"backend": "onnxruntime", "shapes": SHAPES, "batch": 1, "threads": 1} | others
    return model_contender(name, str(example().bundle / "model.onnx"), **settings)


# A child that says which contender it is and in which turn, so that mix-ups show: it stands in for
# a runtime, and speaks the protocol of measure/worker.py.
SCRIPTED = """
import json, sys, time
options, turn = {}, 0
for line in sys.stdin:
    message = json.loads(line)
    if "prepare" in message:
        options = message["prepare"]
        if options.get("mute"):
            sys.exit(3)
        print("a library prints to standard output")
        print(json.dumps({"ready": {"load_ms": options["id"], "cores": []}}), flush=True)
    elif "run" in message:
        turn += 1
        with open("turns.txt", "a") as file:
            file.write(f"{options['id']} ")
        if turn > options.get("dies_after", 99):
            sys.exit(9)
        print(json.dumps({"samples_ms": [options["id"] + turn / 10] * message["least"]}), flush=True)
    else:
        print(json.dumps({"peak_rss_mb": 100 + options["id"]}), flush=True)
        break
"""


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Contender]:
    """Contenders whose samples are known beforehand."""
    (tmp_path / "scripted_worker.py").write_text(SCRIPTED, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def make(number: int, name: str | None = None, **options: Any) -> Contender:
        settings = {"id": number, "threads": 1, "shapes": {"input": [1]}} | options
        return Contender(name or f"no {number}", "scripted_worker", settings, batch=1, macs=10**6)

    return make


# ---- the harness -----------------------------------------------------------------------------


def test_two_models_are_timed_and_every_sample_is_kept(example: Callable[..., Any]) -> None:
    said: list[str] = []
    report = run_bench(
        [_contender(example, "one"), _contender(example, "two")],
        **QUICK,
        progress=said.append,
    )
    assert [row.name for row in report.rows] == ["one", "two"]
    for row in report.rows:
        assert row.error is None
        assert len(row.samples_ms) >= 3 * QUICK["rounds"]
        assert row.load_ms > 0
        assert row.peak_rss_mb > 10
    assert "loading two" in said
    assert "round 2 of 2" in said


def test_samples_stay_with_their_contender(scripted: Callable[..., Contender]) -> None:
    report = run_bench([scripted(1), scripted(2)], **QUICK)
    assert report.rows[0].samples_ms == (1.1,) * 3 + (1.2,) * 3
    assert report.rows[1].samples_ms == (2.1,) * 3 + (2.2,) * 3
    assert [row.load_ms for row in report.rows] == [1, 2]
    assert [row.peak_rss_mb for row in report.rows] == [101, 102]


def test_contenders_of_the_same_name_are_kept_apart(scripted: Callable[..., Contender]) -> None:
    """Two bundles in folders of the same name are the most usual comparison there is."""
    report = run_bench([scripted(1, "bundle"), scripted(2, "bundle")], **QUICK)
    assert report.rows[0].samples_ms == (1.1,) * 3 + (1.2,) * 3
    assert report.rows[1].samples_ms == (2.1,) * 3 + (2.2,) * 3
    assert [row.load_ms for row in report.rows] == [1, 2]


def test_one_of_two_that_share_a_name_may_fail_alone(scripted: Callable[..., Contender]) -> None:
    report = run_bench([scripted(1, "bundle"), scripted(2, "bundle", mute=True)], **QUICK)
    assert report.rows[0].error is None
    assert report.rows[0].samples_ms
    assert report.rows[1].error


def test_contenders_take_turns_and_every_other_round_turns_back(
    scripted: Callable[..., Contender],
) -> None:
    run_bench([scripted(1), scripted(2), scripted(3)], duration=0.02, rounds=3)
    turns = Path("turns.txt").read_text(encoding="utf-8").split()
    assert turns == ["1", "2", "3", "3", "2", "1", "1", "2", "3"]


def test_a_contender_that_cannot_load_is_a_row_with_its_reason(
    example: Callable[..., Any],
) -> None:
    absent = model_contender(
        "absent", "absent.onnx", backend="onnxruntime", shapes=SHAPES, batch=1, threads=1
    )
    report = run_bench([absent, _contender(example, "here")], **QUICK)
    assert "cannot load absent.onnx" in (report.rows[0].error or "")
    assert not report.rows[0].samples_ms
    assert report.rows[1].error is None
    assert report.rows[1].samples_ms


def test_a_child_that_dies_while_loading_is_a_row_with_its_code(
    scripted: Callable[..., Contender],
) -> None:
    report = run_bench([scripted(1, mute=True), scripted(2)], **QUICK)
    assert "code 3" in (report.rows[0].error or "")
    assert report.rows[1].samples_ms


@pytest.mark.parametrize("turns", [0, 1])
def test_a_child_that_dies_between_rounds_is_no_result(
    scripted: Callable[..., Contender], turns: int
) -> None:
    """Half the samples of a contender that crashed are not its speed."""
    report = run_bench([scripted(1, dies_after=turns), scripted(2)], **QUICK)
    assert "code 9" in (report.rows[0].error or "")
    assert report.rows[1].error is None


def test_when_nothing_ran_the_check_has_failed(scripted: Callable[..., Contender]) -> None:
    with pytest.raises(CheckFailedError, match=r"nothing was measured: no 1: .*; no 2: "):
        run_bench([scripted(1, mute=True), scripted(2, mute=True)], **QUICK)


@pytest.mark.parametrize(
    ("count", "settings", "message"),
    [
        (0, {}, "nothing to benchmark"),
        (1, {"duration": 0.0}, "must be positive"),
        (1, {"duration": -1.0}, "must be positive"),
        (1, {"duration": float("nan")}, "must be positive"),
        (1, {"duration": float("inf")}, "must be"),
        (1, {"rounds": 0}, "must be positive"),
    ],
)
def test_a_benchmark_of_nothing_is_refused(
    scripted: Callable[..., Contender], count: int, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run_bench([scripted(1)] * count, **{"rounds": 1, **settings})


# ---- rows and ratios -------------------------------------------------------------------------


def test_rates_follow_from_samples() -> None:
    row = Row("r", batch=4, threads=1, samples_ms=(1.0, 2.0, 3.0), macs=3 * 10**6)
    assert row.percentile(50) == 2
    assert row.clips_per_s == pytest.approx(4 / 0.002)
    assert row.gmacs_per_s == pytest.approx(4 * 3e6 / 2e-3 / 1e9)


def test_a_row_that_did_not_run_has_no_numbers() -> None:
    row = Row("r", batch=1, threads=1, error="absent")
    assert math.isnan(row.percentile(50))
    assert row.clips_per_s == 0
    found = row.as_dict()
    assert found["count"] == 0
    assert found["error"] == "absent"
    assert math.isnan(found["mean_ms"])


def test_a_row_without_macs_has_no_rate_of_them() -> None:
    assert math.isnan(Row("r", 1, 1, samples_ms=(1.0,)).gmacs_per_s)


def test_a_row_is_plain_values_with_its_raw_samples() -> None:
    row = Row("r", 1, 1, samples_ms=(1.0, 3.0), load_ms=5.0, peak_rss_mb=7.0)
    found = json.loads(json.dumps(row.as_dict()))
    assert found["samples_ms"] == [1.0, 3.0]
    assert found["mean_ms"] == 2
    assert found["std_ms"] == 1
    assert found["min_ms"] == 1
    assert found["p90_ms"] == pytest.approx(np.percentile([1, 3], 90))


def _table(rows: list[Row], capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The printed line of each contender."""
    print_bench(BenchReport(tuple(rows), {"cpu": "a cpu"}, 5))
    lines = capsys.readouterr().out.splitlines()
    found = {row.name: next(line for line in lines if row.name in line) for row in rows}
    return found | {"below": lines[-3] + lines[-2]}


def test_speed_is_against_the_first_row_of_the_same_batch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        Row("eager", 1, 2, samples_ms=(100.0,)),
        Row("ours", 1, 2, samples_ms=(40.0,)),
        Row("eager-8", 8, 2, samples_ms=(800.0,)),
        Row("ours-8", 8, 2, samples_ms=(200.0,)),
    ]
    lines = _table(rows, capsys)
    for name, ratio in {"eager ": "1.00", "ours ": "2.50", "ours-8": "4.00"}.items():
        assert ratio in lines[name.strip()]


def test_where_the_first_row_did_not_run_there_are_no_ratios(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        Row("broken", 1, 2, error="it fell over"),
        Row("plain", 1, 2, samples_ms=(30.0,)),
        Row("quick", 1, 2, samples_ms=(10.0,)),
    ]
    lines = _table(rows, capsys)
    assert "failed" in lines["broken"]
    assert "broken did not run: it fell over" in lines["below"]
    assert "3.00" not in lines["quick"]


# ---- contenders ------------------------------------------------------------------------------


def test_a_bundle_is_fed_the_shape_of_its_manifest(example: Callable[..., Any]) -> None:
    (found,) = bundle_contenders(example().bundle, "onnxruntime", [1], 1)
    assert found.options["shapes"] == SHAPES
    assert found.macs > 0
    assert Path(found.options["model"]).is_absolute()


def test_an_open_batch_is_timed_at_each_size(example: Callable[..., Any]) -> None:
    bundle = example("pyskl", dynamic="batch").bundle
    found = bundle_contenders(bundle, "onnxruntime", [1, 4], 1)
    assert [c.options["shapes"]["input"][0] for c in found] == [1, 4]
    assert len({c.name for c in found}) == 2
    report = run_bench(found, **QUICK)
    assert [row.batch for row in report.rows] == [1, 4]


def test_a_fixed_batch_refuses_another_one_with_the_way_out(example: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="--batch 4 or --dynamic batch"):
        bundle_contenders(example().bundle, "onnxruntime", [1, 4], 1)


def test_an_unknown_backend_is_refused(example: Callable[..., Any]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'onnxruntime'"):
        bundle_contenders(example().bundle, "onnxruntme", [1], 1)


@pytest.mark.parametrize(
    "options", [{"threads": 0}, {"batch": ()}, {"batch": (0,)}, {"batch": (1, -1)}]
)
def test_wrong_sizes_are_refused_before_anything_starts(
    example: Callable[..., Any], options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        api.bench([example().bundle], **options)


def test_two_bundles_of_one_name_are_two_rows(example: Callable[..., Any], tmp_path: Path) -> None:
    one = copied(example().bundle, tmp_path)
    report = api.bench([example().bundle, one], threads=1, **QUICK)
    assert len(report.rows) == 2
    total = sum(len(row.samples_ms) for row in report.rows)
    assert total == len(set(map(id, report.rows[0].samples_ms + report.rows[1].samples_ms)))


@pytest.mark.slow
def test_a_checkpoint_stands_for_what_people_run_today_and_for_ours(
    example: Callable[..., Any],
) -> None:
    report = api.bench([example().checkpoint], threads=1, torch_compile=False, frames=20, **QUICK)
    names = [row.name for row in report.rows]
    assert len(names) == 3
    assert "eager" in names[0]
    assert "plain export" in names[1]
    assert "ours" in names[2]
    assert not any(row.error for row in report.rows)


@pytest.mark.slow
def test_checkpoints_of_the_same_file_name_are_kept_apart(tmp_path: Path) -> None:
    """run1/best.pth against run2/best.pth."""
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        save(stgcn(widths=(4, 8), seed=number), tmp_path / str(number) / "best.pth")
    files = [tmp_path / str(number) / "best.pth" for number in (1, 2)]
    report = api.bench(files, threads=1, torch_compile=False, frames=20, **QUICK)
    assert len(report.rows) == 6
    assert not any(row.error for row in report.rows)
    assert len({row.samples_ms for row in report.rows}) == 6


def test_the_machine_is_described_beside_the_numbers() -> None:
    found = environment()
    assert set(found["cpu_features"]) <= set(CPU_FLAGS)
    assert found["cores"] >= 1
    assert "numpy" in found["versions"]
    assert json.dumps(found)
