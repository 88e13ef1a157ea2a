"""Kinetics-skeleton as it was released: a folder of JSON files, one for each video, or one of them.

    kinetics_val/NAME.json      {"data": [{"frame_index": 1, "skeleton": [{"pose": [x, y, ...],
                                "score": [s, ...]}]}], "label": "class", "label_index": 7}
    kinetics_val_label.json     {NAME: {"has_skeleton": true, "label": "class", "label_index": 7}}

Coordinates are fractions of the image.  Records that the second file says to hold nobody are left out,
as st-gcn leaves them out.  Frames stand where frame_index says: the released files count from 1, and
st-gcn, whose networks read frame 0 as empty, does not take that off.

Source: https://github.com/yysijie/st-gcn, feeder/feeder_kinetics.py and tools/kinetics_gendata.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset, ReadOptions
from stgcn_deploy.data.formats.folder import named, recordings
from stgcn_deploy.data.formats.jsonfile import json_format, load_json
from stgcn_deploy.data.limits import MOST_FRAMES, MOST_PERSONS, room
from stgcn_deploy.data.recording import UNLABELLED, Recording
from stgcn_deploy.errors import DataError, FileUnreadableError
from stgcn_deploy.skeleton.layout import Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["FORMAT", "Videos"]

SUFFIX, OPENPOSE_END = ".json", "_keypoints.json"
LAYOUT = "openpose18"
# The released ones have half a megabyte.
MAX_BYTES = 32 << 20
MAX_LABEL = 2**31
END_BYTES = 4096
_LABEL = re.compile(rb'"label_index"\s*:\s*(-?[0-9]{1,10})\s*[,}]')


class Videos(Dataset):
    """The files of a folder, in the order of their names."""

    format = "kinetics-json"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        files = recordings(path, SUFFIX)
        said = options.labels or _label_map_of(path)
        known = _label_map(said) if said is not None else {}
        absent = {name for name, one in known.items() if one.get("has_skeleton") is False}
        self._files = [file for file in files if file.stem not in absent]
        if not self._files:
            raise DataError(f"{path}: all {len(files)} record(s) have no skeleton, says {said}.")
        labels = [
            _known_label(said, file.stem, known[file.stem])
            if said is not None and file.stem in known
            else _own_label(file)
            for file in self._files
        ]
        super().__init__(path, labels, classes=_class_names(known), options=options, layout=LAYOUT)

    def name(self, index: int) -> str:
        """The file's, without its ending."""
        return self._files[index].stem

    def _read(self, index: int) -> Recording:
        file = self._files[index]
        layout = LAYOUTS[self.layout or LAYOUT]
        return Recording(_clip(file, load_json(file, most_bytes=MAX_BYTES), layout), raw=True)


class VideosFormat:
    """See the module."""

    name = "kinetics-json"
    title = "Kinetics-skeleton, a folder of .json files or one of them"

    def recognises(self, path: Path) -> bool:
        """A JSON file of this kind, or a folder whose first one is, and none OpenPose's."""
        if path.is_dir():
            try:
                files = sorted(named(path, SUFFIX))
            except OSError:
                return False
            if not files or any(file.name.endswith(OPENPOSE_END) for file in files):
                return False
            return json_format(files[0]) == self.name
        return path.suffix == SUFFIX and path.is_file() and json_format(path) == self.name

    def open(self, path: Path, options: ReadOptions) -> Videos:
        """See DataFormat.open."""
        return Videos(path, options)


FORMAT = VideosFormat()


# ---- files and labels ------------------------------------------------------------------------


def _label_map_of(path: Path) -> Path | None:
    """The file with the labels of a folder, beside it."""
    found = path.with_name(f"{path.name}_label.json")
    return found if path.is_dir() and found.is_file() else None


def _label_map(path: Path) -> Mapping[str, Mapping[str, Any]]:
    found = load_json(path)
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise DataError(
            f'{path}: expected {{name: {{"label": ..., "label_index": ...}}}}, as '
            "kinetics_val_label.json is."
        )
    return found


def _known_label(path: Path, name: str, one: Mapping[str, Any]) -> int:
    value = one.get("label_index", UNLABELLED)
    if not _is_whole(value) or not UNLABELLED <= value < MAX_LABEL:
        raise DataError(
            f"{path}: {name} has label_index {str(value)[:40]!r}, expected a whole number from 0 on."
        )
    return int(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _class_names(known: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Names of the classes, if the labels name every one of them."""
    names: dict[int, str] = {}
    for one in known.values():
        index, name = one.get("label_index"), one.get("label")
        if _is_whole(index) and isinstance(name, str):
            names[int(index or 0)] = name
    whole = sorted(names) == list(range(len(names)))
    return tuple(names[index] for index in range(len(names))) if whole else ()


def _own_label(file: Path) -> int:
    """label_index of a video's own file, which stands at its end or at its start.

    Only where it is at neither the whole is searched, without making Python objects of the poses.
    """
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise FileUnreadableError(f"{file} exceeds {MAX_BYTES >> 20} MiB.")
        with file.open("rb") as opened:
            head = opened.read(END_BYTES)
            opened.seek(max(0, size - END_BYTES))
            found = _LABEL.findall(opened.read()) or _LABEL.findall(head)
            if not found and size > 2 * END_BYTES:
                opened.seek(0)
                found = _LABEL.findall(opened.read())
    except OSError as error:
        raise FileUnreadableError(f"cannot read {file}: {error.strerror}.") from None
    label = int(found[-1]) if found else UNLABELLED
    if not UNLABELLED <= label < MAX_LABEL:
        raise DataError(f"{file}: label_index is {label}, expected 0 or more.")
    return label


# ---- one video -------------------------------------------------------------------------------


def _clip(file: Path, value: Any, layout: Layout) -> NDArray[np.float32]:
    """(M, T, V, 3): x, y and score; persons of a frame stand in the file's order.

    Who stands in a slot may change from frame to frame.  Persons behind MOST_PERSONS are left out.

    Raises:
        DataError: something is not what it should be; the frame is named.
    """
    frames = value.get("data") if isinstance(value, dict) else None
    if not isinstance(frames, list) or not frames:
        raise DataError(f'{file}: no frames in "data"; expected a list of them.')
    people = {}
    for number, frame in enumerate(frames):
        where = f'{file}, item {number} of "data"'
        index, persons = _frame(where, frame)
        if index in people:
            raise DataError(f"{where}: a second frame {index}.")
        people[index] = persons
    for index, persons in people.items():
        joints = {len(person) for person in persons} - {layout.num_joints}
        if joints:
            raise DataError(
                f"{file}, frame {index}: a person of {joints.pop()} joints, {layout.name} has "
                f"{layout.num_joints}; name the layout that these are of: --layout NAME."
            )
    slots = max(1, *(len(persons) for persons in people.values()))
    clip = room(str(file), (slots, max(people) + 1, layout.num_joints, 3))
    for index, persons in people.items():
        for slot, person in enumerate(persons):
            clip[slot, index] = person
    return clip


def _frame(where: str, frame: Any) -> tuple[int, list[NDArray[np.float32]]]:
    """Which frame it is, and its persons (V, 3)."""
    if not isinstance(frame, dict) or not isinstance(frame.get("skeleton"), list):
        raise DataError(f'{where}: no "skeleton" in it; expected a list of persons.')
    index = frame.get("frame_index")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < MOST_FRAMES:
        raise DataError(
            f"{where}: frame_index is {str(index)[:40]}, expected 0 to {MOST_FRAMES - 1}."
        )
    return index, [_person(where, one) for one in frame["skeleton"][:MOST_PERSONS]]


def _person(where: str, one: Any) -> NDArray[np.float32]:
    if not isinstance(one, dict):
        raise DataError(f"{where}: a person is {type(one).__name__}, expected pose and score.")
    pose, score = _row(where, "pose", one), _row(where, "score", one)
    if len(pose) != 2 * len(score):
        raise DataError(
            f"{where}: a pose of {len(pose)} numbers and {len(score)} score(s); expected x, y for each "
            "score."
        )
    return np.column_stack([pose.reshape(-1, 2), score])


def _row(where: str, key: str, one: Mapping[str, Any]) -> NDArray[np.float32]:
    try:
        found = np.asarray(one.get(key))
        with np.errstate(over="ignore"):
            made = found.astype(np.float32)
    except (ValueError, TypeError, OverflowError):
        found = made = np.zeros(0, np.float32)
    if found.ndim != 1 or found.dtype.kind not in "fiu" or not found.size:
        raise DataError(f"{where}: {key} is no row of numbers.")
    if not np.isfinite(made).all():
        raise DataError(f"{where}: {key} holds NaN or infinite numbers; set missing joints to 0.")
    return made
