"""What OpenPose writes with --write_json: a folder with one file for each frame.

    clip/clip_000000000000_keypoints.json
        {"people": [{"person_id": [-1], "pose_keypoints_2d": [x, y, c, x, y, c, ...]}]}

One such folder is one recording, a folder of them many.  Files are taken in natural order (2 before
10), each as the next frame.  Where every person of a recording has a person_id, ids take slots as they
appear; else a person's slot is the place in the frame's list, which need not be the same person in the
next.  25 joints are BODY_25, 18 COCO.

Source: https://github.com/CMU-Perceptual-Computing-Lab/openpose, doc/02_output.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset, ReadOptions
from stgcn_deploy.data.formats.folder import named
from stgcn_deploy.data.formats.jsonfile import json_format, load_json
from stgcn_deploy.data.formats.named_labels import labels_of
from stgcn_deploy.data.limits import MOST_FRAMES, room
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import DataError, FileUnreadableError
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["FORMAT", "OpenPose"]

END = "_keypoints.json"
LAYOUT_OF = {25: "openpose25", 18: "openpose18"}
# A crowd of a hundred, with faces and hands, takes a tenth of it.
MAX_BYTES = 8 << 20
MAX_PEOPLE = 256
# (id, or None where there is none; joints (V, 3)) of the people in one frame.
People = list[tuple[int | None, NDArray[np.float32]]]


class OpenPose(Dataset):
    """One folder of frames, or a folder of such folders in the order of their names."""

    format = "openpose-json"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._places = _places(path)
        names = [_stem(place) for place in self._places]
        self._names = names
        super().__init__(path, labels_of(path, names, options.labels), options=options)

    def name(self, index: int) -> str:
        """The folder's."""
        return self._names[index]

    def _read(self, index: int) -> Recording:
        where, place = self.where(index), self._places[index]
        files = [place] if place.is_file() else _frames(place)
        if not files:
            raise DataError(f"{where}: {place} holds no *{END} file.")
        if len(files) > MOST_FRAMES:
            raise DataError(f"{where}: {len(files)} frames; expected at most {MOST_FRAMES}.")
        frames = [_people(file) for file in files]
        joints = _joints(where, files, frames, self.layout)
        slots = _slots(frames)
        count = 1 + max((slot for row in slots for slot in row), default=0)
        clip = room(where, (count, len(frames), joints, 3))
        for place_in_time, (people, row) in enumerate(zip(frames, slots, strict=True)):
            for (_, points), slot in zip(people, row, strict=True):
                clip[slot, place_in_time] = points
        return Recording(clip, LAYOUT_OF.get(joints), raw=True)


class OpenPoseFormat:
    """See the module."""

    name = "openpose-json"
    title = f"OpenPose output, a folder of *{END} files, or a folder of such folders"

    def recognises(self, path: Path) -> bool:
        """By the names of the files; one file by what it holds."""
        if not path.is_dir():
            return path.suffix == ".json" and path.is_file() and json_format(path) == self.name
        try:
            if any(True for _ in named(path, END)):
                return True
            folders = _folders(path)
            return bool(folders) and any(True for _ in named(folders[0], END))
        except OSError:
            return False

    def open(self, path: Path, options: ReadOptions) -> OpenPose:
        """See DataFormat.open."""
        return OpenPose(path, options)


FORMAT = OpenPoseFormat()


def _places(path: Path) -> list[Path]:
    """The folder, or the folders in it; a file is a recording of one frame."""
    if not path.is_dir():
        return [path]
    try:
        if any(True for _ in named(path, END)):
            return [path]
        found = _folders(path)
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    if not found:
        raise DataError(f"{path} holds no *{END} file, and no folder of them.")
    return found


def _folders(path: Path) -> list[Path]:
    found = [one for one in path.iterdir() if one.is_dir() and not one.name.startswith(".")]
    return sorted(found, key=_natural)


def _frames(folder: Path) -> list[Path]:
    try:
        return sorted(named(folder, END), key=_natural)
    except OSError as error:
        raise FileUnreadableError(f"cannot read {folder}: {error.strerror}.") from None


def _natural(path: Path) -> list[tuple[int, str]]:
    """Numbers as numbers, the rest as text."""
    parts = re.findall(r"[0-9]{1,4000}|[^0-9]+", path.name)
    return [(int(part), "") if part[0] in "0123456789" else (-1, part) for part in parts]


def _stem(place: Path) -> str:
    return place.name.removesuffix(END)


def _people(file: Path) -> People:
    """The people of one frame."""
    value = load_json(file, most_bytes=MAX_BYTES)
    people = value.get("people") if isinstance(value, dict) else None
    if not isinstance(people, list) or len(people) > MAX_PEOPLE:
        raise DataError(
            f'{file}: no "people", a list of at most {MAX_PEOPLE}; expected what OpenPose writes.'
        )
    return [_person(file, number, one) for number, one in enumerate(people)]


def _person(file: Path, number: int, one: Any) -> tuple[int | None, NDArray[np.float32]]:
    where = f"{file}, person {number}"
    if not isinstance(one, dict) or "pose_keypoints_2d" not in one:
        raise DataError(f'{where}: no "pose_keypoints_2d" in it.')
    try:
        points = np.asarray(one["pose_keypoints_2d"])
    except (ValueError, TypeError, OverflowError):
        points = np.zeros(0)
    if points.dtype.kind not in "fiu" or points.ndim != 1 or points.size // 3 not in LAYOUT_OF:
        wanted = " or ".join(f"{3 * count} ({layout})" for count, layout in LAYOUT_OF.items())
        raise DataError(
            f"{where}: pose_keypoints_2d of {points.size} numbers; expected x, y, c of each joint: "
            f"{wanted}."
        )
    if points.size % 3:
        raise DataError(
            f"{where}: pose_keypoints_2d of {points.size} numbers, not x, y, c of each."
        )
    with np.errstate(over="ignore"):
        joints = points.astype(np.float32).reshape(-1, 3)
    given = one.get("person_id", [-1])
    if isinstance(given, list):
        given = given[0] if given else -1
    known = isinstance(given, int) and not isinstance(given, bool) and 0 <= given < 2**63
    return (given if known else None), joints


def _joints(where: str, files: Sequence[Path], frames: list[People], layout: str | None) -> int:
    """V of all frames."""
    found: int | None = None
    for file, people in zip(files, frames, strict=True):
        for _, points in people:
            if found not in (None, len(points)):
                raise DataError(
                    f"{file}: {len(points)} joints, and {found} in the frames before it."
                )
            found = len(points)
    if found is not None:
        return found
    if layout is None or layout not in LAYOUTS:
        raise DataError(f"{where}: nobody in any frame; how many joints there are is --layout's.")
    return LAYOUTS[layout].num_joints


def _slots(frames: list[People]) -> list[list[int]]:
    """Slot of each person of each frame."""
    tracked = all(
        None not in ids and len(set(ids)) == len(ids)
        for ids in ([number for number, _ in people] for people in frames)
    )
    if not tracked:
        return [list(range(len(people))) for people in frames]
    slots: dict[int | None, int] = {}
    return [[slots.setdefault(number, len(slots)) for number, _ in people] for people in frames]
