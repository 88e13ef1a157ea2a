"""TensorRT's profiler: during each call the execution context says what every layer took."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.built import refuse_changes
from stgcn_deploy.backends.tensorrt_session import TensorRtSession, open_engine
from stgcn_deploy.measure.fused import attribute_fused
from stgcn_deploy.measure.layers import Layer, Timed
from stgcn_deploy.measure.node_macs import Graph
from stgcn_deploy.measure.profilers import Profiler

__all__ = ["PROFILER", "TensorRtProfiler"]


class _Profiled:
    """One session that is watched, and what was told in each run."""

    def __init__(self, session: TensorRtSession) -> None:
        self._session = session
        self._runs: list[list[Timed]] = [[]]
        session.watch(self._tell)

    def _tell(self, name: str, ms: float) -> None:
        # Names alone are told; operators are those of the nodes that they name, see attribute_fused.
        self._runs[-1].append(Timed(name, "", ms))

    def run(self, feed: dict[str, NDArray[Any]]) -> None:
        """See Profiled.run."""
        self._runs.append([])
        self._session.run(feed)

    def finish(self, last: int) -> list[list[Timed]]:
        """See Profiled.finish."""
        self._session.close()
        return self._runs[-last:]


class TensorRtProfiler(Profiler):
    """See Profiler."""

    plain = "stgcn_deploy.measure.engine_worker"
    no_floor = (
        "TensorRT runs nothing but engines, and none is built here for a large matrix product, whose "
        "rate would be the floor"
    )

    def open(self, model: Path, options: OpenOptions) -> _Profiled:
        """See Profiler.open."""
        refuse_changes(model, options, "tensorrt")
        return _Profiled(open_engine(model, graphs=False).sessions[0])

    def attribute(self, timed: Sequence[Timed], graph: Graph) -> tuple[Layer, ...]:
        """See Profiler.attribute."""
        return attribute_fused(timed, graph)


PROFILER = TensorRtProfiler()
