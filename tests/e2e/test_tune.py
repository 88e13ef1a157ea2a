"""stgcn tune: from a bundle to a remembered setting, and load(tune=True) that applies it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgcn_deploy import api
from stgcn_deploy.cores import usable_cores
from stgcn_deploy.measure.tuned import recall

Cli = Callable[..., Any]
QUICK = ("--duration", "0.02", "--rounds", "1")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_bundle_is_tuned_and_loaded_so(
    example: Callable[..., Any], cli: Cli, tmp_path: Path
) -> None:
    bundle, plot, raw = example().bundle, tmp_path / "tune.png", tmp_path / "tune.json"
    finished = cli("tune", bundle, *QUICK, "--plot", plot, "--raw", raw)
    assert finished.code == 0, finished.err
    assert "lowest latency: batch 1" in finished.out
    assert "most clips:" in finished.out
    assert "remembered in" in finished.out
    assert plot.read_bytes().startswith(b"\x89PNG")
    told = json.loads(raw.read_text(encoding="utf-8"))
    assert all(len(one["samples_ms"]) >= 3 for one in told["settings"])
    assert told["environment"]["cores"] == usable_cores()
    known = recall(bundle, "onnxruntime")
    assert known is not None
    best = told["settings"][told["lowest_latency"]]
    assert known.lowest_latency.threads == best["threads"]
    said: list[str] = []
    clip = np.zeros((2, 20, 18, 3), np.float32)
    with api.load(bundle, tune=True, progress=said.append) as tuned, api.load(bundle) as plain:
        assert np.allclose(tuned.predict(clip).scores, plain.predict(clip).scores, atol=1e-6)
    assert said == []


def test_a_narrow_choice_is_measured_and_not_remembered(
    example: Callable[..., Any], cli: Cli
) -> None:
    bundle = example("pyskl", dynamic="batch").bundle
    finished = cli("tune", bundle, *QUICK, "--batch", "2", "--threads", "1", "--json")
    assert finished.code == 0, finished.err
    told = json.loads(finished.out)
    assert {one["batch"] for one in told["settings"]} == {2}
    assert told["notes"][-1].startswith("not remembered")
    assert recall(bundle, "onnxruntime") is None


def test_reports_are_not_replaced_and_that_is_said_first(
    example: Callable[..., Any], cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "there.json").write_text("mine", encoding="utf-8")
    finished = cli("tune", example().bundle, *QUICK, "--raw", tmp_path / "there.json")
    assert finished.code == 2
    assert "--force" in finished.err
    assert "round" not in finished.err
    assert (tmp_path / "there.json").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threads", "999"), "must fit on"),
        (("--batch", "one"), "--batch takes whole numbers"),
        (("--batch", "4"), "fixed batch of 1"),
        (("--backend", "onnxruntme"), "did you mean 'onnxruntime'"),
        (("--duration", "0"), "duration and rounds"),
    ],
    ids=str,
)
def test_wrong_use_is_refused(
    example: Callable[..., Any], cli: Cli, options: tuple[str, str], message: str
) -> None:
    finished = cli("tune", example().bundle, *options)
    assert finished.code == 2
    assert message in finished.err
