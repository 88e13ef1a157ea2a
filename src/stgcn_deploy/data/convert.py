"""Recordings from one format into another, and an account of what does not survive.

What a format cannot say is found by reading the written file again, not by a table that could be wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset, Header, Indices, WritableFormat
from stgcn_deploy.data.formats import FORMATS, open_dataset
from stgcn_deploy.data.formats.clip_writer import write_clip
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import ClipError, DataError, OutputExistsError, UsageError
from stgcn_deploy.skeleton.layout import Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.remap import remap
from stgcn_deploy.skeleton.transforms.sampling import loop_indices
from stgcn_deploy.skeleton.windows import fit_frames

__all__ = ["Changes", "Fit", "convert"]

Fit = Literal["pad", "resample", "loop"]
Count = Callable[[int, int], None]
Clip = NDArray[Any]
# How a file's name ends -> what it is; an .npy holds one clip, or the array of many recordings.
_KINDS = {".pkl": "pyskl", ".pickle": "pyskl", ".jsonl": "keypoints-jsonl", ".json": "clip"}


@dataclass
class Changes:
    """What is done to each recording on the way.

    Attributes:
        layout: of the joints as they are, where neither the file nor its format says.
        to_layout: the layout to turn them into.
        near, absent: see skeleton.remap.remap.
        frames, fit: T of all, by empty frames at the end (or cutting it), linearly, or from the start
            again.
        persons: M of all; of more, those that are seen most are kept, in their order.
        prepared: the numbers are what a network sees, whatever the file says.
        counts: what was given up on the way, and of how many recordings.
    """

    layout: Layout | None = None
    to_layout: Layout | None = None
    near: bool = False
    absent: bool = False
    frames: int | None = None
    fit: Fit = "pad"
    persons: int | None = None
    prepared: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for name, value in (("frames", self.frames), ("persons", self.persons)):
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}, expected at least 1.")

    def apply(self, where: str, one: Recording) -> Recording:
        """One recording, changed.

        Raises:
            ClipError, UsageError: it cannot be; it is named.
        """
        try:
            return self._apply(one)
        except ClipError as error:
            raise ClipError(f"{where}: {error}") from None
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None

    def _apply(self, one: Recording) -> Recording:
        if self.to_layout is not None:
            one = self._remapped(one, self.to_layout)
        if self.persons is not None:
            one = replace(one, clip=self._chosen(one.clip, self.persons))
        if self.frames is not None and one.clip.shape[1] != self.frames:
            one = self._fitted(one, self.frames)
        if self.prepared and one.is_raw:
            dropped = ", image size dropped" if one.image_size else ""
            self.counts[f"numbers taken as prepared{dropped}"] += 1
            one = replace(one, raw=False, image_size=None)
        return one

    def _remapped(self, one: Recording, target: Layout) -> Recording:
        source = self.layout
        if one.layout is not None and (source is None or source.name != one.layout):
            source = LAYOUTS[one.layout]
        if source is None:
            raise UsageError("the layout of the joints is not known; say it with --layout.")
        if source == target:
            return one
        clip = remap(one.clip, source, target, near=self.near, absent=self.absent)
        return replace(one, clip=clip.astype(np.float32), layout=target.name)

    def _chosen(self, clip: Clip, persons: int) -> Clip:
        have = clip.shape[0]
        if have <= persons:
            return np.pad(clip, ((0, persons - have), (0, 0), (0, 0), (0, 0)))
        seen = (np.nan_to_num(clip) != 0).any(axis=(2, 3)).sum(axis=1)
        kept = np.sort(np.argsort(-seen, kind="stable")[:persons])
        if seen.sum() > seen[kept].sum():
            self.counts["persons left out"] += 1
        chosen: Clip = clip[kept]
        return chosen

    def _fitted(self, one: Recording, frames: int) -> Recording:
        clip, have = one.clip, one.clip.shape[1]
        if not have:
            raise ClipError("it has no frames.")
        if self.fit == "loop":
            if have > frames:
                self.counts["end cut off"] += 1
            return replace(one, clip=clip[:, loop_indices(have, frames)])
        if self.fit == "pad":
            if have > frames:
                self.counts["end cut off"] += 1
            return replace(one, clip=fit_frames(clip, (frames, frames), "pad"))
        # The same seconds in other steps.
        rate = one.fps
        if rate is not None and min(have, frames) > 1:
            rate *= (frames - 1) / (have - 1)
        return replace(one, clip=fit_frames(clip, (frames, frames), "resample"), fps=rate)


def convert(
    data: Dataset,
    target: Path,
    changes: Changes,
    *,
    to: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    record: int | None = None,
    classes: tuple[str, ...] = (),
    force: bool = False,
    count: Count = lambda _done, _total: None,
) -> dict[str, Any]:
    """Write recordings of `data` into `target`, whole or not at all.

    Args:
        to: name of the format; by default as the file's name ends.
        split: only its records.
        limit: only the first so many.
        record: only this one.
        classes: names, where the file has none.
        force: replace what exists.
        count: told (done, total) after each.

    Returns:
        What was written, "changed" (what was given up on the way) and "lost" (what the format cannot
        say).

    Raises:
        UsageError: a choice that makes no sense, or joints that cannot be had.
        DataError: a record is damaged, or does not go into the format; it is named.
        OutputExistsError: `target` is there, and `force` is not given.
    """
    chosen = _choice(data, split, limit, record)
    kind = _kind(target, to, len(chosen))
    if target.exists() and not force:
        raise OutputExistsError(
            f"{target} exists; choose another name, or replace it with --force."
        )
    if target.exists() and data.path.exists() and target.samefile(data.path):
        raise UsageError(f"{target} is what is read; choose another name.")
    header = Header(
        count=len(chosen),
        classes=data.classes or classes,
        layout=(changes.to_layout.name if changes.to_layout else None) or data.layout,
        splits=_kept_splits(data, chosen),
    )
    kept: list[Recording] = []
    write = write_clip if kind == "clip" else _writable(kind).write
    report = write(target, _stream(data, chosen, changes, kept, count), header, force=force)
    back = open_dataset(target, format=kind)
    return {
        "source": str(data.path),
        "target": str(target),
        "format": kind,
        **report,
        "shape": list(kept[0].clip.shape),
        "changed": [f"{what} in {number} recording(s)" for what, number in changes.counts.items()],
        "lost": _lost(data, chosen, header, kept[0], back),
    }


def _choice(data: Dataset, split: str | None, limit: int | None, record: int | None) -> Indices:
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}, expected at least 1.")
    if record is None:
        chosen = data.select(split)[:limit]
        if not len(chosen):
            raise UsageError(f"{data.path}: no record is chosen.")
        return chosen
    if split is not None or limit is not None:
        raise UsageError("--record is one record; --split and --limit do not go with it.")
    if not 0 <= record < len(data):
        raise UsageError(f"{data.path} has {len(data)} record(s); there is no record {record}.")
    return np.array([record], dtype=np.int64)


def _kind(target: Path, to: str | None, count: int) -> str:
    """The format to write."""
    if to is not None:
        if to != "clip":
            _writable(to)
        return to
    if target.suffix == ".npy":
        return "clip" if count == 1 else "kinetics-npy"
    if target.suffix not in _KINDS:
        raise UsageError(
            f"{target}: no format ends in {target.suffix!r}; expected .npy, {', '.join(_KINDS)}, or "
            "name it with --to."
        )
    return _KINDS[target.suffix]


def _writable(name: str) -> WritableFormat:
    found = FORMATS[name]
    if not hasattr(found, "write"):
        able = [known for known, one in FORMATS.items() if hasattr(one, "write")]
        raise UsageError(f"{name} can be read, not written; written are {', '.join(able)}, clip.")
    return cast(WritableFormat, found)


def _stream(
    data: Dataset, chosen: Indices, changes: Changes, kept: list[Recording], count: Count
) -> Iterator[Recording]:
    """The recordings, changed; the first is kept for the account."""
    for done, index in enumerate(map(int, chosen), start=1):
        where = data.where(index)
        try:
            one = changes.apply(where, data[index])
        except ClipError as error:
            # A clip that cannot be used is the data set's fault here, not the call's.
            raise DataError(str(error)) from None
        if not kept:
            kept.append(one)
        yield one
        count(done, len(chosen))


def _kept_splits(data: Dataset, chosen: Indices) -> dict[str, Indices]:
    """The splits with the numbers that the records have in the new file; empty ones fall away."""
    place = {int(index): number for number, index in enumerate(chosen)}
    made = {
        name: np.array([place[int(i)] for i in indices if int(i) in place], dtype=np.int64)
        for name, indices in data.splits.items()
    }
    return {name: indices for name, indices in made.items() if len(indices)}


def _lost(
    data: Dataset, chosen: Indices, header: Header, first: Recording, back: Dataset
) -> list[str]:
    """What the written file does not say."""
    found = back[0]
    lost = []
    for key, text in (
        ("layout", "layout"),
        ("image_size", "image size"),
        ("fps", "frames per second"),
        ("name", "names of the recordings"),
    ):
        have = getattr(first, key)
        if have and getattr(found, key) != have:
            lost.append(f"{text} ({'x'.join(map(str, have)) if key == 'image_size' else have})")
    if found.is_raw != first.is_raw:
        lost.append(f"that the numbers are {'raw' if first.is_raw else 'prepared'}")
    if not np.array_equal(data.labels[chosen], back.labels):
        lost.append("labels")
    if header.classes and back.classes != header.classes:
        lost.append("names of the classes")
    if header.splits and set(back.splits) != set(header.splits):
        lost.append(f"splits ({', '.join(header.splits)})")
    if found.clip.shape != first.clip.shape:
        lost.append(f"shape: {first.clip.shape} became {found.clip.shape}")
    elif not np.array_equal(found.clip, np.asarray(first.clip, np.float32), equal_nan=True):
        lost.append("the exact numbers")
    return lost
