"""What each camera's joints are, and how they become the bundle's: settled when a source says so."""

from __future__ import annotations

from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import ClipError
from stgcn_deploy.live.joints import JointMap, recording_of
from stgcn_deploy.live.pose.base import Pose
from stgcn_deploy.live.sources.base import Source
from stgcn_deploy.live.windows import Window
from stgcn_deploy.manifest import Manifest

__all__ = ["Introductions"]

# What every pose estimator gives of a joint.
POSE_CHANNELS = "xys"


class Introductions:
    """A JointMap for each camera.

    Entries are made by the camera's capture thread before its first frame, and read by others after it.

    Args:
        pose: what finds people in images; None where all sources give key points.
        near: take stand-ins for joints that a source has not.

    Raises:
        UsageError: the pose estimator's joints cannot become the bundle's.
    """

    def __init__(self, manifest: Manifest, pose: Pose | None, *, near: bool = False) -> None:
        self._manifest = manifest
        self._near = near
        self._of_pose = None if pose is None else self._between(pose.layout, POSE_CHANNELS)
        self._maps: dict[str, JointMap] = {}

    def _between(self, layout: str | None, channels: str, *, raw: bool = True) -> JointMap:
        return JointMap.between(layout, channels, self._manifest, raw=raw, near=self._near)

    def introduce(self, camera: str, source: Source) -> None:
        """Settle how an opened source serves the bundle.

        Raises:
            UsageError: it cannot: joints are missing, or it has images and nobody finds people in them.
        """
        if source.channels is not None:
            self._maps[camera] = self._between(source.layout, source.channels, raw=source.raw)
        elif self._of_pose is not None:
            self._maps[camera] = self._of_pose
        else:
            raise ClipError(
                f"{source.name} gives images, and no pose estimator finds people in them."
            )

    def recording(self, window: Window) -> Recording:
        """A window as Model.prepare takes it.

        Raises:
            ClipError: its joints are not those that its source had announced.
        """
        joints = self._maps[window.camera]
        joints.check_size(window.size)
        return recording_of(window, joints)
