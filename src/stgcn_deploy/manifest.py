"""manifest.json of a bundle: everything the run half must know, with no silent defaults.

An unknown or a missing field is an error.
"""

from __future__ import annotations

import inspect
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

from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.axes import AXIS_ORDERS
from stgcn_deploy.skeleton.contract import TRANSFORMS, Step
from stgcn_deploy.skeleton.inputs import OPEN_AXES, InputSpec, make_feed
from stgcn_deploy.skeleton.streams import STREAMS

__all__ = [
    "AttemptRecord",
    "GOLDEN",
    "LABELS",
    "MANIFEST",
    "MODEL",
    "SCHEMA_VERSION",
    "AccuracyRecord",
    "CalibrationRecord",
    "ClipRecord",
    "Compute",
    "BuildRecord",
    "ContractRecord",
    "FileRecord",
    "InputRecord",
    "LayoutRecord",
    "Manifest",
    "ParityRecord",
    "PrecisionRecord",
    "SourceRecord",
    "StepRecord",
    "Strict",
]

SCHEMA_VERSION = 1
MODEL, MANIFEST, GOLDEN, LABELS = "model.onnx", "manifest.json", "golden.npz", "labels.txt"


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


class AttemptRecord(Strict):
    """One precision that a builder tried; `outcome` is "built", or why it was not."""

    precision: str
    outcome: str


class BuildRecord(Strict):
    """A file for one kind of device, made of the graph.

    Attributes:
        target: the backend that runs it.
        file: its name in the bundle; it carries the precision that was got.
        requested, actual: precision asked for, and found in the built file.
        attempts: all precisions that were tried, in order.
        shapes: by input, the smallest, the usual and the largest native shape; one shape where it is fixed.
        device: what it runs on, as the vendor names it ("Ascend310P3", "sm_87").
        layers: number of layers by precision, where the vendor's inspector tells; else empty.
        tools: versions of what built it.
        command: argv of the vendor's tool, or the calls of its Python API in words.
    """

    target: str
    file: str
    requested: str
    actual: str
    attempts: tuple[AttemptRecord, ...]
    shapes: dict[str, tuple[tuple[PositiveInt, ...], ...]]
    device: str
    layers: dict[str, int]
    tools: dict[str, str]
    command: tuple[str, ...]


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
    builds: tuple[BuildRecord, ...]
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
        if unlisted := {build.file for build in self.builds} - set(self.files):
            raise ValueError(f"files lists no {', '.join(sorted(unlisted))}, which was built")
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
