"""stgcn profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stgcn_deploy.cli.console import json_text, print_json, print_table, progress, say
from stgcn_deploy.cli.options import AsJson, Backend, Force

if TYPE_CHECKING:
    from stgcn_deploy.measure.profile import ProfileReport

__all__ = ["print_profile", "profile"]

# The longest layers; --json has all.
MOST_LAYERS = 15


def profile(
    bundle: Annotated[Path, typer.Argument(help="Directory of the bundle.")],
    backend: Backend = "onnxruntime",
    threads: Annotated[int, typer.Option(help="Cores that the runtime is bound to.")] = 2,
    runs: Annotated[int, typer.Option(help="Runs; a layer counts with its best time.")] = 50,
    plot: Annotated[Path | None, typer.Option(help="Write a picture, .png or .svg.")] = None,
    trace: Annotated[
        Path | None, typer.Option(help="Write a run for Perfetto or chrome://tracing, .json.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Say where the time of a bundle goes, layer by layer, against the floor of each."""
    from stgcn_deploy import api
    from stgcn_deploy.errors import OutputExistsError, UsageError
    from stgcn_deploy.files import write_text

    if plot is not None and plot.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"--plot takes a .png or .svg file; got {plot}.")
    for path in (plot, trace):
        if path is not None and path.exists() and not force:
            raise OutputExistsError(f"{path} exists; replace it with --force.")
    with progress() as report:
        found = api.profile(bundle, backend=backend, threads=threads, runs=runs, progress=report)
    if plot:
        from stgcn_deploy.measure.profile_plot import plot_profile

        plot_profile(found, plot, force=force)
    if trace:
        write_text(trace, json_text(found.as_trace()), force=force)
    if as_json:
        print_json(found.as_dict())
    else:
        print_profile(found)


def print_profile(report: ProfileReport) -> None:
    """Kinds, blocks, the longest layers, and what it all comes to."""
    threads = f"{report.threads} thread" + ("s" if report.threads > 1 else "")
    title = f"{report.bundle} ({report.precision}) on {report.backend}, {threads}"
    header = ("ms", "share", "GMAC", "GMAC/s", "of peak")
    kinds = [[share.name, *_cells(report, share.ms, share.macs)] for share in report.by_kind()]
    print_table(("kind", *header), kinds, title)
    blocks = [[share.name, *_cells(report, share.ms, share.macs)] for share in report.by_block()]
    print_table(("block", *header), blocks)
    longest = sorted(report.layers, key=lambda layer: -layer.ms)[:MOST_LAYERS]
    layers = [
        [layer.block, layer.kind, layer.op, *_cells(report, layer.ms, layer.macs or 0)]
        for layer in longest
    ]
    print_table(
        ("block", "kind", "operator", *header),
        layers,
        f"the {len(longest)} longest of {len(report.layers)} layers",
    )
    say(
        f"layers {report.total_ms:.2f} ms {report.how}, {report.typical_ms:.2f} ms in a typical run; a "
        f"run {report.latency_ms:.2f} ms without the profiler, {report.profiled_ms:.2f} ms with it "
        f"({report.overhead:+.0%}){_floor(report)}."
    )
    for remark in report.remarks():
        say(remark)
    say(report.sentence())


def _floor(report: ProfileReport) -> str:
    """The floor of the whole graph, where there is one."""
    floor = report.floor_ms()
    if floor is None or not report.peak:
        return ""
    return (
        f"; floor {floor:.2f} ms: {report.macs / 1e9:.3g} GMAC at the {report.peak / 1e9:.0f} "
        "GMAC/s of a large matrix product here"
    )


def _cells(report: ProfileReport, ms: float, macs: int) -> list[str]:
    none = "\N{EN DASH}"
    rate = macs / ms / 1e6 if macs and ms else None
    floor = report.floor_ms(macs)
    return [
        f"{ms:.3f}",
        f"{ms / report.total_ms:.1%}",
        f"{macs / 1e9:.3f}" if macs else none,
        f"{rate:.1f}" if rate else none,
        f"{floor / ms:.0%}" if rate and floor else none,
    ]
