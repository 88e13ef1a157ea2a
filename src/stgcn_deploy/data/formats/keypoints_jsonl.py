"""Files of our own stream of key points, see keypoint_lines: one recording, or one after the other.

A recording's frames stand at round((t - first t) * fps); places that no line names are empty, and of
two lines that fall on one place the later counts.  Person ids take slots in the order in which they
appear.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset, Header, ReadOptions
from stgcn_deploy.data.formats.keypoint_lines import (
    MAX_JOINTS,
    MAX_PERSONS,
    NAME,
    Frame,
    KeypointLines,
    StreamHeader,
    lines,
)
from stgcn_deploy.data.recording import UNLABELLED, Recording
from stgcn_deploy.errors import DataError, FileUnreadableError
from stgcn_deploy.files import fresh_file
from stgcn_deploy.skeleton.layout import Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["FORMAT", "KeypointFile"]

SUFFIXES = (".jsonl", ".ndjson")
HEAD_BYTES = 1 << 16
# A line can name a time hours away, for which a clip has empty frames: so many numbers are always
# allowed, more only where the file is as large.
MAX_NUMBERS = 1 << 25
MAX_NUMBERS_PER_BYTE = 16
Segment = tuple[int, float, float]


@dataclass
class _Part:
    """What the first pass found of one recording.

    Attributes:
        start, size: its frames in the file, in bytes, without the header.
        line: number of its header.
        frames: T.
        slots: person id -> slot.
        labels: (label, t of the first such frame) in order, one for each change.
        fault: why it cannot be read.
    """

    header: StreamHeader
    start: int
    line: int
    size: int = 0
    frames: int = 0
    first: float = 0.0
    last: float = 0.0
    joints: int = 0
    slots: dict[int, int] = field(default_factory=dict)
    labels: list[tuple[int, float]] = field(default_factory=list)
    fault: str = ""

    def place(self, t: float) -> int:
        """Index of the frame of a time."""
        return round((t - self.first) * self.header.fps)

    def add(self, frame: Frame) -> None:
        """Take a frame into account."""
        if not self.labels:
            self.first = frame.t
        if not self.labels or self.labels[-1][0] != frame.label:
            self.labels.append((frame.label, frame.t))
        self.last = frame.t
        self.frames = self.place(frame.t) + 1
        for person in frame.persons:
            self.slots.setdefault(person.id, len(self.slots))

    @property
    def label(self) -> int:
        """Of the whole recording, where all its frames agree."""
        return self.labels[0][0] if len(self.labels) == 1 else UNLABELLED

    def shape(self, where: str) -> tuple[int, int, int, int]:
        """(M, T, V, C), refused before anything of that size is made.

        Raises:
            DataError: there are no frames, or the clip would be out of proportion to the file.
        """
        if self.fault:
            raise DataError(self.fault)
        shape = (max(1, len(self.slots)), self.frames, self.joints, len(self.header.channels))
        if not self.labels:
            raise DataError(f"{where}: a header without frames.")
        if not self.joints:
            raise DataError(f"{where}: nobody in it, and no layout that says how many joints.")
        count = int(np.prod(shape, dtype=object))
        if count > max(MAX_NUMBERS, MAX_NUMBERS_PER_BYTE * self.size):
            raise DataError(
                f"{where}: {shape[0]} person ids and {shape[1]} frames ({self.last - self.first:g} s "
                f"at {self.header.fps:g} fps) would take {count * 4 >> 20} MiB for {self.size} bytes "
                "of text; is t in seconds, and does an id stay with its person?"
            )
        return shape


class KeypointFile(Dataset):
    """The recordings of one file; the file is gone through once when opened, and read on demand."""

    format = "keypoints-jsonl"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        try:
            self._parts = list(_scan(path))
        except OSError as error:
            raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
        if not self._parts:
            raise DataError(f'{path} is empty; the first line is a header, "format": "{NAME}".')
        headers = [part.header for part in self._parts]
        classes = headers[0].classes
        for part in self._parts:
            if part.header.classes not in ((), classes):
                raise DataError(
                    f"{path}, line {part.line}: other classes than in line {self._parts[0].line}; a "
                    "file has one list of them."
                )
        layouts = {header.layout for header in headers}
        super().__init__(
            path,
            [part.label for part in self._parts],
            classes=classes,
            options=options,
            layout=layouts.pop() if len(layouts) == 1 else None,
        )

    def name(self, index: int) -> str:
        """The header's."""
        return self._parts[index].header.name or str(index)

    def segments(self, index: int) -> list[Segment]:
        """What goes on when in one recording: (label, from, to) in seconds of its own clock.

        A segment ends where the next begins, the last one a frame after the last frame.  Times
        without a label are in none.
        """
        part = self._parts[index]
        ends = [t for _, t in part.labels[1:]] + [part.last + 1 / part.header.fps]
        found = zip(part.labels, ends, strict=True)
        return [(label, t, end) for (label, t), end in found if label != UNLABELLED]

    def _read(self, index: int) -> Recording:
        part, header = self._parts[index], self._parts[index].header
        clip = np.zeros(part.shape(self.where(index)), np.float32)
        for frame in self._frames(part):
            place = part.place(frame.t)
            for person in frame.persons:
                slot = part.slots.get(person.id)
                if slot is None or not 0 <= place < len(clip[slot]):
                    raise DataError(f"{self.where(index)}: the file changed while it was read.")
                clip[slot, place] = person.keypoints
        return Recording(
            clip, header.layout, header.image_size, header.raw, header.name, fps=header.fps
        )

    def _frames(self, part: _Part) -> Iterator[Frame]:
        reader = KeypointLines(str(self.path))
        reader.read(part.header.as_line())
        try:
            with self.path.open("rb") as file:
                file.seek(part.start)
                left = part.size
                for line in lines(file):
                    left -= len(line)
                    found = reader.read(line) if left >= 0 else None
                    if isinstance(found, Frame):
                        yield found
                    if left <= 0:
                        return
        except OSError as error:
            raise FileUnreadableError(f"cannot read {self.path}: {error.strerror}.") from None


class KeypointFormat:
    """See the module."""

    name = "keypoints-jsonl"
    title = "our stream of key points, one frame a line, .jsonl"

    def recognises(self, path: Path) -> bool:
        """By the first line."""
        if path.suffix not in SUFFIXES or not path.is_file():
            return False
        try:
            with path.open("rb") as file:
                return f'"{NAME}"'.encode() in file.readline(HEAD_BYTES)
        except OSError as error:
            raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None

    def open(self, path: Path, options: ReadOptions) -> KeypointFile:
        """See DataFormat.open."""
        return KeypointFile(path, options)

    def write(
        self, path: Path, recordings: Iterable[Recording], header: Header, *, force: bool = False
    ) -> dict[str, Any]:
        """Line after line; a joint without finite numbers becomes null."""
        records = nulls = 0
        with fresh_file(path, force=force) as partial, partial.open("w", encoding="utf-8") as file:
            for number, one in enumerate(recordings):
                where = f"record {number}" + (f" ({one.name})" if one.name else "")
                nulls += _write(file, where, one, header)
                records += 1
        return {
            "records": records,
            "files": {path.name: path.stat().st_size},
            "joints_written_null": nulls,
        }


FORMAT = KeypointFormat()


def _scan(path: Path) -> Iterator[_Part]:
    """All recordings of a file; what is wrong in the frames of one is kept for who reads it."""
    reader, part = KeypointLines(str(path)), None
    with path.open("rb") as file:
        for number, line in enumerate(lines(file), 1):
            try:
                found = reader.read(line)
            except DataError as error:
                if part is None or b'"format"' in line:
                    raise
                part.fault = part.fault or str(error)
                found = None
            if isinstance(found, StreamHeader):
                if part is not None:
                    yield part
                slots = {person: slot for slot, person in enumerate(found.persons)}
                part = _Part(found, file.tell(), number, joints=reader.joints or 0, slots=slots)
                continue
            if part is not None:
                part.size += len(line)
            if part is not None and isinstance(found, Frame):
                part.joints = reader.joints or 0
                part.add(found)
    if part is not None:
        yield part


def _write(file: TextIO, where: str, one: Recording, about: Header) -> int:
    """One recording; returns how many joints have no finite numbers."""
    layout = _layout(one.layout or about.layout)
    if one.fps is None:
        raise DataError(f"{where}: a stream has times, and the frame rate is not known: --fps N.")
    header = StreamHeader(
        layout=layout.name if layout else None,
        fps=float(one.fps),
        channels=_channels(where, one, layout),
        image_size=one.image_size,
        classes=about.classes,
        name=one.name,
        persons=tuple(range(len(one.clip))),
        raw=one.is_raw,
    )
    file.write(header.as_line() + "\n")
    clip = np.asarray(one.clip, dtype=np.float32)
    finite = np.asarray(np.isfinite(clip).all(axis=-1))
    there = np.asarray((np.where(finite[..., None], clip, 0) != 0).any(axis=(2, 3)))
    for place in range(clip.shape[1]):
        persons = [
            {"id": int(slot), "keypoints": _joints(clip[slot, place], finite[slot, place])}
            for slot in np.flatnonzero(there[:, place])
        ]
        frame: dict[str, Any] = {"t": round(place / header.fps, 6), "persons": persons}
        if one.label != UNLABELLED:
            frame["label"] = int(one.label)
        file.write(json.dumps(frame, separators=(",", ":")) + "\n")
    return int((~finite).sum())


def _layout(name: str | None) -> Layout | None:
    """One that readers know too; a user's own is not named in a stream."""
    return LAYOUTS[name] if name is not None and name in LAYOUTS else None


def _channels(where: str, one: Recording, layout: Layout | None) -> str:
    """What the last axis of a clip holds."""
    persons, _, joints, count = one.clip.shape
    if persons > MAX_PERSONS or joints > MAX_JOINTS:
        raise DataError(
            f"{where}: {persons} persons of {joints} joints; a line holds at most {MAX_PERSONS} of "
            f"{MAX_JOINTS}."
        )
    if count == 3 and one.image_size is None and layout is None:
        raise DataError(
            f"{where}: three channels are x, y, score or x, y, z; say which by the joints: --layout."
        )
    metric = one.image_size is None and layout is not None and layout.dimensions == 3
    found = {2: "xy", 3: "xyz" if metric else "xys", 4: "xyzs"}.get(count)
    if found is None:
        raise DataError(f"{where}: {count} channels, expected 2 to 4: x, y, (z,) score.")
    return found


def _joints(points: NDArray[np.float32], finite: NDArray[np.bool_]) -> list[list[float] | None]:
    """(V, C) as lists; through text, which gives each float32 its shortest spelling."""
    rows: list[list[float]] = points.astype("U32").astype(np.float64).tolist()
    return [row if known else None for row, known in zip(rows, finite.tolist(), strict=True)]
