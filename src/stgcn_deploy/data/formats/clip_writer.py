"""One clip into a file of its own, as data.clips reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_deploy.data.dataset import Header
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import DataError, UsageError
from stgcn_deploy.files import fresh_file

__all__ = ["write_clip"]


def write_clip(
    path: Path, recordings: Iterable[Recording], header: Header, *, force: bool = False
) -> dict[str, Any]:
    """See WritableFormat.write: .npy for the numbers alone, .json for what belongs to them too.

    Raises:
        UsageError: not exactly one recording, or another kind of file.
        DataError: .json has no NaN and no infinity.
    """
    if header.count != 1:
        raise UsageError(
            f"{path}: a clip is one recording, and {header.count} are chosen; choose one with --record "
            "N, or write a format that holds many: .pkl, .jsonl, or .npy with --to kinetics-npy."
        )
    if path.suffix not in (".npy", ".json"):
        raise UsageError(f"{path}: a clip is an .npy or a .json file.")
    (one,) = recordings
    clip = np.asarray(one.clip, dtype=np.float32)
    with fresh_file(path, force=force) as partial:
        if path.suffix == ".npy":
            with partial.open("wb") as file:
                np.save(file, clip)
        else:
            partial.write_text(_described(path, one, clip), encoding="utf-8")
    return {"records": 1, "files": {path.name: path.stat().st_size}}


def _described(path: Path, one: Recording, clip: np.ndarray[Any, Any]) -> str:
    if not np.isfinite(clip).all():
        raise DataError(f"{path}: record {one.name} holds NaN or infinity, which JSON has not.")
    # Through text, which gives each float32 its shortest spelling.
    value: dict[str, Any] = {"keypoints": clip.astype("U32").astype(np.float64).tolist()}
    if one.layout is not None:
        value["layout"] = one.layout
    if one.image_size is not None:
        value["image_size"] = list(one.image_size)
    elif one.raw:
        value["raw"] = True
    return json.dumps(value)
