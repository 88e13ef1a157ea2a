"""Multiply-accumulates of every node of an ONNX graph, from its shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from stgcn_deploy.errors import FileUnreadableError, requires

__all__ = ["PRODUCTS", "Graph", "Node", "read_graph"]

# Sizes of an axis that inference does not know are None.
Shape = tuple[int | None, ...]
# Operator -> places of the two factors among its inputs.
PRODUCTS = {
    "Conv": (0, 1),
    "ConvInteger": (0, 1),
    "QLinearConv": (0, 3),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3),
    "Einsum": (0, 1),
}


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        name: the file's, or that of its first output.
        macs: multiply-accumulates; 0 of what is no product, None where a size is not known.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int | None = 0


@dataclass(frozen=True)
class Graph:
    """The nodes of a file in their order, and who makes each tensor."""

    nodes: tuple[Node, ...]
    by_name: Mapping[str, Node]
    by_output: Mapping[str, Node]

    @property
    def macs(self) -> int:
        """Of all nodes that are known."""
        return sum(node.macs or 0 for node in self.nodes)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of products whose sizes are not known."""
        return tuple(node.name for node in self.nodes if node.macs is None)


def read_graph(
    model: Path, shapes: Mapping[str, Sequence[int]], *, rows: int | None = None
) -> Graph:
    """Nodes of an ONNX file with what each multiplies.

    Args:
        shapes: sizes of the inputs.
        rows: what a first axis stands for whose size is only known when it runs: all persons of the
            batch.

    Raises:
        FileUnreadableError: no ONNX model, or shapes that do not fit it.
    """
    with requires("counting a graph's products", "pip install onnx"):
        import onnx
    try:
        found = onnx.load(str(model), load_external_data=False)
        for value in found.graph.input:
            if value.name in shapes:
                sizes = [onnx.TensorShapeProto.Dimension(dim_value=n) for n in shapes[value.name]]
                del value.type.tensor_type.shape.dim[:]
                value.type.tensor_type.shape.dim.extend(sizes)
        graph = onnx.shape_inference.infer_shapes(found, data_prop=True).graph
    except Exception as error:  # onnx raises many kinds
        raise FileUnreadableError(f"cannot read the graph of {model}: {error}") from None
    known = _shapes(graph, rows)
    nodes = tuple(_node(raw, known) for raw in graph.node)
    return Graph(
        nodes,
        {node.name: node for node in nodes},
        {output: node for node in nodes for output in node.outputs},
    )


def _shapes(graph: Any, rows: int | None) -> dict[str, Shape]:
    """Shape of every tensor that inference found."""
    known: dict[str, Shape] = {one.name: tuple(one.dims) for one in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if not value.type.tensor_type.HasField("shape"):
            continue
        sizes: list[int | None] = [
            dim.dim_value if dim.HasField("dim_value") else None
            for dim in value.type.tensor_type.shape.dim
        ]
        if sizes and sizes[0] is None:
            sizes[0] = rows
        known[value.name] = tuple(sizes)
    return known


def _node(raw: Any, known: Mapping[str, Shape]) -> Node:
    name = raw.name or (raw.output[0] if raw.output else raw.op_type)
    macs = _macs(raw, known) if raw.op_type in PRODUCTS else 0
    return Node(name, raw.op_type, tuple(raw.input), tuple(raw.output), macs)


def _macs(raw: Any, known: Mapping[str, Shape]) -> int | None:
    """Of one product."""
    left, right = (known.get(raw.input[place]) for place in PRODUCTS[raw.op_type])
    out = known.get(raw.output[0])
    if left is None or right is None or out is None:
        return None
    if raw.op_type == "Einsum":
        return _einsum(_attribute(raw, "equation", b"").decode(), left, right)
    if "Conv" in raw.op_type:
        return _product((*out, *right[1:]))
    shared = left[0] if raw.op_type == "Gemm" and _attribute(raw, "transA", 0) else left[-1]
    return _product((*out, shared))


def _einsum(equation: str, *shapes: Shape) -> int | None:
    """Every combination of the letters once."""
    letters: dict[str, int | None] = {}
    for term, shape in zip(
        equation.replace(" ", "").split("->")[0].split(","), shapes, strict=True
    ):
        if len(term) != len(shape):
            return None
        letters |= dict(zip(term, shape, strict=True))
    return _product(tuple(letters.values()))


def _attribute(raw: Any, name: str, default: Any) -> Any:
    return next((one.s or one.i for one in raw.attribute if one.name == name), default)


def _product(sizes: Shape) -> int | None:
    known = [size for size in sizes if size is not None]
    return prod(known) if len(known) == len(sizes) else None
