"""profile: where the time of a bundle goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stgcn_deploy.api.common import Progress, quiet

if TYPE_CHECKING:
    from stgcn_deploy.measure.profile import ProfileReport

__all__ = ["profile"]


def profile(
    bundle: str | Path,
    *,
    backend: str = "onnxruntime",
    threads: int = 2,
    runs: int = 50,
    progress: Progress = quiet,
) -> ProfileReport:
    """Say what every layer of a bundle takes, by the runtime's own profiler, against its floor.

    Args:
        threads: cores that the runtime is bound to.
        runs: how often the bundle runs; a layer counts with its best time, a run with a typical one.

    Raises:
        StgcnError: the bundle cannot be read or run; CheckFailedError where the profile is no account
            of a run.
    """
    from stgcn_deploy.bundle import Bundle
    from stgcn_deploy.measure.profile import profile_bundle

    return profile_bundle(
        Bundle(bundle), backend=backend, threads=threads, runs=runs, progress=progress
    )
