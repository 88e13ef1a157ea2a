"""stgcn data bins write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stgcn_deploy.cli.console import counter, print_json, say
from stgcn_deploy.cli.options import AsJson, Axes, DataFormat, Force, ImageSize, read_options

__all__ = ["data_bins_write"]


def data_bins_write(
    data: Annotated[Path, typer.Option(help="val_data.npy, or with --bundle any recordings.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write into.")],
    labels: Annotated[
        Path | None, typer.Option(help="val_label.pkl; by default the one beside the data.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Prepare records as this bundle takes them.")
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
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write each record as a raw float32 file for ais_bench, and its label as int64."""
    from stgcn_deploy import api

    with counter("writing") as count:
        made = api.data_bins_write(
            data,
            output,
            bundle=bundle,
            split=split,
            limit=limit,
            fit=fit,
            data_format=data_format,
            read=read_options(labels, None, axes, image_size),
            force=force,
            count=count,
        )
    if as_json:
        print_json(made)
        return
    kept = f" ({made['kept']:,} were there from an earlier run)" if made["kept"] else ""
    say(f"{made['count']:,} samples{kept}, checked by count and size:")
    for folder, size in made["folders"].items():
        say(f"  {folder}: {made['count']:,} files of {size:,} bytes")
