"""stgcn tune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stgcn_deploy.cli.console import NONE, json_text, print_json, print_table, progress, say
from stgcn_deploy.cli.options import AsJson, Force, int_list

if TYPE_CHECKING:
    from stgcn_deploy.measure.sweep import Measured, Sweep

__all__ = ["tune"]

HEADER = (
    "backend", "batch", "threads", "sessions", "p50 ms", "p90 ms", "clips/s", "peak MiB", "",
)  # fmt: skip


def tune(
    bundle: Annotated[Path, typer.Argument(help="Directory of the bundle.")],
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Runtime; repeat for several. By default the one it was made for."),
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="Clips in one call: 1,4. By default all that fit the graph.")
    ] = None,
    threads: Annotated[
        str | None, typer.Option(help="Threads of one session: 1,2. By default up to all cores.")
    ] = None,
    instances: Annotated[
        str | None, typer.Option(help="Sessions called at the same time: 1,2. Likewise.")
    ] = None,
    duration: Annotated[float, typer.Option(help="Seconds for each setting.")] = 3.0,
    rounds: Annotated[int, typer.Option(help="Turns that the settings take.")] = 3,
    plot: Annotated[
        Path | None, typer.Option(help="Draw latency against clips per second: a PNG.")
    ] = None,
    raw: Annotated[
        Path | None, typer.Option(help="Write everything, raw samples too, as JSON.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Find the batch, threads and sessions that are best on this machine, and remember them."""
    from stgcn_deploy import api
    from stgcn_deploy.files import refuse_existing, write_text
    from stgcn_deploy.measure.sweep_plot import plot_sweep

    refuse_existing(plot, raw, force=force)
    with progress() as report:
        found = api.tune(
            bundle,
            backend=backend or (),
            batch=int_list(batch, "--batch"),
            threads=int_list(threads, "--threads"),
            instances=int_list(instances, "--instances"),
            duration=duration,
            rounds=rounds,
            progress=report,
        )
    if plot:
        plot_sweep(found, plot, force=force)
    if raw:
        write_text(raw, json_text(found.as_dict()), force=force)
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found)


def _show(found: Sweep) -> None:
    from stgcn_deploy.measure.report import failure

    print_table(HEADER, [_cells(found, one) for one in found.measured], f"tune {found.bundle}")
    for one in found.measured:
        if (reason := failure(one.row)) is not None:
            say(f"{one.setting.backend}, {one.setting.text} did not run: {reason}")
    quick, busy = found.lowest_latency(), found.most_clips()
    say(f"lowest latency: {_words(found, quick)}")
    say(f"most clips:     {_words(found, busy)}")
    for note in found.notes:
        say(note)
    rounds = "1 round" if found.rounds == 1 else f"{found.rounds} rounds"
    say(
        f"{found.environment['cpu']}, {found.environment['cores']} cores allowed. Each setting ran "
        f"alone, in a process of its own, in {rounds}, every other one in reverse order. p50 and p90 "
        "are of one call while all sessions are busy; clips/s are of all sessions together, the median "
        "of the rounds."
    )


def _cells(found: Sweep, one: Measured) -> list[str]:
    from stgcn_deploy.measure.report import failure, number_text

    setting = one.setting
    cells = [setting.backend, str(setting.batch), str(setting.threads), str(setting.instances)]
    if failure(one.row) is not None:
        return [*cells, "failed", *[NONE] * 3, ""]
    numbers = (one.latency_ms, one.row.percentile(90), one.clips_per_s, one.row.peak_rss_mb)
    marks = (
        ("lowest latency", one is found.lowest_latency()),
        ("most clips", one is found.most_clips()),
        ("on the front", one in found.front),
    )
    said = [text for text, holds in marks if holds]
    return [*cells, *map(number_text, numbers), ", ".join(said[:2])]


def _words(found: Sweep, one: Measured) -> str:
    from stgcn_deploy.measure.report import number_text

    several = len({other.setting.backend for other in found.measured}) > 1
    where = f"{one.setting.backend}, " if several else ""
    return (
        f"{where}{one.setting.text}: {number_text(one.latency_ms)} ms a call, "
        f"{number_text(one.clips_per_s)} clips/s"
    )
