"""TSSTG's 14 joints: COCO's body without eyes and ears, and the middle of the shoulders appended.

Joint 13 is no key point of a pose estimator: it is (joint 1 + joint 2) / 2, score included.
"""

from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right

_JOINTS = (
    "nose",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "mid_shoulder",
)  # fmt: skip

LAYOUT = Layout(
    name="cococut14",
    joints=_JOINTS,
    edge_sets=(
        EdgeSet(
            "tsstg",
            (
                (6, 4), (4, 2), (2, 13), (13, 1), (5, 3), (3, 1), (12, 10), (10, 8), (8, 2),
                (11, 9), (9, 7), (7, 1), (13, 0),
            ),
            center=13,
        ),
    ),
    pairs=left_right(_JOINTS),
)  # fmt: skip
