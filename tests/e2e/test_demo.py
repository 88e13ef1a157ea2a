"""The demo: the bundled model walks the whole path, and a failing step leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import stgcn_deploy
from stgcn_deploy import demo
from stgcn_deploy.errors import OutputExistsError, UsageError


@pytest.mark.slow
def test_the_demo_ends_with_a_report_and_a_bundle_that_predicts(tmp_path: Path) -> None:
    lines: list[str] = []
    report = demo.run_demo(tmp_path / "out", duration=0.3, say=lines.append)
    steps = [line for line in lines if line.startswith(f"\n[{len(lines)}") or "/7]" in line]
    assert len(steps) == 7
    page = report.read_text(encoding="utf-8")
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    with stgcn_deploy.load(tmp_path / "out" / "bundle") as model:
        clip = np.load(tmp_path / "out" / "clip.npy")
        assert model.predict(clip).label in model.labels
        assert model.manifest.parity is not None
    # 240 held-out clips of 11 actions: chance is 9 %, the training's own test said 97.6 %.
    accuracy = next(line for line in lines if "top-1" in line)
    assert float(accuracy.split("top-1 ")[1].split("%")[0]) > 90
    with pytest.raises(OutputExistsError, match="--force"):
        demo.run_demo(tmp_path / "out", duration=0.3, say=lines.append)


def test_a_duration_that_is_none_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="duration"):
        demo.run_demo(tmp_path / "out", duration=0, say=print)
    assert not (tmp_path / "out").exists()


def test_the_card_and_the_labels_agree_with_the_checkpoint() -> None:
    card = json.loads(demo.CARD.read_text(encoding="utf-8"))
    labels = demo.LABELS.read_text(encoding="utf-8").split()
    found = stgcn_deploy.inspect(demo.CHECKPOINT)
    assert labels == card["classes"]
    assert found["classes"] == len(labels)
    assert found["parameters"] == card["parameters"]
    assert demo.CHECKPOINT.stat().st_size <= 2_000_000
