"""What an ONNX file holds, whoever wrote it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_deploy.errors import FileUnreadableError, requires

__all__ = ["describe_onnx"]


def _shape(value: Any) -> list[int | str]:
    return [
        dim.dim_param or ("?" if not dim.HasField("dim_value") else dim.dim_value)
        for dim in value.type.tensor_type.shape.dim
    ]


def describe_onnx(path: Path) -> dict[str, Any]:
    """Opset, inputs, outputs, operators and parameters.

    Raises:
        FileUnreadableError: no ONNX model.
    """
    with requires("reading an ONNX file", "pip install onnx"):
        import onnx
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise FileUnreadableError(f"{path} is no readable ONNX model: {error}") from None
    if not model.graph.node:
        raise FileUnreadableError(f"{path} holds an ONNX model without a single node.")
    external = sum(tensor.data_location == 1 for tensor in model.graph.initializer)
    return {
        "kind": "onnx",
        "file": str(path),
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "ir_version": model.ir_version,
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "inputs": {value.name: _shape(value) for value in model.graph.input},
        "outputs": {value.name: _shape(value) for value in model.graph.output},
        "nodes": len(model.graph.node),
        "operators": dict(Counter(node.op_type for node in model.graph.node).most_common()),
        "parameters": sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer),
        "external_tensors": external,
    }
