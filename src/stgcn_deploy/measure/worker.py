"""The child process of a benchmark: one contender alone, driven line by line.

    parent -> {"prepare": {...}}            child -> {"ready": {load_ms, ...}} or {"error": text}
    parent -> {"run": seconds, "least": n}  child -> {"samples_ms": [...], ...}
    parent -> {"stop": true}                child -> {"peak_rss_mb": ...}

Contenders in one process disturb each other: their thread pools spin for a while after each call.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stgcn_deploy.backends.base import Session

__all__ = ["ModelCall", "main", "prepare_model", "random_feed", "serve", "timed_calls"]

Prepare = Callable[[dict[str, Any]], Callable[[], object]]
Sample = Callable[[Callable[[], object], float, int], dict[str, Any]]
WARM_UP_CALLS = 5


def pin(threads: int) -> list[int]:
    """Bind this process to its first `threads` allowed cores; returns them (empty: not possible)."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))[:threads]
    if len(cores) < threads:
        raise ValueError(f"{threads} threads asked for, {len(cores)} cores are usable here")
    os.sched_setaffinity(0, cores)
    return cores


def peak_rss_mb() -> float:
    """Largest resident size of this process so far, MiB.

    Linux keeps it in VmHWM; getrusage would count what the parent held when it started us.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        line = next(row for row in status.splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration, ValueError):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 2**20


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def timed_calls(call: Callable[[], object], seconds: float, least: int) -> list[float]:
    """Milliseconds of each call, for so long and at least so many."""
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while len(samples) < least or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        samples.append((time.perf_counter() - start) * 1e3)
    return samples


def _samples(call: Callable[[], object], seconds: float, least: int) -> dict[str, Any]:
    return {"samples_ms": timed_calls(call, seconds, least)}


def serve(prepare: Prepare, sample: Sample = _samples) -> None:
    """Answer the parent until it says stop.

    Args:
        prepare: turns the parent's first message into a call.
        sample: runs the call for a slice of time; what it returns is the answer.
    """
    call: Callable[[], object] | None = None
    for line in sys.stdin:
        message = json.loads(line)
        if "prepare" in message:
            try:
                start = time.perf_counter()
                cores = pin(message["prepare"]["threads"])
                call = prepare(message["prepare"])
                call()
                loaded = (time.perf_counter() - start) * 1e3
                for _ in range(WARM_UP_CALLS):
                    call()
            except Exception as error:  # the parent reports it; a contender may be unavailable
                _say({"error": f"{type(error).__name__}: {error}"[:400]})
                return
            parts = getattr(call, "parallel_parts", 1)
            _say({"ready": {"load_ms": loaded, "cores": cores, "parallel_parts": parts}})
        elif "run" in message and call is not None:
            _say(sample(call, message["run"], message["least"]))
        else:
            _say({"peak_rss_mb": peak_rss_mb()})
            return


class ModelCall:
    """One call of a session, always with the same feed."""

    def __init__(self, session: Session, feed: dict[str, NDArray[Any]]) -> None:
        self.parallel_parts = session.parallel_parts
        self._session, self._feed = session, feed

    def __call__(self) -> object:
        """The outputs."""
        return self._session.run(self._feed)


def random_feed(shapes: dict[str, list[int]]) -> dict[str, NDArray[Any]]:
    """Normal numbers, always the same."""
    import numpy as np

    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def prepare_model(options: dict[str, Any]) -> ModelCall:
    """A model file on a backend, fed random inputs of `shapes`.

    "present" of the options, where given: by input, (the axis of its persons, how many are not zero);
    "parallel" as in OpenOptions.
    """
    import numpy as np

    from stgcn_deploy.backends.base import OpenOptions
    from stgcn_deploy.backends.registry import BACKENDS

    session = BACKENDS[options["backend"]].open(
        Path(options["model"]),
        OpenOptions(
            threads=options["threads"],
            compute=options.get("compute", "fp32"),
            parallel=options.get("parallel", True),
        ),
    )
    feed = random_feed(options["shapes"])
    for name, (axis, present) in options.get("present", {}).items():
        np.moveaxis(feed[name], axis, 0)[present:] = 0
    return ModelCall(session, feed)


def main() -> None:
    """Serve a model file."""
    serve(prepare_model)


if __name__ == "__main__":
    main()
