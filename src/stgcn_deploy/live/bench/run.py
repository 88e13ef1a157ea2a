"""The child process of a benchmark: one run alone, told what to do in one line, telling what came of it.

parent -> a BenchPlan            child -> {"progress": text} ..., then {"outcome": {...}} or {"error": ...}

python -m stgcn_deploy.live.bench.run < plan.json
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.cores import usable_cores
from stgcn_deploy.errors import StgcnError
from stgcn_deploy.live.bench.material import Cameras
from stgcn_deploy.live.bench.naive import Naive
from stgcn_deploy.live.bench.outcome import Outcome
from stgcn_deploy.live.bench.plan import BenchPlan
from stgcn_deploy.live.bench.resources import Usage
from stgcn_deploy.live.bench.samples import Samples
from stgcn_deploy.live.bench.series import by_interval, percentiles, thinned
from stgcn_deploy.live.pipeline import Live, window_shape
from stgcn_deploy.live.pose.base import Pose
from stgcn_deploy.live.tally import LiveReport, Tally

__all__ = ["least_warmup", "main", "measure"]

Progress = Callable[[str], None]
# Seconds between two lines about how it goes.
LINE_SECONDS = 10.0
LOOK_SECONDS = 0.5


class _Contender(Protocol):
    """Live or Naive."""

    def start(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...

    def stop(self) -> bool: ...

    def failures(self) -> dict[str, str]: ...


def measure(plan: BenchPlan, progress: Progress) -> Outcome:
    """One run in this process.

    Raises:
        StgcnError: it cannot begin.
    """
    manifest = Bundle(Path(plan.bundle)).manifest
    settings = plan.settings()
    shape = window_shape(plan.bundle, manifest, settings)
    zero: list[float] = []
    cameras = Cameras(plan, manifest, lambda: zero[0] if zero else None)
    tally, samples, usage = Tally(), Samples(cameras.names), Usage()
    pose = _pose(plan)
    contender: _Contender
    if plan.contender == "naive":
        loops = min(settings.pose.workers or usable_cores(), plan.cameras)
        contender = Naive(
            settings, make=cameras.make, loops=loops, pose=pose, observers=[tally, samples]
        )
    else:
        contender = Live(settings, make=cameras.make, pose=pose, observers=[tally, samples])
    stopped = ""
    contender.start()
    usage.start()
    try:
        warmup = max(plan.warmup, least_warmup(shape.frames / shape.fps, plan.stride))
        progress(f"{plan.cameras} cameras, warming up for {warmup:.0f} s")
        stopped = _watch(contender, plan, samples, usage, warmup, quiet)
        tally.restart()
        usage.begin()
        zero.append(samples.begin())
        progress("measuring")
        if not stopped:
            stopped = _watch(contender, plan, samples, usage, plan.duration, progress)
        end = time.monotonic()
        failures, used = contender.failures(), usage.as_dict()
        report = tally.report(clean=True, failures=failures)
        outcome = _outcome(plan, report, samples, cameras, end)
    finally:
        usage.stop()
        clean = contender.stop()
    return Outcome(
        **outcome,
        usage=used,
        history=[list(row) for row in usage.history],
        stopped=stopped,
        failures=failures,
        clean=clean,
    )


def quiet(_: str) -> None:
    """No progress."""


def least_warmup(window: float, stride: float) -> float:
    """Seconds until everybody in front of the cameras has had a first window, and one more."""
    return 0.5 * window + 2.0 * stride + 0.5


def _pose(plan: BenchPlan) -> Pose | None:
    if not plan.images:
        return None
    from stgcn_deploy.live.pose.registry import open_pose

    return open_pose(plan.settings().pose)


def _watch(
    contender: _Contender,
    plan: BenchPlan,
    samples: Samples,
    usage: Usage,
    seconds: float,
    progress: Progress,
) -> str:
    """Let it run; why it ended early, or ""."""
    start = told = time.monotonic()
    while (now := time.monotonic()) - start < seconds:
        if contender.wait(min(LOOK_SECONDS, start + seconds - now)):
            return "all cameras were given up"
        used = usage.history[-1][1]
        if used > plan.most_mb:
            return f"it took {used:.0f} MiB of memory (limit {plan.most_mb:.0f})"
        if now - told >= LINE_SECONDS:
            told = now
            progress(f"{now - start:.0f} of {seconds:.0f} s{_lately(samples, now)}")
    return ""


def _lately(samples: Samples, now: float) -> str:
    """How old frames and answers were in the last seconds."""
    said = ""
    for kind, title in (("people", "frames"), ("result", "answers")):
        times, values, _ = samples.snapshot(kind)
        recent = values[times > now - samples.start - LINE_SECONDS]
        if len(recent):
            said += f", {title} p99 {np.percentile(recent, 99):.0f} ms"
    return said


def _outcome(
    plan: BenchPlan,
    report: LiveReport,
    samples: Samples,
    cameras: Cameras,
    end: float,
) -> dict[str, Any]:
    late = cameras.lateness(samples.start, end)
    counted = sum(report.frames.values())
    names = cameras.names
    curves, raw, by_camera = {}, {}, {}
    delays = {}
    for kind, series in samples.series.items():
        times, values, groups = samples.snapshot(kind)
        delays[kind] = percentiles(values, series.count, series.largest)
        curves[kind] = by_interval(times, values)
        raw[kind] = thinned(times, values, plan.kept, groups)
        by_camera[kind] = {
            names[group]: round(float(np.percentile(values[groups == group], 99)), 2)
            for group in np.unique(groups)
            if group >= 0
        }
    return {
        "plan": plan.model_dump(mode="json"),
        "seconds": round(report.seconds, 3),
        "frames": {
            "given": len(late) if plan.counts_itself else counted,
            **report.frames,
            "waiting": max(0, len(late) - counted) if plan.counts_itself else 0,
        },
        "windows": {
            "expected": round(plan.windows_expected * report.seconds / plan.duration, 1),
            "due": samples.windows_made,
            **report.windows,
        },
        "events": report.events,
        "delays": {kind: found for kind, found in delays.items() if found},
        "lateness": percentiles(late),
        "batches": {str(size): count for size, count in report.batches.items()},
        "levels": {str(level): seconds for level, seconds in report.levels.items()},
        "level_changes": [list(change) for change in samples.levels],
        "curves": curves,
        "samples": raw,
        "by_camera": by_camera,
        "states": [list(one) for one in samples.states],
        "told": [list(one) for one in samples.events],
        "deepest": dict(samples.deepest),
    }


def main() -> None:
    """Read a plan from standard input, run it, and say on standard output what came of it."""
    # Libraries print what they like: it goes where errors go.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**message: Any) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    try:
        plan = BenchPlan.model_validate_json(sys.stdin.read())
        found = measure(plan, lambda text: say(progress=text))
    except StgcnError as error:
        say(error=str(error), exit_code=error.exit_code)
        return
    say(outcome=found.as_dict())


if __name__ == "__main__":
    main()
