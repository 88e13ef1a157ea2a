"""An ONNX graph, node by node, becomes a straight program of PyTorch calls for fixed input sizes.

What depends on sizes alone (Shape, Gather of it, targets of Reshape) is computed here, once, with NumPy;
the program has tensor calls only, so that a CUDA graph can capture it and torch.compile sees it whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

__all__ = ["Emitter", "Value", "is_float"]

Host = NDArray[Any]


@dataclass(frozen=True)
class Value:
    """A tensor of the program.

    Attributes:
        like: a tensor of the same shape and dtype without memory.
        low: whether it was computed in the low precision.
    """

    node: fx.Node
    like: torch.Tensor
    low: bool = False


def is_float(value: Value | Host) -> bool:
    """Whether it holds real numbers."""
    if isinstance(value, Value):
        return value.like.is_floating_point()
    return bool(np.issubdtype(value.dtype, np.floating))


class Emitter:
    """Collects the calls of one program.

    Args:
        weight: gives a constant of the graph as a tensor of a dtype, always the same one, with its name.
    """

    def __init__(
        self, weight: Callable[[Host, torch.dtype | None], tuple[str, torch.Tensor]]
    ) -> None:
        self.graph = fx.Graph()
        self._weight = weight
        self._weights: dict[str, torch.Tensor] = {}

    def input(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Value:
        """An argument of the program."""
        like = torch.empty(shape, dtype=dtype, device="meta")
        return Value(self.graph.placeholder(name.replace(".", "_")), like)

    def tensor(self, value: Value | Host, dtype: torch.dtype | None = None) -> Value:
        """A value as a tensor of the program: constants become weights, others are cast where they must."""
        if isinstance(value, Value):
            if dtype is None or value.like.dtype == dtype:
                return value
            return self.cast(value, dtype)
        name, weight = self._weight(value, dtype)
        self._weights[name] = weight
        return Value(self.graph.get_attr(name), weight.to("meta"))

    def cast(self, value: Value, dtype: torch.dtype) -> Value:
        """The same numbers in another dtype."""
        found: Value = self.call(_to, value, dtype)
        return found

    def call(self, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """One call; gives a Value, or a list of them for a function with several results."""
        result = function(*_unwrapped(given), **_unwrapped(named))
        made = self.graph.call_function(
            function, _unwrapped(given, node=True), _unwrapped(named, node=True)
        )
        if isinstance(result, torch.Tensor):
            return Value(made, result)
        return [
            Value(self.graph.call_function(_item, (made, place)), one)
            for place, one in enumerate(result)
        ]

    def program(self, outputs: list[Value]) -> fx.GraphModule:
        """The module; takes the inputs in order, gives a tuple of the outputs."""
        self.graph.output(tuple(one.node for one in outputs))
        self.graph.eliminate_dead_code()
        root = nn.Module()
        for name, weight in self._weights.items():
            root.register_buffer(name, weight, persistent=False)
        return fx.GraphModule(root, self.graph)


def _to(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return x.to(dtype)


def _item(values: Any, place: int) -> Any:
    return values[place]


def _unwrapped(given: Any, *, node: bool = False) -> Any:
    """The same arguments with nodes, or memoryless tensors, in place of values."""
    if isinstance(given, Value):
        return given.node if node else given.like
    if isinstance(given, (tuple, list)):
        return type(given)(_unwrapped(one, node=node) for one in given)
    if isinstance(given, dict):
        return {key: _unwrapped(one, node=node) for key, one in given.items()}
    return given
