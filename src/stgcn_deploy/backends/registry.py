"""The table of backends; add a file and a line to add a runtime."""

from __future__ import annotations

from stgcn_deploy.backends.base import Backend
from stgcn_deploy.registry import Registry

__all__ = ["BACKENDS"]

BACKENDS: Registry[Backend] = Registry(
    "backend",
    {
        "ascend": "stgcn_deploy.backends.ascend:BACKEND",
        "cann": "stgcn_deploy.backends.cann:BACKEND",
        "onnxruntime": "stgcn_deploy.backends.onnxruntime:BACKEND",
        "openvino": "stgcn_deploy.backends.openvino:BACKEND",
        "tensorrt": "stgcn_deploy.backends.tensorrt:BACKEND",
        "torch-cuda": "stgcn_deploy.backends.torch_cuda:BACKEND",
    },
    aliases={"ort": "onnxruntime", "onnx": "onnxruntime", "ov": "openvino", "trt": "tensorrt"},
)
