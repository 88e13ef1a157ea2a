"""Parts of an ONNX graph: what stands behind a tensor, and models of some of the nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from stgcn_deploy.backends.base import TensorSpec

__all__ = ["TOGETHER", "PartedGraph", "has_inner_graphs", "value_of"]

# What nearly all time goes to; counting them is enough to tell a stream from a head or a gate.
HEAVY = frozenset({"Conv", "ConvInteger", "Gemm", "MatMul", "QLinearConv", "QLinearMatMul"})
# What runs side by side holds at least this share of the heavy nodes, or the graph stays whole.
TOGETHER = 0.9


def has_inner_graphs(model: Any) -> bool:
    """Whether a model (onnx.ModelProto) has subgraphs or functions: what they read cannot be told here."""
    return bool(len(model.functions)) or any(
        attribute.HasField("g") or len(attribute.graphs)
        for node in model.graph.node
        for attribute in node.attribute
    )


def value_of(spec: TensorSpec) -> Any:
    """The declaration (onnx.ValueInfoProto) of a tensor that a session gives, for one that takes it."""
    import onnx

    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    return onnx.helper.make_tensor_value_info(spec.name, kind, spec.shape)


class PartedGraph:
    """Who makes what, and the heavy nodes behind every tensor, as bits of a number.

    Args:
        model: onnx.ModelProto, its nodes in an order in which they can run.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = graph = model.graph
        self.made_by = {
            name: index for index, node in enumerate(graph.node) for name in node.output
        }
        self.inputs = [value.name for value in graph.input]
        self.outputs = [value.name for value in graph.output]
        self.heavy: dict[str, int] = {}
        self.own: list[int] = []
        for node in graph.node:
            behind = 0
            for name in node.input:
                behind |= self.heavy.get(name, 0)
            mine = 1 << sum(map(bool, self.own)) if node.op_type in HEAVY else 0
            self.own.append(mine)
            for name in node.output:
                self.heavy[name] = behind | mine
        self.all_heavy = sum(map(bool, self.own))

    def behind(self, outputs: Iterable[str], stop: Collection[str] = ()) -> set[int]:
        """Indices of the nodes that make `outputs`, no further than the tensors of `stop`."""
        nodes: set[int] = set()
        waiting = [name for name in outputs if name not in stop]
        while waiting:
            index = self.made_by.get(waiting.pop())
            if index is not None and index not in nodes:
                nodes.add(index)
                waiting += [name for name in self.graph.node[index].input if name not in stop]
        return nodes

    def weight(self, nodes: Iterable[int]) -> int:
        """How many heavy ones are among the nodes."""
        return sum(1 for index in nodes if self.own[index])

    def reads(self, nodes: Iterable[int]) -> set[str]:
        """Tensors that the nodes take."""
        return {name for index in nodes for name in self.graph.node[index].input}

    def part(
        self, nodes: Collection[int], outputs: Sequence[str], inputs: Iterable[Any] = ()
    ) -> Any:
        """A model of some of the nodes, with what they read of the graph's inputs and initializers.

        Args:
            inputs: further inputs (onnx.ValueInfoProto): tensors that other parts make.
        """
        import onnx

        model, graph = self.model, self.graph
        read = self.reads(nodes) | set(outputs)
        made = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
        made.opset_import.extend(model.opset_import)
        made.graph.name = graph.name
        made.graph.node.extend(graph.node[index] for index in sorted(nodes))
        made.graph.initializer.extend(value for value in graph.initializer if value.name in read)
        made.graph.input.extend(value for value in graph.input if value.name in read)
        made.graph.input.extend(inputs)
        declared = {value.name: value for value in graph.output}
        made.graph.output.extend(
            declared.get(name, onnx.ValueInfoProto(name=name)) for name in outputs
        )
        return made
