"""Does OpenVINO survive here?  Asked of a child process, because some builds kill the process instead.

Versions 2025.3 to 2026.1 divide by zero in compile_model on virtual machines that hide the CPU's caches
(openvino issue 35943).  A machine that passed is remembered in the cache folder; a refusal never is, so
that one that was repaired is asked again.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from stgcn_deploy.backends.telemetry import no_telemetry
from stgcn_deploy.files import cache_folder

__all__ = ["compile_something", "refusal"]

SECONDS = 120
REMEDY = (
    "versions 2025.3 to 2026.1 are known for it on virtual machines; install another one: "
    "pip install -U openvino"
)


def refusal(version: str) -> str | None:
    """None when this version of OpenVINO compiles and runs a small network here, else why not."""
    return _asked(version, _machine())


@functools.cache
def _asked(version: str, machine: str) -> str | None:
    name = hashlib.sha256(f"{version}\n{sys.executable}\n{machine}".encode()).hexdigest()[:20]
    with suppress(OSError, RuntimeError):  # without a home or a note the next process asks again
        if (cache_folder() / "openvino" / f"{name}.passed").is_file():
            return None
    reason = _answer(version)
    if reason is None:
        with suppress(OSError, RuntimeError):
            passed = cache_folder() / "openvino" / f"{name}.passed"
            passed.parent.mkdir(parents=True, exist_ok=True)
            passed.write_text(f"openvino {version}\n{machine}\n", encoding="utf-8")
    return reason


def _machine() -> str:
    """What the outcome depends on: the CPU as the system shows it, and the cores that are left to us."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = [platform.processor()]
    told = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return "\n".join([platform.platform(), str(cores), *sorted(told)])


def _argv() -> list[str]:
    return [sys.executable, "-m", __name__]


def _answer(version: str) -> str | None:
    """Run the child."""
    told = f"OpenVINO {version} is installed, but a trial run of a small network "
    try:
        done = subprocess.run(
            _argv(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{told}did not end within {SECONDS} seconds"
    except OSError as error:
        return f"{told}could not be started: {error}"
    if done.returncode < 0:
        return f"{told}was killed by {_signal_name(-done.returncode)}; {REMEDY}"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"]
        return f"{told}failed: {lines[-1][:300]}"
    return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def compile_something() -> float:
    """A convolution and a product, compiled and run in every precision that the CPU takes."""
    import numpy as np

    with no_telemetry():
        from openvino import Core, Model, opset13

    clip = opset13.parameter([1, 3, 8, 17], np.float32, name="input")
    kernel = opset13.constant(np.ones((16, 3, 3, 1), np.float32))
    strides, before, after, dilations = [1, 1], [1, 0], [1, 0], [1, 1]
    features = opset13.convolution(clip, kernel, strides, before, after, dilations)
    graph = opset13.constant(np.ones((17, 51), np.float32))
    product = opset13.matmul(features, graph, transpose_a=False, transpose_b=False)
    model = Model([product], [clip], "trial")
    core, total = Core(), 0.0
    hints = ["f32"] + ["bf16"] * ("BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    for hint in hints:
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
        total += float(compiled([np.ones((1, 3, 8, 17), np.float32)])[0].sum())
    return total


if __name__ == "__main__":
    compile_something()
