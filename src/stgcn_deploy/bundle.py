"""A bundle: the directory in which the build half and the run half meet.

    model.onnx [model.onnx.data]   the graph
    manifest.json                  everything the run half must know; no silent defaults
    golden.npz                     batches (N, M, T, V, C) and float64 logits of the reference form
    labels.txt                     class names, one a line

Every file is named in the manifest with its sha256; an unknown or missing field, or a changed byte,
is an error.  A bundle is written beside its place and renamed, so that no half of one ever exists.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    create_model,
    model_validator,
)

from stgcn_deploy.data.npzfile import NpzFile
from stgcn_deploy.errors import (
    BundleError,
    DataError,
    FileUnreadableError,
    HashMismatchError,
    ManifestError,
    UsageError,
)
from stgcn_deploy.skeleton.axes import AXIS_ORDERS
from stgcn_deploy.skeleton.contract import TRANSFORMS, Step
from stgcn_deploy.skeleton.inputs import OPEN_AXES, InputSpec, make_feed
from stgcn_deploy.skeleton.streams import STREAMS

__all__ = [
    "SCHEMA_VERSION",
    "Bundle",
    "Golden",
    "Manifest",
    "StepRecord",
    "read_steps",
    "sha256_of",
    "write_bundle",
]

SCHEMA_VERSION = 1
MODEL, MANIFEST, GOLDEN, LABELS = "model.onnx", "manifest.json", "golden.npz", "labels.txt"
# Unpacked; far above what some dozens of recorded cases take.
MAX_GOLDEN = 1 << 30


class Strict(BaseModel):
    """Unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LayoutRecord(Strict):
    """The skeleton; `name` is None when the stored graph fits no known layout."""

    name: str | None
    exact: bool
    edge_set: str | None
    strategy: str | None
    joints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    adjacency_sha256: str


class ClipRecord(Strict):
    """Sizes of one input; `dynamic` holds the open axes with the range that was verified.

    Attributes:
        skips_absent: whether only occupied person slots run, so that time depends on their number.
    """

    batch: PositiveInt
    persons: PositiveInt
    frames: PositiveInt
    joints: PositiveInt
    channels: PositiveInt
    dynamic: dict[Literal["N", "T", "M"], tuple[PositiveInt, PositiveInt]]
    fps: PositiveFloat | None
    skips_absent: bool = False

    @model_validator(mode="after")
    def _ranges(self) -> ClipRecord:
        for axis, (low, high) in self.dynamic.items():
            if low > high:
                raise ValueError(f"dynamic {axis} goes from {low} down to {high}")
        return self


class StepRecord(Strict):
    """One step from a recording to a clip, see skeleton.contract."""

    name: str
    params: dict[str, Any]

    @model_validator(mode="after")
    def _known(self) -> StepRecord:
        try:
            Step(self.name, self.params)
        except UsageError as error:
            raise ValueError(str(error)) from None
        try:
            _params_model(self.name).model_validate(self.params, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"step {self.name!r}, parameter {where!r}: {first['msg']}") from None
        return self

    @property
    def step(self) -> Step:
        """The same, ready to run."""
        return Step(self.name, self.params)


@cache
def _params_model(name: str) -> type[BaseModel]:
    """The types of a step's parameters, read off the function that takes them."""
    function = TRANSFORMS[name]
    types = get_type_hints(function)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    fields: dict[str, Any] = {
        one.name: (types[one.name], ... if one.default is one.empty else one.default)
        for one in parameters
    }
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


class ContractRecord(Strict):
    """What the numbers of a clip are.

    Attributes:
        preprocessing: how the training codebase makes them, in words.
        steps: the same, to be repeated on a recording; empty where that is not known.
        pad_frames, pad_persons: what fills a short clip.
    """

    preprocessing: str
    steps: tuple[StepRecord, ...]
    pad_frames: Literal["zeros"]
    pad_persons: Literal["zeros"]


Compute = Literal["fp32", "bf16", "fp16"]


class CalibrationRecord(Strict):
    """What the ranges of a quantised graph were taken from.

    Attributes:
        data: name of the file; sha256: of the samples as the network saw them.
        method: how a range is chosen: minmax, entropy, percentile.
        scheme: types and granularity, for instance "u8s8 per channel".
    """

    data: str
    sha256: str
    split: str | None
    samples: PositiveInt
    method: str
    scheme: str


class AccuracyRecord(Strict):
    """What lower precision cost, on labelled recordings that it was not calibrated on.

    Attributes:
        before, after: top-1 of the bundle that it was made from, and of this one, 0 to 1.
        points: percentage points lost; margin: half width of their 95 % interval.
        agreement: share of records with the same best class.
        budget: points that were allowed; None where none was set.
    """

    data: str
    split: str | None
    records: PositiveInt
    backend: str
    before: float
    after: float
    points: float
    margin: float
    agreement: float
    budget: float | None


class PrecisionRecord(Strict):
    """Asked for and got.

    Attributes:
        compute: what the layers that are not quantised are computed in.
        target: the backend that the graph was made for; None for any.
        base: sha256 of the manifest of the bundle that it was made from; None for an export.
        float_layers: what stays `compute` in a quantised graph, beside what its recipe leaves out.
    """

    requested: str
    actual: str
    compute: Compute = "fp32"
    target: str | None = None
    base: str | None = None
    calibration: CalibrationRecord | None = None
    float_layers: tuple[str, ...] = ()
    accuracy: AccuracyRecord | None = None


class ParityRecord(Strict):
    """The verification that this bundle passed when it was made.

    Attributes:
        max_error, p99_error, mean_error: |candidate - reference| of logits over max(1, max|logits|).
        inert: parts of the input that change nothing, in the reference either.
    """

    backend: str
    cases: int
    max_error: float
    p99_error: float
    mean_error: float
    top1_agreement: float
    tolerance: float
    inert: tuple[str, ...]


class SourceRecord(Strict):
    """Where weights come from; `facts` is what was read, given and assumed.

    Attributes:
        stream: what of the clip these weights see; weight: of their scores, in an ensemble.
    """

    file: str
    sha256: str
    codebase: str
    stream: str
    weight: float
    facts: tuple[dict[str, Any], ...]


class InputRecord(Strict):
    """One input of the graph, see skeleton.inputs.InputSpec."""

    name: str
    axes: str
    channels: int
    stream: str
    trim: int

    @model_validator(mode="after")
    def _known(self) -> InputRecord:
        if self.axes not in AXIS_ORDERS:
            raise ValueError(f"axes {self.axes!r} is none of {', '.join(AXIS_ORDERS)}")
        if self.stream not in STREAMS:
            raise ValueError(f"stream {self.stream!r} is none of {', '.join(STREAMS)}")
        return self

    @property
    def spec(self) -> InputSpec:
        """The same, with what makes it from a clip."""
        return InputSpec(**self.model_dump())


class FileRecord(Strict):
    """One file of the bundle."""

    sha256: str
    bytes: int


class Manifest(Strict):
    """manifest.json."""

    schema_version: Literal[1]
    name: str
    family: str
    motion: str | None
    sources: tuple[SourceRecord, ...]
    fusion: Literal["logits", "probabilities"] | None
    layout: LayoutRecord
    inputs: tuple[InputRecord, ...]
    clip: ClipRecord
    contract: ContractRecord
    num_classes: int
    output: Literal["probabilities", "logits"]
    activation: Literal["softmax", "sigmoid"]
    graph_form: str
    graph_form_ms: dict[str, float]
    opset: int
    ir_version: int
    exporter: str
    precision: PrecisionRecord
    macs: int
    parameters: int
    parity: ParityRecord | None
    versions: dict[str, str]
    command: str
    files: dict[str, FileRecord]

    @model_validator(mode="after")
    def _complete(self) -> Manifest:
        for name in self.files:
            if Path(name).name != name or name in ("", ".", ".."):
                raise ValueError(f"file name {name!r} leaves the bundle; refused")
        absent = {MODEL, GOLDEN, LABELS} - set(self.files)
        if self.files and absent:
            raise ValueError(f"files lists no {', '.join(sorted(absent))}")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if not self.inputs or not self.sources:
            raise ValueError("no inputs, or no sources")
        if len(self.layout.joints) != self.clip.joints:
            raise ValueError(
                f"layout has {len(self.layout.joints)} joints, clip {self.clip.joints}"
            )
        return self

    @property
    def source(self) -> SourceRecord:
        """The first source; the only one but for ensembles."""
        return self.sources[0]

    @property
    def steps(self) -> tuple[Step, ...]:
        """What turns a recording into clips; empty where that is not known."""
        return tuple(record.step for record in self.contract.steps)

    @property
    def axes(self) -> str:
        """Axis order of the first input."""
        return self.inputs[0].axes

    @property
    def input_specs(self) -> tuple[InputSpec, ...]:
        """All inputs of the graph."""
        return tuple(record.spec for record in self.inputs)

    @property
    def input_shapes(self) -> dict[str, tuple[int | str, ...]]:
        """Native shape of each input; an open axis is its name ("batch", "frames", "persons")."""
        sizes: dict[str, int | str] = {
            "N": self.clip.batch,
            "M": self.clip.persons,
            "T": self.clip.frames,
            "V": self.clip.joints,
        }
        sizes |= {axis: OPEN_AXES[axis] for axis in self.clip.dynamic}
        return {spec.name: spec.shape(sizes) for spec in self.input_specs}

    def shapes_at(self, batch: int) -> dict[str, list[int]]:
        """Native shape of each input for `batch` clips of the traced size."""
        sizes: dict[str, int | str] = {
            "N": batch, "M": self.clip.persons, "T": self.clip.frames, "V": self.clip.joints
        }  # fmt: skip
        return {spec.name: [int(n) for n in spec.shape(sizes)] for spec in self.input_specs}

    def feed(self, batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """A batch (N, M, T, V, C) as the graph's inputs, by name."""
        return make_feed(self.input_specs, batch)


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
