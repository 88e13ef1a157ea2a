"""From what a source gives to what a bundle wants: joints renamed, channels made or left out.

Numbers are not prepared here: a raw window goes through the bundle's own steps, in `Model.prepare`, as a
recording does in `stgcn eval`.  What cannot fit is refused before the first frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import ClipError, UsageError
from stgcn_deploy.live.windows import Window
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.skeleton.contract import raw_joints
from stgcn_deploy.skeleton.layout import EdgeSet, Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.remap import correspondence, remap

__all__ = ["JointMap", "recording_of"]

Clip = NDArray[np.float32]
CHANNELS = ("xy", "xys", "xyz", "xyzs")
# Steps that cannot do without the size of the image.
SIZED = "prenormalize_2d"


@dataclass(frozen=True)
class JointMap:
    """How windows of a source become recordings of a bundle.

    Attributes:
        channels: of the source, one of CHANNELS.
        joints: V that the source may have.
        source, target: layouts to rename between; None where joints stay as they are.
        layout: of the recordings, where it has a name that is known everywhere.
        raw: whether the bundle's steps are still to be taken.
        keep: which of the source's channels go on.
        add_score: put a score behind them: 1 where a joint is seen.
        near: take stand-ins for joints that the source has not.
        needs_size: whether windows must say the size of their image.
        notes: for people, what is made of what; empty where joints and channels stay as they are.
    """

    channels: str
    joints: tuple[int, ...]
    source: Layout | None
    target: Layout | None
    layout: str | None
    raw: bool
    keep: tuple[int, ...]
    add_score: bool
    near: bool
    needs_size: bool
    notes: tuple[str, ...]

    @classmethod
    def between(
        cls,
        layout: str | None,
        channels: str,
        manifest: Manifest,
        *,
        raw: bool = True,
        near: bool = False,
    ) -> JointMap:
        """Decide, once, how a source serves a bundle.

        Args:
            layout: of the source's joints; None where it does not say.
            channels: one of CHANNELS.
            raw: whether the source's numbers are a pose estimator's, not what a network sees.
            near: take stand-ins for joints that the source has not (the nose for the head).

        Raises:
            UsageError: it cannot; says which joints or channels are missing, and what could be done.
            UnknownNameError: the source's layout is none of ours.
        """
        if channels not in CHANNELS:
            raise UsageError(f"channels {channels!r} of key points; known: {', '.join(CHANNELS)}.")
        have = None if layout is None else LAYOUTS[layout]
        if not raw:
            return _prepared(have, channels, manifest)
        keep, add_score = _channels(have, channels, manifest)
        want = _target(manifest)
        joints = raw_joints(manifest.steps, manifest.clip.joints)
        notes = []
        if have is not None and want is not None:
            if have.joints == want.joints:
                have = want = None
            else:
                joints = (have.num_joints,)
                notes = _renaming(have, want, near)
        elif have is not None:
            raise UsageError(
                f"the source's joints are {have.name}, and the bundle's are of no layout that has a name: "
                "whether they are the same cannot be known. Export it again with --layout NAME or a "
                "layout file."
            )
        else:
            want = None
        if add_score:
            notes.append("score: 1 where a joint is seen, for the source has none")
        if len(keep) < len(channels):
            notes.append("z: left out, for the network takes image points")
        name = manifest.layout.name
        return cls(
            channels=channels,
            joints=joints,
            source=have,
            target=want,
            layout=name if name in LAYOUTS else None,
            raw=True,
            keep=keep,
            add_score=add_score,
            near=near,
            needs_size=_needs_size(manifest),
            notes=tuple(notes),
        )

    def check_size(self, size: tuple[int, int] | None) -> None:
        """Say before the first window that the steps need an image size and the source has none.

        Raises:
            UsageError: so it is.
        """
        if self.needs_size and size is None:
            raise UsageError(
                "the bundle's network takes points relative to the size of the image, and the source does "
                'not say it; give "image_size": [width, height] in the header of the key points.'
            )

    def apply(self, clip: Clip) -> Clip:
        """A clip (M, T, V, C) of the source as (M, T, V', C') for the bundle's steps.

        Raises:
            ClipError: it is not of this source.
        """
        if (
            clip.ndim != 4
            or clip.shape[2] not in self.joints
            or clip.shape[3] != len(self.channels)
        ):
            raise ClipError(
                f"a window of shape {clip.shape}, expected (M, T, V, {len(self.channels)}) with V = "
                f"{' or '.join(map(str, self.joints))}: the source does not give the joints that the "
                "bundle was exported for."
            )
        if len(self.keep) < clip.shape[3]:
            clip = clip[..., list(self.keep)]
        if self.add_score:
            seen = (clip != 0).any(axis=-1, keepdims=True).astype(clip.dtype)
            clip = np.concatenate([clip, seen], axis=-1)
        if self.source is not None and self.target is not None:
            clip = remap(clip, self.source, self.target, near=self.near)
        return clip


def recording_of(window: Window, joints: JointMap) -> Recording:
    """A window as `Model.prepare` takes it.

    Raises:
        ClipError: see JointMap.apply.
    """
    clip = joints.apply(window.clip)
    if not joints.raw:
        return Recording(clip, joints.layout)
    return Recording(clip, joints.layout, window.size, raw=True)


# ---- raw numbers -----------------------------------------------------------------------------


def _channels(
    have: Layout | None, channels: str, manifest: Manifest
) -> tuple[tuple[int, ...], bool]:
    """Which channels go on, and whether a score is to be made."""
    if not manifest.steps:
        raise UsageError(
            f"bundle {manifest.name!r} does not hold the steps that turn key points into its network's "
            f"input; in words they are: {manifest.contract.preprocessing}. Export it again with the "
            "steps: stgcn export CHECKPOINT --contract FILE. A source of prepared numbers says so: "
            '"raw": false in the header of its key points.'
        )
    names = [step.name for step in manifest.steps]
    wanted = [step.params["dimensions"] for step in manifest.steps if step.name == "coordinates"]
    if not wanted:
        if len(channels) != manifest.clip.channels:
            raise UsageError(
                f"the source gives {', '.join(channels)}, and the bundle takes {manifest.clip.channels} "
                f"channels as they are: {manifest.contract.preprocessing}."
            )
        return tuple(range(len(channels))), False
    dimensions, given = int(wanted[0]), 3 if "z" in channels else 2
    flat = have is None or have.dimensions == 2
    if dimensions > given or (dimensions < given and not flat):
        kinds = {2: "image points (x, y)", 3: "points in space (x, y, z)"}
        raise UsageError(
            f"the source gives {', '.join(channels)}, {kinds[given]}, and the bundle's network was trained "
            f"on {kinds[dimensions]}: {manifest.contract.preprocessing}. Use a source of such points, or "
            "a bundle for these."
        )
    keep = [*range(dimensions), *([len(channels) - 1] if channels.endswith("s") else [])]
    return tuple(keep), "merge_score" in names and not channels.endswith("s")


def _target(manifest: Manifest) -> Layout | None:
    """The bundle's layout; of a file of the user's, made of what the manifest says."""
    record = manifest.layout
    if record.name is None:
        return None
    if record.name in LAYOUTS and LAYOUTS[record.name].joints == record.joints:
        return LAYOUTS[record.name]
    spatial = any(
        step.name == "coordinates" and step.params["dimensions"] == 3 for step in manifest.steps
    )
    edges = EdgeSet("bundle", record.edges, 0)
    return Layout(record.name, record.joints, (edges,), dimensions=3 if spatial else 2)


def _renaming(have: Layout, want: Layout, near: bool) -> list[str]:
    """What is made of what, if all of it can be."""
    if have.dimensions != want.dimensions:
        raise UsageError(
            f"the source's joints are {have.name}, the bundle's {want.name}: one in images, the other in "
            "space; renaming joints cannot turn one into the other."
        )
    found = correspondence(have, want)
    taken = ("same", "derived", "near") if near else ("same", "derived")
    absent = [origin for origin in found.origins if origin.kind not in taken]
    if absent:
        text = (
            f"the bundle's layout {want.name} has {len(absent)} joint(s) that cannot be had from the "
            f"source's {have.name}: {', '.join(origin.joint for origin in absent)}."
        )
        stand_ins = [
            f"{origin.joint}, {found.explain(origin)}" for origin in absent if origin.kind == "near"
        ]
        if stand_ins:
            text += f" Stand-ins, if they are allowed (near=True): {'; '.join(stand_ins)}."
        raise UsageError(
            f"{text} Use a pose estimator that gives these joints, or a bundle trained on joints that "
            "it gives."
        )
    return [
        f"{origin.joint}: {found.explain(origin)}"
        for origin in found.origins
        if origin.kind in ("derived", "near")
    ]


def _needs_size(manifest: Manifest) -> bool:
    return any(
        step.name == SIZED and step.params.get("mode", "image") == "image"
        for step in manifest.steps
    )


# ---- prepared numbers ------------------------------------------------------------------------


def _prepared(have: Layout | None, channels: str, manifest: Manifest) -> JointMap:
    """Numbers that a network sees fit as they are, or not at all."""
    size, record = manifest.clip, manifest.layout
    if have is not None and record.name is not None and have.joints != record.joints:
        raise UsageError(
            f"the source gives prepared numbers of layout {have.name}, and the bundle takes {record.name}; "
            "only raw key points can be renamed."
        )
    if len(channels) != size.channels or (have is not None and have.num_joints != size.joints):
        raise UsageError(
            f"the source gives prepared numbers {', '.join(channels)}"
            f"{f' of {have.num_joints} joints' if have else ''}, and the bundle takes {size.channels} "
            f"channels of {size.joints} joints: {manifest.contract.preprocessing}."
        )
    if have is not None and record.name is None:
        raise UsageError(
            f"the source's joints are {have.name}, and the bundle's are of no layout that has a name: "
            "whether they are the same cannot be known. Export it again with --layout NAME."
        )
    return JointMap(
        channels=channels,
        joints=(size.joints,),
        source=None,
        target=None,
        layout=record.name if record.name in LAYOUTS else None,
        raw=False,
        keep=tuple(range(len(channels))),
        add_score=False,
        near=False,
        needs_size=False,
        notes=(),
    )
