"""The tables of pose estimators and person detectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

from stgcn_deploy.live.pose.base import Pose
from stgcn_deploy.live.pose.detector import PersonDetector
from stgcn_deploy.live.settings import PoseSettings
from stgcn_deploy.registry import Registry

__all__ = ["DETECTORS", "FILES", "POSES", "open_detector", "open_pose"]

_HERE = "stgcn_deploy.live.pose"

POSES: Registry[Callable[[PoseSettings], Pose]] = Registry(
    "pose estimator",
    {
        "blazepose": f"{_HERE}.blazepose:make",
    },
)
DETECTORS: Registry[Callable[[PoseSettings], PersonDetector]] = Registry(
    "person detector",
    {
        "hog": f"{_HERE}.hog:make",
    },
)
# Ending of a user's file given as the detector -> which of DETECTORS reads it.
FILES: dict[str, str] = {}


def open_pose(settings: PoseSettings) -> Pose:
    """The estimator that is asked for.

    Raises:
        UnknownNameError: there is none of that name.
        MissingDependencyError: its library or its weights are not here.
    """
    return POSES[settings.name](settings)


def open_detector(settings: PoseSettings) -> PersonDetector | None:
    """The person detector that is asked for: a name of the table, or a file; None: none.

    Raises:
        UnknownNameError: there is none of that name.
        MissingDependencyError: its library is not here.
    """
    name = settings.detector
    if name is None:
        return None
    if name not in DETECTORS:
        name = FILES.get(PurePath(name).suffix.lower(), name)
    return DETECTORS[name](settings)
