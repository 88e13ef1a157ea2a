"""One clip from a file: .npy, .json or .pkl.

.npy    numbers (M, T, V, C), or (T, V, C) for one person
.json   the same as nested lists, bare or as {"keypoints": ..., "layout": "coco17"}
.pkl    a PYSKL / MMAction2 annotation: {"keypoint": (M, T, V, 2|3), "keypoint_score": (M, T, V),
        "img_shape": (h, w)}
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
        clip: (M, T, V, C) float32.
        layout: its name, where the file says.
        image_size: (width, height) when the coordinates are pixels, else None.
    """

    clip: NDArray[np.float32]
    layout: str | None = None
    image_size: tuple[int, int] | None = None


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
    except (ValueError, EOFError, OSError) as error:
        raise FileUnreadableError(f"{file} is no readable .npy array: {error}") from None


def _numbers(file: Path, value: Any) -> NDArray[np.float32]:
    try:
        clip = np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError):
        raise ClipError(f"{file}: not a regular array of numbers; expected (M, T, V, C).") from None
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
    except (ValueError, OSError) as error:
        raise FileUnreadableError(f"{file} is no valid JSON: {error}") from None
    if isinstance(value, dict):
        if "keypoints" not in value:
            raise ClipError(f'{file}: no "keypoints" in it; found {sorted(value)[:6]}.')
        return ClipFile(_numbers(file, value["keypoints"]), value.get("layout"))
    return ClipFile(_numbers(file, value))


def _from_annotation(file: Path, value: Any) -> ClipFile:
    if not isinstance(value, dict) or "keypoint" not in value:
        kind = f"keys {sorted(map(str, value))[:6]}" if isinstance(value, dict) else type(value)
        raise ClipError(
            f'{file}: no "keypoint" in it (found {kind}); expected one PYSKL annotation.'
        )
    points = _numbers(file, value["keypoint"])
    score = value.get("keypoint_score")
    if score is not None:
        extra = np.asarray(score, dtype=np.float32)
        if extra.shape != points.shape[:3]:
            raise ClipError(
                f"{file}: keypoint_score has shape {extra.shape}, expected {points.shape[:3]}."
            )
        points = np.concatenate([points, extra[..., None]], axis=-1)
    size = value.get("img_shape")
    image_size = (int(size[1]), int(size[0])) if size is not None else None
    return ClipFile(points, None, image_size)
