"""stgcn data bins score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stgcn_deploy.cli.console import print_json, say
from stgcn_deploy.cli.options import AsJson

__all__ = ["data_bins_score"]


def data_bins_score(
    results: Annotated[Path, typer.Option(help="Folder of the *_0.bin files.")],
    labels: Annotated[
        Path,
        typer.Option(help="val_label.pkl, or .npy, .json, .txt, .csv; or the samples' folder."),
    ],
    bundle: Annotated[
        Path | None, typer.Option(help="What was run; tells the type of the scores.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first so many records were run.")
    ] = None,
    dtype: Annotated[
        Literal["float32", "float16"], typer.Option(help="Of the scores in the files.")
    ] = "float32",
    as_json: AsJson = False,
) -> None:
    """Score the files that ais_bench wrote: top-1 and top-5."""
    from stgcn_deploy import api

    found = api.data_bins_score(results, labels, bundle=bundle, limit=limit, dtype=dtype)
    if as_json:
        print_json(found.as_dict())
        return
    low, high = found.interval
    say(f"top-1 {found.top1:.2%}   top-5 {found.top5:.2%}   mean class {found.mean_class:.2%}")
    say(f"{found.count:,} records, {len(found.per_class)} classes; 95 % interval of top-1 "
        f"{low:.1%} to {high:.1%}")  # fmt: skip
