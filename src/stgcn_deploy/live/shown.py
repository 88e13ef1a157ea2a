"""How the people of a run are drawn: bones, sides, and which way is up."""

from __future__ import annotations

from dataclasses import dataclass

from stgcn_deploy.live.pose.base import Pose
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.scene import joint_side

__all__ = ["Shown"]


@dataclass(frozen=True)
class Shown:
    """A skeleton for pictures.

    Attributes:
        edges: bones as pairs of joints.
        sides: of each joint, see skeleton.scene.joint_side.
        upwards: whether y points up, as in metric layouts.
    """

    edges: tuple[tuple[int, int], ...]
    sides: tuple[int, ...]
    upwards: bool

    @classmethod
    def of(cls, manifest: Manifest, pose: Pose | None) -> Shown:
        """The pose estimator's joints where there is one, else those of the bundle."""
        name = manifest.layout.name if pose is None else pose.layout
        if name is not None and name in LAYOUTS:
            layout = LAYOUTS[name]
            edges, joints, space = layout.edges, layout.joints, layout.dimensions == 3
        else:
            edges, joints, space = manifest.layout.edges, manifest.layout.joints, False
        return cls(tuple(edges), tuple(map(joint_side, joints)), space)
