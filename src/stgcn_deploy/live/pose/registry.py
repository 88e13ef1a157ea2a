"""The tables of pose estimators and of person detectors; a factory takes PoseSettings."""

from __future__ import annotations

from collections.abc import Callable

from stgcn_deploy.live.pose.base import Pose
from stgcn_deploy.live.pose.detector import PersonDetector
from stgcn_deploy.live.settings import PoseSettings
from stgcn_deploy.registry import Registry

__all__ = ["DETECTORS", "POSES", "open_pose"]

_HERE = "stgcn_deploy.live.pose"

POSES: Registry[Callable[[PoseSettings], Pose]] = Registry(
    "pose estimator",
    {
        "blazepose": f"{_HERE}.blazepose:make",
        "rtmo": f"{_HERE}.rtmo:make",
        "rtmpose": f"{_HERE}.rtmpose:make",
        "yolo-pose": f"{_HERE}.yolo_pose:make",
    },
)
# A user's file is no name of this table: detectors.open_detector opens it.
DETECTORS: Registry[Callable[[PoseSettings], PersonDetector]] = Registry(
    "person detector", {"hog": f"{_HERE}.hog:make"}
)


def open_pose(settings: PoseSettings) -> Pose:
    """The estimator that is asked for.

    Raises:
        UnknownNameError: there is none of that name.
        MissingDependencyError: its library or its weights are not here.
    """
    return POSES[settings.name](settings)
