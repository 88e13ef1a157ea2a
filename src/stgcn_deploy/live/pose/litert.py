"""LiteRT: TensorFlow Lite's runtime, which runs .tflite files and frees the GIL while it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import BackendError, requires
from stgcn_deploy.live.pose.pixels import INSTALL

__all__ = ["LiteNetwork"]


class LiteNetwork:
    """A .tflite file, opened; for one thread at a time.

    Raises:
        MissingDependencyError: LiteRT is not installed.
        BackendError: it cannot open the file.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        with requires("finding people in images", INSTALL):
            from ai_edge_litert.interpreter import Interpreter
        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError, OSError) as error:
            raise BackendError(f"LiteRT cannot open {path.name}: {error}.") from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [one["index"] for one in self._interpreter.get_output_details()]
        self._name = path.name

    def __call__(self, image: NDArray[np.float32], /) -> tuple[NDArray[Any], ...]:
        """Its outputs for one input.

        Raises:
            BackendError: it failed.
        """
        try:
            self._interpreter.set_tensor(self._input, image)
            self._interpreter.invoke()
            return tuple(self._interpreter.get_tensor(index) for index in self._outputs)
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"LiteRT failed on {self._name}: {error}.") from error
