"""TensorRT: runs the engines that `stgcn build` made of a bundle's graph, for the GPU that it runs on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stgcn_deploy.backends.base import OpenOptions, Session
from stgcn_deploy.backends.built import built_for, refuse_changes
from stgcn_deploy.backends.cuda.find import find_cuda, spec_of
from stgcn_deploy.backends.tensorrt_session import INSTALL, open_engine
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BackendError, MissingDependencyError

__all__ = ["BACKEND", "TensorRtBackend"]

# What carries TensorRT's Python module: JetPack's packages, and the wheels for each CUDA.
PACKAGES = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu11")


class TensorRtBackend:
    """See Backend; the precision is that of the engine, chosen when it was built and audited then."""

    name = "tensorrt"
    install = INSTALL
    # Engines have no inner tensors left: they are compared by their own outputs.
    taps = False

    def version(self) -> str | None:
        """See Backend.version."""
        for package in PACKAGES:
            try:
                return version(package)
            except PackageNotFoundError:
                continue
        return None

    def available(self) -> str | None:
        """See Backend.available."""
        if self.version() is None and spec_of("tensorrt") is None:
            return f"TensorRT is not installed; {self.install}"
        try:
            import tensorrt  # noqa: F401
        except (ImportError, OSError) as error:
            return f"TensorRT is installed but does not load: {error}"
        try:
            find_cuda()
        except MissingDependencyError as error:
            return str(error)
        return None

    def model_of(self, bundle: Bundle, batch: int = 1) -> Path:
        """See Backend.model_of."""
        return built_for(bundle, self.name, batch, f"--max-batch {batch}" if batch > 1 else "")

    def open(self, model: Path, options: OpenOptions) -> Session:
        """See Backend.open.

        Raises:
            MissingDependencyError: no TensorRT, or no GPU.
            BackendError: an inner tensor or another precision is asked for, or the engine cannot be used
                here.
        """
        refuse_changes(model, options, self.name)
        if model.suffix == ".onnx":
            raise BackendError(
                f"{model} is an ONNX file, and TensorRT runs engines; make one: stgcn build "
                f"{model.parent} --to tensorrt -o DIR"
            )
        return open_engine(model).sessions[0]


BACKEND = TensorRtBackend()
