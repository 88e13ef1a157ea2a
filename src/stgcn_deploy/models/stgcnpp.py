"""ST-GCN++: learned adjacency, multi-scale temporal convolution (PYSKL, arXiv 2205.09443)."""

from __future__ import annotations

from stgcn_deploy.models.stgcn import OneStream

__all__ = ["FAMILY"]

FAMILY = OneStream("ST-GCN++ (arXiv 2205.09443)")
