"""The camera's frame rate does not change the answer: the benchmark in short, and its last report."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import stgcn_deploy
from stgcn_deploy import api
from stgcn_deploy.demo import CHECKPOINT, LABELS

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    """bench/frame_rates.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("bench_frame_rates", BENCH / "frame_rates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while it is read.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[spec.name]


@pytest.mark.slow
def test_cameras_of_any_rate_give_the_same_answer_and_appending_does_not(
    bench: ModuleType, tmp_path: Path
) -> None:
    api.export(
        CHECKPOINT, tmp_path / "demo", labels=LABELS, fps=25.0, verify=False, graph_form="aggregate"
    )
    with stgcn_deploy.load(tmp_path / "demo", threads=1) as model:
        rows = list(bench.answers(model, range(44), 5, noise=0.0, missing=0.0))
    shares = {
        (way, camera): bench.compared(rows, (way, camera))["share"]
        for way in ("by time", "appended")
        for camera in bench.ASKED
    }
    for camera in bench.ASKED:
        assert shares["by time", camera] >= 0.9, camera
    for camera in ("10 fps", "15 fps", bench.HALF):
        assert shares["appended", camera] < 0.85, camera


def test_cameras_see_the_same_moments(bench: ModuleType) -> None:
    one = bench.film(3, 0)
    at = {
        name: dict(camera.frames(one, 3, 0))
        for name, camera in bench.CAMERAS.items()
        if name != "25 fps, other errors"
    }
    for frames in at.values():
        assert max(frames) <= bench.SECONDS + 1e-9
        for t in frames.keys() & at["30 fps"].keys():
            assert np.array_equal(frames[t], at["30 fps"][t])
    assert [len(at[f"{fps} fps"]) for fps in (10, 15, 25, 30)] == [65, 97, 161, 193]
    assert 50 < len(at[bench.HALF]) < 110
    other = bench.CAMERAS["25 fps, other errors"].frames(one, 3, 0)
    assert not np.array_equal(
        np.stack([x for _, x in other]), np.stack(list(at["25 fps"].values()))
    )


def test_a_window_that_only_one_makes_is_no_agreement(bench: ModuleType) -> None:
    key = ("by time", "10 fps")
    pairs = ((0, 0), (0, 1), (None, 0), (1, None), (None, None), (2, 2))
    leads = (0.9, 0.1, None, 0.9, None, 0.9)
    rows = [
        bench.Answer(0, {**dict.fromkeys(bench.KEYS), bench.COMPARED: one, key: two}, lead)
        for (one, two), lead in zip(pairs, leads, strict=True)
    ]
    found = bench.compared(rows, key)
    assert (found["clips"], found["compared"], found["same"]) == (6, 5, 2)
    assert (found["no_window_here"], found["no_window_there"]) == (1, 1)
    assert found["no_window_in_either"] == 1
    assert found["right"] == 2
    assert (found["sure"], found["sure_same"]) == (3, 2)
    assert [bench.Answer.of(row.as_list()) for row in rows] == rows


def test_intervals_are_wilsons(bench: ModuleType) -> None:
    # Newcombe 1998, table I: 81 of 263.
    assert bench.interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert bench.interval(5, 5)[1] == pytest.approx(1.0)


def test_the_report_in_the_repository_is_that_of_its_answers(bench: ModuleType) -> None:
    raw = json.loads((BENCH / "frame_rates.json").read_text(encoding="utf-8"))
    assert (BENCH / "frame_rates.md").read_text(encoding="utf-8") == bench.page(raw)
    rows = [bench.Answer.of(row) for row in raw["answers"]["usual"]]
    for camera in bench.ASKED:
        found, naive = (bench.compared(rows, (way, camera)) for way in ("by time", "appended"))
        assert found["compared"] >= 500
        assert found["interval"][1] >= bench.WANTED, camera
        assert naive["interval"][1] < found["interval"][0], camera
