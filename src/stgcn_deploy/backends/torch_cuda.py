"""PyTorch on an NVIDIA GPU, for machines without TensorRT: it runs the bundle's own graph.

This file needs no PyTorch and imports none: what does is in stgcn_deploy.torchrun and loaded by
its name when a bundle is opened (docs/design/0008-torch-cuda.md).
"""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast

from stgcn_deploy.backends.base import OpenOptions, Session
from stgcn_deploy.backends.cuda.find import spec_of
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import MissingDependencyError, requires

__all__ = ["BACKEND", "TorchCudaBackend"]

SESSIONS = "stgcn_deploy.torchrun.session"
DRIVERS = ("libcuda.so.1", "nvcuda.dll")
# In torch/version.py of builds for CUDA; in others it is None.
CUDA_BUILD = re.compile(r"^cuda[^=]*=\s*'([\d.]+)'", re.MULTILINE)


class TorchCudaBackend:
    """See Backend."""

    name = "torch-cuda"
    install = "pip install torch (a build with CUDA, on a machine with an NVIDIA GPU)"
    taps = True

    def version(self) -> str | None:
        """See Backend.version."""
        try:
            return version("torch")
        except PackageNotFoundError:
            return None

    def available(self) -> str | None:
        """See Backend.available; PyTorch is imported only where its build and the driver could do it."""
        number = self.version()
        spec = spec_of("torch")
        if number is None or spec is None or spec.origin is None:
            return f"PyTorch is not installed; {self.install}"
        if not _is_for_cuda(Path(spec.origin).parent / "version.py"):
            return f"PyTorch {number} is a build without CUDA; {self.install}"
        if not _has_driver():
            return f"there is no NVIDIA driver here ({' or '.join(DRIVERS)}); {self.install}"
        try:
            torch = import_module("torch")
            if torch.cuda.is_available():
                return None
        except (ImportError, OSError, RuntimeError) as error:
            return f"PyTorch is installed but does not load: {error}"
        return f"PyTorch {number} sees no GPU"

    def model_of(self, bundle: Bundle, batch: int = 1) -> Path:  # noqa: ARG002 - any batch
        """See Backend.model_of."""
        return bundle.model_path

    def open(self, model: Path, options: OpenOptions) -> Session:
        """See Backend.open.

        Raises:
            MissingDependencyError: no PyTorch, or no GPU.
            BackendError: an 8-bit graph, or an operator that none of our exports has.
        """
        if reason := self.available():
            raise MissingDependencyError(reason)
        with requires("running a model with PyTorch", "pip install torch onnx"):
            sessions = import_module(SESSIONS)
        return cast(Session, sessions.open_session(model, precision=options.said, tap=options.tap))


def _is_for_cuda(version_file: Path) -> bool:
    """Whether a build of PyTorch has CUDA; where it does not say, it is asked itself."""
    try:
        text = version_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return True
    return "cuda" not in text or CUDA_BUILD.search(text) is not None


def _has_driver() -> bool:
    for name in DRIVERS:
        with suppress(OSError):
            ctypes.CDLL(name)
            return True
    return False


BACKEND = TorchCudaBackend()
