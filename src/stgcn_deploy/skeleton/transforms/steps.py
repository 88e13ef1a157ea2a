"""The same as steps of a contract: a Sequence and parameters that JSON can hold, to a Sequence.

A step that makes several clips of one sequence gives a tuple of them.  Parameters are keywords with
types; a manifest is checked against them.
"""

from __future__ import annotations

import collections.abc
from dataclasses import replace
from typing import Literal

import numpy as np

from stgcn_deploy.errors import ClipError
from stgcn_deploy.skeleton.transforms import agcn, ctrgcn, features, kinetics, tsstg
from stgcn_deploy.skeleton.transforms import format as sizes
from stgcn_deploy.skeleton.transforms.normalize2d import (
    fixed_range,
    hide_unsure,
    scale_to_image,
    scale_to_span,
)
from stgcn_deploy.skeleton.transforms.normalize3d import prenormalize_3d
from stgcn_deploy.skeleton.transforms.sampling import (
    TEST_SEED,
    Draw,
    loop_indices,
    spread_indices,
    uniform_indices,
)
from stgcn_deploy.skeleton.transforms.sequence import Sequence

__all__: list[str] = []


# ---- what the channels are -------------------------------------------------------------------


def coordinates(sequence: Sequence, *, dimensions: Literal[2, 3]) -> Sequence:
    """Channels up to `dimensions` are coordinates; one more is the score, and goes apart."""
    channels = sequence.channels
    if channels == dimensions:
        return sequence
    if channels != dimensions + 1 or sequence.score is not None:
        names = "x, y" if dimensions == 2 else "x, y, z"
        raise ClipError(
            f"the raw clip has {channels} channels (shape {sequence.keypoints.shape}); this codebase "
            f"starts from {names}, with or without a score after them."
        )
    points = sequence.keypoints
    return replace(sequence, keypoints=points[..., :dimensions], score=points[..., dimensions])


def merge_score(sequence: Sequence) -> Sequence:
    """The score as the last channel."""
    if sequence.score is None:
        raise ClipError(
            "the network was trained with the score of each joint as its last channel, and the raw "
            "clip has none; give x, y, score (1 for joints that are simply known)."
        )
    joined = np.concatenate([sequence.keypoints, sequence.score[..., None]], axis=-1)
    return replace(sequence, keypoints=joined, score=None)


def drop_unsure(sequence: Sequence, *, threshold: float = 0.0) -> Sequence:
    """All coordinates of a joint to 0 where its score is at most the threshold."""
    if sequence.score is None:
        return sequence
    return sequence.moved(hide_unsure(sequence.keypoints, sequence.score, threshold))


# ---- image points ----------------------------------------------------------------------------


def prenormalize_image(
    sequence: Sequence, *, mode: Literal["image", "span"] = "image", threshold: float | None = None
) -> Sequence:
    """-1..1 around the image's middle, or over the span of the points; unsure joints to 0."""
    points, score = sequence.keypoints, sequence.score
    if mode == "span":
        seen = None if score is None or threshold is None else score > threshold
        out = scale_to_span(points, seen)
    else:
        if sequence.image_size is None:
            raise ClipError(
                "the raw clip is in pixels and does not say of what image; give its size: "
                "--image-size WIDTHxHEIGHT (image_size= in Python, img_shape in an annotation)."
            )
        out = scale_to_image(points, sequence.image_size)
    if score is not None and threshold is not None:
        out = hide_unsure(out, score, threshold)
    return sequence.moved(out)


def image_fractions(sequence: Sequence, *, offset: float = 0.0, flip_y: bool = False) -> Sequence:
    """Fractions of the image: x / W - offset, y / H - offset."""
    moved = kinetics.fractions(
        sequence.keypoints, sequence.image_size, offset=offset, flip_y=flip_y
    )
    return sequence.moved(moved)


def normalize_range(
    sequence: Sequence,
    *,
    mean: collections.abc.Sequence[float],
    span: collections.abc.Sequence[float],
) -> Sequence:
    """(value - mean) / span, for each channel."""
    return sequence.moved(fixed_range(sequence.keypoints, mean, span))


def square_frames(sequence: Sequence) -> Sequence:
    """Each axis of each frame to -1..1."""
    return sequence.moved(tsstg.square(sequence.keypoints))


def middle_joint(sequence: Sequence, *, joints: int, first: int, second: int) -> Sequence:
    """The middle of two joints as joint number `joints`; one that is there already is replaced."""
    if sequence.joints not in (joints, joints + 1):
        raise ClipError(f"the raw clip has {sequence.joints} joints, expected {joints}.")
    pair = (first, second)
    points = tsstg.append_middle(sequence.keypoints[:, :, :joints], pair)
    score = sequence.score
    if score is not None:
        score = tsstg.append_middle(score[:, :, :joints], pair)
    return replace(sequence, keypoints=points, score=score)


# ---- space -----------------------------------------------------------------------------------


def prenormalize_space(
    sequence: Sequence, *, align_center: bool = True, align_spine: bool = True
) -> Sequence:
    """Centred on the first frame, rotated; frames without the first person dropped."""
    made = prenormalize_3d(sequence.keypoints, align_center=align_center, align_spine=align_spine)
    # Frames may have gone: a score has no place beside them any more.
    return replace(sequence, keypoints=made, score=None)


def agcn_space(sequence: Sequence) -> Sequence:
    """2s-AGCN's: gaps filled, each frame centred, rotated."""
    return replace(sequence, keypoints=agcn.agcn_prenormalize(sequence.keypoints), score=None)


def from_first_valid(sequence: Sequence, *, joint: int = 1) -> Sequence:
    """Seen from a joint of the first person where that person is first seen."""
    return sequence.moved(ctrgcn.from_first_valid(sequence.keypoints, joint))


def minus_joint(sequence: Sequence, *, joint: int, divisor: float = 1.0) -> Sequence:
    """Each person in each frame seen from one of its own joints, divided by a length."""
    if not 0 <= joint < sequence.joints:
        raise ClipError(f"the raw clip has {sequence.joints} joints, expected more than {joint}.")
    points = sequence.keypoints
    return sequence.moved((points - points[:, :, joint : joint + 1]) / points.dtype.type(divisor))


def cube(sequence: Sequence) -> Sequence:
    """Each axis to -1..1 over the whole clip."""
    return sequence.moved(ctrgcn.cube(sequence.keypoints))


# ---- persons ---------------------------------------------------------------------------------


def persons(sequence: Sequence, *, count: int) -> Sequence:
    """The first ones; absent ones where there are fewer."""
    return sizes.first_persons(sequence, count)


def best_persons(sequence: Sequence, *, keep: int = 2, candidates: int = 5) -> Sequence:
    """In each frame those with the highest scores; without scores as they are."""
    if sequence.score is None:
        return sequence
    points, score = kinetics.best_per_frame(
        sequence.keypoints, sequence.score, keep=keep, candidates=candidates
    )
    return replace(sequence, keypoints=points, score=score)


def liveliest_persons(sequence: Sequence, *, keep: int = 2, candidates: int = 4) -> Sequence:
    """Those that move most, most first."""
    chosen = agcn.liveliest(sequence.keypoints, keep=keep, candidates=candidates)
    return replace(sequence, keypoints=chosen, score=None)


# ---- streams ---------------------------------------------------------------------------------


def stream(
    sequence: Sequence,
    *,
    name: str,
    layout: str,
    bone_score: bool = False,
    motion_score: bool = False,
) -> Sequence:
    """Bones, motion or both, instead of joints."""
    made = features.feature(
        sequence.keypoints, name, layout, bone_score=bone_score, motion_score=motion_score
    )
    return sequence.moved(made)


# ---- frames ----------------------------------------------------------------------------------


def sample(
    sequence: Sequence, *, frames: int, clips: int = 1, draw: Draw = "center", seed: int = TEST_SEED
) -> tuple[Sequence, ...]:
    """Clips of frames that are spread over the whole recording."""
    indices = uniform_indices(sequence.frames, frames, clips, draw=draw, seed=seed)
    return tuple(sequence.picked(one) for one in indices)


def pad_frames(sequence: Sequence, *, frames: int) -> Sequence:
    """Empty frames at the end, or the end cut off."""
    return sizes.pad_frames(sequence, frames)


def loop_frames(sequence: Sequence, *, frames: int) -> Sequence:
    """From the start again, or the end cut off."""
    return sequence.picked(loop_indices(sequence.frames, frames))


def crop_frames(sequence: Sequence, *, frames: int) -> Sequence:
    """The end cut off."""
    return sequence.picked(np.arange(min(frames, sequence.frames)))


def spread_frames(sequence: Sequence, *, frames: int) -> Sequence:
    """Evenly spaced from the first to the last."""
    return sequence.picked(spread_indices(sequence.frames, frames))


def spread_or_pad(sequence: Sequence, *, frames: int) -> Sequence:
    """Evenly spaced out of a long recording, empty frames after a short one."""
    return sizes.spread_or_pad(sequence, frames)


def valid_crop_resize(sequence: Sequence, *, frames: int, share: float = 0.95) -> Sequence:
    """The middle of the frames that hold anything, stretched or squeezed linearly."""
    made = sizes.valid_crop_resize(sequence.keypoints, frames, share)
    return replace(sequence, keypoints=made, score=None)
