"""A node of the ONNX graph, read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["DTYPES", "Node", "Unsupported", "numbers"]

# ONNX's number of an element type -> ours.
DTYPES = {
    1: "float32",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    16: "bfloat16",
}


class Unsupported(Exception):  # noqa: N818 - caught where the model's name is known
    """An operator, or a use of one, that none of our exports has."""


@dataclass(frozen=True)
class Node:
    """One node of the ONNX graph, read."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)


def numbers(node: Node, value: object) -> list[int]:
    """Integers that are known before the program runs."""
    if not isinstance(value, np.ndarray):
        raise Unsupported(f"{node.kind} {node.name!r} whose sizes depend on the data")
    return [int(one) for one in np.atleast_1d(value)]
