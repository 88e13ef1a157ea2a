"""TensorRT's Python bindings, and everything in which their versions differ, in this one place.

| | 8.5 | 8.6 | 10.x | 11.x |
|---|---|---|---|---|
| network flag EXPLICIT_BATCH | needed | needed | without effect | gone |
| network flag STRONGLY_TYPED | - | - | there | always so |
| precision flags, calibrators | there | there | there | gone |
| optimisation level, compatible engines | - | there | there | there |
| progress monitor, refit from ONNX | - | - | there | there |

Integers behind the names differ too (REFIT is 5 in 8.6 and 4 later), so that none is written here.  Found
by introspecting NVIDIA's bindings 8.6.1, 10.0 to 10.16, 11.0 and 11.4, and the sources of 8.5.3.
"""

from __future__ import annotations

import platform
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from stgcn_deploy.builders.tensorrt.log import Messages
from stgcn_deploy.builders.tensorrt.precision import QUANTIZE, Rung
from stgcn_deploy.errors import MissingDependencyError, UsageError, requires

__all__ = ["Api", "is_jetson", "install_lines", "load_api", "version_of"]

CALIBRATORS = {"entropy": "IInt8EntropyCalibrator2", "minmax": "IInt8MinMaxCalibrator"}
FAST = {"fp16": "platform_has_fast_fp16", "int8": "platform_has_fast_int8"}
JETSON = Path("/etc/nv_tegra_release")
PIP = (
    "pip install 'tensorrt-cu12>=10,<11,!=10.2.0' (CUDA 12) or pip install 'tensorrt-cu13>=11,<12' "
    "(CUDA 13); never a bare `tensorrt`, which is whatever is newest"
)
APT = (
    "sudo apt-get install tensorrt python3-libnvinfer (JetPack's own; in a virtual environment made with "
    "--system-site-packages)"
)
FIRST = (8, 5)


def is_jetson() -> bool:
    """Whether this is a Jetson, whose TensorRT comes with JetPack."""
    return JETSON.exists()


def install_lines() -> str:
    """What installs TensorRT on this platform."""
    system, machine = platform.system(), platform.machine().lower()
    if is_jetson():
        return APT
    if system in ("Linux", "Windows") and machine in ("x86_64", "amd64", "aarch64", "arm64"):
        return PIP
    return f"there is no TensorRT for {system} on {machine}; use a Linux machine with an NVIDIA GPU: {PIP}"


def load_api() -> Api:
    """The bindings that are installed.

    Raises:
        MissingDependencyError: there are none, their libraries are missing, or they are too old.
    """
    with requires("building a TensorRT engine", install_lines()):
        # By name, since nothing of it is there where types are checked.
        trt = import_module("tensorrt")
    return Api(trt)


def version_of(text: str) -> tuple[int, int]:
    """Major and minor of a version."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


class Api:
    """One version of the bindings.

    Args:
        trt: the module.

    Raises:
        MissingDependencyError: a version before 8.5.
    """

    def __init__(self, trt: Any) -> None:
        self.trt = trt
        self.version = str(trt.__version__)
        self.number = version_of(self.version)
        if self.number < FIRST:
            raise MissingDependencyError(
                f"TensorRT {self.version} is older than 8.5, the first that is supported; "
                f"{install_lines()}"
            )

    # ---- network and precision ---------------------------------------------------------------

    @property
    def strong(self) -> bool:
        """Whether a network can take every precision from the graph."""
        return hasattr(self.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")

    def network_flags(self, *, explicit: bool) -> int:
        """Flags of a network, as the integer that `create_network` takes."""
        known, bits = self.trt.NetworkDefinitionCreationFlag, 0
        # Without effect in 10, where naming it warns.
        if hasattr(known, "EXPLICIT_BATCH") and self.number[0] < 10:
            bits |= 1 << int(known.EXPLICIT_BATCH)
        if explicit and self.strong:
            bits |= 1 << int(known.STRONGLY_TYPED)
        return bits

    def refusal(self, rung: Rung, builder: Any) -> str | None:
        """Why this version or GPU cannot do a rung by flags; None where it can."""
        if rung.explicit:
            return None
        missing = [name for name in rung.flags if not hasattr(self.trt.BuilderFlag, name)]
        if missing:
            return (
                f"TensorRT {self.version} has no BuilderFlag.{missing[0]}: precision is in the graph "
                f"alone. Make one with: {QUANTIZE.format(to=rung.precision)}"
            )
        # None of these in 11, which takes the graph's word.
        if getattr(builder, FAST.get(rung.precision, ""), True) is False:
            return f"this GPU has no fast {rung.precision}"
        return None

    def set_precision(self, config: Any, rung: Rung) -> None:
        """Flags of a rung; none where the network is strongly typed."""
        if not (rung.explicit and self.strong):
            for name in rung.flags:
                config.set_flag(getattr(self.trt.BuilderFlag, name))
        # On by default, and then "fp32" has 10 bits of mantissa.
        config.clear_flag(self.trt.BuilderFlag.TF32)

    def calibrator(self, method: str) -> Any:
        """The class that a calibrator of a method derives from.

        Raises:
            UsageError: this version has none.
        """
        base = getattr(self.trt, CALIBRATORS[method], None)
        if base is None:
            raise UsageError(
                f"TensorRT {self.version} has no calibrators: INT8 ranges are in the graph alone. Make "
                f"one with: {QUANTIZE.format(to='int8')}"
            )
        return base

    def set_calibration_profile(self, config: Any, profile: Any) -> None:
        """The shapes that calibration runs with; 10 takes those of the profile by itself."""
        if profile is not None and self.number[0] < 10:
            config.set_calibration_profile(profile)

    # ---- what only newer versions have -------------------------------------------------------

    def set_opt_level(self, config: Any, level: int | None) -> None:
        """The optimisation level.

        Raises:
            UsageError: this version has none.
        """
        if level is None:
            return
        if self.number < (8, 6):
            raise UsageError(
                f"TensorRT {self.version} has no optimisation levels; leave out --opt-level."
            )
        config.builder_optimization_level = level

    def set_compatibility(self, config: Any, *, hardware: bool, version: bool) -> None:
        """Engines for other GPUs and later versions.

        Raises:
            UsageError: this version makes none.
        """
        if (hardware or version) and self.number < (8, 6):
            what = "--hardware-compatible" if hardware else "--version-compatible"
            raise UsageError(
                f"TensorRT {self.version} makes no such engines (8.6 and later do); leave out {what}."
            )
        if hardware:
            config.hardware_compatibility_level = self.trt.HardwareCompatibilityLevel.AMPERE_PLUS
        if version:
            config.set_flag(self.trt.BuilderFlag.VERSION_COMPATIBLE)

    def share_profiles(self, config: Any) -> None:
        """Let several execution contexts use one profile at a time, as later versions always do.

        8.6 does so when it is asked; in 8.5 each context of an engine with open axes wants its own.
        """
        known = getattr(self.trt, "PreviewFeature", None)
        feature = getattr(known, "PROFILE_SHARING_0806", None)
        if feature is not None and self.number < (10, 0):
            config.set_preview_feature(feature, True)

    @property
    def monitor(self) -> Any:
        """The class that a progress monitor derives from; None before 10."""
        return getattr(self.trt, "IProgressMonitor", None)

    @property
    def onnx_refitter(self) -> Any:
        """What refits an engine from an ONNX file; None before 10."""
        return getattr(self.trt, "OnnxParserRefitter", None)

    def onnx_place(self, error: Any) -> tuple[str, str]:
        """Name and operator of the node that a parser error is about; empty where it is not told."""
        if self.number[0] < 10:
            return "", ""
        return str(error.node_name() or ""), str(error.node_operator() or "")

    def runtime(self, logger: Any, *, own: bool = False) -> Any:
        """A runtime.

        Args:
            own: the engine was made here just now; version-compatible ones bring code along.
        """
        runtime = self.trt.Runtime(logger)
        if own and self.number >= (8, 6):
            runtime.engine_host_code_allowed = True
        return runtime

    # ---- objects that begin everything -------------------------------------------------------

    def logger(self, messages: Messages) -> Any:
        """A logger that keeps what it is told."""
        base: Any = self.trt.ILogger

        class Collector(base):  # type: ignore[misc]
            def __init__(self) -> None:
                base.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                messages.add(str(severity.name), msg)

        return Collector()

    def builder(self, logger: Any, messages: Messages) -> Any:
        """A builder.

        Raises:
            MissingDependencyError: no GPU, or no driver for it.
        """
        try:
            self.trt.init_libnvinfer_plugins(logger, "")
            made = self.trt.Builder(logger)
        except TypeError:  # the bindings' way to say that the library gave none
            made = None
        if made is None:
            raise MissingDependencyError(
                f"TensorRT {self.version} cannot start on this machine: {messages.diagnosis()}"
            )
        return made
