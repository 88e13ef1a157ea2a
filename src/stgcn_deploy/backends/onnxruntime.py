"""ONNX Runtime on the CPU."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from math import gcd
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stgcn_deploy.backends.base import OpenOptions, Session, TensorSpec
from stgcn_deploy.backends.rows import ParallelRows, cut_rows
from stgcn_deploy.backends.streams import ParallelStreams, cut_streams
from stgcn_deploy.backends.tap import tapped
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.cores import physical_cores
from stgcn_deploy.errors import BackendError, requires

__all__ = ["BACKEND", "OnnxRuntimeBackend"]

PROVIDERS = ["CPUExecutionProvider"]


def _spec(value: Any) -> TensorSpec:
    shape = tuple(
        size if isinstance(size, (int, str)) else f"axis{index}"
        for index, size in enumerate(value.shape)
    )
    dtype = {
        "tensor(float)": "float32",
        "tensor(float16)": "float16",
        "tensor(double)": "float64",
        "tensor(uint8)": "uint8",
    }
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
    taps = True

    def version(self) -> str | None:
        """See Backend.version."""
        for package in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-cann"):
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

    def model_of(self, bundle: Bundle, batch: int = 1) -> Path:  # noqa: ARG002 - any batch
        """See Backend.model_of."""
        return bundle.model_path

    def open(self, model: Path, options: OpenOptions) -> Session:
        """See Backend.open.

        Raises:
            BackendError: the model does not load, or falls back to another provider.
        """
        with requires("running a model", self.install):
            import onnxruntime  # noqa: F401
        if options.said == "bf16":
            raise BackendError(
                "ONNX Runtime does not compute in bfloat16 on CPUs; open this bundle with --backend "
                "openvino."
            )
        try:
            source = tapped(model, options.tap) if options.tap else str(model)
            cores = physical_cores() if options.threads is None else options.threads
            if options.parallel and cores > 1:
                session = _parallel(source, cores)
                if session is not None:
                    return session
            return _session(source, options.threads)
        except BackendError:
            raise
        except Exception as error:  # onnx and the runtime raise many kinds
            raise BackendError(f"ONNX Runtime cannot load {model}: {error}") from error


def _parallel(source: bytes | str, threads: int) -> Session | None:
    """The parts of a model that can run side by side; None where there are none.

    None also where onnx is absent: the same answers, only slower, and `parallel_parts` says so.
    """
    try:
        import onnx
    except ImportError:
        return None
    model = onnx.load(source) if isinstance(source, str) else onnx.load_from_string(source)
    return _streams(model, threads) or _rows(model, threads)


def _streams(model: Any, threads: int) -> Session | None:
    cut = cut_streams(model)
    if cut is None or (threads % len(cut.streams) and len(cut.streams) % threads):
        # Shared out unevenly, some threads would wait for others; the runtime's own way is better then.
        return None
    each = max(1, threads // len(cut.streams))
    streams = [_session(part.SerializeToString(), each) for part in cut.streams]
    tail = cut.tail(spec for stream in streams for spec in stream.outputs)
    return ParallelStreams(cut.inputs, streams, _session(tail.SerializeToString(), 1), threads)


def _rows(model: Any, threads: int) -> Session | None:
    cut = cut_rows(model)
    if cut is None:
        return None
    # As many as share out both rows and threads evenly: else some would wait for others.
    groups = gcd(cut.count, threads)
    if groups == 1:
        return None
    front = _session(cut.front().SerializeToString(), 1)
    trunk, each = cut.trunk(front.outputs[0]).SerializeToString(), threads // groups
    # A session of one thread may be called from several at once, and its weights are held once.
    trunks = (
        [_session(trunk, 1)] * groups
        if each == 1
        else [_session(trunk, each) for _ in range(groups)]
    )
    tail = _session(cut.tail(trunks[0].outputs).SerializeToString(), 1)
    return ParallelRows(cut.rows, front, trunks, tail)


def _session(source: bytes | str, threads: int | None) -> OnnxRuntimeSession:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    if threads is not None:
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(source, settings, providers=PROVIDERS)
    if session.get_providers() != PROVIDERS:
        raise BackendError(f"asked ONNX Runtime for {PROVIDERS}, got {session.get_providers()}.")
    return OnnxRuntimeSession(session)


BACKEND = OnnxRuntimeBackend()
