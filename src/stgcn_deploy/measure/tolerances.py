"""How far a candidate may be from the reference, as data, each row with the measurement behind it.

Error is max |candidate - reference| of the logits over max(1, max|logits|): relative to the scale of
the logits, so that it means the same for every network.
"""

from __future__ import annotations

from dataclasses import dataclass

from stgcn_deploy.errors import UsageError

__all__ = ["TOLERANCES", "Tolerance", "tolerance_for"]


@dataclass(frozen=True)
class Tolerance:
    """One row.

    Attributes:
        error: the largest error of any case, relative to the scale of its logits.
        top1: the least share of cases with the same first class.
        evidence: what was measured to set it.
        absolute: allowed besides, in units of logits.
    """

    error: float
    top1: float
    evidence: str
    absolute: float = 0.0


_HALF = (
    "seven trained networks (JHMDB, full and slim; the demonstration two-stream) and three "
    "random ones: at "
    "most 3.5e-3 on their golden cases, mostly 5e-4"
)
# Only broken graphs are told apart by it: what INT8 loses is measured by the accuracy gate.
_EIGHT_BITS = (
    "the same ten networks, each recipe, on eight clips of their calibration: at most 0.36, "
    "mostly below "
    "0.08; all activation scales of three of them times 10: 0.87 and more, times 100: 1.05 and more"
)
# No NPU was at hand: rows to judge by until somebody measures; see docs/ascend-session.md.
_NO_NPU = "not measured on an NPU; "
# No GPU was at hand: these rows are bounds to be judged by, and to be replaced by measurements.
_NO_GPU = "not measured on a GPU; "
_TORCH = (
    "its sessions on a CPU, without TF32: 26 networks in FP32 at most 3.7e-7; small networks of 16 kinds "
    "in every graph form at most 1.9e-6, in BF16 9.4e-3, in FP16 1.5e-3. " + _NO_GPU.rstrip("; ")
)

TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("onnxruntime", "fp32"): Tolerance(
        1e-5,
        1.0,
        "26 reference networks in every graph form: at most 1.3e-6 on their own inputs; a change "
        "of one "
        "weight tensor by 1 % gives 1.2e-5 and more (tests/parity)",
    ),
    ("openvino", "fp32"): Tolerance(
        1e-5,
        1.0,
        "the same 26 in one form each: at most 7.8e-7 on their own inputs; up to 3.8e-6 from "
        "ONNX Runtime "
        "on inputs of size 20",
    ),
    ("openvino", "bf16"): Tolerance(
        3e-2,
        1.0,
        "the same 26: at most 7.5e-3 on their own inputs, and no first class changed; up to "
        "1.3e-2 on "
        "verify's inputs, where one changed between logits 3.5e-4 apart",
    ),
    ("onnxruntime", "fp16"): Tolerance(1e-2, 1.0, _HALF),
    ("openvino", "fp16"): Tolerance(1e-2, 1.0, _HALF),
    ("onnxruntime", "int8"): Tolerance(0.5, 1.0, _EIGHT_BITS),
    ("openvino", "int8"): Tolerance(0.5, 1.0, _EIGHT_BITS),
    ("ascend", "fp32"): Tolerance(
        1e-5,
        1.0,
        _NO_NPU
        + "in ONNX Runtime, log-probabilities of 25 reference networks: at most 2.3e-6; 1 % of any one "
        "weight tensor of three small networks gives 2.3e-5 and more",
    ),
    ("ascend", "fp16"): Tolerance(
        1e-2,
        1.0,
        _NO_NPU
        + "in ONNX Runtime, log-probabilities of the same 25 as FP16 graphs: at most 1.8e-3",
    ),
    ("ascend", "mixed"): Tolerance(
        1e-2, 1.0, _NO_NPU + "that of FP16, of which a part is mixed in"
    ),
    ("cann", "fp32"): Tolerance(
        1e-5, 1.0, _NO_NPU + "the row of ONNX Runtime, whose graphs these are"
    ),
    ("cann", "fp16"): Tolerance(
        1e-2, 1.0, _NO_NPU + "the row of ONNX Runtime, whose graphs these are"
    ),
    ("tensorrt", "fp32"): Tolerance(
        1e-4,
        1.0,
        _NO_GPU + "the guides' own bound; engines are built without TF32, which would give 1e-3",
    ),
    ("tensorrt", "bf16"): Tolerance(
        3e-2, 1.0, _NO_GPU + "the row of OpenVINO, of the same numbers"
    ),
    ("tensorrt", "fp16"): Tolerance(
        1e-2, 1.0, _NO_GPU + "the row of ONNX Runtime, of the same numbers"
    ),
    ("torch-cuda", "fp32"): Tolerance(1e-5, 1.0, _TORCH),
    ("torch-cuda", "bf16"): Tolerance(3e-2, 1.0, _TORCH),
    ("torch-cuda", "fp16"): Tolerance(1e-2, 1.0, _TORCH),
    ("tensorrt", "int8"): Tolerance(
        0.5, 1.0, _NO_GPU + "the row of ONNX Runtime, of the same numbers"
    ),
}


def tolerance_for(backend: str, precision: str) -> Tolerance:
    """The row for a backend and precision.

    Raises:
        UsageError: there is none: no silent default.
    """
    try:
        return TOLERANCES[backend, precision]
    except KeyError:
        raise UsageError(
            f"no tolerance is on record for {backend} {precision}; give --atol and --rtol."
        ) from None
