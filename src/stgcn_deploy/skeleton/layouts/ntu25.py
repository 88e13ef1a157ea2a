"""NTU RGB+D: the 25 joints of Kinect v2.

The codebases agree on the joints and disagree on the hands: st-gcn chains tip - thumb - hand tip,
pyskl hangs tip and thumb both on the hand.
"""

from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right, one_based

_JOINTS = (
    "spine_base", "spine_mid", "neck", "head",
    "left_shoulder", "left_elbow", "left_wrist", "left_hand",
    "right_shoulder", "right_elbow", "right_wrist", "right_hand",
    "left_hip", "left_knee", "left_ankle", "left_foot",
    "right_hip", "right_knee", "right_ankle", "right_foot",
    "spine_shoulder", "left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb",
)  # fmt: skip
_BODY = (
    (1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10),
    (12, 11), (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19),
)  # fmt: skip

LAYOUT = Layout(
    name="ntu25",
    joints=_JOINTS,
    edge_sets=(
        EdgeSet("st-gcn", one_based(*_BODY, (22, 23), (23, 8), (24, 25), (25, 12)), center=20),
        EdgeSet("pyskl", one_based(*_BODY, (22, 8), (23, 8), (24, 12), (25, 12)), center=20),
    ),
    pairs=left_right(_JOINTS),
    dimensions=3,
)
