"""A checkpoint in PyTorch behind the seam of the runtimes: what deployed forms are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stgcn_deploy.backends.base import Session, TensorSpec
from stgcn_deploy.checkpoints.load import LoadedCheckpoint
from stgcn_deploy.exporter.build import class_names, input_shape
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.exporter.record import draft_manifest, manifest_fields
from stgcn_deploy.models.families import FAMILIES
from stgcn_deploy.runtime import Model

__all__ = ["TorchSession", "torch_model"]

REFERENCE = "reference"


class TorchSession(Session):
    """A network in float32 with the activation that an export gives it."""

    def __init__(
        self, network: nn.Module, inputs: tuple[TensorSpec, ...], classes: int, activation: str
    ) -> None:
        super().__init__(inputs, (TensorSpec("output", "float32", ("batch", classes)),))
        self._network = network.eval()
        self._activation = activation

    def _run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        tensors = [torch.from_numpy(feed[spec.name]) for spec in self.inputs]
        with torch.inference_mode():
            logits = self._network(*tensors)
            soft = self._activation == "softmax"
            scores: NDArray[np.float32] = (
                (logits.softmax(dim=1) if soft else logits.sigmoid()).float().numpy()
            )
        return {"output": scores}

    def _close(self) -> None:
        """Nothing is held but the network."""


def torch_model(checkpoint: LoadedCheckpoint, form: str = REFERENCE) -> Model:
    """A checkpoint as a Model: "reference" as it was trained, or one of its deploy forms.

    Raises:
        UsageError, ExportError: see build_bundle.
    """
    options = ExportOptions()
    shape = input_shape(checkpoint, options)
    spec, network = checkpoint.spec, checkpoint.network
    if form != REFERENCE:
        network = FAMILIES[spec.family].deploy(network, form, shape)
    fields = manifest_fields(checkpoint, options, form, {}, ir_version=0)
    manifest = draft_manifest({**fields, "name": checkpoint.path.name, "command": ""})
    inputs = tuple(
        TensorSpec(name, "float32", sizes) for name, sizes in manifest.input_shapes.items()
    )
    session = TorchSession(network, inputs, spec.num_classes, spec.activation)
    return Model(manifest, class_names(checkpoint), session)
