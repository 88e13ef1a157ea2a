"""What the tools say about time: ais_bench's summary and log, msame's log.

Times are of one call, which is one batch.  The throughput is counted here, from the mean time on the NPU
and the batch of the OM: some versions of ais_bench print 0 for it, and it believes any `--batchsize`.

Forms that are read (Ascend/tools infer/summary.py 4ce01e33 and before; ait 3e008a42):
    NAME_summary.json beside the results, before that sumary.json among them; keys NPU_compute_time,
    H2D_latency and D2H_latency with min, max, mean, median, "percentile(99%)" (one version writes spaces
    into this key), throughput, and in later versions count and npu_compute_time_list
    [INFO] NPU_compute_time (ms): min = .., max = .., mean = .., median = .., percentile(99%) = ..
    [INFO] throughput 1000*batchsize.mean(4)/NPU_compute_time.mean(2.6): 1538.4
    Inference time: 2.613ms                                                             (msame)
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_deploy.errors import DataError

__all__ = ["Phase", "Timing", "ais_bench_timing", "msame_timing", "read_timing"]

PHASES = {"NPU_compute_time": "npu", "H2D_latency": "h2d", "D2H_latency": "d2h"}
NUMBER = r"([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
PHASE_LINE = re.compile(
    rf"(NPU_compute_time|H2D_latency|D2H_latency) \(ms\): min = {NUMBER}, max = {NUMBER}, "
    rf"mean = {NUMBER}, median = {NUMBER}, percentile\(99%\) = {NUMBER}"
)
THROUGHPUT_LINE = re.compile(rf"\[INFO\] throughput [^\n]*: {NUMBER}\s*$", re.MULTILINE)
FILES_LINE = re.compile(r"filesperbatch:(\d+) runcount:(\d+)")
MSAME_LINE = re.compile(rf"^Inference time: {NUMBER}ms", re.MULTILINE)
# A set of a million files still fits.
MAX_SUMMARY = 512 << 20
# Tools round; more than this is another number.
SLACK = 0.01


@dataclass(frozen=True)
class Phase:
    """Times of one part of a call, ms.

    Attributes:
        count: calls that were timed; None where the tool does not say.
        samples: each of them, or empty.
    """

    mean: float
    min: float
    max: float
    median: float
    p99: float
    count: int | None = None
    samples: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For --json; samples are in the benchmark report."""
        return {
            "mean_ms": self.mean,
            "min_ms": self.min,
            "max_ms": self.max,
            "p50_ms": self.median,
            "p99_ms": self.p99,
            "count": self.count,
        }


@dataclass(frozen=True)
class Timing:
    """What a tool measured.

    Attributes:
        batch: clips in one call.
        npu, h2d, d2h: computing; copying to the device; copying back.
        told: the tool's own throughput, clips/s; None where it prints none.
        files_per_batch, calls: how many files it put into a batch, and calls it made; None where it does
            not say.
    """

    batch: int
    npu: Phase
    h2d: Phase | None = None
    d2h: Phase | None = None
    told: float | None = None
    files_per_batch: int | None = None
    calls: int | None = None

    @property
    def clips_per_s(self) -> float:
        """Batch over the mean time on the NPU; copying not included, as in the tool's own number."""
        return self.batch * 1e3 / self.npu.mean

    @property
    def note(self) -> str | None:
        """Where the tool's own throughput is another one."""
        if self.told is None or abs(self.told - self.clips_per_s) <= SLACK * self.clips_per_s:
            return None
        return (
            f"the tool itself prints a throughput of {self.told:g}, which is not batch {self.batch} over "
            f"its mean time of {self.npu.mean:g} ms"
        )

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "batch": self.batch,
            "clips_per_s": self.clips_per_s,
            "tool_throughput": self.told,
            "npu": self.npu.as_dict(),
            "h2d": self.h2d.as_dict() if self.h2d else None,
            "d2h": self.d2h.as_dict() if self.d2h else None,
        }


def read_timing(tool: str, folder: Path, batch: int) -> Timing:
    """The times of a run, from the files that it left.

    Args:
        folder: with log.txt and, of ais_bench, results_summary.json.

    Raises:
        DataError: the files say no times, or none that can be.
    """
    log = _text(folder / "log.txt")
    if tool == "msame":
        return msame_timing(log, batch, str(folder / "log.txt"))
    for place in (folder / "results_summary.json", folder / "results" / "sumary.json"):
        if place.is_file():
            return ais_bench_timing(_text(place), log, batch, str(place))
    return ais_bench_timing(None, log, batch, str(folder / "log.txt"))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_SUMMARY:
            raise DataError(f"{path} exceeds {MAX_SUMMARY >> 20} MiB; is it the tool's?")
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}.") from None


def ais_bench_timing(summary: str | None, log: str, batch: int, where: str) -> Timing:
    """Times from ais_bench's summary where there is one, else from its log.

    Args:
        where: the file, for messages.

    Raises:
        DataError: no times in them, or none that can be.
    """
    found: dict[str, Phase] = {}
    told: float | None = None
    if summary is not None:
        value = _json(summary, where)
        for key, name in PHASES.items():
            samples = value.get("npu_compute_time_list") if name == "npu" else None
            if isinstance(value.get(key), dict):
                found[name] = _phase(value[key], samples, where, key)
        told = _number(value.get("throughput"))
    else:
        for line in PHASE_LINE.findall(log):
            low, high, mean, median, p99 = map(float, line[1:])
            found[PHASES[line[0]]] = _checked(Phase(mean, low, high, median, p99), where, line[0])
        last = THROUGHPUT_LINE.findall(log)
        told = float(last[-1]) if last else None
    if "npu" not in found:
        raise DataError(
            f"{where} says no NPU_compute_time; did ais_bench end well, and is this its file?"
        )
    files = FILES_LINE.findall(log)
    per_batch, planned = map(int, files[-1]) if files else (None, None)
    npu = found["npu"]
    return Timing(
        batch,
        npu,
        found.get("h2d"),
        found.get("d2h"),
        told,
        per_batch,
        planned if npu.count is None else npu.count,
    )


def _json(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where} is not valid JSON ({error}); was the run cut short? Run it again."
        ) from None
    if not isinstance(value, dict):
        raise DataError(f"{where} holds {type(value).__name__}, expected ais_bench's summary.")
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _phase(value: dict[str, Any], samples: Any, where: str, key: str) -> Phase:
    # One version breaks its line inside the key of the percentile.
    facts = {"".join(str(name).split()): _number(item) for name, item in value.items()}
    wanted = [facts.get(name) for name in ("mean", "min", "max", "median", "percentile(99%)")]
    numbers = [number for number in wanted if number is not None]
    if len(numbers) != len(wanted):
        raise DataError(
            f"{where}: {key} has {', '.join(facts)}; expected min, max, mean, median and "
            "percentile(99%) as numbers."
        )
    kept = _samples(samples, numbers[0])
    count = facts.get("count")
    known = len(samples) if isinstance(samples, list) and samples else None
    mean, low, high, median, p99 = numbers
    calls = int(count) if count and math.isfinite(count) else known
    return _checked(Phase(mean, low, high, median, p99, calls, kept), where, key)


def _samples(value: Any, mean: float) -> tuple[float, ...]:
    """Each call's time, if these are times in the unit of the mean."""
    if not isinstance(value, list) or not value:
        return ()
    numbers = [_number(one) for one in value]
    times = [one for one in numbers if one is not None]
    if len(times) != len(numbers) or not abs(float(np.mean(times)) - mean) <= SLACK * mean:
        return ()
    return tuple(times)


def _checked(phase: Phase, where: str, key: str) -> Phase:
    """Times that can be: nothing measured is no speed.

    Copying is 0 where a version does not time it; computing never is.
    """
    numbers = (phase.min, phase.median, phase.mean, phase.p99, phase.max)
    ordered = phase.min <= phase.median <= phase.max and phase.min <= phase.mean <= phase.max
    if not all(map(math.isfinite, numbers)) or not ordered or phase.min < 0:
        raise DataError(f"{where}: {key} has times that cannot be: {numbers}.")
    if key == "NPU_compute_time" and not phase.mean > 0:
        raise DataError(f"{where}: {key} has a mean of {phase.mean}, so nothing was measured.")
    return phase


def msame_timing(log: str, batch: int, where: str) -> Timing:
    """Times from msame's log; its first call, the warm-up, does not count where there are more.

    Raises:
        DataError: there are none.
    """
    every = [float(text) for text in MSAME_LINE.findall(log)]
    if not every:
        raise DataError(f"{where} has no line 'Inference time: ..ms'; did msame end well?")
    times = every[1:] or every
    phase = Phase(
        float(np.mean(times)),
        min(times),
        max(times),
        float(np.median(times)),
        float(np.percentile(times, 99)),
        len(times),
        tuple(times),
    )
    return Timing(batch, _checked(phase, where, "NPU_compute_time"), calls=len(every))
