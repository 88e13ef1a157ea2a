"""stgcn build --to ascend where something is wrong or missing: what it says, and what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoints import copied
from fakes.om import read_om
from fakes.place import OPTIONS, SOC, gone, nothing_left

from stgcn_deploy import api
from stgcn_deploy.bundle import Bundle, sha256_of
from stgcn_deploy.errors import (
    BuildError,
    MissingDependencyError,
    UsageError,
)

Cli = Callable[..., Any]


# ---- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("no-om", BuildError, "exit code 0, yet wrote no OM file"),
        ("empty-om", BuildError, "exit code 0, yet wrote no OM file"),
        ("two-oms", BuildError, "exit code 0, yet wrote several OM files"),
        ("crash", BuildError, "atc failed: exit code"),
        ("inner", BuildError, "atc failed: E19999: Inner Error!"),
        ("no-library", MissingDependencyError, "libascend_hal.so"),
        ("no-module", MissingDependencyError, "pip3 install decorator"),
        ("no-kernels", BuildError, "Conv2D"),
    ],
)
@pytest.mark.parametrize("stamp", ["", "1"])
def test_failures_are_told_and_leave_nothing(
    bundle: Path,
    atc: pytest.MonkeyPatch,
    tmp_path: Path,
    fault: str,
    kind: type[Exception],
    message: str,
    stamp: str,
) -> None:
    atc.setenv("FAKE_ATC_FAULT", fault)
    atc.setenv("FAKE_ATC_STAMP", stamp)
    with pytest.raises(kind, match=message):
        api.build(bundle, tmp_path / "out", **OPTIONS, batch=(1, 2))
    assert nothing_left(tmp_path)


def test_a_failure_keeps_the_bundle_that_was_to_be_replaced(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.build(bundle, tmp_path / "kept", **OPTIONS)
    before = sha256_of(tmp_path / "kept" / "manifest.json")
    atc.setenv("FAKE_ATC_FAULT", "crash")
    with pytest.raises(BuildError):
        api.build(bundle, tmp_path / "kept", **OPTIONS, force=True)
    assert sha256_of(tmp_path / "kept" / "manifest.json") == before
    Bundle(tmp_path / "kept")


def test_a_build_that_takes_too_long_is_stopped(
    cli: Cli, bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    atc.setenv("FAKE_ATC_FAULT", "hang")
    atc.setenv("FAKE_ATC_PID", str(tmp_path / "pid"))
    finished = cli(
        "build", bundle, "-o", tmp_path / "out", "--to", "ascend", *SOC, "--timeout", "3"
    )
    assert finished.code == 1
    assert "stopped after 3 s" in finished.err
    assert nothing_left(tmp_path)
    assert gone(int((tmp_path / "pid").read_text(encoding="utf-8")))


def test_an_interrupt_leaves_nothing(bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ctrl-C in the middle of atc's work, in a process of its own."""
    import os
    import signal

    atc.setenv("FAKE_ATC_FAULT", "hang")
    atc.setenv("FAKE_ATC_PID", str(tmp_path / "pid"))
    code = (
        f"import tempfile; tempfile.tempdir = {str(tmp_path / 'scratch')!r}\n"
        "from stgcn_deploy.cli.main import main\nmain()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "build", str(bundle), "-o", str(tmp_path / "out"),
         "--to", "ascend", *SOC],
        stderr=subprocess.PIPE, start_new_session=True, env=dict(os.environ),
    )  # fmt: skip
    for _ in range(300):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(encoding="utf-8"):
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert nothing_left(tmp_path)
    assert gone(int((tmp_path / "pid").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--soc-version", "Ascend310310P3"), 2, "did you mean 'Ascend310P3'"),
        ((), 2, "name that of the NPU host with --soc-version"),
        ((*SOC, "--precision", "fp8"), 2, "unknown precision 'fp8'"),
        ((*SOC, "--batch", "1,x"), 2, "--batch takes whole numbers"),
        ((*SOC, "--batch", "1,1"), 2, "given twice"),
        ((*SOC, "--timeout", "-1"), 2, "above 0 seconds"),
    ],
)
def test_wrong_options_are_told_before_anything_runs(
    cli: Cli,
    bundle: Path,
    atc: pytest.MonkeyPatch,
    tmp_path: Path,
    options: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    finished = cli("build", bundle, "-o", tmp_path / "out", "--to", "ascend", *options)
    assert finished.code == code
    assert said in finished.err
    assert not (tmp_path / "calls").exists()
    assert nothing_left(tmp_path)


def test_a_chip_that_only_the_toolkit_refuses_is_a_usage_error(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    atc.setenv("FAKE_ATC_SOCS", "Ascend910B3")
    with pytest.raises(UsageError, match="toolkit does not know the SoC version 'Ascend310P3'"):
        api.build(bundle, tmp_path / "out", **OPTIONS)


def test_einsum_that_gets_to_atc_is_named_with_what_to_export(
    example: Callable[..., Any], atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As if the check before had missed it."""
    atc.setattr("stgcn_deploy.builders.ascend.check_graph", lambda _: ())
    made = example(graph_form="einsum", opset=12).bundle
    with pytest.raises(BuildError, match=r"Einsum of opset 12 \(node .*matmul --opset 11"):
        api.build(made, tmp_path / "out", **OPTIONS)


# ---- without a toolkit -----------------------------------------------------------------------


def test_without_atc_the_line_that_helps_is_told(
    cli: Cli, bundle: Path, bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finished = cli("build", bundle, "-o", tmp_path / "out", "--to", "ascend", *SOC)
    assert finished.code == 3
    assert "install Ascend-cann-toolkit" in finished.err
    assert "set_env.sh" in finished.err
    # HOME is the test's folder: a toolkit that a user installed, not sourced.
    script = tmp_path / "Ascend" / "ascend-toolkit" / "set_env.sh"
    script.parent.mkdir(parents=True)
    script.touch()
    finished = cli("build", bundle, "-o", tmp_path / "out", "--to", "ascend", *SOC)
    assert finished.code == 3
    assert f"run: source {script}" in finished.err
    assert not (tmp_path / "out").exists()


def test_an_environment_that_is_not_set_is_told(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ASCEND_OPP_PATH", "ASCEND_TOOLKIT_HOME"):
        atc.delenv(name)
    with pytest.raises(MissingDependencyError, match=r"environment .* is not set; run: source "):
        api.build(bundle, tmp_path / "out", **OPTIONS)


def test_a_dry_run_works_without_a_toolkit_and_writes_nothing(
    cli: Cli, bundle: Path, bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = ("build", bundle, "-o", tmp_path / "out", "--to", "ascend", *SOC, "--batch", "1,4")
    finished = cli(*arguments, "--dry-run")
    assert finished.code == 0, finished.err
    assert finished.out.startswith("#!/bin/sh\nset -eu\n")
    assert "--input_shape=input:4,3,20,18,2" in finished.out
    assert "# writes model_b1_fp16.om, model_b4_fp16.om" in finished.out
    assert "cannot be built here: atc" in finished.err
    assert list(tmp_path.iterdir()) == []
    said = json.loads(cli(*arguments, "--dry-run", "--json").out)
    assert said["bundle"] is None
    assert said["builds"] == []
    assert "atc" in said["plan"]["missing"]
    assert said["plan"]["files"] == ["model_b1_fp16.om", "model_b4_fp16.om"]


def test_a_dry_run_shows_what_a_build_runs(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = {**OPTIONS, "batch": (1, 4)}
    planned = api.build(bundle, tmp_path / "out", **options, dry_run=True)
    api.build(bundle, tmp_path / "out", **options)
    ran = [json.loads(line)[1:] for line in (tmp_path / "calls").read_text("utf-8").splitlines()]

    def plain(words: Any) -> list[str]:
        """Without the folder, which has another name every time."""
        return [
            f"{word.partition('=')[0]}={Path(word).name}" if "/b" in word else word
            for word in words
        ]

    shown = [argv[1:] for argv in planned.plan.commands if argv[0] == "atc"]
    assert [plain(words) for words in shown] == [plain(words) for words in ran]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_lines_of_a_dry_run_are_a_script_that_runs(
    cli: Cli, bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path, shell: str
) -> None:
    odd = tmp_path / "a folder; with 'odd' $names"
    odd.mkdir()
    base = copied(bundle, odd)
    finished = cli("build", base, "-o", tmp_path / "out", "--to", "ascend", *SOC, "--dry-run")
    script = tmp_path / "build.sh"
    script.write_text(finished.out, encoding="utf-8")
    done = subprocess.run([shell, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    made = tmp_path / "scratch" / "stgcn-build" / "b1_fp16"
    _, meta = read_om(made / "model_b1_fp16.om")
    assert meta["batch"] == 1
    assert (made / "kernel_meta").is_dir()


def test_a_dry_run_refuses_what_a_build_would(
    cli: Cli, example: Callable[..., Any], bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = example(graph_form="einsum").bundle
    finished = cli("build", made, "-o", tmp_path / "out", "--to", "ascend", *SOC, "--dry-run")
    assert finished.code == 2
    assert "--graph-form matmul --opset 11" in finished.err
