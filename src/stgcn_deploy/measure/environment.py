"""The machine and the versions a number was measured with."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stgcn_deploy import __version__
from stgcn_deploy.cores import usable_cores

__all__ = [
    "CPU_FLAGS",
    "cpu_features",
    "cpu_name",
    "environment",
    "versions",
]

LIBRARIES = ("numpy", "onnx", "onnxruntime", "torch", "openvino", "tensorrt")
# What decides which precision is fast on a CPU.
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def versions() -> dict[str, str]:
    """Installed versions of what results depend on; absent libraries are left out."""
    found = {"stgcn-deploy": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def cpu_features() -> tuple[str, ...]:
    """Which of CPU_FLAGS this CPU has; empty where the system does not tell."""
    words = set(_cpuinfo().split())
    return tuple(flag for flag in CPU_FLAGS if flag in words)


def cpu_name() -> str:
    """The CPU's own name, or the architecture."""
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def environment() -> dict[str, Any]:
    """Everything that belongs beside a measured number."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": cpu_name(),
        "cpu_features": list(cpu_features()),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else [],
        "versions": versions(),
    }
