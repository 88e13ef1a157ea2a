"""YOLO-pose as Ultralytics exports it (v8, 11, 26), raw or end to end; see yolo_output.

More are the joints: x, y and a score each, or x, y alone.  The raw form needs NMS here.  Pixels: RGB,
0..1, the picture in the middle, grey 114 around it (Ultralytics' LetterBox).
"""

from __future__ import annotations

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.pose.joint_orders import USUAL as USUAL_LAYOUT
from stgcn_deploy.live.pose.onnx_model import OnnxModel
from stgcn_deploy.live.pose.whole_image import Finder, WholeImagePose, model_file
from stgcn_deploy.live.pose.yolo_output import (
    OVERLAP,
    PIXELS,
    USUAL,
    YoloNotes,
    end_to_end,
    raw,
)
from stgcn_deploy.live.settings import PoseSettings
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["make"]


def make(settings: PoseSettings) -> WholeImagePose:
    """The user's YOLO-pose.

    Raises:
        FileUnreadableError, BackendError: see OnnxModel.
        UsageError: no file is named, its output is not YOLO-pose's, or its joints not the layout's.
    """
    model = OnnxModel(model_file(settings), usual=USUAL)
    try:
        finder, layout = _finder(model, settings.layout)
    except BaseException:
        model.close()
        raise
    return WholeImagePose(settings, finder, layout)


def _finder(model: OnnxModel, layout: str | None) -> tuple[Finder, str]:
    notes = YoloNotes(model)
    notes.check_task(model, "pose")
    person, classes = notes.person(model), max(1, len(notes.classes))
    wanted = LAYOUTS[layout or USUAL_LAYOUT]
    if len(model.shapes) != 1 or len(model.shapes[0]) != 2:
        raise _refused(model, wanted.num_joints, classes)
    rows, columns = model.shapes[0]
    for joints, numbers in (
        [notes.joints] if notes.joints else [(wanted.num_joints, n) for n in (3, 2)]
    ):
        if joints != wanted.num_joints:
            raise UsageError(
                f"{model.path} gives {joints} joints, and layout {wanted.name} has {wanted.num_joints}; "
                "name the layout of your network: --pose-layout NAME (pose: layout: in YAML)."
            )
        if columns == 6 + joints * numbers:
            return Finder(model, PIXELS, end_to_end(person, joints)), wanted.name
        if rows == 4 + classes + joints * numbers and columns > rows:
            decode = raw(person, classes, joints)
            return Finder(model, PIXELS, decode, overlap=OVERLAP), wanted.name
    raise _refused(model, wanted.num_joints, classes)


def _refused(model: OnnxModel, joints: int, classes: int) -> UsageError:
    raw, end = 4 + classes + 3 * joints, 6 + 3 * joints
    return UsageError(
        f"{model.path} gives {model.described}; YOLO-pose of {joints} joints gives one output, "
        f"(N, {raw}, places) or, end to end, (N, n, {end}). Another number of joints needs --pose-layout "
        "NAME (pose: layout: in YAML); another network another --pose."
    )
