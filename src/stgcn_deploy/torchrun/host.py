"""Operators on what is known before a program runs: sizes of tensors, and constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.torchrun.nodes import DTYPES, Node, numbers

__all__ = ["HOST"]

Host = NDArray[Any]


def _host_cast(node: Node, x: Host) -> Host:
    return x.astype(DTYPES[node.get("to")])


def _host_slice(node: Node, x: Host, *bounds: Host) -> Host:
    starts, ends, *more = (numbers(node, one) for one in bounds)
    axes = more[0] if more else list(range(len(starts)))
    steps = more[1] if len(more) > 1 else [1] * len(starts)
    place = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place[axis] = slice(start, end, step)
    return x[tuple(place)]


def _host_unsqueeze(node: Node, x: Host, axes: Host | None = None) -> Host:
    places = node.get("axes") if axes is None else numbers(node, axes)
    return np.expand_dims(x, tuple(places))


def _host_squeeze(node: Node, x: Host, axes: Host | None = None) -> Host:
    places = node.get("axes") if axes is None else numbers(node, axes)
    return np.squeeze(x, None if places is None else tuple(places))


def _host_where(node: Node, choice: Host, a: Host, b: Host) -> Host:  # noqa: ARG001
    found: Host = np.where(choice, a, b)
    return found


HOST: dict[str, Callable[..., Host]] = {
    "Add": lambda node, a, b: a + b,  # noqa: ARG005
    "Cast": _host_cast,
    "Concat": lambda node, *given: np.concatenate(given, axis=node.get("axis")),
    "ConstantOfShape": lambda node, shape: np.full(
        shape, np.asarray(node.get("value", np.float32(0))).reshape(())
    ),
    "Div": lambda node, a, b: a // b if np.issubdtype(a.dtype, np.integer) else a / b,  # noqa: ARG005
    "Equal": lambda node, a, b: np.asarray(a == b),  # noqa: ARG005
    "Gather": lambda node, x, index: np.take(x, index, axis=node.get("axis", 0)),
    "Identity": lambda node, x: x,  # noqa: ARG005
    "Mul": lambda node, a, b: a * b,  # noqa: ARG005
    "Range": lambda node, start, end, step: np.arange(start, end, step),  # noqa: ARG005
    "Reshape": lambda node, x, shape: x.reshape(shape),  # noqa: ARG005
    "Slice": _host_slice,
    "Squeeze": _host_squeeze,
    "Sub": lambda node, a, b: a - b,  # noqa: ARG005
    "Unsqueeze": _host_unsqueeze,
    "Where": _host_where,
}
