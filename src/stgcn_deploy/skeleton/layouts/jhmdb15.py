"""JHMDB: the 15 joints of its annotated puppets.

No codebase of the family defines a graph for it; these edges follow the body, from the belly outwards.
"""

from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right

_JOINTS = (
    "neck", "belly", "head",
    "right_shoulder", "left_shoulder", "right_hip", "left_hip", "right_elbow", "left_elbow",
    "right_knee", "left_knee", "right_wrist", "left_wrist", "right_ankle", "left_ankle",
)  # fmt: skip

LAYOUT = Layout(
    name="jhmdb15",
    joints=_JOINTS,
    edge_sets=(
        EdgeSet(
            "body",
            (
                (13, 9), (9, 5), (5, 1), (6, 1), (10, 6), (14, 10), (1, 0), (2, 0), (3, 0),
                (7, 3), (11, 7), (4, 0), (8, 4), (12, 8),
            ),
            center=1,
        ),
    ),
    pairs=left_right(_JOINTS),
)  # fmt: skip
