"""MediaPipe Pose: 33 BlazePose landmarks.

The edge set "guide" is the list with which the Jetson guides' checkpoints were trained.  It is not
MediaPipe's own drawing (it connects landmarks by index as if they were another skeleton, and leaves
31 and 32 alone), but a checkpoint works only with the graph it was trained with.  Pictures use
"blazepose", MediaPipe's own connections, plus links that join the face to the body.
"""

from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right

_JOINTS = (
    "nose",
    "left_eye_inner", "left_eye", "left_eye_outer",
    "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "left_mouth", "right_mouth",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip

LAYOUT = Layout(
    name="mediapipe33",
    joints=_JOINTS,
    edge_sets=(
        EdgeSet(
            "blazepose",
            (
                (1, 0), (2, 1), (3, 2), (7, 3), (4, 0), (5, 4), (6, 5), (8, 6), (10, 9), (9, 0),
                (11, 0), (12, 0), (12, 11), (13, 11), (15, 13), (17, 15), (19, 15), (21, 15),
                (19, 17), (14, 12), (16, 14), (18, 16), (20, 16), (22, 16), (20, 18), (23, 11),
                (24, 12), (24, 23), (25, 23), (26, 24), (27, 25), (28, 26), (29, 27), (30, 28),
                (31, 29), (32, 30), (31, 27), (32, 28),
            ),
            center=0,
        ),
        EdgeSet(
            "guide",
            (
                (0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (9, 10), (10, 11),
                (11, 12), (9, 13), (13, 14), (14, 15), (0, 9), (0, 17), (0, 18), (9, 16), (11, 23),
                (12, 24), (23, 25), (24, 26), (25, 27), (26, 28), (27, 29), (28, 30), (15, 19),
                (19, 21), (15, 17), (17, 19), (16, 20), (20, 22), (16, 18), (18, 20),
            ),
            center=0,
        ),
    ),
    pairs=left_right(_JOINTS),
)  # fmt: skip
