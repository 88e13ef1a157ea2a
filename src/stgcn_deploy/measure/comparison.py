"""Bundles of one network side by side: how fast, how large, how right; and whether that is allowed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.manifest import GOLDEN, LABELS
from stgcn_deploy.measure.bench import Row
from stgcn_deploy.measure.candidates import form_text, precision_on
from stgcn_deploy.measure.evaluation import Row as AccuracyRow
from stgcn_deploy.measure.parity import ParityReport
from stgcn_deploy.measure.report import failure, speedup

__all__ = ["COLUMNS_NOTE", "Compared", "Comparison", "Entry"]

COLUMNS_NOTE = (
    "Each was timed alone in a process of its own, pinned to as many cores as it has threads; all took "
    "turns. Speed is the first row's median over the row's. MB is the model on disk, peak MiB the whole "
    "process. Error is the largest of a logit on the recorded cases, relative to their scale. Points "
    "lost are of top-1 against the first row, on the same records, with half their 95 % interval."
)


@dataclass(frozen=True)
class Entry:
    """One bundle on one backend.

    Attributes:
        bundle: None where it cannot be read; `error` says why.
        skipped: why it is not measured here at all.
    """

    path: Path
    backend: str
    bundle: Bundle | None = None
    error: str | None = None
    skipped: str | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.path} on {self.backend}"


@dataclass(frozen=True)
class Compared:
    """What was found of one entry.

    Attributes:
        row: of the benchmark; None where it did not come to that.
        parity: of the recorded cases; `judged` is whether a tolerance is on record for it.
        accuracy: on the data, where there is some; its drop is against the first row.
        error: what broke, in words.
    """

    entry: Entry
    row: Row | None = None
    parity: ParityReport | None = None
    judged: bool = True
    accuracy: AccuracyRow | None = None
    error: str | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return self.entry.name

    @property
    def form(self) -> str:
        """Backend, graph form and precision; the backend alone of what cannot be read."""
        if self.entry.bundle is None:
            return self.entry.backend
        return form_text(self.entry.bundle, self.entry.backend)

    @property
    def problem(self) -> str | None:
        """Why it has no numbers; None where it has, or is skipped."""
        if self.entry.skipped:
            return None
        if self.entry.error or self.error:
            return self.entry.error or self.error
        return "not timed" if self.row is None else failure(self.row)

    @property
    def size_mb(self) -> float:
        """The model's files on disk, in millions of bytes; recorded cases and labels are not its."""
        if self.entry.bundle is None:
            return float("nan")
        files, builds = self.entry.bundle.manifest.files, self.entry.bundle.manifest.builds
        mine = {one.file for one in builds if one.target == self.entry.backend}
        # A backend opens what was built for it, else the graph; the one is not the other's.
        others = {GOLDEN, LABELS} | {one.file for one in builds}
        chosen = mine or files.keys() - others
        return sum(files[name].bytes for name in chosen) / 1e6

    @property
    def points(self) -> float | None:
        """Percentage points of top-1 lost against the first row; None where that is not known."""
        drop = self.accuracy.drop if self.accuracy else None
        return drop.points if drop else None


@dataclass(frozen=True)
class Comparison:
    """All rows, and what they may be.

    Attributes:
        data: file, split and number of records; None where no accuracy was measured.
        max_drop: points of top-1 that a later row may lose against the first.
        min_speed: how many times as fast as the first a later row must be, at the median.
    """

    rows: tuple[Compared, ...]
    environment: dict[str, Any]
    rounds: int
    data: dict[str, Any] | None = None
    max_drop: float | None = None
    min_speed: float | None = None

    @property
    def first(self) -> Compared | None:
        """What the others are compared with: the first that is not skipped."""
        return next((one for one in self.rows if not one.entry.skipped), None)

    def speed(self, one: Compared) -> float:
        """How many times as fast as the first; NaN where one of them has no numbers."""
        first = self.first
        if first is None or first.problem or one.problem or not (first.row and one.row):
            return float("nan")
        return speedup(one.row, first.row)

    def verdict(self, one: Compared) -> tuple[str, ...]:
        """What is wrong with a row, in words; nothing where it passes or is skipped."""
        if one.entry.skipped:
            return ()
        if one.problem:
            return (one.problem,)
        found = [*_parity_problems(one)]
        if one is not self.first:
            found += [*self._drop_problems(one), *self._speed_problems(one)]
        return tuple(found)

    def _drop_problems(self, one: Compared) -> list[str]:
        if self.max_drop is None:
            return []
        if one.points is None:
            return ["its loss of top-1 is not known, as the first one has no accuracy"]
        # A hair of tolerance: 0.5 points are allowed when 0.5 was said.
        if one.points > self.max_drop + 1e-9:
            return [f"loses {one.points:.2f} points of top-1, allowed are {self.max_drop:g}"]
        return []

    def _speed_problems(self, one: Compared) -> list[str]:
        if self.min_speed is None:
            return []
        speed = self.speed(one)
        if not speed >= self.min_speed:
            return [f"is {speed:.2f} times as fast as the first, asked for are {self.min_speed:g}"]
        return []

    @property
    def failures(self) -> tuple[str, ...]:
        """Everything that makes the verdict a no; nothing measured is a no too."""
        found = [f"{one.name}: {text}" for one in self.rows for text in self.verdict(one)]
        if not any(one.row and not one.problem for one in self.rows):
            found.append("nothing was measured")
        return tuple(found)

    @property
    def ok(self) -> bool:
        """Whether every gate was passed, by something that was measured."""
        return not self.failures

    def record(self, one: Compared) -> dict[str, Any]:
        """One row as plain values, without raw samples; None for what is not known."""
        facts = one.row.as_dict() if one.row and not one.problem else {}
        drop = one.accuracy.drop if one.accuracy else None
        accuracy = one.accuracy.accuracy if one.accuracy else None
        manifest = one.entry.bundle.manifest if one.entry.bundle else None
        numbers = (
            "batch", "threads", "p50_ms", "p90_ms", "clips_per_s", "peak_rss_mb", "load_ms", "count"
        )  # fmt: skip
        return {
            "bundle": str(one.entry.path),
            "backend": one.entry.backend,
            "graph_form": manifest.graph_form if manifest else None,
            "precision": precision_on(one.entry.bundle, one.entry.backend)
            if one.entry.bundle
            else None,
            **{key: facts.get(key) for key in numbers},
            "speed": self.speed(one) if facts else None,
            "size_mb": one.size_mb if manifest else None,
            "max_error": one.parity.max_error if one.parity else None,
            "error_allowed": one.parity.tolerance if one.parity and one.judged else None,
            "top1_agreement": one.parity.top1_agreement if one.parity else None,
            "top1": accuracy.top1 if accuracy else None,
            "records": accuracy.count if accuracy else None,
            **(asdict(drop) if drop else NO_DROP),
            "verdict": "skipped" if one.entry.skipped else "no" if self.verdict(one) else "ok",
            "reasons": [one.entry.skipped] if one.entry.skipped else list(self.verdict(one)),
        }

    def as_dict(self) -> dict[str, Any]:
        """For --json, raw samples included."""
        return {
            "environment": self.environment,
            "rounds": self.rounds,
            "data": self.data,
            "max_drop": self.max_drop,
            "min_speed": self.min_speed,
            "ok": self.ok,
            "failures": list(self.failures),
            "rows": [
                {**self.record(one), "samples_ms": list(one.row.samples_ms) if one.row else []}
                for one in self.rows
            ],
        }


NO_DROP: dict[str, None] = dict.fromkeys(("points", "margin", "lost", "won", "agreement"))


def _parity_problems(one: Compared) -> list[str]:
    report = one.parity
    if report is None or not report.cases:
        return ["no recorded case was compared"]
    if not all(case.finite for case in report.cases):
        return ["gives NaN or infinite logits on its recorded cases"]
    if not one.judged or report.passed:
        return []
    return [
        f"is {report.max_error:.1e} off its reference (allowed {report.tolerance:.0e}), with the same "
        f"first class in {report.top1_agreement:.0%} of the recorded cases (asked for "
        f"{report.top1_required:.0%})"
    ]
