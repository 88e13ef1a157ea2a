"""Benchmarks: contenders in processes of their own, threads pinned, rounds interleaved, samples kept."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgcn_deploy.errors import CheckFailedError, UsageError
from stgcn_deploy.measure.environment import environment

__all__ = ["BenchReport", "Contender", "Row", "model_contender", "run_bench"]


# A day; more is a slip of the finger.
MAX_SECONDS = 86_400


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
    compute: str | None = "fp32",
) -> Contender:
    """A model file on a backend of ours; `compute` as in OpenOptions."""
    options = {
        "model": model,
        "backend": backend,
        "shapes": shapes,
        "threads": threads,
        "compute": compute,
    }
    return Contender(name, "stgcn_deploy.measure.worker", options, batch, macs)


@dataclass(frozen=True)
class Row:
    """One contender's result; `error` is set, and nothing else measured, when it could not run.

    Attributes:
        parallel_parts: how many parts of the graph the backend ran side by side.
    """

    name: str
    batch: int
    threads: int
    samples_ms: tuple[float, ...] = field(default=(), repr=False)
    load_ms: float = float("nan")
    peak_rss_mb: float = float("nan")
    macs: int = 0
    error: str | None = None
    parallel_parts: int = 1

    @property
    def title(self) -> str:
        """The name, and what the runtime was found to do with it."""
        parts = self.parallel_parts
        return self.name if parts == 1 else f"{self.name}, {parts} parts in parallel"

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
            "parallel_parts": self.parallel_parts,
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
    """A contender's process, and what it measured so far."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.error: str | None = None
        self.samples_ms: list[float] = []
        self.load_ms = float("nan")
        self.parallel_parts = 1
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
        except (BrokenPipeError, ValueError):
            pass
        return {"error": f"the process ended with code {self._process.wait()}"}

    def load(self) -> None:
        """Prepare the contender; a failure is kept, not raised."""
        answer = self.ask({"prepare": self.contender.options})
        self.error = answer.get("error")
        if self.error is None:
            self.load_ms = answer["ready"]["load_ms"]
            self.parallel_parts = answer["ready"].get("parallel_parts", 1)

    def sample(self, seconds: float) -> None:
        """One round; half the samples of a contender that crashed are not its speed."""
        if self.error is not None:
            return
        answer = self.ask({"run": seconds, "least": 3})
        self.error = answer.get("error")
        self.samples_ms += answer.get("samples_ms", [])

    def result(self) -> Row:
        """The row, without numbers where anything failed."""
        contender, threads = self.contender, self.contender.options["threads"]
        if self.error is None and not self.samples_ms:
            self.error = "no sample"
        if self.error is not None:
            return Row(contender.name, contender.batch, threads, error=self.error)
        peak = self.ask({"stop": True}).get("peak_rss_mb", float("nan"))
        return Row(
            contender.name,
            contender.batch,
            threads,
            tuple(self.samples_ms),
            self.load_ms,
            peak,
            contender.macs,
            parallel_parts=self.parallel_parts,
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
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
    if not 0 < duration < MAX_SECONDS or rounds < 1:
        raise UsageError(
            f"duration and rounds must be positive (and at most {MAX_SECONDS} seconds); got "
            f"{duration} and {rounds}."
        )
    with ExitStack() as stack:
        children = [stack.enter_context(Child(contender)) for contender in contenders]
        for child in children:
            progress(f"loading {child.contender.name}")
            child.load()
        for index in range(rounds):
            progress(f"round {index + 1} of {rounds}")
            for child in children if index % 2 == 0 else reversed(children):
                child.sample(duration / rounds)
        rows = [child.result() for child in children]
    if all(row.error for row in rows):
        reasons = "; ".join(f"{row.name}: {row.error}" for row in rows)
        raise CheckFailedError(f"no contender could run, so nothing was measured: {reasons}")
    return BenchReport(tuple(rows), environment(), rounds)
