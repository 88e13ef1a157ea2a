"""One clip in a file of its own.

.npy    numbers (M, T, V, C), or (T, V, C) for one person; other orders of axes by name
.json   the same as nested lists, bare or as {"keypoints": ..., "layout": "coco17"}; with
        "image_size": [w, h] or "raw": true as a pose estimator gave them

Raw clips go through the steps that a bundle's codebase prepared its data with; the others are taken as
the network sees them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset, ReadOptions
from stgcn_deploy.data.formats.jsonfile import json_format, load_json
from stgcn_deploy.data.npyfile import NpyFile
from stgcn_deploy.data.recording import UNLABELLED, Recording, as_clip, as_image_size
from stgcn_deploy.errors import ClipError

__all__ = ["FORMAT", "Clip"]

# Beyond it a .json is no single clip, and would fill the memory as Python lists.
MAX_JSON_BYTES = 256 << 20
CLIP_AXES = "MTVC"


class Clip(Dataset):
    """A data set of one."""

    format = "clip"

    def __init__(self, path: Path, recording: Recording, options: ReadOptions) -> None:
        super().__init__(path, [UNLABELLED], options=options, layout=recording.layout)
        self._recording = recording

    def _read(self, index: int) -> Recording:  # noqa: ARG002 -- there is only the one
        return self._recording

    def name(self, index: int) -> str:  # noqa: ARG002
        """The file's."""
        return self.path.stem


class ClipFormat:
    """See the module."""

    name = "clip"
    title = "one clip (M, T, V, C) as .npy or .json"

    def recognises(self, path: Path) -> bool:
        """An array of other than five axes, or a JSON file that no other format's keys are in."""
        if path.suffix == ".npy":
            return path.is_file() and NpyFile(path).ndim != 5
        return path.suffix == ".json" and path.is_file() and json_format(path) == self.name

    def open(self, path: Path, options: ReadOptions) -> Clip:
        """See DataFormat.open."""
        if path.suffix == ".npy":
            return Clip(path, Recording(_from_npy(path, options.axes)), options)
        return Clip(path, _from_json(path), options)


FORMAT = ClipFormat()


def _from_npy(path: Path, axes: str | None) -> NDArray[np.float32]:
    array = NpyFile(path).read()
    if axes is None:
        return as_clip(str(path), array)
    if sorted(axes) not in (sorted("MTVC"), sorted("TVC")):
        raise ClipError(f"axes {axes!r} of one clip; expected an order of M, T, V, C, like CTVM.")
    if array.ndim != len(axes):
        raise ClipError(f"{path} has shape {array.shape}; axes {axes} are {len(axes)}.")
    return as_clip(str(path), array.transpose([axes.index(a) for a in CLIP_AXES if a in axes]))


def _from_json(file: Path) -> Recording:
    value = load_json(file, most_bytes=MAX_JSON_BYTES, advice="save the clip as .npy.")
    if not isinstance(value, dict):
        return Recording(as_clip(str(file), value))
    if "keypoints" not in value:
        raise ClipError(f'{file}: no "keypoints" in it; found {sorted(value)[:6]}.')
    return _described(file, value)


def _described(file: Path, value: dict[str, Any]) -> Recording:
    layout, raw = value.get("layout"), value.get("raw", False)
    if layout is not None and not isinstance(layout, str):
        raise ClipError(f'{file}: "layout" is {layout!r}, expected the name of one.')
    if not isinstance(raw, bool):
        raise ClipError(f'{file}: "raw" is {raw!r}, expected true or false.')
    size = value.get("image_size")
    image_size = as_image_size(f'{file}: "image_size"', size) if size is not None else None
    return Recording(as_clip(str(file), value["keypoints"]), layout, image_size, raw)
