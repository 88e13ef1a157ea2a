"""stgcn quantize."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stgcn_deploy.cli.console import note, print_json, print_table, progress, say
from stgcn_deploy.cli.options import (
    AsJson,
    Axes,
    DataFormat,
    DataLabels,
    Force,
    Fps,
    ImageSize,
    read_options,
)

if TYPE_CHECKING:
    from stgcn_deploy.precision.result import Quantised

__all__ = ["quantize"]

WORST = 10


def quantize(
    bundle: Annotated[Path, typer.Argument(help="The FP32 bundle.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory of the new bundle.")],
    to: Annotated[Literal["fp16", "bf16", "int8"], typer.Option(help="Precision.")],
    data: Annotated[
        Path | None, typer.Option(help="Recordings to calibrate on; see `stgcn data info`.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of them: train1, xsub_train.")] = None,
    target: Annotated[
        str, typer.Option("--for", help="onnxruntime, openvino, tensorrt, ascend.")
    ] = "onnxruntime",
    method: Annotated[
        Literal["minmax", "entropy", "percentile"] | None,
        typer.Option(help="How ranges are chosen; as the target's recipe says."),
    ] = None,
    samples: Annotated[int, typer.Option(help="Calibration clips.")] = 300,
    exclude: Annotated[
        str | None, typer.Option(help="Regular expression of layers that stay float.")
    ] = None,
    budget: Annotated[float, typer.Option(help="Points of top-1 that may be lost.")] = 0.5,
    eval_data: Annotated[
        Path | None, typer.Option(help="Labelled recordings to measure the loss on.")
    ] = None,
    eval_split: Annotated[
        str | None, typer.Option(help="Split of them; test1 beside --split train1.")
    ] = None,
    gate: Annotated[bool, typer.Option(help="Measure the loss; without, nobody knows it.")] = True,
    allow: Annotated[
        bool, typer.Option("--allow", help="Write it even if it loses more than the budget.")
    ] = False,
    noise_calibration: Annotated[
        bool, typer.Option("--noise-calibration", help="Calibrate on noise; only to try things.")
    ] = False,
    latency: Annotated[bool, typer.Option(help="Time the candidates, shortly.")] = True,
    seed: Annotated[int, typer.Option(help="Another choice of clips.")] = 0,
    data_format: DataFormat = None,
    data_labels: DataLabels = None,
    axes: Axes = None,
    image_size: ImageSize = None,
    fps: Fps = None,
    force: Force = False,
    plot: Annotated[
        Path | None, typer.Option(help="Write accuracy against latency as a PNG.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a bundle of lower precision that keeps an accuracy budget."""
    from stgcn_deploy import api
    from stgcn_deploy.errors import OutputExistsError, UsageError
    from stgcn_deploy.precision.result import OverBudgetError

    if plot is not None and plot.exists() and not force:
        raise OutputExistsError(f"{plot} exists; replace it with --force.")
    if plot is not None and not (gate and latency):
        raise UsageError(
            "--plot draws accuracy against latency; leave out --no-gate and --no-latency."
        )
    try:
        with progress() as report:
            found = api.quantize(
                bundle,
                output,
                to=to,
                data=data,
                split=split,
                target=target,
                method=method,
                samples=samples,
                exclude=exclude,
                budget=budget,
                eval_data=eval_data,
                eval_split=eval_split,
                gate=gate,
                allow=allow,
                noise_calibration=noise_calibration,
                latency=latency,
                seed=seed,
                data_format=data_format,
                read=read_options(data_labels, None, axes, image_size, fps),
                force=force,
                progress=report,
            )
    except OverBudgetError as error:
        # What was tried is the answer, even if no bundle is.
        _show(error.report, plot, as_json=as_json, force=force)
        raise
    _show(found, plot, as_json=as_json, force=force)


def _show(found: Quantised, plot: Path | None, *, as_json: bool, force: bool) -> None:
    if plot is not None:
        from stgcn_deploy.precision.plot import plot_trials

        plot_trials(found, plot, force=force)
    if as_json:
        print_json(found.as_dict())
        return
    _tables(found)
    for text in found.notes:
        note(f"note: {text}")
    if found.bundle is None:
        return
    trial, manifest = found.trial, found.bundle.manifest
    assert trial is not None
    precision = manifest.precision
    what = precision.calibration.scheme if precision.calibration else precision.actual
    size = f"{found.base_mbytes:.1f} to {trial.mbytes:.1f} MiB"
    say(f"{found.bundle.path}: {what}; {size}")
    if trial.accuracy and not trial.within:
        note(
            f"WARNING: loses {trial.accuracy.points:.2f} points of top-1, budget "
            f"{found.request.budget:g} (--allow)"
        )
    say(f"next: stgcn bench {found.base.path} {found.bundle.path} --backend {found.backend}")


def _tables(found: Quantised) -> None:
    from stgcn_deploy.precision.plot import HEADER, cells, title

    print_table(HEADER, cells(found), title(found))
    if found.blocks:
        print_table(
            ("block", "error", "divergence, nats", "layers"),
            [
                [one.block, f"{one.error:.1e}", f"{one.divergence:.1e}", str(one.layers)]
                for one in found.blocks
            ],
            "each block quantised alone: squared error of the logits over their variance",
        )
    if found.layers:
        print_table(
            ("layer", "operator", "precision", "SQNR, dB"),
            [
                [one.layer, one.operator, "int8" if one.quantised else "float", f"{one.sqnr:.1f}"]
                for one in found.layers[:WORST]
            ],
            f"signal to error of the {min(WORST, len(found.layers))} worst layers "
            "(errors of earlier layers included)",
        )
