"""One raw file for each sample, as Ascend's tools read their inputs and write their results.

    DIR/val_data/{i}.bin     float32 of record i with a batch axis, C order, no header
    DIR/val_label/{i}.bin    int64, its class
    DIR/bins.json            what they are; written last as "complete", so that a half set is known
    RESULTS/{i}_0.bin        scores of record i, written by ais_bench or by `write_scores`
    RESULTS/{i}_output_0.bin the same, as the older msame calls it

A run that is stopped goes on: a file that is there with the right size was renamed when whole.
Source: Ascend ModelZoo, built-in STGCN_for_Pytorch, whose scripts write and read the same names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import DataError, FileUnreadableError, OutputExistsError, UsageError
from stgcn_deploy.files import write_text

__all__ = [
    "BinPlan",
    "Results",
    "read_bin_labels",
    "read_results",
    "write_bins",
    "write_scores",
]

DATA, LABEL, RECORD = "val_data", "val_label", "bins.json"
LABEL_BYTES = 8
RESULT = re.compile(r"(\d+)_(?:output_)?(\d+)\.bin")
PARTIAL = re.compile(r"\.\d+\.bin\.part")
MAX_CLASSES = 100_000
FLOATS = {"float32": 4, "float16": 2}
MAX_LISTED = 5


@dataclass(frozen=True)
class BinPlan:
    """What is written.

    Attributes:
        inputs: folder -> shape of one sample with its batch axis; most networks have one, DATA.
        labels: (N,) classes.
        source: of what data and network, for bins.json; a folder of another source is not continued.
    """

    inputs: dict[str, tuple[int, ...]]
    labels: NDArray[np.int64]
    source: dict[str, Any]

    @property
    def count(self) -> int:
        """Samples."""
        return len(self.labels)

    def folders(self) -> dict[str, int]:
        """Folder -> bytes of each file in it."""
        sizes = {name: 4 * int(np.prod(shape)) for name, shape in self.inputs.items()}
        return {**sizes, LABEL: LABEL_BYTES}

    def as_dict(self, complete: bool) -> dict[str, Any]:
        """For bins.json."""
        return {
            "format": "stgcn-bins",
            "count": self.count,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "dtype": "float32",
            "label_dtype": "int64",
            "source": self.source,
            "complete": complete,
        }


def write_bins(
    target: Path,
    plan: BinPlan,
    sample: Callable[[int], dict[str, NDArray[np.float32]]],
    *,
    force: bool = False,
    count: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write all files that are not there yet, then check that exactly they are there.

    Args:
        sample: record number -> an array for each folder of the plan.
        force: overwrite what another plan left.
        count: called with samples done and in all.

    Returns:
        count, written (samples), kept (from an earlier run), folders with bytes a file.

    Raises:
        OutputExistsError: the folder holds other files, or bins of other data.
        DataError: a sample of another dtype or shape than the plan's.
    """
    _claim(target, plan, force)
    sizes = plan.folders()
    for name in sizes:
        (target / name).mkdir(parents=True, exist_ok=True)
    written = 0
    for index in range(plan.count):
        if force or not _whole(target, sizes, index):
            _write_sample(target, plan, index, sample(index))
            written += 1
        if count:
            count(index + 1, plan.count)
    for name, size in sizes.items():
        _check_folder(target / name, plan.count, size)
    _seal(target, plan, complete=True)
    return {
        "count": plan.count,
        "written": written,
        "kept": plan.count - written,
        "folders": {str(target / name): size for name, size in sizes.items()},
    }


def _claim(target: Path, plan: BinPlan, force: bool) -> None:
    """The folder is new, or an earlier run of the same plan."""
    if target.exists() and not target.is_dir():
        raise OutputExistsError(f"{target} is a file; name a folder.")
    record = target / RECORD
    if target.is_dir() and any(target.iterdir()) and not record.is_file():
        raise OutputExistsError(
            f"{target} holds other files than ours (no {RECORD}); choose another folder."
        )
    if record.is_file() and not force:
        try:
            found = json.loads(record.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError):
            found = None
        expected = json.loads(json.dumps(plan.as_dict(complete=False)))
        if not isinstance(found, dict) or {**found, "complete": False} != expected:
            raise OutputExistsError(
                f"{target} holds bins of other data or of another network ({RECORD} differs); choose "
                "another folder, or write over it with --force."
            )
    _seal(target, plan, complete=False)


def _seal(target: Path, plan: BinPlan, *, complete: bool) -> None:
    text = json.dumps(plan.as_dict(complete), indent=1) + "\n"
    write_text(target / RECORD, text, force=True)


def _whole(target: Path, sizes: dict[str, int], index: int) -> bool:
    """Whether all files of a sample are there; the label is written last."""
    for name, size in sizes.items():
        try:
            if (target / name / f"{index}.bin").stat().st_size != size:
                return False
        except FileNotFoundError:
            return False
    return True


def _write_sample(
    target: Path, plan: BinPlan, index: int, arrays: dict[str, NDArray[np.float32]]
) -> None:
    for name, shape in plan.inputs.items():
        array = arrays[name]
        if array.dtype != np.float32 or array.shape != shape:
            raise DataError(
                f"record {index}: {name} is {array.dtype} {array.shape}, expected float32 {shape}; "
                "all samples of a set have one shape."
            )
        _put(target / name, index, np.ascontiguousarray(array, dtype="<f4").tobytes())
    _put(target / LABEL, index, plan.labels[index : index + 1].astype("<i8").tobytes())


def _put(folder: Path, index: int, content: bytes) -> None:
    """Beside, then renamed: a file with its name is whole."""
    partial = folder / f".{index}.bin.part"
    partial.write_bytes(content)
    partial.replace(folder / f"{index}.bin")


def _check_folder(folder: Path, count: int, size: int) -> None:
    """Exactly 0.bin to {count - 1}.bin, each of `size` bytes; leftovers of a kill are removed.

    Raises:
        DataError: a file too many, too few, or of another size; it is named.
    """
    seen = 0
    for entry in _entries(folder):
        stem, dot, suffix = entry.name.partition(".")
        if PARTIAL.fullmatch(entry.name):
            Path(entry.path).unlink()
            continue
        known = suffix == "bin" and dot and stem.isdecimal() and str(int(stem)) == stem
        if not known or int(stem) >= count:
            raise DataError(
                f"{entry.path} does not belong to a set of {count} files; ais_bench would read it as a "
                "sample. Remove it, or write into a new folder."
            )
        if entry.stat().st_size != size:
            raise DataError(
                f"{entry.path} has {entry.stat().st_size} bytes, expected {size}; delete it and run "
                "again."
            )
        seen += 1
    if seen != count:
        raise DataError(f"{folder} holds {seen} files, expected {count}; run again.")


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        yield from found


@dataclass(frozen=True)
class Results:
    """Scores read from a folder.

    Attributes:
        scores: (N, classes) float32, in the order of the records.
        ignored: names of files that are no first output, for the report.
    """

    scores: NDArray[np.float32]
    ignored: tuple[str, ...]


def read_bin_labels(folder: Path) -> NDArray[np.int64]:
    """The labels of a whole set of bins.

    Args:
        folder: the one with bins.json.

    Raises:
        FileUnreadableError: no such set; DataError: it is not complete, or a label is damaged.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        count, complete = record["count"], record["complete"]
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        raise FileUnreadableError(
            f"{folder} is no folder of samples (no readable {RECORD}); write one with: stgcn data bins "
            "write"
        ) from None
    if complete is not True or isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise DataError(f"{folder} is not complete; run `stgcn data bins write` again.")
    labels = np.empty(count, np.int64)
    for index in range(count):
        file = folder / LABEL / f"{index}.bin"
        try:
            content = file.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {file}: {error.strerror}; write it again.") from None
        if len(content) != LABEL_BYTES:
            raise DataError(
                f"{file} has {len(content)} bytes, expected {LABEL_BYTES}; write it again."
            )
        labels[index] = int.from_bytes(content, "little", signed=True)
    return labels


def read_results(
    folder: Path, count: int, *, dtype: str = "float32", classes: int | None = None
) -> Results:
    """The first output of every record, {i}_0.bin or {i}_output_0.bin.

    Args:
        count: how many records were run; as many files there must be.
        dtype: of the scores, "float32" or "float16".
        classes: of the network; where it is known, the size of the files tells their dtype.

    Raises:
        FileUnreadableError: no such folder.
        DataError: a result that is missing, there twice, cut short or of no record; it is named.
    """
    if dtype not in FLOATS:
        raise UsageError(f"results are float32 or float16, got {dtype!r}.")
    if not folder.is_dir():
        raise FileUnreadableError(f"{folder} is no folder; give the one with the *_0.bin files.")
    found: dict[int, str] = {}
    sizes: dict[str, int] = {}
    ignored = []
    for entry in _entries(folder):
        match = RESULT.fullmatch(entry.name)
        if match is None or match[2] != "0":
            if entry.name.endswith("_0.bin"):
                raise DataError(
                    f"{entry.path} is no result of a numbered record; expected names like 17_0.bin."
                )
            ignored.append(entry.name)
            continue
        index = int(match[1])
        if index in found:
            raise DataError(
                f"{folder} holds record {index} twice: {found[index]} and {entry.name}; remove the one "
                "of another run."
            )
        found[index] = entry.name
        sizes[entry.name] = entry.stat().st_size
    _check_found(folder, found, sizes, count)
    size = next(iter(sizes.values()))
    if classes is not None:
        dtype = _dtype_of(folder / found[0], size, classes)
    _check_size(folder / found[0], size, FLOATS[dtype])
    scores = np.empty((count, size // FLOATS[dtype]), np.float32)
    kind = np.dtype(dtype).newbyteorder("<")
    for index in range(count):
        scores[index] = np.frombuffer((folder / found[index]).read_bytes(), kind)
    return Results(scores, tuple(sorted(ignored)))


def _check_found(folder: Path, found: dict[int, str], sizes: dict[str, int], count: int) -> None:
    if not found:
        raise DataError(
            f"{folder} holds no *_0.bin file; is it the --output_dirname of ais_bench, and did the run "
            "end well?"
        )
    missing = [index for index in range(count) if index not in found]
    if missing:
        others = f" (also {_listed(missing[1:])})" if len(missing) > 1 else ""
        raise DataError(
            f"{folder}: {len(missing)} of {count} results are missing, first {missing[0]}_0.bin{others}; "
            "run them again, or say --limit if fewer were run."
        )
    beyond = sorted(index for index in found if index >= count)
    if beyond:
        raise DataError(
            f"{folder}: {found[beyond[0]]} is a result of record {beyond[0]}, and there are {count} "
            f"labels ({len(beyond)} such files); give the labels that belong to these results."
        )
    usual = max(set(sizes.values()), key=list(sizes.values()).count)
    odd = [name for name in (found[i] for i in range(count)) if sizes[name] != usual]
    if odd:
        raise DataError(
            f"{folder / odd[0]} has {sizes[odd[0]]} bytes, the others {usual} ({len(odd)} such files); "
            "it is cut short or of another network: run it again."
        )


def _check_size(file: Path, size: int, item: int) -> None:
    if not size or size % item or size // item > MAX_CLASSES:
        raise DataError(
            f"{file} has {size} bytes, which are no {8 * item}-bit scores; are these the results of a "
            "classifier?"
        )


def _dtype_of(file: Path, size: int, classes: int) -> str:
    """The type whose so many scores fill a file."""
    for name, item in FLOATS.items():
        if size == item * classes:
            return name
    raise DataError(
        f"{file} has {size} bytes, and one record's {classes} scores take {4 * classes} (float32) or "
        f"{2 * classes} (float16); these are results of another network, or of several records."
    )


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(str(one) for one in numbers[:MAX_LISTED])
    return shown + (" ..." if len(numbers) > MAX_LISTED else "")


def write_scores(folder: Path, index: int, scores: NDArray[np.float32]) -> None:
    """One result as ais_bench writes it: the first output of record `index`."""
    partial = folder / f".{index}.bin.part"
    partial.write_bytes(np.ascontiguousarray(scores, dtype="<f4").tobytes())
    partial.replace(folder / f"{index}_0.bin")
