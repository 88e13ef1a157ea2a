"""tune and load: the settings that are best on this machine, found and applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stgcn_deploy.api.common import Progress, quiet
from stgcn_deploy.errors import StgcnError, UsageError
from stgcn_deploy.runtime import Model
from stgcn_deploy.runtime import load as open_model  # `load` is the function below

if TYPE_CHECKING:
    from stgcn_deploy.measure.sweep import Sweep

__all__ = ["load", "tune"]

# Seconds for each number of threads, where load has to find the best one itself.
QUICK_SECONDS, QUICK_ROUNDS = 0.8, 2


def tune(
    bundle: str | Path,
    *,
    backend: Sequence[str] = (),
    batch: Sequence[int] | None = None,
    threads: Sequence[int] | None = None,
    instances: Sequence[int] | None = None,
    duration: float = 3.0,
    rounds: int = 3,
    progress: Progress = quiet,
) -> Sweep:
    """Time a bundle with every batch, number of threads and number of sessions that fit this machine.

    What was best is remembered for this bundle, backend and machine, and `load(bundle, tune=True)`
    applies it, unless the numbers given here leave out some of what decides the lowest latency.

    Args:
        backend: runtimes to try; by default the one that the bundle was made for.
        batch: clips in one call; by default all powers of two in the range that was verified.
        threads: of one session; by default powers of two up to the usable cores, and all cores.
        instances: sessions called at the same time; likewise. Threads times instances never exceed
            the usable cores.
        duration: seconds for each setting, over all rounds.

    Raises:
        StgcnError: nothing could be timed, or the bundle cannot be read.
    """
    from stgcn_deploy.backends.registry import BACKENDS
    from stgcn_deploy.bundle import Bundle
    from stgcn_deploy.cores import usable_cores
    from stgcn_deploy.measure.candidates import home_backend
    from stgcn_deploy.measure.sweep import run_sweep, settings_for

    manifest = Bundle(bundle).manifest
    names = [BACKENDS[name].name for name in backend or [home_backend(manifest)]]
    settings = settings_for(
        manifest, names, usable_cores(), batches=batch, threads=threads, instances=instances
    )
    found = run_sweep(Path(bundle), settings, duration=duration, rounds=rounds, progress=progress)
    kept = tuple(_kept(found, name) for name in dict.fromkeys(names))
    return replace(found, notes=(*found.notes, *kept))


def _kept(found: Sweep, backend: str) -> str:
    """Remember what was best on a backend, and say what became of it."""
    from stgcn_deploy.measure.tuned import complete, remember

    if not complete(found, backend):
        return (
            f"not remembered for {backend}: not every number of threads was tried, or none ran, with "
            "one session and the smallest batch"
        )
    try:
        place = remember(found, backend)
    except StgcnError as error:
        return f"not remembered for {backend}: {error}"
    threads = found.lowest_latency(backend).setting.threads
    return (
        f"remembered in {place}: load(..., backend={backend!r}, tune=True) takes threads={threads}"
    )


def load(
    bundle: Path | str,
    *,
    backend: str = "onnxruntime",
    threads: int | None = None,
    batch: int | None = None,
    tune: bool = False,
    progress: Progress = quiet,
) -> Model:
    """Open a bundle for prediction.

    Args:
        threads: threads inside one call; None leaves it to the runtime.
        batch: clips in one call, on backends whose files are built for a number of them (ascend): which
            file to open; None takes the smallest.
        tune: take as many threads as gave the lowest latency on this machine, as `stgcn tune` found
            and remembered; where nothing is remembered, try them first, which takes seconds.
        progress: told what is going on while they are tried.

    Raises:
        BundleError: damaged or foreign; UnknownNameError: no such backend.
        UsageError: `threads` and `tune` together.
        MissingDependencyError: the backend's runtime is not installed.
        CheckFailedError: threads were to be tried, and none of them could run.

    Example:
        with stgcn_deploy.load("bundle") as model:
            print(model.predict(clip).label)
    """
    if not tune:
        return open_model(bundle, backend=backend, threads=threads, batch=batch)
    if threads is not None:
        raise UsageError("give either threads, or tune=True to have them chosen.")
    threads = _best_threads(Path(bundle), backend, progress)
    return open_model(bundle, backend=backend, threads=threads, batch=batch)


def _best_threads(bundle: Path, backend: str, progress: Progress) -> int:
    """Remembered, or found now and remembered where that is possible."""
    from stgcn_deploy.backends.registry import BACKENDS
    from stgcn_deploy.bundle import Bundle
    from stgcn_deploy.cores import usable_cores
    from stgcn_deploy.measure.sweep import quick_settings, run_sweep
    from stgcn_deploy.measure.tuned import recall

    opened, backend = Bundle(bundle), BACKENDS[backend].name
    known = recall(bundle, backend)
    if known is not None:
        return known.lowest_latency.threads
    settings = quick_settings(opened.manifest, backend, usable_cores())
    if len(settings) == 1:
        return settings[0].threads
    progress(f"trying {', '.join(str(one.threads) for one in settings)} threads")
    found = run_sweep(
        bundle, settings, duration=QUICK_SECONDS, rounds=QUICK_ROUNDS, progress=progress
    )
    for note in (*found.notes, _kept(found, backend)):
        progress(note)
    return found.lowest_latency().setting.threads
