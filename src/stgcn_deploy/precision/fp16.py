"""FP16: weights and layers in half precision, inputs and scores in single.

What follows the classifier (sums of streams, softmax, logarithms of probabilities) stays FP32: it costs
nothing, and a probability below 6e-8 would become 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stgcn_deploy.errors import ExportError, UsageError
from stgcn_deploy.precision.graphs import Graph, is_quantised, sort_nodes

__all__ = ["to_half"]

LARGEST = 65504.0
# Half's smallest number; what is below half of it becomes 0.
SMALLEST = 2.0**-24
SUFFIX = "/half"


def to_half(model: Any) -> tuple[str, ...]:
    """Change `model` in place; returns notes on what rounded to 0.

    Raises:
        UsageError: the model is quantised.
        ExportError: a weight is too large for half precision; it is named.
    """
    import onnx

    if is_quantised(model):
        raise UsageError("the graph is quantised; make FP16 out of the FP32 bundle it came from.")
    graph = model.graph
    floats = _float_tensors(onnx.shape_inference.infer_shapes(model))
    tail = Graph(model).tail()
    notes = _weights(graph, tail)
    half = [node for node in graph.node if node.name not in tail]
    made = {out for node in half for out in node.output if out in floats}
    given = {one.name for one in graph.input if one.name in floats}
    read_later = {name for node in graph.node if node.name in tail for name in node.input}
    outputs = {one.name for one in graph.output}
    for node in half:
        _attributes(node)
        for index, name in enumerate(node.input):
            if name in made or name in given:
                node.input[index] = name + SUFFIX
        for index, name in enumerate(node.output):
            if name in made:
                node.output[index] = name + SUFFIX
    half_type, full_type = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    for name in sorted(given):
        graph.node.append(_cast(name, name + SUFFIX, half_type))
    for name in sorted(made & (read_later | outputs)):
        graph.node.append(_cast(name + SUFFIX, name, full_type))
    del graph.value_info[:]
    sort_nodes(model)
    return notes


def _cast(source: str, target: str, kind: int) -> Any:
    import onnx

    return onnx.helper.make_node("Cast", [source], [target], name=f"cast {source}", to=kind)


def _float_tensors(model: Any) -> set[str]:
    """Names of all tensors of type float that are no weights."""
    graph = model.graph
    known = [*graph.value_info, *graph.input, *graph.output]
    return {one.name for one in known if one.type.tensor_type.elem_type == 1}


def _weights(graph: Any, tail: set[str]) -> tuple[str, ...]:
    """Weights of the half part as float16; one that the tail reads too stays for it."""
    import onnx

    early = {name for node in graph.node if node.name not in tail for name in node.input}
    late = {name for node in graph.node if node.name in tail for name in node.input}
    zeros = tensors = 0
    for one in list(graph.initializer):
        if one.data_type != onnx.TensorProto.FLOAT or one.name not in early:
            continue
        half, lost = _half_array(one.name, onnx.numpy_helper.to_array(one))
        zeros, tensors = zeros + lost, tensors + bool(lost)
        name = one.name
        if name in late:
            name += SUFFIX
            for node in graph.node:
                if node.name not in tail:
                    renamed = [name if i == one.name else i for i in node.input]
                    node.input[:] = renamed
            graph.initializer.append(onnx.numpy_helper.from_array(half, name))
        else:
            one.CopyFrom(onnx.numpy_helper.from_array(half, name))
    if not zeros:
        return ()
    return (f"{zeros} value(s) in {tensors} weight tensor(s) below {SMALLEST:.0e} became 0",)


def _half_array(name: str, values: Any) -> tuple[Any, int]:
    """The values in half precision, and how many became 0.

    Raises:
        ExportError: one overflows.
    """
    worst = float(np.abs(values).max()) if values.size else 0.0
    if not worst <= LARGEST:
        raise ExportError(
            f"tensor {name!r} holds {worst:.4g}, half precision ends at {LARGEST:.0f}; this network "
            "cannot be FP16. Take bf16 (OpenVINO) or int8."
        )
    half = values.astype(np.float16)
    return half, int(((half == 0) & (values != 0)).sum())


def _attributes(node: Any) -> None:
    """Constants inside a node, and what a Cast makes."""
    import onnx

    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR:
            if attribute.t.data_type == onnx.TensorProto.FLOAT:
                half, _ = _half_array(node.name, onnx.numpy_helper.to_array(attribute.t))
                attribute.t.CopyFrom(onnx.numpy_helper.from_array(half, attribute.t.name))
        elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == 1:
            attribute.i = int(onnx.TensorProto.FLOAT16)
