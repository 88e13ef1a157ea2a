"""A bundle as benchmark contenders, one for each batch size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stgcn_deploy.backends.built import model_file
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import UsageError
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.measure.bench import Contender, model_contender

__all__ = ["bundle_contenders"]


def bundle_contenders(
    path: Path, backend: str, batches: Sequence[int], threads: int, present: int | None = None
) -> list[Contender]:
    """One contender for each batch size that the graph allows.

    Args:
        present: how many person slots of each clip are occupied, the first ones; None for all.

    Raises:
        UsageError: the graph has a fixed batch size, and another was asked for; or there are not so
            many person slots.
        BundleError: nothing was built for the backend, or nothing of that batch size.
        UnknownNameError: no such backend.
    """
    bundle = Bundle(path)
    manifest, clip = bundle.manifest, bundle.manifest.clip
    name = BACKENDS[backend].name
    built = any(one.target == name for one in manifest.builds)
    slots = {} if present is None else _occupied(path, manifest, present)
    found = []
    for batch in batches:
        if not built and "N" not in clip.dynamic and batch != clip.batch:
            raise UsageError(
                f"{path} has a fixed batch of {clip.batch}, so batch {batch} cannot be timed; export "
                f"it with --batch {batch} or --dynamic batch."
            )
        file = model_file(bundle, BACKENDS[name], batch)
        found.append(
            model_contender(
                f"{manifest.name} {file.precision} on {name}"
                + (f", batch {batch}" if len(batches) > 1 else "")
                + (f", {present} of {clip.persons} present" if slots else ""),
                str(file.path.resolve()),
                backend=name,
                shapes=manifest.shapes_at(batch),
                batch=batch,
                threads=threads,
                macs=manifest.macs,
                compute=file.compute,
            )
        )
        found[-1].options["present"] = slots
    return found


def _occupied(path: Path, manifest: Manifest, present: int) -> dict[str, tuple[int, int]]:
    """By input, the axis of its persons and how many of them are there."""
    persons = manifest.clip.persons
    if persons == 1 or not 0 <= present <= persons:
        raise UsageError(
            f"{path} has {persons} person slot(s), so {present} present cannot be timed; give 0 to "
            f"{persons} for a bundle of several, or leave out --present."
        )
    return {spec.name: (spec.axes.index("M"), present) for spec in manifest.input_specs}
