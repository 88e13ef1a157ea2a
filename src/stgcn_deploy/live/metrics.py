"""Numbers of a live run for Prometheus; docs/live-page.md has the table.

A registry of its own: two runs in one process do not mix, and nothing of other libraries appears.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from stgcn_deploy.errors import requires
from stgcn_deploy.live.events import EVENT_TYPES, Event
from stgcn_deploy.live.frames import Frame, Tracked
from stgcn_deploy.live.observer import CameraState, FrameDrop, Observer, Stage, WindowDrop
from stgcn_deploy.live.windows import Result

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge
    from prometheus_client.metrics_core import Metric

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES: tuple[CameraState, ...] = get_args(CameraState)
FRAME_RESULTS = ("ok", *get_args(FrameDrop))
WINDOW_RESULTS = ("ok", *get_args(WindowDrop))

# Work takes from a fraction of a millisecond (tracking) to a second (a large network on a small machine).
STAGE_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.0, 2.5,
)  # fmt: skip
# Around what is promised: 40 ms a frame, 150 ms to an event on a GPU, 250 ms under overload, 1 s.
AGE_BUCKETS = (0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.25, 0.4, 0.6, 0.8, 1.0, 1.5, 2.5, 5.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)
# What sinks say may hold anything; beyond so many different reasons they are "other".
MOST_REASONS = 64


class _Plain:
    """A registry without the moments at which each series was made: twice as many lines, of no use."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """Its families."""
        for family in self._registry.collect():
            family.samples = [one for one in family.samples if not one.name.endswith("_created")]
            yield family


@dataclass
class _Camera:
    """Series of one camera, found once: looking labels up costs more than counting."""

    frames: dict[str, Counter]
    windows: dict[str, Counter]
    ages: dict[str, Any]
    people: Gauge
    up: Gauge
    states: dict[str, Gauge]
    reconnects: Counter
    state: CameraState = "init"
    lost: bool = False


class Metrics(Observer):
    """Counts everything; may be told by any thread."""

    def __init__(self) -> None:
        with requires("metrics", 'pip install "stgcn-deploy[live]"'):
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
            from prometheus_client.process_collector import ProcessCollector
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

        def make(kind: Any, name: str, text: str, *labels: str, **more: Any) -> Any:
            return kind(f"stgcn_{name}", text, labels, registry=self._registry, **more)

        self._frames = make(
            Counter, "frames_total", "Frames, by what became of them", "camera", "result"
        )
        self._reconnects = make(
            Counter, "reconnects_total", "Times a lost camera was back", "camera"
        )
        self._up = make(Gauge, "camera_up", "Whether a camera gives frames", "camera")
        self._state = make(
            Gauge, "camera_state", "1 for the state that a camera is in", "camera", "state"
        )
        stage = make(
            Histogram, "stage_seconds", "Time of one piece of work", "stage", buckets=STAGE_BUCKETS
        )
        self._stages = {name: stage.labels(name) for name in get_args(Stage)}
        self._age = make(
            Histogram,
            "age_seconds",
            "From the arrival of a frame until people, a result or an event of it were known",
            "camera",
            "kind",
            buckets=AGE_BUCKETS,
        )
        self._queue = make(Gauge, "queue_depth", "How many wait", "queue")
        self._windows = make(
            Counter, "windows_total", "Windows, by what became of them", "camera", "result"
        )
        self._batch = make(
            Histogram, "batch_size", "Windows in one call of the network", buckets=BATCH_BUCKETS
        )
        self._people = make(Gauge, "people", "People in sight", "camera")
        self._level = make(Gauge, "level", "How far the run has come down to keep up; 0: not")
        events = make(Counter, "events_total", "Events made", "type")
        self._events = {name: events.labels(name) for name in EVENT_TYPES}
        self._sink_errors = make(
            Counter, "sink_errors_total", "Events that did not reach a sink", "sink", "reason"
        )
        self._model = make(Gauge, "model_info", "The network that runs", "name", "sha256")
        self._cameras: dict[str, _Camera] = {}
        self._queues: dict[str, Any] = {}
        self._reasons: dict[tuple[str, str], Any] = {}

    def text(self) -> bytes:
        """All numbers in Prometheus's text format."""
        from prometheus_client.exposition import generate_latest

        return generate_latest(_Plain(self._registry))

    def model(self, info: Mapping[str, str]) -> None:
        """Say which network runs: `name` and `sha256`, as in events."""
        self._model.clear()
        self._model.labels(info.get("name", ""), info.get("sha256", "")).set(1)

    def _at(self, camera: str) -> _Camera:
        found = self._cameras.get(camera)
        if found is None:
            made = _Camera(
                frames={name: self._frames.labels(camera, name) for name in FRAME_RESULTS},
                windows={name: self._windows.labels(camera, name) for name in WINDOW_RESULTS},
                ages={
                    name: self._age.labels(camera, name) for name in ("people", "result", "event")
                },
                people=self._people.labels(camera),
                up=self._up.labels(camera),
                states={name: self._state.labels(camera, name) for name in STATES},
                reconnects=self._reconnects.labels(camera),
            )
            found = self._cameras.setdefault(camera, made)
        return found

    def camera(self, camera: str, state: CameraState, reason: str) -> None:
        """See Observer."""
        at = self._at(camera)
        at.states[at.state].set(0)
        at.states[state].set(1)
        at.up.set(state == "running")
        if state == "running":
            if at.lost:
                at.reconnects.inc()
            at.lost = False
        else:
            at.people.set(0)
            # Frozen and going on again is no new connection.
            at.lost = at.lost or (at.state in ("running", "stalled") and state != "stalled")
        at.state = state

    def frame_dropped(self, camera: str, reason: FrameDrop) -> None:
        """See Observer."""
        self._at(camera).frames[reason].inc()

    def people(self, frame: Frame, people: Sequence[Tracked], done: float) -> None:
        """See Observer."""
        at = self._at(frame.camera)
        at.frames["ok"].inc()
        at.ages["people"].observe(done - frame.arrived)
        at.people.set(len(people))

    def window_dropped(self, camera: str, reason: WindowDrop) -> None:
        """See Observer."""
        self._at(camera).windows[reason].inc()

    def batch(self, size: int) -> None:
        """See Observer."""
        self._batch.observe(size)

    def result(self, result: Result) -> None:
        """See Observer."""
        at = self._at(result.window.camera)
        at.windows["ok"].inc()
        at.ages["result"].observe(result.done - result.window.arrived)

    def event(self, event: Event) -> None:
        """See Observer."""
        self._events[event.type].inc()
        if event.latency_ms is not None:
            self._at(event.camera).ages["event"].observe(event.latency_ms / 1e3)

    def event_dropped(self, sink: str, reason: str) -> None:
        """See Observer."""
        key = (sink, reason)
        if key not in self._reasons and len(self._reasons) >= MOST_REASONS:
            key = (sink, "other")
        found = self._reasons.get(key)
        if found is None:
            found = self._reasons.setdefault(key, self._sink_errors.labels(*key))
        found.inc()

    def stage(self, stage: Stage, seconds: float) -> None:
        """See Observer."""
        self._stages[stage].observe(seconds)

    def queue(self, name: str, depth: int) -> None:
        """See Observer."""
        found = self._queues.get(name)
        if found is None:
            found = self._queues.setdefault(name, self._queue.labels(name))
        found.set(depth)

    def level(self, level: int, name: str) -> None:
        """See Observer."""
        self._level.set(level)
