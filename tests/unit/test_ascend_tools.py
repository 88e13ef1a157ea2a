"""The commands of Ascend's tools: by their own grammar, and never a job that they would do otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from stgcn_deploy.ascend.tools import TOOLS, Job, tool_of
from stgcn_deploy.errors import BackendError, MissingDependencyError, UsageError

OM = Path("/b/model_b4_fp16.om")
ONE, TWO = Path("/w/bins/val_data_points"), Path("/w/bins/val_data_motion")


def test_ais_bench_gets_the_folder_of_samples_and_the_batch() -> None:
    words = TOOLS["ais_bench"].arguments(Job(OM, (ONE,), 4, 2), "/w/out")
    assert words == (
        "--model", "/b/model_b4_fp16.om", "--input", "/w/bins/val_data_points", "--output", "/w/out",
        "--output_dirname", "results", "--outfmt", "BIN", "--batchsize", "4", "--device", "2",
        "--display_all_summary", "true",
    )  # fmt: skip


def test_several_inputs_are_folders_in_the_order_of_the_inputs() -> None:
    for tool in TOOLS.values():
        words = tool.arguments(Job(OM, (ONE, TWO), 1), "/w/out")
        assert words[words.index("--input") + 1] == f"{ONE},{TWO}"


def test_without_inputs_the_tool_loops_on_zeros() -> None:
    words = TOOLS["ais_bench"].arguments(Job(OM, (), 4, loop=100), "/w/out")
    assert "--input" not in words
    assert words[words.index("--loop") + 1] == "100"
    assert TOOLS["msame"].arguments(Job(OM, (), 1, loop=7), "/w/out") == (
        "--model", str(OM), "--loop", "7", "--output", "/w/out", "--outfmt", "BIN", "--device", "0",
    )  # fmt: skip


def test_the_loop_is_for_zeros_only() -> None:
    """msame passes over it where it reads folders, and ais_bench would run every batch so often."""
    for tool in TOOLS.values():
        assert "--loop" not in tool.arguments(Job(OM, (ONE,), 1, loop=5), "/w/out")


@pytest.mark.parametrize(
    ("tool", "job", "message"),
    [
        ("ais_bench", Job(OM, (), 4, device=256), "device must be 0 to 255, got 256"),
        ("ais_bench", Job(OM, (), 4, loop=0), "takes a loop of 1 or more, got 0"),
        ("msame", Job(OM, (), 1, loop=101), "takes a loop of 1 to 100, got 101"),
        ("msame", Job(OM, (ONE,), 4), "cannot fill a batch of 4"),
        ("msame", Job(OM, (Path("/w/my.bins/val_data"),), 1), "'.bin' in it for a file"),
        ("ais_bench", Job(OM, (Path("/a,b/val_data"),), 1), "cuts its input at commas"),
        ("msame", Job(OM, (Path("/a,b/val_data"),), 1), "cuts its input at commas"),
    ],
)
def test_jobs_that_a_tool_would_do_otherwise_are_refused(tool: str, job: Job, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        TOOLS[tool].check(job)


def test_ais_bench_takes_any_batch_and_loop() -> None:
    TOOLS["ais_bench"].check(Job(OM, (ONE,), 64, loop=1000, device=255))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_that_is_not_here_is_named(
    tool: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(MissingDependencyError, match=rf"{tool} is not .*--dry-run"):
        TOOLS[tool].find()


def test_an_unknown_tool_is_named() -> None:
    with pytest.raises(UsageError, match="unknown tool 'benchmark'; known: ais_bench, msame"):
        tool_of("benchmark")


def test_results_of_msame_lie_in_the_one_folder_that_it_made(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="made 0 folders"):
        TOOLS["msame"].settle(tmp_path)
    (tmp_path / "20261120_101112").mkdir()
    (tmp_path / "20261120_101112" / "0_output_0.bin").write_bytes(b"1234")
    TOOLS["msame"].settle(tmp_path)
    assert (tmp_path / "results" / "0_output_0.bin").read_bytes() == b"1234"
    (tmp_path / "20261120_101113").mkdir()
    with pytest.raises(BackendError, match="made 2 folders"):
        TOOLS["msame"].settle(tmp_path)


def test_ais_bench_without_a_folder_of_results_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no folder of results"):
        TOOLS["ais_bench"].settle(tmp_path)
