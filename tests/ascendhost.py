"""Bundles with OM files, and an environment in which the stand-ins of Ascend's tools are installed."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from checkpoints import reseal, save, tiny
from fakes.om import write_om

import stgcn_deploy
from stgcn_deploy import api

__all__ = ["FAKES", "FRAMES", "SOC", "add_om", "host_environment", "tiny_bundle", "varied_data"]

FAKES = Path(__file__).parent / "fakes"
SOC = "Ascend310P3"
FRAMES = 20


def host_environment(folder: Path, **more: str) -> dict[str, str]:
    """Variables of a host: our command, its Python as python3, and the stand-ins.

    Args:
        folder: for links; more: variables besides.
    """
    links = folder / "host-bin"
    links.mkdir(exist_ok=True)
    python = shlex.quote(sys.executable)
    # Scripts: a link to a virtual environment's Python would lose the environment.
    programs = {
        "python3": python,
        "stgcn": f"{python} -m stgcn_deploy.cli.main",
        "msame": f"{python} {shlex.quote(str(FAKES / 'msame'))}",
    }
    for name, command in programs.items():
        (links / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        (links / name).chmod(0o755)

    source = str(Path(stgcn_deploy.__file__).parents[1])
    return {
        **os.environ,
        "PATH": f"{links}:{os.environ['PATH']}",
        "PYTHONPATH": f"{FAKES}:{source}",
        "OMP_NUM_THREADS": "1",
        **more,
    }


def varied_data(folder: Path, count: int) -> Path:
    """Prepared records of as many sizes of motion, which the tiny networks tell apart, and labels."""
    rng = np.random.default_rng(7)
    scale = np.linspace(0.1, 6, count)[:, None, None, None, None]
    data = rng.normal(size=(count, 3, FRAMES, 18, 2)) * scale
    np.save(folder / "val_data.npy", data.astype(np.float32))
    np.save(folder / "val_label.npy", rng.integers(0, 5, count))
    return folder / "val_data.npy"


def tiny_bundle(path: Path, *batches: int) -> Path:
    """A bundle of open batch that takes these records, and its OM files."""
    checkpoint = save(tiny("stgcn"), path.with_suffix(".pt"))
    api.export(
        checkpoint, path, frames=FRAMES, persons=2, graph_form="matmul", opset=11, dynamic="batch",
        logits=True,
    )  # fmt: skip
    for batch in batches:
        add_om(path, batch)
    return path


def add_om(bundle: Path, batch: int = 1, precision: str = "fp16", half: bool = False) -> Path:
    """Build, as atc would, an OM of a bundle whose batch is open; the OM's place.

    Args:
        half: its inputs and outputs are FP16, as --input_fp16_nodes and --output_type=FP16 make them.
    """
    model = onnx.load(str(bundle / "model.onnx"))
    values = [*model.graph.input, *model.graph.output]
    for value in values:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]
    if half:
        model = _halved(model)
    shapes = {
        kind: {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in getattr(model.graph, kind)
        }
        for kind in ("input", "output")
    }
    file = bundle / f"model_b{batch}_{precision}.om"
    meta = {
        "soc_version": SOC,
        "batch": batch,
        "precision_mode": "force_fp16",
        "inputs": shapes["input"],
        "outputs": shapes["output"],
    }
    write_om(file, model.SerializeToString(), meta)
    record: dict[str, Any] = {
        "target": "ascend",
        "file": file.name,
        "requested": precision,
        "actual": precision,
        "attempts": [{"precision": precision, "outcome": "built"}],
        "shapes": {name: [shape] for name, shape in shapes["input"].items()},
        "device": SOC,
        "layers": {},
        "tools": {"atc": "stand-in"},
        "command": ["atc"],
    }
    place = bundle / "manifest.json"
    manifest = json.loads(place.read_text(encoding="utf-8"))
    manifest["builds"].append(record)
    place.write_text(json.dumps(manifest), encoding="utf-8")
    reseal(bundle)
    return file


def _halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same between casts: FP16 outside."""
    from onnx import TensorProto, helper

    graph = model.graph
    before, after = [], []
    for value in graph.input:
        inner = f"{value.name}_f32"
        before.append(helper.make_node("Cast", [value.name], [inner], to=TensorProto.FLOAT))
        for node in graph.node:
            for index, name in enumerate(node.input):
                if name == value.name:
                    node.input[index] = inner
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for value in graph.output:
        inner = f"{value.name}_f32"
        for node in graph.node:
            for index, name in enumerate(node.output):
                if name == value.name:
                    node.output[index] = inner
        after.append(helper.make_node("Cast", [inner], [value.name], to=TensorProto.FLOAT16))
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    return model
