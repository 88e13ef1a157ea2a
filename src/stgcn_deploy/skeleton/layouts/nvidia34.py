"""NVIDIA TAO's 34 body key points (Maxine / DeepStream BodyPose3D); its centre is the pelvis.

TAO itself has indices only; the names are those of the BodyPose3D key points and agree with its edges.
"""

from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right

_JOINTS = (
    "pelvis", "left_hip", "right_hip", "torso", "left_knee", "right_knee", "neck",
    "left_ankle", "right_ankle", "left_big_toe", "right_big_toe",
    "left_small_toe", "right_small_toe", "left_heel", "right_heel",
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_pinky_knuckle", "right_pinky_knuckle", "left_middle_tip", "right_middle_tip",
    "left_index_knuckle", "right_index_knuckle", "left_thumb_tip", "right_thumb_tip",
)  # fmt: skip

LAYOUT = Layout(
    name="nvidia34",
    joints=_JOINTS,
    edge_sets=(
        EdgeSet(
            "tao",
            (
                (0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (3, 6), (4, 7), (5, 8), (7, 9), (8, 10),
                (9, 11), (10, 12), (7, 13), (8, 14), (6, 15), (15, 16), (15, 17), (16, 18),
                (17, 19), (1, 20), (2, 21), (6, 20), (6, 21), (20, 22), (21, 23), (22, 24),
                (23, 25), (24, 26), (25, 27), (24, 28), (25, 29), (24, 30), (25, 31), (24, 32),
                (25, 33),
            ),
            center=0,
        ),
    ),
    pairs=left_right(_JOINTS),
    dimensions=3,
)  # fmt: skip
