"""stgcn live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stgcn_deploy.cli.console import note, print_json, print_table
from stgcn_deploy.cli.options import AsJson

__all__ = ["live"]


def live(
    bundle: Annotated[
        Path | None, typer.Argument(help="Directory of the bundle; a configuration names its own.")
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Camera number, file, folder, rtsp:// or http:// address, key points (.jsonl, - for "
            "standard input, tcp://host:port); NAME=SOURCE names it; repeat for several."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML with cameras and all settings, see docs/live-config.md."),
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="Runtime; by default the one that the bundle was made for.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of one call of the network.")] = None,
    pose: Annotated[
        str | None, typer.Option(help="Pose estimator for images; blazepose where none is named.")
    ] = None,
    pose_model: Annotated[
        str | None, typer.Option(help="ONNX file of your own pose network.")
    ] = None,
    pose_detector: Annotated[
        str | None, typer.Option(help="Person detector: hog, or your ONNX file.")
    ] = None,
    pose_layout: Annotated[
        str | None, typer.Option(help="Layout of its joints, where the file does not tell.")
    ] = None,
    near: Annotated[
        bool,
        typer.Option(
            "--near", help="Take stand-ins for joints that a source has not: nose for head."
        ),
    ] = False,
    stride: Annotated[
        float | None, typer.Option(help="Seconds between two windows of a person. [default: 1]")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="person: each by themself; scene: all of a camera together.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second of training, where the bundle has none.")
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Read files at the speed of their clock, as cameras.")
    ] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Begin files again at their end.")] = False,
    events: Annotated[
        list[str] | None,
        typer.Option(
            help="Where events go: FILE.jsonl, - for standard output, a webhook's http(s) address, "
            "mqtt://host:port. Repeat for several. [default: -]"
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Folder for annotated videos, one for each camera.")
    ] = None,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="Serve the page in the browser, and metrics.")
    ] = False,
    host: Annotated[
        str | None, typer.Option(help="Address of the page. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the page. [default: 8765]")] = None,
    duration: Annotated[
        float | None, typer.Option(help="Stop after so many seconds; by default never.")
    ] = None,
    view: Annotated[
        bool | None, typer.Option("--view/--no-view", help="The table in the terminal.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what would be done, and what is wrong.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace annotated videos.")] = False,
    as_json: AsJson = False,
) -> None:
    """Many cameras in, actions out: on screen, in a file, to a webhook or a broker.

    With --json the events go where --events says, and what was counted is printed as JSON at the end.
    """
    from stgcn_deploy import api
    from stgcn_deploy.errors import CheckFailedError
    from stgcn_deploy.live.config import describe

    settings = api.live_settings(
        bundle,
        source or (),
        config=config,
        backend=backend,
        threads=threads,
        pose=pose,
        pose_model=pose_model,
        pose_detector=pose_detector,
        pose_layout=pose_layout,
        near=near,
        stride=stride,
        mode=mode,
        fps=fps,
        realtime=realtime,
        loop=loop,
        events=events,
        save=save,
        page=page,
        host=host,
        port=port,
        default_events="" if as_json else "-",
    )
    if check:
        api.live_check(settings)
        rows = [list(row) for row in describe(settings)]
        if as_json:
            print_json(dict(rows))
        else:
            print_table(("setting", "value"), rows, "live")
        return
    found = api.live_run(
        settings, duration=duration, view=view, force=force, say=note, signals=True
    )
    if as_json:
        print_json(found.as_dict())
    else:
        for line in found.lines():
            note(line)
    if found.failures:
        raise CheckFailedError(
            "; ".join(f"camera {name} was given up: {why}" for name, why in found.failures.items())
        )
