"""How much accuracy for how much speed: trials of one network with ever more blocks left float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.cores import usable_cores
from stgcn_deploy.manifest import AccuracyRecord
from stgcn_deploy.measure.bench import model_contender, run_bench
from stgcn_deploy.measure.evaluation import Row
from stgcn_deploy.precision.gate import Gate

__all__ = ["Trial", "back_off", "judge", "time_trials"]

BENCH_SECONDS, BENCH_ROUNDS = 1.2, 3

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """One candidate.

    Attributes:
        float_blocks: blocks that stay float although the recipe would quantise them.
        accuracy: what it loses; None where the gate is off.
        mbytes: size of the graph.
        milliseconds: median latency of one call; None where it was not timed.
        within: whether it keeps the budget; None where the gate is off.
    """

    name: str
    bundle: Bundle
    float_blocks: tuple[str, ...]
    mbytes: float
    accuracy: AccuracyRecord | None = None
    milliseconds: float | None = None
    within: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        told = asdict(replace(self, bundle=None, accuracy=None))  # type: ignore[arg-type]
        del told["bundle"]
        return told | {"accuracy": self.accuracy.model_dump() if self.accuracy else None}


def trial_of(bundle: Bundle, name: str, float_blocks: Sequence[str] = ()) -> Trial:
    """A candidate that nothing is known of."""
    size = sum(r.bytes for f, r in bundle.manifest.files.items() if f.startswith("model.onnx"))
    return Trial(name, bundle, tuple(float_blocks), size / 2**20)


def judge(
    gate: Gate,
    trial: Trial,
    budget: float,
    progress: Progress,
    sound: Callable[[Bundle], bool] = lambda _: True,
) -> Trial:
    """The trial with what it loses.

    Args:
        sound: whether a bundle that keeps the budget passes verification too: a few hundred records may
            forgive what the logits do not.
    """

    def count(done: int, total: int) -> None:
        if done in (total // 4, total // 2, total * 3 // 4, total):
            progress(f"accuracy ({trial.name}): {done} of {total} records")

    base, row = gate.judge(trial.bundle, count)
    # A hair of tolerance: 0.5 points are allowed when 0.5 was said.
    within = row.points <= budget + 1e-9 and sound(trial.bundle)
    return replace(trial, accuracy=record(gate, base, row, budget), within=within)


def record(gate: Gate, base: Row, row: Row, budget: float) -> AccuracyRecord:
    """A row of an evaluation for the manifest."""
    drop = row.drop
    assert drop is not None
    return AccuracyRecord(
        data=gate.data.path.name,
        split=gate.split,
        records=row.accuracy.count,
        backend=gate.backend,
        before=base.accuracy.top1,
        after=row.accuracy.top1,
        points=drop.points,
        margin=drop.margin,
        agreement=drop.agreement,
        budget=budget,
    )


def back_off(
    first: Trial,
    ranked: Sequence[str],
    make: Callable[[tuple[str, ...]], Trial],
    judged: Callable[[Trial], Trial],
) -> list[Trial]:
    """`first`, then trials with one more of the `ranked` blocks float each, until one keeps the budget.

    The last block is never given back: a graph without a quantised layer is no INT8 graph.
    """
    trials = [first]
    for count in range(1, len(ranked)):
        if trials[-1].within:
            break
        trials.append(judged(make(tuple(ranked[:count]))))
    return trials


def time_trials(
    base: Bundle, trials: Sequence[Trial], backend: str, progress: Progress
) -> tuple[float, list[Trial]]:
    """Median latency of one call, of the base and of each trial, each in a process of its own, ms.

    A contender that fails has no time; the search does not depend on it.
    """
    manifest = base.manifest
    contenders = [
        model_contender(
            name,
            str(bundle.model_path),
            backend=backend,
            shapes=manifest.shapes_at(manifest.clip.batch),
            batch=manifest.clip.batch,
            threads=usable_cores(),
            macs=manifest.macs,
            compute=bundle.manifest.precision.compute,
        )
        for name, bundle in [("base", base), *((one.name, one.bundle) for one in trials)]
    ]
    report = run_bench(
        contenders,
        duration=BENCH_SECONDS,
        rounds=BENCH_ROUNDS,
        progress=lambda text: progress(f"latency: {text}"),
    )
    times = [row.percentile(50) for row in report.rows]
    return (
        times[0],
        [
            replace(trial, milliseconds=None if value != value else value)  # noqa: PLR0124 -- NaN
            for trial, value in zip(trials, times[1:], strict=True)
        ],
    )


def trade_off_name(float_blocks: Sequence[str], ranked: Sequence[str]) -> str:
    """How a trial is called in tables."""
    if not float_blocks:
        return "all blocks"
    return f"{len(float_blocks)} of {len(ranked)} blocks float"


def folder_of(scratch: Path, count: int) -> Path:
    """A new folder for a trial's bundle."""
    made = scratch / f"trial-{count}"
    made.mkdir()
    return made
