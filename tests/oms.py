"""OM files of the stand-ins, made of a bundle's graph, and bundles that hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
from built import build_record, with_builds
from fakes.om import write_om
from onnx import TensorProto, helper

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.precision.fp16 import to_half

__all__ = ["bundle_with_oms", "make_om"]

Edit = Callable[[onnx.ModelProto], object]
SOC = "Ascend310P3"


def make_om(
    bundle: Path,
    path: Path,
    batches: Sequence[int] = (1,),
    *,
    precision: str = "fp32",
    half_ends: bool = False,
    edit: Edit | None = None,
    **meta: Any,
) -> Path:
    """What ATC would build of a bundle, as far as the stand-ins know.

    Args:
        batches: one, or several gears.
        half_ends: inputs and outputs in half precision.
        edit: changes the graph first.
    """
    manifest = Bundle(bundle).manifest
    model = onnx.load(str(bundle / "model.onnx"))
    if edit is not None:
        edit(model)
    if precision == "fp16":
        to_half(model)
    if half_ends:
        _half_ends(model)
    gears = sorted(batches) if len(batches) > 1 else []
    inputs = manifest.shapes_at(max(batches))
    outputs = {"output": [max(batches), manifest.num_classes]}
    for value in (*model.graph.input, *model.graph.output):
        sizes = (inputs | outputs)[value.name]
        for place, (dim, size) in enumerate(
            zip(value.type.tensor_type.shape.dim, sizes, strict=True)
        ):
            if place == 0 and gears:
                dim.dim_param = "batch"
            else:
                dim.dim_value = size
    about = {
        "soc_version": SOC,
        "batch": gears or batches[0],
        "precision_mode": precision,
        "inputs": inputs,
        "outputs": outputs,
        **meta,
    }
    write_om(path, model.SerializeToString(), about)
    return path


def _half_ends(model: onnx.ModelProto) -> None:
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name in {"input", "output"}:
                    names[place] = f"{name}_single"
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    first = helper.make_node("Cast", ["input"], ["input_single"], to=TensorProto.FLOAT)
    last = helper.make_node("Cast", ["output_single"], ["output"], to=TensorProto.FLOAT16)
    nodes = [first, *graph.node, last]
    del graph.node[:]
    graph.node.extend(nodes)


def bundle_with_oms(
    source: Path,
    target: Path,
    batches: Sequence[int | Sequence[int]] = (1,),
    *,
    precision: str = "fp32",
    **options: Any,
) -> Path:
    """A copy of a bundle that holds an OM for each batch size, or one for several gears."""
    files = {}
    target.parent.mkdir(parents=True, exist_ok=True)
    for one in batches:
        sizes = [one] if isinstance(one, int) else list(one)
        name = f"model_b{max(sizes)}_{precision}.om"
        path = make_om(source, target.parent / name, sizes, precision=precision, **options)
        record = build_record(source, sizes, name, actual=precision)
        files[name] = (path.read_bytes(), record)
    return with_builds(source, target, files)
