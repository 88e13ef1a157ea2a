"""The table of runtimes that say where their time goes; add a file and a line to add one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from stgcn_deploy.measure.layers import Timed
from stgcn_deploy.registry import Registry

__all__ = ["PROFILERS", "Profiled", "Profiler"]


class Profiled(Protocol):
    """A model that keeps account of its layers."""

    def run(self, feed: dict[str, NDArray[Any]]) -> None:
        """One run."""

    def finish(self, last: int) -> list[list[Timed]]:
        """The layers of the last so many runs, in the order in which they ran; the model is closed.

        One entry a run, or a single one with their mean, where the runtime tells no more.
        """


class Profiler(Protocol):
    """One runtime's own profiler."""

    def open(self, model: Path, *, threads: int, compute: str) -> Profiled:
        """Open a model as the backend of the same name does, with its profiler on.

        Raises:
            MissingDependencyError: the runtime is absent.
            BackendError: it refuses the model, or to compute so.
        """


_HERE = "stgcn_deploy.measure.profilers"

# By the names of the backends.
PROFILERS: Registry[Profiler] = Registry(
    "profiler",
    {
        "onnxruntime": f"{_HERE}.onnxruntime:PROFILER",
        "openvino": f"{_HERE}.openvino:PROFILER",
    },
)
