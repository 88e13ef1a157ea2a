"""ONNX Runtime's profiler: a JSON file with an event for every node of every run."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.onnxruntime import BACKEND, PROVIDERS
from stgcn_deploy.errors import BackendError, requires
from stgcn_deploy.measure.layers import Timed
from stgcn_deploy.measure.profilers import Profiler

__all__ = ["PROFILER", "OnnxRuntimeProfiler"]

# Events have other endings for what was waited for; those of the work itself have this one.
WORK = "_kernel_time"


class _Profiled:
    """One session that writes a profile into a folder of its own."""

    def __init__(self, session: Any, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._session = session
        self._folder = folder

    def run(self, feed: dict[str, NDArray[Any]]) -> None:
        """See Profiled.run."""
        self._session.run(None, feed)

    def finish(self, last: int) -> list[list[Timed]]:
        """See Profiled.finish."""
        path = self._session.end_profiling()
        try:
            with Path(path).open(encoding="utf-8") as file:
                return by_run(json.load(file))[-last:]
        except (OSError, ValueError) as error:
            raise BackendError(f"ONNX Runtime left no readable profile: {error}") from None
        finally:
            self._session = None
            self._folder.cleanup()


def by_run(events: list[dict[str, Any]]) -> list[list[Timed]]:
    """The events of nodes, run by run; each node occurs once in a run."""
    runs: list[list[Timed]] = []
    times: Counter[tuple[str, str]] = Counter()
    for event in sorted(events, key=lambda event: event.get("ts", 0)):
        name = event.get("name", "")
        if event.get("cat") != "Node" or not name.endswith(WORK):
            continue
        about = event.get("args", {})
        key = (name, str(about.get("node_index")))
        run, times[key] = times[key], times[key] + 1
        if run == len(runs):
            runs.append([])
        runs[run].append(
            Timed(name.removesuffix(WORK), about.get("op_name", ""), event.get("dur", 0) / 1e3)
        )
    return runs


class OnnxRuntimeProfiler(Profiler):
    """See Profiler."""

    def open(self, model: Path, options: OpenOptions) -> _Profiled:
        """See Profiler.open."""
        with requires("profiling a model", BACKEND.install):
            import onnxruntime
        if options.said == "bf16":
            raise BackendError(
                "ONNX Runtime does not compute in bfloat16 on CPUs; profile this bundle with "
                "--backend openvino."
            )
        folder = tempfile.TemporaryDirectory()
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        settings.intra_op_num_threads = options.threads or 0
        settings.inter_op_num_threads = 1
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(folder.name) / "profile")
        try:
            session = onnxruntime.InferenceSession(str(model), settings, providers=PROVIDERS)
        except Exception as error:
            folder.cleanup()
            raise BackendError(f"ONNX Runtime cannot load {model}: {error}") from error
        return _Profiled(session, folder)


PROFILER = OnnxRuntimeProfiler()
