"""Precisions of an engine: which way leads to each, and what is tried after which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stgcn_deploy.errors import UsageError
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.precision.graphs import WEIGHTED, Graph, read_model

__all__ = ["LADDER", "Rung", "graph_precision", "ladder", "quantised_share", "requested_of"]

# Where less cannot be had, the next one is tried.
LADDER = ("int8", "fp16", "fp32")
# What TensorRT's own flags for a precision are; layers that INT8 does not suit shall not fall to FP32.
FLAGS = {"fp32": (), "fp16": ("FP16",), "int8": ("FP16", "INT8")}
QUANTIZE = "stgcn quantize BUNDLE --to {to} --for tensorrt -o NEW"


@dataclass(frozen=True)
class Rung:
    """One try.

    Attributes:
        precision: what the engine shall compute in.
        explicit: the graph says it, in its types and QuantizeLinear nodes; else TensorRT's flags do.
        flags: names of the BuilderFlags where the graph alone does not do, see Api.
        calibrate: whether INT8 ranges come from a calibrator.
        share: part of the layers with weights that shall be in this precision, 0 to 1.
    """

    precision: str
    explicit: bool
    flags: tuple[str, ...]
    calibrate: bool = False
    share: float = 1.0

    @property
    def words(self) -> str:
        """The way, in words."""
        if self.explicit:
            return f"{self.precision} as the graph has it"
        ranges = ", ranges from a calibrator" if self.calibrate else ""
        return f"{self.precision} by BuilderFlag {' and '.join(self.flags)}{ranges}"


def graph_precision(manifest: Manifest) -> str:
    """What the graph itself computes in: fp32, fp16 or int8.

    Raises:
        UsageError: a precision that TensorRT cannot take from this graph.
    """
    precision = manifest.precision
    if precision.actual == "int8" and precision.target != "tensorrt":
        raise UsageError(
            f"this bundle was quantised for {precision.target or 'any runtime'}, and TensorRT takes "
            "symmetric scales and pairs of its own only; quantise the FP32 bundle again: "
            f"{QUANTIZE.format(to='int8')}"
        )
    if precision.actual not in LADDER:
        raise UsageError(
            f"this bundle computes in {precision.actual}, which no engine is built in here; build "
            "its FP32 bundle, or the FP16 one: " + QUANTIZE.format(to="fp16")
        )
    return precision.actual


def requested_of(manifest: Manifest, asked: str) -> str:
    """The precision to build: the graph's own for "auto".

    Raises:
        UsageError: it is wider than the graph's, see graph_precision too.
    """
    mine = graph_precision(manifest)
    if asked in ("auto", mine):
        return mine
    if mine != "fp32":
        raise UsageError(
            f"this bundle's graph is {mine}, so no {asked} engine can be made of it; build the FP32 "
            f"bundle that it came from, or leave out --precision."
        )
    return asked


def ladder(mine: str, requested: str, share: float = 1.0) -> tuple[Rung, ...]:
    """All tries, in order, for a graph in precision `mine`.

    A graph that says its precision has one way only; the FP32 graph has one for each.

    Args:
        share: of an INT8 graph, how much of it is quantised.
    """
    if mine == requested:
        return (Rung(mine, explicit=True, flags=FLAGS[mine][-1:], share=share),)
    return tuple(
        Rung(one, one == "fp32", FLAGS[one], calibrate=one == "int8")
        for one in LADDER[LADDER.index(requested) :]
    )


def quantised_share(model: Path) -> float:
    """Part of the layers with weights whose inputs are dequantised, 0 to 1."""
    graph = Graph(read_model(model))
    nodes = graph.model.graph.node
    made = {out for node in nodes if node.op_type == "DequantizeLinear" for out in node.output}
    constants = graph.constants
    weighted = [
        node
        for node in nodes
        if node.op_type in WEIGHTED and any(one in made or one in constants for one in node.input)
    ]
    quantised = [node for node in weighted if any(one in made for one in node.input)]
    return len(quantised) / len(weighted) if weighted else 0.0
