"""OpenPose's BODY_25; the FSD-10 figure skating set uses the same joints with another graph."""

from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right

_JOINTS = (
    "nose", "neck",
    "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
    "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip

LAYOUT = Layout(
    name="openpose25",
    joints=_JOINTS,
    edge_sets=(
        EdgeSet(
            "mmaction2-0.x",
            (
                (4, 3), (3, 2), (7, 6), (6, 5), (23, 22), (22, 11), (24, 11), (11, 10), (10, 9),
                (9, 8), (20, 19), (19, 14), (21, 14), (14, 13), (13, 12), (12, 8), (8, 1), (5, 1),
                (2, 1), (0, 1), (15, 0), (16, 0), (17, 15), (18, 16),
            ),
            center=1,
        ),
        EdgeSet(
            "fsd10",
            (
                (1, 8), (0, 1), (15, 0), (17, 15), (16, 0), (18, 16), (5, 1), (6, 5), (7, 6),
                (2, 1), (3, 2), (4, 3), (9, 8), (10, 9), (11, 10), (24, 11), (22, 11), (23, 22),
                (12, 8), (13, 12), (14, 13), (21, 14), (19, 14), (20, 19),
            ),
            center=8,
        ),
    ),
    pairs=left_right(_JOINTS),
)  # fmt: skip
