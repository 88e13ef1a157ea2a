"""quantize: a bundle of lower precision, within an accuracy budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stgcn_deploy.api.common import Progress, command_line, quiet
from stgcn_deploy.errors import UsageError

if TYPE_CHECKING:
    from stgcn_deploy.data.dataset import ReadOptions
    from stgcn_deploy.precision.result import Quantised, Source

__all__ = ["quantize"]


def quantize(
    bundle: str | Path,
    output: str | Path,
    *,
    to: Literal["fp16", "bf16", "int8"],
    data: str | Path | None = None,
    split: str | None = None,
    target: str = "onnxruntime",
    method: Literal["minmax", "entropy", "percentile"] | None = None,
    samples: int = 300,
    exclude: str | None = None,
    budget: float = 0.5,
    eval_data: str | Path | None = None,
    eval_split: str | None = None,
    gate: bool = True,
    allow: bool = False,
    noise_calibration: bool = False,
    latency: bool = True,
    seed: int = 0,
    data_format: str | None = None,
    read: ReadOptions | None = None,
    force: bool = False,
    progress: Progress = quiet,
) -> Quantised:
    """Make a bundle of lower precision, and measure what it loses.

    INT8 takes the ranges of activations from calibration clips.  Where it loses more than the budget,
    the most sensitive blocks are left float, one after the other, until it does not.

    Args:
        output: the new bundle's directory; must not exist unless `force`.
        to: fp16 (half the size; for GPUs), bf16 (OpenVINO computes so; the same graph), int8.
        data: recordings to calibrate on, prepared as the bundle says; see `stgcn data info`.
        split: of it, for instance "train1"; None takes all.
        target: onnxruntime, openvino, tensorrt: whose way of quantising to follow.
        method: how a range is chosen: minmax, entropy, percentile; None as the target's recipe says.
        samples: calibration clips, of each class as many as of any other.
        exclude: regular expression of layers that stay float.
        budget: percentage points of top-1 that may be lost.
        eval_data, eval_split: labelled recordings to measure that on; without them, the split of `data`
            beside the calibration's: test1 for train1.  Records of the calibration are left out.
        gate: off, nothing is measured, and the bundle says so.
        allow: write the bundle even if it loses more than the budget; nothing is left float for it.
        noise_calibration: calibrate on noise, where nothing else is at hand.
        latency: time the base and each candidate, shortly.
        seed: of the choice of clips.
        data_format, read: what the data is and what it does not say itself.
        force: replace an existing bundle.

    Raises:
        OverBudgetError: a CheckFailedError whose `report` has what was tried; no bundle is written.
        StgcnError: something that was given cannot be used.
    """
    from stgcn_deploy.bundle import Bundle
    from stgcn_deploy.precision.build import quantise
    from stgcn_deploy.precision.result import Request

    base = Bundle(bundle)
    calibration = _open(data, split, data_format, read)
    return quantise(
        base,
        Path(output),
        Request(
            to=to,
            target=target,
            method=method,
            samples=samples,
            exclude=exclude,
            budget=budget,
            gate=gate,
            allow=allow,
            noise_calibration=noise_calibration,
            latency=latency,
            seed=seed,
            command=command_line(),
        ),
        calibration=calibration if to == "int8" else None,
        held=_held(calibration, eval_data, eval_split, data_format, read) if gate else None,
        force=force,
        progress=progress,
    )


def _open(
    data: str | Path | None, split: str | None, data_format: str | None, read: ReadOptions | None
) -> Source | None:
    from stgcn_deploy.data.formats import open_dataset
    from stgcn_deploy.precision.result import Source

    if data is None:
        return None
    source = Source(open_dataset(data, read, format=data_format), split)
    # An unknown split is said before anything is run.
    source.data.select(split)
    return source


def _held(
    calibration: Source | None,
    eval_data: str | Path | None,
    eval_split: str | None,
    data_format: str | None,
    read: ReadOptions | None,
) -> Source | None:
    """Where the loss is measured.

    Raises:
        UsageError: it was not said, and is not obvious.
    """
    from stgcn_deploy.precision.gate import partner_of
    from stgcn_deploy.precision.result import Source

    if eval_data is not None:
        return _open(eval_data, eval_split, data_format, read)
    if calibration is None:
        if eval_split is not None:
            raise UsageError("--eval-split is of --eval-data, or of --data; give one of them.")
        return None
    data = calibration.data
    name = eval_split or partner_of(calibration.split, tuple(data.splits))
    if name is None:
        known = f" Its splits: {', '.join(data.splits)}." if data.splits else ""
        raise UsageError(
            f"{data.path} does not tell which recordings to measure the loss on; say --eval-split SPLIT "
            f"or --eval-data FILE, or --no-gate to measure nothing.{known}"
        )
    data.select(name)
    return Source(data, name)
