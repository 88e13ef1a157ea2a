"""A tiny network, its bundle, and recordings that are labelled as it answers."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnx
import torch
from labelled import recordings, save_network
from numpy.typing import NDArray
from onnx import numpy_helper

from stgcn_deploy import api
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.precision.build import quantise
from stgcn_deploy.precision.result import Quantised, Request, Source

__all__ = ["make_world", "scale_activations", "source", "to_int8"]


def make_world(folder: Path, count: int = 60) -> Path:
    """`net.pth`, its `bundle` and `walks.pkl`: the FP32 network has every record right."""
    recordings(folder / "walks.pkl", count)
    save_network(folder / "net.pth")
    api.export(folder / "net.pth", folder / "same", graph_form="aggregate", logits=True)
    found = api.evaluate([folder / "same"], folder / "walks.pkl", resume=False)
    _spread(folder / "net.pth", found.rows[0].scores)
    api.export(folder / "net.pth", folder / "bundle", graph_form="aggregate")
    value = pickle.loads((folder / "walks.pkl").read_bytes())
    found = api.evaluate([folder / "bundle"], folder / "walks.pkl", resume=False)
    for one, scores in zip(value["annotations"], found.rows[0].scores, strict=True):
        one["label"] = int(scores.argmax())
    (folder / "walks.pkl").write_bytes(pickle.dumps(value))
    return folder


def _spread(path: Path, logits: NDArray[np.float32]) -> None:
    """Random weights answer one class for everything; centre and widen the logits (N, classes)."""
    value = torch.load(path, weights_only=True)
    state, factor = value["state_dict"], float(1 / logits.std(axis=0).mean())
    mean = torch.from_numpy(logits.mean(axis=0).astype(np.float32))
    state["fcn.bias"] = factor * (state["fcn.bias"] - mean)
    state["fcn.weight"] = factor * state["fcn.weight"]
    torch.save(value, path)


def source(world: Path, split: str) -> Source:
    """A split of the recordings, opened anew."""
    from stgcn_deploy.data.formats import open_dataset

    return Source(open_dataset(world / "walks.pkl"), split)


def to_int8(world: Path, target: Path, **changes: object) -> Quantised:
    """The bundle as INT8, any loss allowed, nothing timed."""
    settings = {"to": "int8", "samples": 24, "budget": 100.0, "latency": False, **changes}
    return quantise(
        Bundle(world / "bundle"),
        target,
        Request(**settings),  # type: ignore[arg-type]
        calibration=source(world, "train1"),
        held=source(world, "test1") if settings.get("gate", True) else None,
    )


def scale_activations(model: onnx.ModelProto, factor: float = 100.0) -> None:
    """Every activation in steps so much wider: what a mistake in a scale does."""
    scales = {node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    for one in model.graph.initializer:
        if one.name in scales:
            values = numpy_helper.to_array(one)
            one.CopyFrom(numpy_helper.from_array(values * values.dtype.type(factor), one.name))
