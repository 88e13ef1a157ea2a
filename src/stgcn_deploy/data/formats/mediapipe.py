"""Landmarks of MediaPipe Pose or Hands in the files that people write of them: JSON and CSV.

JSON: a list of frames, or {"frames": [...], "fps": 30}; a frame is null or empty where nobody is, else
the landmarks of a person, or a list of such lists for several, or {"landmarks": either}; a landmark is
{"x", "y", "z", "visibility"} or [x, y], [x, y, z] or [x, y, z, visibility].  CSV: see mediapipe_csv.

A clip has x, y, visibility; x, y alone where the file has no visibility, for none is made up.  z is left
out, as networks of these landmarks do.  Coordinates are fractions of the image; given its size, they
become pixels.

Source: https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_deploy.data.dataset import Dataset, ReadOptions
from stgcn_deploy.data.formats.folder import named
from stgcn_deploy.data.formats.jsonfile import json_format, load_json
from stgcn_deploy.data.formats.mediapipe_csv import LAYOUT_OF, Cell, is_table, read_table
from stgcn_deploy.data.formats.named_labels import labels_of
from stgcn_deploy.data.limits import MOST_FRAMES, room
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import DataError, FileUnreadableError
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["FORMAT", "Landmarks"]

SUFFIXES = (".csv", ".json")
KEYS = ("landmarks", "pose_landmarks", "poseLandmarks", "hand_landmarks", "multi_hand_landmarks")
MAX_PERSONS = 64


class Landmarks(Dataset):
    """One file, or the files of a folder in the order of their names."""

    format = "mediapipe"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._files = _files(path)
        self._names = [file.stem for file in self._files]
        super().__init__(path, labels_of(path, self._names, options.labels), options=options)

    def name(self, index: int) -> str:
        """The file's, without its ending."""
        return self._names[index]

    def _read(self, index: int) -> Recording:
        file, fps = self._files[index], None
        if file.suffix == ".csv":
            cells, joints, frames, scored = read_table(file)
        else:
            cells, joints, frames, scored, fps = _from_json(file)
        if not joints:
            known = self.layout if self.layout in LAYOUTS else None
            joints = LAYOUTS[known].num_joints if known else 0
        if not joints:
            raise DataError(f"{file}: nobody in any frame; how many joints is --layout's.")
        people = sorted({person for _, person, _, _ in cells})
        if len(people) > MAX_PERSONS:
            raise DataError(f"{file}: {len(people)} persons; expected at most {MAX_PERSONS}.")
        slots = {person: slot for slot, person in enumerate(people)}
        clip = room(str(file), (max(1, len(people)), frames, joints, 3 if scored else 2))
        with np.errstate(over="ignore"):
            for frame, person, joint, point in cells:
                clip[slots[person], frame, joint] = point
        if not np.isfinite(clip).all():
            raise DataError(f"{file}: numbers too large for landmarks.")
        size = self.options.image_size
        if size is not None:
            clip[..., :2] *= np.array(size, np.float32)
        return Recording(clip, LAYOUT_OF.get(joints), size, raw=True, fps=fps)


class LandmarksFormat:
    """See the module."""

    name = "mediapipe"
    title = "MediaPipe landmarks, a .json or .csv file or a folder of them"

    def recognises(self, path: Path) -> bool:
        """By the first keys or column names; a folder by its first file."""
        if path.is_dir():
            try:
                files = _listed(path)
            except OSError:
                return False
            return bool(files) and self.recognises(files[0])
        if not path.is_file():
            return False
        if path.suffix == ".csv":
            return is_table(path)
        return path.suffix == ".json" and json_format(path) == self.name

    def open(self, path: Path, options: ReadOptions) -> Landmarks:
        """See DataFormat.open."""
        return Landmarks(path, options)


FORMAT = LandmarksFormat()


def _listed(folder: Path) -> list[Path]:
    return sorted(file for suffix in SUFFIXES for file in named(folder, suffix))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        files = _listed(path)
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    if not files:
        raise DataError(f"{path} holds no file of landmarks, {' or '.join(SUFFIXES)}.")
    return files


def _from_json(file: Path) -> tuple[list[Cell], int, int, bool, float | None]:
    """Cells, V (0 where nobody is), T, whether there is visibility, frames per second."""
    value, fps = load_json(file), None
    if isinstance(value, dict):
        rate = value.get("fps")
        if isinstance(rate, (int, float)) and 0 < rate < 1e4:
            fps = float(rate)
        value = value.get("frames", [value] if any(key in value for key in KEYS) else None)
    if not isinstance(value, list) or not 0 < len(value) <= MOST_FRAMES:
        raise DataError(
            f'{file}: no list of 1 to {MOST_FRAMES} frames, and no "frames" that is one.'
        )
    cells: list[Cell] = []
    joints, scored = 0, None
    for number, frame in enumerate(value):
        where = f"{file}, frame {number}"
        for person, landmarks in enumerate(_poses(where, frame)):
            if len(landmarks) not in LAYOUT_OF or joints not in (0, len(landmarks)):
                wanted = str(joints) if joints else " or ".join(map(str, LAYOUT_OF))
                raise DataError(f"{where}: {len(landmarks)} landmarks, expected {wanted}.")
            joints = len(landmarks)
            for joint, one in enumerate(landmarks):
                point = _point(f"{where}, landmark {joint}", one)
                if point is None:
                    continue
                if scored not in (None, len(point) > 2):
                    raise DataError(f"{where}: visibility of some landmarks, and not of others.")
                scored = len(point) > 2
                cells.append((number, person, joint, point))
    return cells, joints, len(value), bool(scored), fps


def _poses(where: str, frame: Any) -> Sequence[Sequence[Any]]:
    """The landmarks of each person in a frame."""
    if isinstance(frame, dict):
        keys = [key for key in KEYS if key in frame]
        if not keys:
            raise DataError(f'{where}: no "landmarks" in it; found {sorted(map(str, frame))[:6]}.')
        frame = frame[keys[0]]
    if frame is None or frame == []:
        return []
    if not isinstance(frame, list):
        raise DataError(f"{where}: {type(frame).__name__}, expected a list of landmarks, or null.")
    first = frame[0]
    several = (isinstance(first, list) and first and isinstance(first[0], (dict, list))) or (
        isinstance(first, dict) and any(key in first for key in KEYS)
    )
    if not several:
        return [frame]
    if len(frame) > MAX_PERSONS:
        raise DataError(f"{where}: {len(frame)} persons; expected at most {MAX_PERSONS}.")
    found: list[Sequence[Any]] = []
    for one in frame:
        inner = (
            next((one[key] for key in KEYS if key in one), None) if isinstance(one, dict) else one
        )
        if not isinstance(inner, list):
            raise DataError(f"{where}: a person is no list of landmarks.")
        found.append(inner)
    return found


def _point(where: str, one: Any) -> tuple[float, ...] | None:
    """x, y and, where it is there, visibility; None for a landmark that is null."""
    if one is None:
        return None
    if isinstance(one, dict):
        values = [one.get("x"), one.get("y"), *([one["visibility"]] if "visibility" in one else [])]
    elif isinstance(one, list) and len(one) in (2, 3, 4):
        values = [*one[:2], *one[3:]]
    else:
        values = []
    if len(values) < 2 or not all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9
        for value in values
    ):
        raise DataError(
            f"{where}: {str(one)[:60]}; expected x, y, z, visibility, by name or in that order."
        )
    return tuple(float(value) for value in values)
