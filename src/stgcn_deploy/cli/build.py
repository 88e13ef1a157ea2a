"""stgcn build."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stgcn_deploy.cli.console import meter, note, print_json, print_table, say
from stgcn_deploy.cli.options import AsJson, Force, int_list

if TYPE_CHECKING:
    from stgcn_deploy.builders.target import BuildResult

__all__ = ["build"]

# Options of one target alone stand in a panel of its name; one that is not given is None and not passed
# on, so that the target's own default holds and another target's option is an error.
ASCEND = "Ascend (--to ascend)"
TENSORRT = "TensorRT (--to tensorrt)"


def build(
    bundle: Annotated[Path, typer.Argument(help="The bundle to build from.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Directory of the new bundle; needed but for --dry-run."
        ),
    ] = None,
    *,
    to: Annotated[str, typer.Option(help="Target: ascend, tensorrt.")],
    precision: Annotated[
        str | None,
        typer.Option(
            help="Ascend: fp16 (default), mixed, origin. TensorRT: auto (default), fp32, fp16, int8."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be run; needs no toolkit.")
    ] = False,
    allow_fallback: Annotated[
        bool,
        typer.Option("--allow-fallback", help="Take the next precision where this one cannot be."),
    ] = False,
    force: Force = False,
    soc_version: Annotated[
        str | None,
        typer.Option(help="The chip: Ascend310P3; see `stgcn doctor`.", rich_help_panel=ASCEND),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(help="Batch sizes, an OM for each: 1,4,8.", rich_help_panel=ASCEND),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds for one run of atc; 3600.", rich_help_panel=ASCEND),
    ] = None,
    workspace: Annotated[
        str | None,
        typer.Option(help="Device memory for one layer: 4GiB (default).", rich_help_panel=TENSORRT),
    ] = None,
    max_batch: Annotated[
        int | None,
        typer.Option(help="Largest batch, where it is open.", rich_help_panel=TENSORRT),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Sizes of open axes: batch=1:4:8,frames=50:150:300.", rich_help_panel=TENSORRT
        ),
    ] = None,
    calib: Annotated[
        Path | None,
        typer.Option(help="Recordings for INT8 of an FP32 bundle.", rich_help_panel=TENSORRT),
    ] = None,
    calib_split: Annotated[
        str | None, typer.Option(help="Split of them.", rich_help_panel=TENSORRT)
    ] = None,
    calib_samples: Annotated[
        int | None, typer.Option(help="How many; 300.", rich_help_panel=TENSORRT)
    ] = None,
    calib_cache: Annotated[
        Path | None,
        typer.Option(help="File of ranges, read or written.", rich_help_panel=TENSORRT),
    ] = None,
    calib_method: Annotated[
        str | None, typer.Option(help="entropy (default), minmax.", rich_help_panel=TENSORRT)
    ] = None,
    timing_cache: Annotated[
        Path | None,
        typer.Option(help="File of kernel timings, read and written.", rich_help_panel=TENSORRT),
    ] = None,
    opt_level: Annotated[
        int | None,
        typer.Option(help="0 (quick build) to 5 (quick engine).", rich_help_panel=TENSORRT),
    ] = None,
    hardware_compatible: Annotated[
        bool | None,
        typer.Option(
            "--hardware-compatible", help="For every GPU from Ampere on.", rich_help_panel=TENSORRT
        ),
    ] = None,
    version_compatible: Annotated[
        bool | None,
        typer.Option(
            "--version-compatible", help="For later TensorRT too.", rich_help_panel=TENSORRT
        ),
    ] = None,
    refit: Annotated[
        bool | None,
        typer.Option("--refit", help="Weights can be replaced.", rich_help_panel=TENSORRT),
    ] = None,
    refit_from: Annotated[
        Path | None,
        typer.Option(
            help="Bundle whose engine gets these weights; builds nothing.",
            rich_help_panel=TENSORRT,
        ),
    ] = None,
    builder: Annotated[
        str | None, typer.Option(help="python (default), trtexec.", rich_help_panel=TENSORRT)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make files for a device, by its vendor's tool, and put them into a bundle."""
    from stgcn_deploy import api

    own = {
        "soc_version": soc_version,
        "batch": int_list(batch, "--batch"),
        "timeout": timeout,
        "workspace": workspace,
        "max_batch": max_batch,
        "profile": profile,
        "calib": calib,
        "calib_split": calib_split,
        "calib_samples": calib_samples,
        "calib_cache": calib_cache,
        "calib_method": calib_method,
        "timing_cache": timing_cache,
        "opt_level": opt_level,
        "hardware_compatible": hardware_compatible,
        "version_compatible": version_compatible,
        "refit": refit,
        "refit_from": refit_from,
        "builder": builder,
    }
    with meter() as report:
        found = api.build(
            bundle,
            output,
            to=to,
            precision=precision,
            dry_run=dry_run,
            allow_fallback=allow_fallback,
            force=force,
            progress=report,
            **{name: value for name, value in own.items() if value is not None},
        )
    if as_json:
        print_json(found.as_dict())
    elif found.bundle is None:
        _show_plan(found)
    else:
        _show(found)


def _notes(found: BuildResult) -> None:
    for text in found.plan.notes:
        note(f"note: {text}")


def _show_plan(found: BuildResult) -> None:
    """The commands as a shell script; notes stand beside."""
    say("#!/bin/sh")
    say("set -eu")
    for text in found.plan.steps:
        say(f"# {text}")
    for argv in found.plan.commands:
        say(shlex.join(argv))
    say(f"# writes {', '.join(found.plan.files)}")
    _notes(found)
    if found.plan.missing:
        note(f"note: cannot be built here: {found.plan.missing}")


def _show(found: BuildResult) -> None:
    assert found.bundle is not None
    rows: list[tuple[Any, ...]] = []
    for one in found.builds:
        size = found.bundle.manifest.files[one.file].bytes / (1 << 20)
        layers = ", ".join(f"{count} {name}" for name, count in one.layers.items())
        shapes = "; ".join(
            f"{name} {' to '.join(str(shape) for shape in shapes)}"
            for name, shapes in one.shapes.items()
        )
        rows.append(
            (one.file, one.device, one.actual, layers or "not listed", shapes, f"{size:.1f}")
        )
    print_table(("file", "device", "precision", "layers", "shapes", "MiB"), rows)
    for one in found.builds:
        if one.actual != one.requested:
            note(
                f"WARNING: {one.file} is {one.actual}, asked for was {one.requested} (--allow-fallback)"
            )
        for attempt in one.attempts:
            if attempt.outcome != "built":
                note(f"note: {one.file}, {attempt.precision}: {attempt.outcome}")
    _notes(found)
    say(f"{found.bundle.path}: {len(found.builds)} built")
    say(f"next: stgcn inspect {found.bundle.path}")
