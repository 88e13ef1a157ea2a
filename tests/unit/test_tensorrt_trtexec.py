"""trtexec: arguments of each version, its log read, and a run that fails as what it is."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorrt_doubles import HostDevice, inspection, silent

from stgcn_deploy.builders.tensorrt import trtexec
from stgcn_deploy.builders.tensorrt.builder import TensorRtBuilder
from stgcn_deploy.builders.tensorrt.calibrator import CacheFile, Origin
from stgcn_deploy.builders.tensorrt.options import TensorRtOptions
from stgcn_deploy.builders.tensorrt.precision import Rung, ladder
from stgcn_deploy.builders.tensorrt.profiles import Profile, profile_of
from stgcn_deploy.builders.tensorrt.trtexec import (
    benchmark_argv,
    build_argv,
    find_trtexec,
    parse_log,
    run,
    version_of_trtexec,
)
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BuildError, MissingDependencyError, UsageError
from stgcn_deploy.manifest import BuildRecord

VERSIONS = {
    "8502": (8, 5),
    "8601": (8, 6),
    "100300": (10, 3),
    "101303": (10, 13),
    "110400": (11, 4),
}
# A log as the tool writes it, shortened.
LOG = """\
&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b26] # trtexec --onnx=model.onnx
[11/20/2026-10:47:51] [I] === Model Options ===
[11/20/2026-10:47:52] [I] [TRT] [MemUsageChange] Init CUDA: CPU +2, GPU +0, now: CPU 20 (MiB)
[11/20/2026-10:47:58] [W] [TRT] Detected layernorm nodes in FP16.
[11/20/2026-10:47:59] [I] === Performance summary ===
[11/20/2026-10:47:59] [I] Throughput: 130.298 qps
[11/20/2026-10:47:59] [I] Latency: min = 5.38672 ms, max = 13.3664 ms, mean = 7.60628 ms, median = 7.16092 ms, \
percentile(90%) = 10.2996 ms, percentile(95%) = 10.8698 ms, percentile(99%) = 12.9675 ms
[11/20/2026-10:47:59] [I] H2D Latency: min = 0 ms, max = 0 ms, mean = 0 ms, median = 0 ms, percentile(99%) = 0 ms
[11/20/2026-10:47:59] [I] GPU Compute Time: min = 5.34595 ms, max = 1.33388e+01 ms, mean = 7.58404 ms, \
median = 7.14139 ms, percentile(90%) = 10.2881 ms, percentile(99%) = 12.9485 ms
[11/20/2026-10:47:59] [I] Total Host Walltime: 3.00082 s
&&&& PASSED TensorRT.trtexec [TensorRT v100300] [b26] # trtexec --onnx=model.onnx
"""  # noqa: E501 - as it is written
FAILED = """\
&&&& RUNNING TensorRT.trtexec [TensorRT v8502] # trtexec --onnx=model.onnx
[05/08/2026-14:05:14] [E] Error[10]: [optimizer.cpp::computeCosts::3728] Error Code 10: Internal Error \
(Could not find any implementation for node /network/blocks.3/gcn/Conv.)
[05/08/2026-14:05:14] [E] Engine could not be created from network
&&&& FAILED TensorRT.trtexec [TensorRT v8502] # trtexec --onnx=model.onnx
"""


# ---- arguments -----------------------------------------------------------------------------------


def _argv(
    version: tuple[int, int], rung: Rung, profile: Profile, **options: Any
) -> tuple[str, ...]:
    return build_argv(
        "trtexec", version, Path("m.onnx"), Path("e.engine"), Path("l.json"), rung, profile,
        TensorRtOptions(**options),
    )  # fmt: skip


@pytest.fixture
def profile(tensorrt_world: dict[str, Path]) -> Profile:
    return profile_of(Bundle(tensorrt_world["open"]).manifest, TensorRtOptions(max_batch=4))


FP16 = ladder("fp32", "fp16")[0]
FP32 = ladder("fp32", "fp32")[0]


@pytest.mark.parametrize("version", VERSIONS.values())
def test_arguments_that_all_versions_share(version: tuple[int, int], profile: Profile) -> None:
    argv = _argv(version, FP32, profile, workspace="2GiB", timing_cache=Path("/t.cache"))
    assert argv[:3] == ("trtexec", "--onnx=m.onnx", "--saveEngine=e.engine")
    for wanted in (
        "--memPoolSize=workspace:2048", "--noTF32", "--profilingVerbosity=detailed",
        "--exportLayerInfo=l.json", "--minShapes=input:1x2x32x17x1",
        "--optShapes=input:1x2x32x17x1", "--maxShapes=input:4x2x32x17x1", "--timingCacheFile=/t.cache",
    ):  # fmt: skip
        assert wanted in argv
    assert not any(
        one.startswith(("--workspace", "--explicitBatch", "--buildOnly")) for one in argv
    )


def test_how_each_version_is_told_the_precision(profile: Profile, tmp_path: Path) -> None:
    (half,) = ladder("fp16", "fp16")
    for version, rung, told in (
        ((8, 5), FP32, []),
        ((8, 6), half, ["--fp16"]),
        ((8, 6), FP16, ["--fp16"]),
        ((10, 3), FP16, ["--fp16"]),
        ((10, 3), half, ["--stronglyTyped"]),
        ((11, 4), half, []),
        ((11, 4), FP32, []),
    ):
        argv = _argv(version, rung, profile)
        known = ("--fp16", "--int8", "--stronglyTyped")
        assert [one for one in argv if one in known] == told, version
    with pytest.raises(BuildError, match=r"trtexec 11\.4 has no --fp16.*stgcn quantize"):
        _argv((11, 4), FP16, profile)
    argv = _argv((8, 6), ladder("fp32", "int8")[0], profile, calib_cache=tmp_path / "c")
    assert {"--fp16", "--int8", f"--calib={(tmp_path / 'c').resolve()}"} <= set(argv)


def test_newer_arguments_are_refused_on_85(profile: Profile) -> None:
    asked: dict[str, Any] = {"opt_level": 5, "hardware_compatible": True}
    wanted = {"--builderOptimizationLevel=5", "--hardwareCompatibilityLevel=ampere+"}
    assert wanted <= set(_argv((8, 6), FP32, profile, **asked))
    assert "--versionCompatible" in _argv((11, 4), FP32, profile, version_compatible=True)
    assert "--refit" in _argv((8, 5), FP32, profile, refit=True)
    with pytest.raises(UsageError, match=r"trtexec 8\.5 does not have what --opt-level asks for"):
        _argv((8, 5), FP32, profile, **asked)


def test_all_versions_time_the_same_thing(profile: Profile) -> None:
    """11 turned three defaults round; what was an argument is the default there."""
    before = {"--useCudaGraph", "--useSpinWait", "--noDataTransfers"}
    for version in VERSIONS.values():
        argv = benchmark_argv("trtexec", version, Path("e.engine"), profile.usual)
        assert before & set(argv) == (before if version[0] < 11 else set())
        assert "--shapes=input:1x2x32x17x1" in argv
    assert "--shapes" not in " ".join(benchmark_argv("trtexec", (8, 5), Path("e"), {}))


def test_a_fixed_bundle_has_no_shapes(tensorrt_world: dict[str, Path]) -> None:
    fixed = profile_of(Bundle(tensorrt_world["fp32"]).manifest, TensorRtOptions())
    assert not any("Shapes" in one for one in _argv((10, 3), FP32, fixed))


# ---- the log -------------------------------------------------------------------------------------


def test_a_log_is_read() -> None:
    report = parse_log(LOG.splitlines())
    assert (report.version, report.passed, report.throughput) == ((10, 3), True, 130.298)
    assert set(report.times) == {"Latency", "H2D Latency", "GPU Compute Time"}
    latency = report.times["Latency"]
    assert (latency.min, latency.max, latency.mean, latency.median) == (
        5.38672, 13.3664, 7.60628, 7.16092
    )  # fmt: skip
    assert latency.percentiles == {90.0: 10.2996, 95.0: 10.8698, 99.0: 12.9675}
    assert report.times["GPU Compute Time"].max == pytest.approx(13.3388)
    assert report.messages.warnings == ("Detected layernorm nodes in FP16.",)
    assert report.messages.errors == ()
    assert report.words == (
        "trtexec: 130.3 calls a second, median 7.14 ms, p90 10.3 ms, p99 12.9 ms"
    )


def test_a_failed_log_names_the_layer() -> None:
    report = parse_log(FAILED.splitlines())
    assert (report.version, report.passed, report.throughput) == ((8, 5), False, None)
    assert "'/network/blocks.3/gcn/Conv'" in report.messages.diagnosis()
    assert report.words == ""


def test_strange_logs_do_no_harm() -> None:
    assert parse_log([]).passed is False
    lines = [
        "[I] Throughput: inf qps",
        "[I] Latency: min = nan ms",
        "[I]",
        "&&&& PASSED",
        "\x00\xff",
    ]
    report = parse_log(lines)
    assert report.throughput == math.inf
    assert math.isnan(report.times["Latency"].median)


@pytest.mark.parametrize(("digits", "version"), VERSIONS.items())
def test_versions_in_the_banner(digits: str, version: tuple[int, int]) -> None:
    line = f"&&&& RUNNING TensorRT.trtexec [TensorRT v{digits}] # trtexec --help"
    assert parse_log([line]).version == version


# ---- running -------------------------------------------------------------------------------------

TOOL = """#!{python}
import json, pathlib, sys, time
say = lambda text: print(text, flush=True)
argv = dict(one.partition("=")[::2] for one in sys.argv[1:])
what = json.loads(pathlib.Path({settings!r}).read_text())
say("&&&& RUNNING TensorRT.trtexec [TensorRT v" + what["version"] + "] # trtexec")
if "--help" in argv:
    sys.exit(0)
pathlib.Path({settings!r}).with_name("argv.json").write_text(json.dumps(sys.argv[1:]))
if what["version"].startswith("11") and {{"--fp16", "--int8", "--useCudaGraph"}} & set(argv):
    say("[E] Unknown option"); sys.exit(1)
for line in what["log"]:
    say(line)
if "sleep" in what:
    pathlib.Path(argv["--saveEngine"]).write_bytes(b"half"); say("[I] sleeping"); time.sleep(60)
precision = "fp16" if "--fp16" in argv else what.get("precision", "fp32")
if what.get("engine", True):
    pathlib.Path(argv["--saveEngine"]).write_bytes(b"plan")
if what.get("layers", True):
    pathlib.Path(argv["--exportLayerInfo"]).write_text(what["inspections"][precision])
if "signal" in what:
    import os; os.kill(os.getpid(), what["signal"])
if not what.get("code") and "silent" not in what:
    say("&&&& PASSED TensorRT.trtexec [TensorRT v" + what["version"] + "] # trtexec")
sys.exit(what.get("code", 0))
"""


class Tool:
    """A stand-in for trtexec: a script that answers as its settings say."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.path = folder / "trtexec"
        self.settings = folder / "settings.json"
        self.path.write_text(TOOL.format(python=sys.executable, settings=str(self.settings)))
        self.path.chmod(0o755)
        monkeypatch.setattr(trtexec.shutil, "which", lambda _: str(self.path))
        self.set()

    def set(self, version: str = "100300", log: str = LOG, **more: Any) -> None:
        inspections = {one: inspection({one: 9}) for one in ("fp32", "fp16", "int8")}
        lines = [one for one in log.splitlines() if not one.startswith("&&&&")]
        self.settings.write_text(
            json.dumps({"version": version, "log": lines, "inspections": inspections, **more})
        )

    @property
    def argv(self) -> list[str]:
        found: list[str] = json.loads((self.folder / "argv.json").read_text())
        return found

    def build(self, bundle: Path, progress: Any = silent, **options: Any) -> BuildRecord:
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        builder = TensorRtBuilder(device=HostDevice)
        asked = builder.options(builder="trtexec", **options)
        (built,) = builder.build(Bundle(bundle), asked, scratch, progress)
        assert [one.name for one in scratch.iterdir()] == [built.path.name]
        return built.record


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    return Tool(tmp_path, monkeypatch)


@pytest.mark.parametrize("digits", VERSIONS)
def test_an_engine_by_trtexec(digits: str, tool: Tool, tensorrt_world: dict[str, Path]) -> None:
    tool.set(digits)
    assert version_of_trtexec(tool.path) == VERSIONS[digits]
    seen: list[str] = []
    record = tool.build(tensorrt_world["fp32"], lambda text, _: seen.append(text))
    assert (record.file, record.layers) == ("model_fp32.engine", {"fp32": 9})
    assert record.tools == {"trtexec": ".".join(map(str, VERSIONS[digits]))}
    assert len(record.command) == len(tool.argv) + 1
    assert "--onnx=model.onnx" in record.command  # and no folder of this machine
    assert not any(str(tool.folder) in one for one in record.command)
    assert "trtexec: 130.3 calls a second, median 7.14 ms, p90 10.3 ms, p99 12.9 ms" in seen
    assert "Throughput: 130.298 qps" in seen


def test_graphs_with_their_precision(tool: Tool, tensorrt_world: dict[str, Path]) -> None:
    tool.set("110400", precision="int8")
    assert tool.build(tensorrt_world["int8"]).file == "model_int8.engine"
    tool.set("110400", precision="fp32")
    with pytest.raises(BuildError, match="asked for int8, but it computes in fp32"):
        tool.build(tensorrt_world["int8"])


def test_the_ladder_by_trtexec(tool: Tool, tensorrt_world: dict[str, Path]) -> None:
    tool.set("110400")
    with pytest.raises(BuildError, match=r"has no --fp16.*--allow-fallback"):
        tool.build(tensorrt_world["fp32"], precision="fp16")
    assert list((tool.folder / "scratch").iterdir()) == []
    record = tool.build(tensorrt_world["fp32"], precision="fp16", allow_fallback=True)
    assert (record.actual, len(record.attempts)) == ("fp32", 2)
    (tool.folder / "scratch" / record.file).unlink()
    tool.set("8601")
    assert tool.build(tensorrt_world["fp32"], precision="fp16").actual == "fp16"


def test_ranges_by_cache_alone(tool: Tool, tensorrt_world: dict[str, Path], tmp_path: Path) -> None:
    tool.set("8601", precision="int8")
    cache = tmp_path / "ranges.cache"
    asked: dict[str, Any] = {"precision": "int8", "calib_cache": cache}
    bundle = Bundle(tensorrt_world["fp32"]).manifest.files["model.onnx"].sha256
    origin = Origin("d" * 64, "walks.pkl", "entropy", bundle, "8.6.1", 1, 16)
    CacheFile(cache, Origin(**{**origin.__dict__, "bundle_sha256": "x"})).write(b"ranges")
    with pytest.raises(UsageError, match="another bundle sha256"):
        tool.build(tensorrt_world["fp32"], **asked)
    cache.unlink()
    CacheFile(cache, Origin(**{**origin.__dict__, "tensorrt": "8.5.2"})).write(b"ranges")
    with pytest.raises(UsageError, match="another tensorrt"):
        tool.build(tensorrt_world["fp32"], **asked)
    cache.unlink()
    CacheFile(cache, origin).write(b"ranges")
    with pytest.raises(UsageError, match="--calib-method entropy only"):
        tool.build(tensorrt_world["fp32"], **asked, calib_method="minmax")
    tool.set("8601", inspected="int8")
    settings = json.loads(tool.settings.read_text())
    settings["inspections"]["fp16"] = settings["inspections"]["int8"]
    tool.settings.write_text(json.dumps(settings))
    assert tool.build(tensorrt_world["fp32"], **asked).actual == "int8"
    assert f"--calib={cache.resolve()}" in tool.argv


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"code": 1, "log": FAILED}, r"ended with code 1: at layer '/network/blocks.3/gcn/Conv'"),
        ({"code": 3, "log": ""}, "ended with code 3: TensorRT gives no reason"),
        ({"signal": 9}, "was killed by signal 9"),
        ({"silent": True}, "ended with code 0: TensorRT"),
        ({"engine": False}, "wrote no engine"),
        ({"layers": False}, "wrote no layer information"),
        ({"inspections": {"fp32": '{"Layers": ["a"]}'}}, "nobody knows"),
        ({"inspections": {"fp32": "cut sh"}}, "gave no JSON"),
    ],
)
def test_a_run_that_fails(
    more: dict[str, Any], told: str, tool: Tool, tensorrt_world: dict[str, Path]
) -> None:
    tool.set(**more)
    with pytest.raises(BuildError, match=told):
        tool.build(tensorrt_world["fp32"])
    assert list((tool.folder / "scratch").iterdir()) == []


def test_ctrl_c_kills_the_tool_and_leaves_nothing(
    tool: Tool, tensorrt_world: dict[str, Path]
) -> None:
    tool.set(sleep=True)

    def progress(text: str, _: float | None) -> None:
        if text == "sleeping":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tool.build(tensorrt_world["fp32"], progress)
    assert list((tool.folder / "scratch").iterdir()) == []


# ---- finding it ----------------------------------------------------------------------------------


def test_a_missing_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trtexec.shutil, "which", lambda _: None)
    monkeypatch.setattr(trtexec, "PLACES", (tmp_path / "trtexec",))
    with pytest.raises(MissingDependencyError, match="libnvinfer-bin"):
        find_trtexec()
    (tmp_path / "trtexec").write_text("")
    assert find_trtexec() == tmp_path / "trtexec"
    with pytest.raises(MissingDependencyError, match="cannot be run"):
        version_of_trtexec(tmp_path / "trtexec")
    with pytest.raises(MissingDependencyError, match="cannot be started"):
        run([str(tmp_path / "none")], tmp_path, lambda _: None)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            "echo 'libnvinfer.so.10: cannot open shared object file' >&2; exit 127",
            "libnvinfer.so.10",
        ),
        ("exit 0", "it says nothing"),
    ],
)
def test_a_tool_that_does_not_say_its_version(script: str, told: str, tmp_path: Path) -> None:
    tool = tmp_path / "trtexec"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    with pytest.raises(MissingDependencyError, match=told):
        version_of_trtexec(tool)


def test_a_plan_uses_the_tool_that_is_here(tool: Tool, tensorrt_world: dict[str, Path]) -> None:
    builder = TensorRtBuilder()
    options: Callable[..., TensorRtOptions] = builder.options
    plan = builder.plan(Bundle(tensorrt_world["fp32"]), options(builder="trtexec"))
    assert plan.missing is None
    assert plan.commands[0][0] == str(tool.path)
    tool.set("110400")
    plan = builder.plan(
        Bundle(tensorrt_world["fp32"]), options(builder="trtexec", precision="fp16")
    )
    assert plan.commands == ()
    assert any("11.4 cannot lower an FP32 graph" in note for note in plan.notes)
