"""OpenVINO's profiler: after each run the request says what every layer took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.openvino import BACKEND, DEVICE, HINTS, PRECISIONS
from stgcn_deploy.errors import BackendError, MissingDependencyError, requires
from stgcn_deploy.measure.layers import Timed
from stgcn_deploy.measure.profilers import Profiler

__all__ = ["PROFILER", "OpenVinoProfiler"]


class _Profiled:
    """One request, and what it says after each run."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._said: list[list[Timed]] = []

    def run(self, feed: dict[str, NDArray[Any]]) -> None:
        """See Profiled.run."""
        self._request.infer(list(feed.values()), share_inputs=True)
        self._said.append(
            [
                Timed(one.node_name, one.node_type, one.real_time.total_seconds() * 1e3)
                for one in self._request.get_profiling_info()
                if one.status.name == "EXECUTED"
            ]
        )

    def finish(self, last: int) -> list[list[Timed]]:
        """See Profiled.finish: one entry, the mean of the last runs."""
        self._request = self._compiled = None
        return [mean_of_last(self._said, last)]


def mean_of_last(said: list[list[Timed]], last: int) -> list[Timed]:
    """The layers of the last runs, on average.

    The CPU plugin gives the mean since the model was compiled, the first run with its preparations
    included; the sums before and after tell what the runs between took.
    """
    count = len(said)
    before: dict[tuple[str, str], float] = {}
    if count > last:
        before = {(one.name, one.op): one.ms * (count - last) for one in said[count - last - 1]}
    return [
        Timed(
            one.name,
            one.op,
            max(0.0, one.ms * count - before.get((one.name, one.op), 0.0)) / last,
        )
        for one in said[-1]
    ]


class OpenVinoProfiler(Profiler):
    """See Profiler."""

    def open(self, model: Path, options: OpenOptions) -> _Profiled:
        """See Profiler.open."""
        with requires("profiling a model on OpenVINO", BACKEND.install):
            import openvino
        if reason := BACKEND.available():
            raise MissingDependencyError(reason)
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": HINTS["latency"],
            "INFERENCE_PRECISION_HINT": PRECISIONS[options.said][0],
            "INFERENCE_NUM_THREADS": options.threads or 0,
            "PERF_COUNT": True,
        }
        if options.said == "fp32":
            settings["EXECUTION_MODE_HINT"] = "ACCURACY"
        core = openvino.Core()
        try:
            return _Profiled(core.compile_model(core.read_model(str(model)), DEVICE, settings))
        except Exception as error:  # the runtime raises plain RuntimeError
            reason = str(error).strip().partition("\n")[0]
            raise BackendError(f"OpenVINO cannot load {model}: {reason}") from error


PROFILER = OpenVinoProfiler()
