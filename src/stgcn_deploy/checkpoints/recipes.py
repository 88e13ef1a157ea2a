"""The steps from a recording to a clip that several codebases share (facts of their data pipelines).

All give an empty tuple where the codebase's data for such a skeleton are not known: then a bundle
takes clips as its network sees them, and refuses raw ones.
"""

from __future__ import annotations

from stgcn_deploy.checkpoints.base import Setting
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.skeleton.bones import BONE_PARENTS
from stgcn_deploy.skeleton.contract import Step
from stgcn_deploy.skeleton.transforms.features import FEATURES

__all__ = [
    "adaptive",
    "cropped",
    "fractions",
    "looped",
    "released",
    "sampled",
]

Steps = tuple[Step, ...]
# Layouts whose third channel is a score that bones and motion average (PYSKL and MMAction2).
BONE_SCORED = ("openpose18", "coco17", "handmp21")
MOTION_SCORED = ("openpose18", "coco17")
IN_IMAGES = ("openpose18", "coco17")
TEST_CLIPS = 10
# Joints up to this score are hidden.
HIDDEN = {"pyskl": 0.01, "mmaction2": None}
HAND, HAND_2D = "handmp21", {"mode": "span", "threshold": 0.0}
UCLA_JOINTS = 20
# MMAction2 0.x normalises with the numbers of a 1920x1080 image, whatever the image.
HD_MEAN, HD_SPAN = (960.0, 540.0, 0.5), (1920.0, 1080.0, 1.0)


def _score(spec: NetworkSpec) -> Steps:
    """Two coordinates; a third channel is the score."""
    return (Step("merge_score"),) if spec.in_channels == 3 else ()


def _streamed(setting: Setting, *, averaged: bool = False) -> Steps | None:
    """The stream that the network was trained on; None where it cannot be made of this skeleton.

    Args:
        averaged: scores are averaged (PYSKL, MMAction2), not differenced (2s-AGCN, CTR-GCN).
    """
    name = setting.stream
    layout = setting.layout.name if setting.layout else ""
    if name == "joint":
        return ()
    if name not in FEATURES or (FEATURES[name][0] and layout not in BONE_PARENTS):
        return None
    params: dict[str, object] = {"name": name, "layout": layout}
    if averaged:
        params["bone_score"] = layout in BONE_SCORED
        params["motion_score"] = layout in MOTION_SCORED
    return (Step("stream", params),)


def sampled(
    codebase: str, spec: NetworkSpec, setting: Setting, *, align_spine: bool = True
) -> Steps:
    """PYSKL and MMAction2 1.x: normalised, then ten clips of frames spread over the recording.

    Args:
        codebase: its name in the table; PYSKL's start with "pyskl".
        align_spine: whether skeletons in space are rotated.
    """
    draw = "pyskl" if codebase.startswith("pyskl") else "mmaction2"
    layout, chosen = setting.layout, _streamed(setting, averaged=True)
    if layout is None or chosen is None:
        return ()
    hand = layout.name == HAND
    if layout.dimensions == 3:
        start: Steps = (
            Step("coordinates", {"dimensions": 3}),
            Step("prenormalize_3d", {"align_spine": align_spine}),
        )
    else:
        mode = HAND_2D if hand and draw == "pyskl" else {"mode": "image", "threshold": HIDDEN[draw]}
        start = (
            Step("coordinates", {"dimensions": 2}),
            Step("prenormalize_2d", mode),
            *_score(spec),
        )
    clips = 1 if hand else TEST_CLIPS
    return (
        *start,
        *chosen,
        Step("sample", {"frames": setting.frames, "clips": clips, "draw": draw}),
        Step("persons", {"count": setting.persons}),
    )


def _end(setting: Setting) -> Steps:
    """Empty frames and persons; motion sees the frame after the last one as empty."""
    chosen = _streamed(setting)
    if chosen is None:
        return ()
    pad = Step("pad_frames", {"frames": setting.frames})
    return (pad, *chosen, Step("persons", {"count": setting.persons}))


def released(spec: NetworkSpec, setting: Setting, *, flip_y: bool = False) -> Steps:
    """st-gcn's released data: Kinetics-skeleton, NTU as the camera saw it.

    Args:
        flip_y: y upwards, as 2s-AGCN wrote its Kinetics data.
    """
    layout, end = setting.layout, _end(setting)
    if layout is None or not end:
        return ()
    if layout.dimensions == 3:
        return _camera(setting)
    if layout.name not in IN_IMAGES:
        return fractions(spec, setting)
    return (
        Step("coordinates", {"dimensions": 2}),
        Step("image_fractions", {"offset": 0.5, "flip_y": flip_y}),
        Step("drop_unsure", {"threshold": 0.0}),
        Step("best_persons", {"keep": setting.persons, "candidates": max(5, setting.persons)}),
        *_score(spec),
        *end,
    )


def _camera(setting: Setting) -> Steps:
    """Metres as the camera saw them, the first bodies, empty frames at the end."""
    end = _end(setting)
    return (Step("coordinates", {"dimensions": 3}), *end) if end else ()


def fractions(spec: NetworkSpec, setting: Setting) -> Steps:
    """The two-stream guides: MediaPipe's 0..1 as it is, image points around the middle.

    Their windows are cut by the caller, so frames stay as they are.
    """
    layout, chosen = setting.layout, _streamed(setting)
    if layout is None or chosen is None or layout.name not in (*IN_IMAGES, "mediapipe33"):
        return ()
    offset = 0.5 if layout.name in IN_IMAGES else 0.0
    return (
        Step("coordinates", {"dimensions": 2}),
        Step("image_fractions", {"offset": offset}),
        *_score(spec),
        *chosen,
    )


def adaptive(spec: NetworkSpec, setting: Setting) -> Steps:
    """2s-AGCN: NTU filled, centred and rotated; Kinetics with y upwards."""
    layout, end = setting.layout, _end(setting)
    if layout is None or not end:
        return ()
    if layout.name == "openpose18":
        return released(spec, setting, flip_y=True)
    if layout.name != "ntu25":
        return ()
    pad, *rest = end
    return (
        Step("coordinates", {"dimensions": 3}),
        Step("liveliest_persons", {"keep": setting.persons}),
        pad,
        Step("agcn_prenormalize"),
        *rest,
    )


def looped(spec: NetworkSpec, setting: Setting) -> Steps:
    """MMAction2 0.x: image points scaled as if the image were 1920x1080, NTU as 2s-AGCN; repeated."""
    layout, chosen = setting.layout, _streamed(setting)
    if layout is None or chosen is None:
        return ()
    frames = {"frames": setting.frames}
    end = (Step("loop_frames", frames), *chosen, Step("persons", {"count": setting.persons}))
    if layout.dimensions == 3:
        if layout.name != "ntu25":
            return ()
        return (
            Step("coordinates", {"dimensions": 3}),
            Step("liveliest_persons", {"keep": setting.persons}),
            Step("crop_frames", frames),
            Step("agcn_prenormalize"),
            *end,
        )
    scale = {"mean": list(HD_MEAN[: spec.in_channels]), "span": list(HD_SPAN[: spec.in_channels])}
    return (
        Step("coordinates", {"dimensions": 2}),
        *_score(spec),
        Step("normalize_range", scale),
        *end,
    )


def cropped(spec: NetworkSpec, setting: Setting) -> Steps:
    """CTR-GCN's NTU: seen from where the first person starts, the middle resized.  Or NW-UCLA."""
    if spec.num_joints == UCLA_JOINTS:
        return _cubed(setting)
    layout, chosen = setting.layout, _streamed(setting)
    if layout is None or chosen is None or layout.name != "ntu25":
        return ()
    count = Step("persons", {"count": setting.persons})
    return (
        Step("coordinates", {"dimensions": 3}),
        count,
        Step("from_first_valid", {"joint": 1}),
        Step("valid_crop_resize", {"frames": setting.frames, "share": 0.95}),
        *chosen,
    )


def _cubed(setting: Setting) -> Steps:
    """CTR-GCN's NW-UCLA: each axis to -1..1, frames spread; its bones are not known here."""
    if setting.stream != "joint":
        return ()
    return (
        Step("coordinates", {"dimensions": 3}),
        Step("cube"),
        Step("spread_frames", {"frames": setting.frames}),
        Step("persons", {"count": setting.persons}),
    )
