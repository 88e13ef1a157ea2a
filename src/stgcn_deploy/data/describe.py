"""What a file of recordings holds, found by reading all of it, and what of it cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset, Indices
from stgcn_deploy.data.recording import UNLABELLED, Recording
from stgcn_deploy.errors import StgcnError, UsageError
from stgcn_deploy.skeleton.layout import Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.scene import present_joints

__all__ = ["describe"]

Count = Callable[[int, int], None]
# So many problems are told, the others counted; of sizes and frame rates so many are listed.
MOST_PROBLEMS = 20
MOST_LISTED = 5
# Numbers that are looked at in one piece: a long recording costs little more than itself.
AT_ONCE = 1 << 20


@dataclass
class _Range:
    """Smallest and largest of what was seen."""

    low: float = np.inf
    high: float = -np.inf

    def add(self, low: float, high: float | None = None) -> None:
        self.low, self.high = min(self.low, low), max(self.high, low if high is None else high)

    def whole(self) -> list[int] | None:
        return [int(self.low), int(self.high)] if self.low <= self.high else None


@dataclass
class _Sums:
    """What one pass adds up.

    Attributes:
        frames, empty_frames: along T; empty where nobody is.
        joints, missing: of persons who are there.
        numbers, not_finite: all of them.
    """

    persons: _Range = field(default_factory=_Range)
    lengths: _Range = field(default_factory=_Range)
    joint_counts: Counter[int] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    layouts: Counter[str | None] = field(default_factory=Counter)
    rates: Counter[float | None] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int] | None] = field(default_factory=Counter)
    raw: int = 0
    read: int = 0
    frames: int = 0
    empty_frames: int = 0
    joints: int = 0
    missing: int = 0
    numbers: int = 0
    not_finite: int = 0
    values: list[_Range] = field(default_factory=list)

    def add(self, one: Recording, layout: Layout | None) -> None:
        """Take one recording into account."""
        clip = np.asarray(one.clip)
        persons, frames, joints, channels = clip.shape
        self.read += 1
        self.persons.add(persons)
        self.lengths.add(frames)
        self.joint_counts[joints] += 1
        self.channels[channels] += 1
        self.layouts[layout.name if layout else one.layout] += 1
        self.rates[one.fps] += 1
        self.sizes[one.image_size] += 1
        self.raw += one.is_raw
        self.numbers += clip.size
        # A third channel that is not known to be a score is taken for a coordinate.
        scored = one.image_size is not None or (layout is not None and layout.dimensions == 2)
        step = max(1, AT_ONCE // max(1, persons * joints * channels))
        for start in range(0, max(1, frames), step):
            self._add_frames(clip[:, start : start + step], metric=channels > 2 and not scored)

    def _add_frames(self, clip: NDArray[Any], *, metric: bool) -> None:
        """Some frames of a recording."""
        self.not_finite += clip.size - int(np.isfinite(clip).sum())
        # Some NaN of damaged files cannot be cast in silence.
        with np.errstate(invalid="ignore"):
            present = present_joints(clip.astype(np.float64), metric=metric)
        there = present.any(axis=2)
        self.frames += clip.shape[1]
        self.empty_frames += clip.shape[1] - int(there.any(axis=0).sum())
        self.joints += int(there.sum()) * clip.shape[2]
        self.missing += int((~present[there]).sum())
        self._add_values(clip[present])

    def _add_values(self, points: NDArray[Any]) -> None:
        """Ranges (n, C) of the joints that are there."""
        while len(self.values) < points.shape[-1]:
            self.values.append(_Range())
        if len(points):
            for seen, low, high in zip(
                self.values, points.min(axis=0), points.max(axis=0), strict=False
            ):
                seen.add(float(low), float(high))


def describe(
    data: Dataset,
    *,
    layout: Layout | None = None,
    split: str | None = None,
    limit: int | None = None,
    count: Count = lambda _done, _total: None,
) -> dict[str, Any]:
    """Read recordings and say what they are.

    Args:
        layout: of the joints, where it is not among the known ones.
        split: only its records.
        limit: only the first so many of them.
        count: told (done, total) after each.

    Returns:
        Plain values, see docs/data.md; "problems" lists records that cannot be used.

    Raises:
        UsageError: no records are asked for, or no such split.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}, expected at least 1.")
    chosen = data.select(split)[:limit]
    sums, problems = _Sums(), []
    for done, index in enumerate(map(int, chosen), start=1):
        try:
            one = data[index]
            known = layout or _known(one.layout)
            fault = _fault(data, index, one, known)
            sums.add(one, known)
        except StgcnError as error:
            fault = str(error)
        if fault:
            problems.append({"record": index, "name": _safe_name(data, index), "problem": fault})
        count(done, len(chosen))
    return {
        "path": str(data.path),
        "format": data.format,
        "records": len(data),
        "read": len(chosen),
        "split": split,
        **_figures(sums, layout),
        "labels": _labels(data, chosen),
        "classes": list(data.classes),
        "splits": {name: len(indices) for name, indices in data.splits.items()},
        "problems": problems[:MOST_PROBLEMS],
        "problem_count": len(problems),
        "ok": not problems,
    }


def _known(name: str | None) -> Layout | None:
    return LAYOUTS[name] if name is not None and name in LAYOUTS else None


def _safe_name(data: Dataset, index: int) -> str:
    try:
        return data.name(index)
    except StgcnError:
        return str(index)


def _fault(data: Dataset, index: int, one: Recording, layout: Layout | None) -> str:
    """What is wrong with a record that can be read, or nothing."""
    if layout is not None and one.clip.shape[2] != layout.num_joints:
        return (
            f"{data.where(index)}: {one.clip.shape[2]} joints, and layout {layout.name} has "
            f"{layout.num_joints}."
        )
    if data.classes and one.label >= len(data.classes):
        return f"{data.where(index)}: label {one.label}, and there are {len(data.classes)} classes."
    if not one.clip.size:
        return f"{data.where(index)}: empty, shape {one.clip.shape}."
    return ""


def _figures(sums: _Sums, layout: Layout | None) -> dict[str, Any]:
    """The sums as plain values."""
    joints = sorted(sums.joint_counts)
    named = sorted(name for name in sums.layouts if name)
    fitting = [known for known in LAYOUTS if joints == [LAYOUTS[known].num_joints]]
    return {
        "raw": sums.raw,
        "prepared": sums.read - sums.raw,
        "layout": named[0] if len(named) == 1 and len(sums.layouts) == 1 else None,
        "layouts": named,
        "layouts_that_fit": fitting,
        "persons": sums.persons.whole(),
        "frames": sums.lengths.whole(),
        "joints": joints,
        "channels": sorted(sums.channels),
        "fps": _most(sums.rates),
        "image_sizes": [
            {"size": size and list(size), "records": number}
            for size, number in sums.sizes.most_common(MOST_LISTED)
        ],
        "image_size_count": len(sums.sizes),
        "values": _values(sums, layout or _known(named[0] if len(named) == 1 else None)),
        "frames_read": sums.frames,
        "empty_frames": _share(sums.empty_frames, sums.frames),
        "missing_joints": _share(sums.missing, sums.joints),
        "not_finite": _share(sums.not_finite, sums.numbers),
    }


def _most(rates: Counter[float | None]) -> list[dict[str, Any]]:
    return [{"fps": rate, "records": number} for rate, number in rates.most_common(MOST_LISTED)]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _values(sums: _Sums, layout: Layout | None) -> list[dict[str, Any]]:
    """Ranges of the channels, by name where it is known what they are."""
    pixels = None not in sums.sizes
    count = len(sums.values)
    if pixels or (layout is not None and layout.dimensions == 2):
        names = ["x", "y", "score"] if count == 3 else ["x", "y", "z", "score"]
    elif layout is not None:
        names = ["x", "y", "z", "score"]
    else:
        names = ["x", "y", "channel 2", "channel 3"]
    return [
        {
            "channel": names[index] if index < len(names) else f"channel {index}",
            "min": one.low if one.low <= one.high else None,
            "max": one.high if one.low <= one.high else None,
        }
        for index, one in enumerate(sums.values)
    ]


def _labels(data: Dataset, chosen: Indices) -> list[dict[str, Any]]:
    """How many records of each class; those without a label last."""
    found = Counter(data.labels[chosen].tolist())
    order = sorted(found, key=lambda label: (label == UNLABELLED, label))
    return [
        {
            "label": None if label == UNLABELLED else label,
            "name": data.classes[label] if 0 <= label < len(data.classes) else None,
            "records": found[label],
        }
        for label in order
    ]
