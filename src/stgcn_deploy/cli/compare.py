"""stgcn compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stgcn_deploy.cli.console import NONE, note, print_json, print_table, progress, say
from stgcn_deploy.cli.options import (
    AsJson,
    Axes,
    DataFormat,
    DataLabels,
    Force,
    Fps,
    ImageSize,
    read_options,
)

if TYPE_CHECKING:
    from stgcn_deploy.measure.comparison import Compared, Comparison

__all__ = ["compare"]

HEADER = (
    "", "form", "p50 ms", "p90 ms", "clips/s", "speed", "MB", "peak MiB", "error", "top-1",
    "points lost", "verdict",
)  # fmt: skip


def compare(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles of one network, first the norm.")],
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Runtime; repeat for several. By default the one each was made for."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labelled recordings, for accuracy; see `stgcn data info`.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the data: test1, xsub_val.")] = None,
    clips: Annotated[
        int | None, typer.Option(help="Clips of a recording to average; as its codebase tests.")
    ] = None,
    fit: Annotated[
        Literal["exact", "pad", "resample"],
        typer.Option(help="For another number of frames: refuse, pad with zeros, resample."),
    ] = "exact",
    limit: Annotated[
        int | None, typer.Option(help="Only so many records, spread over the split.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Clips in one call.")] = 1,
    threads: Annotated[int, typer.Option(help="Cores for each.")] = 2,
    duration: Annotated[float, typer.Option(help="Seconds for each.")] = 10.0,
    rounds: Annotated[int, typer.Option(help="Turns that they take.")] = 5,
    max_drop: Annotated[
        float | None, typer.Option(help="Points of top-1 that later ones may lose; else exit 1.")
    ] = None,
    min_speed: Annotated[
        float | None,
        typer.Option(help="Times as fast as the first that later ones must be; else exit 1."),
    ] = None,
    data_format: DataFormat = None,
    data_labels: DataLabels = None,
    axes: Axes = None,
    image_size: ImageSize = None,
    fps: Fps = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table as CSV.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a PNG.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Compare bundles of one network: speed, size, memory, parity, accuracy."""
    from stgcn_deploy import api
    from stgcn_deploy.files import refuse_existing
    from stgcn_deploy.measure.comparison_plot import plot_comparison
    from stgcn_deploy.measure.report import write_rows

    refuse_existing(csv, plot, force=force)
    with progress() as report:
        found = api.compare(
            bundles,
            backend=backend or (),
            data=data,
            split=split,
            clips=clips,
            fit=fit,
            limit=limit,
            batch=batch,
            threads=threads,
            duration=duration,
            rounds=rounds,
            max_drop=max_drop,
            min_speed=min_speed,
            data_format=data_format,
            read=read_options(data_labels, None, axes, image_size, fps),
            progress=report,
            count=lambda done, total: report(f"accuracy: record {done:,} of {total:,}"),
        )
    if csv:
        table = [found.record(one) for one in found.rows]
        write_rows(
            [{**row, "reasons": "; ".join(row["reasons"])} for row in table], csv, force=force
        )
    if plot:
        plot_comparison(found, plot, force=force)
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found)
    for failure in found.failures:
        note(f"FAILED: {failure}")
    raise typer.Exit(0 if found.ok else 1)


def _show(found: Comparison) -> None:
    from stgcn_deploy.measure.comparison import COLUMNS_NOTE
    from stgcn_deploy.measure.report import threads_text

    rows = [one.row for one in found.rows if one.row is not None]
    batches = sorted({row.batch for row in rows})
    title = f"batch {batches[0]}, {threads_text(rows)}" if rows else "nothing was timed"
    print_table(HEADER, [_cells(found, one) for one in found.rows], title)
    for one in found.rows:
        if one.entry.skipped:
            say(f"skipped: {one.name}: {one.entry.skipped}")
    if found.data is not None:
        split = f", split {found.data['split']}" if found.data["split"] else ""
        say(f"accuracy on {found.data['file']}{split}: {found.data['records']:,} records")
    say(f"{found.environment['cpu']}. {COLUMNS_NOTE}")


def _cells(found: Comparison, one: Compared) -> list[str]:
    from stgcn_deploy.measure.report import number_text, ratio_text

    facts = found.record(one)

    def number(name: str) -> str:
        return NONE if facts[name] is None else number_text(facts[name])

    verdict = {"ok": "ok", "no": "FAILED", "skipped": "skipped"}[facts["verdict"]]
    return [
        facts["bundle"],
        one.form,
        *map(number, ("p50_ms", "p90_ms", "clips_per_s")),
        ratio_text(found.speed(one)),
        *map(number, ("size_mb", "peak_rss_mb")),
        NONE if facts["max_error"] is None else f"{facts['max_error']:.1e}",
        NONE if facts["top1"] is None else f"{facts['top1']:.2%}",
        NONE if facts["points"] is None else f"{facts['points']:.2f} ± {facts['margin']:.2f}",
        verdict,
    ]
