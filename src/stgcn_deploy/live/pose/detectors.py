"""The person detector that settings name: one of the table, or a file of the user's."""

from __future__ import annotations

from pathlib import Path

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.pose.detector import PersonDetector
from stgcn_deploy.live.pose.registry import DETECTORS
from stgcn_deploy.live.settings import PoseSettings

__all__ = ["open_detector"]


def open_detector(settings: PoseSettings) -> PersonDetector:
    """What `settings.detector` names.

    Raises:
        UsageError: nothing, or a name that no table has and that is no file.
        FileUnreadableError, BackendError: see OnnxModel.
    """
    name = settings.detector
    known = ", ".join(DETECTORS)
    if not name:
        raise UsageError(
            f"{settings.name} looks at one person at a time and needs to be told where people are: "
            f"--pose-detector NAME or FILE.onnx (pose: detector: in YAML). Names: {known or 'none'}."
        )
    if name in DETECTORS:
        return DETECTORS[name](settings)
    if Path(name).suffix != ".onnx" and not Path(name).exists():
        return DETECTORS[name](settings)  # refuses, with the nearest name
    from stgcn_deploy.live.pose.yolo_detector import make

    return make(settings)
