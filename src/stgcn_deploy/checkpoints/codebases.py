"""The table of codebases, and the recognition of a file as exactly one of them."""

from __future__ import annotations

import re

from stgcn_deploy.checkpoints.accounting import Tensors
from stgcn_deploy.checkpoints.base import Codebase
from stgcn_deploy.errors import UnrecognisedCheckpointError, UnsupportedCheckpointError
from stgcn_deploy.registry import Registry

__all__ = ["CODEBASES", "recognise"]

_HERE = "stgcn_deploy.checkpoints"

CODEBASES: Registry[Codebase] = Registry(
    "codebase",
    {
        "st-gcn": f"{_HERE}.stgcn:CODEBASE",
        "st-gcn-twostream": f"{_HERE}.twostream:CODEBASE",
        "st-gcn-legacy": f"{_HERE}.legacy:CODEBASE",
        "tsstg": f"{_HERE}.tsstg:CODEBASE",
        "tao": f"{_HERE}.tao:CODEBASE",
        "mmaction2-0.x": f"{_HERE}.mmaction0:CODEBASE",
        "pyskl": f"{_HERE}.pyskl:PYSKL",
        "mmaction2": f"{_HERE}.pyskl:MMACTION2",
        "2s-agcn": f"{_HERE}.agcn:CODEBASE",
        "pyskl-aagcn": f"{_HERE}.pyskl_aagcn:PYSKL",
        "mmaction2-aagcn": f"{_HERE}.pyskl_aagcn:MMACTION2",
        "mmaction2-0.x-agcn": f"{_HERE}.mmaction0_agcn:CODEBASE",
        "ctr-gcn": f"{_HERE}.ctrgcn:CTRGCN",
        "ctr-gcn-baseline": f"{_HERE}.ctrgcn:BASELINE",
        "pyskl-ctrgcn": f"{_HERE}.pyskl_ctrgcn:PYSKL",
        "mmaction2-ctrgcn": f"{_HERE}.pyskl_ctrgcn:MMACTION2",
        "pyskl-dgstgcn": f"{_HERE}.pyskl_dgstgcn:CODEBASE",
        "pyskl-msg3d": f"{_HERE}.pyskl_msg3d:PYSKL",
        "mmaction2-msg3d": f"{_HERE}.pyskl_msg3d:MMACTION2",
        "paddle-stgcn": f"{_HERE}.paddle:STGCN",
        "paddle-agcn": f"{_HERE}.paddle:AGCN",
        "paddle-agcn2s": f"{_HERE}.paddle:AGCN2S",
        "paddle-ctrgcn": f"{_HERE}.paddle:CTRGCN",
    },
)

# Families that are known by their keys and not supported (yet): first match names the file.
KNOWN_FOREIGN = (
    (r"^st_conv_blocks?\.|(^|\.)tmp_conv\d|cheb_graph_conv|align\.align_conv",
     "a traffic-forecasting STGCN (road sensors, not skeletons); it shares only the name"),
    (r"(^|\.)sgcn1\.", "the MS-G3D of its authors"),
    (r"(^|\.)norm_in(\.norm)?\.weight", "Realtime-ST-GCN"),
)  # fmt: skip

# Networks that are recognised and that we do not deploy: pattern, what it is, and why not.  The first
# match names the file.  Others are refused where their codebase is read, or their container opened.
UNSUPPORTED = (
    (r"\.attention_conv\.qkv_conv\.", "S-TR (continual-skeletons)",
     "its joints attend to each other by queries and keys, and no family here does that"),
    (r"^layers\.layer\d+\.0\.[01]\.", "a Co* network (continual-skeletons)",
     "it keeps a state and takes one frame after the other, and a bundle's graph takes whole clips"),
    (r"^layers\.layer1\.", "a network of continual-skeletons",
     "its *Mod networks (no stride, no padding in time) have the same keys as the plain ones, and no "
     "file says which it is"),
    (r"(^|\.)norm_in\.norm\.weight", "Realtime-ST-GCN with batch normalisation (rt-st-gcn and others)",
     "it keeps no running statistics, so that its answer depends on the other clips of a batch and on "
     "how long they are"),
    (r"^st_gcn\.\d+\.(conv|edge_importance)(\.|$)", "rt-st-gcn (Realtime-ST-GCN)",
     "it answers for every frame with moving sums of the past, and a bundle's graph answers for a clip"),
)  # fmt: skip


def recognise(tensors: Tensors) -> Codebase:
    """The one codebase whose keys these are.

    Raises:
        UnsupportedCheckpointError: it is a network of UNSUPPORTED.
        UnrecognisedCheckpointError: none matches; the closest known kind is named.
    """
    found = [codebase for _, codebase in CODEBASES.items() if codebase.matches(tensors)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(codebase.name for codebase in found)
        raise AssertionError(f"{tensors.where} matches several codebases: {names}")
    for pattern, title, reason in UNSUPPORTED:
        if tensors.any(pattern):
            raise UnsupportedCheckpointError(
                f"{tensors.where}: these are the keys of {title}, which is not supported: {reason}."
            )
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
