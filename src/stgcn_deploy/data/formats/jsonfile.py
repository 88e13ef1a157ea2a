"""JSON from outside: of limited size, with our errors; and which format a file is of, by its first keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgcn_deploy.errors import FileUnreadableError

__all__ = ["first_keys", "json_format", "load_json"]

# As Python lists, a JSON text takes up to twenty times its own size.
MAX_BYTES = 64 << 20
# So much of a file is looked at to tell what it is.
HEAD_BYTES = 4096
# Format -> keys one of which its outermost object has.  One table, so that no file is of two formats.
SIGNS = {
    "clip": ("keypoints",),
    "kinetics-json": ("data", "label_index"),
    "openpose-json": ("people",),
    "mediapipe": ("frames", "landmarks", "pose_landmarks", "poseLandmarks", "x", "visibility"),
}
# A string may be cut off by the end of what was read, which must not make the search start again.
_TOKEN = re.compile(
    r'"(?P<text>(?:[^"\\]|\\.)*)(?P<closed>"?)|[{}\[\]:]|[^\s{}\[\]:,"]+', re.DOTALL
)


def load_json(path: Path, *, most_bytes: int = MAX_BYTES, advice: str = "") -> Any:
    """What a JSON file holds; NaN and Infinity pass, as Python writes them.

    Args:
        most_bytes: larger files are refused before they are read.
        advice: what to do with a file that is too large, a sentence.

    Raises:
        FileUnreadableError: missing, too large, no JSON, or nested too deep.
    """
    try:
        size = path.stat().st_size
        if size > most_bytes:
            raise FileUnreadableError(
                f"{path} exceeds {most_bytes >> 20} MiB{'; ' + advice if advice else '.'}"
            )
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise FileUnreadableError(f"{path} is no valid JSON: {error}") from None


def json_format(path: Path) -> str:
    """Name of the data format that a .json file is of; "clip" where its first keys say nothing.

    Raises:
        FileUnreadableError: it cannot be read.
    """
    keys = first_keys(path)
    for name, signs in SIGNS.items():
        if any(sign in keys for sign in signs):
            return name
    return "clip"


def first_keys(path: Path) -> tuple[str, ...]:
    """Keys of the outermost object that stand in the first bytes of a file, in their order.

    The outermost object may be an item of an array, or of an array in one: then it is the first.

    Raises:
        FileUnreadableError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    return tuple(_keys(head.decode("utf-8-sig", errors="replace")))


def _keys(text: str) -> Iterator[str]:
    """See first_keys."""
    depth, inside, last = 0, False, None
    for token in _TOKEN.finditer(text):
        found = token.group()
        if found == "{" and not inside:
            inside, depth = True, 1
        elif not inside:
            # A recording may begin with frames that nobody is in.
            if found not in ("[", "]", "null"):
                return
        elif found in ("{", "["):
            depth += 1
        elif found in ("}", "]"):
            depth -= 1
            if not depth:
                return
        elif found == ":" and depth == 1 and last is not None:
            yield last
        last = token.group("text") if token.group("closed") else None
