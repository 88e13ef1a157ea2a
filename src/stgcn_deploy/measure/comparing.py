"""Fill a comparison: every bundle on every backend, each number taken by the module that it belongs to.

Parity is verify's, speed the benchmark's, accuracy the evaluation's.  A bundle that breaks on the way is
a failed row with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from stgcn_deploy.backends.built import model_file
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import CheckFailedError, MissingDependencyError, StgcnError, UsageError
from stgcn_deploy.measure import bench
from stgcn_deploy.measure.candidates import USUAL, home_backend
from stgcn_deploy.measure.comparison import Compared, Comparison, Entry
from stgcn_deploy.measure.contenders import bundle_contenders
from stgcn_deploy.measure.environment import environment
from stgcn_deploy.measure.evaluation import Evaluation
from stgcn_deploy.measure.runner import Runner
from stgcn_deploy.measure.tolerances import Tolerance, tolerance_for
from stgcn_deploy.measure.verify import compare_golden
from stgcn_deploy.measure.visible import LOGITS

__all__ = ["Judge", "compare", "entries_of"]

# Judges nothing: where no tolerance is on record, the error is shown and has no verdict.
NO_LIMIT = Tolerance(float("inf"), 0.0, "none is on record")
Judge = Callable[[Sequence[Entry]], Evaluation]


def entries_of(paths: Sequence[Path], backends: Sequence[str]) -> tuple[Entry, ...]:
    """Every bundle on every backend; without backends, each on the one that it was made for.

    Raises:
        UsageError: no bundle; UnknownNameError: no such backend.
    """
    if not paths:
        raise UsageError("nothing to compare; name bundles.")
    names = list(dict.fromkeys(BACKENDS[name].name for name in backends))
    found = []
    for path in paths:
        try:
            bundle = Bundle(path)
        except StgcnError as error:
            found += [Entry(path, name, error=str(error)) for name in names or [USUAL]]
            continue
        target = bundle.manifest.precision.target
        built = {one.target for one in bundle.manifest.builds}
        for name in names or [home_backend(bundle.manifest)]:
            skipped = None
            if name not in BACKENDS:
                skipped = f"made for {name}, which is no backend here"
            elif not names and not BACKENDS[name].taps and name not in built:
                skipped = f"made for {name}, and nothing was built for it yet"
            elif target not in (None, name):
                skipped = f"made for {target}"
            found.append(Entry(path, name, bundle, skipped=skipped))
    return tuple(found)


def compare(
    entries: Sequence[Entry],
    *,
    judge: Judge | None = None,
    batch: int = 1,
    threads: int = 2,
    duration: float = 10.0,
    rounds: int = 5,
    max_drop: float | None = None,
    min_speed: float | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Measure every entry that is not skipped.

    Args:
        judge: evaluates entries on labelled data, the first of them being what the others are
            compared with; None measures no accuracy.
        batch, threads, duration, rounds: of the benchmark, see run_bench.

    Raises:
        UsageError: a gate that nothing would be measured for.
        DataError: the data cannot be used by any of them.
    """
    if max_drop is not None and judge is None:
        raise UsageError("max_drop is of accuracy; give labelled recordings: --data FILE.")
    rows = []
    for entry in entries:
        progress(f"recorded cases: {entry.name}")
        rows.append(_with_parity(entry, threads))
    evaluation = None
    if judge is not None:
        progress("accuracy")
        rows, evaluation = _with_accuracy(rows, judge)
    rows = _with_speed(rows, batch, threads, duration, rounds, progress)
    return Comparison(
        tuple(rows),
        environment(),
        rounds,
        evaluation.data if evaluation else None,
        max_drop,
        min_speed,
    )


def _usable(one: Compared) -> bool:
    """Whether there is something to go on with."""
    return not (one.entry.skipped or one.entry.error or one.error)


def _with_parity(entry: Entry, threads: int) -> Compared:
    if entry.bundle is None or entry.skipped:
        return Compared(entry)
    manifest, backend = entry.bundle.manifest, BACKENDS[entry.backend]
    judged = True
    try:
        file = model_file(entry.bundle, backend)
        try:
            limit = tolerance_for(backend.name, file.precision)
        except UsageError:
            limit, judged = NO_LIMIT, False
        with file.open(backend, threads=threads, tap=LOGITS) as session:
            report = compare_golden(entry.bundle, Runner(manifest, session, file), limit)
    except StgcnError as error:
        return Compared(entry, error=str(error))
    return Compared(entry, parity=report, judged=judged)


def _with_accuracy(
    rows: Sequence[Compared], judge: Judge
) -> tuple[list[Compared], Evaluation | None]:
    """Accuracy of all that can be judged, on the same records."""
    chosen = [one for one in rows if _usable(one)]
    if not chosen:
        return list(rows), None
    broken: dict[int, str] = {}
    evaluation: Evaluation | None = None
    try:
        evaluation = judge([one.entry for one in chosen])
    except StgcnError as error:
        broken = _to_blame(chosen, judge, error)
        rest = [one.entry for one in chosen if id(one) not in broken]
        evaluation = judge(rest) if rest else None
    found = iter(evaluation.rows if evaluation else ())
    first = next(one for one in rows if not one.entry.skipped)
    comparable = _usable(first) and id(first) not in broken
    made = []
    for one in rows:
        if id(one) in broken:
            made.append(replace(one, error=broken[id(one)]))
        elif _usable(one):
            judged = next(found)
            # Without the first one the others were compared with some other.
            made.append(replace(one, accuracy=judged if comparable else replace(judged, drop=None)))
        else:
            made.append(one)
    return made, evaluation


def _to_blame(chosen: Sequence[Compared], judge: Judge, error: StgcnError) -> dict[int, str]:
    """Which of several fail alone, and why; the data's own faults are raised."""
    faults: dict[int, StgcnError] = {}
    for one in chosen:
        try:
            judge([one.entry])
        except StgcnError as own:
            faults[id(one)] = own
    theirs = (CheckFailedError, MissingDependencyError)
    everyone = len(faults) == len(chosen)
    if not faults or (everyone and not any(isinstance(own, theirs) for own in faults.values())):
        raise error
    return {key: str(own) for key, own in faults.items()}


def _with_speed(
    rows: Sequence[Compared],
    batch: int,
    threads: int,
    duration: float,
    rounds: int,
    progress: Callable[[str], None],
) -> list[Compared]:
    made, contenders = list(rows), {}
    for place, one in enumerate(rows):
        if not _usable(one):
            continue
        try:
            (found,) = bundle_contenders(one.entry.path, one.entry.backend, [batch], threads)
        except StgcnError as error:
            made[place] = replace(one, error=str(error))
            continue
        contenders[place] = replace(found, name=one.name)
    if not contenders:
        return made
    try:
        report = bench.run_bench(
            list(contenders.values()), duration=duration, rounds=rounds, progress=progress
        )
    except CheckFailedError as error:
        # The message names each with its reason.
        for place in contenders:
            made[place] = replace(made[place], error=str(error))
        return made
    for place, row in zip(contenders, report.rows, strict=True):
        made[place] = replace(made[place], row=row)
    return made
