"""Human3.6M's 17 joints in the usual order of 3-D pose estimators; its centre is the thorax."""

from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right

_JOINTS = (
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "spine", "thorax", "neck", "head",
    "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip

LAYOUT = Layout(
    name="human36m17",
    joints=_JOINTS,
    edge_sets=(
        EdgeSet(
            "tao",
            (
                (9, 10), (8, 9), (7, 8), (1, 7), (4, 7), (0, 1), (0, 4), (9, 11), (9, 14),
                (11, 12), (14, 15), (12, 13), (15, 16), (1, 2), (2, 3), (4, 5), (5, 6),
            ),
            center=8,
        ),
    ),
    pairs=left_right(_JOINTS),
    dimensions=3,
)  # fmt: skip
