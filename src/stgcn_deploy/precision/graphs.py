"""What the precisions need to know about a graph: where it begins and ends, and its blocks."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgcn_deploy.errors import BundleError, ExportError, UsageError, requires

__all__ = ["Graph", "block_of", "is_quantised", "read_model", "save_model", "sort_nodes"]

# A block of a network: "/network/trunk/blocks.3/tcn/Conv" is in "trunk/blocks.3".
BLOCK = re.compile(r"^/?(?:network/)?(.*?blocks\.\d+)(?:/|$)")
WEIGHTED = ("Conv", "Gemm", "MatMul", "Einsum")
QUANTISED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul")
TWO_GIB = 1 << 31


def block_of(name: str) -> str:
    """The block that a node is in, by its name; of a node outside any, the name itself."""
    found = BLOCK.match(name)
    return found.group(1) if found else name.strip("/")


def read_model(path: Path) -> Any:
    """An ONNX model with all its weights, every node named.

    Raises:
        BundleError: it cannot be read.
    """
    with requires("changing a graph's precision", "pip install onnx"):
        import onnx
    try:
        model = onnx.load(str(path))
    except Exception as error:
        raise BundleError(f"{path} cannot be read: {error}; export the bundle again.") from None
    taken: Counter[str] = Counter(node.name for node in model.graph.node)
    for number, node in enumerate(model.graph.node):
        if not node.name or taken[node.name] > 1:
            node.name = f"{node.name or node.op_type}#{number}"
    return model


def is_quantised(model: Any) -> bool:
    """Whether it holds quantised layers."""
    return any(node.op_type in QUANTISED for node in model.graph.node)


@dataclass(frozen=True)
class Graph:
    """The nodes of a model with who reads whose results.

    Attributes:
        opset: of the default domain.
    """

    model: Any

    @property
    def opset(self) -> int:
        """Operator set of the default domain."""
        known = [one.version for one in self.model.opset_import if one.domain in ("", "ai.onnx")]
        if not known:
            raise UsageError("the graph names no operator set; export it again.")
        return int(known[0])

    @property
    def constants(self) -> set[str]:
        """Names of weights and other constants."""
        graph = self.model.graph
        made = {out for node in graph.node if node.op_type == "Constant" for out in node.output}
        return made | {one.name for one in graph.initializer}

    def weighted(self) -> list[Any]:
        """Layers with weights: products of which one side is constant."""
        constants = self.constants
        return [
            node
            for node in self.model.graph.node
            if node.op_type in WEIGHTED and any(name in constants for name in node.input)
        ]

    def tail(self) -> set[str]:
        """Names of the nodes from which no layer with weights is reached: what makes scores."""
        names = {node.name for node in self.weighted()}
        wanted: set[str] = set()
        found: set[str] = set()
        # Nodes are in topological order, so backwards every reader comes before its sources.
        for node in reversed(self.model.graph.node):
            if node.name in names or any(out in wanted for out in node.output):
                wanted.update(node.input)
            else:
                found.add(node.name)
        return found

    def heads(self) -> set[str]:
        """Names of the last layers with weights: the classifiers."""
        names = {node.name for node in self.weighted()}
        wanted: set[str] = set()
        found: set[str] = set()
        for node in reversed(self.model.graph.node):
            reached = any(out in wanted for out in node.output)
            if node.name in names and not reached:
                found.add(node.name)
            if node.name in names or reached:
                wanted.update(node.input)
        return found

    def between(self, layers: Collection[str], kinds: Collection[str]) -> tuple[str, ...]:
        """Names of the operators of these kinds that such layers, or others of them, feed.

        Those behind the last layer with weights are none of them.
        """
        tail = self.tail()
        fed = {out for node in self.model.graph.node if node.name in layers for out in node.output}
        found = []
        for node in self.model.graph.node:
            if node.op_type not in kinds or node.name in tail:
                continue
            if any(name in fed for name in node.input):
                fed.update(node.output)
                found.append(node.name)
        return tuple(found)

    def counts(self) -> dict[str, int]:
        """Operators, the most frequent first."""
        return dict(Counter(node.op_type for node in self.model.graph.node).most_common())


def sort_nodes(model: Any) -> None:
    """Put every node behind the ones whose results it reads, else in the order that they have.

    Raises:
        ExportError: the graph has a cycle.
    """
    nodes = list(model.graph.node)
    maker = {out: number for number, node in enumerate(nodes) for out in node.output if out}
    readers: dict[int, list[int]] = {}
    missing = []
    for number, node in enumerate(nodes):
        sources = {maker[name] for name in node.input if name in maker}
        missing.append(len(sources))
        for source in sources:
            readers.setdefault(source, []).append(number)
    ready = [number for number, count in enumerate(missing) if not count]
    ordered = []
    while ready:
        number = heapq.heappop(ready)
        ordered.append(nodes[number])
        for reader in readers.get(number, ()):
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, reader)
    if len(ordered) < len(nodes):
        raise ExportError("the graph has a cycle; export it again.")
    del model.graph.node[:]
    model.graph.node.extend(ordered)


def tidy(model: Any) -> None:
    """Leave only what the nodes need: operator sets in use, no descriptions, one producer."""
    from stgcn_deploy import __version__

    used = {node.domain for node in model.graph.node}
    kept = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    del model.metadata_props[:]
    model.producer_name, model.producer_version = "stgcn-deploy", __version__


def save_model(model: Any, path: Path) -> None:
    """Check a model in full and write it.

    Raises:
        ExportError: it is no valid graph, or too large for one file.
    """
    import onnx

    tidy(model)
    if model.ByteSize() >= TWO_GIB:
        raise ExportError("the graph exceeds 2 GiB, which one file cannot hold.")
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        raise ExportError(
            f"the new graph is not valid: {str(error).strip().splitlines()[0]}"
        ) from error
    onnx.save_model(model, str(path))
