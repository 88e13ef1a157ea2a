"""Northwestern-UCLA: the 20 joints of Kinect v1.

Its graph has no centre of its own; the shoulders' middle is where all of its edges lead.
"""

from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right, one_based

_JOINTS = (
    "spine_base", "spine_mid", "spine_shoulder", "head",
    "left_shoulder", "left_elbow", "left_wrist", "left_hand",
    "right_shoulder", "right_elbow", "right_wrist", "right_hand",
    "left_hip", "left_knee", "left_ankle", "left_foot",
    "right_hip", "right_knee", "right_ankle", "right_foot",
)  # fmt: skip

LAYOUT = Layout(
    name="ucla20",
    joints=_JOINTS,
    edge_sets=(
        EdgeSet(
            "ctr-gcn",
            one_based(
                (1, 2), (2, 3), (4, 3), (5, 3), (6, 5), (7, 6), (8, 7), (9, 3), (10, 9), (11, 10),
                (12, 11), (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18),
                (20, 19),
            ),
            center=2,
        ),
    ),
    pairs=left_right(_JOINTS),
    dimensions=3,
)  # fmt: skip
