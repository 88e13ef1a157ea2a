"""The trunk of an ONNX graph that treats every row alike, run on groups of rows side by side.

Clips and persons become rows (N * M, C, T, V), and until they are averaged no row sees another.  Groups
of rows, each on a thread of its own, wait for each other once a call, instead of once a layer.  What that
gains is in docs/design/0007-side-by-side.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.base import Session, TensorSpec
from stgcn_deploy.backends.parts import TOGETHER, PartedGraph, has_inner_graphs, value_of
from stgcn_deploy.backends.side_by_side import SideBySide

__all__ = ["ParallelRows", "Rows", "cut_rows"]


@dataclass(frozen=True)
class Rows:
    """A graph in three: what makes the rows, the trunk, and what takes its results.

    Attributes:
        rows: name of the tensor (rows, ..) that the trunk takes; count: how many rows.
        results: names of what the trunk gives, each (rows, ..).
    """

    rows: str
    count: int
    results: tuple[str, ...]
    _graph: PartedGraph
    _front: frozenset[int]
    _trunk: frozenset[int]
    _tail: frozenset[int]

    def front(self) -> Any:
        """The model from the graph's inputs to the rows."""
        return self._graph.part(self._front, [self.rows])

    def trunk(self, rows: TensorSpec) -> Any:
        """The model from any number of rows to the results of each."""
        free = TensorSpec(rows.name, rows.dtype, ("rows", *rows.shape[1:]))
        return self._graph.part(self._trunk, list(self.results), [value_of(free)])

    def tail(self, results: Sequence[TensorSpec]) -> Any:
        """The model from the results of all rows to the graph's outputs."""
        whole = [TensorSpec(one.name, one.dtype, (self.count, *one.shape[1:])) for one in results]
        return self._graph.part(self._tail, self._graph.outputs, map(value_of, whole))


class _Shapes:
    """Ranks and sizes of the tensors, as far as ONNX infers them."""

    def __init__(self, model: Any) -> None:
        import onnx

        graph = onnx.shape_inference.infer_shapes(model).graph
        self.shapes: dict[str, list[int | None]] = {}
        for value in (*graph.value_info, *graph.input, *graph.output):
            if value.type.tensor_type.HasField("shape"):
                dims = value.type.tensor_type.shape.dim
                self.shapes[value.name] = [
                    one.dim_value if one.HasField("dim_value") else None for one in dims
                ]
        for value in graph.initializer:
            self.shapes[value.name] = list(value.dims)

    def alike_for_rows(self, constant: str, rank: int) -> bool:
        """Whether a constant that is broadcast over a tensor of `rank` is the same for each row."""
        shape = self.shapes.get(constant)
        return shape is not None and (len(shape) < rank or (len(shape) == rank and shape[0] == 1))


Check = Callable[[Any, int, "_Shapes", frozenset[int]], bool]


def _always(_node: Any, _rank: int, _shapes: _Shapes, _free: frozenset[int]) -> bool:
    return True


def _first_only(_node: Any, _rank: int, _shapes: _Shapes, free: frozenset[int]) -> bool:
    """Weights do not depend on rows."""
    return free == {0}


def _broadcast(node: Any, rank: int, shapes: _Shapes, free: frozenset[int]) -> bool:
    return all(
        index in free or shapes.alike_for_rows(name, rank) for index, name in enumerate(node.input)
    )


def _product(node: Any, rank: int, shapes: _Shapes, free: frozenset[int]) -> bool:
    matrix = shapes.shapes.get(node.input[1])
    return free == {0} and (
        (matrix is not None and len(matrix) <= 2) or shapes.alike_for_rows(node.input[1], rank)
    )


def _attribute(node: Any, name: str, default: int) -> int:
    return next((int(one.i) for one in node.attribute if one.name == name), default)


def _other_axis(default: int) -> Check:
    def check(node: Any, rank: int, _shapes: _Shapes, _free: frozenset[int]) -> bool:
        return _attribute(node, "axis", default) % rank != 0

    return check


def _one_scale(node: Any, rank: int, shapes: _Shapes, free: frozenset[int]) -> bool:
    """Of a tensor, or of an axis that is not that of the rows."""
    scalar = shapes.shapes.get(node.input[1]) == []
    return free == {0} and (scalar or _attribute(node, "axis", 1) % rank != 0)


def _keeps_first(node: Any, _rank: int, _shapes: _Shapes, _free: frozenset[int]) -> bool:
    return any(one.name == "perm" and one.ints[0] == 0 for one in node.attribute)


def _plain_gemm(node: Any, _rank: int, shapes: _Shapes, free: frozenset[int]) -> bool:
    return (
        free == {0}
        and not _attribute(node, "transA", 0)
        and (len(node.input) < 3 or shapes.alike_for_rows(node.input[2], 2))
    )


# What gives each row what it would be given alone; every other operator ends the trunk.
ROW_BY_ROW: dict[str, Check] = {
    **dict.fromkeys(("Relu", "Sigmoid", "Tanh", "Identity", "Cast"), _always),
    **dict.fromkeys(("MaxPool", "AveragePool", "GlobalAveragePool"), _always),
    **dict.fromkeys(("Conv", "BatchNormalization"), _first_only),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _broadcast),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _one_scale),
    **dict.fromkeys(("Softmax",), _other_axis(-1)),
    **dict.fromkeys(("Concat", "Split"), _other_axis(0)),
    "Flatten": lambda node, _rank, _shapes, _free: _attribute(node, "axis", 1) == 1,
    "Gemm": _plain_gemm,
    "MatMul": _product,
    "Transpose": _keeps_first,
}


def _grown(known: PartedGraph, shapes: _Shapes, rows: str) -> set[int]:
    """Nodes after `rows` that treat each row by itself."""
    fixed = {value.name for value in known.graph.initializer}
    trunk: set[int] = set()
    ranks = {rows: len(shapes.shapes[rows])}
    for index, node in enumerate(known.graph.node):
        if rows in node.output:
            continue
        free = frozenset(at for at, name in enumerate(node.input) if name in ranks)
        constant = [name in fixed for name in node.input]
        if not free:
            # Also what is computed of constants alone, scales and weights, is the same for each row.
            if all(constant):
                fixed.update(node.output)
            continue
        check = ROW_BY_ROW.get(node.op_type)
        sizes = {ranks[node.input[at]] for at in free}
        known_all = all(at in free or constant[at] for at in range(len(node.input)))
        outputs = [shapes.shapes.get(name) for name in node.output]
        if check is None or len(sizes) > 1 or not known_all or None in outputs:
            continue
        if check(node, sizes.pop(), shapes, free):
            trunk.add(index)
            ranks |= {name: len(shapes.shapes[name]) for name in node.output}
    return trunk


def cut_rows(model: Any) -> Rows | None:
    """The trunk of a model (onnx.ModelProto); None where nothing of the kind holds most of its work.

    None also where the number of rows is open, or one.
    """
    if has_inner_graphs(model):
        return None
    known, shapes = PartedGraph(model), _Shapes(model)
    fixed = {value.name for value in known.graph.initializer}
    first = next((node for index, node in enumerate(known.graph.node) if known.own[index]), None)
    starts = [name for name in first.input if name not in fixed] if first is not None else []
    if not starts or not (shapes.shapes.get(starts[0]) or [None])[0]:
        return None
    rows = starts[0]
    count = int(shapes.shapes[rows][0] or 0)
    trunk = _grown(known, shapes, rows)
    if count < 2 or known.weight(trunk) < TOGETHER * known.all_heavy:
        return None
    made = {name for index in trunk for name in known.graph.node[index].output}
    others = set(range(len(known.graph.node))) - trunk
    results = tuple(sorted(made & (known.reads(others) | set(known.outputs))))
    trunk |= known.behind(known.reads(trunk) - {rows}, {rows})
    tail = known.behind(known.outputs, results)
    front = known.behind([rows])
    if (
        known.weight(tail) + known.weight(front) > (1 - TOGETHER) * known.all_heavy
        or not tail
        or not set(known.inputs) <= known.reads(front)
    ):
        return None
    return Rows(rows, count, results, known, frozenset(front), frozenset(trunk), frozenset(tail))


class ParallelRows(SideBySide):
    """Sessions of the three parts; the trunk's take a group of rows each, all at once."""

    def __init__(self, rows: str, front: Session, trunks: Sequence[Session], tail: Session) -> None:
        self._rows, self._front, self._trunks, self._tail = rows, front, tuple(trunks), tail
        parts = {id(part): part for part in (front, *trunks, tail)}
        super().__init__(
            front.inputs, tail.outputs, parts=tuple(parts.values()), workers=len(trunks)
        )

    def _run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        groups = np.split(self._front.run(feed)[self._rows], len(self._trunks))
        made = list(
            self.all_at_once(
                lambda pair: pair[0].run({self._rows: pair[1]}),
                zip(self._trunks, groups, strict=True),
            )
        )
        known = feed | {name: np.concatenate([one[name] for one in made]) for name in made[0]}
        return self._tail.run({spec.name: known[spec.name] for spec in self._tail.inputs})
