"""stgcn demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stgcn_deploy.cli.console import note
from stgcn_deploy.cli.options import Force

__all__ = ["demo"]


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path(
        "stgcn-demo"
    ),
    duration: Annotated[float, typer.Option(help="Seconds of benchmark per contender.")] = 4.0,
    force: Force = False,
) -> None:
    """Walk the whole path with the bundled model: inspect, export, verify, bench, evaluate, report."""
    from stgcn_deploy.demo import run_demo

    run_demo(output, duration=duration, force=force, say=note)
