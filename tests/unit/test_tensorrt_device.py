"""Device memory for calibration, on a CUDA runtime that takes the host's."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from fake_cuda import FakeLibrary, compiled_runtime

from stgcn_deploy.backends.cuda.runtime import Cuda
from stgcn_deploy.builders.tensorrt.device import CudaDevice
from stgcn_deploy.errors import BackendError


@pytest.fixture
def library(tmp_path: Path) -> FakeLibrary:
    path = compiled_runtime(tmp_path)
    if path is None:
        pytest.skip("needs a C compiler, which is not installed")
    return FakeLibrary(path)


def test_an_array_arrives_and_its_memory_is_given_back(library: FakeLibrary) -> None:
    before = library.live()
    buffer = CudaDevice(Cuda(library)).allocate(24)
    array = np.arange(6, dtype=np.float32).reshape(3, 2).T  # not contiguous in C order
    buffer.upload(array)
    assert ctypes.string_at(buffer.pointer, 24) == array.tobytes()
    buffer.free()
    buffer.free()
    assert library.live() == before


def test_an_array_of_another_size_is_refused(library: FakeLibrary) -> None:
    buffer = CudaDevice(Cuda(library)).allocate(24)
    with pytest.raises(BackendError, match="20 bytes for a device buffer of 24"):
        buffer.upload(np.zeros(5, np.float32))
    buffer.free()


def test_no_memory_is_told(library: FakeLibrary) -> None:
    library.fail(1)
    with pytest.raises(BackendError, match="cudaMalloc"):
        CudaDevice(Cuda(library)).allocate(24)


def test_the_architecture(library: FakeLibrary) -> None:
    cuda = Cuda(library)
    major, minor = cuda.compute_capability(cuda.device())
    assert CudaDevice(cuda).architecture() == f"sm_{major}{minor}"
