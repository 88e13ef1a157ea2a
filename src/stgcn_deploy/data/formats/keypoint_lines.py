"""Our stream of key points, line by line: JSON objects, from a file, a pipe or a socket.

    {"format": "stgcn-keypoints", "version": 1, "layout": "mediapipe33", "fps": 25.0,
     "image_size": [w, h] | null, "channels": "xys", ...}                      a header, then frames:
    {"t": 0.04, "persons": [{"id": 1, "keypoints": [[x, y, s], null, ...]}], "label": 3}

docs/data.md has all fields.  A further header begins another recording.  Fields that are not known here
are passed over, so that a producer can send more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.recording import UNLABELLED, as_image_size
from stgcn_deploy.errors import ClipError, DataError
from stgcn_deploy.registry import nearest
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = [
    "CHANNELS",
    "MAX_JOINTS",
    "MAX_PERSONS",
    "NAME",
    "VERSION",
    "Frame",
    "KeypointLines",
    "Person",
    "StreamHeader",
    "lines",
]

NAME = "stgcn-keypoints"
VERSION = 1
# What a joint's numbers are: image or metric coordinates, s the score.
CHANNELS = ("xy", "xys", "xyz", "xyzs")
# Far above what 250 persons of 133 joints need, far below what would hurt.
MAX_LINE = 4 << 20
MAX_PERSONS = 256
MAX_JOINTS = 1024
MAX_FPS = 10_000.0
# Seconds; a clock of microseconds since 1970 given as seconds is refused.
MAX_TIME = 1e11


@dataclass(frozen=True)
class StreamHeader:
    """What a header line says.

    Attributes:
        channels: one of CHANNELS.
        persons: ids that have a slot from the beginning, in the order of the slots.
        raw: whether the numbers are a pose estimator's, not what a network sees.
    """

    layout: str | None
    fps: float
    channels: str
    image_size: tuple[int, int] | None = None
    classes: tuple[str, ...] = ()
    name: str = ""
    persons: tuple[int, ...] = ()
    raw: bool = True

    def as_line(self) -> str:
        """The line, without its end."""
        fields: dict[str, Any] = {
            "format": NAME,
            "version": VERSION,
            "layout": self.layout,
            "fps": self.fps,
            "image_size": list(self.image_size) if self.image_size else None,
            "channels": self.channels,
        }
        for key, value in (("classes", self.classes), ("persons", self.persons)):
            if value:
                fields[key] = list(value)
        if self.name:
            fields["name"] = self.name
        if not self.raw:
            fields["raw"] = False
        return json.dumps(fields, ensure_ascii=False)


@dataclass(frozen=True)
class Person:
    """Somebody in one frame.

    Attributes:
        keypoints: float32 (V, C); a joint that was null is zero.
        score: of the whole detection, where it is given.
        box: x, y, width, height, where it is given.
    """

    id: int
    keypoints: NDArray[np.float32]
    score: float | None = None
    box: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Frame:
    """One line of a recording.

    Attributes:
        t: seconds, ascending.
        label: what is going on, or UNLABELLED.
    """

    t: float
    persons: tuple[Person, ...]
    label: int = UNLABELLED


class KeypointLines:
    """Reads lines in their order; a wrong one is refused and does not disturb the next.

    Attributes:
        header: of the recording at hand, None before the first.
        joints: V, once it is known.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.header: StreamHeader | None = None
        self.joints: int | None = None
        self._line = 0
        self._last = -math.inf

    def read(self, line: bytes | str) -> StreamHeader | Frame | None:
        """What one line says; None for an empty one.

        Raises:
            DataError: it is no such line; source and line are named.
        """
        self._line += 1
        where = f"{self.source}, line {self._line}"
        if len(line) > MAX_LINE:
            raise DataError(f"{where}: longer than {MAX_LINE >> 20} MiB; one frame is one line.")
        if not line.strip():
            return None
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: no JSON object ({error}); one line is one object.") from None
        if not isinstance(value, dict):
            raise DataError(
                f"{where}: {type(value).__name__}, expected an object, a header or a frame."
            )
        if "format" in value:
            self.header = _header(where, value)
            known = self.header.layout
            self.joints = LAYOUTS[known].num_joints if known else None
            self._last = -math.inf
            return self.header
        if self.header is None:
            raise DataError(
                f'{where}: a frame before any header; the first line is {{"format": "{NAME}", '
                f'"version": {VERSION}, "layout": ..., "fps": ..., "channels": ...}}.'
            )
        return self._frame(where, self.header, value)

    def _frame(self, where: str, header: StreamHeader, value: dict[str, Any]) -> Frame:
        t = _number(where, "t", value.get("t"), -MAX_TIME, MAX_TIME)
        if t <= self._last:
            raise DataError(f"{where}: t is {t:g} after {self._last:g}; times ascend.")
        persons = value.get("persons")
        if not isinstance(persons, list) or len(persons) > MAX_PERSONS:
            raise DataError(f'{where}: "persons" is no list of at most {MAX_PERSONS} persons.')
        label = value.get("label")
        if label is None:
            label = UNLABELLED
        if not _whole(label) or not UNLABELLED <= label < 2**31:
            raise DataError(f"{where}: label is {label!r}, expected a whole number from 0 on.")
        found = tuple(self._person(where, header, one) for one in persons)
        ids = [one.id for one in found]
        if len(set(ids)) < len(ids):
            raise DataError(f"{where}: two persons have one id, {max(ids, key=ids.count)}.")
        self._last = t
        return Frame(t, found, label)

    def _person(self, where: str, header: StreamHeader, value: Any) -> Person:
        if not isinstance(value, dict) or not _whole(value.get("id")):
            raise DataError(
                f'{where}: a person is an object with "id", a whole number that stays with them, and '
                f'"keypoints"; found {_short(value)}.'
            )
        number, channels = value["id"], header.channels
        joints = value.get("keypoints")
        wanted = f"{self.joints or 'V'} joints [{', '.join(channels)}] or null"
        if not isinstance(joints, list) or not 0 < len(joints) <= MAX_JOINTS:
            raise DataError(f"{where}: keypoints of person {number} are no list of {wanted}.")
        nobody = [0.0] * len(channels)
        try:
            points = np.asarray([nobody if joint is None else joint for joint in joints])
        except (ValueError, TypeError, OverflowError):
            points = np.zeros(0)
        if points.dtype.kind not in "fiu" or points.shape != (len(joints), len(channels)):
            raise DataError(f"{where}: keypoints of person {number} are not {wanted} each.")
        if self.joints not in (None, len(joints)):
            raise DataError(
                f"{where}: person {number} has {len(joints)} joints, expected {self.joints}"
                + (f" ({header.layout})." if header.layout else ", as before.")
            )
        with np.errstate(over="ignore"):
            keypoints = points.astype(np.float32)
        if not np.isfinite(keypoints).all():
            raise DataError(
                f"{where}: keypoints of person {number} hold NaN or infinity; a joint that was not "
                "found is null."
            )
        self.joints = len(joints)
        score, box = value.get("score"), value.get("box")
        return Person(
            number,
            keypoints,
            None if score is None else _number(where, "score", score, -1e9, 1e9),
            None if box is None else _box(where, box),
        )


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines of a stream; of one that is too long only so much that KeypointLines refuses it."""
    while line := file.readline(MAX_LINE + 1):
        yield line
        if len(line) > MAX_LINE:
            return


def _header(where: str, value: dict[str, Any]) -> StreamHeader:
    if value["format"] != NAME:
        raise DataError(f'{where}: format is {value["format"]!r}, expected "{NAME}".')
    if value.get("version") != VERSION or isinstance(value["version"], bool):
        raise DataError(
            f"{where}: version is {value.get('version')!r}, this program reads {VERSION}."
        )
    channels = value.get("channels")
    if channels not in CHANNELS:
        raise DataError(
            f"{where}: channels is {channels!r}, expected one of {', '.join(CHANNELS)}."
        )
    size, name, raw = value.get("image_size"), value.get("name"), value.get("raw", True)
    try:
        image_size = None if size is None else as_image_size(f"{where}: image_size", size)
    except ClipError as error:
        raise DataError(str(error)) from None
    if not isinstance(raw, bool) or not isinstance(name or "", str):
        raise DataError(f"{where}: raw is true or false, and name a text.")
    return StreamHeader(
        layout=_layout(where, value.get("layout")),
        fps=_number(where, "fps", value.get("fps"), 1e-6, MAX_FPS),
        channels=channels,
        image_size=image_size,
        classes=_classes(where, value.get("classes")),
        name=name or "",
        persons=_ids(where, value.get("persons")),
        raw=raw,
    )


def _layout(where: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in LAYOUTS:
        raise DataError(
            f"{where}: unknown layout {value!r}{nearest(str(value), [*LAYOUTS, *LAYOUTS.aliases])} "
            "Say null for joints that are of no layout listed by `stgcn layouts`."
        )
    return LAYOUTS[value].name


def _classes(where: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise DataError(f"{where}: classes is no list of names.")
    return tuple(value)


def _ids(where: str, value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    if (
        not isinstance(value, list)
        or len(value) > MAX_PERSONS
        or not all(_whole(one) for one in value)
        or len(set(value)) < len(value)
    ):
        raise DataError(f"{where}: persons of a header is no list of different ids.")
    return tuple(value)


def _box(where: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != 4:
        raise DataError(f"{where}: box is {_short(value)}, expected [x, y, width, height].")
    return tuple(_number(where, "box", one, -1e9, 1e9) for one in value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _number(where: str, key: str, value: Any, low: float, high: float) -> float:
    """A finite number in a closed range."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise DataError(
            f"{where}: {key} is {_short(value)}, expected a number from {low:g} to {high:g}."
        )
    return float(value)


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, (int, float, str, type(None))) else str(type(value))
    return text if len(text) <= 40 else text[:40] + "..."
