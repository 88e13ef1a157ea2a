"""stgcn ascend pack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stgcn_deploy.cli.console import print_json, say
from stgcn_deploy.cli.options import AsJson, Force

__all__ = ["ascend_pack"]


def ascend_pack(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .tar.gz to write.")],
    tool: Annotated[
        Literal["ais_bench", "msame"], typer.Option(help="What the script in it runs the OM with.")
    ] = "ais_bench",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Pack OM files, or the graph, with the scripts that run and score them, for a host with numpy."""
    from stgcn_deploy import api

    made = api.ascend_pack(bundle, output, tool=tool, force=force)
    if as_json:
        print_json(made)
        return
    say(f"{made['file']}: {made['bytes']:,} bytes, sha256 {made['sha256']}")
    for name, size in made["files"].items():
        say(f"  {made['folder']}/{name}: {size:,} bytes")
    say("on the host:")
    say(f"  tar -xzf {Path(made['file']).name} && cd {made['folder']} && sha256sum -c SHA256SUMS")
    say("  sh run.sh WORK val_data.npy val_label.pkl")
