"""data_bins_write and data_bins_score: samples as raw files, and the results of other tools on them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stgcn_deploy.data.bins import DATA, BinPlan, read_bin_labels, write_bins
from stgcn_deploy.errors import DataError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stgcn_deploy.data.dataset import ReadOptions
    from stgcn_deploy.measure.accuracy import AccuracyReport

__all__ = ["data_bins_score", "data_bins_write"]

Sample = Callable[[int], dict[str, "NDArray[np.float32]"]]


def data_bins_write(
    data: str | Path,
    output: str | Path,
    *,
    bundle: str | Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    fit: Literal["exact", "pad", "resample"] = "exact",
    data_format: str | None = None,
    read: ReadOptions | None = None,
    force: bool = False,
    count: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write each record as a raw float32 file, and its label as int64; goes on where it was stopped.

    Args:
        data: prepared data (N, C, T, V, M), or with `bundle` recordings of any format.
        output: folder for val_data/{i}.bin and val_label/{i}.bin.
        bundle: prepare records by its steps, in its own axis order.
        split: of the data; limit: only the first so many records.
        fit: for another number of frames than the bundle's.
        data_format, read: what the file is and what it does not say itself.
        force: write over bins of other data.
        count: called with the samples done and in all.

    Returns:
        count, written, kept, folders with the bytes of each file in them.

    Raises:
        StgcnError: the data or the folder cannot be used; see data.bins.write_bins.
    """
    plan, sample = plan_bins(
        data, bundle=bundle, split=split, limit=limit, fit=fit, data_format=data_format, read=read
    )
    return write_bins(Path(output), plan, sample, force=force, count=count)


def plan_bins(
    data: str | Path,
    *,
    bundle: str | Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    fit: Literal["exact", "pad", "resample"] = "exact",
    data_format: str | None = None,
    read: ReadOptions | None = None,
) -> tuple[BinPlan, Sample]:
    """What data_bins_write would write, and the function that makes one sample; the same arguments."""
    from stgcn_deploy.data.formats import open_dataset

    opened = open_dataset(data, read, format=data_format)
    indices = opened.select(split)
    if limit is not None:
        if limit < 1:
            raise UsageError(f"limit must be at least 1, got {limit}.")
        # The scripts of the guides take the first ones, and so do the labels when scoring.
        indices = indices[:limit]
    opened.check_labels(indices, np.iinfo(np.int32).max)
    labels = opened.labels[indices]
    source: dict[str, Any] = {
        "data": opened.fingerprint()[:-1],
        "labels": hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest(),
        "split": split,
        "fit": fit,
    }
    if bundle is None:
        inputs, sample = _as_stored(opened, indices)
    else:
        inputs, sample, source["bundle"] = _through(Path(bundle), opened, indices, fit)
    return BinPlan(inputs, labels, source), sample


def _as_stored(
    opened: Any, indices: NDArray[np.int64]
) -> tuple[dict[str, tuple[int, ...]], Sample]:
    """Prepared data in st-gcn's order (1, C, T, V, M)."""
    first = opened[int(indices[0])]
    if first.is_raw:
        raise DataError(
            f"{opened.path} holds raw recordings ({opened.format}), and a network takes prepared ones; "
            "name the bundle that they are for: --bundle DIR."
        )

    def sample(number: int) -> dict[str, NDArray[np.float32]]:
        clip = opened[int(indices[number])].clip
        return {DATA: np.ascontiguousarray(clip.transpose(3, 1, 2, 0))[None]}

    persons, frames, joints, channels = first.clip.shape
    return {DATA: (1, channels, frames, joints, persons)}, sample


def _through(
    path: Path, opened: Any, indices: NDArray[np.int64], fit: Any
) -> tuple[dict[str, tuple[int, ...]], Sample, str]:
    """Records prepared as a bundle takes them, in its own axis order."""
    from stgcn_deploy.bundle import sha256_of
    from stgcn_deploy.manifest import MANIFEST
    from stgcn_deploy.runtime import load

    model = load(path)
    names = [spec.name for spec in model.manifest.input_specs]
    folders = [DATA] if len(names) == 1 else [f"{DATA}_{name}" for name in names]

    def sample(number: int) -> dict[str, NDArray[np.float32]]:
        feed = model.manifest.feed(model.prepare(opened[int(indices[number])], fit=fit)[None])
        return {folder: feed[name] for folder, name in zip(folders, names, strict=True)}

    shapes = {folder: array.shape for folder, array in sample(0).items()}
    return shapes, sample, sha256_of(path / MANIFEST)


def data_bins_score(
    results: str | Path,
    labels: str | Path,
    *,
    bundle: str | Path | None = None,
    limit: int | None = None,
    dtype: Literal["float32", "float16"] = "float32",
) -> AccuracyReport:
    """Accuracy of scores that another tool wrote, {i}_0.bin for record i.

    Args:
        results: the folder of the *_0.bin files; other files in it are not read.
        labels: (names, labels) as .pkl, or .npy, .json, .txt, .csv; or the folder of the samples.
        bundle: what was run: its number of classes then tells the type of the scores.
        limit: only the first so many records were run.
        dtype: of the scores, without a bundle.

    Raises:
        StgcnError: a result is missing, cut short, there twice or of no record; it is named.
    """
    from stgcn_deploy.bundle import read_manifest
    from stgcn_deploy.data.labelfile import read_labels
    from stgcn_deploy.measure.scoring import score_results

    place = Path(labels)
    truths = read_bin_labels(place) if place.is_dir() else read_labels(place).labels
    classes = None if bundle is None else read_manifest(Path(bundle)).num_classes
    return score_results(
        Path(results),
        truths if limit is None else truths[:limit],
        where=str(labels),
        dtype=dtype,
        classes=classes,
    )
