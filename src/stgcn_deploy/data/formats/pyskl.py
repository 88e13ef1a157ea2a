"""PYSKL and MMAction2 annotations: one pickle of dicts.

    {"split": {"train1": [name, ...]}, "annotations": [annotation, ...]}, or only the list, or one
    annotation = {"frame_dir" or "filename": name, "label": class, "keypoint": (M, T, V, 2|3),
                  "keypoint_score": (M, T, V), "img_shape": (h, w), "total_frames": T}

Our own files also say "layout", "classes", "fps", and "raw": False of what a network sees as it is.
Kinetics comes compressed: "keypoint" (n, V, 3) holds persons of all frames in a row, "frame_inds" (n,)
says of which frame each is, and the arrays may stand in a pickle of their own ("raw_file").

Source: https://github.com/kennymckormick/pyskl, tools/data/README.md.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset, Header, Indices, ReadOptions
from stgcn_deploy.data.limits import MOST_PERSONS, room
from stgcn_deploy.data.recording import UNLABELLED, Recording, as_clip, as_image_size
from stgcn_deploy.data.safe_pickle import load_pickle
from stgcn_deploy.errors import ClipError, DataError
from stgcn_deploy.files import fresh_file
from stgcn_deploy.registry import nearest

__all__ = ["FORMAT", "Annotations"]

Annotation = Mapping[str, Any]
SUFFIXES = (".pkl", ".pickle")
# Raw files are looked for beside the annotations, in folders that people give them.
RAW_FOLDERS = (".", "kpfiles")


class Annotations(Dataset):
    """The annotations of one file; all of them lie in memory, as they do in the pickle."""

    format = "pyskl"

    def __init__(self, path: Path, value: Any, options: ReadOptions) -> None:
        annotations, splits = _parts(path, value)
        self._annotations = annotations
        labels = [_label(path, number, one) for number, one in enumerate(annotations)]
        said = value if isinstance(value, dict) else {}
        super().__init__(
            path,
            labels,
            classes=_texts(path, "classes", said),
            splits=_indices(path, annotations, splits),
            options=options,
            layout=said.get("layout") if isinstance(said.get("layout"), str) else None,
        )

    def name(self, index: int) -> str:
        """frame_dir, as PYSKL and its splits call it."""
        return _name(self._annotations[index]) or str(index)

    def _read(self, index: int) -> Recording:
        where, one = self.where(index), self._annotations[index]
        if "keypoint" not in one and isinstance(one.get("raw_file"), str):
            one = {**one, **self._raw_file(where, one["raw_file"])}
        if "keypoint" not in one:
            raise DataError(f'{where}: no "keypoint" in it; found {sorted(map(str, one))[:8]}.')
        points = _expanded(where, one) if "frame_inds" in one else _scored(where, one)
        size = one.get("img_shape")
        image_size = None
        if size is not None:
            height, width = as_image_size(f"{where}: img_shape", size)
            image_size = (width, height)
        raw = one.get("raw", True) is not False
        return Recording(points, None, image_size, raw=raw, fps=_fps(one))

    def _raw_file(self, where: str, name: str) -> Annotation:
        """The pickle that an annotation names, of which only the last part counts."""
        for folder in RAW_FOLDERS:
            file = self.path.parent / folder / Path(name).name
            if file.is_file():
                found = load_pickle(file)
                if isinstance(found, dict):
                    return found
                raise DataError(f"{where}: {file} holds {type(found).__name__}, expected a dict.")
        places = ", ".join(str(self.path.parent / folder) for folder in RAW_FOLDERS)
        raise DataError(f"{where}: its raw_file {Path(name).name} is not in {places}.")


class PysklFormat:
    """See the module."""

    name = "pyskl"
    title = "PYSKL / MMAction2 annotations, .pkl"

    def recognises(self, path: Path) -> bool:
        """Any pickle: reading decides."""
        return path.suffix in SUFFIXES and path.is_file()

    def open(self, path: Path, options: ReadOptions) -> Annotations:
        """See DataFormat.open."""
        return Annotations(path, load_pickle(path), options)

    def write(
        self,
        path: Path,
        recordings: Iterable[Recording],
        header: Header,
        *,
        force: bool = False,
    ) -> dict[str, Any]:
        """One pickle; all recordings lie in memory while it is made."""
        with fresh_file(path, force=force) as partial:
            value = _pickled(recordings, header)
            with partial.open("wb") as file:
                pickle.dump(value, file, protocol=4)
        return {
            "records": len(value["annotations"]),
            "files": {path.name: path.stat().st_size},
        }


FORMAT = PysklFormat()


def _pickled(recordings: Iterable[Recording], header: Header) -> dict[str, Any]:
    """What the module's page shows, with what only our files say: layout and names of classes."""
    annotations, names = [], set()
    for number, one in enumerate(recordings):
        name = one.name or str(number)
        if name in names:
            raise DataError(f"two recordings are called {name!r}; splits go by names.")
        names.add(name)
        annotations.append(_annotation(name, one))
    value: dict[str, Any] = {
        "split": {
            split: [annotations[index]["frame_dir"] for index in indices]
            for split, indices in header.splits.items()
        },
        "annotations": annotations,
    }
    if header.layout:
        value["layout"] = header.layout
    if header.classes:
        value["classes"] = list(header.classes)
    return value


def _annotation(name: str, one: Recording) -> dict[str, Any]:
    """A recording as PYSKL has it: x, y and a score apart, or three coordinates."""
    clip = np.asarray(one.clip, dtype=np.float32)
    made: dict[str, Any] = {"frame_dir": name, "label": one.label, "total_frames": clip.shape[1]}
    flat = one.image_size is not None or _is_flat(one)
    if flat and clip.shape[3] == 3:
        made |= {"keypoint": clip[..., :2], "keypoint_score": clip[..., 2]}
    else:
        made["keypoint"] = clip
    if one.image_size is not None:
        width, height = one.image_size
        made |= {"img_shape": (height, width), "original_shape": (height, width)}
    if one.fps is not None:
        made["fps"] = one.fps
    if not one.is_raw:
        made["raw"] = False
    return made


def _is_flat(one: Recording) -> bool:
    from stgcn_deploy.skeleton.layouts import LAYOUTS

    return one.layout is not None and one.layout in LAYOUTS and LAYOUTS[one.layout].dimensions == 2


def _parts(path: Path, value: Any) -> tuple[list[Annotation], Mapping[str, Any]]:
    """Annotations and splits of what a pickle holds."""
    splits: Mapping[str, Any] = {}
    if isinstance(value, dict) and "annotations" in value:
        splits, value = value.get("split", {}), value["annotations"]
        splits = {} if splits is None else splits
        if not isinstance(splits, dict):
            raise DataError(
                f'{path}: "split" is {type(splits).__name__}, expected a dict of names.'
            )
    elif isinstance(value, dict) and ("keypoint" in value or "raw_file" in value):
        value = [value]
    if not isinstance(value, (list, tuple)):
        keys = f"keys {sorted(map(str, value))[:6]}" if isinstance(value, dict) else type(value)
        raise DataError(
            f'{path}: no "keypoint" and no "annotations" in it (found {keys}); expected PYSKL '
            "annotations."
        )
    for number, one in enumerate(value):
        if not isinstance(one, dict):
            raise DataError(
                f"{path}, record {number}: {type(one).__name__}, expected a dict with a keypoint."
            )
    if not value:
        raise DataError(f"{path} holds no annotation.")
    return list(value), splits


def _name(one: Annotation) -> str:
    for key in ("frame_dir", "filename"):
        found = one.get(key)
        if isinstance(found, (str, int, np.integer)) and found != "":
            return str(found)
    return ""


def _label(path: Path, number: int, one: Annotation) -> int:
    value = one.get("label", UNLABELLED)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise DataError(f"{path}, record {number}: label is {value!r}, expected a whole number.")
    if not -1 <= value < 2**31:
        raise DataError(f"{path}, record {number}: label is {value}, expected 0 or more.")
    return int(value)


def _texts(path: Path, key: str, value: Mapping[str, Any]) -> tuple[str, ...]:
    found = value.get(key, ())
    if not isinstance(found, (list, tuple)) or not all(isinstance(one, str) for one in found):
        raise DataError(f"{path}: {key!r} is no list of names.")
    return tuple(found)


def _indices(
    path: Path, annotations: list[Annotation], splits: Mapping[str, Any]
) -> dict[str, Indices]:
    """Splits go by name."""
    numbers = {_name(one): number for number, one in enumerate(annotations)}
    made = {}
    for split, names in splits.items():
        row = isinstance(names, np.ndarray) and names.ndim
        if not row and not isinstance(names, (list, tuple, set)):
            raise DataError(f"{path}: split {split!r} is no list of names.")
        missing = [str(name) for name in names if str(name) not in numbers]
        if missing:
            raise DataError(
                f"{path}: split {split!r} names {missing[0]!r}, which no annotation is called"
                f"{nearest(missing[0], numbers)} ({len(missing)} such names)"
            )
        chosen = [numbers[str(name)] for name in names]
        # The order of a set changes from run to run.
        chosen = sorted(chosen) if isinstance(names, set) else chosen
        made[str(split)] = np.array(chosen, dtype=np.int64)
    return made


def _fps(one: Annotation) -> float | None:
    value = one.get("fps")
    return float(value) if isinstance(value, (int, float)) and 0 < value < 1e4 else None


def _floats(where: str, key: str, value: Any) -> NDArray[np.float32]:
    try:
        found = np.asarray(value)
    except (ValueError, TypeError):
        found = np.zeros(0)
    if found.dtype.kind not in "fiu" or not found.size:
        raise ClipError(f"{where}: {key} is no regular array of numbers.")
    with np.errstate(over="ignore", invalid="ignore"):
        return found.astype(np.float32)


def _scored(where: str, one: Annotation) -> NDArray[np.float32]:
    """Coordinates, with the score as the last channel."""
    points = as_clip(where, one["keypoint"])
    if one.get("keypoint_score") is None:
        return points
    score = _floats(where, "keypoint_score", one["keypoint_score"])
    if score.ndim == 2 and np.ndim(one["keypoint"]) == 3:
        score = score[None]
    if score.shape != points.shape[:3]:
        raise ClipError(
            f"{where}: keypoint_score has shape {score.shape}, expected {points.shape[:3]}."
        )
    return np.concatenate([points, score[..., None]], axis=-1)


def _expanded(where: str, one: Annotation) -> NDArray[np.float32]:
    """A compressed annotation as (M, T, V, C): persons of a frame stand in the file's order.

    Frames with nobody are left out, as PYSKL's and MMAction2's configurations do before they sample.
    Where a frame has more than MOST_PERSONS persons, all frames are sorted by the sum of their scores
    and the best are kept.
    """
    points, frames = _floats(where, "keypoint", one["keypoint"]), _whole(where, one["frame_inds"])
    chosen = one.get("anno_inds")
    if points.ndim != 3 or frames.shape != points.shape[:1]:
        raise ClipError(
            f"{where}: compressed key points of shape {points.shape} with frame_inds of shape "
            f"{frames.shape}; expected (n, V, 2 or 3) and (n,)."
        )
    if chosen is not None:
        try:
            points, frames = points[np.asarray(chosen)], frames[np.asarray(chosen)]
        except (IndexError, ValueError, TypeError):
            raise ClipError(f"{where}: anno_inds do not choose among {len(points)} rows.") from None
        if not len(frames) or points.ndim != 3 or frames.ndim != 1:
            raise ClipError(f"{where}: anno_inds choose nothing.")
    _, place, crowds = np.unique(frames, return_inverse=True, return_counts=True)
    # Rank of each row among those of its frame, in the file's order or by score.
    crowd = int(crowds.max())
    order = np.argsort(place, kind="stable")
    if crowd > MOST_PERSONS and points.shape[2] > 2:
        order = np.lexsort((-points[..., 2].sum(axis=1), place))
    ordered = place[order]
    rank = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    kept = rank < MOST_PERSONS
    joints, channels = points.shape[1:]
    clip = room(where, (min(crowd, MOST_PERSONS), len(crowds), joints, channels))
    clip[rank[kept], ordered[kept]] = points[order][kept]
    return clip


def _whole(where: str, value: Any) -> NDArray[np.int64]:
    try:
        found = np.asarray(value)
    except (ValueError, TypeError):
        found = np.zeros(0)
    if found.dtype.kind not in "iu" or not found.size:
        raise ClipError(f"{where}: frame_inds is no row of whole numbers.")
    return found.astype(np.int64)
