"""Inputs to compare networks on: random, lifelike, extreme, empty and half-empty clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.manifest import Manifest

__all__ = ["Probe", "probes", "random_probes", "smaller_probes"]

Clip = NDArray[np.float32]


@dataclass(frozen=True)
class Probe:
    """A named batch (N, M, T, V, C)."""

    name: str
    batch: Clip


def _lifelike(rng: np.random.Generator, shape: tuple[int, ...]) -> Clip:
    """Joints that drift smoothly around a resting place: what cameras give, for any layout."""
    n, m, t, v, c = shape
    rest = rng.uniform(-0.6, 0.6, (n, m, 1, v, c))
    steps = rng.normal(0, 0.01, (n, m, t, v, c))
    sway = 0.05 * np.sin(np.linspace(0, 4 * np.pi, t))[None, None, :, None, None]
    return (rest + np.cumsum(steps, axis=2) + sway).astype(np.float32)


def _sizes(manifest: Manifest) -> Iterator[tuple[str, int, int, int]]:
    """(suffix, N, M, T): the traced size, and both ends of every open axis."""
    clip = manifest.clip
    base = {"N": clip.batch, "M": clip.persons, "T": clip.frames}
    yield "", base["N"], base["M"], base["T"]
    for axis, ends in clip.dynamic.items():
        for end in sorted(set(ends)):
            if end != base[axis]:
                sizes = {**base, axis: end}
                yield f"@{axis}={end}", sizes["N"], sizes["M"], sizes["T"]


def random_probes(manifest: Manifest, seeds: range) -> Iterator[Probe]:
    """One normally distributed batch for each seed."""
    clip = manifest.clip
    shape = (clip.batch, clip.persons, clip.frames, clip.joints, clip.channels)
    for seed in seeds:
        batch = np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
        yield Probe(f"random[{seed}]", batch)


def probes(manifest: Manifest, seed: int = 0) -> Iterator[Probe]:
    """One of each kind, and the ends of the open axes.

    Kinds: random (unit normal), lifelike, extreme (+-20), zeros (nobody), padded (second half of the
    frames zero); and where M > 1: absent (all persons but the first zero), alternating (every other
    slot of the batch zero, the first too), glimpse (one joint of the last person in the last frame).
    """
    clip = manifest.clip
    for suffix, n, m, t in _sizes(manifest):
        rng = np.random.default_rng(seed)
        shape = (n, m, t, clip.joints, clip.channels)
        moving = _lifelike(rng, shape)
        kinds: dict[str, NDArray[Any]] = {"random": rng.normal(0, 1, shape), "lifelike": moving}
        if not suffix:
            padded = moving.copy()
            padded[:, :, t // 2 :] = 0
            kinds["extreme"] = rng.uniform(-20, 20, shape)
            kinds["zeros"] = np.zeros(shape)
            kinds["padded"] = padded
        if m > 1:
            absent = moving.copy()
            absent[:, 1:] = 0
            kinds["absent"] = absent
            alternating = moving.copy()
            alternating.reshape(n * m, -1)[::2] = 0
            glimpse = np.zeros(shape)
            glimpse[:, -1, -1, -1] = moving[:, -1, -1, -1]
            kinds |= {"alternating": alternating, "glimpse": glimpse}
        for kind, batch in kinds.items():
            yield Probe(kind + suffix, batch.astype(np.float32))


def smaller_probes(manifest: Manifest, seed: int) -> Iterator[Probe]:
    """Random and lifelike clips, and the same closer and closer to nothing.

    The closer, the less sure a network is of its answer, so that its probabilities tell more of its logits.
    """
    for probe in probes(manifest, seed):
        if probe.name in ("random", "lifelike"):
            for factor in (1.0, 0.3, 0.1, 0.03):
                yield Probe(f"{probe.name} x {factor:g}", probe.batch * np.float32(factor))
