"""Parity: the same inputs through a reference and a candidate, in numbers and a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.measure.tolerances import Tolerance

__all__ = ["CaseError", "ParityReport", "compare", "scale_of", "summarise"]


@dataclass(frozen=True)
class CaseError:
    """One input's comparison; errors are relative to `scale` = max(1, max|reference|).

    Attributes:
        margin: the reference's least distance between its first and second logit, over scale.
        flip: the largest such distance among samples whose first class changed; 0 without a change.
        seen: share of samples whose logits could be told from what was compared; 1 for logits, less where
            only probabilities are there and these are all but 0 and 1.
    """

    name: str
    max_error: float
    mean_error: float
    p99_error: float
    scale: float
    margin: float
    flip: float
    finite: bool
    seen: float = 1.0

    @property
    def same_top1(self) -> bool:
        """Whether no first class changed."""
        return self.finite and self.flip == 0


@dataclass(frozen=True)
class ParityReport:
    """All cases together."""

    cases: tuple[CaseError, ...]
    tolerance: float
    top1_required: float
    absolute: float = 0.0

    @property
    def max_error(self) -> float:
        """The worst case."""
        return max((case.max_error for case in self.cases), default=float("nan"))

    @property
    def mean_error(self) -> float:
        """Mean over cases."""
        return float(np.mean([case.mean_error for case in self.cases])) if self.cases else np.nan

    @property
    def p99_error(self) -> float:
        """The worst 99th percentile."""
        return max((case.p99_error for case in self.cases), default=float("nan"))

    @property
    def top1_agreement(self) -> float:
        """Share of cases with the same first class.

        Two logits closer than what the tolerance may move them are a tie: which comes first says
        nothing, so a change between them counts as the same.
        """
        if not self.cases:
            return float("nan")
        agreed = [case.finite and case.flip <= 2 * self.allowed(case) for case in self.cases]
        return sum(agreed) / len(self.cases)

    def allowed(self, case: CaseError) -> float:
        """The largest error that a case may have."""
        return self.tolerance + self.absolute / case.scale

    @property
    def passed(self) -> bool:
        """Every case finite and within tolerance; no case at all, or none that told anything, fails."""
        return (
            self.told > 0
            and all(case.finite and case.max_error <= self.allowed(case) for case in self.cases)
            and self.top1_agreement >= self.top1_required
        )

    @property
    def told(self) -> int:
        """Cases that told something of the logits."""
        return sum(case.seen > 0 for case in self.cases)

    @property
    def worst(self) -> CaseError | None:
        """The case with the largest error."""
        return max(self.cases, key=lambda case: (not case.finite, case.max_error), default=None)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "passed": self.passed,
            "max_error": self.max_error,
            "mean_error": self.mean_error,
            "p99_error": self.p99_error,
            "top1_agreement": self.top1_agreement,
            "tolerance": self.tolerance,
            "cases": [{**asdict(case), "same_top1": case.same_top1} for case in self.cases],
        }


def compare(
    name: str,
    reference: NDArray[np.floating],
    candidate: NDArray[np.floating],
    *,
    scale: float | None = None,
    seen: float = 1.0,
) -> CaseError:
    """Compare two arrays of logits (N, classes); a different shape is an infinite error.

    Args:
        scale: that errors are relative to; by default max(1, max|reference|).
        seen: see CaseError.
    """
    usable = reference.shape == candidate.shape and reference.size > 0
    if not (usable and np.isfinite(reference).all() and np.isfinite(candidate).all()):
        return CaseError(name, np.inf, np.inf, np.inf, 1.0, 0.0, np.inf, False)
    wanted, got = reference.astype(np.float64), candidate.astype(np.float64)
    if scale is None:
        scale = scale_of(wanted)
    error = np.abs(got - wanted) / scale
    ordered = np.sort(wanted, axis=1)
    margins = np.ones(len(wanted))
    if wanted.shape[1] > 1:
        margins = (ordered[:, -1] - ordered[:, -2]) / scale
    # How far the class that now comes first lay behind: nothing for a class that still does.
    rows = np.arange(len(wanted))
    behind = (ordered[:, -1] - wanted[rows, got.argmax(axis=1)]) / scale
    return CaseError(
        name=name,
        max_error=float(error.max()),
        mean_error=float(error.mean()),
        p99_error=float(np.percentile(error, 99)),
        scale=scale,
        margin=float(margins.min()),
        flip=float(behind.max()),
        finite=True,
        seen=seen,
    )


def scale_of(logits: NDArray[np.floating]) -> float:
    """What errors of these logits are relative to."""
    return max(1.0, float(np.abs(logits).max()))


def summarise(cases: Iterable[CaseError], tolerance: Tolerance) -> ParityReport:
    """A report over cases under a row of the tolerance table."""
    return ParityReport(tuple(cases), tolerance.error, tolerance.top1, tolerance.absolute)
