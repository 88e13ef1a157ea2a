"""What an engine really computes in, by TensorRT's own inspector.

A builder flag is a permission: TensorRT may build FP32 layers for it and say nothing.  So the layers of the
finished engine are counted by precision, and the engine is named after what was found.

The inspector says a layer's precision in several places, none of which is always there: the type of its
weights; the type of its tensors ("N/A due to dynamic shapes" in an engine with open axes); the name of its
kernel, which names its types.  They are asked in this order.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stgcn_deploy.builders.tensorrt.api import Api
from stgcn_deploy.builders.tensorrt.precision import LADDER, Rung
from stgcn_deploy.builders.tensorrt.profiles import Profile
from stgcn_deploy.errors import BuildError

__all__ = ["UNKNOWN", "Audit", "audit_engine", "audit_of", "layer_precision"]

UNKNOWN = "unknown"
# TensorRT's words for types; the first that fits, so that BFloat16 is no Float.
TYPES = (
    ("bf16", r"bfloat16|bf16"),
    ("fp8", r"fp8|float8|e4m3"),
    ("fp16", r"fp16|float16|half"),
    ("int8", r"(?<!u)int8"),
    ("int4", r"(?<!u)int4"),
    ("fp32", r"fp32|float"),
)
# Where a tensor has its type; spelt differently by versions.
TYPE_KEYS = ("format/datatype", "datatype", "format")
# How kernels name the types that they multiply.
TACTICS = (
    ("int8", r"i8i8|int8|imma|i8816|i16832|_s8_"),
    ("bf16", r"bf16"),
    ("fp16", r"f16f16|h884|h1688|h16816|hmma|fp16|hgemm|_f16_"),
    ("fp32", r"f32f32|tf32|s1688|sgemm|fp32|_f32_|scudnn"),
)
WIDTH = ("int4", "int8", "fp8", "fp16", "bf16", "fp32")
# Layers with the network's products; names of layer types of 8.x, and of the compiler in 10 and later.
PRODUCTS = re.compile(
    r"convol|\bconv\b|gemm|matmul|matrix|einsum|fullyconnected|\bfc\b|myelin|foreign|attention",
    re.IGNORECASE,
)
# Layers that only move or convert.
MOVERS = re.compile(
    r"reformat|noop|no_op|shuffle|constant|shape|slice|identity|signal|wait|copy", re.IGNORECASE
)
# Fewer than this part of what was asked for is no engine of that name.
ENOUGH = 0.5


@dataclass(frozen=True)
class Audit:
    """Layers of an engine by precision.

    Attributes:
        layers: all layers that compute something.
        products: of these, the ones with products: convolutions, matrices.
    """

    layers: dict[str, int]
    products: dict[str, int]

    @property
    def judged(self) -> dict[str, int]:
        """What decides: the products, or where none is told apart all layers; unknown ones left out."""
        for counts in (self.products, self.layers):
            known = {name: n for name, n in counts.items() if name != UNKNOWN}
            if known:
                return known
        return {}

    def share(self, precision: str) -> float:
        """Part of the judged layers in this precision, or in one that is narrower still."""
        total = sum(self.judged.values())
        narrow = WIDTH[: WIDTH.index(precision) + 1]
        return sum(self.judged.get(name, 0) for name in narrow) / total if total else 0.0

    @property
    def actual(self) -> str:
        """The narrowest precision of the ladder that at least half of the judged layers are in."""
        return next((one for one in LADDER if self.share(one) >= ENOUGH), LADDER[-1])

    def shortfall(self, rung: Rung) -> str | None:
        """Why the engine is not what a rung was to make; None where it is."""
        if rung.precision == "fp32":
            return None if self.actual == "fp32" else self._found(rung)
        return None if self.share(rung.precision) >= ENOUGH * rung.share else self._found(rung)

    def _found(self, rung: Rung) -> str:
        return f"asked for {rung.precision}, but it computes in {self.actual} ({self.words})"

    @property
    def words(self) -> str:
        """The counts that decide."""
        total = sum(self.judged.values())
        counts = ", ".join(f"{n} in {name}" for name, n in sorted(self.judged.items()))
        return f"of {total} layers {counts}"


def audit_of(text: str) -> Audit:
    """Count the layers of the inspector's JSON, also of a file that trtexec exported.

    Raises:
        BuildError: no JSON, no layers, or the precision of none is told: then nobody knows.
    """
    try:
        # Names of layers may hold control characters.
        answer = json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        raise BuildError(
            f"the audit failed: TensorRT's inspector gave no JSON ({error})."
        ) from None
    found = answer.get("Layers") if isinstance(answer, dict) else answer
    layers = found if isinstance(found, list) else []
    if not layers:
        raise BuildError("the audit failed: TensorRT's inspector lists no layers.")
    every: Counter[str] = Counter()
    products: Counter[str] = Counter()
    for layer in layers:
        if not isinstance(layer, Mapping):
            every[UNKNOWN] += 1  # a bare name: built without details
            continue
        kind = f"{layer.get('LayerType', '')} {layer.get('ParameterType', '')}"
        if MOVERS.search(kind):
            continue
        precision = layer_precision(layer)
        every[precision] += 1
        if PRODUCTS.search(kind):
            products[precision] += 1
    audit = Audit(dict(every), dict(products))
    if not audit.judged:
        raise BuildError(
            f"the audit failed: TensorRT's inspector names the precision of none of {len(layers)} "
            "layers, so nobody knows what this engine computes in. Build it with fixed shapes (a "
            "--profile with three equal numbers), or with --builder trtexec."
        )
    return audit


def layer_precision(layer: Mapping[str, Any]) -> str:
    """What one layer computes in."""
    weights = layer.get("Weights")
    if isinstance(weights, Mapping) and (found := _first(TYPES, str(weights.get("Type", "")))):
        return found
    read = {
        found
        for tensor in _tensors(layer.get("Inputs"))
        for key, text in tensor.items()
        if key.lower() in TYPE_KEYS and (found := _first(TYPES, str(text)))
    }
    if read:
        return min(read, key=WIDTH.index)
    return _first(TACTICS, str(layer.get("TacticName", ""))) or UNKNOWN


def _tensors(value: Any) -> Iterable[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _first(table: Iterable[tuple[str, str]], text: str) -> str | None:
    return next((name for name, pattern in table if re.search(pattern, text, re.IGNORECASE)), None)


def audit_engine(api: Api, engine: Any, profile: Profile) -> Audit:
    """Ask an engine's inspector.

    Raises:
        BuildError: see audit_of.
    """
    inspector = engine.create_engine_inspector()
    if profile.open_inputs:
        # With shapes at hand it may name what it else calls "N/A due to dynamic shapes".
        context = _context(engine, profile)
        if context is not None:
            inspector.execution_context = context
    return audit_of(inspector.get_engine_information(api.trt.LayerInformationFormat.JSON))


def _context(engine: Any, profile: Profile) -> Any:
    """A context with the usual shapes; None where there is no memory for one."""
    context = engine.create_execution_context()
    if context is None:
        return None
    for name in profile.open_inputs:
        if not context.set_input_shape(name, profile.usual[name]):
            return None
    return context
