"""stgcn predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stgcn_deploy.cli.console import print_json, print_table
from stgcn_deploy.cli.options import AsJson, Axes, Backend, ImageSize, image_size_of

__all__ = ["predict"]


def predict(
    bundle: Annotated[Path, typer.Argument(help="Directory of the bundle.")],
    clip: Annotated[
        Path, typer.Argument(help="A recording: .npy, .json, .pkl, .skeleton, .jsonl, a folder.")
    ],
    record: Annotated[int | None, typer.Option(help="Which one, of a file with several.")] = None,
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
    axes: Axes = None,
    image_size: ImageSize = None,
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
        record=record,
        topk=topk,
        fit=fit,
        raw=raw,
        axes=axes,
        image_size=image_size_of(image_size),
        clips=clips,
        backend=backend,
    )
    if as_json:
        print_json(found.as_dict())
        return
    rows = [(action.label, f"{action.score:.4f}", _bar(action.score)) for action in found.top]
    print_table(("action", "score", ""), rows, str(clip))


def _bar(score: float) -> str:
    return "#" * round(30 * score) if 0 <= score <= 1 else ""
