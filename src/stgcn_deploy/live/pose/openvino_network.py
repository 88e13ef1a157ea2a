"""OpenVINO: runs .tflite files too, about twice as fast as LiteRT where it may leave outputs out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.telemetry import no_telemetry
from stgcn_deploy.errors import BackendError, requires

__all__ = ["INSTALL", "OpenVinoNetwork", "unusable"]

INSTALL = 'pip install "stgcn-deploy[live,openvino]"'
# Computed in float32, said explicitly: bfloat16 moves joints by tens of pixels.  A network has one thread,
# and many networks run side by side: none of them is bound to a core, or all would be bound to the first.
SETTINGS = {
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_PRECISION_HINT": "f32",
    "INFERENCE_NUM_THREADS": 1,
    "ENABLE_CPU_PINNING": False,
}
NOTHING: NDArray[Any] = np.zeros(0, np.float32)


def unusable() -> str | None:
    """None where OpenVINO is installed and survives on this machine, else why not."""
    from stgcn_deploy.backends.openvino import BACKEND

    return BACKEND.available()


class OpenVinoNetwork:
    """A .tflite file, opened; for one thread at a time.

    Args:
        keep: the outputs that are wanted, by their place; what only the others need is not computed, and
            they are empty.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
        BackendError: it cannot open the file, or would compute in another precision.
    """

    def __init__(self, path: Path, keep: Sequence[int]) -> None:
        with requires("finding people in images", INSTALL), no_telemetry():
            import openvino
        self._name, self._keep = path.name, tuple(keep)
        try:
            core = openvino.Core()
            whole = core.read_model(path)
            self._count = len(whole.outputs)
            # No result, no work: the mask of the body alone is a third of BlazePose's second network.
            for number, result in enumerate(whole.get_results()):
                if number not in self._keep:
                    whole.remove_result(result)
            compiled = core.compile_model(whole, "CPU", SETTINGS)
            actual = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
            self._request = compiled.create_infer_request()
        except Exception as error:
            raise BackendError(f"OpenVINO cannot open {path.name}: {error}.") from error
        if actual != "f32":
            raise BackendError(f"asked OpenVINO for f32, but it would run {path.name} in {actual}.")

    def __call__(self, image: NDArray[np.float32], /) -> tuple[NDArray[Any], ...]:
        """Its outputs for one input; those that are not kept are empty.

        Raises:
            BackendError: it failed.
        """
        try:
            self._request.infer([image], share_inputs=True)
            found = [
                np.array(self._request.get_output_tensor(number).data)
                for number in range(len(self._keep))
            ]
        except Exception as error:
            raise BackendError(f"OpenVINO failed on {self._name}: {error}.") from error
        outputs = [NOTHING] * self._count
        for place, output in zip(sorted(self._keep), found, strict=True):
            outputs[place] = output
        return tuple(outputs)
