"""Finds the CUDA runtime of this process, and the device to work on."""

from __future__ import annotations

import ctypes.util
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from stgcn_deploy.backends.cuda.bindings import BindingsCaller
from stgcn_deploy.backends.cuda.calls import Caller
from stgcn_deploy.backends.cuda.library import LibraryCaller
from stgcn_deploy.backends.cuda.runtime import Cuda
from stgcn_deploy.errors import BackendError, MissingDependencyError

__all__ = ["INSTALL", "choose_device", "find_cuda", "spec_of"]

INSTALL = "pip install 'stgcn-deploy[cuda]'"
SONAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so")


def spec_of(package: str) -> ModuleSpec | None:
    """Where a package lies, without importing it; None where it is not installed."""
    try:
        return find_spec(package)
    except (ImportError, ValueError):  # something stands in the way of looking
        return None


def find_cuda() -> Cuda:
    """The CUDA runtime: cuda-bindings where it is installed, else the first libcudart that sees a GPU.

    Raises:
        MissingDependencyError: none, with what each one said.
    """
    reasons = []
    for attempt in _attempts():
        try:
            cuda = Cuda(attempt())
            if cuda.device_count() > 0:
                return cuda
            reasons.append("it sees no GPU")
        except (MissingDependencyError, ImportError, AttributeError) as error:
            reasons.append(str(error))
    raise MissingDependencyError(
        "no usable CUDA runtime here: "
        + "; ".join(dict.fromkeys(reasons))
        + f". It needs an NVIDIA GPU with its driver, and the CUDA runtime: {INSTALL}"
    )


def _attempts() -> Iterator[Callable[[], Caller]]:
    yield _bindings
    for path in _libraries():
        yield partial(LibraryCaller, path)


def _bindings() -> Caller:
    from cuda.bindings import runtime

    return BindingsCaller(runtime)


def _libraries() -> Iterator[str]:
    """Names and files to try, PyTorch's own version first: that one is in the process already."""
    version = getattr(getattr(sys.modules.get("torch"), "version", None), "cuda", None)
    first = f"libcudart.so.{str(version).partition('.')[0]}"
    yield from sorted(SONAMES, key=lambda name: not name.startswith(first))
    spec = spec_of("nvidia")  # wheels of CUDA's parts, which PyTorch and TensorRT bring
    for folder in spec.submodule_search_locations or () if spec else ():
        yield from map(str, sorted(Path(folder).glob("*/lib/libcudart.so.*"), reverse=True))
    for home in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if home and (path := Path(home) / "lib64" / "libcudart.so").is_file():
            yield str(path)
    if name := ctypes.util.find_library("cudart"):
        yield name


def choose_device(cuda: Cuda, device: int | None) -> int:
    """The device asked for; else the one that PyTorch, where it is in use, or this thread has.

    Raises:
        BackendError: there is no such device, or PyCUDA has put a context of its own in the way.
    """
    if "pycuda.autoinit" in sys.modules:
        raise BackendError(
            "pycuda.autoinit made a CUDA context of its own in this process, in which PyTorch and "
            "TensorRT cannot share memory; remove that import (nothing here needs PyCUDA)."
        )
    if device is None:
        torch_cuda = getattr(sys.modules.get("torch"), "cuda", None)
        if torch_cuda is not None and torch_cuda.is_initialized():
            device = int(torch_cuda.current_device())
        else:
            device = cuda.device()
    count = cuda.device_count()
    if not 0 <= device < count:
        raise BackendError(f"there is no GPU {device}; this process sees {count}, from 0 on.")
    return device
