"""An inner tensor of an ONNX graph among its outputs, for every backend that reads ONNX."""

from __future__ import annotations

from pathlib import Path

from stgcn_deploy.errors import BackendError, requires

__all__ = ["tapped"]


def tapped(model: Path, name: str) -> bytes:
    """The model, its weights inside, with one inner tensor among its outputs.

    Raises:
        BackendError: there is no such tensor.
    """
    with requires("comparing logits", "pip install onnx"):
        import onnx
    graph = onnx.load(str(model))
    known = {output for node in graph.graph.node for output in node.output}
    if name not in known:
        raise BackendError(f"{model} has no tensor called {name!r}; it is not one of our exports.")
    if name not in {output.name for output in graph.graph.output}:
        graph.graph.output.append(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        )
    data: bytes = graph.SerializeToString()
    return data
