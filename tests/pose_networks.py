"""Pose estimators on hand-made graphs, and frames with three coloured squares for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pose_graphs import colour_squares, rtmo, simcc, yolo_pose

from stgcn_deploy.live.frames import Box, Detection, Frame
from stgcn_deploy.live.pose import rtmo as rtmo_file
from stgcn_deploy.live.pose import rtmpose
from stgcn_deploy.live.pose import yolo_pose as yolo_file
from stgcn_deploy.live.pose.onnx_model import OnnxModel
from stgcn_deploy.live.settings import PoseSettings

__all__ = [
    "BLUE",
    "GREEN",
    "MARGIN",
    "MIDDLES",
    "ONE",
    "RED",
    "ToldDetector",
    "WHOLE",
    "expect_middles",
    "image_frame",
    "made_rtmo",
    "made_rtmpose",
    "made_yolo",
    "pose_settings",
    "squares",
]

RED, GREEN, BLUE = (30.0, 40.0), (90.0, 20.0), (64.0, 76.0)
MIDDLES = (RED, GREEN, BLUE)
MARGIN = 114 / 255


def image_frame(image: Any, camera: str = "a", t: float = 0.0, epoch: int = 0) -> Frame:
    return Frame(camera, t, t, image=image, epoch=epoch)


def pose_settings(name: str, model: Path | None = None, **fields: Any) -> PoseSettings:
    return PoseSettings(name=name, model=None if model is None else str(model), **fields)


def squares(size: tuple[int, int] = (128, 96)) -> np.ndarray:
    return colour_squares(size, MIDDLES)


def expect_middles(found: Detection, middles: Sequence[tuple[float, float]], score: float) -> None:
    """Joint j in the middle of colour j % 3, to a pixel; all with this score."""
    joints = found.keypoints
    assert joints.dtype == np.float32
    wanted = np.array([middles[j % 3] for j in range(len(joints))])
    assert np.abs(joints[:, :2] - wanted).max() < 1.0
    np.testing.assert_allclose(joints[:, 2], score, atol=2e-3)


def made_rtmo(
    path: Path, boxes: Sequence[Sequence[float]], settings: Any = None, **how: Any
) -> Any:
    return rtmo_file.make(
        pose_settings("rtmo", rtmo(path / "rtmo.onnx", boxes, **how), **(settings or {}))
    )


def made_yolo(path: Path, people: Any, settings: Any = None, **how: Any) -> Any:
    file = yolo_pose(path / "yolo.onnx", people, **how)
    return yolo_file.make(pose_settings("yolo-pose", file, **(settings or {})))


ONE = [([32, 28, 32, 32], 0.9)]


class ToldDetector:
    """Gives what it is told to, and counts."""

    name = "told"

    def __init__(self, *boxes: Box) -> None:
        self.boxes = boxes
        self.calls = 0
        self.closed = False

    def detect(self, image: np.ndarray) -> list[tuple[Box, float]]:
        self.calls += 1
        return [(box, 0.9) for box in self.boxes]

    def close(self) -> None:
        self.closed = True


WHOLE = (20.0, 10.0, 80.0, 76.0)


def made_rtmpose(path: Path, detector: Any, settings: Any = None, **how: Any) -> rtmpose.RtmPose:
    file = simcc(path / "rtmpose.onnx", **how)
    chosen = pose_settings("rtmpose", file, **({"detector_every": 1} | (settings or {})))
    return rtmpose.RtmPose(chosen, OnnxModel(file, usual=rtmpose.USUAL), detector)
