"""The table of data formats; add a file and a line to add one."""

from __future__ import annotations

from pathlib import Path

from stgcn_deploy.data.dataset import DataFormat, Dataset, ReadOptions
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import FileUnreadableError, UsageError
from stgcn_deploy.registry import Registry

__all__ = ["FORMATS", "open_dataset", "read_recording"]

_HERE = "stgcn_deploy.data.formats"

FORMATS: Registry[DataFormat] = Registry(
    "data format",
    {
        "clip": f"{_HERE}.clips:FORMAT",
        "pyskl": f"{_HERE}.pyskl:FORMAT",
        "kinetics-npy": f"{_HERE}.kinetics_npy:FORMAT",
        "kinetics-json": f"{_HERE}.kinetics_json:FORMAT",
        "ntu-skeleton": f"{_HERE}.ntu_skeleton:FORMAT",
        "ntu-npz": f"{_HERE}.ntu_npz:FORMAT",
        "keypoints-jsonl": f"{_HERE}.keypoints_jsonl:FORMAT",
        "openpose-json": f"{_HERE}.openpose_json:FORMAT",
        "mediapipe": f"{_HERE}.mediapipe:FORMAT",
    },
)


def open_dataset(
    path: Path | str,
    options: ReadOptions | None = None,
    *,
    format: str | None = None,  # noqa: A002 -- the option is called so
) -> Dataset:
    """The recordings of a file or folder, in the one format that recognises it.

    Args:
        format: its name, where you know better.

    Raises:
        FileUnreadableError: nothing there, or a kind that no format recognises.
        UsageError: several do.
        DataError: it is recognised and damaged.
    """
    place = Path(path)
    if not place.exists():
        raise FileUnreadableError(f"{place} does not exist; give a file or folder of recordings.")
    if format is not None:
        return FORMATS[format].open(place, options or ReadOptions())
    found = [name for name, known in FORMATS.items() if known.recognises(place)]
    if len(found) > 1:
        raise UsageError(f"{place} could be {' or '.join(found)}; say which with --format.")
    if not found:
        kinds = "; ".join(f"{name}: {known.title}" for name, known in FORMATS.items())
        raise FileUnreadableError(
            f"{place}: no format recognises it. Known are {kinds}. Say --format NAME if it is one."
        )
    return FORMATS[found[0]].open(place, options or ReadOptions())


def read_recording(
    path: Path | str, record: int | None = None, options: ReadOptions | None = None
) -> Recording:
    """One recording: the only one of a file, or number `record` of many.

    Raises:
        UsageError: there are several, and none is chosen.
        DataError, FileUnreadableError: see open_dataset.
    """
    data = open_dataset(path, options)
    if record is None and len(data) != 1:
        raise UsageError(
            f"{path} holds {len(data)} recordings ({data.format}); choose one: --record 0 to "
            f"{len(data) - 1}."
        )
    return data[record or 0]
