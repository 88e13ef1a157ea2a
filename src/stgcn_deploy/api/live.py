"""live_settings and live_run: cameras in, actions out.

`live` itself is the package that does it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stgcn_deploy.api.common import Progress, quiet
from stgcn_deploy.errors import UsageError

if TYPE_CHECKING:
    from stgcn_deploy.live.board import Board
    from stgcn_deploy.live.events import Event
    from stgcn_deploy.live.observer import Observer
    from stgcn_deploy.live.pipeline import Live
    from stgcn_deploy.live.pose.base import Pose
    from stgcn_deploy.live.recorder import Recorder
    from stgcn_deploy.live.settings import LiveSettings
    from stgcn_deploy.live.shown import Shown
    from stgcn_deploy.live.sinks.base import Sink
    from stgcn_deploy.live.tally import LiveReport
    from stgcn_deploy.manifest import Manifest

__all__ = ["live_check", "live_run", "live_settings"]

INSTALL = "pip install 'stgcn-deploy[live]'"
MQTT_PORT = 1883


def live_settings(
    bundle: str | Path | None = None,
    source: Sequence[str] = (),
    *,
    config: str | Path | None = None,
    backend: str | None = None,
    threads: int | None = None,
    pose: str | None = None,
    pose_model: str | None = None,
    pose_detector: str | None = None,
    pose_layout: str | None = None,
    near: bool = False,
    stride: float | None = None,
    mode: str | None = None,
    fps: float | None = None,
    realtime: bool = False,
    loop: bool = False,
    events: Sequence[str] | None = None,
    save: str | Path | None = None,
    page: bool = False,
    host: str | None = None,
    port: int | None = None,
    default_events: str = "",
) -> LiveSettings:
    """Settings of a live run, out of a YAML file or out of options.

    Args:
        bundle: directory of the bundle; overrides the file's.
        source: SOURCE or NAME=SOURCE, see `stgcn live --help`.
        config: the YAML file; then the options say what it cannot: bundle, page, host, port.
        events: FILE.jsonl, "-", an http(s) address, or mqtt://host:port.
        default_events: where events go when nothing is said; "" nowhere.

    Raises:
        UsageError: something is wrong or missing; it is named with its place.
    """
    from stgcn_deploy.live.config import changed, from_options, read_config

    page_asked: dict[str, Any] | None = None
    if page or host is not None or port is not None:
        page_asked = _given(host=host, port=port)
    if config is not None:
        beside = _given(
            source=list(source) or None, backend=backend, threads=threads, pose=pose,
            pose_model=pose_model, pose_detector=pose_detector, stride=stride, mode=mode, fps=fps,
            realtime=realtime or None, loop=loop or None, events=events or None, save=save,
        )  # fmt: skip
        if beside:
            raise UsageError(
                f"{', '.join(beside)} beside a configuration; say it in {config} instead (`--check` shows "
                "what it means)."
            )
        read = read_config(Path(config), environ=os.environ)
        return changed(read, bundle=None if bundle is None else str(bundle), page=page_asked)
    if bundle is None or not source:
        raise UsageError(
            "a live run needs a bundle and at least one source: stgcn live BUNDLE --source 0 (a webcam), "
            "--source rtsp://..., --source clip.mp4; or --config cameras.yaml."
        )
    wanted = events if events is not None else [default_events] if default_events else []
    found = from_options(
        str(bundle),
        source,
        camera=_given(realtime=realtime or None, loop=loop or None),
        sinks=[_sink(text) for text in wanted],
        windows=_given(stride=stride, mode=mode, fps=fps),
        pose=_given(name=pose, model=pose_model, detector=pose_detector, layout=pose_layout),
        near=near,
        **_given(backend=backend, threads=threads, page=page_asked),
    )
    if save is None:
        return found
    cameras = [
        {**camera.model_dump(), "save": str(Path(save) / f"{camera.name}.mp4")}
        for camera in found.cameras
    ]
    return changed(found, cameras=cameras)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _sink(text: str) -> dict[str, Any]:
    """--events as settings of a sink."""
    from urllib.parse import urlsplit

    scheme = text.partition("://")[0] if "://" in text else ""
    if scheme in ("http", "https"):
        return {"kind": "webhook", "url": text}
    if scheme in ("mqtt", "mqtts"):
        try:
            parts = urlsplit(text)
            port = parts.port or (8883 if scheme == "mqtts" else MQTT_PORT)
        except ValueError:
            raise UsageError("--events mqtt://host:port: the port is no number.") from None
        return {
            "kind": "mqtt", "tls": scheme == "mqtts",
            **_given(host=parts.hostname, port=port, username=parts.username, password=parts.password),
        }  # fmt: skip
    if scheme:
        raise UsageError(
            f"--events {scheme}://... is not known; give a file.jsonl, -, http(s):// or mqtt(s)://."
        )
    return {"kind": "jsonl", "path": text}


def live_check(settings: LiveSettings) -> None:
    """Open and close everything but the cameras: what would stop the run is said now.

    Raises:
        StgcnError: the bundle, the pose estimator or a sink cannot be had as asked.
    """
    from stgcn_deploy.live.introductions import Introductions
    from stgcn_deploy.live.pipeline import open_model, window_shape

    with _opened(settings) as parts:
        window_shape(settings.bundle, parts.manifest, settings)
        Introductions(parts.manifest, parts.pose, near=settings.near)
        open_model(settings, parts.manifest).close()


def live_run(
    settings: LiveSettings,
    *,
    duration: float | None = None,
    view: bool | None = None,
    force: bool = False,
    on_event: Callable[[Event], None] | None = None,
    say: Progress = quiet,
    signals: bool = False,
) -> LiveReport:
    """Run cameras until they end, `duration` seconds pass, or a signal comes.

    Args:
        settings: see live_settings, or live.config.read_config.
        view: the table in the terminal; None: where there is a terminal and no page.
        force: replace annotated videos that exist.
        on_event: called with every event, on a thread of the pipeline; it must return at once.
        say: told of cameras that come and go, sinks that fail, and the page's address.
        signals: stop at SIGTERM and SIGINT within 5 seconds; for programs that do nothing else.

    Raises:
        StgcnError: the run cannot begin.
    """
    from stgcn_deploy.live.board import Board
    from stgcn_deploy.live.listener import Listener
    from stgcn_deploy.live.metrics import Metrics
    from stgcn_deploy.live.narrator import Narrator
    from stgcn_deploy.live.shown import Shown
    from stgcn_deploy.live.tally import Tally
    from stgcn_deploy.live.terminal import TerminalView

    tally, metrics = Tally(), Metrics()
    with ExitStack() as stack:
        parts = stack.enter_context(_opened(settings))
        shown = Shown.of(parts.manifest, parts.pose)
        board = Board(
            [camera.name for camera in settings.cameras],
            edges=shown.edges,
            labels=parts.labels,
            upwards=shown.upwards,
        )
        recorders = _recorders(settings, shown, board, say, force=force)
        stack.callback(_finish, recorders, say)
        observers: list[Observer] = [tally, Narrator(say), board, metrics, *recorders]
        if on_event is not None:
            observers.append(Listener(on_event))
        runtime = getattr(parts.pose, "runtime", None)
        if runtime is not None:
            say(f"pose: {settings.pose.name} on {runtime}")
        run = parts.run(observers)
        board.current = run.decisions.current
        metrics.model(run.model)
        if settings.page is not None:
            from stgcn_deploy.live.page.server import PageServer

            server = PageServer(settings.page, board, metrics, run.ready, alive=run.alive)
            say(f"page: {server.start()}")
            stack.callback(server.stop)
        if signals:
            stack.enter_context(_stopping(run, say))
        if view or (view is None and sys.stderr.isatty() and settings.page is None):
            stack.enter_context(TerminalView(board))
        run.start()
        try:
            run.wait(duration)
        finally:
            clean = run.stop()
    return tally.report(clean=clean, failures=run.failures())


def _recorders(
    settings: LiveSettings, shown: Shown, board: Board, say: Progress, *, force: bool
) -> list[Recorder]:
    """One for each camera whose video is asked for."""
    from stgcn_deploy.live.overlay import caption_of
    from stgcn_deploy.live.recorder import Recorder
    from stgcn_deploy.live.sources.registry import open_source

    for camera in settings.cameras:
        if camera.save is not None:
            Path(camera.save).parent.mkdir(parents=True, exist_ok=True)
    return [
        Recorder(
            camera.name,
            Path(camera.save),
            settings.video,
            edges=shown.edges,
            sides=shown.sides,
            caption=lambda name, track: caption_of(*(board.doing(name, track) or ("", None))),
            say=say,
            every=not open_source(camera).live,
            force=force,
        )
        for camera in settings.cameras
        if camera.save is not None
    ]


def _finish(recorders: Sequence[Recorder], say: Progress) -> None:
    for recorder in recorders:
        say(f"video {recorder.close()}")


@dataclass(frozen=True)
class _Parts:
    """What a run is put together of."""

    settings: LiveSettings
    manifest: Manifest
    labels: tuple[str, ...]
    pose: Pose | None
    sinks: list[Sink]

    def run(self, observers: Sequence[Observer]) -> Live:
        """The run; it owns the parts from now on."""
        from stgcn_deploy.live.pipeline import Live

        return Live(self.settings, pose=self.pose, sinks=self.sinks, observers=observers)


@contextmanager
def _opened(settings: LiveSettings) -> Iterator[_Parts]:
    """Everything but the cameras opened; what was opened is closed again."""
    from stgcn_deploy.bundle import Bundle
    from stgcn_deploy.live.pose.registry import open_pose
    from stgcn_deploy.live.sinks.registry import make_sink
    from stgcn_deploy.live.sources.registry import gives_images

    bundle = Bundle(settings.bundle)
    images = any(gives_images(camera) for camera in settings.cameras)
    with ExitStack() as stack:
        pose = open_pose(settings.pose) if images else None
        if pose is not None:
            stack.callback(pose.close)
        sinks: list[Sink] = []
        for asked in settings.sinks:
            sinks.append(make_sink(asked))
            stack.callback(sinks[-1].close)
        yield _Parts(settings, bundle.manifest, bundle.labels, pose, sinks)


@contextmanager
def _stopping(run: Live, say: Progress) -> Iterator[None]:
    """SIGTERM and SIGINT end the run; a second one ends the program at once."""
    before: dict[signal.Signals, Any] = {}

    def stop(number: int, _: Any) -> None:
        say(f"{signal.Signals(number).name}: stopping")
        run.stop_soon()
        for one, handler in before.items():
            signal.signal(one, handler)

    for one in (signal.SIGTERM, signal.SIGINT):
        before[one] = signal.signal(one, stop)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
