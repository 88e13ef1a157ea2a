"""What each ONNX operator of our exports is in PyTorch.

Sources: the ONNX operator specifications, opsets 11 to 20.  What is not in the table is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as f
from numpy.typing import NDArray

from stgcn_deploy.torchrun.emitter import Emitter, Value
from stgcn_deploy.torchrun.nodes import DTYPES, Node, Unsupported, numbers

__all__ = ["OPERATORS", "WEIGHTED"]

Host = NDArray[Any]
Given = Value | Host | None
# What does the work, and so decides the precision of what follows.
WEIGHTED = {"Conv", "Gemm", "MatMul", "Einsum"}


Operator = Callable[[Emitter, Node, list[Given]], Any]


def _axes(node: Node, given: list[Given], place: int = 1) -> list[int] | None:
    """Axes: an input since opset 13, an attribute before."""
    if len(given) > place and given[place] is not None:
        return numbers(node, given[place])
    axes: list[int] | None = node.get("axes")
    return axes


def _elementwise(function: Callable[..., Any]) -> Operator:
    def emit(e: Emitter, node: Node, given: list[Given]) -> Any:  # noqa: ARG001
        return e.call(function, *(e.tensor(one) for one in given if one is not None))

    return emit


def _folded(function: Callable[..., Any]) -> Operator:
    """Max, Min, Sum: of two or more."""

    def emit(e: Emitter, node: Node, given: list[Given]) -> Any:  # noqa: ARG001
        found, *others = (e.tensor(one) for one in given if one is not None)
        for one in others:
            found = e.call(function, found, one)
        return found

    return emit


def _conv(e: Emitter, node: Node, given: list[Given]) -> Any:
    x, weight, *bias = (e.tensor(one) for one in given if one is not None)
    rank = x.like.dim() - 2
    if rank not in (1, 2):
        raise Unsupported(f"Conv {node.name!r} of {rank} dimensions")
    pads = node.get("pads", [0] * 2 * rank)
    strides = list(node.get("strides", [1] * rank))
    dilations = list(node.get("dilations", [1] * rank))
    if node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise Unsupported(f"Conv {node.name!r} with auto_pad")
    if pads[:rank] != pads[rank:]:
        x, pads = _padded(e, x, pads, 0.0), [0] * rank
    return e.call(
        f.conv1d if rank == 1 else f.conv2d,
        x,
        weight,
        bias[0] if bias else None,
        strides,
        list(pads[:rank]),
        dilations,
        node.get("group", 1),
    )


def _padded(e: Emitter, x: Value, pads: list[int], value: float) -> Value:
    """Pads of the last axes: all beginnings, then all ends, as in ONNX."""
    half = len(pads) // 2
    turned = [pads[place + end] for place in reversed(range(half)) for end in (0, half)]
    found: Value = e.call(f.pad, x, turned, "constant", value)
    return found


def _pad(e: Emitter, node: Node, given: list[Given]) -> Any:
    x = e.tensor(_needed(given[0]))
    if node.get("mode", "constant") != "constant":
        raise Unsupported(f"Pad {node.name!r} with mode {node.get('mode')}")
    pads = numbers(node, given[1]) if len(given) > 1 else node.get("pads")
    value = _scalar(node, given, 2, node.get("value", 0.0))
    axes = _axes(node, given, 3)
    if axes is not None:
        rank, half = x.like.dim(), len(axes)
        every = [0] * 2 * rank
        for place, axis in enumerate(axes):
            every[axis % rank], every[axis % rank + rank] = pads[place], pads[place + half]
        pads = every
    return _padded(e, x, pads, value)


def _scalar(node: Node, given: list[Given], place: int, default: Any) -> Any:
    if len(given) <= place or given[place] is None:
        return default
    value = given[place]
    if not isinstance(value, np.ndarray):
        raise Unsupported(f"{node.kind} {node.name!r} with a bound that depends on the data")
    return value.reshape(()).item()


def _needed(value: Given) -> Value | Host:
    if value is None:
        raise Unsupported("an operator without its first input")
    return value


def _gemm(e: Emitter, node: Node, given: list[Given]) -> Any:
    a, b, *c = (e.tensor(one) for one in given if one is not None)
    if node.get("transA", 0):
        a = e.call(torch.t, a)
    if not node.get("transB", 0):
        b = e.call(torch.t, b)
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    if (alpha, beta) == (1.0, 1.0):
        return e.call(f.linear, a, b, c[0] if c else None)
    found = e.call(torch.mul, e.call(f.linear, a, b), alpha)
    return e.call(torch.add, found, e.call(torch.mul, c[0], beta)) if c else found


def _max_pool(e: Emitter, node: Node, given: list[Given]) -> Any:
    x = e.tensor(_needed(given[0]))
    kernel = list(node.get("kernel_shape"))
    rank = len(kernel)
    pads = list(node.get("pads", [0] * 2 * rank))
    if pads[:rank] != pads[rank:] or rank not in (1, 2) or len(node.outputs) > 1:
        raise Unsupported(f"MaxPool {node.name!r} with uneven pads or indices")
    return e.call(
        f.max_pool1d if rank == 1 else f.max_pool2d,
        x,
        kernel,
        list(node.get("strides", [1] * rank)),
        pads[:rank],
        list(node.get("dilations", [1] * rank)),
        bool(node.get("ceil_mode", 0)),
    )


def _average_pool(e: Emitter, node: Node, given: list[Given]) -> Any:
    x = e.tensor(_needed(given[0]))
    kernel = list(node.get("kernel_shape"))
    pads = list(node.get("pads", [0] * 2 * len(kernel)))
    if any(pads) or len(kernel) != 2:
        raise Unsupported(f"AveragePool {node.name!r} with pads")
    strides = list(node.get("strides", [1, 1]))
    return e.call(f.avg_pool2d, x, kernel, strides, 0, bool(node.get("ceil_mode", 0)))


def _global_average(e: Emitter, node: Node, given: list[Given]) -> Any:  # noqa: ARG001
    x = e.tensor(_needed(given[0]))
    return e.call(torch.mean, x, list(range(2, x.like.dim())), keepdim=True)


def _reduce(function: Callable[..., Any]) -> Operator:
    def emit(e: Emitter, node: Node, given: list[Given]) -> Any:
        x = e.tensor(_needed(given[0]))
        axes = _axes(node, given)
        if axes is None or not axes:
            axes = list(range(x.like.dim()))
        return e.call(function, x, axes, keepdim=bool(node.get("keepdims", 1)))

    return emit


def _reshape(e: Emitter, node: Node, given: list[Given]) -> Any:
    x = e.tensor(_needed(given[0]))
    shape = numbers(node, given[1])
    if not node.get("allowzero", 0):
        shape = [x.like.shape[place] if size == 0 else size for place, size in enumerate(shape)]
    return e.call(torch.reshape, x, shape)


def _flatten(e: Emitter, node: Node, given: list[Given]) -> Any:
    x = e.tensor(_needed(given[0]))
    axis = node.get("axis", 1) % (x.like.dim() + 1)
    rows = int(np.prod(x.like.shape[:axis], dtype=np.int64))
    return e.call(torch.reshape, x, [rows, -1])


def _transpose(e: Emitter, node: Node, given: list[Given]) -> Any:
    x = e.tensor(_needed(given[0]))
    return e.call(torch.permute, x, list(node.get("perm", reversed(range(x.like.dim())))))


def _squeeze(e: Emitter, node: Node, given: list[Given]) -> Any:
    x = e.tensor(_needed(given[0]))
    axes = _axes(node, given)
    gone = {axis % x.like.dim() for axis in axes} if axes is not None else None
    shape = [
        size
        for place, size in enumerate(x.like.shape)
        if (size != 1 if gone is None else place not in gone)
    ]
    return e.call(torch.reshape, x, shape)


def _unsqueeze(e: Emitter, node: Node, given: list[Given]) -> Any:
    x = e.tensor(_needed(given[0]))
    axes = _axes(node, given) or []
    rank = x.like.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = e.call(torch.unsqueeze, x, axis)
    return x


def _concat(e: Emitter, node: Node, given: list[Given]) -> Any:
    return e.call(torch.cat, [e.tensor(_needed(one)) for one in given], node.get("axis"))


def _split(e: Emitter, node: Node, given: list[Given]) -> Any:
    x = e.tensor(_needed(given[0]))
    axis = node.get("axis", 0)
    parts = len(node.outputs)
    if len(given) > 1 and given[1] is not None:
        sizes = numbers(node, given[1])
    else:
        size = -(-x.like.shape[axis] // parts)
        sizes = node.get("split") or [
            min(size, x.like.shape[axis] - place * size) for place in range(parts)
        ]
    return e.call(torch.split, x, list(sizes), axis)


def _slice(e: Emitter, node: Node, given: list[Given]) -> Any:
    x = e.tensor(_needed(given[0]))
    starts, ends = numbers(node, given[1]), numbers(node, given[2])
    axes = _axes(node, given, 3) or list(range(len(starts)))
    steps = numbers(node, given[4]) if len(given) > 4 else [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 1:
            raise Unsupported(f"Slice {node.name!r} that runs backwards")
        x = e.call(_sliced, x, axis, *slice(start, end, step).indices(x.like.shape[axis]))
    return x


def _sliced(x: torch.Tensor, axis: int, start: int, end: int, step: int) -> torch.Tensor:
    return torch.ops.aten.slice.Tensor(x, axis, start, end, step)  # type: ignore[no-any-return]


def _gather(e: Emitter, node: Node, given: list[Given]) -> Any:
    x, index = e.tensor(_needed(given[0])), given[1]
    axis = node.get("axis", 0) % x.like.dim()
    if not isinstance(index, np.ndarray):
        raise Unsupported(f"Gather {node.name!r} whose indices depend on the data")
    index = np.where(index < 0, index + x.like.shape[axis], index)
    if index.ndim == 0:
        return e.call(torch.select, x, axis, int(index))
    found = e.call(torch.index_select, x, axis, e.tensor(index.reshape(-1).astype(np.int64)))
    shape = [*x.like.shape[:axis], *index.shape, *x.like.shape[axis + 1 :]]
    return found if index.ndim == 1 else e.call(torch.reshape, found, shape)


def _expand(e: Emitter, node: Node, given: list[Given]) -> Any:
    x = e.tensor(_needed(given[0]))
    return e.call(
        torch.broadcast_to, x, list(np.broadcast_shapes(x.like.shape, numbers(node, given[1])))
    )


def _tile(e: Emitter, node: Node, given: list[Given]) -> Any:
    return e.call(torch.tile, e.tensor(_needed(given[0])), numbers(node, given[1]))


def _clip(e: Emitter, node: Node, given: list[Given]) -> Any:
    low = _scalar(node, given, 1, node.get("min"))
    high = _scalar(node, given, 2, node.get("max"))
    return e.call(torch.clamp, e.tensor(_needed(given[0])), low, high)


def _cast(e: Emitter, node: Node, given: list[Given]) -> Any:
    return e.cast(e.tensor(_needed(given[0])), _dtype(node))


def _dtype(node: Node) -> torch.dtype:
    kind = node.get("to")
    if kind not in DTYPES:
        raise Unsupported(f"Cast {node.name!r} to element type {kind}")
    found: torch.dtype = getattr(torch, DTYPES[kind])
    return found


def _einsum(e: Emitter, node: Node, given: list[Given]) -> Any:
    return e.call(torch.einsum, node.get("equation"), *(e.tensor(_needed(one)) for one in given))


def _softmax(function: Callable[..., Any]) -> Operator:
    def emit(e: Emitter, node: Node, given: list[Given]) -> Any:
        x = e.tensor(_needed(given[0]))
        return e.call(function, x, node.get("axis", -1))

    return emit


def _norm(e: Emitter, node: Node, given: list[Given]) -> Any:
    x, scale, bias, mean, variance = (e.tensor(_needed(one)) for one in given)
    epsilon = node.get("epsilon", 1e-5)
    return e.call(f.batch_norm, x, mean, variance, scale, bias, False, 0.0, epsilon)


def _where(e: Emitter, node: Node, given: list[Given]) -> Any:  # noqa: ARG001
    return e.call(torch.where, *(e.tensor(_needed(one)) for one in given))


def _same(e: Emitter, node: Node, given: list[Given]) -> Any:  # noqa: ARG001
    return e.tensor(_needed(given[0]))


OPERATORS: dict[str, Operator] = {
    "Abs": _elementwise(torch.abs),
    "Add": _elementwise(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _elementwise(torch.div),
    "Dropout": _same,
    "Einsum": _einsum,
    "Equal": _elementwise(torch.eq),
    "Exp": _elementwise(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "Greater": _elementwise(torch.gt),
    "Identity": _same,
    "Log": _elementwise(torch.log),
    "LogSoftmax": _softmax(torch.log_softmax),
    "MatMul": _elementwise(torch.matmul),
    "Max": _folded(torch.maximum),
    "MaxPool": _max_pool,
    "Min": _folded(torch.minimum),
    "Mul": _elementwise(torch.mul),
    "Neg": _elementwise(torch.neg),
    "Not": _elementwise(torch.logical_not),
    "Pad": _pad,
    "Pow": _elementwise(torch.pow),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _elementwise(torch.relu),
    "Reshape": _reshape,
    "Sigmoid": _elementwise(torch.sigmoid),
    "Slice": _slice,
    "Softmax": _softmax(torch.softmax),
    "Split": _split,
    "Sqrt": _elementwise(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _elementwise(torch.sub),
    "Sum": _folded(torch.add),
    "Tanh": _elementwise(torch.tanh),
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
