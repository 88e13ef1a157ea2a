"""The table of layouts: one file each; add a file and a line to add a layout."""

from __future__ import annotations

from stgcn_deploy.registry import Registry
from stgcn_deploy.skeleton.layout import Layout

_HERE = "stgcn_deploy.skeleton.layouts"

LAYOUTS: Registry[Layout] = Registry(
    "layout",
    {
        "openpose18": f"{_HERE}.openpose18:LAYOUT",
        "ntu25": f"{_HERE}.ntu25:LAYOUT",
        "ntu24": f"{_HERE}.ntu24:LAYOUT",
        "coco17": f"{_HERE}.coco17:LAYOUT",
        "mediapipe33": f"{_HERE}.mediapipe33:LAYOUT",
        "handmp21": f"{_HERE}.handmp21:LAYOUT",
        "cococut14": f"{_HERE}.cococut14:LAYOUT",
        "nvidia34": f"{_HERE}.nvidia34:LAYOUT",
        "human36m17": f"{_HERE}.human36m17:LAYOUT",
        "openpose25": f"{_HERE}.openpose25:LAYOUT",
        "ucla20": f"{_HERE}.ucla20:LAYOUT",
        "jhmdb15": f"{_HERE}.jhmdb15:LAYOUT",
    },
    aliases={
        "openpose": "openpose18",
        "openpose-18": "openpose18",
        "kinetics": "openpose18",
        "ntu-rgb+d": "ntu25",
        "nturgb+d": "ntu25",
        "ntu_rgb_d": "ntu25",
        "ntu_rgbd": "ntu25",
        "ntu": "ntu25",
        "pku-mmd": "ntu25",
        "ntu_edge": "ntu24",
        "coco": "coco17",
        "coco_keypoint": "coco17",
        "mediapipe": "mediapipe33",
        "blazepose": "mediapipe33",
        "handmp": "handmp21",
        "hand": "handmp21",
        "coco_cut": "cococut14",
        "coco_cut14": "cococut14",
        "nvidia": "nvidia34",
        "human3.6m": "human36m17",
        "openpose-25": "openpose25",
        "body_25": "openpose25",
        "fsd10": "openpose25",
        "ucla": "ucla20",
        "nw-ucla": "ucla20",
        "jhmdb": "jhmdb15",
    },
)
