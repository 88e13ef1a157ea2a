"""A live run put together: who hands what to whom, and in which order all of it starts and stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.cores import usable_cores
from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.batcher import Batcher, Pending
from stgcn_deploy.live.capture import Capture
from stgcn_deploy.live.controller import Controller
from stgcn_deploy.live.decide import Decider, event_ids
from stgcn_deploy.live.engine import Engine
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.herald import Herald
from stgcn_deploy.live.introductions import Introductions
from stgcn_deploy.live.ladder import Ladder
from stgcn_deploy.live.listener import StateListener
from stgcn_deploy.live.observer import Observer, Observers
from stgcn_deploy.live.outlet import Outlet
from stgcn_deploy.live.people import People, WindowShape
from stgcn_deploy.live.pose.base import Pose
from stgcn_deploy.live.settings import CameraSettings, LiveSettings
from stgcn_deploy.live.sinks.base import Sink
from stgcn_deploy.live.slots import Intake
from stgcn_deploy.live.sources.base import Source
from stgcn_deploy.live.sources.registry import open_source
from stgcn_deploy.live.watch import Watch
from stgcn_deploy.live.workers import ActionWorker, Decisions, PoseWorker, Wiring
from stgcn_deploy.manifest import MODEL, Manifest
from stgcn_deploy.runtime import Model, load

__all__ = ["Live", "open_model", "window_shape"]

# From SIGTERM to the end, in seconds: the network's last answers, then what the sinks still have.
DRAIN, FLUSH = 2.0, 2.5
MOST_BATCH = 8
USUAL = "onnxruntime"


def window_shape(bundle: str, manifest: Manifest, settings: LiveSettings) -> WindowShape:
    """What the network looks at: frames a second, T, M, and whether persons go alone or together.

    Raises:
        UsageError: the bundle does not say at how many frames a second it was trained, or has no room for
            several persons.
    """
    asked, clip = settings.windows, manifest.clip
    fps = asked.fps or clip.fps
    if fps is None:
        raise UsageError(
            f"{bundle} does not say at how many frames a second its network was trained, and a window of "
            f"{clip.frames} frames has no length without it; say --fps 25 (windows.fps in a "
            "configuration), or export again with --fps."
        )
    most = clip.dynamic.get("M", (clip.persons, clip.persons))[1]
    mode = asked.mode or ("person" if most == 1 else "scene")
    if mode == "scene" and most == 1:
        raise UsageError(
            f"{bundle} takes one person (M=1), and mode scene puts all persons of a camera in one window; "
            "leave --mode out, or choose --mode person."
        )
    frames = clip.dynamic.get("T", (clip.frames, clip.frames))[1]
    return WindowShape(fps=fps, frames=frames, persons=1 if mode == "person" else most, mode=mode)


def open_model(settings: LiveSettings, manifest: Manifest) -> Model:
    """A session of the network, on the backend that is asked for, or that the bundle was made for.

    Raises:
        StgcnError: see runtime.load.
    """
    backend = settings.backend or manifest.precision.target or USUAL
    return load(settings.bundle, backend=backend, threads=settings.threads)


class Live:
    """Cameras in, events out, until stopped or until all files have ended; a context manager.

    Args:
        make: gives the source of a camera, anew for each time that it is opened.
        pose: finds people in images; None where all sources give key points.
        sinks: take the events.
        observers: are told of everything.
        clock: monotonic seconds.

    Raises:
        UsageError, BundleError, MissingDependencyError: what is asked for does not fit, or is not here.
    """

    def __init__(
        self,
        settings: LiveSettings,
        *,
        make: Callable[[CameraSettings], Source] = open_source,
        pose: Pose | None = None,
        sinks: Sequence[Sink] = (),
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.bundle = Bundle(Path(settings.bundle))
        manifest = self.bundle.manifest
        self.shape = window_shape(settings.bundle, manifest, settings)
        self._clock = clock
        zero, unix = clock(), time.time()
        self._wall = lambda t: unix + (t - zero)
        ids = event_ids()
        herald = Herald(lambda event: self._post([event]), clock, self._wall, ids)
        self._herald = herald
        self.observer = Observers([herald, StateListener(self._lost), *observers])
        self._introductions = Introductions(manifest, pose, near=settings.near)
        self._pose = pose
        self.model = {"name": manifest.name, "sha256": manifest.files[MODEL].sha256}
        self.decisions = Decisions(
            Decider(
                self.bundle.labels,
                settings.decide,
                activation=manifest.activation,
                model=self.model,
                wall=self._wall,
                stride=settings.windows.stride,
                ids=ids,
                observer=self.observer,
            ),
            self._post,
        )
        self._people = self._make_people()
        self._batchers, self._actions = self._make_actions()
        self._intake = Intake(self.observer, stale=settings.stale, clock=clock)
        self._captures = [self._capture(camera, make) for camera in settings.cameras]
        self._recorded = frozenset(one.name for one in self._captures if not one.live)
        self._posers = self._make_posers()
        self._watch = Watch(self._make_controller().look)
        # Last: they have threads already.
        self._outlets = [Outlet(sink, self.observer) for sink in sinks]
        self._stopped = threading.Event()
        self._ready = False

    # ---- parts -------------------------------------------------------------------------------

    def _make_people(self) -> dict[str, People]:
        cameras = self.settings.cameras
        asked = self.settings.windows
        return {
            camera.name: People(
                camera.name,
                self.shape,
                asked,
                self.settings.track,
                self.observer,
                # Cameras that start together must not ask for the network together.
                phase=number / len(cameras),
            )
            for number, camera in enumerate(cameras)
        }

    def _make_actions(self) -> tuple[dict[str, Batcher], list[ActionWorker]]:
        """Batchers by camera, and the workers of all of them: one batcher for all, or one for each."""
        asked = self.settings.batch
        low, high = self.bundle.manifest.clip.dynamic.get("N", (1, 1))
        most = asked.max or max(low, min(high, MOST_BATCH))
        names = [camera.name for camera in self.settings.cameras]
        groups = [[name] for name in names] if asked.per_camera else [names]
        batchers: dict[str, Batcher] = {}
        workers: list[ActionWorker] = []
        for group in groups:
            batcher = Batcher(Pending(most, asked.delay, asked.pending), self.observer, self._clock)
            batchers.update(dict.fromkeys(group, batcher))
            for _ in range(1 if asked.per_camera else asked.workers):
                workers.append(self._action(len(workers), batcher))
        return batchers, workers

    def _action(self, number: int, batcher: Batcher) -> ActionWorker:
        model = open_model(self.settings, self.bundle.manifest)
        return ActionWorker(
            number,
            batcher=batcher,
            engine=Engine(model, self._introductions.recording, self.observer, self._clock),
            decisions=self.decisions,
            observer=self.observer,
            clock=self._clock,
        )

    def _make_posers(self) -> list[PoseWorker]:
        wanted = self.settings.pose.workers or usable_cores()
        wiring = Wiring(
            intake=self._intake,
            pose=self._pose,
            people=self._people,
            batchers=self._batchers,
            recorded=self._recorded,
            decisions=self.decisions,
            give_up=self._give_up,
            observer=self.observer,
            clock=self._clock,
        )
        count = min(wanted, len(self.settings.cameras))
        return [PoseWorker(number, wiring) for number in range(count)]

    def _capture(self, camera: CameraSettings, make: Callable[[CameraSettings], Source]) -> Capture:
        return Capture(
            camera,
            self._intake,
            self.observer,
            make=make,
            on_open=lambda source: self._introductions.introduce(camera.name, source),
            clock=self._clock,
        )

    def _make_controller(self) -> Controller:
        settings = self.settings
        ladder = Ladder(
            settings.ladder,
            stride=settings.windows.stride,
            detector_every=settings.pose.detector_every,
            persons=settings.pose.persons,
            priorities={one.name: one.priority for one in settings.cameras},
        )
        captures = {one.name: one for one in self._captures}
        return Controller(
            ladder if settings.ladder.enabled else None,
            cameras={name: p for name, p in self._people.items() if name not in self._recorded},
            pose=self._pose,
            decisions=self.decisions,
            limit=lambda camera, fps: captures[camera].limit(fps),
            intake=self._intake,
            batchers=list(dict.fromkeys(self._batchers.values())),
            observer=self.observer,
            tick=self._tick,
        )

    # ---- events ------------------------------------------------------------------------------

    def _post(self, events: Sequence[Event]) -> None:
        for event in events:
            self.observer.event(event)
            for outlet in self._outlets:
                outlet.put(event)

    def _lost(self, camera: str) -> None:
        """What was going on in front of a camera cannot be known any more; a file's end is its own."""
        if camera not in self._recorded:
            self.decisions.lost(camera, self._clock())

    def _give_up(self, camera: str, reason: str) -> None:
        for capture in self._captures:
            if capture.name == camera:
                capture.give_up(reason)

    def _tick(self, now: float) -> None:
        for capture in self._captures:
            capture.tick(now)
        for camera in self._people.keys() - self._recorded:
            self.decisions.overdue(now, camera)
        if all(capture.over for capture in self._captures):
            self._stopped.set()

    # ---- from the beginning to the end ---------------------------------------------------------

    def start(self) -> None:
        """Start all threads; the network is loaded already, cameras may still be away."""
        for worker in [*self._actions, *self._posers]:
            worker.start()
        for capture in self._captures:
            capture.start()
        self._watch.start()
        self._ready = True

    def wait(self, timeout: float | None = None) -> bool:
        """Until all sources are over or `stop_soon` was called; False: `timeout` seconds came first."""
        return self._stopped.wait(timeout)

    def stop_soon(self) -> None:
        """Let `wait` return; for signal handlers."""
        self._stopped.set()

    def alive(self) -> bool:
        """Whether all threads that should run do (/healthz)."""
        return all(worker.is_alive() for worker in [*self._actions, *self._posers])

    def ready(self) -> tuple[bool, dict[str, str]]:
        """Whether the network is loaded and at least one camera is up; each camera's state (/readyz)."""
        states = {capture.name: capture.state for capture in self._captures}
        return self._ready and "running" in states.values(), dict(states)

    def failures(self) -> dict[str, str]:
        """Cameras that were given up and files that could not be read to their end, with the reason."""
        return {
            one.name: one.error
            for one in self._captures
            if one.state == "disabled" or (one.over and not one.live and one.error)
        }

    def stop(self) -> bool:
        """Stop within seconds: what was captured is finished where there is time for it.

        Returns:
            whether everything that was under way came to its end.
        """
        finished = all(capture.over for capture in self._captures)
        # What a recording has left is its end, and is waited for; of a camera it is milliseconds.
        clean = self._settled(None if finished else DRAIN / 4)
        until = time.monotonic() + 1.0
        for capture in self._captures:
            clean &= capture.stop(max(0.0, until - time.monotonic()))
        self._intake.close()
        self._watch.stop()
        for batcher in dict.fromkeys(self._batchers.values()):
            clean &= batcher.settle(None if finished else DRAIN / 2)
            batcher.close(drop=True)
        for worker in [*self._posers, *self._actions]:
            if worker.is_alive():
                worker.join(timeout=DRAIN / 2)
        for capture in self._captures:
            self.decisions.lost(capture.name, self._clock())
        self._herald.offline()
        until = time.monotonic() + FLUSH
        for outlet in self._outlets:
            clean &= outlet.close(max(0.1, until - time.monotonic()))
        if self._pose is not None:
            self._pose.close()
        for action in self._actions:
            action.close()
        return clean

    def _settled(self, timeout: float | None) -> bool:
        """Wait until no frame waits and none is looked at; whether that came about in time."""
        until = None if timeout is None else time.monotonic() + timeout
        while not self._intake.idle():
            if until is not None and time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True

    def __enter__(self) -> Live:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
