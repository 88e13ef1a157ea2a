"""The child process of a profile: a model with its runtime's profiler on, see worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.measure.layers import Timed
from stgcn_deploy.measure.profilers import PROFILERS, Profiled
from stgcn_deploy.measure.worker import random_feed, serve, timed_calls

__all__ = ["best_of", "faster_half", "main"]


def best_of(runs: list[list[Timed]]) -> list[Timed]:
    """Every layer with the shortest of its times: other programs interrupt layers, and shorten none.

    In the order of the first run; a layer that not every run has is left out.
    """
    times: dict[tuple[str, str, int], list[float]] = {}
    for run in runs:
        # Two layers may have one name; they count by their order.
        seen: Counter[tuple[str, str]] = Counter()
        for one in run:
            times.setdefault((one.name, one.op, seen[one.name, one.op]), []).append(one.ms)
            seen[one.name, one.op] += 1
    return [
        Timed(name, op, min(found))
        for (name, op, _), found in times.items()
        if len(found) == len(runs)
    ]


def faster_half(samples: Sequence[float]) -> float:
    """Their mean: what is typical, with few interruptions."""
    kept = sorted(samples)[: -(-len(samples) // 2)]
    return sum(kept) / len(kept)


def main() -> None:
    """Serve one model; the answer to {"run"} has the layers beside the samples, and is the last."""
    opened: list[Profiled] = []

    def prepare(options: dict[str, Any]) -> Callable[[], object]:
        profiled = PROFILERS[options["backend"]].open(
            Path(options["model"]),
            OpenOptions(threads=options["threads"], compute=options["compute"]),
        )
        opened.append(profiled)
        feed = random_feed(options["shapes"])
        return lambda: profiled.run(feed)

    def sample(call: Callable[[], object], seconds: float, least: int) -> dict[str, Any]:
        times = timed_calls(call, seconds, least)
        runs = opened[0].finish(len(times))
        return {
            "samples_ms": times,
            "runs": len(runs),
            "layers": [[one.name, one.op, one.ms] for one in best_of(runs)],
            "typical_ms": faster_half([sum(one.ms for one in run) for run in runs]),
        }

    serve(prepare, sample)


if __name__ == "__main__":
    main()
