"""stgcn verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stgcn_deploy.cli.console import print_json, print_table, progress, say
from stgcn_deploy.cli.options import AsJson, Backend

if TYPE_CHECKING:
    from stgcn_deploy.measure.verify import VerifyReport

__all__ = ["print_report", "verify"]


def verify(
    bundle: Annotated[Path, typer.Argument(help="Directory of the bundle.")],
    backend: Backend = "onnxruntime",
    checkpoint: Annotated[
        Path | None, typer.Option(help="The file it was made from: compares fresh inputs too.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="A clip file to compare on, with --checkpoint.")
    ] = None,
    atol: Annotated[float | None, typer.Option(help="Allowed absolute error of logits.")] = None,
    rtol: Annotated[
        float | None, typer.Option(help="Allowed error over max(1, max|logits|).")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Random inputs.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Check that a bundle's graph is the network it says it is."""
    from stgcn_deploy import api

    with progress() as report:
        found = api.verify(
            bundle,
            backend=backend,
            checkpoint=checkpoint,
            data=data,
            atol=atol,
            rtol=rtol,
            seeds=seeds,
            progress=report,
        )
    if as_json:
        print_json(found.as_dict())
    else:
        print_report(found)
    if not found.passed:
        raise typer.Exit(1)


def print_report(report: VerifyReport) -> None:
    """Checks, then the comparison case by case."""
    rows = [("pass" if c.passed else "FAIL", c.name, c.detail) for c in report.checks]
    print_table(("", "check", "found"), rows, f"verify {report.bundle} on {report.backend}")
    cases = [*report.golden.cases, *(report.reference.cases if report.reference else ())]
    print_table(
        ("case", "max error", "p99", "mean", "same top-1", "margin"),
        [
            (
                case.name, f"{case.max_error:.1e}", f"{case.p99_error:.1e}",
                f"{case.mean_error:.1e}", "yes" if case.same_top1 else "NO", f"{case.margin:.1e}",
            )
            for case in cases
        ],
        "logits against the float64 reference, relative to their scale",
    )  # fmt: skip
    say(f"verdict: {'passed' if report.passed else 'FAILED'}")
