"""What the machine can do at best: one large matrix product on the same runtime, threads and precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stgcn_deploy.errors import requires
from stgcn_deploy.measure.bench import Contender, model_contender

__all__ = ["SIZE", "peak_contender", "write_peak_model"]

# Rows and columns of both factors.
SIZE = 1536
OPSET, IR_VERSION = 18, 8
# Steps of the quantised product: inputs are normal, outputs sums of so many products of them.
STEP, SUM_STEP = 0.04, 1.5


def peak_contender(
    folder: Path,
    threads: int,
    *,
    backend: str = "onnxruntime",
    compute: str = "fp32",
    quantised: bool = False,
    size: int = SIZE,
) -> Contender:
    """One (size, size) x (size, size) product: the machine's rate in practice.

    Args:
        folder: where the model is written; it must outlive the measurement.
        compute: what float layers are computed in.
        quantised: an INT8 product (activations unsigned, weights signed), as quantised bundles have.
    """
    path = write_peak_model(folder / "peak.onnx", size=size, quantised=quantised)
    return model_contender(
        "matrix product (the machine's rate)",
        str(path),
        backend=backend,
        shapes={"input": [size, size]},
        batch=1,
        threads=threads,
        macs=size**3,
        compute=compute,
    )


def write_peak_model(path: Path, *, size: int = SIZE, quantised: bool = False) -> Path:
    """The product as an ONNX file."""
    with requires("measuring the machine's rate", "pip install onnx"):
        import onnx
        from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(0).normal(0, 1, (size, size)).astype(np.float32)
    if not quantised:
        nodes = [helper.make_node("MatMul", ["input", "weight"], ["output"])]
        tensors = {"weight": weight}
    else:
        nodes, tensors = _quantised(helper, weight)
    graph = helper.make_graph(
        nodes,
        "peak",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [size, size])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [size, size])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.save(model, str(path))
    return path


def _quantised(helper: Any, weight: np.ndarray[Any, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The product between QuantizeLinear and DequantizeLinear, which runtimes fuse."""
    tensors: dict[str, Any] = {
        "weight": np.clip(np.rint(weight / STEP), -127, 127).astype(np.int8),
        "weight_zero": np.zeros((), np.int8),
        "zero": np.full((), 128, np.uint8),
        "step": np.full((), STEP, np.float32),
        "sum_step": np.full((), SUM_STEP, np.float32),
    }
    made = [
        ("QuantizeLinear", ["input", "step", "zero"], "input_q"),
        ("DequantizeLinear", ["input_q", "step", "zero"], "input_f"),
        ("DequantizeLinear", ["weight", "step", "weight_zero"], "weight_f"),
        ("MatMul", ["input_f", "weight_f"], "product"),
        ("QuantizeLinear", ["product", "sum_step", "zero"], "output_q"),
        ("DequantizeLinear", ["output_q", "sum_step", "zero"], "output"),
    ]
    return [helper.make_node(op, inputs, [output]) for op, inputs, output in made], tensors
