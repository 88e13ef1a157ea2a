"""The seam to runtimes: a Backend opens a model as a Session; shared checks are made here, once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BackendError, ClipError
from stgcn_deploy.registry import nearest

__all__ = ["Backend", "OpenOptions", "Session", "TensorSpec"]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output; a str in `shape` is the name of an open axis."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of `shape` may be fed here."""
        return len(shape) == len(self.shape) and all(
            isinstance(want, str) or want == have
            for want, have in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True)
class OpenOptions:
    """How to open a model.

    Attributes:
        threads: threads inside one call; None leaves it to the runtime.
        tap: name of an inner tensor to add to the outputs (for comparing logits).
        compute: what float layers are computed in, said explicitly to every runtime: some would take
            less than the file has.  None: as the file was built; for files of a vendor's tool alone,
            whose precision was decided when they were built.
        hint: what to favour where the runtime lets one choose (OpenVINO): the time of one call, or many
            calls side by side; a single caller loses by "throughput".
        parallel: whether parts of the graph that do not need each other (streams, persons) run side by
            side, on more than one thread and on a backend that can (ONNX Runtime).
    """

    threads: int | None = None
    tap: str | None = None
    compute: Literal["fp32", "bf16", "fp16"] | None = "fp32"
    hint: Literal["latency", "throughput"] = "latency"
    parallel: bool = True

    @property
    def said(self) -> Literal["fp32", "bf16", "fp16"]:
        """What to compute in, for backends that read a graph, which has no precision of its own.

        Raises:
            BackendError: it was left open.
        """
        if self.compute is None:
            raise BackendError(
                "a graph computes in the precision that it is told; say which: compute='fp32', 'bf16' or "
                "'fp16'."
            )
        return self.compute


class Session(ABC):
    """A model that runs; a context manager; not thread-safe.

    Attributes:
        parallel_parts: how many parts of the graph run side by side.
    """

    parallel_parts = 1

    def __init__(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self._inputs = inputs
        self._outputs = outputs
        self._closed = False

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` takes."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives."""
        return self._outputs

    @abstractmethod
    def _run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run on checked arrays; the results belong to the caller."""

    @abstractmethod
    def _close(self) -> None:
        """Release what the runtime holds."""

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name.

        Raises:
            ClipError: an input is missing, unknown, or of the wrong dtype or shape.
            BackendError: the session is closed, or the runtime failed.
        """
        if self._closed:
            raise BackendError("this session is closed; open the bundle again.")
        names = [spec.name for spec in self.inputs]
        unknown = [name for name in feed if name not in names]
        if unknown:
            raise ClipError(
                f"no input is called {unknown[0]!r}{nearest(unknown[0], names)} "
                f"Inputs: {', '.join(names)}."
            )
        return self._run({spec.name: self._checked(spec, feed) for spec in self.inputs})

    @staticmethod
    def _checked(spec: TensorSpec, feed: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        if spec.name not in feed:
            raise ClipError(f"input {spec.name!r} is missing.")
        array = feed[spec.name]
        if str(array.dtype) != spec.dtype:
            raise ClipError(f"input {spec.name!r} has dtype {array.dtype}, expected {spec.dtype}.")
        if not spec.fits(array.shape):
            raise ClipError(
                f"input {spec.name!r} has shape {array.shape}, expected "
                f"({', '.join(map(str, spec.shape))})."
            )
        return np.ascontiguousarray(array)

    def close(self) -> None:
        """Release the runtime; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Backend(Protocol):
    """One runtime.

    Attributes:
        name: the table's name of it.
        install: the line that installs it.
        taps: whether it can add an inner tensor to the outputs; files that a vendor's tool built cannot
            be changed any more, so that they are judged by their outputs alone.
    """

    name: str
    install: str
    taps: bool

    def available(self) -> str | None:
        """None when usable here, else why not."""

    def version(self) -> str | None:
        """The runtime's version, or None when it is absent."""

    def model_of(self, bundle: Bundle, batch: int = 1) -> Path:
        """The file of a bundle that this runtime opens: its graph, or what was built of it.

        Args:
            batch: clips in one call, where files are built for one number of them.

        Raises:
            BundleError: nothing was built for this runtime.
        """

    def open(self, model: Path, options: OpenOptions) -> Session:
        """Open a model file.

        A backend that cannot compute as `options.compute` says refuses; none takes another precision.
        One that cannot tap refuses `options.tap`.

        Raises:
            MissingDependencyError: the runtime is absent.
            BackendError: it refuses the model.
        """
