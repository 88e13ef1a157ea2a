"""How INT8 graphs are made, as data: one row for each kind of machine that one may be made for.

Every row says why.  Types are named u8 (0 to 255, any zero point) and s8 (-128 to 127); "u8s8" is
activations in u8 and weights in s8.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stgcn_deploy.errors import UnknownNameError, UsageError
from stgcn_deploy.measure.environment import cpu_features
from stgcn_deploy.registry import nearest

__all__ = ["METHODS", "RECIPES", "REFUSED", "TARGETS", "Cpu", "Method", "Recipe", "recipe_for"]

Method = Literal["minmax", "entropy", "percentile"]
METHODS: tuple[Method, ...] = ("minmax", "entropy", "percentile")
# What stands between convolutions: quantised, no float tensor is written and read there.
BETWEEN = ("Add", "Relu", "Concat", "MaxPool", "Split")
X86, ARM = ("x86_64", "amd64", "i686"), ("aarch64", "arm64")
VNNI = ("avx512_vnni", "avx_vnni")

# The first layer sees coordinates, and of a motion stream differences with outliers: quantised with all
# others, it took an earlier demonstration network from 97.1 % to 63.9 %.  It is small, so it saves little.
FIRST = (r"blocks\.0/gcn/",)


@dataclass(frozen=True)
class Cpu:
    """What a recipe may depend on."""

    machine: str
    flags: frozenset[str]

    @classmethod
    def here(cls) -> Cpu:
        """This machine; where the system does not say, one without special instructions."""
        return cls(platform.machine().lower(), frozenset(cpu_features()))


@dataclass(frozen=True)
class Recipe:
    """One way to quantise.

    Attributes:
        name: for manifests and reports.
        target: the backend that it is for.
        evidence: why it is as it is.
        activations, weights: types, "u8" or "s8".
        per_channel: weights of convolutions have a scale for each output channel.
        reduce_range: weights have 7 bits, for CPUs whose u8 x s8 products would saturate.
        symmetric: zero points of activations are 0.
        op_types: operators that are quantised; only ones with constant weights.
        between: operators without weights that are quantised where a quantised layer feeds them, so that
            no float tensor stands between two such layers.
        keep: patterns of node names that stay float.  What follows the last layer with weights, that
            layer itself, and everything before the first one stay so in any case.
        per_tensor: operators whose weights have one scale all the same.
        method: how ranges are chosen, where the caller does not say.
        options: further ones of ONNX Runtime's quantiser.
        machines: values of `platform.machine()`; empty for any.
        needs, lacks: CPU flags of which one must, none may be there; empty for any.
    """

    name: str
    target: str
    evidence: str
    activations: Literal["u8", "s8"]
    weights: Literal["u8", "s8"] = "s8"
    per_channel: bool = True
    reduce_range: bool = False
    symmetric: bool = False
    op_types: tuple[str, ...] = ("Conv",)
    between: tuple[str, ...] = ()
    keep: tuple[str, ...] = FIRST
    per_tensor: tuple[str, ...] = ("MatMul",)
    method: Method = "minmax"
    options: Mapping[str, Any] = field(default_factory=dict)
    machines: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    @property
    def scheme(self) -> str:
        """Types and granularity in words."""
        parts = [
            f"{self.activations}{self.weights}",
            "per channel" if self.per_channel else "per tensor",
            *(["symmetric"] if self.symmetric else []),
            *(["7-bit weights"] if self.reduce_range else []),
        ]
        return f"{' '.join(parts)}: {', '.join((*self.op_types, *self.between))}"

    def fits(self, cpu: Cpu) -> bool:
        """Whether it is one for such a machine."""
        return (
            (not self.machines or cpu.machine in self.machines)
            and (not self.needs or any(flag in cpu.flags for flag in self.needs))
            and not any(flag in cpu.flags for flag in self.lacks)
        )


# The first row that fits is taken.
RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "onnxruntime-vnni",
        "onnxruntime",
        "JHMDB, slim ST-GCN, three splits: the same 0.2 points lost with BETWEEN as without, same answers "
        "99.6 %; two-stream, one thread: Conv 38.0 ms, with BETWEEN 33.6, with MatMul too 33.1 "
        "(FP32 96); ST-GCN++ 11.8, with Split in BETWEEN 10.5; every operator, the first and the last "
        "too: 42.6 % instead of 77.3 %",
        activations="u8",
        between=BETWEEN,
        machines=X86,
        needs=VNNI,
    ),
    Recipe(
        "onnxruntime-x86",
        "onnxruntime",
        "without VNNI the sum of two u8 x s8 products saturates at 16 bits; 7-bit weights cannot",
        activations="u8",
        between=BETWEEN,
        reduce_range=True,
        machines=X86,
        lacks=VNNI,
    ),
    Recipe(
        "onnxruntime-arm",
        "onnxruntime",
        "Arm's dot products take s8 x s8; JHMDB as above 76.1 %",
        activations="s8",
        symmetric=True,
        machines=ARM,
    ),
    Recipe(
        "onnxruntime-any",
        "onnxruntime",
        "a machine that is not known: nothing that could saturate",
        activations="u8",
        reduce_range=True,
    ),
    Recipe(
        "openvino",
        "openvino",
        "JHMDB, full-width ST-GCN, FP32 79.5 %, CPU time of one clip 6.4 ms: Conv 80.1 % and 3.3 ms, Conv "
        "and MatMul 80.1 % and 2.4 ms, without pairs behind them 80.1 % and 2.3 ms; NNCF 3.4 71.6 % "
        "(mixed) and 11.9 % (performance) at 2.5 and 2.3 ms, and it imports torch",
        activations="u8",
        op_types=("Conv", "MatMul"),
        options={"OpTypesToExcludeOutputQuantization": ["Conv", "MatMul"]},
    ),
    Recipe(
        "tensorrt",
        "tensorrt",
        "explicit quantisation takes zero points of 0, quantised inputs of weighted layers, and no "
        "pair between a layer and the Add or Relu that it is fused with",
        activations="s8",
        symmetric=True,
        op_types=("Conv", "MatMul"),
        options={
            "AddQDQPairToWeight": True,
            "QuantizeBias": False,
            "DedicatedQDQPair": True,
            "OpTypesToExcludeOutputQuantization": ["Conv", "MatMul"],
        },
    ),
)
REFUSED = {
    "ascend": "Ascend's compiler takes no QuantizeLinear; it quantises with its own tool (AMCT) when "
    "an .om file is built. Use --to fp16 here.",
}
TARGETS = (*dict.fromkeys(recipe.target for recipe in RECIPES), *REFUSED)


def check_target(target: str) -> None:
    """That there is such a target.

    Raises:
        UnknownNameError: there is not.
    """
    if target not in TARGETS:
        raise UnknownNameError(
            f"unknown target {target!r}{nearest(target, TARGETS)} Known: {', '.join(TARGETS)}."
        )


def recipe_for(target: str, cpu: Cpu | None = None) -> Recipe:
    """The row for a target on this machine.

    Raises:
        UnknownNameError: no such target; UsageError: one that takes no such graph.
    """
    check_target(target)
    if target in REFUSED:
        raise UsageError(f"no INT8 graph is made for {target}: {REFUSED[target]}")
    here = cpu or Cpu.here()
    return next(row for row in RECIPES if row.target == target and row.fits(here))
