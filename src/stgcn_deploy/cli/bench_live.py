"""stgcn bench-live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stgcn_deploy.cli.console import json_text, note, print_json, print_table, progress, say
from stgcn_deploy.cli.options import AsJson, Force

if TYPE_CHECKING:
    from stgcn_deploy.live.bench.report import LiveBench

__all__ = ["bench_live"]


def bench_live(
    bundle: Annotated[Path, typer.Argument(help="Directory of the bundle.")],
    cameras: Annotated[
        int | None, typer.Option(help="Number of simulated cameras. [default: 1]")
    ] = None,
    search: Annotated[
        bool,
        typer.Option(
            "--search",
            help="Find the largest number with at most 1 % of frames dropped and of windows lost, and "
            "the p99 from frame to answer below the stride.",
        ),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="File of recordings to replay; synthetic motion where none is named."),
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option(
            help="Folder of video clips, or one: then decoding and poses are measured too."
        ),
    ] = None,
    persons: Annotated[int, typer.Option(help="People in front of each camera.")] = 1,
    fps: Annotated[float, typer.Option(help="Frames a second of each camera.")] = 25.0,
    model_fps: Annotated[
        float | None, typer.Option(help="Frames a second of training, where the bundle has none.")
    ] = None,
    jitter_ms: Annotated[float, typer.Option(help="Frames come up to so much later.")] = 0.0,
    loss: Annotated[float, typer.Option(help="Share of frames that never come.")] = 0.0,
    pause_every: Annotated[
        float | None, typer.Option(help="Seconds between two silences of a camera.")
    ] = None,
    pause: Annotated[
        float, typer.Option(help="Seconds of a silence; what was kept then comes at once.")
    ] = 0.0,
    stride: Annotated[float, typer.Option(help="Seconds between two windows of a person.")] = 1.0,
    duration: Annotated[float, typer.Option(help="Seconds of a run.")] = 60.0,
    warmup: Annotated[float, typer.Option(help="Seconds before it that do not count.")] = 10.0,
    backend: Annotated[
        str | None, typer.Option(help="Runtime; by default the one that the bundle was made for.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of one call of the network.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Calls of the network at the same time. [default: 1]")
    ] = None,
    pose_workers: Annotated[
        int | None, typer.Option(help="Threads that find people. [default: one for each core]")
    ] = None,
    pose: Annotated[str, typer.Option(help="Pose estimator for clips.")] = "blazepose",
    pose_model: Annotated[
        Path | None, typer.Option(help="ONNX file of your own pose network.")
    ] = None,
    ladder: Annotated[
        bool, typer.Option("--ladder", help="Leave work out under load, as `stgcn live` does.")
    ] = False,
    overload: Annotated[
        float | None, typer.Option(help="Then so many times the cameras, with work left out: 1.5.")
    ] = None,
    naive: Annotated[
        bool, typer.Option("--naive", help="The same with an endless queue and a loop, beside it.")
    ] = False,
    delay: Annotated[
        bool,
        typer.Option(
            "--delay", help="How long after its onset an action is told, on synthetic motion."
        ),
    ] = False,
    sequences: Annotated[
        int, typer.Option(help="Synthetic sequences of a minute for --delay.")
    ] = 20,
    max_drops: Annotated[
        float | None, typer.Option(help="Fail above this share of frames dropped: 0.01.")
    ] = None,
    max_p99_ms: Annotated[
        float | None, typer.Option(help="Fail if the p99 from frame to answer is not below it.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a PNG.")] = None,
    raw: Annotated[
        Path | None, typer.Option(help="Write everything, raw samples too, as JSON.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """How many cameras this machine takes, how late answers come, and what overload does.

    Every run is a process of its own.  Ends with 1 when a run measured nothing, or a limit was broken.
    """
    from stgcn_deploy import api
    from stgcn_deploy.files import refuse_existing, write_text

    refuse_existing(plot, raw, force=force)
    with progress() as report:
        found = api.bench_live(
            bundle,
            cameras=cameras,
            search=search,
            data=data,
            clips=clips,
            persons=persons,
            fps=fps,
            model_fps=model_fps,
            jitter=jitter_ms / 1e3,
            loss=loss,
            pause_every=pause_every,
            pause=pause,
            stride=stride,
            duration=duration,
            warmup=warmup,
            backend=backend,
            threads=threads,
            workers=workers,
            pose_workers=pose_workers,
            pose=pose,
            pose_model=None if pose_model is None else str(pose_model),
            ladder=ladder,
            overload=overload,
            naive=naive,
            delay=delay,
            sequences=sequences,
            max_drops=max_drops,
            max_p99_ms=max_p99_ms,
            progress=report,
        )
    if plot is not None:
        from stgcn_deploy.live.bench.plot import plot_live

        plot_live(found, plot, force=force)
    if raw is not None:
        write_text(raw, json_text(found.as_dict()), force=force)
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)
    for text in found.broken:
        note(f"error: {text}")
    if found.broken:
        raise typer.Exit(1)


def _print(found: LiveBench) -> None:
    from stgcn_deploy.live.bench.report import DELAY_HEADER, delay_cells, details, run_rows

    if found.found is not None:
        most = found.found
        why = "; ".join(most.next_broken)
        beyond = f"with {most.next_cameras}: {why}" if why else "more were not tried"
        say(f"{most.cameras} cameras at most; {beyond}")
    if found.runs:
        print_table(("", *(run.title for run in found.runs)), run_rows(found.runs))
    for run in found.runs:
        for text in details(run.outcome):
            say(f"{run.title}: {text}")
    if found.delay is not None:
        title = f"From the onset of an action to its event; windows of {found.delay.window:g} s"
        print_table(DELAY_HEADER, delay_cells(found.delay), title)
    say(f"{found.environment['cpu']}, {found.environment['cores']} cores allowed")
