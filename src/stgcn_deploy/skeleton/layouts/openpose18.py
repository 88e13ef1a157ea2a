"""OpenPose's 18 COCO joints, the order of Kinetics-skeleton."""

from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right

_JOINTS = (
    "nose", "neck",
    "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip

LAYOUT = Layout(
    name="openpose18",
    joints=_JOINTS,
    edge_sets=(
        EdgeSet(
            "st-gcn",
            (
                (4, 3), (3, 2), (7, 6), (6, 5), (13, 12), (12, 11), (10, 9), (9, 8), (11, 5),
                (8, 2), (5, 1), (2, 1), (0, 1), (15, 0), (14, 0), (17, 15), (16, 14),
            ),
            center=1,
        ),
    ),
    pairs=left_right(_JOINTS),
)  # fmt: skip
