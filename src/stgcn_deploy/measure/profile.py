"""Where the time of a bundle goes: the runtime's own profile, by block and kind, against the floor.

The floor of a layer is its multiply-accumulates at the rate of a large matrix product, measured right
there on the same runtime, threads and precision; TensorRT, which runs engines alone, has none.  What the
profiler itself costs is measured too: the same model runs without it, in a process of its own, before and
after.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_deploy.backends.base import Backend
from stgcn_deploy.backends.built import ModelFile, batches_of, model_file
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import CheckFailedError, MissingDependencyError, UsageError
from stgcn_deploy.measure.bench import Child, model_contender
from stgcn_deploy.measure.environment import environment
from stgcn_deploy.measure.layers import KINDS, MOVED, REST, UNNAMED, Layer, Timed
from stgcn_deploy.measure.node_macs import read_graph
from stgcn_deploy.measure.peak import peak_contender
from stgcn_deploy.measure.profile_worker import faster_half
from stgcn_deploy.measure.profilers import PROFILERS

__all__ = ["ProfileReport", "Share", "profile_bundle"]

MOST_RUNS = 1000
# Layers that add up to less or more than this of a run are no account of it.
LEAST_SUM, MOST_SUM = 0.5, 2.0
# A product so small that other programs seldom interrupt it, and the best of many: the rate is what the
# machine can do, not what it does beside something else.
PEAK_SIZE, PEAK_RUNS = 768, 40


@dataclass(frozen=True)
class Share:
    """Some layers together.

    Attributes:
        layers: how many; ms, macs: their sums.
    """

    name: str
    layers: int
    ms: float
    macs: int


@dataclass(frozen=True)
class ProfileReport:
    """The layers of one run, and what they are measured against.

    Attributes:
        precision: of the file that ran; compute: what its float layers were told to be computed in, None
            where that was decided when it was built.
        layers: in the order in which they ran, each with its best time.
        typical_ms: all layers of one run; latency_ms: a run without the profiler; profiled_ms: with it.
            Means over the faster half of the runs.
        peak: multiply-accumulates per second of a large matrix product here; None where it is not
            measured, so that there is no floor; no_floor: the reason.
        macs: of the whole graph; missing: of products that no layer of the profile is.
        uncounted: products whose sizes are not known.
        means: whether times are means over all runs, where the runtime tells no more.
    """

    bundle: str
    backend: str
    precision: str
    compute: str | None
    threads: int
    runs: int
    layers: tuple[Layer, ...]
    typical_ms: float
    latency_ms: float
    profiled_ms: float
    peak: float | None
    macs: int
    missing: int
    uncounted: tuple[str, ...]
    means: bool
    environment: dict[str, Any]
    no_floor: str = ""

    @property
    def total_ms(self) -> float:
        """Of all layers."""
        return sum(layer.ms for layer in self.layers)

    @property
    def how(self) -> str:
        """How the times of the layers were chosen, behind "layers"."""
        return "on average" if self.means else "at their best"

    @property
    def overhead(self) -> float:
        """What the profiler adds to a run, as a share of it."""
        return self.profiled_ms / self.latency_ms - 1

    def floor_ms(self, macs: int | None = None) -> float | None:
        """The time of so many multiply-accumulates at the peak; of the whole graph without a number.

        None where there is no floor.
        """
        if not self.peak:
            return None
        return (self.macs if macs is None else macs) / self.peak * 1e3

    def of_peak(self, share: Share | Layer) -> float:
        """Fraction of the peak; NaN of what multiplies nothing, and where there is no floor."""
        floor = self.floor_ms(share.macs) if share.macs else None
        return floor / share.ms if floor and share.ms else float("nan")

    @property
    def unnamed(self) -> Share:
        """The layers whose names tell no place in the graph."""
        return _share(UNNAMED, (one for one in self.layers if one.block == UNNAMED))

    def remarks(self) -> tuple[str, ...]:
        """What the reader must know of the numbers, a sentence each."""
        found = []
        if self.no_floor:
            found.append(f"no floor: {self.no_floor}.")
        if self.missing or self.uncounted:
            found.append(
                f"{self.missing / 1e9:.3g} GMAC belong to no layer of the profile, and "
                f"{len(self.uncounted)} product(s) could not be counted."
            )
        if unnamed := self.unnamed.layers:
            found.append(
                f"{self.unnamed.ms / self.total_ms:.0%} of the time is in {unnamed} of "
                f"{len(self.layers)} layers whose names tell no block; that is counted as rest."
            )
        return (*found, self.busy) if self.busy else tuple(found)

    def by_kind(self) -> tuple[Share, ...]:
        """In the order of KINDS, those that occur."""
        found = (_share(kind, (one for one in self.layers if one.kind == kind)) for kind in KINDS)
        return tuple(share for share in found if share.layers)

    def by_block(self) -> tuple[Share, ...]:
        """In the order of streams and blocks."""
        names = sorted({layer.block for layer in self.layers}, key=_order)
        return tuple(
            _share(name, (one for one in self.layers if one.block == name)) for name in names
        )

    def sentence(self) -> str:
        """Where the time goes."""
        shares = sorted(self.by_kind(), key=lambda share: -share.ms)
        first = shares[0]
        text = f"{first.ms / self.total_ms:.0%} of the time goes into {_words(first)}"
        if first.macs and self.peak:
            text += f", at {self.of_peak(first):.0%} of the machine's rate"
        idle = sum(share.ms for share in shares if share.name in (MOVED, REST))
        text += f"; {idle / self.total_ms:.0%} is spent beside the products"
        return text + self._above_the_floor(shares) + "."

    def _above_the_floor(self, shares: Iterable[Share]) -> str:
        """The end of that sentence; "" where there is no floor, or nothing above it."""
        floor = self.floor_ms()
        if floor is None:
            return ""
        beyond = [(share.ms - (self.floor_ms(share.macs) or 0.0), share) for share in shares]
        lost, over = max(beyond, key=lambda one: one[0])
        above = self.total_ms - floor
        if above <= 0 or lost <= 0:
            return ""
        return f"; of {above:.1f} ms above the floor, {lost:.1f} ms are in {_words(over)}"

    @property
    def busy(self) -> str:
        """That other programs ran meanwhile, which makes all times longer; "" where none did."""
        load = [*self.environment.get("load_average", []), 0.0][0]
        cores = self.environment.get("cores") or 1
        if load <= cores + 0.5:
            return ""
        return (
            f"The machine was busy (load {load:.1f} on {cores} cores): a run takes less time on a "
            "quiet one."
        )

    def as_dict(self) -> dict[str, Any]:
        """For --json."""

        def share(one: Share) -> dict[str, Any]:
            return {
                **asdict(one),
                "share": one.ms / self.total_ms,
                "floor_ms": self.floor_ms(one.macs),
                "of_peak": self.of_peak(one),
            }

        return {
            "bundle": self.bundle,
            "backend": self.backend,
            "precision": self.precision,
            "compute": self.compute,
            "threads": self.threads,
            "runs": self.runs,
            "latency_ms": self.latency_ms,
            "profiled_ms": self.profiled_ms,
            "layers_ms": self.total_ms,
            "typical_ms": self.typical_ms,
            "overhead": self.overhead,
            "peak_gmacs_per_s": self.peak / 1e9 if self.peak else None,
            "no_floor": self.no_floor,
            "macs": self.macs,
            "macs_of_no_layer": self.missing,
            "uncounted": list(self.uncounted),
            "unnamed_ms": self.unnamed.ms,
            "means": self.means,
            "floor_ms": self.floor_ms(),
            "sentence": self.sentence(),
            "busy": self.busy,
            "kinds": [share(one) for one in self.by_kind()],
            "blocks": [share(one) for one in self.by_block()],
            "layers": [
                {**asdict(layer), "floor_ms": self.floor_ms(layer.macs or 0)}
                for layer in self.layers
            ],
            "environment": self.environment,
        }

    def as_trace(self) -> dict[str, Any]:
        """One run in the format of chrome://tracing and Perfetto, a layer after the other."""
        events, start = [], 0.0
        for layer in self.layers:
            events.append(
                {
                    "name": layer.node or layer.name,
                    "cat": layer.kind,
                    "ph": "X",
                    "ts": start,
                    "dur": layer.ms * 1e3,
                    "pid": 1,
                    "tid": 1,
                    "args": {"block": layer.block, "op": layer.op, "macs": layer.macs},
                }
            )
            start += layer.ms * 1e3
        return {"traceEvents": events, "displayTimeUnit": "ms"}


def _share(name: str, layers: Iterable[Layer]) -> Share:
    found = list(layers)
    return Share(
        name, len(found), sum(one.ms for one in found), sum(one.macs or 0 for one in found)
    )


def _order(block: str) -> tuple[bool, str, int]:
    """Streams by name, blocks by number, the rest last."""
    stream, _, number = block.rpartition(" ")
    return (not number.isdigit(), stream, int(number) if number.isdigit() else 0)


def _words(share: Share) -> str:
    """A kind as the object of a sentence."""
    names = {
        "graph product": "the graph products",
        "1x1": "the 1x1 convolutions",
        "temporal": "the temporal convolutions",
        "residual": "residuals",
        MOVED: "reordering and quantising",
        REST: "the rest (bias, ReLU, pooling, copies)",
    }
    return names[share.name]


def profile_bundle(
    bundle: Bundle,
    *,
    backend: str = "onnxruntime",
    threads: int = 2,
    runs: int = 50,
    progress: Callable[[str], None] = lambda _: None,
) -> ProfileReport:
    """Profile a bundle at the sizes that it was made for, fed random clips.

    Of files that were built for the backend, the one of the smallest batch runs.

    Raises:
        UsageError: threads or runs out of range; UnknownNameError: no such backend, or
        MissingDependencyError: the backend is not usable here.
        BundleError: nothing in the bundle was built for it.
        CheckFailedError: nothing was measured, or the layers are no account of the run.
    """
    name = BACKENDS[backend].name
    if threads < 1 or not 1 <= runs <= MOST_RUNS:
        raise UsageError(
            f"threads must be at least 1 and runs 1 to {MOST_RUNS}; got {threads} and {runs}."
        )
    if name not in PROFILERS:
        raise UsageError(
            f"{name} does not say what its layers take; profile on {' or '.join(PROFILERS)}."
        )
    if reason := BACKENDS[name].available():
        raise MissingDependencyError(reason)
    profiler, file, batch = PROFILERS[name], *_file_of(bundle, BACKENDS[name])
    manifest = bundle.manifest
    shapes = manifest.shapes_at(batch)
    graph = read_graph(bundle.model_path, shapes, rows=batch * manifest.clip.persons)
    model = model_contender(
        "the bundle",
        str(file.path.resolve()),
        backend=name,
        shapes=shapes,
        batch=1,
        threads=threads,
        compute=file.compute,
    )
    # The profiler's account is of the whole graph, one layer after the other.
    model.options["parallel"] = False
    contenders = {
        "plain": replace(model, module=profiler.plain),
        "watched": replace(
            model, name="the bundle, profiled", module="stgcn_deploy.measure.profile_worker"
        ),
    }
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        if not profiler.no_floor:
            contenders["peak"] = peak_contender(
                Path(scratch),
                threads,
                backend=name,
                compute=file.compute or "fp32",
                quantised="int8" in file.precision,
                size=PEAK_SIZE,
            )
        children = {}
        for key, one in contenders.items():
            progress(f"loading {one.name}")
            children[key] = _loaded(stack.enter_context(Child(one)))
        progress(f"{runs} runs")
        measured = _measured(children, runs)
    layers = profiler.attribute(measured.layers, graph)
    best = min(measured.samples["peak"], default=None)
    report = ProfileReport(
        bundle=str(bundle.path),
        backend=name,
        precision=file.precision,
        compute=file.compute,
        threads=threads,
        runs=runs,
        layers=layers,
        typical_ms=measured.typical_ms,
        latency_ms=measured.typical("plain"),
        profiled_ms=measured.typical("watched"),
        peak=PEAK_SIZE**3 / best * 1e3 if best else None,
        macs=graph.macs,
        missing=graph.macs - sum(layer.macs or 0 for layer in layers),
        uncounted=graph.uncounted,
        means=measured.means,
        environment=environment(),
        no_floor=profiler.no_floor,
    )
    check(report)
    return report


def _loaded(child: Child) -> Child:
    child.load()
    if child.error is not None:
        raise CheckFailedError(f"{child.contender.name} could not run: {child.error}")
    return child


@dataclass(frozen=True)
class _Measured:
    """What the three processes said.

    Attributes:
        samples: calls of each, ms.
        typical_ms: all layers of a run.
        means: whether the layers are means over all runs.
    """

    samples: dict[str, list[float]]
    layers: list[Timed]
    typical_ms: float
    means: bool

    def typical(self, key: str) -> float:
        """One call, ms, as the layers are counted."""
        samples = self.samples[key]
        return float(np.mean(samples)) if self.means else faster_half(samples)


def _file_of(bundle: Bundle, backend: Backend) -> tuple[ModelFile, int]:
    """What the backend opens, and for how many clips."""
    file = model_file(bundle, backend)
    if file.build is None:
        return file, bundle.manifest.clip.batch
    return file, batches_of(bundle.manifest, file.build)[0]


def _measured(children: Mapping[str, Child], runs: int) -> _Measured:
    """Run the bundle with the profiler; what it is compared with runs before and after."""
    samples: dict[str, list[float]] = {"plain": [], "watched": [], "peak": []}
    told: dict[str, Any] = {}
    order = [("peak", PEAK_RUNS)] if "peak" in children else []
    order.append(("plain", -(-runs // 2)))
    for key, count in (*order, ("watched", runs), *reversed(order)):
        child = children[key]
        answer = child.ask({"run": 0.0, "least": count})
        if "error" in answer:
            raise CheckFailedError(f"{child.contender.name} stopped: {answer['error']}")
        samples[key] += answer["samples_ms"]
        told = answer if key == "watched" else told
    layers = [Timed(*one) for one in told["layers"]]
    return _Measured(samples, layers, told["typical_ms"], means=told["runs"] < runs)


def check(report: ProfileReport) -> None:
    """That the layers are an account of the run.

    Raises:
        CheckFailedError: there are none, or their sum has nothing to do with the latency.
    """
    if not report.layers or report.total_ms <= 0:
        raise CheckFailedError(
            f"{report.backend}'s profiler named no layer of {report.bundle}; nothing was measured."
        )
    share = report.typical_ms / report.latency_ms
    if not LEAST_SUM <= share <= MOST_SUM:
        raise CheckFailedError(
            f"the layers of {report.bundle} take {report.typical_ms:.3g} ms, a run without the profiler "
            f"{report.latency_ms:.3g} ms ({share:.0%}); expected {LEAST_SUM:.0%} to {MOST_SUM:.0%}, so "
            "the profile says nothing about the run. Is the machine busy, or the network tiny?"
        )
