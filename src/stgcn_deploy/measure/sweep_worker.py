"""The child process of a sweep: one setting alone, its sessions called at the same time.

Speaks the protocol of measure/worker.py.  Its options hold, besides a model's, "each" (threads of one
session) and "instances" (sessions); "threads" is what they take together, the cores that it is bound to.
Its samples come with "calls_per_s", of all sessions together.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from stgcn_deploy.measure.worker import prepare_model, serve, timed_calls

__all__ = ["Crew", "main"]

Call = Callable[[], object]


class Crew:
    """Sessions of one model, each called from a thread of its own: runtimes let go of Python's lock."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def prepare(self, options: dict[str, Any]) -> Call:
        """Open the sessions; the result calls each once, to warm them up."""
        alone = {**options, "threads": options["each"]}
        self._calls = [prepare_model(alone) for _ in range(options["instances"])]
        return self._each_once

    def _each_once(self) -> None:
        for call in self._calls:
            call()

    def sample(self, _call: Call, seconds: float, least: int) -> dict[str, Any]:
        """All sessions busy for so long; none starts before the others are ready to."""
        ready = Barrier(len(self._calls))

        def work(call: Call) -> list[float]:
            ready.wait()
            return timed_calls(call, seconds, least)

        with ThreadPoolExecutor(len(self._calls)) as pool:
            parts = list(pool.map(work, self._calls))
        return {
            "samples_ms": [value for part in parts for value in part],
            # Each by its own time: who ends first has not been idle while the last one finishes.
            "calls_per_s": sum(1e3 * len(part) / sum(part) for part in parts),
        }


def main() -> None:
    """Serve a model file."""
    crew = Crew()
    serve(crew.prepare, crew.sample)


if __name__ == "__main__":
    main()
