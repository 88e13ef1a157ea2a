"""stgcn predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stgcn_deploy.cli.console import print_json, print_table
from stgcn_deploy.cli.options import AsJson, Backend

__all__ = ["predict"]


def predict(
    bundle: Annotated[Path, typer.Argument(help="Directory of the bundle.")],
    clip: Annotated[
        Path, typer.Argument(help="(M, T, V, C) as .npy, .json, or a PYSKL .pkl (raw).")
    ],
    topk: Annotated[int, typer.Option(help="Classes to name.")] = 5,
    fit: Annotated[
        Literal["exact", "pad", "resample"],
        typer.Option(help="For another number of frames: refuse, pad with zeros, resample."),
    ] = "exact",
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Numbers of a pose estimator: prepare them as the bundle's codebase does."
        ),
    ] = False,
    image_size: Annotated[
        str | None, typer.Option(help="Image that raw coordinates are pixels of: 1920x1080.")
    ] = None,
    clips: Annotated[
        int | None,
        typer.Option(
            help="Clips to sample and average, 1 or 10; by default as its codebase tests."
        ),
    ] = None,
    backend: Backend = "onnxruntime",
    as_json: AsJson = False,
) -> None:
    """Classify one clip."""
    from stgcn_deploy import api

    found = api.predict(
        bundle,
        clip,
        topk=topk,
        fit=fit,
        raw=raw,
        image_size=_size(image_size),
        clips=clips,
        backend=backend,
    )
    if as_json:
        print_json(found.as_dict())
        return
    rows = [(action.label, f"{action.score:.4f}", _bar(action.score)) for action in found.top]
    print_table(("action", "score", ""), rows, str(clip))


def _size(text: str | None) -> tuple[int, int] | None:
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


def _bar(score: float) -> str:
    return "#" * round(30 * score) if 0 <= score <= 1 else ""
