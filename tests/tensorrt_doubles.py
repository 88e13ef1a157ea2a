"""What stands in for a GPU and for TensorRT's libraries, and where NVIDIA's own bindings come from."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from conftest import shared_path
from numpy.typing import NDArray

from stgcn_deploy.builders.tensorrt.api import Api
from stgcn_deploy.builders.tensorrt.builder import TensorRtBuilder
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.files import cache_folder
from stgcn_deploy.manifest import BuildRecord

__all__ = [
    "WHEELS",
    "FIXED",
    "OPEN",
    "VERSIONS",
    "FakeTensorRt",
    "HostBuffer",
    "HostDevice",
    "Site",
    "bindings_folder",
    "inspection",
    "shared_module",
    "silent",
    "tiny_world",
]

# The requirement of each version's bindings: wheels of about 1 MB, proprietary, so never in the repository.
WHEELS = {
    "8.6": "tensorrt-bindings==8.6.1",
    "10.3": "tensorrt-cu12-bindings==10.3.0",
    "10.13": "tensorrt-cu12-bindings==10.13.*",
    "11.4": "tensorrt-cu12-bindings==11.4.*",
}
SECONDS = 180


def shared_module(name: str) -> Any:
    """A module of the folder `tensorrt` beside the repository; skips where it is absent."""
    path = shared_path("tensorrt", f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def bindings_folder(version: str) -> Path | str:
    """The unpacked bindings of a version out of the user's cache, downloaded once; else why not.

    A registry that is out of reach is asked once for each version, not once for each test.
    """
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    folder = cache_folder() / "tests" / "tensorrt" / f"{version}-{tag}"
    if (folder / "tensorrt_bindings").is_dir():
        return folder
    wheels = folder.with_name(folder.name + ".wheels")
    shutil.rmtree(wheels, ignore_errors=True)
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    argv += [
        "--disable-pip-version-check",
        "--retries",
        "1",
        "--dest",
        str(wheels),
        WHEELS[version],
    ]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{WHEELS[version]} could not be downloaded: {error}"
    found = sorted(wheels.glob("*.whl"))
    if done.returncode or not found:
        told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        return f"{WHEELS[version]} could not be downloaded: {(told or ['pip failed'])[-1]}"
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with zipfile.ZipFile(found[0]) as wheel:
        wheel.extractall(partial)
    shutil.rmtree(wheels)
    partial.rename(folder)
    return folder


@dataclass
class HostBuffer:
    """See DeviceBuffer; memory of the host, and a record of what was put there."""

    nbytes: int
    pointer: int
    uploads: list[NDArray[Any]] = field(default_factory=list)
    freed: int = 0

    def upload(self, array: NDArray[Any]) -> None:
        assert array.nbytes == self.nbytes
        assert not self.freed
        self.uploads.append(array.copy())

    def free(self) -> None:
        self.freed += 1


@dataclass
class HostDevice:
    """See Device."""

    name: str = "sm_87"
    buffers: list[HostBuffer] = field(default_factory=list)

    def allocate(self, nbytes: int) -> HostBuffer:
        self.buffers.append(HostBuffer(nbytes, 4096 * (len(self.buffers) + 1)))
        return self.buffers[-1]

    def architecture(self) -> str:
        return self.name


FORMATS = {
    "fp32": "Row major linear FP32",
    "fp16": "Channel major FP16 format where channel % 8 == 0",
    "int8": "Thirty-two wide channel vectorized row major Int8 format",
}


def inspection(counts: dict[str, int], *, dynamic: bool = False, modern: bool = False) -> str:
    """The inspector's JSON for so many convolutions of each precision, and a layer that only moves.

    Args:
        dynamic: as in an engine with open axes, where tensors have no type.
        modern: the keys of 11, where format and type are told apart.
    """
    kinds = {"fp32": "Float", "fp16": "Half", "int8": "Int8"}
    layers: list[Any] = [
        {
            "Name": "Reformatting CopyNode for Input Tensor 0",
            "LayerType": "Reformat",
            "Inputs": [{"Name": "input", "Format/Datatype": FORMATS["fp16"]}],
        }
    ]
    for precision, count in counts.items():
        told: dict[str, Any] = {"Format/Datatype": FORMATS[precision]}
        if modern:
            told = {"Format": "Row major", "Datatype": kinds[precision]}
        if dynamic:
            told = {"Format/Datatype": "N/A due to dynamic shapes"}
        layers += [
            {
                "Name": f"/network/blocks.{number}/Conv",
                "LayerType": "CaskConvolution",
                "Inputs": [{"Name": "x", **told}],
                "Outputs": [{"Name": "y", **told}],
                "ParameterType": "Convolution",
                "Weights": {"Type": kinds[precision], "Count": 9} if dynamic else {},
            }
            for number in range(count)
        ]
    io = {"I/O Tensors": [{"Name": "input"}]} if modern else {"Bindings": ["input", "output"]}
    return json.dumps({"Layers": layers, **io})


# What the strict fake is made for; 8.5 is what 8.6 has under the names that 8.5 has.
VERSIONS = ("8.5", "8.6", "10.0", "10.3", "10.13", "10.16", "11.0", "11.4")


def _api_of_85(folder: Path) -> Path:
    """The signatures of 8.6 for the names of 8.5, which has no wheel to be introspected."""
    names = json.loads(shared_path("tensorrt", "api", "api-8.5-names.json").read_text())["api"]
    newer = json.loads(shared_path("tensorrt", "api", "api-8.6.json").read_text())
    # Bound to a variable in the vendor's source, so that the list of names lacks it; it is documented.
    names["ILogger"] = list(newer["api"]["ILogger"]["attrs"])
    kept: dict[str, Any] = {}
    for name, described in newer["api"].items():
        if name not in names:
            continue
        part = "members" if described["kind"] == "enum" else "attrs"
        if part not in described:
            kept[name] = described
            continue
        found = {one: what for one, what in described[part].items() if one in names[name]}
        kept[name] = {**described, part: found}
    path = folder / "api-8.5.json"
    path.write_text(json.dumps({**newer, "version": "8.5.3", "api": kept}))
    return path


Answer = bytes | None | Callable[[], bytes | None]


class FakeTensorRt:
    """The strict fake of one version, with a plan and an inspection for each build in turn.

    Attributes:
        log: every call, as (name, positional arguments, named ones).
        plans: what `build_serialized_network` gives, in turn; the last one again and again.
        inspections: what the inspector says, in turn.
    """

    def __init__(self, version: str, folder: Path, shape: tuple[int, ...], **returns: Any) -> None:
        api = shared_path("tensorrt", "api", "api-8.6.json").with_name(f"api-{version}.json")
        path = _api_of_85(folder) if version == "8.5" else api
        self.log: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.plans: list[Answer] = [b"plan"]
        self.inspections: list[str] = [inspection({"fp32": 9})]
        self.logger: Any = None
        given = {
            "Builder.build_serialized_network": lambda *_: self._plan(),
            "INetworkDefinition.num_inputs": 1,
            "ITensor.name": "input",
            "ITensor.shape": shape,
            "EngineInspector.get_engine_information": lambda *_: _next(self.inspections),
            "ITimingCache.serialize": b"timings",
            "ICudaEngine.refittable": True,
            "ICudaEngine.serialize": b"refitted",
            "Refitter.get_missing_weights": [],
            "Refitter.get_all_weights": [],
            **{name.replace("__", "."): value for name, value in returns.items()},
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves its file open
            self.trt = shared_module("fake_trt").make(str(path), returns=given, log=self.log)
        for name in ("Builder", "Runtime"):
            self._keep_logger(name)

    def _keep_logger(self, name: str) -> None:
        real = getattr(self.trt, name)

        def made(logger: Any) -> Any:
            self.logger = logger
            return real(logger)

        setattr(self.trt, name, made)

    def _plan(self) -> bytes | None:
        answer = _next(self.plans)
        return answer() if callable(answer) else answer

    def say(self, severity: str, text: str) -> None:
        """As TensorRT does while it works."""
        self.logger.log(self.trt.Logger.Severity[severity], text)

    def failing(self, text: str) -> Callable[[], None]:
        """For `plans`: say an error and build nothing."""
        return lambda: self.say("ERROR", text)

    def calls(self, name: str) -> list[tuple[Any, ...]]:
        """Arguments of all calls of a method, or values written to a property ("Class.name=")."""
        return [arguments for called, arguments, _ in self.log if called == name]


def _next(values: list[Any]) -> Any:
    return values.pop(0) if len(values) > 1 else values[0]


FIXED, OPEN = (1, 2, 32, 17, 1), (-1, 2, 32, 17, 1)


def silent(_: str, __: float | None) -> None:
    """Progress that nobody watches."""


class Site:
    """A fake, a builder on it, and a folder."""

    def __init__(self, version: str, folder: Path, shape: tuple[int, ...], **returns: Any) -> None:
        self.fake = FakeTensorRt(version, folder, shape, **returns)
        self.device = HostDevice()
        self.builder = TensorRtBuilder(
            bindings=lambda: Api(self.fake.trt), device=lambda: self.device
        )
        self.folder = folder

    def build(self, bundle: Path, **options: Any) -> BuildRecord:
        asked = self.builder.options(**options)
        (built,) = self.builder.build(Bundle(bundle), asked, self.folder, silent)
        assert built.path.parent == self.folder
        assert built.path.name == built.record.file
        return built.record


def tiny_world(folder: Path) -> dict[str, Path]:
    """Bundles to build: fixed and open shapes, FP16 and INT8 graphs, other weights, and recordings."""
    from labelled import recordings, save_network
    from quantised import source

    from stgcn_deploy import api
    from stgcn_deploy.precision.build import quantise
    from stgcn_deploy.precision.result import Request

    recordings(folder / "walks.pkl", 60)
    save_network(folder / "net.pth")
    save_network(folder / "other.pth", seed=1)
    made = {"data": folder / "walks.pkl"}
    asked: dict[str, Any] = {"graph_form": "aggregate", "opset": 17}
    for name, net, options in (
        ("fp32", "net.pth", {}),
        ("other", "other.pth", {}),
        ("open", "net.pth", {"dynamic": "batch"}),
    ):
        made[name] = folder / name
        api.export(folder / net, made[name], **asked, **options)
    for name in ("fp16", "int8"):
        made[name] = folder / name
        request = Request(to=name, target="tensorrt", gate=False, latency=False, samples=24)  # type: ignore[arg-type]
        clips = source(folder, "train1") if name == "int8" else None
        quantise(Bundle(made["fp32"]), made[name], request, calibration=clips, held=None)
    return made
