"""Calibration clips: real recordings, prepared as the network sees them, balanced over the classes.

Ranges of activations are taken from them, so they must be what the network will see.  Noise is not:
its ranges are wider than those of people, and real clips then fall on a few of the 256 steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset
from stgcn_deploy.data.recording import UNLABELLED
from stgcn_deploy.errors import ClipError, DataError, UsageError
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.measure.inputs import probes
from stgcn_deploy.runtime import Model

__all__ = ["MIN_SAMPLES", "NO_DATA", "Calibration", "balanced", "from_data", "from_noise"]

MIN_SAMPLES = 16
NOISE = "noise"
NO_DATA = (
    "INT8 takes the ranges of activations from clips, and no --data was given. Give recordings of the "
    "kind that the network will see (its training set, --data FILE --split train1). Noise has other "
    "ranges than people: a graph calibrated on it can lose tens of points. Ask for it with "
    "--noise-calibration where nothing else is at hand."
)

Clip = NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """Prepared clips on disk, so that any number of them costs the memory of one.

    Attributes:
        folder: one {number}.npy (M, T, V, C) for each.
        data: name of the file that they are from, or "noise"; split: of it.
        indices: records that they are made of; empty for noise.
        sha256: over the clips' bytes, in order.
        notes: what a reader should know.
    """

    folder: Path
    count: int
    data: str
    split: str | None
    indices: tuple[int, ...]
    sha256: str
    notes: tuple[str, ...] = ()

    def clip(self, number: int) -> Clip:
        """One clip (M, T, V, C)."""
        found: Clip = np.load(self.folder / f"{number}.npy", allow_pickle=False)
        return found

    def batches(self, size: int, limit: int | None = None) -> Iterator[Clip]:
        """Batches (N, M, T, V, C) of exactly `size`; the last is filled from the beginning.

        A partial batch would not fit a graph of fixed batch size, and zeros would count as clips.
        """
        count = min(self.count, limit or self.count)
        for start in range(0, count, size):
            numbers = [index % self.count for index in range(start, start + size)]
            yield np.stack([self.clip(number) for number in numbers])


def balanced(labels: Sequence[int] | NDArray[np.int64], count: int, seed: int) -> list[int]:
    """Positions of up to `count` records: of every class as many as of any other, while they last."""
    order = np.random.default_rng(seed).permutation(len(labels))
    turns: dict[int, int] = {}
    ranked = []
    for place, position in enumerate(order):
        label = int(labels[position])
        turn = turns.get(label, 0)
        turns[label] = turn + 1
        ranked.append((turn, place, int(position)))
    return [position for _, _, position in sorted(ranked)[:count]]


def from_data(
    model: Model, data: Dataset, split: str | None, samples: int, seed: int, folder: Path
) -> Calibration:
    """Clips of a data set.

    Raises:
        UsageError: fewer samples asked for than ranges can be taken from.
        ClipError: a record that the bundle cannot take (layout, channels, NaN); it is named.
        DataError: too few records, or too few that are more than a constant.
    """
    _check_samples(samples)
    found = data.select(split)
    notes = []
    if len(found) and (data.labels[found] == UNLABELLED).all():
        notes.append("the calibration data has no labels, so it is not balanced over the classes")
    writer = _Writer(folder)
    used: list[int] = []
    constant: list[int] = []
    for position in balanced(data.labels[found], len(found), seed):
        if len(used) == samples:
            break
        index = int(found[position])
        try:
            clip = model.prepare(data[index])
        except ClipError as error:
            raise ClipError(f"{data.where(index)}: {error}") from None
        if clip.max() == clip.min():
            constant.append(index)
            continue
        writer.add(clip)
        used.append(index)
    what = f"{data.path}" + (f", split {split}" if split else "")
    if len(used) < MIN_SAMPLES:
        empty = f", and {len(constant)} that are a constant ({_first(data, constant)})"
        raise DataError(
            f"{what} has {len(used)} usable clip(s){empty if constant else ''}; ranges need at least "
            f"{MIN_SAMPLES}. Give more recordings."
        )
    if constant:
        notes.append(
            f"{len(constant)} record(s) of {what} are a constant and were left out "
            f"({_first(data, constant)})"
        )
    if len(used) < samples:
        notes.append(f"{what} has {len(used)} usable clips, {samples} were asked for")
    return Calibration(
        folder, len(used), data.path.name, split, tuple(used), writer.sha256, tuple(notes)
    )


def from_noise(manifest: Manifest, samples: int, seed: int, folder: Path) -> Calibration:
    """Clips of joints that drift about: for trying things out, never for use."""
    _check_samples(samples)
    writer = _Writer(folder)
    while writer.count < samples:
        made = probes(manifest, seed=seed + writer.count)
        batch = next(probe for probe in made if probe.name == "lifelike").batch
        for clip in batch[: samples - writer.count]:
            writer.add(clip)
    note = "calibrated on noise: ranges are not those of people, expect to lose accuracy"
    return Calibration(folder, writer.count, NOISE, None, (), writer.sha256, (note,))


def _check_samples(samples: int) -> None:
    if samples < MIN_SAMPLES:
        raise UsageError(f"samples must be at least {MIN_SAMPLES}, got {samples}.")


def _first(data: Dataset, indices: Sequence[int]) -> str:
    """The first of some records, by name."""
    return f"the first: {data.name(indices[0])}" if indices else ""


class _Writer:
    """Clips into a folder, and their hash."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.count = 0
        self._digest: Any = hashlib.sha256()

    def add(self, clip: Clip) -> None:
        whole = np.ascontiguousarray(clip, dtype="<f4")
        self._digest.update(whole.tobytes())
        np.save(self.folder / f"{self.count}.npy", whole)
        self.count += 1

    @property
    def sha256(self) -> str:
        return str(self._digest.hexdigest())
