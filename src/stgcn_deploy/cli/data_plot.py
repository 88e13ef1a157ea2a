"""stgcn data plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stgcn_deploy.cli.console import print_json, say
from stgcn_deploy.cli.options import (
    AsJson,
    Axes,
    ClassNames,
    DataFormat,
    DataLabels,
    DataLayout,
    Force,
    Fps,
    ImageSize,
    read_options,
)

__all__ = ["data_plot"]


def data_plot(
    path: Annotated[Path, typer.Argument(help="File or folder of recordings.")],
    output: Annotated[
        Path,
        typer.Argument(help="Film strip .svg or .png, animation .gif, or .html page that plays."),
    ],
    record: Annotated[int | None, typer.Option(help="Which one of many.")] = None,
    frames: Annotated[int, typer.Option(help="Poses of a film strip.")] = 6,
    height: Annotated[
        int | None, typer.Option(help="Of a film strip (220) or GIF (320), in pixels.")
    ] = None,
    classes: ClassNames = None,
    data_format: DataFormat = None,
    data_labels: DataLabels = None,
    layout: DataLayout = None,
    axes: Axes = None,
    image_size: ImageSize = None,
    fps: Fps = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Draw one recording: persons in colours, the left side dark, the right side light."""
    from stgcn_deploy.api import recordings

    found = recordings.data_plot(
        path,
        output,
        record=record,
        frames=frames,
        height=height,
        classes=classes,
        data_format=data_format,
        read=read_options(data_labels, layout, axes, image_size, fps),
        force=force,
    )
    if as_json:
        print_json(found)
        return
    shape = " x ".join(map(str, found["shape"]))
    say(
        f"drawn: {found['file']}: record {found['record']} ({found['name']}), {shape} of "
        f"{found['layout']}, {found['plane']}"
    )
