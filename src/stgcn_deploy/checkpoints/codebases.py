"""The table of codebases, and the recognition of a file as exactly one of them."""

from __future__ import annotations

import re

from stgcn_deploy.checkpoints.accounting import Tensors
from stgcn_deploy.checkpoints.base import Codebase
from stgcn_deploy.errors import UnrecognisedCheckpointError
from stgcn_deploy.registry import Registry

__all__ = ["CODEBASES", "recognise"]

_HERE = "stgcn_deploy.checkpoints"

CODEBASES: Registry[Codebase] = Registry(
    "codebase",
    {
        "st-gcn": f"{_HERE}.stgcn:CODEBASE",
        "st-gcn-twostream": f"{_HERE}.twostream:CODEBASE",
        "pyskl": f"{_HERE}.pyskl:PYSKL",
        "mmaction2": f"{_HERE}.pyskl:MMACTION2",
    },
)

# Families that are known by their keys and not supported (yet): first match names the file.
KNOWN_FOREIGN = (
    (r"^st_conv_blocks?\.|(^|\.)tmp_conv\d|cheb_graph_conv|align\.align_conv",
     "a traffic-forecasting STGCN (road sensors, not skeletons); it shares only the name"),
    (r"^pts_stream\.", "TSSTG (Human-Falling-Detect-Tracks)"),
    (r"^gcn0\.conv_list\.0\.weight", "legacy ST-GCN of early 2018"),
    (r"(^|\.)l1\.gcn1\.convs\.0\.conv1", "CTR-GCN"),
    (r"(^|\.)l1a?\.gcn1\.(alpha|conv_ta)", "2s-AGCN's AAGCN"),
    (r"(^|\.)l1a?\.gcn1\.conv_a\.0", "2s-AGCN's AGCN"),
    (r"^backbone\.net\.0\.gcn1\.convs", "PYSKL CTR-GCN"),
    (r"\.tcn\.add_coeff$", "PYSKL DG-STGCN"),
    (r"^backbone\.gcn\.0\.gcn\.conv_d\.0", "PYSKL AAGCN"),
    (r"^backbone\.gcn3d|(^|\.)sgcn1\.", "MS-G3D"),
    (r"^backbone\.st_gcn_networks\.", "MMAction2 0.x or PaddleVideo ST-GCN"),
    (r"^(backbone\.)?agcn(_networks)?\.0\.", "MMAction2 0.x or PaddleVideo AGCN"),
    (r"(^|\.)norm_in(\.norm)?\.weight", "Realtime-ST-GCN"),
    (r"^layers\.layer1\.", "continual-skeletons"),
)  # fmt: skip


def recognise(tensors: Tensors) -> Codebase:
    """The one codebase whose keys these are.

    Raises:
        UnrecognisedCheckpointError: none matches; the closest known kind is named.
    """
    found = [codebase for _, codebase in CODEBASES.items() if codebase.matches(tensors)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(codebase.name for codebase in found)
        raise AssertionError(f"{tensors.where} matches several codebases: {names}")
    supported = f"Supported: {', '.join(CODEBASES)}."
    for pattern, title in KNOWN_FOREIGN:
        if any(re.search(pattern, key) for key in tensors):
            raise UnrecognisedCheckpointError(
                f"{tensors.where}: these are the keys of {title}, which is not supported. "
                f"{supported}"
            )
    some = ", ".join(sorted(tensors)[:6])
    raise UnrecognisedCheckpointError(
        f"{tensors.where}: {len(tensors)} tensors of no known codebase of the ST-GCN family "
        f"(first keys: {some}).{_near_miss(tensors)} {supported}"
    )


def _near_miss(tensors: Tensors) -> str:
    """A hint when keys look like the family but the one that decides is missing."""
    if tensors.any(r"st_gcn_networks\."):
        return (
            " They resemble st-gcn, but st_gcn_networks.0.gcn.conv.weight or the head fcn is "
            "missing or renamed."
        )
    if tensors.any(r"^backbone\.gcn\.\d"):
        return (
            " They resemble pyskl, but backbone.gcn.0.gcn.{A, conv} or the classifier "
            "cls_head.fc_cls / cls_head.fc is missing (a backbone without classifier?)."
        )
    return ""
