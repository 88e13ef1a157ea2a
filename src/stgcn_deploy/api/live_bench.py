"""bench_live: how many cameras, how late, and what happens beyond."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stgcn_deploy.api.common import Progress, quiet
from stgcn_deploy.errors import UsageError

if TYPE_CHECKING:
    from stgcn_deploy.live.bench.outcome import Limits, Outcome
    from stgcn_deploy.live.bench.plan import BenchPlan
    from stgcn_deploy.live.bench.report import LiveBench, Run
    from stgcn_deploy.live.bench.search import Found

__all__ = ["bench_live"]

# The issue of overload: frames must not get older than this, whatever is left out for it.
OVERLOAD_AGE_MS = 250.0
# A run that tries a number of cameras is shorter than the one that confirms it.
TRIAL_SHARE = 0.5


def bench_live(
    bundle: str | Path,
    *,
    cameras: int | None = None,
    search: bool = False,
    data: str | Path | None = None,
    clips: str | Path | None = None,
    stride: float = 1.0,
    duration: float = 60.0,
    warmup: float = 10.0,
    overload: float | None = None,
    naive: bool = False,
    delay: bool = False,
    sequences: int = 20,
    max_drops: float | None = None,
    max_p99_ms: float | None = None,
    base_run: bool = True,
    first: int = 4,
    progress: Progress = quiet,
    **options: Any,
) -> LiveBench:
    """Run simulated cameras through the live pipeline and measure it, each run in a process of its own.

    Args:
        cameras: so many; 1 by default.
        search: find the largest number with at most 1 % of frames dropped and of windows lost, and the
            99th percentile from frame to answer below the stride; the overload begins with it.
        data: file of recordings to replay; by default synthetic motion of the bundle's layout.
        clips: folder of video clips, or one of them: then poses are estimated.
        duration: seconds of each run, of the search's short ones half of it.
        overload: so many times the cameras, with work left out as `stgcn live` does.
        naive: the same with an endless queue and one loop, beside it.
        delay: how long after its onset an action is told, in simulated time.
        max_drops: share of frames dropped that is too many; max_p99_ms: 99th percentile from frame to
            answer that is too much.
        base_run: measure the cameras themselves too, not only the overload or the naive loop.
        sequences: for the delay.
        first: number of cameras that the search begins with.
        options: of live.bench.plan.BenchPlan: persons, fps, jitter, loss, backend, threads, workers, ...

    Raises:
        StgcnError: a run could not begin, or nothing was measured.
    """
    from pydantic import ValidationError

    from stgcn_deploy.live.bench.delay import DelayPlan, detection_delay
    from stgcn_deploy.live.bench.material import video_files
    from stgcn_deploy.live.bench.outcome import Limits
    from stgcn_deploy.live.bench.plan import BenchPlan
    from stgcn_deploy.live.bench.report import LiveBench
    from stgcn_deploy.measure.environment import environment

    if data is not None and clips is not None:
        raise UsageError("give either recordings (--data) or video clips (--clips), not both.")
    if search and cameras is not None:
        raise UsageError("give either a number of cameras, or --search to find it.")
    if overload is not None and not overload > 1:
        raise UsageError(f"overload is {overload:g} times the cameras; give a factor above 1.")
    only_delay = delay and cameras is None and not search
    try:
        plan = BenchPlan(
            bundle=str(bundle),
            cameras=1 if cameras is None else cameras,
            data=None if data is None else str(data),
            clips=() if clips is None else video_files(Path(clips)),
            stride=stride,
            duration=duration,
            warmup=warmup,
            **options,
        )
    except ValidationError as error:
        first_wrong = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first_wrong["loc"]))
        raise UsageError(f"{place}: {first_wrong['msg']}.") from None
    measuring = _Measuring(plan, progress)
    found, runs = None, []
    gates = Limits(
        drops=1.0 if max_drops is None else max_drops,
        lost=1.0,
        delay_ms=float("inf") if max_p99_ms is None else max_p99_ms,
    )
    if search:
        found = measuring.search(first)
        if found.confirmed is not None:
            runs.append(measuring.judged(f"{found.cameras} cameras", found.confirmed, gates))
    elif not only_delay and base_run:
        runs.append(measuring.run(f"{plan.cameras} cameras", plan, gates))
    base = found.cameras if found is not None else plan.cameras
    if overload is not None and base:
        runs += measuring.overload(base, overload, naive=naive)
    elif naive and base:
        runs.append(measuring.naive(f"naive, {base} cameras", base))
    told = None
    if delay:
        told = detection_delay(
            str(bundle),
            DelayPlan(sequences=sequences, fps=plan.fps),
            model_fps=plan.model_fps,
            backend=plan.backend,
            threads=plan.threads,
            progress=progress,
        )
    return LiveBench(str(bundle), environment(), tuple(runs), found, told)


@dataclass
class _Measuring:
    plan: BenchPlan
    progress: Progress

    def _launch(self, **changes: Any) -> Outcome:
        from stgcn_deploy.live.bench.launch import launch

        return launch(self.plan.model_copy(update=changes), self.progress)

    def judged(self, title: str, outcome: Outcome, limits: Limits | None) -> Run:
        from stgcn_deploy.live.bench.report import Run

        return Run(title, outcome, limits)

    def run(self, title: str, plan: BenchPlan, limits: Limits) -> Run:
        return self.judged(title, self._launch(cameras=plan.cameras), limits)

    def search(self, first: int) -> Found:
        from stgcn_deploy.live.bench.outcome import Limits
        from stgcn_deploy.live.bench.search import search

        def measure(cameras: int, confirming: bool) -> Outcome:
            share = 1.0 if confirming else TRIAL_SHARE
            return self._launch(cameras=cameras, ladder=False, duration=share * self.plan.duration)

        return search(measure, Limits(), first=first, say=self.progress)

    def overload(self, base: int, factor: float, *, naive: bool) -> list[Run]:
        from stgcn_deploy.live.bench.outcome import Limits

        cameras = self.plan.model_copy(update={"cameras": base}).times(factor)
        title = f"{cameras} cameras ({factor:g} times {base})"
        # Under overload work is left out on purpose: only what is done must not be old.
        limits = Limits(drops=1.0, lost=1.0, delay_ms=float("inf"), age_ms=OVERLOAD_AGE_MS)
        outcome = self._launch(cameras=cameras, ladder=True)
        runs = [self.judged(title, outcome, limits)]
        if naive:
            runs.append(self.naive(f"naive, {title}", cameras))
        return runs

    def naive(self, title: str, cameras: int) -> Run:
        return self.judged(title, self._launch(cameras=cameras, contender="naive"), None)
