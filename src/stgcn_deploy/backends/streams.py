"""The streams of an ONNX graph, cut apart: graphs that do not need each other, and one that joins them.

A two-stream network, or an ensemble in one graph, is some networks that see the same clip and meet at
their heads.  A runtime gives every layer to all its threads and waits for the last one, layer by layer;
side by side each stream keeps to its own threads and waits once a call.  What that gains is in
docs/design/0007-side-by-side.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from stgcn_deploy.backends.base import Session, TensorSpec
from stgcn_deploy.backends.parts import TOGETHER, PartedGraph, has_inner_graphs, value_of
from stgcn_deploy.backends.side_by_side import SideBySide

__all__ = ["ParallelStreams", "Streams", "cut_streams"]

# The smallest stream has at least this share of the heavy nodes that the largest has.
ALIKE = 0.8


@dataclass(frozen=True)
class Streams:
    """A graph in parts.

    Attributes:
        inputs: names of the graph's inputs.
        streams: a model (onnx.ModelProto) for each, from the graph's inputs to one tensor.
    """

    inputs: tuple[str, ...]
    streams: tuple[Any, ...]
    _graph: PartedGraph
    _tail: frozenset[int]

    def tail(self, meets: Iterable[TensorSpec]) -> Any:
        """The model from the streams' tensors (as a runtime found them), to the graph's outputs."""
        given = [value_of(spec) for spec in meets]
        return self._graph.part(self._tail, self._graph.outputs, given)


def _meeting(known: PartedGraph, tensor: str) -> list[str]:
    """The tensors that meet to make `tensor`; itself alone where it is all of one stream."""
    at = tensor
    while at in known.made_by:
        node = known.graph.node[known.made_by[at]]
        arms = [name for name in dict.fromkeys(node.input) if known.heavy.get(name)]
        if len(arms) != 1:
            return _apart(known, arms, tensor)
        at = arms[0]
    return [tensor]


def _apart(known: PartedGraph, arms: list[str], tensor: str) -> list[str]:
    seen = 0
    for arm in arms:
        if seen & known.heavy[arm]:
            return [tensor]
        seen |= known.heavy[arm]
    return [part for arm in arms for part in _meeting(known, arm)] or [tensor]


def cut_streams(model: Any) -> Streams | None:
    """The streams of a model (onnx.ModelProto), or None where it has but one, or subgraphs."""
    if has_inner_graphs(model):
        return None
    known = PartedGraph(model)
    meets = tuple(dict.fromkeys(_meeting(known, known.outputs[0])))
    if len(meets) < 2:
        return None
    streams = [known.behind([name]) for name in meets]
    tail = known.behind(known.outputs, meets)
    weights = [known.weight(nodes) for nodes in streams]
    # An output from the middle of a stream would pull much of it into the tail, and compute it twice.
    if (
        min(weights) < ALIKE * max(weights)
        or sum(weights) < TOGETHER * known.all_heavy
        or known.weight(tail) > (1 - TOGETHER) * known.all_heavy
        or not set(known.inputs) <= known.reads({*tail, *set().union(*streams)})
    ):
        return None
    return Streams(
        tuple(known.inputs),
        tuple(known.part(nodes, [name]) for nodes, name in zip(streams, meets, strict=True)),
        known,
        frozenset(tail),
    )


class ParallelStreams(SideBySide):
    """Sessions of all streams, run side by side, and of the tail; the answers are those of the whole."""

    def __init__(
        self, inputs: Iterable[str], streams: Iterable[Session], tail: Session, workers: int
    ) -> None:
        self._streams, self._tail = tuple(streams), tail
        known = {spec.name: spec for part in (*self._streams, tail) for spec in part.inputs}
        super().__init__(
            tuple(known[name] for name in inputs),
            tail.outputs,
            parts=(*self._streams, tail),
            workers=min(len(self._streams), workers),
        )

    def _run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        known = dict(feed)
        for made in self.all_at_once(lambda stream: stream.run(_of(stream, feed)), self._streams):
            known |= made
        return self._tail.run(_of(self._tail, known))


def _of(session: Session, known: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What a session takes of the tensors that are there."""
    return {spec.name: known[spec.name] for spec in session.inputs}
