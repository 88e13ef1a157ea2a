"""The table of builders; add a file and a line to add a vendor's tool."""

from __future__ import annotations

from stgcn_deploy.builders.base import Builder
from stgcn_deploy.registry import Registry

__all__ = ["BUILDERS"]

BUILDERS: Registry[Builder] = Registry(
    "target",
    {
        "ascend": "stgcn_deploy.builders.ascend:BUILDER",
        "tensorrt": "stgcn_deploy.builders.tensorrt:BUILDER",
    },
    aliases={"om": "ascend", "atc": "ascend", "trt": "tensorrt"},
)
