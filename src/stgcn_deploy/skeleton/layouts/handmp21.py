"""MediaPipe Hands: 21 landmarks of one hand."""

from stgcn_deploy.skeleton.layout import EdgeSet, Layout

_FINGERS = ("thumb", "index", "middle", "ring", "pinky")

LAYOUT = Layout(
    name="handmp21",
    joints=("wrist", *(f"{finger}_{part}" for finger in _FINGERS for part in (1, 2, 3, 4))),
    edge_sets=(
        EdgeSet(
            "pyskl",
            tuple((joint, 0 if joint % 4 == 1 else joint - 1) for joint in range(1, 21)),
            center=0,
        ),
    ),
)
