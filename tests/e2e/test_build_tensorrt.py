"""`stgcn build --to tensorrt` from the command line to the bundle, on the strict fake."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished
from tensorrt_doubles import FIXED, FakeTensorRt, inspection

from stgcn_deploy.bundle import Bundle

pytestmark = pytest.mark.shared
Cli = Callable[..., Finished]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], FakeTensorRt]:
    def install(version: str) -> FakeTensorRt:
        made = FakeTensorRt(version, tmp_path, FIXED)
        monkeypatch.setitem(sys.modules, "tensorrt", made.trt)
        return made

    return install


def _build(cli: Cli, bundle: Path, output: Path, *options: Any) -> Finished:
    return cli("build", bundle, "--to", "tensorrt", "-o", output, *options)


def test_an_engine_lies_beside_the_graph(
    cli: Cli,
    fake: Callable[[str], FakeTensorRt],
    tensorrt_world: dict[str, Path],
    tmp_path: Path,
) -> None:
    fake("10.3").inspections = [inspection({"fp16": 9})]
    done = _build(cli, tensorrt_world["fp16"], tmp_path / "out", "--json")
    assert done.code == 0, done.err
    (record,) = Bundle(tmp_path / "out").manifest.builds
    assert (record.file, record.layers) == ("model_fp16.engine", {"fp16": 9})
    assert (tmp_path / "out" / record.file).read_bytes() == b"plan"
    assert json.loads(done.out)["builds"][0]["actual"] == "fp16"


def test_less_than_asked_for_is_exit_1_and_no_bundle(
    cli: Cli,
    fake: Callable[[str], FakeTensorRt],
    tensorrt_world: dict[str, Path],
    tmp_path: Path,
) -> None:
    fake("10.3")
    asked = (tensorrt_world["fp32"], tmp_path / "out", "--precision", "fp16")
    done = _build(cli, *asked)
    assert done.code == 1
    assert "computes in fp32" in done.err
    assert not (tmp_path / "out").exists()
    done = _build(cli, *asked, "--allow-fallback")
    assert done.code == 0
    assert "WARNING: model_fp32.engine is fp32, asked for was fp16" in done.err
    (record,) = Bundle(tmp_path / "out").manifest.builds
    assert [one.precision for one in record.attempts] == ["fp16", "fp32"]


def test_new_weights_by_command(
    cli: Cli,
    fake: Callable[[str], FakeTensorRt],
    tensorrt_world: dict[str, Path],
    tmp_path: Path,
) -> None:
    fake("11.4")
    assert _build(cli, tensorrt_world["fp32"], tmp_path / "old", "--refit").code == 0
    done = _build(cli, tensorrt_world["other"], tmp_path / "new", "--refit-from", tmp_path / "old")
    assert done.code == 0, done.err
    assert (tmp_path / "new" / "model_fp32.engine").read_bytes() == b"refitted"


def test_without_tensorrt_a_plan_and_exit_3(
    cli: Cli, tensorrt_world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    asked = (tensorrt_world["open"], tmp_path / "out", "--profile", "batch=1:2:4")
    done = _build(cli, *asked, "--dry-run")
    assert done.code == 0
    assert "batch 1 to 4, tuned for 2" in done.out
    done = _build(cli, *asked)
    assert done.code == 3
    assert "tensorrt-cu12" in done.err
    assert not (tmp_path / "out").exists()
