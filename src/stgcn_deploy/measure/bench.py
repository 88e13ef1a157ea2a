"""Benchmarks: contenders in processes of their own, threads pinned, rounds interleaved, samples kept."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgcn_deploy.errors import CheckFailedError, UsageError
from stgcn_deploy.measure.environment import environment

__all__ = ["BenchReport", "Contender", "Row", "model_contender", "run_bench"]


@dataclass(frozen=True)
class Contender:
    """One thing to time.

    Attributes:
        name: for the table.
        module: the worker module that knows how to prepare it.
        options: what the worker needs; JSON values; must hold "threads" and "shapes".
        batch: clips in one call.
        macs: multiply-accumulates of one clip, 0 where unknown.
    """

    name: str
    module: str
    options: dict[str, Any]
    batch: int
    macs: int = 0


def model_contender(
    name: str,
    model: str,
    *,
    backend: str,
    shapes: dict[str, list[int]],
    batch: int,
    threads: int,
    macs: int = 0,
) -> Contender:
    """A model file on a backend of ours."""
    options = {"model": model, "backend": backend, "shapes": shapes, "threads": threads}
    return Contender(name, "stgcn_deploy.measure.worker", options, batch, macs)


@dataclass(frozen=True)
class Row:
    """One contender's result; `error` is set, and nothing else measured, when it could not run."""

    name: str
    batch: int
    threads: int
    samples_ms: tuple[float, ...] = field(default=(), repr=False)
    load_ms: float = float("nan")
    peak_rss_mb: float = float("nan")
    macs: int = 0
    error: str | None = None

    def percentile(self, q: float) -> float:
        """Of the latencies, ms."""
        return float(np.percentile(self.samples_ms, q)) if self.samples_ms else float("nan")

    @property
    def clips_per_s(self) -> float:
        """Batch size over mean latency."""
        return self.batch * 1e3 / float(np.mean(self.samples_ms)) if self.samples_ms else 0.0

    @property
    def gmacs_per_s(self) -> float:
        """The rate at which the network's own multiply-accumulates were done, at the median."""
        return self.batch * self.macs / self.percentile(50) / 1e6 if self.macs else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """For --json and --csv, raw samples included."""
        spread = np.array(self.samples_ms) if self.samples_ms else np.array([np.nan])
        return {
            "name": self.name,
            "batch": self.batch,
            "threads": self.threads,
            "count": len(self.samples_ms),
            "mean_ms": float(spread.mean()),
            "std_ms": float(spread.std()),
            "min_ms": float(spread.min()),
            "p50_ms": self.percentile(50),
            "p90_ms": self.percentile(90),
            "p99_ms": self.percentile(99),
            "clips_per_s": self.clips_per_s,
            "gmacs_per_s": self.gmacs_per_s,
            "load_ms": self.load_ms,
            "peak_rss_mb": self.peak_rss_mb,
            "error": self.error,
            "samples_ms": list(self.samples_ms),
        }


@dataclass(frozen=True)
class BenchReport:
    """All rows with the machine they were measured on."""

    rows: tuple[Row, ...]
    environment: dict[str, Any]
    rounds: int

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "environment": self.environment,
            "rounds": self.rounds,
            "rows": [row.as_dict() for row in self.rows],
        }


class Child:
    """A contender's process."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self._process = subprocess.Popen(
            [sys.executable, "-m", contender.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and wait for the answer; a dead child answers with an error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            while line := self._process.stdout.readline():
                if line.startswith("{"):
                    answer: dict[str, Any] = json.loads(line)
                    return answer
        except BrokenPipeError:
            pass
        return {"error": f"the process ended with code {self._process.wait()}"}

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def run_bench(
    contenders: Sequence[Contender],
    *,
    duration: float = 5.0,
    rounds: int = 5,
    progress: Callable[[str], None] = lambda _: None,
) -> BenchReport:
    """Time every contender for about `duration` seconds, a slice of it in each round.

    Args:
        duration: seconds for each contender, over all rounds.
        rounds: how often the contenders take turns; the order is reversed every other round.

    Raises:
        UsageError: nothing to time.
        CheckFailedError: no contender could run.
    """
    if not contenders:
        raise UsageError("nothing to benchmark; name a bundle or a checkpoint.")
    if duration <= 0 or rounds < 1:
        raise UsageError("duration and rounds must be positive.")
    ready: list[tuple[Child, dict[str, Any]]] = []
    failed: dict[str, Row] = {}
    samples: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    with ExitStack() as stack:
        for contender in contenders:
            progress(f"loading {contender.name}")
            child = stack.enter_context(Child(contender))
            answer = child.ask({"prepare": contender.options})
            if "error" in answer:
                failed[contender.name] = Row(
                    contender.name, contender.batch, contender.options["threads"],
                    error=answer["error"],
                )  # fmt: skip
                continue
            ready.append((child, answer["ready"]))
            samples[contender.name] = []
        for index in range(rounds):
            progress(f"round {index + 1} of {rounds}")
            for child, _ in ready if index % 2 == 0 else reversed(ready):
                answer = child.ask({"run": duration / rounds, "least": 3})
                samples[child.contender.name] += answer.get("samples_ms", [])
        for child, _ in ready:
            answer = child.ask({"stop": True})
            peaks[child.contender.name] = answer.get("peak_rss_mb", float("nan"))
    loads = {child.contender.name: info["load_ms"] for child, info in ready}
    rows = []
    for contender in contenders:
        name = contender.name
        if name in failed or not samples.get(name):
            rows.append(failed.get(name) or Row(name, contender.batch, 0, error="no sample"))
            continue
        rows.append(
            Row(
                name,
                contender.batch,
                contender.options["threads"],
                tuple(samples[name]),
                loads[name],
                peaks[name],
                contender.macs,
            )
        )
    if all(row.error for row in rows):
        reasons = "; ".join(f"{row.name}: {row.error}" for row in rows)
        raise CheckFailedError(f"no contender could run, so nothing was measured: {reasons}")
    return BenchReport(tuple(rows), environment(), rounds)
