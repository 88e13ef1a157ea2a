"""Bone streams: which joint each joint is seen from.

    bone[v] = joint[v] - joint[parent[v]]

The pairs are those that the codebases trained their bone streams with.  They are not the edges of the
graph: PYSKL's NTU graph hangs the finger tips on the hand, its bone pairs chain them as st-gcn does.
Sources: PYSKL and MMAction2 (JointToBone), 2s-AGCN (gen_bone_data), CTR-GCN (feeder_ucla).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError

__all__ = ["BONE_PARENTS", "bone_matrix", "bone_parents"]

BONE_PARENTS: dict[str, tuple[int, ...]] = {
    "ntu25": (
        1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11,
    ),
    "openpose18": (0, 0, 1, 2, 3, 1, 5, 6, 2, 8, 9, 5, 11, 12, 0, 0, 14, 15),
    "coco17": (0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 0, 0, 11, 12, 13, 14),
    "handmp21": (0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19),
    "ucla20": (1, 2, 2, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18),
    # Of no codebase: the body from the belly outwards, as training/ has it.
    "jhmdb15": (1, 1, 0, 0, 0, 1, 1, 3, 4, 5, 6, 7, 8, 9, 10),
}  # fmt: skip


def bone_parents(layout: str) -> tuple[int, ...]:
    """For each joint of a layout, the joint it is seen from; the root is seen from itself.

    Raises:
        UsageError: no codebase trains a bone stream on this layout.
    """
    if layout not in BONE_PARENTS:
        raise UsageError(
            f"no bone pairs are known for layout {layout!r}; there are some for "
            f"{', '.join(BONE_PARENTS)}."
        )
    return BONE_PARENTS[layout]


def bone_matrix(layout: str) -> NDArray[np.float64]:
    """B (V, V) with bones = joints @ B, joints (.., V); column w holds +1 at w and -1 at its parent.

    Raises:
        UsageError: see bone_parents.
    """
    parents = bone_parents(layout)
    matrix = np.eye(len(parents))
    for joint, parent in enumerate(parents):
        matrix[parent, joint] -= 1
    return matrix
