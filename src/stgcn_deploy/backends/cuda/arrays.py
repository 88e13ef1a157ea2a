"""Other libraries' arrays on the GPU, used where they lie: DLPack and `__cuda_array_interface__`.

Sources: the DLPack specification (dlpack.h, Python protocol), Numba's CUDA array interface, version 3.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn_deploy.backends.base import TensorSpec
from stgcn_deploy.backends.cuda.runtime import Cuda
from stgcn_deploy.errors import ClipError

__all__ = ["DeviceArray", "device_array"]

# DLDeviceType: kDLCUDA and kDLCUDAManaged.
DLPACK_CUDA = (2, 13)
DLPACK_KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 6: "bool"}
# What TensorRT asks of addresses; whole tensors of PyTorch have it, slices of them need not.
ALIGNMENT = 256


@dataclass(frozen=True)
class DeviceArray:
    """An array on the GPU.

    Attributes:
        shape, strides: strides in bytes; None where the array is contiguous.
        owner: keeps the memory alive.
        stream: work on this stream must be done before it is read, see Numba; None for no waiting.
    """

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: str
    device: int | None
    read_only: bool
    owner: object
    stream: int | None = None


class _DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype = ctypes.c_void_p
_pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]


def device_array(
    name: str, value: Any, spec: TensorSpec, cuda: Cuda, device: int, stream: int
) -> DeviceArray:
    """`value` as memory that an engine can use, checked against its tensor.

    Args:
        name: of the tensor, for messages.
        stream: where it will be used: a library that speaks DLPack makes it wait for its own work.

    Raises:
        ClipError: it is not on this GPU, or has another dtype or shape, or is not contiguous or aligned.
    """
    found = _dlpack(name, value, stream) or _interface(name, value, cuda)
    if found is None:
        raise ClipError(
            f"{name!r} is a {type(value).__name__}, which has neither __dlpack__ nor "
            "__cuda_array_interface__; give an array on the GPU, or use run() for one of NumPy."
        )
    if found.device != device:
        where = "memory of the host" if found.device is None else f"GPU {found.device}"
        raise ClipError(f"{name!r} is in {where}, and the engine on GPU {device}; move it there.")
    if found.dtype != spec.dtype:
        raise ClipError(f"{name!r} has dtype {found.dtype}, expected {spec.dtype}.")
    if not spec.fits(found.shape):
        raise ClipError(
            f"{name!r} has shape {found.shape}, expected ({', '.join(map(str, spec.shape))})."
        )
    if found.strides is not None and not _is_contiguous(found):
        raise ClipError(
            f"{name!r} is not contiguous (strides {found.strides} bytes); give .contiguous()."
        )
    if found.address % ALIGNMENT:
        raise ClipError(
            f"{name!r} lies at an address that is no multiple of {ALIGNMENT}, so it is a slice "
            "of another "
            "array; give .clone()."
        )
    return found


def _is_contiguous(array: DeviceArray) -> bool:
    expected = np.dtype(array.dtype).itemsize
    for size, stride in zip(reversed(array.shape), reversed(array.strides or ()), strict=True):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def _dlpack(name: str, value: Any, stream: int) -> DeviceArray | None:
    if not (hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__")):
        return None
    kind, device = value.__dlpack_device__()
    if int(kind) not in DLPACK_CUDA:
        return DeviceArray(0, (), None, "", None, read_only=False, owner=value)
    capsule = _asked(name, lambda: value.__dlpack__(stream=stream))
    tensor = _DLTensor.from_address(_pointer_of(capsule, b"dltensor"))
    if tensor.lanes != 1:
        raise ClipError(f"{name!r} holds vectors of {tensor.lanes} numbers; give single ones.")
    dtype = f"{DLPACK_KINDS.get(tensor.code, f'kind {tensor.code} ')}{tensor.bits}"
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = None
    if tensor.strides:  # counted in elements
        strides = tuple(step * tensor.bits // 8 for step in tensor.strides[: tensor.ndim])
    address = (tensor.data or 0) + tensor.byte_offset
    # The capsule is not renamed, so it gives the memory back itself when it goes.
    return DeviceArray(
        address, shape, strides, dtype, int(device), read_only=False, owner=(value, capsule)
    )


def _interface(name: str, value: Any, cuda: Cuda) -> DeviceArray | None:
    about = _asked(name, lambda: getattr(value, "__cuda_array_interface__", None))
    if about is None:
        return None
    if about.get("mask") is not None:
        raise ClipError(f"{name!r} is a masked array; give one without a mask.")
    address, read_only = about["data"]
    return DeviceArray(
        int(address),
        tuple(about["shape"]),
        about.get("strides"),
        str(np.dtype(about["typestr"])),
        cuda.device_of(int(address)),
        bool(read_only),
        value,
        about.get("stream"),
    )


def _asked(name: str, question: Callable[[], Any]) -> Any:
    """What a library says of its array; it may refuse, for instance with gradients."""
    try:
        return question()
    except (BufferError, RuntimeError, TypeError, AttributeError) as error:
        raise ClipError(f"{name!r} cannot be used where it lies: {error}") from error
