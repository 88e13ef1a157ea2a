"""NTU RGB+D as it was released: one .skeleton text for each recording, or a folder of them.

    number of frames
    for each frame:   number of bodies
      for each body:  body ID and 9 more values
                      number of joints, 25
        for each:     x y z (metres, from the camera) and 9 more values

Labels and splits come from the names: S setup, C camera, P subject, R repetition, A action (from 1).
The lists of recordings with missing skeletons, which papers leave out, are not applied here.

Source: https://github.com/shahroudy/NTURGB-D; arXiv 1604.02808 and 1905.04757 (protocols).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset, Indices, ReadOptions
from stgcn_deploy.data.formats.folder import named, recordings
from stgcn_deploy.data.limits import MOST_FRAMES, MOST_PERSONS, room
from stgcn_deploy.data.recording import UNLABELLED, Recording
from stgcn_deploy.errors import DataError, FileUnreadableError

__all__ = ["FORMAT", "Skeletons"]

SUFFIX, LAYOUT, FPS = ".skeleton", "ntu25", 30.0
JOINTS, BODY_VALUES, JOINT_VALUES = 25, 10, 12
# The longest of the data set have a few megabytes.
MAX_BYTES = 64 << 20
# The Kinect follows six at once.
MOST_BODIES = 16
NTU60_ACTIONS = 60
TRAIN_CAMERAS = frozenset((2, 3))
TRAIN_SUBJECTS = frozenset(
    (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
)
TRAIN_SUBJECTS_120 = TRAIN_SUBJECTS | frozenset(
    (
        45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86,
        89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
    )
)  # fmt: skip
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")


class Facts(NamedTuple):
    """What a name says."""

    setup: int
    camera: int
    subject: int
    repetition: int
    action: int


# Split -> who trains; NTU 60 is the first sixty actions, and 120 has them too.
NTU60: dict[str, Callable[[Facts], bool]] = {
    "xsub": lambda one: one.subject in TRAIN_SUBJECTS,
    "xview": lambda one: one.camera in TRAIN_CAMERAS,
}
NTU120: dict[str, Callable[[Facts], bool]] = {
    "xsub120": lambda one: one.subject in TRAIN_SUBJECTS_120,
    "xset": lambda one: one.setup % 2 == 0,
}


class Skeletons(Dataset):
    """The files of a folder, in the order of their names."""

    format = "ntu-skeleton"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._files = recordings(path, SUFFIX)
        facts = [_facts(file.stem) for file in self._files]
        labels = [one.action - 1 if one else UNLABELLED for one in facts]
        super().__init__(path, labels, splits=_splits(facts), options=options, layout=LAYOUT)

    def name(self, index: int) -> str:
        """The file's, without its ending."""
        return self._files[index].stem

    def _read(self, index: int) -> Recording:
        return Recording(_Text(self._files[index]).clip(), raw=True, fps=FPS)


class SkeletonFormat:
    """See the module."""

    name = "ntu-skeleton"
    title = "NTU RGB+D, a .skeleton file or a folder of them"

    def recognises(self, path: Path) -> bool:
        """By the ending."""
        if path.is_dir():
            try:
                return any(True for _ in named(path, SUFFIX))
            except OSError:
                return False
        return path.suffix == SUFFIX and path.is_file()

    def open(self, path: Path, options: ReadOptions) -> Skeletons:
        """See DataFormat.open."""
        return Skeletons(path, options)


FORMAT = SkeletonFormat()


def _facts(name: str) -> Facts | None:
    found = _NAME.match(name)
    facts = Facts(*map(int, found.groups())) if found else None
    return facts if facts and facts.action else None


def _splits(facts: list[Facts | None]) -> dict[str, Indices]:
    """The protocols that these recordings can be split by; those of NTU 120 only where it is there."""
    known = [(number, one) for number, one in enumerate(facts) if one]
    first = [(number, one) for number, one in known if one.action <= NTU60_ACTIONS]
    made: dict[str, Indices] = {}
    for protocols, records in ((NTU60, first), (NTU120, known if len(known) > len(first) else [])):
        for name, trains in protocols.items():
            for part, wanted in (("train", True), ("val", False)):
                numbers = [number for number, one in records if trains(one) is wanted]
                if numbers:
                    made[f"{name}_{part}"] = np.array(numbers, dtype=np.int64)
    return made


class _Text:
    """The lines of one file, one after the other.

    Raises:
        FileUnreadableError: it cannot be read, or is too large.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.number = 0
        try:
            if file.stat().st_size > MAX_BYTES:
                raise FileUnreadableError(f"{file} exceeds {MAX_BYTES >> 20} MiB.")
            text = file.read_text(encoding="ascii", errors="replace")
        except OSError as error:
            raise FileUnreadableError(f"cannot read {file}: {error.strerror}.") from None
        self.lines = text.rstrip().split("\n") if text.strip() else []

    def clip(self) -> NDArray[np.float32]:
        """(M, T, 25, 3): bodies in the order in which they are first seen.

        Of more than MOST_PERSONS, those are kept that are seen in most frames.

        Raises:
            DataError: the text is not what its counts say; the line is named.
        """
        total = self._count("frames", 1, MOST_FRAMES)
        seen: dict[str, dict[int, NDArray[np.float32]]] = {}
        for frame in range(total):
            for _ in range(self._count("bodies", 0, MOST_BODIES)):
                body = self._values("a body", BODY_VALUES)[0]
                if frame in seen.setdefault(body, {}):
                    raise self._wrong(f"body {body[:40]} twice in frame {frame}")
                seen[body][frame] = self._joints()
        if self.number < len(self.lines):
            self.number += 1
            raise self._wrong(f"text after the last of {total} frame(s), the first line's count")
        most = sorted(seen, key=lambda body: -len(seen[body]))[:MOST_PERSONS]
        kept = [frames for body, frames in seen.items() if body in most]
        clip = room(str(self.file), (max(1, len(kept)), total, JOINTS, 3))
        for slot, frames in enumerate(kept):
            for frame, joints in frames.items():
                clip[slot, frame] = joints
        return clip

    def _joints(self) -> NDArray[np.float32]:
        self._count("joints", JOINTS, JOINTS)
        joints = np.empty((JOINTS, 3), np.float32)
        for joint in range(JOINTS):
            values = self._values("a joint", JOINT_VALUES)[:3]
            try:
                with np.errstate(over="ignore"):
                    joints[joint] = [float(value) for value in values]
            except ValueError:
                raise self._wrong(f"{' '.join(values)[:40]!r}, expected x y z") from None
            if not np.isfinite(joints[joint]).all():
                raise self._wrong(f"{' '.join(values)[:40]!r}, expected finite x y z")
        return joints

    def _line(self, what: str) -> str:
        if self.number == len(self.lines):
            raise DataError(
                f"{self.file} ends after line {self.number}, where {what} should follow; the file is "
                "cut short, copy it again."
            )
        self.number += 1
        return self.lines[self.number - 1].strip()

    def _count(self, what: str, least: int, most: int) -> int:
        line = self._line(f"the number of {what}")
        count = int(line) if re.fullmatch(r"[0-9]{1,9}", line) else -1
        if not least <= count <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise self._wrong(f"{line[:40]!r}, expected the number of {what}, {wanted}")
        return count

    def _values(self, what: str, count: int) -> list[str]:
        values = self._line(what).split()
        if len(values) != count:
            raise self._wrong(f"{len(values)} value(s), expected the {count} of {what}")
        return values

    def _wrong(self, why: str) -> DataError:
        return DataError(f"{self.file}, line {self.number}: {why}.")
