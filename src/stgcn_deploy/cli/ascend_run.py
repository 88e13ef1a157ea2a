"""stgcn ascend run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stgcn_deploy.cli.console import counter, note, print_json, print_table, say
from stgcn_deploy.cli.options import AsJson, Axes, DataFormat, Force, ImageSize, read_options

if TYPE_CHECKING:
    from stgcn_deploy.ascend.report import AscendRun

__all__ = ["ascend_run"]


def ascend_run(
    bundle: Annotated[Path, typer.Argument(help="The bundle, with an OM file in it.")],
    data: Annotated[Path, typer.Option(help="Labelled recordings; see `stgcn data info`.")],
    work: Annotated[Path, typer.Option(help="Folder for samples and results.")],
    labels: Annotated[
        Path | None, typer.Option(help="val_label.pkl; by default the one beside the data.")
    ] = None,
    tool: Annotated[
        Literal["ais_bench", "msame"], typer.Option(help="What runs the OM.")
    ] = "ais_bench",
    batch: Annotated[
        int | None, typer.Option(help="Batch size of the OM; without it the smallest there is.")
    ] = None,
    om: Annotated[
        str | None, typer.Option(help="The OM file, where several have that batch size.")
    ] = None,
    device: Annotated[int, typer.Option(help="Number of the NPU.")] = 0,
    loop: Annotated[
        int | None, typer.Option(help="Besides, time so many calls on zeros, without files.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the data.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many records.")] = None,
    fit: Annotated[
        Literal["exact", "pad", "resample"],
        typer.Option(help="For another number of frames than the bundle's."),
    ] = "exact",
    data_format: DataFormat = None,
    axes: Axes = None,
    image_size: ImageSize = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the steps, as a shell script.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Run an OM file on labelled recordings by ais_bench or msame, and score the results."""
    from stgcn_deploy import api

    with counter("samples") as count:
        found = api.ascend_run(
            bundle,
            data,
            work,
            tool=tool,
            batch=batch,
            om=om,
            device=device,
            loop=loop,
            split=split,
            limit=limit,
            fit=fit,
            data_format=data_format,
            read=read_options(labels, None, axes, image_size),
            dry_run=dry_run,
            force=force,
            count=count,
            progress=note,
        )
    if as_json:
        print_json(found.as_dict())
    elif found.script is not None:
        sys.stdout.write(found.script)
    else:
        _show(found)


def _show(found: AscendRun) -> None:
    from stgcn_deploy.ascend.report import PHASE_HEADER, phase_cells

    om = found.om
    assert found.accuracy is not None
    for what, timing in found.timings:
        title = f"{om.path.name}, built for {om.device}: {found.tool} {what}, batch {timing.batch}"
        print_table(PHASE_HEADER, phase_cells(timing), title)
        say(
            f"throughput {what}: {timing.clips_per_s:.2f} clips/s (batch over the mean compute time)"
        )
    if not found.ran:
        say(f"nothing was run: the results were in {found.folder} already (--force runs again)")
    low, high = found.accuracy.interval
    say(f"top-1 {found.accuracy.top1:.2%}   top-5 {found.accuracy.top5:.2%}   "
        f"mean class {found.accuracy.mean_class:.2%}")  # fmt: skip
    say(f"{found.count:,} records; 95 % interval of top-1 {low:.1%} to {high:.1%}")
    for text in found.notes:
        note(f"note: {text}")
