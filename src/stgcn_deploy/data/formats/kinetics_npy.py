"""Prepared data as ST-GCN and its descendants keep them: one array of all recordings, labels beside it.

    val_data.npy        (N, C, T, V, M) numbers, as the network sees them
    val_label.pkl       (names, labels)

2s-AGCN's NTU files (val_data_joint.npy) are the same.  Read record by record: memory stays flat.

Source: https://github.com/yysijie/st-gcn, tools/kinetics_gendata.py; https://github.com/lshiwjx/2s-AGCN.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset, Header, ReadOptions
from stgcn_deploy.data.labelfile import Labels, label_path, neighbour, read_labels, write_labels
from stgcn_deploy.data.limits import MOST_PERSONS
from stgcn_deploy.data.npyfile import NpyFile
from stgcn_deploy.data.recording import UNLABELLED, Recording, as_clip
from stgcn_deploy.errors import DataError, UsageError
from stgcn_deploy.files import fresh_file
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["FORMAT", "Prepared"]

AXES = "NCTVM"
CLIP_AXES = "MTVC"
# Orders that people store, the likelier first, for advice.
OTHER_AXES = ("NMTVC", "NMCTV", "NTVCM", "NTMVC", "NTVMC", "NCTMV")
MOST_CHANNELS = 9


class Prepared(Dataset):
    """The records of one array."""

    format = "kinetics-npy"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        array = NpyFile(path)
        self.axes = _axes(path, array, options.axes)
        self.labels_path = options.labels or neighbour(path)
        self._array = array
        self._names: tuple[str, ...] = ()
        if self.labels_path is None:
            labels = np.full(len(array), UNLABELLED, np.int64)
        else:
            found = read_labels(self.labels_path)
            labels, self._names = found.labels, found.names
            if len(labels) != len(array):
                raise DataError(
                    f"{path} has {len(array)} record(s) (shape {array.shape}), {self.labels_path} has "
                    f"{len(labels)} label(s); expected as many. Give the file that belongs to it: "
                    "--data-labels FILE."
                )
        super().__init__(path, labels, options=options)

    def name(self, index: int) -> str:
        """As the file with the labels calls it."""
        return (self._names[index] if self._names else "") or str(index)

    def _read(self, index: int) -> Recording:
        order = [self.axes[1:].index(axis) for axis in CLIP_AXES]
        clip = np.ascontiguousarray(self._array.record(index).transpose(order))
        return Recording(as_clip(self.where(index), clip), raw=False)


class PreparedFormat:
    """See the module."""

    name = "kinetics-npy"
    title = "prepared data (N, C, T, V, M), .npy, with the labels in a file beside it"

    def recognises(self, path: Path) -> bool:
        """An array of five axes."""
        return path.suffix == ".npy" and path.is_file() and NpyFile(path).ndim == len(AXES)

    def open(self, path: Path, options: ReadOptions) -> Prepared:
        """See DataFormat.open."""
        return Prepared(path, options)

    def write(
        self,
        path: Path,
        recordings: Iterable[Recording],
        header: Header,
        *,
        force: bool = False,
    ) -> dict[str, Any]:
        """The array in float32, one record after the other, and the labels beside it.

        Raises:
            DataError: a raw recording, one of another shape than the first, or another number of them
                than the header says.
        """
        if path.suffix != ".npy":
            raise UsageError(f"{path}: prepared data are an .npy file; call it {path.stem}.npy.")
        labels = label_path(path)
        with (
            fresh_file(path, force=force) as partial,
            fresh_file(labels, force=force) as beside,
        ):
            found = _written(partial, recordings, header.count)
            write_labels(beside, found)
        files = {one.name: one.stat().st_size for one in (path, labels)}
        return {"records": header.count, "files": files}


FORMAT = PreparedFormat()


def _axes(path: Path, array: NpyFile, said: str | None) -> str:
    """The order of the axes, if the array can be such data."""
    if said is not None and (sorted(said) != sorted(AXES) or said[0] != "N"):
        raise UsageError(
            f"axes {said!r} of prepared data; expected N and then an order of C, T, V, M, like {AXES}."
        )
    if array.ndim != len(AXES):
        raise DataError(
            f"{path} has shape {array.shape}; prepared data have five axes, {said or AXES}."
        )
    if array.dtype.kind not in "fiu" or 0 in array.shape:
        raise DataError(
            f"{path} holds {array.dtype} of shape {array.shape}; expected numbers, and no axis empty."
        )
    axes = said or AXES
    channels = array.shape[axes.index("C")]
    if channels > MOST_CHANNELS:
        likely = [f"--axes {other}" for other in OTHER_AXES if _fits(array.shape, other)]
        advice = f"it looks like {' or '.join(likely[:2])}" if likely else "say which: --axes ORDER"
        raise DataError(
            f"{path} has shape {array.shape}, which as {axes} would be {channels} channels; expected 1 "
            f"to {MOST_CHANNELS}. If its axes are in another order, {advice}."
        )
    return axes


def _fits(shape: tuple[int, ...], axes: str) -> bool:
    """Whether these can be sizes of persons, joints and channels."""
    size = dict(zip(axes, shape, strict=True))
    joints = {layout.num_joints for layout in LAYOUTS.values()}
    return 2 <= size["C"] <= MOST_CHANNELS and size["M"] <= MOST_PERSONS and size["V"] in joints


def _written(file: Path, recordings: Iterable[Recording], count: int) -> Labels:
    """The array into a file; what belongs into the other one."""
    names: list[str] = []
    labels: list[int] = []
    shape: tuple[int, ...] = ()
    with file.open("wb") as out:
        for number, one in enumerate(recordings):
            clip = _clip(number, one, shape)
            if number >= count:
                raise DataError(f"more recordings than the {count} that were announced.")
            if not number:
                shape = clip.shape
                _write_header(out, count, shape)
            out.write(np.ascontiguousarray(clip.transpose(3, 1, 2, 0), dtype="<f4").tobytes())
            names.append(one.name or str(number))
            labels.append(one.label)
    if len(labels) != count or not count:
        raise DataError(
            f"{len(labels)} recording(s), and {count} were announced; expected as many, at least one."
        )
    return Labels(np.array(labels, np.int64), tuple(names))


def _write_header(out: Any, count: int, shape: tuple[int, ...]) -> None:
    persons, frames, joints, channels = shape
    whole = (count, channels, frames, joints, persons)
    np.lib.format.write_array_header_1_0(
        out, {"descr": "<f4", "fortran_order": False, "shape": whole}
    )


def _clip(number: int, one: Recording, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Its numbers, if they go into an array of this shape."""
    name = f"record {number}" + (f" ({one.name})" if one.name else "")
    if one.is_raw:
        raise DataError(
            f"{name} is raw, as a data set or a pose estimator gave it; prepared data hold what a "
            "network sees. Take the steps of its codebase first, or write a format that holds raw "
            "recordings."
        )
    clip = as_clip(name, one.clip)
    if not clip.size:
        raise DataError(f"{name} is empty (shape {clip.shape}).")
    if shape and clip.shape != shape:
        raise DataError(
            f"{name} has shape {clip.shape} = (M, T, V, C), those before it {shape}; one array holds "
            "recordings of one shape. Give all of them as many frames and persons first."
        )
    return clip
