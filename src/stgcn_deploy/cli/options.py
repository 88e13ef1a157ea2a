"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AsJson", "Backend", "Config", "Force", "Frames", "LayoutName", "Persons", "int_list"]

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
