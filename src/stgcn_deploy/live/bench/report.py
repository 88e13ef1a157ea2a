"""Runs of the benchmark for people: tables, and sentences made of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from stgcn_deploy.live.bench.delay import DelayReport
from stgcn_deploy.live.bench.outcome import Limits, Outcome
from stgcn_deploy.live.bench.search import Found
from stgcn_deploy.measure.report import NONE, number_text

__all__ = [
    "DELAY_HEADER",
    "LiveBench",
    "Run",
    "delay_cells",
    "details",
    "markdown_table",
    "run_rows",
]

ROWS = (
    "cameras", "frames a second", "frames dropped", "windows a second", "windows lost",
    "frame to people: p50 ms", "p95", "p99", "longest", "frame to answer: p50 ms", "p95", "p99",
    "longest", "frame to event: p50 ms", "p99", "windows in a call", "cores used", "MiB at most",
    "simulated cameras late: p99 ms",
)  # fmt: skip
DELAY_HEADER = (
    "stride s", "smoothing s", "actions", "median s", "p90 s", "told late", "missed",
    "false starts a minute",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run with what was asked of it.

    Attributes:
        limits: None: it was only watched.
    """

    title: str
    outcome: Outcome
    limits: Limits | None = None

    @property
    def broken(self) -> list[str]:
        """What was not good enough; a run that measured nothing never is."""
        return self.outcome.invalid() if self.limits is None else self.limits.broken(self.outcome)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"title": self.title, "broken": self.broken, "outcome": self.outcome.as_dict()}


@dataclass(frozen=True)
class LiveBench:
    """Everything that one command measured.

    Attributes:
        runs: single ones; those of the search stand in `found`.
    """

    bundle: str
    environment: dict[str, Any]
    runs: tuple[Run, ...]
    found: Found | None = None
    delay: DelayReport | None = None

    @property
    def broken(self) -> list[str]:
        """Everything that was not good enough; [] is a verdict of good."""
        wrong = [f"{run.title}: {text}" for run in self.runs for text in run.broken]
        if self.found is not None and not self.found.cameras:
            wrong.append(f"not even one camera: {'; '.join(self.found.next_broken)}")
        return wrong

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "bundle": self.bundle,
            "environment": self.environment,
            "runs": [run.as_dict() for run in self.runs],
            "search": None if self.found is None else self.found.as_dict(),
            "delay": None if self.delay is None else self.delay.as_dict(),
            "broken": self.broken,
        }


def _percent(value: float) -> str:
    return f"{value:.2%}" if isfinite(value) else NONE


def cells(outcome: Outcome) -> list[str]:
    """A run's column beside ROWS."""
    seconds = max(outcome.seconds, 1e-9)
    windows = sum(int(size) * count for size, count in outcome.batches.items())
    calls = sum(outcome.batches.values())
    kinds = (
        ("people", "p50"), ("people", "p95"), ("people", "p99"), ("people", "max"),
        ("result", "p50"), ("result", "p95"), ("result", "p99"), ("result", "max"),
        ("event", "p50"), ("event", "p99"),
    )  # fmt: skip
    return [
        str(outcome.asked.cameras),
        number_text(outcome.frames.get("given", 0) / seconds),
        _percent(outcome.frames_dropped),
        number_text(outcome.windows.get("due", 0) / seconds),
        _percent(outcome.windows_lost),
        *(number_text(outcome.delay(kind, which)) for kind, which in kinds),
        number_text(windows / calls if calls else float("nan")),
        number_text(outcome.usage["cores"]),
        number_text(outcome.usage["rss_mb"]["peak"]),
        number_text(outcome.lateness.get("p99", float("nan"))),
    ]


def run_rows(runs: Sequence[Run]) -> list[list[str]]:
    """Rows under "" and the runs' titles."""
    columns = [cells(run.outcome) for run in runs]
    return [list(row) for row in zip(ROWS, *columns, strict=True)]


def details(outcome: Outcome) -> list[str]:
    """What a table has no room for."""
    said = []
    for what, counts in (("frames", outcome.frames), ("windows", outcome.windows)):
        rest = {
            name: count
            for name, count in counts.items()
            if name not in ("given", "ok", "due", "expected") and count
        }
        if rest:
            parts = ", ".join(f"{count:,.0f} {name}" for name, count in sorted(rest.items()))
            said.append(f"{what}: {counts.get('ok', 0):,.0f} ok, {parts}")
    used = outcome.usage["cores_by_thread"]
    shown = sorted(used.items(), key=lambda pair: -pair[1])
    said.append(
        "cores: " + ", ".join(f"{name} {cores:.2f}" for name, cores in shown if cores >= 0.01)
    )
    left_out = {level: s for level, s in outcome.levels.items() if int(level) and s > 0}
    if left_out:
        parts = ", ".join(f"{s:.0f} s at level {level}" for level, s in left_out.items())
        said.append(f"work was left out: {parts}")
    if outcome.stopped:
        said.append(f"ended after {outcome.seconds:.0f} s: {outcome.stopped}")
    return said


def delay_cells(report: DelayReport) -> list[list[str]]:
    """Rows under DELAY_HEADER."""
    rows = []
    for row in report.rows:
        facts = row.as_dict()
        rows.append(
            [
                f"{row.stride:g}", f"{row.smoothing:g}", str(row.actions),
                number_text(facts["median_s"]), number_text(facts["p90_s"]),
                _percent(facts["late_share"]), _percent(facts["missed_share"]),
                number_text(facts["false_starts_per_minute"]),
            ]
        )  # fmt: skip
    return rows


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose first column is text."""
    return [
        f"| {' | '.join(header)} |",
        "|---" + "|---:" * (len(header) - 1) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
