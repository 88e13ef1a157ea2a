"""The table of runtimes that say where their time goes; add a file and a line to add one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.measure.layers import Layer, Timed, attribute
from stgcn_deploy.measure.node_macs import Graph
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


class Profiler(ABC):
    """One runtime's own profiler.

    Attributes:
        plain: the worker that runs the same model without the profiler.
        no_floor: why the machine's rate is not measured on this runtime; "" where it is.
    """

    plain = "stgcn_deploy.measure.worker"
    no_floor = ""

    @abstractmethod
    def open(self, model: Path, options: OpenOptions) -> Profiled:
        """Open a model as the backend of the same name does, with its profiler on.

        Raises:
            MissingDependencyError: the runtime is absent.
            BackendError: it refuses the model, or to compute so.
        """

    def attribute(self, timed: Sequence[Timed], graph: Graph) -> tuple[Layer, ...]:
        """Its lines with their places in the network."""
        return attribute(timed, graph)


_HERE = "stgcn_deploy.measure.profilers"

# By the names of the backends.
PROFILERS: Registry[Profiler] = Registry(
    "profiler",
    {
        "onnxruntime": f"{_HERE}.onnxruntime:PROFILER",
        "openvino": f"{_HERE}.openvino:PROFILER",
        "tensorrt": f"{_HERE}.tensorrt:PROFILER",
    },
)
