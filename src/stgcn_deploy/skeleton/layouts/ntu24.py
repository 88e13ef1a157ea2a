"""NTU edge: Kinect v2 without the spine shoulder; its centre is the neck's neighbour, joint 2."""

from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right, one_based

_JOINTS = (
    "spine_base", "spine_mid", "neck", "head",
    "left_shoulder", "left_elbow", "left_wrist", "left_hand",
    "right_shoulder", "right_elbow", "right_wrist", "right_hand",
    "left_hip", "left_knee", "left_ankle", "left_foot",
    "right_hip", "right_knee", "right_ankle", "right_foot",
    "left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb",
)  # fmt: skip

LAYOUT = Layout(
    name="ntu24",
    joints=_JOINTS,
    edge_sets=(
        EdgeSet(
            "st-gcn",
            one_based(
                (1, 2), (3, 2), (4, 3), (5, 2), (6, 5), (7, 6), (8, 7), (9, 2), (10, 9), (11, 10),
                (12, 11), (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18),
                (20, 19), (21, 22), (22, 8), (23, 24), (24, 12),
            ),
            center=2,
        ),
    ),
    pairs=left_right(_JOINTS),
    dimensions=3,
)  # fmt: skip
