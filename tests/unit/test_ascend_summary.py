"""Times that Ascend's tools print: every version's form is read, and what cannot be is no speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.ascend.checks import check_run
from stgcn_deploy.ascend.om import OmFile
from stgcn_deploy.ascend.report import AscendRun, phase_cells
from stgcn_deploy.ascend.summary import Phase, Timing, ais_bench_timing, msame_timing, read_timing
from stgcn_deploy.data.bins import write_scores
from stgcn_deploy.errors import DataError

NPU = {"min": 2.0, "max": 4.0, "mean": 2.5, "median": 2.25, "percentile(99%)": 3.9}
COPY = {"min": 0.1, "max": 0.3, "mean": 0.2, "median": 0.2, "percentile(99%)": 0.3}
# As ais_bench's own documentation shows them.
LOG = """\
[INFO] get filesperbatch files0 size:129600 tensor0size:518400 filesperbatch:4 runcount:250
[INFO] -----------------Performance Summary------------------
[INFO] H2D_latency (ms): min = 0.05, max = 0.06, mean = 0.055, median = 0.055, percentile(99%) = 0.06
[INFO] NPU_compute_time (ms): min = 2.0, max = 4.0, mean = 2.5, median = 2.25, percentile(99%) = 3.9
[INFO] D2H_latency (ms): min = 1e-05, max = 2e-05, mean = 1.5e-05, median = 1.5e-05, percentile(99%) = 2e-05
[INFO] throughput 1000*batchsize.mean(4)/NPU_compute_time.mean(2.5): 1600.0
[INFO] ------------------------------------------------------
"""


def _summary(**changes: Any) -> str:
    value = {
        "NPU_compute_time": NPU,
        "H2D_latency": COPY,
        "D2H_latency": COPY,
        "throughput": 1600.0,
    }
    return json.dumps({**value, **changes})


def test_the_summary_is_read_and_the_throughput_counted() -> None:
    found = ais_bench_timing(_summary(), "", 4, "s")
    assert found.npu == Phase(2.5, 2.0, 4.0, 2.25, 3.9)
    assert found.h2d == Phase(0.2, 0.1, 0.3, 0.2, 0.3)
    assert found.clips_per_s == 4 * 1e3 / 2.5
    assert found.note is None
    assert (found.calls, found.files_per_batch) == (None, None)


def test_single_calls_are_kept_where_they_are_told() -> None:
    times = [2.0, 2.25, 3.25]
    npu = {**NPU, "mean": float(np.mean(times)), "max": 3.25, "count": 3}
    found = ais_bench_timing(
        _summary(NPU_compute_time=npu, npu_compute_time_list=times), "", 4, "s"
    )
    assert found.npu.samples == tuple(times)
    assert found.calls == 3


def test_a_list_in_another_unit_is_not_taken_for_single_calls() -> None:
    found = ais_bench_timing(_summary(npu_compute_time_list=[0.0025, 0.0025]), "", 4, "s")
    assert found.npu.samples == ()
    assert found.calls == 2


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), "2.5", None, 10**400])
def test_odd_numbers_among_the_calls_are_no_samples(odd: Any) -> None:
    found = ais_bench_timing(_summary(npu_compute_time_list=[2.5, odd]), "", 4, "s")
    assert found.npu.samples == ()


@pytest.mark.parametrize("count", [float("inf"), 10**400, "3", True])
def test_an_odd_count_is_no_count(count: Any) -> None:
    npu = {**NPU, "count": count}
    assert ais_bench_timing(_summary(NPU_compute_time=npu), "", 4, "s").calls is None


def test_a_key_that_one_version_breaks_in_two_is_read() -> None:
    """ait at 3e008a42 continues its line inside the string."""
    npu = {name: value for name, value in NPU.items() if not name.startswith("perc")}
    npu[f"percentile(99%{' ' * 36})"] = 3.9
    assert ais_bench_timing(_summary(NPU_compute_time=npu), "", 4, "s").npu.p99 == 3.9


def test_a_throughput_of_zero_is_not_believed() -> None:
    """The same version divides by a list that it never fills."""
    found = ais_bench_timing(_summary(throughput=0), "", 4, "s")
    assert found.clips_per_s == 1600
    assert "prints a throughput of 0" in (found.note or "")


def test_a_wrong_batch_size_shows_in_the_tools_throughput() -> None:
    assert ais_bench_timing(_summary(throughput=400.0), "", 4, "s").note is not None


def test_the_log_does_where_there_is_no_summary() -> None:
    found = ais_bench_timing(None, LOG, 4, "log")
    assert found.npu == Phase(2.5, 2.0, 4.0, 2.25, 3.9)
    assert found.d2h is not None
    assert found.d2h.mean == 1.5e-05
    assert (found.told, found.files_per_batch, found.calls) == (1600.0, 4, 250)


def test_words_of_the_oldest_version_are_read() -> None:
    old = LOG.replace(
        "1000*batchsize.mean(4)/NPU_compute_time.mean(2.5)", "(1000*batchsize/NPU_compute_time)"
    )
    assert ais_bench_timing(None, old, 4, "log").told == 1600.0


def test_the_oldest_versions_summary_lies_among_the_results(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "sumary.json").write_text(_summary(), encoding="utf-8")
    assert read_timing("ais_bench", tmp_path, 4).npu.mean == 2.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"NPU_compute_time": None}, "says no NPU_compute_time"),
        ({"NPU_compute_time": {"mean": 1.0}}, "expected min, max, mean, median"),
        ({"NPU_compute_time": {**NPU, "mean": "2.5"}}, "expected min, max"),
        ({"NPU_compute_time": {**NPU, "mean": float("nan")}}, "cannot be"),
        ({"NPU_compute_time": {**NPU, "min": 9.0}}, "cannot be"),
        ({"NPU_compute_time": {**NPU, "mean": 9.0}}, "cannot be"),
        ({"NPU_compute_time": dict.fromkeys(NPU, 0.0)}, "nothing was measured"),
        ({"H2D_latency": {**COPY, "min": -1.0}}, "cannot be"),
    ],
)
def test_times_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ais_bench_timing(_summary(**changes), "", 4, "s")


@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.dictionaries(
    st.sampled_from(["NPU_compute_time", "mean", "min", "throughput", "npu_compute_time_list"]), inner
) | st.lists(inner)).map(json.dumps))  # fmt: skip
def test_any_garbage_is_a_data_error(text: str) -> None:
    with pytest.raises(DataError):
        ais_bench_timing(text, "", 4, "s")


def test_a_log_without_times_is_refused(tmp_path: Path) -> None:
    for tool in ("ais_bench", "msame"):
        with pytest.raises(DataError, match="end well"):
            read_timing(tool, tmp_path, 1)


def test_msame_prints_each_call_and_the_first_is_its_warm_up() -> None:
    times = "".join(
        f"[INFO] model execute success\nInference time: {ms}ms\n" for ms in ("30.5", 2, "3.0")
    )
    log = f"{times}Inference average time : 11.83 ms\n"
    found = msame_timing(log, 1, "log")
    assert found.npu.samples == (2.0, 3.0)
    assert (found.npu.mean, found.calls) == (2.5, 3)
    assert (found.h2d, found.told) == (None, None)
    assert msame_timing("Inference time: 30.5ms\n", 1, "log").npu.mean == 30.5


# ---- checks ----------------------------------------------------------------------------------


def _results(folder: Path, count: int = 10, classes: int = 6) -> Path:
    folder.mkdir()
    for index, row in enumerate(np.random.default_rng(0).normal(size=(count, classes))):
        write_scores(folder, index, row.astype(np.float32))
    return folder


def _timing(**changes: Any) -> Timing:
    told = {"told": 4 * 1e3 / 2.5, "files_per_batch": 4, "calls": 3, **changes}
    return Timing(4, Phase(2.5, 2.0, 4.0, 2.25, 3.9), **told)


def test_a_whole_run_has_nothing_to_note(tmp_path: Path) -> None:
    assert check_run(_results(tmp_path / "r"), 10, 6, _timing()) == ()


@pytest.mark.parametrize(
    "changes", [{"files_per_batch": 2, "calls": 5}, {"calls": 5}, {"calls": 2}]
)
def test_batches_that_are_none_are_refused(tmp_path: Path, changes: dict[str, int]) -> None:
    """FP16 inputs take half as many samples; results of the right size would still be nonsense."""
    with pytest.raises(DataError, match="its scores mean nothing"):
        check_run(_results(tmp_path / "r"), 10, 6, _timing(**changes))


def test_what_could_not_be_checked_is_said(tmp_path: Path) -> None:
    folder = _results(tmp_path / "r")
    (folder / "kernel_meta").mkdir()
    (folder / "3_1.bin").write_bytes(b"1234")
    notes = check_run(folder, 10, 6, _timing(files_per_batch=None, calls=None, told=0.0))
    assert "kernel_meta; not read" in notes[0]
    assert "how many calls" in notes[1]
    assert "throughput of 0" in notes[2]
    assert "3_1.bin" not in notes[0]


def test_results_of_another_number_of_classes_are_refused(tmp_path: Path) -> None:
    folder = _results(tmp_path / "r")
    assert check_run(folder, 10, 6, _timing()) == ()
    with pytest.raises(DataError, match=r"24 bytes, and one record's 5 scores take 20"):
        check_run(folder, 10, 5, _timing())


# ---- report ----------------------------------------------------------------------------------


def _run(timing: Timing) -> AscendRun:
    om = OmFile(Path("m.om"), "0" * 64, 4, {"input": (4, 3)}, "Ascend310P3", "fp16")
    return AscendRun(om, "ais_bench", Path("r"), count=10, timing=timing)


def test_single_calls_become_a_row_of_a_benchmark() -> None:
    phase = Phase(2.5, 2.0, 3.0, 2.5, 2.99, 2, (2.0, 3.0))
    row = _run(Timing(4, phase)).bench.rows[0]
    assert (row.batch, row.samples_ms, row.clips_per_s) == (4, (2.0, 3.0), 1600.0)
    assert row.name == "m.om on Ascend310P3, ais_bench on the samples"


def test_a_row_without_single_calls_says_so_and_has_no_speed() -> None:
    row = _run(_timing()).bench.rows[0]
    assert row.error == "ais_bench tells no single calls"
    assert row.clips_per_s == 0
    assert _run(_timing()).as_dict()["timing"]["clips_per_s"] == 1600.0


def test_the_table_has_a_line_for_each_part_that_was_timed() -> None:
    copy = Phase(0.2, 0.1, 0.3, 0.2, 0.3, 3)
    titles = [row[0] for row in phase_cells(_timing(h2d=copy, d2h=copy))]
    assert titles == ["copy to the device", "compute on the NPU", "copy back"]
    assert phase_cells(_timing()) == [
        ["compute on the NPU", "2.500", "2.250", "3.900", "2.000", "4.000", "-"]
    ]
