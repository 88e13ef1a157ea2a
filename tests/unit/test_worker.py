"""The benchmark's child process: its protocol, line by line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stgcn_deploy.measure.worker import peak_rss_mb

MODULE = "stgcn_deploy.measure.worker"


def _talk(*messages: dict[str, Any], module: str = MODULE, folder: Path | None = None) -> list[Any]:
    """Answers of a child to all messages, the last ones after its input has ended."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        input="".join(json.dumps(message) + "\n" for message in messages),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _prepare(example: Callable[..., Any], **others: Any) -> dict[str, Any]:
    options = {
        "model": str(example().bundle / "model.onnx"),
        "backend": "onnxruntime",
        "shapes": {"input": [1, 3, 20, 18, 2]},
        "threads": 1,
    }
    return {"prepare": options | others}


@pytest.mark.parametrize(("least", "seconds"), [(4, 0.0), (1, 0.05)])
def test_a_model_is_prepared_timed_and_stopped(
    example: Callable[..., Any], least: int, seconds: float
) -> None:
    ready, first, second, end = _talk(
        _prepare(example),
        {"run": seconds, "least": least},
        {"run": seconds, "least": least},
        {"stop": True},
    )
    assert ready["ready"]["load_ms"] > 0
    for answer in (first, second):
        assert len(answer["samples_ms"]) >= least
        assert all(sample > 0 for sample in answer["samples_ms"])
    assert end["peak_rss_mb"] > 10


def test_without_seconds_there_are_just_as_many_samples_as_asked_for(
    example: Callable[..., Any],
) -> None:
    answers = _talk(_prepare(example), {"run": 0.0, "least": 7}, {"stop": True})
    assert len(answers[1]["samples_ms"]) == 7


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be bound here")
def test_the_child_is_bound_to_as_many_cores_as_asked_for(example: Callable[..., Any]) -> None:
    ready = _talk(_prepare(example), {"stop": True})[0]
    assert len(ready["ready"]["cores"]) == 1
    assert set(ready["ready"]["cores"]) <= os.sched_getaffinity(0)


@pytest.mark.parametrize(
    ("others", "text"),
    [
        ({"model": "absent.onnx"}, "BackendError: ONNX Runtime cannot load absent.onnx"),
        ({"shapes": {"input": [1, 3, 20, 17, 2]}}, "ClipError"),
        ({"backend": "onnxrntime"}, "did you mean 'onnxruntime'"),
    ],
)
def test_what_cannot_be_prepared_is_reported_and_ends_the_child(
    example: Callable[..., Any], others: dict[str, Any], text: str
) -> None:
    answers = _talk(_prepare(example, **others), {"run": 0.0, "least": 3})
    assert len(answers) == 1
    assert text in answers[0]["error"]


def test_a_run_before_the_preparation_is_no_sample() -> None:
    (answer,) = _talk({"run": 0.0, "least": 3})
    assert "samples_ms" not in answer


def test_a_child_whose_parent_is_gone_ends() -> None:
    assert _talk() == []


def test_the_torch_child_times_a_checkpoint(example: Callable[..., Any]) -> None:
    message = {
        "prepare": {
            "checkpoint": str(example().checkpoint),
            "mode": "eager",
            "shapes": {"input": [1, 3, 20, 18, 2]},
            "threads": 1,
        }
    }
    _, timed, _ = _talk(
        message, {"run": 0.0, "least": 3}, {"stop": True},
        module="stgcn_deploy.exporter.torch_worker",
    )  # fmt: skip
    assert len(timed["samples_ms"]) == 3


def test_the_largest_size_of_a_process_is_in_mebibytes() -> None:
    assert 10 < peak_rss_mb() < 1e6
