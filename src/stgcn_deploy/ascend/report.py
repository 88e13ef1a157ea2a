"""What a run found: accuracy, and times as rows of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgcn_deploy.ascend.om import OmFile
from stgcn_deploy.ascend.summary import Phase, Timing
from stgcn_deploy.measure.accuracy import AccuracyReport
from stgcn_deploy.measure.bench import BenchReport, Row
from stgcn_deploy.measure.environment import environment

__all__ = ["PHASE_HEADER", "AscendRun", "phase_cells"]

PHASE_HEADER = ("", "mean ms", "p50 ms", "p99 ms", "min ms", "max ms", "calls")
TITLES = {
    "h2d": "copy to the device",
    "npu": "compute on the NPU",
    "d2h": "copy back",
}


@dataclass(frozen=True)
class AscendRun:
    """A run, or with a script alone what a run would do.

    Attributes:
        om: the file; tool: what ran it.
        folder: of the results; script: the steps as a shell script, where that was asked for.
        count: samples; ran: False where the results were there already.
        accuracy: against the labels.
        timing: of the run on the samples; pure: of the loop on zeros, where one was asked for.
        notes: what the reader should know.
    """

    om: OmFile
    tool: str
    folder: Path
    script: str | None = None
    count: int = 0
    ran: bool = False
    accuracy: AccuracyReport | None = None
    timing: Timing | None = None
    pure: Timing | None = None
    notes: tuple[str, ...] = ()

    @property
    def timings(self) -> tuple[tuple[str, Timing], ...]:
        """(of what, times) of each run."""
        found = (("on the samples", self.timing), ("on zeros", self.pure))
        return tuple((what, timing) for what, timing in found if timing is not None)

    @property
    def bench(self) -> BenchReport:
        """Each run as a row; one host thread drives the NPU.

        A tool that tells no single calls has a row without samples, which a report shows as failed.
        """
        rows = tuple(
            Row(
                f"{self.om.path.name} on {self.om.device}, {self.tool} {what}",
                timing.batch,
                1,
                timing.npu.samples,
                error=None if timing.npu.samples else f"{self.tool} tells no single calls",
            )
            for what, timing in self.timings
        )
        return BenchReport(rows, environment(), 1)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        if self.script is not None:
            return {"om": self.om.path.name, "tool": self.tool, "script": self.script}
        return {
            "om": self.om.path.name,
            "device": self.om.device,
            "precision": self.om.precision,
            "batch": self.om.batch,
            "tool": self.tool,
            "results": str(self.folder),
            "count": self.count,
            "ran": self.ran,
            "accuracy": self.accuracy.as_dict() if self.accuracy else None,
            "timing": self.timing.as_dict() if self.timing else None,
            "pure": self.pure.as_dict() if self.pure else None,
            "bench": self.bench.as_dict(),
            "notes": list(self.notes),
        }


def phase_cells(timing: Timing) -> list[list[str]]:
    """Rows under PHASE_HEADER."""
    rows = []
    for name, title in TITLES.items():
        phase: Phase | None = getattr(timing, name)
        if phase is None:
            continue
        numbers = (phase.mean, phase.median, phase.p99, phase.min, phase.max)
        count = "-" if phase.count is None else f"{phase.count:,}"
        rows.append([title, *(f"{number:.3f}" for number in numbers), count])
    return rows
