"""COCO's 17 body key points, with the edge sets of the codebases that draw them differently."""

from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right, one_based

_JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

LAYOUT = Layout(
    name="coco17",
    joints=_JOINTS,
    edge_sets=(
        EdgeSet(
            "pyskl",
            (
                (15, 13), (13, 11), (16, 14), (14, 12), (11, 5), (12, 6), (9, 7), (7, 5), (10, 8),
                (8, 6), (5, 0), (6, 0), (1, 0), (3, 1), (2, 0), (4, 2),
            ),
            center=0,
        ),
        EdgeSet(
            "mmskeleton",
            one_based(
                (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (8, 6),
                (9, 7), (10, 8), (11, 9), (2, 3), (2, 1), (3, 1), (4, 2), (5, 3), (4, 6), (5, 7),
            ),
            center=0,
        ),
        EdgeSet(
            "paddle",
            (
                (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7), (6, 8), (7, 9), (8, 10),
                (5, 11), (6, 12), (11, 13), (12, 14), (13, 15), (14, 16), (11, 12),
            ),
            center=11,
        ),
    ),
    pairs=left_right(_JOINTS),
)  # fmt: skip
