"""stgcn data convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stgcn_deploy.cli.console import counter, print_json, say
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

__all__ = ["data_convert"]


def data_convert(
    path: Annotated[Path, typer.Argument(help="File or folder of recordings.")],
    output: Annotated[Path, typer.Argument(help="File to write: .pkl, .npy, .jsonl, .json.")],
    to: Annotated[
        str | None,
        typer.Option(
            help="Format to write: pyskl, kinetics-npy, keypoints-jsonl, clip; by default as the "
            "name ends."
        ),
    ] = None,
    to_layout: Annotated[
        str | None,
        typer.Option(help="Turn the joints into this layout: a name, or your .toml / .json file."),
    ] = None,
    near: Annotated[
        bool, typer.Option("--near", help="Take stand-ins for joints it lacks: nose for head.")
    ] = False,
    absent: Annotated[
        bool, typer.Option("--absent", help="Leave joints that cannot be had absent, all zero.")
    ] = False,
    frames: Annotated[int | None, typer.Option(help="T of all recordings.")] = None,
    fit: Annotated[
        Literal["pad", "resample", "loop"],
        typer.Option(help="How: empty frames at the end, linearly, or from the start again."),
    ] = "pad",
    persons: Annotated[
        int | None, typer.Option(help="M of all recordings; those seen most stay.")
    ] = None,
    prepared: Annotated[
        bool, typer.Option("--prepared", help="The numbers are what a network sees already.")
    ] = False,
    split: Annotated[str | None, typer.Option(help="Only the records of this split.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many records.")] = None,
    record: Annotated[int | None, typer.Option(help="Only this record.")] = None,
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
    """Write recordings in another format or layout, and say what is lost."""
    from stgcn_deploy.api import recordings

    with counter("converting") as count:
        found = recordings.data_convert(
            path,
            output,
            to=to,
            to_layout=to_layout,
            near=near,
            absent=absent,
            frames=frames,
            fit=fit,
            persons=persons,
            prepared=prepared,
            split=split,
            limit=limit,
            record=record,
            classes=classes,
            data_format=data_format,
            read=read_options(data_labels, layout, axes, image_size, fps),
            force=force,
            count=count,
        )
    if as_json:
        print_json(found)
        return
    files = ", ".join(f"{name} ({size:,} bytes)" for name, size in found["files"].items())
    shape = " x ".join(map(str, found["shape"]))
    say(f"{found['records']:,} recording(s) as {found['format']}: {files}")
    say(f"the first is (M, T, V, C) = {shape}")
    for text in found["changed"]:
        say(f"changed: {text}")
    say("lost, as this format cannot say it: " + ("; ".join(found["lost"]) or "nothing"))
