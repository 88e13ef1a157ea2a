"""What the stand-ins of ais_bench and msame share: an OM that runs, and faults on demand.

FAKE_ASCEND_FAULT is one of
    exit:N       fail with code N before any output        silent       end well without any output
    missing:I    no result of sample I                     truncated:I  a result that lacks 4 bytes
    stray        a result of no numbered sample            duplicated:I sample I under two names
    beyond       a result of a sample that there was not   die:N        the process dies after N calls
    slow:MS      wait before each call
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from om import read_om

DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Npu:
    """An OM on a device that is ONNX Runtime on one thread."""

    def __init__(self, om: Path) -> None:
        import onnxruntime

        model, self.meta = read_om(om)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [
            (value.name, tuple(value.shape), np.dtype(DTYPES[value.type]))
            for value in self._session.get_inputs()
        ]
        assert all(isinstance(n, int) for _, shape, _ in self.inputs for n in shape), self.inputs
        self.times_ms: list[float] = []

    def size(self, index: int) -> int:
        """Bytes of an input tensor."""
        _, shape, dtype = self.inputs[index]
        return int(np.prod(shape)) * dtype.itemsize

    def run(self, buffers: list[bytes]) -> list[np.ndarray[Any, Any]]:
        """Outputs of one call; bytes are taken for whatever the OM says."""
        feed = {
            name: np.frombuffer(buffer, dtype).reshape(shape)
            for (name, shape, dtype), buffer in zip(self.inputs, buffers, strict=True)
        }
        fault = Fault()
        if fault.kind == "slow":
            time.sleep(fault.number / 1e3)
        start = time.perf_counter()
        found = self._session.run(None, feed)
        self.times_ms.append((time.perf_counter() - start) * 1e3)
        if fault.kind == "die" and len(self.times_ms) >= fault.number:
            os.kill(os.getpid(), signal.SIGKILL)
        return found


class Fault:
    """The fault that was asked for."""

    def __init__(self) -> None:
        self.kind, _, number = os.environ.get("FAKE_ASCEND_FAULT", "").partition(":")
        self.number = int(number or 0)

    def spoil(self, folder: Path, pattern: str) -> None:
        """Change written results; `pattern` is their name, as "{}_0.bin"."""
        place = folder / pattern.format(self.number)
        if self.kind == "missing":
            place.unlink()
        elif self.kind == "truncated":
            place.write_bytes(place.read_bytes()[:-4])
        elif self.kind == "duplicated":
            (folder / pattern.format(f"0{self.number}")).write_bytes(place.read_bytes())
        elif self.kind == "stray":
            (folder / pattern.format("copy")).write_bytes(place.read_bytes())
        elif self.kind == "beyond":
            (folder / pattern.format(10**6)).write_bytes(place.read_bytes())
