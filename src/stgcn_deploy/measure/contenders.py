"""A bundle as benchmark contenders, one for each batch size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import UsageError
from stgcn_deploy.measure.bench import Contender, model_contender

__all__ = ["bundle_contenders"]


def bundle_contenders(
    path: Path, backend: str, batches: Sequence[int], threads: int
) -> list[Contender]:
    """One contender for each batch size that the graph allows.

    Raises:
        UsageError: the graph has a fixed batch size, and another was asked for.
        UnknownNameError: no such backend.
    """
    bundle = Bundle(path)
    manifest, clip = bundle.manifest, bundle.manifest.clip
    name = BACKENDS[backend].name
    found = []
    for batch in batches:
        if "N" not in clip.dynamic and batch != clip.batch:
            raise UsageError(
                f"{path} has a fixed batch of {clip.batch}, so batch {batch} cannot be timed; export "
                f"it with --batch {batch} or --dynamic batch."
            )
        found.append(
            model_contender(
                f"{manifest.name} {manifest.precision.actual} on {name}"
                + (f", batch {batch}" if len(batches) > 1 else ""),
                str(bundle.model_path.resolve()),
                backend=name,
                shapes=manifest.shapes_at(batch),
                batch=batch,
                threads=threads,
                macs=manifest.macs,
                compute=manifest.precision.compute,
            )
        )
    return found
