"""What the layers of an OM file are computed in, from atc's own list of them (`atc --mode=1`)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Layers", "precision_of", "read_layers"]

FLOATS = {"DT_FLOAT16": "fp16", "DT_FLOAT": "fp32", "DT_BF16": "bf16"}
# They move or keep numbers; what they are in says nothing of what is computed.
MOVERS = {
    *("Data", "Const", "Constant", "NetOutput", "Cast", "TransData", "Transpose", "TransposeD"),
    *("Reshape", "Flatten", "FlattenV2", "Squeeze", "Unsqueeze", "Concat", "ConcatD", "Identity"),
}
# The layers with nearly all of the work, by the beginning of their types.
HEAVY = re.compile(r"^(?:Depthwise)?Conv|MatMul|^Gemm|^GEMM|^FullyConnection")


@dataclass(frozen=True)
class Layers:
    """How many layers compute in what: all of them, and those with nearly all of the work."""

    all: dict[str, int]
    heavy: dict[str, int]

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.all.items())


def read_layers(path: Path) -> Layers | str:
    """The layers in the file that atc wrote, or why they cannot be told."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return f"its list is unreadable: {error}"
    every: Counter[str] = Counter()
    heavy: Counter[str] = Counter()
    for operator in _operators(said):
        kind = str(operator.get("type", ""))
        precision = _float_of(operator)
        if precision is None or kind in MOVERS:
            continue
        every[precision] += 1
        if HEAVY.search(kind):
            heavy[precision] += 1
    if not heavy:
        return "its list names no convolution or product"
    return Layers(dict(sorted(every.items())), dict(sorted(heavy.items())))


def _operators(said: Any) -> Iterator[dict[str, Any]]:
    graphs = said.get("graph") if isinstance(said, dict) else None
    for graph in graphs if isinstance(graphs, list) else ():
        operators = graph.get("op") if isinstance(graph, dict) else None
        for operator in operators if isinstance(operators, list) else ():
            if isinstance(operator, dict):
                yield operator


def _float_of(operator: dict[str, Any]) -> str | None:
    """What a layer's first input is in; what it gives out may be wider than what it computes in."""
    for side in ("input_desc", "output_desc"):
        values = operator.get(side)
        if isinstance(values, list) and values and isinstance(values[0], dict):
            return FLOATS.get(str(values[0].get("dtype")))
    return None


def precision_of(layers: Layers, asked: str, graph: str) -> str:
    """The precision that an OM really has, in the words of the options.

    Args:
        asked: fp16, mixed or origin; it is what was got where the layers do not contradict it.
        graph: what the graph itself is in, fp32 or fp16.
    """
    if asked == "fp16":
        kept = set(layers.heavy) <= {"fp16"}  # small layers may exist in FP32 alone
    elif asked == "mixed":
        kept = "fp16" in layers.all
    else:
        kept = set(layers.heavy) <= {graph}
    if kept:
        return asked
    if set(layers.heavy) == {"fp16"}:
        return "fp16"
    return "origin" if set(layers.heavy) <= {graph} else "mixed"
