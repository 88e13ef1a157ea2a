"""What every codebase calls the layouts, and everything that is known about one, as plain values."""

from __future__ import annotations

from typing import Any

from stgcn_deploy.skeleton.bones import BONE_PARENTS
from stgcn_deploy.skeleton.layout import Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["SPELLINGS", "describe", "partners", "sides"]

_OPENPOSE = ("openpose18", "st-gcn")
_NTU = ("ntu25", "st-gcn")
_NTU_EDGE = ("ntu24", "st-gcn")
_NTU_HANDS = ("ntu25", "pyskl")
_COCO_PYSKL = ("coco17", "pyskl")
_COCO_RING = ("coco17", "mmskeleton")

# Codebase -> its word -> (layout, edge set).  One word need not be one graph: "coco" is two.
SPELLINGS: dict[str, dict[str, tuple[str, str]]] = {
    "st-gcn": {"openpose": _OPENPOSE, "ntu-rgb+d": _NTU, "ntu_edge": _NTU_EDGE},
    "mmskeleton": {
        "openpose": _OPENPOSE, "ntu-rgb+d": _NTU, "ntu_edge": _NTU_EDGE, "coco": _COCO_RING,
    },
    "2s-AGCN": {"kinetics": _OPENPOSE, "ntu_rgb_d": _NTU},
    "CTR-GCN": {"ntu_rgb_d": _NTU, "ucla": ("ucla20", "ctr-gcn")},
    "PYSKL": {
        "openpose": _OPENPOSE, "nturgb+d": _NTU_HANDS, "coco": _COCO_PYSKL,
        "handmp": ("handmp21", "pyskl"),
    },
    "MMAction2 1.x": {"openpose": _OPENPOSE, "nturgb+d": _NTU_HANDS, "coco": _COCO_PYSKL},
    "MMAction2 0.x": {
        "openpose-18": _OPENPOSE, "openpose-25": ("openpose25", "mmaction2-0.x"),
        "ntu-rgb+d": _NTU, "ntu_edge": _NTU_EDGE, "coco": _COCO_RING,
    },
    "PaddleVideo": {
        "ntu-rgb+d": _NTU, "fsd10": ("openpose25", "fsd10"), "coco_keypoint": ("coco17", "paddle"),
    },
    "TAO": {
        "nvidia": ("nvidia34", "tao"), "openpose": _OPENPOSE, "human3.6m": ("human36m17", "tao"),
        "ntu-rgb+d": _NTU, "ntu_edge": _NTU_EDGE, "coco": _COCO_RING,
    },
    "TSSTG": {"coco_cut": ("cococut14", "tsstg")},
    "Realtime-ST-GCN": {
        "pku-mmd": _NTU_HANDS, "ntu": _NTU_HANDS, "openpose": _OPENPOSE, "coco": _COCO_RING,
    },
    "continual-skeletons": {"kinetics": _OPENPOSE, "ntu_rgbd": _NTU},
    "stgcn-tensorrt-optimization": {"mediapipe": ("mediapipe33", "guide")},
}  # fmt: skip


def partners(layout: Layout) -> tuple[int | None, ...]:
    """For each joint the one that it becomes in a mirror, None for itself."""
    found: list[int | None] = [None] * layout.num_joints
    for left, right in layout.pairs:
        found[left], found[right] = right, left
    return tuple(found)


def sides(layout: Layout) -> tuple[str | None, ...]:
    """For each joint "left", "right" or None."""
    found: list[str | None] = [None] * layout.num_joints
    for left, right in layout.pairs:
        found[left], found[right] = "left", "right"
    return tuple(found)


def describe(layout: Layout) -> dict[str, Any]:
    """Names, mirrors, bone parents, edges, and who spells the layout how.

    A layout of the user's own has no aliases and no bone parents, even if it borrows a name of ours.
    """
    ours = layout.name in LAYOUTS.table and LAYOUTS[layout.name] == layout
    parents = BONE_PARENTS.get(layout.name) if ours else None
    partner, side = partners(layout), sides(layout)
    return {
        "name": layout.name,
        "num_joints": layout.num_joints,
        "dimensions": layout.dimensions,
        "aliases": [word for word, name in LAYOUTS.aliases.items() if ours and name == layout.name],
        "bone_pairs": parents is not None,
        "joints": [
            {
                "index": index,
                "name": name,
                "side": side[index],
                "partner": partner[index],
                "bone_parent": parents[index] if parents else None,
            }
            for index, name in enumerate(layout.joints)
        ],
        "edge_sets": [
            {
                "name": edge_set.name,
                "center": edge_set.center,
                "edges": [list(edge) for edge in edge_set.edges],
                "spellings": _spellings(layout.name, edge_set.name) if ours else {},
            }
            for edge_set in layout.edge_sets
        ],
    }


def _spellings(layout: str, edge_set: str) -> dict[str, list[str]]:
    """Word -> the codebases that say it and mean this edge set."""
    found: dict[str, list[str]] = {}
    for codebase, words in SPELLINGS.items():
        for word, meant in words.items():
            if meant == (layout, edge_set):
                found.setdefault(word, []).append(codebase)
    return found
