"""The GPU benchmark: without a GPU it measures and writes nothing; its contenders run on a CPU too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stgcn_deploy
from stgcn_deploy.exporter.cuda_worker import prepare_cuda

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_nothing_is_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "gpu.py"), "--out", str(tmp_path / "out")],
        capture_output=True, text=True, timeout=120, check=False,
        env={"PYTHONPATH": str(Path(stgcn_deploy.__file__).parents[1]), "PATH": "", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "nothing was measured, nothing written" in done.stderr
    assert not (tmp_path / "out").exists()


def test_no_numbers_without_a_gpu_are_in_the_repository() -> None:
    page = ROOT / "bench" / "cuda.md"
    if page.exists():
        assert "compute capability" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", ["eager", "ours"])
def test_contenders_go_from_arrays_to_scores(example: Callable[..., Any], mode: str) -> None:
    made = example()
    options = {
        "mode": mode, "checkpoint": str(made.checkpoint), "model": str(made.bundle / "model.onnx"),
        "shapes": {"input": [1, 3, 20, 18, 2]}, "threads": 1, "device": "cpu", "precision": "fp32",
        "graphs": False, "compiled": False, "channels_last": False,
    }  # fmt: skip
    found = prepare_cuda(options)()
    scores = found["output"] if isinstance(found, dict) else found
    assert isinstance(scores, np.ndarray)
    assert scores.shape == (1, 5)
    assert np.isfinite(scores).all()
