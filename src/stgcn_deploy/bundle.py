"""A bundle: the directory in which the build half and the run half meet.

    model.onnx [model.onnx.data]   the graph
    manifest.json                  everything the run half must know, see manifest.py
    golden.npz                     batches (N, M, T, V, C) and float64 logits of the reference form
    labels.txt                     class names, one a line

Every file is named in the manifest with its sha256; an unknown or missing field, or a changed byte,
is an error.  A bundle is written beside its place and renamed, so that no half of one ever exists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from stgcn_deploy.data.npzfile import NpzFile
from stgcn_deploy.errors import (
    BundleError,
    DataError,
    FileUnreadableError,
    HashMismatchError,
    ManifestError,
    UsageError,
)
from stgcn_deploy.manifest import (
    GOLDEN,
    LABELS,
    MANIFEST,
    MODEL,
    SCHEMA_VERSION,
    FileRecord,
    Manifest,
    StepRecord,
)
from stgcn_deploy.skeleton.contract import Step

__all__ = [
    "Bundle",
    "Golden",
    "read_manifest",
    "read_steps",
    "sha256_of",
    "write_bundle",
    "write_golden",
]

# Unpacked; far above what some dozens of recorded cases take.
MAX_GOLDEN = 1 << 30


@dataclass(frozen=True)
class Golden:
    """One recorded batch (N, M, T, V, C) and the reference form's float64 logits (N, classes)."""

    name: str
    batch: NDArray[np.float32]
    logits: NDArray[np.float64]


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Bundle:
    """A bundle that was read and whose bytes were checked.

    Args:
        path: the directory.

    Raises:
        FileUnreadableError: nothing there.
        ManifestError: no manifest, or one that this version does not understand in full.
        HashMismatchError: a file is missing, or is not the one that was written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        for name, record in self.manifest.files.items():
            _check_file(self.path, name, record)

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.path / MODEL

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in index order.

        Raises:
            BundleError: not one a class.
        """
        try:
            names = (self.path / LABELS).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"{self.path / LABELS} cannot be read: {error}") from None
        if len(names) != self.manifest.num_classes:
            raise BundleError(
                f"{self.path / LABELS} holds {len(names)} labels for {self.manifest.num_classes} "
                "classes; export the bundle again."
            )
        return tuple(names)

    def golden(self) -> tuple[Golden, ...]:
        """The recorded cases, in the order they were written.

        Raises:
            BundleError: the file is damaged, or was not written by an export.
        """
        try:
            with NpzFile(self.path / GOLDEN) as file:
                file.limit(MAX_GOLDEN)
                # Numbers are no names, but those of no cases are an empty row of them.
                names = file.records("names", "Ufiu").read().ravel().tolist()
                return tuple(self._case(file, str(name), at) for at, name in enumerate(names))
        except (DataError, FileUnreadableError) as error:
            raise BundleError(
                f"{self.path / GOLDEN} holds no readable golden cases ({error}); export the bundle "
                "again."
            ) from None

    @staticmethod
    def _case(file: NpzFile, name: str, index: int) -> Golden:
        """One recorded case."""
        batch, logits = (file.records(f"{part}_{index}").read() for part in ("batch", "logits"))
        # What else must fit is for a verification to say, whose verdict it is.
        if batch.ndim != 5:
            raise DataError(
                f"case {name[:40]!r} has shape {batch.shape}, expected (N, M, T, V, C)."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            return Golden(name, batch.astype(np.float32), logits.astype(np.float64))


def read_manifest(path: Path) -> Manifest:
    """The manifest of a directory, checked field by field.

    Raises:
        FileUnreadableError, ManifestError: see Bundle.
    """
    if not path.exists():
        raise FileUnreadableError(f"{path} does not exist; give a bundle directory.")
    file = path / MANIFEST
    if not file.is_file():
        raise ManifestError(
            f"{path} is no bundle: it has no {MANIFEST}. Make one with: stgcn export CHECKPOINT -o DIR"
        )
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ManifestError(
            f"{file} is not valid JSON ({error}); export the bundle again."
        ) from None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise ManifestError(
            f"{file} has schema version {version!r}, this stgcn-deploy reads {SCHEMA_VERSION}; "
            "export the bundle again, or use the version that wrote it."
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise ManifestError(
            f"{file}: field {where!r}: {first['msg']} ({error.error_count()} problem(s) in all). A "
            "bundle is used only when every field is understood; export it again."
        ) from None


def read_steps(path: Path) -> tuple[Step, ...]:
    """The steps in a .json file, [{"name": ..., "params": {...}}, ...], or those of a bundle.

    Raises:
        FileUnreadableError: no such file, or no JSON.
        UsageError: a step that is not known, or its parameters are wrong; it is named.
    """
    if path.is_dir():
        return read_manifest(path).steps
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise FileUnreadableError(f"cannot read the steps in {path}: {error}") from None
    if not isinstance(value, list) or not value:
        raise UsageError(
            f'{path}: expected a list of steps like [{{"name": "persons", "params": {{"count": 1}}}}].'
        )
    steps = []
    for number, one in enumerate(value):
        try:
            steps.append(StepRecord.model_validate(one).step)
        except ValidationError as error:
            raise UsageError(f"{path}, step {number}: {error.errors()[0]['msg']}") from None
    return tuple(steps)


def _check_file(folder: Path, name: str, record: FileRecord) -> None:
    file = folder / name
    if Path(name).name != name:
        raise ManifestError(f"{folder}: file name {name!r} leaves the bundle; refused.")
    if not file.is_file():
        raise HashMismatchError(f"{file} is missing from the bundle; export it again.")
    if file.stat().st_size != record.bytes or sha256_of(file) != record.sha256:
        raise HashMismatchError(
            f"{file} is not the file that was written (its bytes changed since); copy the bundle "
            "again, or export it again."
        )


def write_golden(folder: Path, cases: tuple[Golden, ...]) -> None:
    """golden.npz."""
    arrays: dict[str, NDArray[Any]] = {"names": np.array([case.name for case in cases])}
    for index, case in enumerate(cases):
        arrays[f"batch_{index}"] = case.batch.astype(np.float32)
        arrays[f"logits_{index}"] = case.logits.astype(np.float64)
    np.savez_compressed(folder / GOLDEN, **arrays)  # type: ignore[arg-type]


def write_bundle(folder: Path, fields: Mapping[str, Any]) -> Manifest:
    """Seal a directory whose other files are written: hash them, write the manifest."""
    files = {
        file.name: FileRecord(sha256=sha256_of(file), bytes=file.stat().st_size)
        for file in sorted(folder.iterdir())
        if file.name != MANIFEST
    }
    manifest = Manifest.model_validate(
        {
            **fields,
            "schema_version": SCHEMA_VERSION,
            "files": {k: v.model_dump() for k, v in files.items()},
        }
    )
    text = manifest.model_dump_json(indent=1)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return manifest
