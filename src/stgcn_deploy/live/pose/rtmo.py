"""RTMO as MMDeploy exports it (pose-detection_rtmo_onnxruntime): boxes and joints, NMS in the graph.

dets (N, n, 5): x1, y1, x2, y2, score; keypoints (N, n, V, 3): x, y, score; rows without anybody are zero.
Both in pixels of the network's image: BGR, 0..255, the picture in its middle, grey 114 around it, as
MMPose's BottomupResize and PoseDataPreprocessor do for projects/rtmo.
"""

from __future__ import annotations

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.pose.found import Found
from stgcn_deploy.live.pose.joint_orders import pick_joints
from stgcn_deploy.live.pose.onnx_model import OnnxModel, Outputs
from stgcn_deploy.live.pose.pixels import Pixels
from stgcn_deploy.live.pose.whole_image import Finder, WholeImagePose, model_file
from stgcn_deploy.live.settings import PoseSettings

__all__ = ["make"]

USUAL = (640, 640)


def make(settings: PoseSettings) -> WholeImagePose:
    """The user's RTMO.

    Raises:
        FileUnreadableError, BackendError: see OnnxModel.
        UsageError: no file is named, its outputs are not RTMO's, or its joints not the layout's.
    """
    model = OnnxModel(model_file(settings), usual=USUAL)
    try:
        boxes, joints = _outputs(model)
        name, order = pick_joints(str(model.path), model.shapes[joints][1], settings.layout)
    except BaseException:
        model.close()
        raise

    def decode(outputs: Outputs, least: float) -> Found:
        rows = outputs[boxes]
        keep = ~(rows[:, 4] < least)
        return Found(rows[keep, :4], rows[keep, 4], outputs[joints][keep])

    return WholeImagePose(settings, Finder(model, Pixels(bgr=True), decode), name, order)


def _outputs(model: OnnxModel) -> tuple[int, int]:
    """Which output is the boxes, and which the joints."""
    boxes = [i for i, shape in enumerate(model.shapes) if len(shape) == 2 and shape[1] == 5]
    joints = [i for i, shape in enumerate(model.shapes) if len(shape) == 3 and shape[2] == 3]
    if len(model.shapes) != 2 or len(boxes) != 1 or len(joints) != 1:
        raise UsageError(
            f"{model.path} gives {model.described}; RTMO gives dets (N, n, 5) and keypoints (N, n, V, 3). "
            "Export it with MMDeploy's pose-detection_rtmo_onnxruntime_dynamic.py, or choose another "
            "--pose for this network."
        )
    return boxes[0], joints[0]
