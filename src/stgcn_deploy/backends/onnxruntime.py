"""ONNX Runtime on the CPU."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stgcn_deploy.backends.base import OpenOptions, Session, TensorSpec
from stgcn_deploy.backends.tap import tapped
from stgcn_deploy.errors import BackendError, requires

__all__ = ["BACKEND", "OnnxRuntimeBackend"]

PROVIDERS = ["CPUExecutionProvider"]


def _spec(value: Any) -> TensorSpec:
    shape = tuple(
        size if isinstance(size, (int, str)) else f"axis{index}"
        for index, size in enumerate(value.shape)
    )
    dtype = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
    return TensorSpec(value.name, dtype.get(value.type, value.type), shape)


class OnnxRuntimeSession(Session):
    """One InferenceSession."""

    def __init__(self, session: Any) -> None:
        super().__init__(
            tuple(_spec(value) for value in session.get_inputs()),
            tuple(_spec(value) for value in session.get_outputs()),
        )
        self._session = session

    def _run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        names = [spec.name for spec in self.outputs]
        try:
            return dict(zip(names, self._session.run(names, feed), strict=True))
        except Exception as error:  # the runtime raises plain RuntimeError subclasses
            raise BackendError(f"ONNX Runtime failed: {error}") from error

    def _close(self) -> None:
        self._session = None


class OnnxRuntimeBackend:
    """See Backend."""

    name = "onnxruntime"
    install = "pip install onnxruntime"

    def version(self) -> str | None:
        """See Backend.version."""
        for package in ("onnxruntime", "onnxruntime-gpu"):
            try:
                return version(package)
            except PackageNotFoundError:
                continue
        return None

    def available(self) -> str | None:
        """See Backend.available."""
        if self.version() is None:
            return f"onnxruntime is not installed; {self.install}"
        try:
            import onnxruntime  # noqa: F401
        except ImportError as error:
            return f"onnxruntime is installed but does not load: {error}"
        return None

    def open(self, model: Path, options: OpenOptions) -> Session:
        """See Backend.open.

        Raises:
            BackendError: the model does not load, or falls back to another provider.
        """
        with requires("running a model", self.install):
            import onnxruntime
        if options.compute == "bf16":
            raise BackendError(
                "ONNX Runtime does not compute in bfloat16 on CPUs; open this bundle with --backend "
                "openvino."
            )
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        if options.threads is not None:
            settings.intra_op_num_threads = options.threads
            settings.inter_op_num_threads = 1
        try:
            source = tapped(model, options.tap) if options.tap else str(model)
            session = onnxruntime.InferenceSession(source, settings, providers=PROVIDERS)
        except Exception as error:
            raise BackendError(f"ONNX Runtime cannot load {model}: {error}") from error
        if session.get_providers() != PROVIDERS:
            raise BackendError(
                f"asked ONNX Runtime for {PROVIDERS}, got {session.get_providers()}."
            )
        return OnnxRuntimeSession(session)


BACKEND = OnnxRuntimeBackend()
