"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stgcn_deploy.data.dataset import ReadOptions

__all__ = [
    "AsJson",
    "Axes",
    "Backend",
    "ClassNames",
    "Config",
    "DataFormat",
    "DataLabels",
    "DataLayout",
    "Force",
    "Fps",
    "Frames",
    "ImageSize",
    "LayoutName",
    "Persons",
    "image_size_of",
    "int_list",
    "read_options",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Backend = Annotated[str, typer.Option(help="Runtime to use; see `stgcn doctor`.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what exists.")]
Frames = Annotated[int | None, typer.Option(help="T, frames of one clip.")]
Persons = Annotated[int | None, typer.Option(help="M, person slots of one clip.")]
LayoutName = Annotated[
    str | None,
    typer.Option(
        "--layout", help="Layout it was trained with: a name, or your .toml / .json file."
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(help="MMAction2 / PYSKL config it was trained with; parsed, never run."),
]
# What a file of recordings does not say itself.
DataFormat = Annotated[
    str | None, typer.Option("--format", help="What the data is, where it is not recognised.")
]
DataLabels = Annotated[
    Path | None, typer.Option("--data-labels", help="Labels of the data: .pkl, .npy, .json, .txt.")
]
DataLayout = Annotated[
    str | None,
    typer.Option("--layout", help="Layout of the joints: a name, or your .toml / .json file."),
]
ClassNames = Annotated[
    Path | None, typer.Option("--classes", help="Names of the classes, one a line.")
]
Axes = Annotated[
    str | None, typer.Option(help="Order of a bare array's axes: NCTVM, NMTVC, CTVM, MTVC.")
]
ImageSize = Annotated[
    str | None, typer.Option(help="Image that raw coordinates are pixels of: 1920x1080.")
]
Fps = Annotated[float | None, typer.Option(help="Frames per second of the recordings.")]


def int_list(text: str | None, option: str) -> tuple[int, ...] | None:
    """The numbers of "1,2,3".

    Raises:
        UsageError: something else.
    """
    from stgcn_deploy.errors import UsageError

    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} takes whole numbers like 1,8; got {text!r}.") from None


def image_size_of(text: str | None) -> tuple[int, int] | None:
    """The numbers of "1920x1080".

    Raises:
        UsageError: something else.
    """
    from stgcn_deploy.errors import UsageError

    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"--image-size takes WIDTHxHEIGHT like 1920x1080; got {text!r}.")
    return int(width), int(height)


def read_options(
    labels: Path | None = None,
    layout: str | None = None,
    axes: str | None = None,
    image_size: str | None = None,
    fps: float | None = None,
) -> ReadOptions:
    """What the options say about a file of recordings.

    Raises:
        UsageError: an image size that is none, or fps not above 0.
    """
    from stgcn_deploy.data.dataset import ReadOptions
    from stgcn_deploy.errors import UsageError

    if fps is not None and not fps > 0:
        raise UsageError(f"--fps must be above 0, got {fps}.")
    return ReadOptions(labels, layout, axes, image_size_of(image_size), fps)
