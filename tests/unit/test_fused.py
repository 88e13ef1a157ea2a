"""Names of TensorRT's layers: what they say is taken, what they do not say is counted as rest."""

from __future__ import annotations

import pytest

from stgcn_deploy.measure.fused import attribute_fused, nodes_named
from stgcn_deploy.measure.layers import OUTSIDE, UNNAMED, Layer, Timed
from stgcn_deploy.measure.node_macs import Graph, Node

B = "/network/origin/blocks"


def _graph(*nodes: tuple[str, str, int | None]) -> Graph:
    made = tuple(Node(name, op, (), (f"{name}_output_0",), macs) for name, op, macs in nodes)
    return Graph(made, {one.name: one for one in made}, {one.outputs[0]: one for one in made})


GRAPH = _graph(
    ("/network/Squeeze", "Squeeze", 0),
    (f"{B}.1/gcn/MatMul", "MatMul", 10),
    (f"{B}.1/gcn/conv/Conv", "Conv", 20),
    (f"{B}.1/gcn/Relu", "Relu", 0),
    (f"{B}.1/gcn/Transpose", "Transpose", 0),
    (f"{B}.1/tcn/Conv", "Conv", 30),
    (f"{B}.1/tcn/pool/MaxPool", "MaxPool", 0),
    (f"{B}.1/shortcut/Conv", "Conv", 5),
    (f"{B}.1/Add", "Add", 0),
    (f"{B}.1/Relu", "Relu", 0),
    (f"{B}.10/gcn/MatMul", "MatMul", 100),
    (f"{B}.10/tcn/Einsum", "Einsum", None),
    ("/network/fcn/Gemm", "Gemm", 1),
)


def _found(*names: str) -> tuple[Layer, ...]:
    return attribute_fused([Timed(name, "", float(n)) for n, name in enumerate(names, 1)], GRAPH)


@pytest.mark.parametrize(
    ("name", "block", "kind", "macs", "op"),
    [
        (f"{B}.1/gcn/MatMul", "origin 1", "graph product", 10, "MatMul"),
        (
            f"{B}.1/gcn/conv/Conv + {B}.1/gcn/Relu", "origin 1", "1x1", 20, "Conv+Relu",
        ),
        (f"onnx::Conv_7 + {B}.1/tcn/Conv + {B}.1/Add + {B}.1/Relu", "origin 1", "temporal", 30,
         "Conv+Add+Relu"),
        # The largest product gives the kind, all give their products.
        (f"{B}.1/shortcut/Conv || {B}.1/gcn/conv/Conv", "origin 1", "1x1", 25, "Conv"),
        (f"{B}.1/shortcut/Conv", "origin 1", "residual", 5, "Conv"),
        (f"PWN(PWN({B}.1/Add), {B}.1/Relu)", "origin 1", "residual", 0, "Add+Relu"),
        (f"PWN({B}.1/gcn/Relu)", "origin 1", "rest", 0, "Relu"),
        (f"{B}.1/tcn/pool/MaxPool", "origin 1", "temporal", 0, "MaxPool"),
        (f"{B}.1/gcn/Transpose", "origin 1", "reorder and quantise", 0, "Transpose"),
        (f"Reformatting CopyNode for Input Tensor 0 to {B}.1/gcn/conv/Conv + {B}.1/gcn/Relu",
         "origin 1", "reorder and quantise", 0, "Reformat"),
        (f"{B}.1/gcn/conv/Conv_output_0 copy", "origin 1", "reorder and quantise", 0, "Reformat"),
        ("/network/fcn/Gemm", OUTSIDE, "rest", 1, "Gemm"),
        ("/network/Squeeze + (Unnamed Layer* 3) [Shuffle]", OUTSIDE, "rest", 0, "Squeeze"),
        (f"/network/Squeeze + {B}.1/gcn/MatMul", "origin 1", "graph product", 10,
         "Squeeze+MatMul"),
        # Only the ends are named: nobody knows which products are between.
        (f"{{ForeignNode[{B}.1/gcn/MatMul.../network/fcn/Gemm]}}", "origin 1", "rest", None,
         "ForeignNode"),
        (f"{{ForeignNode[{B}.1/gcn/MatMul...{B}.10/gcn/MatMul]}}", UNNAMED, "rest", None,
         "ForeignNode"),
        # Two blocks in one layer: their products count, and belong to neither.
        (f"{B}.1/tcn/Conv + {B}.10/gcn/MatMul", UNNAMED, "rest", 130, "Conv+MatMul"),
        (f"PWN({B}.1/Relu, {B}.10/gcn/Relu)", "origin 1", "rest", 0, "Relu"),
        (f"{B}.10/tcn/Einsum", "origin 10", "temporal", None, "Einsum"),
        ("__myl_MoveConv_myl0_3", UNNAMED, "rest", None, "__myl_MoveConv_myl0_3"),
        ("x" * 99, UNNAMED, "rest", None, "x" * 39 + "…"),
    ],
)  # fmt: skip
def test_a_name_tells_block_kind_and_products(
    name: str, block: str, kind: str, macs: int | None, op: str
) -> None:
    (layer,) = _found(name)
    assert (layer.block, layer.kind, layer.macs, layer.op) == (block, kind, macs, op)
    assert (layer.name, layer.ms) == (name, 1.0)


def test_block_1_is_not_block_10() -> None:
    assert [node.name for node in nodes_named(f"{B}.10/gcn/MatMul", GRAPH)] == [
        f"{B}.10/gcn/MatMul"
    ]
    assert nodes_named(f"{B}.1/gcn/MatMul_7", GRAPH) == ()


def test_every_line_stays_and_no_product_is_counted_twice() -> None:
    name = f"{B}.1/tcn/Conv + {B}.1/Relu"
    found = _found(
        name, name, "nothing known", f"Reformatting CopyNode for Output Tensor 0 to {name}"
    )
    assert [one.ms for one in found] == [1.0, 2.0, 3.0, 4.0]
    assert [one.macs for one in found] == [30, 0, None, 0]
    assert [one.node for one in found] == [f"{B}.1/tcn/Conv", "", "", ""]


def test_several_products_are_all_named() -> None:
    (layer,) = _found(f"{B}.1/shortcut/Conv || {B}.1/gcn/conv/Conv")
    assert layer.node == f"{B}.1/shortcut/Conv + {B}.1/gcn/conv/Conv"
