"""TensorRT's own command line tool: its arguments by version, and what its log says.

It needs no Python bindings, which on JetPack 5 are for Python 3.8 only.  Versions differ in what they take:

| | 8.5 | 8.6 | 10.x | 11.x |
|---|---|---|---|---|
| --fp16, --int8, --calib | yes | yes | yes | gone: precision is in the graph |
| --stronglyTyped | - | - | yes | always so |
| --builderOptimizationLevel, compatible engines | - | yes | yes | yes |
| --useCudaGraph, --useSpinWait, --noDataTransfers | yes | yes | yes | the default |

So the same numbers are measured with every version: the network alone, as one CUDA graph.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stgcn_deploy.builders.tensorrt.api import install_lines
from stgcn_deploy.builders.tensorrt.log import Messages
from stgcn_deploy.builders.tensorrt.options import MIB, TensorRtOptions
from stgcn_deploy.builders.tensorrt.precision import QUANTIZE, Rung
from stgcn_deploy.builders.tensorrt.profiles import Profile, Shape
from stgcn_deploy.errors import BuildError, MissingDependencyError, UsageError

__all__ = [
    "Report",
    "Times",
    "benchmark_argv",
    "build_argv",
    "find_trtexec",
    "parse_log",
    "run",
    "version_of_trtexec",
]

Version = tuple[int, int]
# Where JetPack and NVIDIA's packages put it, which is on nobody's PATH.
PLACES = (Path("/usr/src/tensorrt/bin/trtexec"), Path("/opt/tensorrt/bin/trtexec"))
BANNER = re.compile(r"\[TensorRT v(\d{4,7})\]")
LINE = re.compile(r"^(?:\[[\d/:\- ]+\]\s*)?\[(?P<level>[EWIVF])\]\s*(?:\[TRT\]\s*)?(?P<text>.*)$")
LEVELS = {"E": "error", "F": "internal_error", "W": "warning", "I": "info", "V": "verbose"}
TIMES = re.compile(
    r"^(?P<name>Latency|GPU Compute Time|H2D Latency|D2H Latency|Enqueue Time): (?P<rest>min = .*)$"
)
NUMBER = r"([-+]?[\d.]+(?:e[-+]?\d+)?|inf|nan)"
STATISTIC = re.compile(rf"(min|max|mean|median|percentile\(([\d.]+)%\)) = {NUMBER} ms")
THROUGHPUT = re.compile(rf"^Throughput: {NUMBER} qps")
SECONDS_TO_ANSWER = 60


@dataclass(frozen=True)
class Times:
    """One row of the summary in milliseconds; `percentiles` by their number, as 99.0."""

    min: float
    max: float
    mean: float
    median: float
    percentiles: Mapping[float, float]


@dataclass(frozen=True)
class Report:
    """What a log says.

    Attributes:
        version: of TensorRT; None where the log has no banner.
        passed: whether it ends with PASSED.
        throughput: calls in a second; None where nothing was timed.
        times: by row: Latency, GPU Compute Time, H2D Latency, D2H Latency, Enqueue Time.
        messages: errors and warnings among all lines.
    """

    version: Version | None
    passed: bool
    throughput: float | None
    times: Mapping[str, Times]
    messages: Messages = field(compare=False)

    @property
    def words(self) -> str:
        """The timing in one line; empty where nothing was timed."""
        row = self.times.get("GPU Compute Time") or self.times.get("Latency")
        if row is None or self.throughput is None:
            return ""
        high = "".join(f", p{one:g} {ms:.3g} ms" for one, ms in sorted(row.percentiles.items()))
        return f"trtexec: {self.throughput:.4g} calls a second, median {row.median:.3g} ms{high}"


def find_trtexec() -> Path:
    """The tool.

    Raises:
        MissingDependencyError: it is not here.
    """
    found = shutil.which("trtexec")
    for place in ([Path(found)] if found else []) + list(PLACES):
        if place.is_file():
            return place
    raise MissingDependencyError(
        "trtexec is not on the PATH and not in /usr/src/tensorrt/bin. It comes with JetPack and with "
        "NVIDIA's packages and containers, not with pip: sudo apt-get install libnvinfer-bin. Without it: "
        f"--builder python, with {install_lines()}"
    )


def version_of_trtexec(tool: Path) -> Version:
    """Its version, by the banner over its help.

    Raises:
        MissingDependencyError: it does not run, or says no version.
    """
    try:
        done = subprocess.run(
            [str(tool), "--help"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS_TO_ANSWER,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingDependencyError(f"{tool} cannot be run: {error}") from None
    version = _banner(done.stdout + done.stderr)
    if version is None:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise MissingDependencyError(
            f"{tool} --help does not say its version ({''.join(last)[:200] or 'it says nothing'}); is it "
            "NVIDIA's trtexec, with its libraries?"
        )
    return version


def _banner(text: str) -> Version | None:
    """8.x writes v8502 for 8.5.2, later ones v100300 for 10.3.0."""
    found = BANNER.search(text)
    if not found:
        return None
    digits = found[1]
    if len(digits) == 4:
        return int(digits[0]), int(digits[1])
    return int(digits[:-4]), int(digits[-4:-2])


# ---- arguments -----------------------------------------------------------------------------------


def build_argv(
    tool: Path | str,
    version: Version,
    model: Path,
    engine: Path,
    layers: Path,
    rung: Rung,
    profile: Profile,
    options: TensorRtOptions,
) -> tuple[str, ...]:
    """What builds an engine, audits it and times it.

    Args:
        layers: file that the inspector's JSON goes to.

    Raises:
        UsageError: an option that this version does not have.
    """
    argv = [
        str(tool),
        f"--onnx={model}",
        f"--saveEngine={engine}",
        f"--memPoolSize=workspace:{max(options.workspace_bytes // MIB, 1)}",
        "--profilingVerbosity=detailed",
        f"--exportLayerInfo={layers}",
        "--noTF32",
        *_precision_flags(version, rung, options),
    ]
    if profile.open_inputs:
        for place, flag in enumerate(("--minShapes", "--optShapes", "--maxShapes")):
            shapes = {name: profile.shapes[name][place] for name in profile.open_inputs}
            argv.append(f"{flag}={_shapes(shapes)}")
    argv += _newer(version, options)
    if options.timing_cache is not None:
        argv.append(f"--timingCacheFile={options.timing_cache.resolve()}")
    if options.refit:
        argv.append("--refit")
    return (*argv, *_timing_flags(version))


def benchmark_argv(
    tool: Path | str, version: Version, engine: Path, shapes: Mapping[str, Shape], seconds: int = 3
) -> tuple[str, ...]:
    """What times an engine; `shapes` of its open inputs."""
    argv = [str(tool), f"--loadEngine={engine}", f"--duration={seconds}"]
    if shapes:
        argv.append(f"--shapes={_shapes(shapes)}")
    return (*argv, *_timing_flags(version))


def _precision_flags(version: Version, rung: Rung, options: TensorRtOptions) -> list[str]:
    """How a version is told the precision.

    Raises:
        BuildError: it cannot be told.
    """
    if rung.explicit and version[0] >= 10:
        return ["--stronglyTyped"] if version[0] == 10 else []
    if rung.flags and version[0] >= 11:
        raise BuildError(
            f"trtexec {version[0]}.{version[1]} has no --{rung.precision}: precision is in the graph "
            f"alone. Make one with: {QUANTIZE.format(to=rung.precision)}"
        )
    flags = [f"--{name.lower()}" for name in rung.flags]
    if rung.calibrate:
        # Without a cache trtexec makes ranges up, and says so in one line of many.
        assert options.calib_cache is not None
        flags.append(f"--calib={options.calib_cache.resolve()}")
    return flags


def _newer(version: Version, options: TensorRtOptions) -> list[str]:
    """What 8.5 does not have."""
    wanted = []
    if options.opt_level is not None:
        wanted.append((f"--builderOptimizationLevel={options.opt_level}", "--opt-level"))
    if options.hardware_compatible:
        wanted.append(("--hardwareCompatibilityLevel=ampere+", "--hardware-compatible"))
    if options.version_compatible:
        wanted.append(("--versionCompatible", "--version-compatible"))
    if wanted and version < (8, 6):
        raise UsageError(
            f"trtexec {version[0]}.{version[1]} does not have what {wanted[0][1]} asks for (8.6 and later "
            "do); leave it out."
        )
    return [flag for flag, _ in wanted]


def _timing_flags(version: Version) -> list[str]:
    """The network alone as one CUDA graph: what 11 does by itself."""
    before = ["--useCudaGraph", "--useSpinWait", "--noDataTransfers"]
    return [
        *(before if version[0] < 11 else []),
        "--percentile=90,95,99" if version >= (8, 6) else "--percentile=99",
    ]


def _shapes(shapes: Mapping[str, Shape]) -> str:
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())


# ---- running and reading -------------------------------------------------------------------------


def run(argv: Sequence[str], folder: Path, tell: Callable[[str], None]) -> Report:
    """Run it in `folder` and read its log as it comes; killed with us.

    Raises:
        MissingDependencyError: it cannot be started.
        BuildError: it failed; the message names the layer and what to try.
    """
    lines: list[str] = []
    try:
        child = subprocess.Popen(
            list(argv),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise MissingDependencyError(f"{argv[0]} cannot be started: {error}") from None
    try:
        assert child.stdout is not None
        for line in child.stdout:
            lines.append(line.rstrip("\n"))
            tell(lines[-1])
        code = child.wait()
    except BaseException:
        child.kill()
        child.wait()
        raise
    finally:
        if child.stdout is not None:
            child.stdout.close()
    report = parse_log(lines)
    if code or not report.passed:
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        raise BuildError(f"trtexec {ended}: {report.messages.diagnosis()}")
    return report


def parse_log(lines: Sequence[str]) -> Report:
    """What a log says; lines that are none of trtexec's are passed over."""
    messages, times, throughput, passed = Messages(), {}, None, False
    version = None
    for line in lines:
        if line.startswith("&&&&"):
            passed = " PASSED " in line
            version = version or _banner(line)
            continue
        found = LINE.match(line)
        if not found:
            continue
        text = found["text"].strip()
        messages.add(LEVELS[found["level"]], text)
        if row := TIMES.match(text):
            times[row["name"]] = _times(row["rest"])
        elif told := THROUGHPUT.match(text):
            throughput = float(told[1])
    return Report(version, passed, throughput, times, messages)


def _times(text: str) -> Times:
    """One row: every statistic of it."""
    plain: dict[str, float] = {}
    percentiles: dict[float, float] = {}
    for name, number, value in STATISTIC.findall(text):
        if number:
            percentiles[float(number)] = float(value)
        else:
            plain[name] = float(value)
    nothing = float("nan")
    low, high, mean, median = (plain.get(one, nothing) for one in ("min", "max", "mean", "median"))
    return Times(low, high, mean, median, percentiles)
