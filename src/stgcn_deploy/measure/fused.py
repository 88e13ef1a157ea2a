"""Names of TensorRT's layers, brought back to the nodes of the exported graph that they name.

TensorRT joins the names of what it fused: "A + B" one after the other, "A || B" side by side, "PWN(A, B)"
element by element.  "{ForeignNode[A...B]}" is a part of the graph whose ends alone are named, and what
TensorRT's own compiler makes ("__myl_...") names no node at all: such layers are counted as rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stgcn_deploy.measure.layers import (
    MOVED,
    MOVES,
    OUTSIDE,
    REST,
    UNNAMED,
    Layer,
    Timed,
    home_of,
    kind_of,
)
from stgcn_deploy.measure.node_macs import PRODUCTS, Graph, Node

__all__ = ["attribute_fused", "nodes_named"]

_WORD = re.compile(r"[^\s+|,(){}\[\]]+")
_COPY = re.compile(r"^Reformatting CopyNode |\bcopy$", re.IGNORECASE)
_PART = "ForeignNode["
# Letters of a layer's own name, where it stands for an operator.
_OP_WIDTH = 40


def attribute_fused(timed: Sequence[Timed], graph: Graph) -> tuple[Layer, ...]:
    """Every line of a profile, in the order in which they ran, with its place in the network.

    A layer that fused several products has the multiply-accumulates of all, and the kind of the largest.
    """
    taken: set[str] = set()
    layers = []
    for one in timed:
        nodes = nodes_named(one.name, graph)
        if _COPY.search(one.name):
            layers.append(_layer(one, "Reformat", MOVED, _block(nodes), 0))
        elif _PART in one.name:
            layers.append(_layer(one, "ForeignNode", REST, _block(nodes), None))
        elif not nodes:
            op = one.name if len(one.name) <= _OP_WIDTH else f"{one.name[: _OP_WIDTH - 1]}…"
            layers.append(_layer(one, op, REST, UNNAMED, None))
        else:
            products = [node for node in nodes if _is_free(node, taken)]
            taken.update(node.name for node in products)
            layers.append(_named(one, nodes, products))
    return tuple(layers)


def nodes_named(name: str, graph: Graph) -> tuple[Node, ...]:
    """The nodes whose names, or whose outputs' names, occur in that of a layer, in its order."""
    words = _WORD.findall(name.replace("...", " "))
    found = (graph.by_name.get(word) or graph.by_output.get(word) for word in words)
    return tuple(dict.fromkeys(node for node in found if node is not None))


def _is_free(node: Node, taken: set[str]) -> bool:
    """Whether it is a product that no layer before did."""
    return node.op in PRODUCTS and node.name not in taken


def _named(one: Timed, nodes: Sequence[Node], products: Sequence[Node]) -> Layer:
    """A layer whose nodes are known."""
    op = "+".join(dict.fromkeys(node.op for node in nodes))
    block = _block(products or nodes)
    if not products:
        moves = all(node.op in MOVES for node in nodes)
        kind = MOVED if moves else kind_of(nodes[0].op, home_of(nodes[0].name)[1], product=False)
        return _layer(one, op, REST if block == UNNAMED and not moves else kind, block, 0)
    largest = max(products, key=lambda node: node.macs or 0)
    kind = kind_of(largest.op, home_of(largest.name)[1], product=True)
    known = [node.macs for node in products if node.macs is not None]
    return _layer(
        one,
        op,
        REST if block == UNNAMED else kind,
        block,
        sum(known) if len(known) == len(products) else None,
        " + ".join(node.name for node in products),
    )


def _layer(one: Timed, op: str, kind: str, block: str, macs: int | None, node: str = "") -> Layer:
    return Layer(one.name, op, node, block, kind, one.ms, macs)


def _block(nodes: Sequence[Node]) -> str:
    """The block of all these nodes; UNNAMED where there are several, or no nodes."""
    blocks = {home_of(node.name)[0] for node in nodes}
    if len(blocks) > 1:
        blocks -= {OUTSIDE}
    return blocks.pop() if len(blocks) == 1 else UNNAMED
