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


TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("onnxruntime", "fp32"): Tolerance(
        1e-5,
        1.0,
        "26 reference networks in every graph form: at most 1.3e-6 on their own inputs; a change of one "
        "weight tensor by 1 % gives 1.2e-5 and more (tests/parity)",
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
