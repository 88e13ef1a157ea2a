"""Benchmarks for people: as Markdown, as CSV, and in words that all forms of them share."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from stgcn_deploy.files import write_text
from stgcn_deploy.measure.bench import BenchReport, Row

__all__ = [
    "BENCH_HEADER",
    "NONE",
    "TIMES",
    "axis_limit",
    "batch_title",
    "bench_cells",
    "bench_markdown",
    "environment_pairs",
    "failure",
    "method_text",
    "number_text",
    "ratio_text",
    "rows_by_batch",
    "speedup",
    "threads_text",
    "write_csv",
    "write_rows",
]

NONE, TIMES = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"


def rows_by_batch(report: BenchReport) -> dict[int, tuple[Row, ...]]:
    """Rows of each batch size, in the order of the report."""
    return {
        batch: tuple(row for row in report.rows if row.batch == batch)
        for batch in dict.fromkeys(row.batch for row in report.rows)
    }


def failure(row: Row) -> str | None:
    """Why a row has no numbers; None where it has: nothing measured is a failure too."""
    return row.error or (None if row.samples_ms else "no sample")


def speedup(row: Row, first: Row) -> float:
    """How many times as fast as `first` at the median; NaN where one of them failed."""
    median = row.percentile(50)
    if failure(row) is not None or failure(first) is not None or median <= 0:
        return float("nan")
    return first.percentile(50) / median


def ratio_text(ratio: float) -> str:
    """A speed for people, as 1.84 and a times sign."""
    return f"{ratio:.2f}{TIMES}" if np.isfinite(ratio) else NONE


def axis_limit(rows: Sequence[Row]) -> float:
    """Where a latency axis ends, ms: all whiskers fit, a rare hiccup may not squash the bars."""
    measured = [row for row in rows if failure(row) is None]
    if not measured:
        return 1.0
    slowest = max(max(row.samples_ms) for row in measured)
    return 1.02 * min(slowest, 1.25 * max(row.percentile(90) for row in measured))


def threads_text(rows: Sequence[Row]) -> str:
    """As "2 threads" or, where contenders differ, "1, 2 threads"; failed ones do not count."""
    found = sorted({row.threads for row in rows if failure(row) is None})
    text = ", ".join(map(str, found)) or "unknown"
    return f"{text} thread" if found == [1] else f"{text} threads"


def number_text(value: float) -> str:
    """Three digits that mean something, never an exponent for everyday sizes."""
    if not np.isfinite(value):
        return NONE
    for least, digits in ((100, 0), (10, 1), (1, 2)):
        if abs(value) >= least:
            return f"{value:.{digits}f}"
    return f"{value:.3g}"


BENCH_HEADER = (
    "contender", "p50 ms", "p90 ms", "p99 ms", "mean ± std ms", "clips/s", "speed", "peak MiB",
    "load ms", "n",
)  # fmt: skip


def bench_cells(row: Row, first: Row) -> list[str]:
    """A row under BENCH_HEADER; speed against `first`."""
    if failure(row) is not None:
        return [row.name, "failed", *[NONE] * (len(BENCH_HEADER) - 2)]
    facts = row.as_dict()
    return [
        row.title,
        *(number_text(facts[key]) for key in ("p50_ms", "p90_ms", "p99_ms")),
        f"{number_text(facts['mean_ms'])} ± {number_text(facts['std_ms'])}",
        number_text(facts["clips_per_s"]),
        ratio_text(speedup(row, first)),
        number_text(facts["peak_rss_mb"]),
        number_text(facts["load_ms"]),
        str(facts["count"]),
    ]


def environment_pairs(report: BenchReport) -> list[tuple[str, str]]:
    """The machine and versions, name by value."""
    facts = report.environment
    load = " ".join(f"{value:.2f}" for value in facts.get("load_average", ()))
    versions = (f"{name} {version}" for name, version in facts.get("versions", {}).items())
    rows = [
        ("CPU", f"{facts.get('cpu', 'unknown')}, {facts.get('cores', '?')} cores allowed"),
        ("CPU features", ", ".join(facts.get("cpu_features", ()))),
        ("System", str(facts.get("system", ""))),
        ("Load average after", load),
        ("Versions", ", ".join(versions)),
        ("Time", str(facts.get("time", ""))),
    ]
    return [(name, value) for name, value in rows if value]


def method_text(report: BenchReport) -> str:
    """How the numbers were measured, in a sentence."""
    rounds = "1 round" if report.rounds == 1 else f"{report.rounds} rounds"
    return (
        "Each contender ran alone in a process of its own, pinned to as many cores as it has "
        f"threads; {rounds}, in which all contenders took turns, every other one in reverse order; "
        "warm-up calls are not counted. Latencies are of one call. Speed is the first row's median "
        "over the row's median: above 1 is faster. Peak MiB is the whole process."
    )


def batch_title(batch: int, rows: Sequence[Row]) -> str:
    """Heading of one table."""
    return f"Batch {batch} ({threads_text(rows)})"


def _failures(rows: Iterable[Row]) -> list[tuple[str, str]]:
    return [(row.name, reason) for row in rows if (reason := failure(row)) is not None]


# ---- Markdown and CSV ------------------------------------------------------------------------


def _md(text: str) -> str:
    """Text that stays text in Markdown, on one line, also inside a table."""
    flat = escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*\[\]|])", r"\\\1", flat)


def bench_markdown(report: BenchReport) -> str:
    """The benchmark as Markdown: the machine, how it was measured, a table for each batch size."""
    lines = ["# Benchmark", ""]
    lines += [f"- **{name}**: {_md(value)}" for name, value in environment_pairs(report)]
    lines += ["", method_text(report)]
    for batch, rows in rows_by_batch(report).items():
        lines += ["", f"## {batch_title(batch, rows)}", ""]
        lines.append(f"| {' | '.join(BENCH_HEADER)} |")
        lines.append("|---" + "|---:" * (len(BENCH_HEADER) - 1) + "|")
        for row in rows:
            lines.append(f"| {' | '.join(map(_md, bench_cells(row, rows[0])))} |")
        failed = _failures(rows)
        lines += [""] * bool(failed)
        lines += [f"- **{_md(name)}** failed: {_md(reason)}" for name, reason in failed]
    return "\n".join(lines) + "\n"


def _missing(value: object) -> bool:
    return isinstance(value, float) and not np.isfinite(value)


def write_csv(report: BenchReport, path: Path, *, force: bool = False) -> Path:
    """One line for each row, all numbers but the raw samples (those are in the JSON form).

    Raises:
        OutputExistsError, UsageError: see fresh_file.
    """
    firsts = {batch: rows[0] for batch, rows in rows_by_batch(report).items()}
    table = []
    for row in report.rows:
        facts = row.as_dict()
        del facts["samples_ms"]
        if failure(row) is not None:
            facts["clips_per_s"] = float("nan")
        table.append({**facts, "speed": speedup(row, firsts[row.batch])})
    return write_rows(table, path, force=force)


def write_rows(table: Sequence[Mapping[str, object]], path: Path, *, force: bool = False) -> Path:
    """A table as CSV, its columns named by the first line.

    Raises:
        OutputExistsError, UsageError: see fresh_file.
    """
    text = io.StringIO()
    names = list(table[0]) if table else ["name"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for line in table:
        # An empty cell is "not measured" to every reader; the word nan is not.
        writer.writerow({key: "" if _missing(value) else value for key, value in line.items()})
    return write_text(path, text.getvalue(), force=force)
