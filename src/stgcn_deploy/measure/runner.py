"""A session as verification uses it: any number of clips in, logits out, or what can be seen of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.base import Session
from stgcn_deploy.backends.built import ModelFile, sizes_of
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.measure.parity import CaseError, compare, scale_of
from stgcn_deploy.measure.visible import visible_logits

__all__ = ["Runner"]

Array = NDArray[Any]


class Runner:
    """A session fed with batches (N, M, T, V, C) of any N, in calls of as many clips as it takes.

    Args:
        file: what the session was opened from; None for the bundle's graph.
    """

    def __init__(self, manifest: Manifest, session: Session, file: ModelFile | None = None) -> None:
        self.manifest = manifest
        self.session = session
        self.precision = file.precision if file else manifest.precision.actual
        self.visible = visible_logits(manifest, session, self.precision)
        self.sizes = _sizes(manifest, session, file)

    def run(self, batch: Array) -> dict[str, Array]:
        """All outputs, the tapped logits among them."""
        if not self.sizes or len(batch) in self.sizes:
            return self.session.run(self.manifest.feed(batch))
        low, high = self.sizes[0], self.sizes[-1]
        parts = []
        for start in range(0, len(batch), high):
            rows = np.arange(start, min(start + high, len(batch)))
            filled = np.resize(rows, max(low, len(rows)))
            found = self.session.run(self.manifest.feed(batch[filled]))
            parts.append({name: values[: len(rows)] for name, values in found.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def logits(self, batch: Array) -> Array:
        """Logits (N, classes), or what the session shows of them."""
        return self.visible.of(self.run(batch))

    def compare(self, name: str, batch: Array, reference: Array) -> CaseError:
        """One batch against the reference's logits (N, classes)."""
        visible = self.visible
        # A file of fixed batch size is compared row by row of it: its rows may be computed apart.
        rows = np.resize(np.arange(len(batch)), max(len(batch), *self.sizes[:1], 1))
        found = self.logits(batch[rows])
        if reference.ndim != 2 or len(reference) != len(batch):
            return compare(name, reference, found)
        wanted = reference[rows]
        if visible.whole:
            return compare(name, wanted, found)
        return compare(
            name,
            visible.expected(wanted),
            found,
            scale=scale_of(wanted),
            # Of nobody at all any network with these biases would say the same.
            seen=visible.seen(wanted) if batch.any() else 0.0,
        )


def _sizes(manifest: Manifest, session: Session, file: ModelFile | None) -> tuple[int, ...]:
    """The numbers of clips that one call takes, smallest first; none where any number will do."""
    axes = {spec.name: spec.axes.index("N") for spec in manifest.input_specs}
    for spec in session.inputs:
        place = axes.get(spec.name, len(spec.shape))
        if place < len(spec.shape) and isinstance(size := spec.shape[place], int):
            return (size,)
    return sizes_of(manifest, file.build) if file and file.build else ()
