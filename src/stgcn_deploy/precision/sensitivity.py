"""Which block suffers most from being quantised, and which layer of a quantised graph is furthest off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import requires
from stgcn_deploy.measure.runner import Runner
from stgcn_deploy.measure.visible import LOGITS
from stgcn_deploy.precision.calibration import Calibration
from stgcn_deploy.precision.graphs import WEIGHTED, block_of, read_model
from stgcn_deploy.precision.int8 import Quantiser

__all__ = ["BlockError", "LayerError", "layer_errors", "rank_blocks"]

# Clips that errors are measured on; ranks settle long before accuracies do.
CLIPS = 24
LAYER_CLIPS = 4

Array = NDArray[Any]


@dataclass(frozen=True)
class BlockError:
    """What quantising one block alone does to the logits.

    Attributes:
        error: mean squared change over the variance of the logits.
        divergence: mean Kullback-Leibler divergence of the softmax, in nats.
        layers: how many were quantised.
    """

    block: str
    error: float
    divergence: float
    layers: int


@dataclass(frozen=True)
class LayerError:
    """How far the output of a layer is from that of the float graph, errors of earlier ones included.

    Attributes:
        sqnr: power of the signal over that of the error, dB.
    """

    layer: str
    operator: str
    quantised: bool
    sqnr: float


def rank_blocks(
    base: Bundle,
    quantiser: Quantiser,
    calibration: Calibration,
    scratch: Path,
    progress: Callable[[str], None],
) -> tuple[BlockError, ...]:
    """Every block quantised alone, the most sensitive first.

    One block alone is a graph that differs from the base in two or three layers, so its error is the
    block's own; all but one would measure that block in the noise of the others.
    """
    wanted = _logits(base, base.model_path, calibration)
    found = []
    blocks = quantiser.blocks
    for number, (block, layers) in enumerate(blocks.items()):
        progress(f"sensitivity: block {number + 1} of {len(blocks)} ({block})")
        path = scratch / "block.onnx"
        quantiser.write(path, layers=layers)
        got = _logits(base, path, calibration)
        error = float(np.mean((got - wanted) ** 2) / max(float(wanted.var()), 1e-12))
        found.append(BlockError(block, error, _divergence(wanted, got), len(layers)))
    return tuple(sorted(found, key=lambda one: -one.error))


def _logits(base: Bundle, model: Path, calibration: Calibration) -> NDArray[np.float64]:
    """Logits (N, classes) of some calibration clips."""
    with BACKENDS["onnxruntime"].open(model, OpenOptions(tap=LOGITS)) as session:
        runner = Runner(base.manifest, session)
        batches = calibration.batches(base.manifest.clip.batch, limit=CLIPS)
        return np.concatenate([runner.logits(one) for one in batches]).astype(np.float64)


def _divergence(wanted: NDArray[np.float64], got: NDArray[np.float64]) -> float:
    one, two = (_log_softmax(logits) for logits in (wanted, got))
    return float(np.mean((np.exp(one) * (one - two)).sum(axis=1)))


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    out: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return out


def layer_errors(
    base: Bundle, candidate: Bundle, calibration: Calibration
) -> tuple[LayerError, ...]:
    """Every layer with weights that both graphs have, the worst first, on a few calibration clips.

    Every layer's output is read out, which keeps the runtime from fusing: the numbers are those of
    QuantizeLinear and DequantizeLinear themselves.
    """
    float_model, model = read_model(base.model_path), read_model(candidate.model_path)
    known = {node.output[0] for node in model.graph.node}
    relus = {
        node.input[0]: node.output[0] for node in float_model.graph.node if node.op_type == "Relu"
    }
    seen: dict[str, Any] = {}
    for node in float_model.graph.node:
        # Where the quantiser lets a ReLU go (its range begins at 0), the layer's output has its name.
        out = node.output[0] if node.output[0] in known else relus.get(node.output[0])
        if node.op_type in WEIGHTED and out is not None and out in known:
            seen[out] = node
    shared, names = list(seen.values()), list(seen)
    quantised = set(quantised_layers(model))
    signal, noise = np.zeros(len(names)), np.zeros(len(names))
    feeds = [
        base.manifest.feed(one)
        for one in calibration.batches(base.manifest.clip.batch, limit=LAYER_CLIPS)
    ]
    plain = [node.output[0] for node in shared]
    pairs = zip(_outputs(float_model, plain, feeds), _outputs(model, names, feeds), strict=True)
    for wanted, got in pairs:
        for place, (one, two) in enumerate(zip(wanted, got, strict=True)):
            wide = one.astype(np.float64)
            signal[place] += (wide**2).sum()
            noise[place] += ((wide - two) ** 2).sum()
    with np.errstate(divide="ignore"):
        ratios = 10 * np.log10(np.maximum(signal, 1e-30) / noise)
    found = [
        LayerError(node.name, node.op_type, node.name in quantised, float(ratio))
        for node, ratio in zip(shared, ratios, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: one.sqnr))


def _outputs(model: Any, names: list[str], feeds: list[dict[str, Array]]) -> Iterator[list[Array]]:
    """Inner tensors of a model for each feed, one after the other."""
    with requires("comparing layers", "pip install onnxruntime onnx"):
        import onnx
        import onnxruntime
    kind = onnx.TensorProto.FLOAT
    there = {one.name for one in model.graph.output}
    for name in names:
        if name not in there:
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    for feed in feeds:
        yield session.run(names, feed)


def quantised_layers(model: Any) -> list[str]:
    """Names of the layers with weights whose weights are dequantised."""
    made = {
        out
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
        for out in node.output
    }
    return [
        node.name
        for node in model.graph.node
        if node.op_type in WEIGHTED and len(node.input) > 1 and node.input[1] in made
    ]


def blocks_of(layers: list[str]) -> tuple[str, ...]:
    """The blocks that some layers are in, in order."""
    return tuple(dict.fromkeys(block_of(name) for name in layers))
