"""stgcn bench."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stgcn_deploy.cli.console import print_json, print_table, progress, say
from stgcn_deploy.cli.options import AsJson, Backend, Config, Force, Frames, Persons, int_list

if TYPE_CHECKING:
    from stgcn_deploy.measure.bench import BenchReport

__all__ = ["bench", "print_bench"]


def bench(
    targets: Annotated[list[Path], typer.Argument(help="Bundles and checkpoints.")],
    backend: Backend = "onnxruntime",
    batch: Annotated[str, typer.Option(help="Batch sizes: 1,8.")] = "1",
    threads: Annotated[int, typer.Option(help="Cores for each contender.")] = 2,
    duration: Annotated[float, typer.Option(help="Seconds for each contender.")] = 10.0,
    rounds: Annotated[int, typer.Option(help="Turns that the contenders take.")] = 5,
    torch_compile: Annotated[
        bool, typer.Option(help="torch.compile among a checkpoint's contenders.")
    ] = True,
    persons: Persons = None,
    frames: Frames = None,
    config: Config = None,
    present: Annotated[
        int | None, typer.Option(help="Occupied person slots of the random clips; bundles only.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table as CSV.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a PNG.")] = None,
    raw: Annotated[
        Path | None, typer.Option(help="Write everything, raw samples too, as JSON.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Time bundles and checkpoints, each alone in its process, rounds interleaved."""
    from stgcn_deploy import api
    from stgcn_deploy.files import write_text
    from stgcn_deploy.measure.plots import plot_bench
    from stgcn_deploy.measure.report import write_csv

    for path in (csv, plot, raw):
        if path is not None and path.exists() and not force:
            from stgcn_deploy.errors import OutputExistsError

            raise OutputExistsError(f"{path} exists; replace it with --force.")
    with progress() as report:
        found = api.bench(
            targets,
            backend=backend,
            batch=int_list(batch, "--batch") or (1,),
            threads=threads,
            duration=duration,
            rounds=rounds,
            torch_compile=torch_compile,
            persons=persons,
            frames=frames,
            config=config,
            present=present,
            progress=report,
        )
    if csv:
        write_csv(found, csv, force=force)
    if plot:
        plot_bench(found, plot, force=force)
    if raw:
        write_text(raw, json.dumps(found.as_dict(), indent=1), force=force)
    if as_json:
        print_json(found.as_dict())
    else:
        print_bench(found)


def print_bench(report: BenchReport) -> None:
    """One table a batch size; speed against its first row."""
    from stgcn_deploy.measure.report import (
        BENCH_HEADER,
        batch_title,
        bench_cells,
        failure,
        method_text,
        rows_by_batch,
    )

    for batch, rows in rows_by_batch(report).items():
        cells = [bench_cells(row, rows[0]) for row in rows]
        print_table(BENCH_HEADER, cells, batch_title(batch, rows))
        for row in rows:
            if (reason := failure(row)) is not None:
                say(f"{row.name} did not run: {reason}")
    say(f"{report.environment['cpu']}. {method_text(report)}")
