"""What a sweep found, kept in the user's cache folder for the next session on the same machine.

A result belongs to a bundle's manifest (which holds the hashes of all its files), a backend with its
version, and a CPU with the number of its usable cores; where one of them differs there is no result.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import read_manifest, sha256_of
from stgcn_deploy.cores import usable_cores
from stgcn_deploy.files import cache_folder, write_text
from stgcn_deploy.manifest import MANIFEST
from stgcn_deploy.measure.environment import cpu_name
from stgcn_deploy.measure.sweep import Measured, Sweep, quick_settings

__all__ = ["Best", "Tuned", "complete", "recall", "remember"]

MAX_BYTES = 1 << 16


class Strict(BaseModel):
    """Unknown fields are errors: such a file is not ours, or another version's."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Best(Strict):
    """A setting with its numbers; see measure.sweep.Setting."""

    batch: PositiveInt
    threads: PositiveInt
    instances: PositiveInt
    latency_ms: PositiveFloat
    clips_per_s: PositiveFloat


class Tuned(Strict):
    """The best settings of one bundle on one backend and machine.

    Attributes:
        settings: how many were tried.
    """

    key: dict[str, str | int | None]
    time: str
    settings: PositiveInt
    lowest_latency: Best
    most_clips: Best


def _key(bundle: Path, backend: str) -> dict[str, str | int | None]:
    """All that a result depends on."""
    runtime = BACKENDS[backend]
    return {
        "manifest": sha256_of(bundle / MANIFEST),
        "backend": runtime.name,
        "version": runtime.version(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
    }


def _place(key: dict[str, str | int | None]) -> Path:
    text = json.dumps(key, sort_keys=True)
    return cache_folder() / "tune" / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.json"


def complete(sweep: Sweep, backend: str) -> bool:
    """Whether the sweep tried all that decides the lowest latency, and one of it ran."""
    tried = {one.setting for one in sweep.measured}
    asked = quick_settings(read_manifest(Path(sweep.bundle)), backend, usable_cores())
    return set(asked) <= tried and bool(sweep.ran(backend))


def remember(sweep: Sweep, backend: str) -> Path:
    """Keep what was found for one backend; see `complete`.

    Raises:
        UsageError: the cache folder cannot be written.
    """
    key = _key(Path(sweep.bundle), backend)
    found = Tuned(
        key=key,
        time=sweep.environment["time"],
        settings=len(sweep.ran(backend)),
        lowest_latency=_best(sweep.lowest_latency(backend)),
        most_clips=_best(sweep.most_clips(backend)),
    )
    return write_text(_place(key), found.model_dump_json(indent=1), force=True)


def recall(bundle: Path, backend: str) -> Tuned | None:
    """What an earlier sweep found; None where there is none, or none that can be read."""
    key = _key(bundle, backend)
    file = _place(key)
    try:
        if file.stat().st_size > MAX_BYTES:
            return None
        found = Tuned.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    fits = found.key == key and found.lowest_latency.threads <= usable_cores()
    return found if fits else None


def _best(one: Measured) -> Best:
    return Best(
        batch=one.setting.batch,
        threads=one.setting.threads,
        instances=one.setting.instances,
        latency_ms=one.latency_ms,
        clips_per_s=one.clips_per_s,
    )
