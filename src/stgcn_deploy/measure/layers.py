"""What a runtime says it ran, brought back to the blocks of the network by the names of nodes.

Exported nodes are called after the modules that they come from: /network/origin/blocks.3/gcn/conv/Conv.
Runtimes fuse several into one, which keeps one of their names or that of what it gives; what they put
between has names of their own, and belongs to the block that was at work.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stgcn_deploy.measure.node_macs import PRODUCTS, Graph, Node

__all__ = [
    "KINDS",
    "MOVES",
    "OUTSIDE",
    "UNNAMED",
    "Layer",
    "Timed",
    "attribute",
    "home_of",
    "kind_of",
]

GRAPH, POINTWISE, TEMPORAL, RESIDUAL = "graph product", "1x1", "temporal", "residual"
MOVED, REST = "reorder and quantise", "rest"
KINDS = (GRAPH, POINTWISE, TEMPORAL, RESIDUAL, MOVED, REST)
OUTSIDE = "outside the blocks"
# Of a layer whose name tells no place in the graph.
UNNAMED = "not attributed"

_BLOCK = re.compile(r"^/?(?P<before>.*?)/?blocks\.(?P<number>[0-9]+)/(?P<part>.*)$")
# Parts of names that say nothing: the whole, and the only stream.
_PLAIN = ("network", "trunk", "")
# What runtimes put behind the name that they took over.
_SUFFIX = re.compile(r"(_kernel_time|_nchwc|_token_[0-9]+|/WithoutBiases|_quant|/fq_[a-z_]+)$")
MOVES = {
    "ReorderInput", "ReorderOutput", "Reorder", "Transpose", "QuantizeLinear", "DequantizeLinear",
    "DynamicQuantizeLinear", "Cast", "Convert", "FakeQuantize",
}  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """One line of a runtime's profile: its name for a layer, its operator, and the time of one run."""

    name: str
    op: str
    ms: float


@dataclass(frozen=True)
class Layer:
    """One layer as it ran.

    Attributes:
        name, op: the runtime's.
        node: the product of the exported graph that it does, or several with " + "; "" where it does none.
        block: "3", or "origin 3" where there are several streams; OUTSIDE where it is in none, UNNAMED
            where that is not known.
        kind: one of KINDS.
        ms: of one run; macs: of its products, None where they are not known.
    """

    name: str
    op: str
    node: str
    block: str
    kind: str
    ms: float
    macs: int | None


def attribute(timed: Sequence[Timed], graph: Graph) -> tuple[Layer, ...]:
    """Every line of a profile, in the order in which they ran, with its place in the network."""
    nodes = [_locate(one.name, graph) for one in timed]
    claimed: dict[int, Node] = {}
    taken: set[str] = set()
    # Those that carry a product's own name first; then those named after what stands behind it.
    for direct in (True, False):
        for place, (one, node) in enumerate(zip(timed, nodes, strict=True)):
            if place in claimed or node is None or not _is_product(one.op):
                continue
            found = _product_of(node, graph, taken, direct=direct)
            if found is not None:
                claimed[place] = found
                taken.add(found.name)
    homes = [home_of(node.name) if node else None for node in nodes]
    made = []
    for place, one in enumerate(timed):
        product = claimed.get(place)
        block, part = (
            home_of(product.name) if product else homes[place] or _nearby(homes, place, one)
        )
        kind = kind_of(product.op if product else one.op, part, product is not None)
        macs = product.macs if product else 0
        made.append(
            Layer(one.name, one.op, product.name if product else "", block, kind, one.ms, macs)
        )
    return tuple(made)


def _locate(name: str, graph: Graph) -> Node | None:
    """The node whose name, or whose output's name, a runtime took over."""
    stripped = name
    while True:
        found = graph.by_name.get(stripped) or graph.by_output.get(stripped)
        if found is not None:
            return found
        shorter = _SUFFIX.sub("", stripped)
        if shorter == stripped:
            break
        stripped = shorter
    # OpenVINO calls what it puts between two nodes by both their names.
    fitting = [known for known in graph.by_name if name.startswith(known)]
    return graph.by_name[max(fitting, key=len)] if fitting else None


def _is_product(op: str) -> bool:
    return any(word in op for word in ("Conv", "MatMul", "Gemm", "Einsum", "FullyConnected")) and (
        op not in MOVES
    )


def _product_of(node: Node, graph: Graph, taken: set[str], *, direct: bool) -> Node | None:
    """The node itself, or the nearest product before it that nobody has claimed."""
    if direct:
        return node if node.op in PRODUCTS and node.name not in taken else None
    for one in _before(node, graph):
        if one.op in PRODUCTS and one.name not in taken:
            return one
    return None


def _before(node: Node, graph: Graph) -> Iterator[Node]:
    """A node and those before it, the nearest first, as far as the next products."""
    seen, todo = {node.name}, deque([node])
    while todo:
        one = todo.popleft()
        yield one
        if one.op in PRODUCTS:
            continue
        for name in one.inputs:
            made_by = graph.by_output.get(name)
            if made_by is not None and made_by.name not in seen:
                seen.add(made_by.name)
                todo.append(made_by)


def home_of(name: str) -> tuple[str, str]:
    """(block, the rest of the name in it)."""
    found = _BLOCK.match(name)
    if found is None:
        return OUTSIDE, ""
    stream = [word for word in found["before"].split("/") if word not in _PLAIN]
    return " ".join([*stream, found["number"]]), found["part"]


def _nearby(homes: Sequence[tuple[str, str] | None], place: int, one: Timed) -> tuple[str, str]:
    """Where the next layer with a name stands, for what prepares its input; else the last one."""
    ahead = one.op == "ReorderInput"
    order = homes[place + 1 :] if ahead else homes[:place][::-1]
    return next(((home[0], "") for home in order if home is not None), (OUTSIDE, ""))


def kind_of(op: str, part: str, product: bool) -> str:
    """One of KINDS."""
    if op in MOVES:
        return MOVED
    if part.startswith("gcn"):
        if not product:
            return REST
        return POINTWISE if "Conv" in op else GRAPH
    if part.startswith("tcn"):
        return TEMPORAL if product or "Pool" in op or "Concat" in op else REST
    if part.startswith(("shortcut", "residual", "down", "Add")):
        return RESIDUAL
    return REST
