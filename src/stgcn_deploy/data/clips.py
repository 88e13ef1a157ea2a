"""One clip from a file: .npy, .json or .pkl.

.npy    numbers (M, T, V, C), or (T, V, C) for one person
.json   the same as nested lists, bare or as {"keypoints": ..., "layout": "coco17"}; with
        "image_size": [w, h] or "raw": true as a pose estimator gave them
.pkl    a PYSKL / MMAction2 annotation: {"keypoint": (M, T, V, 2|3), "keypoint_score": (M, T, V),
        "img_shape": (h, w)}; always raw

Raw clips go through the steps that a bundle's codebase prepared its data with; the others are taken as
the network sees them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.safe_pickle import load_pickle
from stgcn_deploy.errors import ClipError, FileUnreadableError

__all__ = ["ClipFile", "read_clip"]

READABLE = (".npy", ".json", ".pkl")


@dataclass(frozen=True)
class ClipFile:
    """What a file holds.

    Attributes:
        clip: (M, T, V, C) float32; a score is the last channel.
        layout: its name, where the file says.
        image_size: (width, height) when the coordinates are pixels, else None.
        raw: whether it is what a pose estimator or a data set gave, not what a network sees; with an
            image size it always is.
    """

    clip: NDArray[np.float32]
    layout: str | None = None
    image_size: tuple[int, int] | None = None
    raw: bool = False

    @property
    def is_raw(self) -> bool:
        """Whether a codebase's steps are still to be taken."""
        return self.raw or self.image_size is not None


def read_clip(path: Path | str) -> ClipFile:
    """Read one clip.

    Raises:
        FileUnreadableError: missing, damaged, or of another kind.
        ClipError: not numbers, or not (M, T, V, C).
    """
    file = Path(path)
    if not file.is_file():
        raise FileUnreadableError(f"{file} does not exist; give a clip: {', '.join(READABLE)}.")
    if file.suffix == ".npy":
        return ClipFile(_numbers(file, _load_npy(file)))
    if file.suffix == ".json":
        return _from_json(file)
    if file.suffix == ".pkl":
        return _from_annotation(file, load_pickle(file))
    raise FileUnreadableError(
        f"{file}: unknown kind {file.suffix!r}; expected {', '.join(READABLE)}."
    )


def _load_npy(file: Path) -> Any:
    try:
        return np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise FileUnreadableError(f"{file} is no readable .npy array: {error}") from None


def _numbers(file: Path, value: Any) -> NDArray[np.float32]:
    try:
        found = np.asarray(value)
    except (ValueError, TypeError):
        raise ClipError(f"{file}: not a regular array of numbers; expected (M, T, V, C).") from None
    if found.dtype.kind not in "fiu":
        raise ClipError(
            f"{file}: not a regular array of numbers but of {found.dtype}; expected numbers "
            "(M, T, V, C)."
        )
    # What float32 cannot hold becomes infinite, and is refused with the other such values.
    with np.errstate(over="ignore"):
        clip = found.astype(np.float32)
    if clip.ndim == 3:
        clip = clip[None]
    if clip.ndim != 4:
        raise ClipError(
            f"{file}: shape {clip.shape}, expected (M, T, V, C) or (T, V, C): persons, frames, "
            "joints, channels."
        )
    return clip


def _from_json(file: Path) -> ClipFile:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise FileUnreadableError(f"{file} is no valid JSON: {error}") from None
    if isinstance(value, dict):
        if "keypoints" not in value:
            raise ClipError(f'{file}: no "keypoints" in it; found {sorted(value)[:6]}.')
        layout, raw = value.get("layout"), value.get("raw", False)
        if layout is not None and not isinstance(layout, str):
            raise ClipError(f'{file}: "layout" is {layout!r}, expected the name of one.')
        if not isinstance(raw, bool):
            raise ClipError(f'{file}: "raw" is {raw!r}, expected true or false.')
        size = value.get("image_size")
        image_size = _image_size(f'{file}: "image_size"', size) if size is not None else None
        clip = _numbers(file, value["keypoints"])
        return ClipFile(clip, layout, image_size, raw)
    return ClipFile(_numbers(file, value))


def _image_size(what: str, value: Any) -> tuple[int, int]:
    """(w, h) of two whole numbers above 0."""
    try:
        sides = [int(side) for side in value]
    except (TypeError, ValueError, OverflowError):
        sides = []
    if len(sides) != 2 or min(sides) < 1:
        raise ClipError(f"{what} is {value!r}, expected two whole numbers above 0.")
    return sides[0], sides[1]


def _from_annotation(file: Path, value: Any) -> ClipFile:
    if not isinstance(value, dict) or "keypoint" not in value:
        kind = f"keys {sorted(map(str, value))[:6]}" if isinstance(value, dict) else type(value)
        raise ClipError(
            f'{file}: no "keypoint" in it (found {kind}); expected one PYSKL annotation.'
        )
    points = _numbers(file, value["keypoint"])
    score = value.get("keypoint_score")
    if score is not None:
        try:
            extra = np.asarray(score, dtype=np.float32)
        except (ValueError, TypeError):
            raise ClipError(f"{file}: keypoint_score is no regular array of numbers.") from None
        if extra.ndim == 2 and np.ndim(value["keypoint"]) == 3:
            extra = extra[None]
        if extra.shape != points.shape[:3]:
            raise ClipError(
                f"{file}: keypoint_score has shape {extra.shape}, expected {points.shape[:3]}."
            )
        points = np.concatenate([points, extra[..., None]], axis=-1)
    size = value.get("img_shape")
    image_size = None
    if size is not None:
        height, width = _image_size(f"{file}: img_shape", size)
        image_size = (width, height)
    return ClipFile(points, None, image_size, raw=True)
