"""A checkpoint as benchmark contenders: what people run today, and ours."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from stgcn_deploy.checkpoints.load import LoadedCheckpoint
from stgcn_deploy.errors import ExportError
from stgcn_deploy.exporter.build import build_bundle, input_shape, native_shapes
from stgcn_deploy.exporter.exporter import example_inputs
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.measure.bench import Contender, model_contender
from stgcn_deploy.models.families import count_macs

__all__ = ["checkpoint_contenders", "plain_export"]


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """No warnings of a library in the progress of a benchmark."""
    log = logging.getLogger(logger)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def plain_export(checkpoint: LoadedCheckpoint, path: Path, options: ExportOptions) -> None:
    """torch.onnx.export of the unmodified network with default arguments: what users do today.

    Raises:
        ExportError: the exporter failed.
    """
    spec = checkpoint.spec
    shape = input_shape(checkpoint, options)
    try:
        with torch.no_grad(), warnings.catch_warnings(), _quiet("torch.onnx"):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                checkpoint.network,
                example_inputs(spec, shape),
                str(path),
                input_names=[one.name for one in spec.inputs],
                verbose=False,
            )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"plain torch.onnx.export failed: {reason}") from error


def checkpoint_contenders(
    checkpoint: LoadedCheckpoint,
    scratch: Path,
    *,
    batch: Sequence[int],
    threads: int,
    compiled: bool,
) -> list[Contender]:
    """PyTorch eager (and compiled), the plain export and ours, for each batch size.

    The files are written into `scratch`, which must outlive the benchmark.
    """
    macs = count_macs(checkpoint.spec, frames=checkpoint.frames, persons=checkpoint.persons)
    found: list[Contender] = []
    for size in batch:
        suffix = f", batch {size}" if len(batch) > 1 else ""
        options = ExportOptions(batch=size)
        shapes = native_shapes(checkpoint, options)
        for mode, title in (("eager", "PyTorch eager"), ("compile", "torch.compile")):
            if mode == "compile" and not compiled:
                continue
            found.append(
                Contender(
                    f"{title}{suffix}",
                    "stgcn_deploy.exporter.torch_worker",
                    {
                        "checkpoint": str(checkpoint.path.resolve()),
                        "mode": mode,
                        "shapes": shapes,
                        "threads": threads,
                    },
                    size,
                    macs,
                )
            )
        plain = scratch / f"plain-{checkpoint.path.stem}-{size}.onnx"
        plain_export(checkpoint, plain, options)
        ours = build_bundle(
            checkpoint, scratch / f"ours-{checkpoint.path.stem}-{size}", options, verify=False
        ).bundle
        for title, model in (
            ("plain export on onnxruntime", plain),
            (f"ours ({ours.manifest.graph_form}) fp32 on onnxruntime", ours.model_path),
        ):
            found.append(
                model_contender(
                    f"{title}{suffix}",
                    str(model),
                    backend="onnxruntime",
                    shapes=shapes,
                    batch=size,
                    threads=threads,
                    macs=macs,
                )
            )
    return found
