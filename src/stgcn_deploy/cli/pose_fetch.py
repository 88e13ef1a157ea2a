"""stgcn pose fetch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stgcn_deploy.cli.console import print_json, progress, say
from stgcn_deploy.cli.options import AsJson, Force

__all__ = ["pose_fetch"]


def pose_fetch(
    wheel: Annotated[
        Path | None,
        typer.Option(help="MediaPipe's wheel, where you have it; without it pip downloads it."),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Get the weights of BlazePose (Google, Apache-2.0) out of MediaPipe's wheel into the cache."""
    from stgcn_deploy import api

    with progress(quiet=as_json) as tell:
        made = api.pose_fetch(wheel, force=force, progress=tell)
    if as_json:
        print_json(made.as_dict())
        return
    say(f"{made.folder}: {'written' if made.new else 'already there'}, from {made.source}")
    for name, sha256 in made.files.items():
        say(f"  {name}: SHA-256 {sha256}")
    say(f"licence: {made.licence}, Google LLC (The MediaPipe Authors)")
