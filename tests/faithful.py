"""Is a deploy form the function of its reference form?  For tests of one family or codebase each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.checkpoints.load import LoadedCheckpoint
from stgcn_deploy.exporter.build import write_form
from stgcn_deploy.exporter.exporter import example_inputs
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.models.families import FAMILIES
from stgcn_deploy.models.shape import InputShape

__all__ = ["deployed", "error", "in_onnxruntime", "inputs", "logits", "nudged", "truth"]

TOLERANCE = 1e-5


def inputs(found: LoadedCheckpoint, shape: InputShape) -> tuple[Tensor, ...]:
    """Random native inputs of these sizes."""
    return example_inputs(found.spec, shape)


def logits(network: nn.Module, batch: tuple[Tensor, ...]) -> np.ndarray:
    with torch.inference_mode():
        out: np.ndarray = network(*batch).numpy()
    return out


def truth(found: LoadedCheckpoint, batch: tuple[Tensor, ...]) -> np.ndarray:
    """Logits of the reference form in float64."""
    found.network.double()
    try:
        return logits(found.network, tuple(x.double() for x in batch))
    finally:
        found.network.float()


def error(got: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, relative to the scale of the logits."""
    assert got.shape == wanted.shape
    return float(np.abs(got - wanted).max() / max(1, np.abs(wanted).max()))


def deployed(found: LoadedCheckpoint, form: str, shape: InputShape) -> nn.Module:
    return FAMILIES[found.spec.family].deploy(found.network, form, shape)


def in_onnxruntime(
    found: LoadedCheckpoint, form: str, path: Path, options: ExportOptions, *batches: object
) -> list[np.ndarray]:
    """Logits of each batch by the written graph; batches are tuples of native inputs."""
    write_form(found, form, path, options)
    names = [one.name for one in found.spec.inputs]
    with BACKENDS["onnxruntime"].open(path, OpenOptions(threads=1, tap="logits")) as session:
        return [
            session.run({n: x.numpy() for n, x in zip(names, batch, strict=True)})["logits"]
            for batch in batches  # type: ignore[call-overload]
        ]


def nudged(state: Mapping[str, Tensor], key: str) -> dict[str, Tensor]:
    """The state with one tensor 1 % larger."""
    return {**state, key: state[key] * 1.01}
