"""Metrics: each thing that happens is counted once, under its name, in Prometheus's own format."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from stgcn_deploy.live.events import EVENT_TYPES, Event
from stgcn_deploy.live.frames import Detection, Frame, Tracked
from stgcn_deploy.live.metrics import MOST_REASONS, Metrics
from stgcn_deploy.live.observer import CameraState, FrameDrop, Stage, WindowDrop
from stgcn_deploy.live.windows import Result, Window

prometheus = pytest.importorskip("prometheus_client.parser")


def read(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample, as a scraper reads it."""
    families = prometheus.text_string_to_metric_families(metrics.text().decode())
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def value(metrics: Metrics, name: str, /, **labels: Any) -> float:
    return read(metrics)[f"stgcn_{name}", tuple(sorted(labels.items()))]


def frame(arrived: float = 10.0, camera: str = "door") -> Frame:
    return Frame(camera, arrived, arrived)


def somebody() -> Tracked:
    return Tracked(1, Detection(np.ones((3, 3), np.float32)))


def result(took: float = 0.3) -> Result:
    clip = np.zeros((1, 2, 3, 3), np.float32)
    window = Window("door", 1, (1,), clip, 1.0, 1.0, 9.0, 10.0, 10.0, 10.0)
    return Result(window, np.array([1.0], np.float32), 10.0 + took)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_frames_by_what_became_of_them(metrics: Metrics) -> None:
    for _ in range(3):
        metrics.frame(frame())
        metrics.people(frame(), [somebody()], 10.05)
    for reason in get_args(FrameDrop):
        metrics.frame_dropped("door", reason)
    assert value(metrics, "frames_total", camera="door", result="ok") == 3
    for reason in get_args(FrameDrop):
        assert value(metrics, "frames_total", camera="door", result=reason) == 1
    assert value(metrics, "people", camera="door") == 1


def test_ages_are_from_arrival_until_known(metrics: Metrics) -> None:
    metrics.people(frame(10.0), [], 10.05)
    metrics.result(result(took=0.3))
    metrics.event(Event("1", "action_start", "door", 0.0, 0.0, latency_ms=350.0))
    for kind, seconds in (("people", 0.05), ("result", 0.3), ("event", 0.35)):
        assert value(metrics, "age_seconds_sum", camera="door", kind=kind) == pytest.approx(seconds)
        assert value(metrics, "age_seconds_count", camera="door", kind=kind) == 1
    assert value(metrics, "age_seconds_bucket", camera="door", kind="people", le="0.04") == 0
    assert value(metrics, "age_seconds_bucket", camera="door", kind="people", le="0.06") == 1


def test_windows_batches_and_queues(metrics: Metrics) -> None:
    metrics.result(result())
    for reason in get_args(WindowDrop):
        metrics.window_dropped("door", reason)
    metrics.batch(3)
    metrics.queue("batch", 5)
    metrics.queue("batch", 2)
    assert value(metrics, "windows_total", camera="door", result="ok") == 1
    for reason in get_args(WindowDrop):
        assert value(metrics, "windows_total", camera="door", result=reason) == 1
    assert value(metrics, "batch_size_bucket", le="2.0") == 0
    assert value(metrics, "batch_size_bucket", le="4.0") == 1
    assert value(metrics, "queue_depth", queue="batch") == 2


def test_a_camera_is_in_one_state(metrics: Metrics) -> None:
    for state in get_args(CameraState):
        metrics.camera("door", state, "why")
        found = {
            one: value(metrics, "camera_state", camera="door", state=one)
            for one in get_args(CameraState)
        }
        assert found == {one: float(one == state) for one in get_args(CameraState)}
        assert value(metrics, "camera_up", camera="door") == float(state == "running")


@pytest.mark.parametrize(
    ("states", "count"),
    [
        (["connecting", "running"], 0),
        (["backoff", "connecting", "backoff", "connecting", "running"], 0),
        (["connecting", "running", "stalled", "running"], 0),
        (["connecting", "running", "stalled", "backoff", "connecting", "running"], 1),
        (["running", "backoff", "connecting", "backoff", "connecting", "running"], 1),
        (["running", "backoff", "running", "connecting", "running"], 2),
    ],
)  # fmt: skip
def test_only_what_was_lost_comes_back(metrics: Metrics, states: list[Any], count: int) -> None:
    for state in states:
        metrics.camera("door", state, "")
    assert value(metrics, "reconnects_total", camera="door") == count


def test_nobody_is_in_sight_of_a_camera_that_is_away(metrics: Metrics) -> None:
    metrics.camera("door", "running", "")
    metrics.people(frame(), [somebody()], 10.1)
    metrics.camera("door", "backoff", "refused")
    assert value(metrics, "people", camera="door") == 0


def test_events_levels_stages_and_the_model(metrics: Metrics) -> None:
    for kind in EVENT_TYPES:
        metrics.event(Event("1", kind, "door", 0.0, 0.0))
        assert value(metrics, "events_total", type=kind) == 1
    for stage in get_args(Stage):
        metrics.stage(stage, 0.01)
        assert value(metrics, "stage_seconds_count", stage=stage) == 1
    metrics.level(3, "fewer people")
    assert value(metrics, "level") == 3
    metrics.model({"name": "first", "sha256": "0"})
    metrics.model({"name": "net", "sha256": "ab"})
    assert value(metrics, "model_info", name="net", sha256="ab") == 1
    assert ("stgcn_model_info", (("name", "first"), ("sha256", "0"))) not in read(metrics)


def test_reasons_of_sinks_are_bounded(metrics: Metrics) -> None:
    for number in range(MOST_REASONS + 50):
        metrics.event_dropped("webhook", f"reason {number}")
    found = {name: one for name, one in read(metrics).items() if "sink_errors" in name[0]}
    assert len(found) == MOST_REASONS + 1
    assert value(metrics, "sink_errors_total", sink="webhook", reason="other") == 50
    assert sum(found.values()) == MOST_REASONS + 50


def test_two_runs_do_not_mix(metrics: Metrics) -> None:
    from prometheus_client import REGISTRY
    from prometheus_client.exposition import generate_latest

    other = Metrics()
    metrics.frame_dropped("door", "stale")
    assert b"door" not in other.text()
    assert b"stgcn_" not in generate_latest(REGISTRY)


def test_names_that_would_break_the_format(metrics: Metrics) -> None:
    name = 'a"b\\c{d}\u00e9'
    metrics.frame_dropped(name, "stale")
    assert value(metrics, "frames_total", camera=name, result="stale") == 1


def test_no_series_tells_only_when_it_was_made(metrics: Metrics) -> None:
    metrics.people(frame(), [], 10.1)
    assert b"_created" not in metrics.text()


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    """Metric -> kind and labels, from the table of the docs."""
    page = Path(__file__).parents[2] / "docs" / "live-page.md"
    rows = [
        [cell.strip() for cell in line.split("|")[1:4]]
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `stgcn_")
    ]
    return {
        name.strip("`").removesuffix("_total"): (kind, frozenset(labels.replace(",", " ").split()))
        for name, kind, labels in rows
    }


def test_docs_have_every_metric(metrics: Metrics) -> None:
    metrics.camera("door", "running", "")
    metrics.event_dropped("webhook", "full")
    metrics.queue("batch", 1)
    metrics.model({"name": "net", "sha256": "ab"})
    families = list(prometheus.text_string_to_metric_families(metrics.text().decode()))
    found = {
        family.name: (family.type, frozenset(family.samples[0].labels) - {"le"})
        for family in families
        if family.name.startswith("stgcn_")
    }
    assert found == documented()
