"""What was asked for and what was found, as plain records."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.data.dataset import Dataset
from stgcn_deploy.errors import CheckFailedError
from stgcn_deploy.measure.verify import VerifyReport
from stgcn_deploy.precision.recipes import Method, Recipe
from stgcn_deploy.precision.sensitivity import BlockError, LayerError
from stgcn_deploy.precision.tradeoff import Trial

__all__ = ["OverBudgetError", "Precision", "Quantised", "Request", "Source"]

Precision = Literal["fp16", "bf16", "int8"]


@dataclass(frozen=True)
class Source:
    """A data set and the split of it that is meant."""

    data: Dataset
    split: str | None


@dataclass(frozen=True)
class Request:
    """What was asked for; see api.quantize."""

    to: Precision
    target: str = "onnxruntime"
    method: Method | None = None
    samples: int = 300
    exclude: str | None = None
    budget: float = 0.5
    gate: bool = True
    allow: bool = False
    noise_calibration: bool = False
    latency: bool = True
    seed: int = 0
    command: str = ""


@dataclass(frozen=True)
class Quantised:
    """What was found, and the bundle if one was written.

    Attributes:
        base_ms: median latency of the base; None where nothing was timed.
        trials: candidates in the order they were tried; chosen: number of the one that was taken.
        blocks: sensitivity of each block; empty where all could be quantised.
        layers: error of each layer in the chosen one, the worst first.
        operators: of its graph.
    """

    bundle: Bundle | None
    base: Bundle
    request: Request
    recipe: Recipe | None
    backend: str
    trials: tuple[Trial, ...]
    chosen: int | None
    base_ms: float | None
    base_mbytes: float
    blocks: tuple[BlockError, ...]
    layers: tuple[LayerError, ...]
    operators: dict[str, int]
    report: VerifyReport | None
    environment: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def trial(self) -> Trial | None:
        """The one that was taken."""
        return None if self.chosen is None else self.trials[self.chosen]

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "bundle": str(self.bundle.path) if self.bundle else None,
            "base": str(self.base.path),
            "request": asdict(self.request),
            "recipe": asdict(self.recipe) if self.recipe else None,
            "backend": self.backend,
            "base_ms": self.base_ms,
            "base_mbytes": self.base_mbytes,
            "trials": [trial.as_dict() for trial in self.trials],
            "chosen": self.chosen,
            "blocks": [asdict(one) for one in self.blocks],
            "layers": [asdict(one) for one in self.layers],
            "operators": self.operators,
            "verification": self.report.as_dict() if self.report else None,
            "environment": self.environment,
            "notes": list(self.notes),
        }


class OverBudgetError(CheckFailedError):
    """Every candidate loses more than the budget; `report` has what each loses."""

    def __init__(self, message: str, report: Quantised) -> None:
        super().__init__(message)
        self.report = report
