"""Tables of MediaPipe landmarks, as people write them.

wide    a row for each frame:     x0,y0,z0,v0,x1,...   or   nose_x,nose_y,nose_z,nose_visibility,...
long    a row for each landmark:  frame,landmark,x,y,z,visibility

Numbers in names start at 0 or at 1; a column `frame` places rows in time, `person` or `pose` tells
people apart; other columns are passed over.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stgcn_deploy.errors import DataError, FileUnreadableError
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["LAYOUT_OF", "Cell", "is_table", "read_table"]

LAYOUT_OF = {33: "mediapipe33", 21: "handmp21"}
MAX_BYTES = 256 << 20
HEAD_BYTES = 1 << 16
# frame, person, joint -> x, y and, where the file has it, visibility.
Cell = tuple[int, int, int, tuple[float, ...]]

_AXES = {"x": "x", "y": "y", "z": "z", "v": "v", "vis": "v", "visibility": "v", "score": "v"}
_AXIS = "(x|y|z|visibility|vis|v|score)"
_PREFIX = "(?:pose|landmarks?|lm|joint|kp|keypoint|point|p)?_?"
_BY_NUMBER = (
    re.compile(rf"{_AXIS}_?([0-9]{{1,3}})"),
    re.compile(rf"{_PREFIX}([0-9]{{1,3}})[_.]?{_AXIS}"),
)
_BY_NAME = re.compile(rf"([a-z_0-9 ]+?)[_. ]{_AXIS}")
_FRAME = ("frame", "frame_id", "frame_index", "frame_number", "frame_idx")
_PERSON = ("person", "person_id", "pose", "pose_id", "id", "hand")
_LANDMARK = ("landmark", "landmark_id", "landmark_index", "joint", "keypoint", "name", "index")


@dataclass(frozen=True)
class _Columns:
    """Where in a row things stand.

    Attributes:
        joints: joint -> axis -> column; empty in a long table.
        landmark, axes: of a long table.
    """

    frame: int | None
    person: int | None
    joints: dict[int, dict[str, int]]
    landmark: int | None = None
    axes: dict[str, int] | None = None

    @property
    def scored(self) -> bool:
        return "v" in (self.axes or self.joints[0])


def is_table(path: Path) -> bool:
    """Whether the first line names columns of landmarks.

    Raises:
        FileUnreadableError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(HEAD_BYTES).decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    try:
        rows = list(csv.reader([line]))
        return bool(rows) and _columns(path, rows[0]) is not None
    except (csv.Error, DataError):
        return False


def read_table(path: Path) -> tuple[list[Cell], int, int, bool]:
    """The landmarks of a file, how many joints and frames there are, and whether it has visibility.

    A landmark whose cells are empty or NaN is left out.

    Raises:
        FileUnreadableError: it cannot be read, or is too large.
        DataError: no such table; the line is named.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileUnreadableError(f"{path} exceeds {MAX_BYTES >> 20} MiB; cut it into parts.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            columns = _columns(path, next(rows, []))
            if columns is None:
                raise DataError(
                    f"{path}: the first line names no columns of landmarks; expected x0,y0,z0,v0,... "
                    "or nose_x,nose_y,... or frame,landmark,x,y,z,visibility."
                )
            return _read(path, rows, columns)
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    except (csv.Error, UnicodeError) as error:
        raise FileUnreadableError(f"{path} is no table of text: {error}.") from None


def _read(
    path: Path, rows: Iterator[list[str]], columns: _Columns
) -> tuple[list[Cell], int, int, bool]:
    cells: list[Cell] = []
    first = last = None
    wide, joints = columns.landmark is None, len(columns.joints)
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        where = f"{path}, line {number}"
        frame = number - 2 if columns.frame is None else _whole(where, row, columns.frame, "frame")
        person = 0 if columns.person is None else _whole(where, row, columns.person, "person")
        first = frame if first is None else min(first, frame)
        last = frame if last is None else max(last, frame)
        if wide:
            found = columns.joints.items()
        else:
            joint = _landmark(where, row, columns.landmark or 0)
            joints = max(joints, joint + 1)
            found = {joint: columns.axes or {}}.items()
        for joint, axes in found:
            point = _point(where, row, axes)
            if point is not None:
                cells.append((frame, person, joint, point))
    if first is None or last is None:
        raise DataError(f"{path} has a line of names and no other.")
    if not wide:
        joints = _count(path, joints)
    moved = [(frame - first, person, joint, point) for frame, person, joint, point in cells]
    return moved, joints, last - first + 1, columns.scored


def _columns(path: Path, names: Sequence[str]) -> _Columns | None:
    """What the first line says; None where it names no landmarks."""
    words = [name.strip().lower() for name in names]
    frame, person = _one_of(words, _FRAME), _one_of(words, _PERSON)
    landmark = _one_of(words, _LANDMARK)
    if landmark is not None and "x" in words and "y" in words:
        axes = {_AXES[word]: at for at, word in enumerate(words) if word in _AXES}
        if frame is None:
            raise DataError(f"{path}: a row for each landmark, and no column says the frame.")
        return _Columns(frame, person, {}, landmark, axes)
    found: dict[int | str, dict[str, int]] = {}
    for at, word in enumerate(words):
        part = _joint_and_axis(word)
        if part is not None:
            if part[1] in found.setdefault(part[0], {}):
                raise DataError(f"{path}: two columns are {word!r}.")
            found[part[0]][part[1]] = at
    joints = _numbered(path, found)
    return None if joints is None else _Columns(frame, person, joints)


def _one_of(words: Sequence[str], known: Sequence[str]) -> int | None:
    return next((words.index(word) for word in known if word in words), None)


def _joint_and_axis(word: str) -> tuple[int | str, str] | None:
    """(number or name of a joint, axis) of a column's name."""
    match = _BY_NUMBER[0].fullmatch(word)
    if match:
        return int(match[2]), _AXES[match[1]]
    match = _BY_NUMBER[1].fullmatch(word)
    if match:
        return int(match[1]), _AXES[match[2]]
    match = _BY_NAME.fullmatch(word)
    name = _joint_name(match[1]) if match else None
    return None if name is None or match is None else (name, _AXES[match[2]])


def _joint_name(text: str) -> str | None:
    """Our name of a joint in MediaPipe's spelling: MOUTH_LEFT is left_mouth."""
    name = text.strip().replace(" ", "_")
    name = {"mouth_left": "left_mouth", "mouth_right": "right_mouth"}.get(name, name)
    return name if any(name in LAYOUTS[layout].joints for layout in LAYOUT_OF.values()) else None


def _numbered(
    path: Path, found: dict[int | str, dict[str, int]]
) -> dict[int, dict[str, int]] | None:
    """The columns by joint number, if they are those of all joints of a layout."""
    if not any({"x", "y"} <= set(axes) for axes in found.values()):
        return None
    by_name = {key for key in found if isinstance(key, str)}
    if by_name:
        fitting = [one for one in LAYOUT_OF.values() if set(LAYOUTS[one].joints) == by_name]
        if not fitting or len(by_name) < len(found):
            raise DataError(
                f"{path}: columns of {len(found)} landmarks by name; expected all 33 of a body or 21 "
                "of a hand."
            )
        joints = LAYOUTS[fitting[0]].joints
        made = {joints.index(str(key)): axes for key, axes in found.items()}
    else:
        numbers = sorted(int(key) for key in found)
        if len(numbers) not in LAYOUT_OF or numbers[-1] - numbers[0] != len(numbers) - 1:
            raise DataError(
                f"{path}: columns of {len(numbers)} landmarks, {numbers[0]} to {numbers[-1]}; expected "
                "33 of a body or 21 of a hand."
            )
        if numbers[0] > 1:
            raise DataError(f"{path}: landmarks are counted from {numbers[0]}, expected 0 or 1.")
        made = {int(key) - numbers[0]: axes for key, axes in found.items()}
    if len({tuple(sorted(axes)) for axes in made.values()}) > 1 or "x" not in made[0]:
        raise DataError(f"{path}: not all landmarks have the same columns.")
    return made


def _cell(where: str, row: Sequence[str], at: int) -> str:
    if at >= len(row):
        raise DataError(f"{where}: {len(row)} cells, and column {at + 1} is needed.")
    return row[at].strip()


def _whole(where: str, row: Sequence[str], at: int, what: str) -> int:
    text = _cell(where, row, at)
    if not re.fullmatch(r"[0-9]{1,9}(\.0+)?", text):
        raise DataError(f"{where}: {what} is {text[:40]!r}, expected a whole number from 0 on.")
    return int(text.partition(".")[0])


def _landmark(where: str, row: Sequence[str], at: int) -> int:
    text = _cell(where, row, at).lower()
    if re.fullmatch(r"[0-9]{1,3}", text) and int(text) < max(LAYOUT_OF):
        return int(text)
    name = _joint_name(text)
    if name is None:
        raise DataError(
            f"{where}: landmark is {text[:40]!r}, expected 0 to {max(LAYOUT_OF) - 1} or a name."
        )
    joints = next(
        LAYOUTS[layout].joints for layout in LAYOUT_OF.values() if name in LAYOUTS[layout].joints
    )
    return joints.index(name)


def _point(where: str, row: Sequence[str], axes: dict[str, int]) -> tuple[float, ...] | None:
    """x, y and visibility; None where the cells are empty."""
    texts = [_cell(where, row, axes[axis]) for axis in ("x", "y", "v") if axis in axes]
    if any(text.lower() in ("", "nan", "none", "null") for text in texts[:2]):
        return None
    try:
        values = tuple(float(text) for text in texts)
    except ValueError:
        raise DataError(f"{where}: {', '.join(texts)[:60]!r} are no numbers.") from None
    if not all(map(math.isfinite, values)):
        raise DataError(f"{where}: {', '.join(texts)[:60]!r}; expected finite numbers.")
    return values


def _count(path: Path, joints: int) -> int:
    """V of a long table, in which a landmark may be missing everywhere."""
    if joints not in LAYOUT_OF:
        raise DataError(
            f"{path}: the last landmark is {joints - 1}; expected 32 of a body or 20 of a hand."
        )
    return joints
