"""A bundle's ONNX file, read, and its programs: one for each set of input sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from stgcn_deploy.backends.base import TensorSpec
from stgcn_deploy.errors import BackendError
from stgcn_deploy.torchrun.emitter import Emitter, Value, is_float
from stgcn_deploy.torchrun.host import HOST
from stgcn_deploy.torchrun.nodes import Node, Unsupported
from stgcn_deploy.torchrun.operators import OPERATORS, WEIGHTED

__all__ = ["Network"]

Host = NDArray[Any]
# ONNX's number of an element type -> its name, of inputs and outputs.
DTYPES = {1: "float32", 10: "float16", 11: "float64"}
SMALL = 4096  # bytes
# Their constants are bounds and fill values, which the call takes as numbers.
WITH_NUMBERS = {"Clip", "Pad"}
QUANTISED = {
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "ConvInteger",
    "DynamicQuantizeLinear",
}


class Network:
    """The graph of an ONNX file.

    Args:
        tap: name of an inner tensor to give beside the outputs.
        low: the precision of layers with weights and of what lies between them; None leaves what the file
            has. What comes before the first and after the last of them stays as it is: differences of
            coordinates, sums of streams, softmax.
        channels_last: memory order of the weights of convolutions, and so of what they compute.

    Raises:
        BackendError: no ONNX file, an operator that none of our exports has, or an 8-bit graph.
    """

    def __init__(
        self,
        path: Path,
        *,
        device: torch.device,
        tap: str | None = None,
        low: torch.dtype | None = None,
        channels_last: bool = False,
    ) -> None:
        self._path, self._device, self._low = path, device, low
        self._channels_last = channels_last
        graph = _read(path).graph
        self._constants: dict[str, Host] = {
            one.name: _array(one, path) for one in graph.initializer
        }
        self._nodes = self._nodes_of(graph)
        for node in self._nodes:
            if node.kind == "Constant":
                self._constants[node.outputs[0]] = _constant(node, path)
        self.inputs = tuple(_spec(one) for one in graph.input if one.name not in self._constants)
        self.outputs = tuple(_spec(one) for one in graph.output)
        self._taps = [tap] if tap and tap not in {one.name for one in self.outputs} else []
        known = {name for node in self._nodes for name in node.outputs}
        if tap and tap not in known:
            raise BackendError(
                f"{path} has no tensor called {tap!r}; it is not one of our exports."
            )
        weighted = [place for place, node in enumerate(self._nodes) if node.kind in WEIGHTED]
        self._last = weighted[-1] if weighted else -1
        self._weights: dict[tuple[object, ...], tuple[str, torch.Tensor, Host]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what a program gives, in order."""
        return (*(one.name for one in self.outputs), *self._taps)

    def _nodes_of(self, graph: Any) -> list[Node]:
        from onnx import helper

        nodes = []
        for one in graph.node:
            kind = one.op_type
            if kind in QUANTISED:
                raise BackendError(
                    f"{self._path} is an 8-bit graph, which PyTorch would compute in float; open "
                    "the FP32 or "
                    "FP16 bundle it came from, or run this one on onnxruntime or build it for "
                    "tensorrt."
                )
            if kind not in OPERATORS and kind not in HOST and kind not in ("Shape", "Constant"):
                raise BackendError(
                    f"{self._path}: operator {kind} (node {one.name!r}) is in no export that "
                    "torch-cuda runs; "
                    "a bundle exported with --skip-absent is for other backends."
                )
            attributes = {
                item.name: _plain(helper.get_attribute_value(item), self._path)
                for item in one.attribute
            }
            nodes.append(Node(kind, one.name, tuple(one.input), tuple(one.output), attributes))
        return nodes

    # ---- weights -----------------------------------------------------------------------------

    def _weight(self, value: Host, dtype: torch.dtype | None) -> tuple[str, torch.Tensor]:
        """A constant on the device, once for all programs."""
        # Small ones are made anew for each program, so they are known by what they hold.
        small = value.nbytes <= SMALL
        content = (value.dtype.str, value.shape, value.tobytes()) if small else (id(value),)
        key = (*content, dtype)
        if key not in self._weights:
            tensor = torch.from_numpy(np.ascontiguousarray(value).copy()).to(self._device, dtype)
            if self._channels_last and tensor.dim() == 4:
                tensor = tensor.to(memory_format=torch.channels_last)
            # The array is kept, or another one could get its identity.
            self._weights[key] = (f"weight_{len(self._weights)}", tensor, value)
        name, tensor, _ = self._weights[key]
        return name, tensor

    # ---- programs ----------------------------------------------------------------------------

    def program(self, shapes: Mapping[str, tuple[int, ...]]) -> fx.GraphModule:
        """A module for inputs of these sizes; takes them in order, gives tensors by `names`.

        Raises:
            BackendError: sizes that do not fit together, or an operator used as none of our exports does.
        """
        emitter = Emitter(self._weight)
        values: dict[str, Value | Host] = dict(self._constants)
        for spec in self.inputs:
            dtype = getattr(torch, spec.dtype)
            values[spec.name] = emitter.input(spec.name, tuple(shapes[spec.name]), dtype)
        for place, node in enumerate(self._nodes):
            try:
                results = self._emit(emitter, place, node, values)
            except Unsupported as error:
                raise BackendError(f"{self._path}: {error} is in none of our exports.") from error
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                raise BackendError(
                    f"{self._path}: {node.kind} (node {node.name!r}) does not take inputs of "
                    f"{dict(shapes)}: "
                    f"{error}"
                ) from error
            values.update(zip(node.outputs, results, strict=False))
        kinds = {spec.name: getattr(torch, spec.dtype) for spec in self.outputs}
        outputs = [
            emitter.tensor(values[name], kinds.get(name, torch.float32)) for name in self.names
        ]
        return emitter.program(outputs)

    def _emit(
        self, emitter: Emitter, place: int, node: Node, values: dict[str, Value | Host]
    ) -> list[Value | Host]:
        given = [values[name] if name else None for name in node.inputs]
        if node.kind == "Constant":
            return [self._constants[node.outputs[0]]]
        if node.kind == "Shape":
            return [_shape(node, given[0])]
        known = [one for one in given if isinstance(one, np.ndarray)]
        if len(known) == len([one for one in given if one is not None]) and node.kind in HOST:
            return [np.asarray(HOST[node.kind](node, *known))]
        if self._low is not None:
            given = self._in_precision(emitter, place, node, given)
        found = OPERATORS[node.kind](emitter, node, given)
        results = list(found) if isinstance(found, (list, tuple)) else [found]
        low = any(isinstance(one, Value) and one.low for one in given)
        return [Value(one.node, one.like, low) for one in results]

    def _in_precision(
        self, emitter: Emitter, place: int, node: Node, given: list[Value | Host | None]
    ) -> list[Value | Host | None]:
        """Inputs of a node cast to what it computes in, see Network's `low`."""
        floats = [one for one in given if one is not None and is_float(one)]
        lowered = any(isinstance(one, Value) and one.low for one in floats)
        if place > self._last:
            dtype, low = torch.float32, False
        elif node.kind in WEIGHTED or lowered:
            assert self._low is not None
            dtype, low = self._low, True
        else:
            return given
        cast: list[Value | Host | None] = []
        for one in given:
            number = isinstance(one, np.ndarray) and (not one.ndim or node.kind in WITH_NUMBERS)
            if one is None or not is_float(one) or number:
                cast.append(one)
                continue
            tensor = emitter.tensor(one, dtype)
            cast.append(Value(tensor.node, tensor.like, low))
        return cast


def _read(path: Path) -> Any:
    import onnx

    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # onnx and protobuf raise many kinds
        raise BackendError(f"PyTorch cannot run {path}: {error}") from error
    return model


def _array(tensor: Any, path: Path) -> Host:
    from onnx import numpy_helper

    try:
        found: Host = numpy_helper.to_array(tensor, str(path.parent))
    except Exception as error:
        raise BackendError(f"{path}: weight {tensor.name!r} cannot be read: {error}") from error
    return found


def _plain(value: Any, path: Path) -> Any:
    """An attribute as a value of Python or NumPy."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if hasattr(value, "dims") and hasattr(value, "data_type"):
        return _array(value, path)
    if isinstance(value, (list, tuple)) or hasattr(value, "append"):
        return list(value)
    return value


def _constant(node: Node, path: Path) -> Host:
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in node.attributes:
            value = node.attributes[name]
            dtype = {"value_float": np.float32, "value_floats": np.float32}.get(name)
            return np.asarray(value, dtype)
    raise BackendError(f"{path}: Constant {node.name!r} holds {', '.join(node.attributes)}.")


def _shape(node: Node, value: Value | Host | None) -> Host:
    if value is None:
        raise Unsupported(f"Shape {node.name!r} of nothing")
    shape = value.like.shape if isinstance(value, Value) else value.shape
    return np.asarray(shape, np.int64)[node.get("start", 0) : node.get("end")]


def _spec(value: Any) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(
        dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else f"axis{axis}")
        for axis, dim in enumerate(tensor.shape.dim)
    )
    kind = DTYPES.get(tensor.elem_type)
    if kind is None:
        raise BackendError(
            f"tensor {value.name!r} has element type {tensor.elem_type}; inputs and outputs of "
            "our exports "
            "are floating point."
        )
    return TensorSpec(value.name, kind, shape)
