"""TensorRT engines of a bundle's graph, versions 8.5 to 11: built, audited, refitted."""

from __future__ import annotations

from stgcn_deploy.builders.tensorrt.builder import BUILDER

__all__ = ["BUILDER"]
