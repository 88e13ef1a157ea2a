"""compare: what each deployed form costs and gains, and whether that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stgcn_deploy.api.common import Progress, quiet
from stgcn_deploy.errors import UsageError

if TYPE_CHECKING:
    from stgcn_deploy.data.dataset import ReadOptions
    from stgcn_deploy.measure.comparing import Judge
    from stgcn_deploy.measure.comparison import Comparison, Entry
    from stgcn_deploy.measure.evaluation import Evaluation

__all__ = ["compare"]


def compare(
    bundles: Sequence[str | Path],
    *,
    backend: Sequence[str] = (),
    data: str | Path | None = None,
    split: str | None = None,
    clips: int | None = None,
    fit: Literal["exact", "pad", "resample"] = "exact",
    limit: int | None = None,
    batch: int = 1,
    threads: int = 2,
    duration: float = 10.0,
    rounds: int = 5,
    max_drop: float | None = None,
    min_speed: float | None = None,
    data_format: str | None = None,
    read: ReadOptions | None = None,
    progress: Progress = quiet,
    count: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Bundles of one network side by side: speed, size, memory, parity and accuracy.

    The first one is what the others are compared with.

    Args:
        backend: runtimes; each bundle is measured on each, except where it was made for another one.
            By default each on the one that it was made for.
        data: labelled recordings, for accuracy; see `stgcn data info`.
        split, clips, fit, limit: see evaluate.
        batch: clips in one call; threads: cores that each is bound to.
        duration: seconds for each, over all rounds.
        max_drop: percentage points of top-1 that a later one may lose against the first.
        min_speed: how many times as fast as the first a later one must be, at the median.
        data_format, read: what the data is and what it does not say itself.
        count: called with the records done and in all.

    Raises:
        StgcnError: the call or the data is wrong; a bundle that breaks is a failed row.
    """
    from stgcn_deploy.measure.comparing import compare as run
    from stgcn_deploy.measure.comparing import entries_of

    if threads < 1 or batch < 1:
        raise UsageError("threads and batch must be at least 1.")
    if max_drop is not None and max_drop < 0:
        raise UsageError(f"max_drop must be 0 or more points, got {max_drop}.")
    if min_speed is not None and not 0 < min_speed < float("inf"):
        raise UsageError(f"min_speed must be above 0, got {min_speed}.")
    entries = entries_of([Path(bundle) for bundle in bundles], backend)
    judge: Judge | None = None
    if data is not None:
        judge = _judge(data, split, clips, fit, limit, data_format, read, count)
    return run(
        entries,
        judge=judge,
        batch=batch,
        threads=threads,
        duration=duration,
        rounds=rounds,
        max_drop=max_drop,
        min_speed=min_speed,
        progress=progress,
    )


def _judge(
    data: str | Path,
    split: str | None,
    clips: int | None,
    fit: Literal["exact", "pad", "resample"],
    limit: int | None,
    data_format: str | None,
    read: ReadOptions | None,
    count: Callable[[int, int], None] | None,
) -> Judge:
    """What evaluates entries on a data set."""
    from contextlib import ExitStack
    from dataclasses import replace

    from stgcn_deploy.data.formats import open_dataset
    from stgcn_deploy.measure.candidates import bundle_candidate
    from stgcn_deploy.measure.evaluation import Choice, evaluate

    opened = open_dataset(data, read, format=data_format)

    def judge(entries: Sequence[Entry]) -> Evaluation:
        with ExitStack() as stack:
            candidates = []
            for entry in entries:
                one = bundle_candidate(entry.path, entry.backend)
                stack.enter_context(one.model)
                candidates.append(replace(one, name=entry.name))
            return evaluate(candidates, opened, Choice(split, limit, clips, fit), count=count)

    return judge
