"""The contract between a recording and a network: the steps that its codebase takes, by name.

A bundle's manifest holds them, so that the run half repeats them without the codebase.

Example:
    steps = (
        Step("coordinates", {"dimensions": 2}),
        Step("prenormalize_2d", {"threshold": 0.01}),
        Step("merge_score"),
        Step("sample", {"frames": 100, "clips": 10, "draw": "pyskl"}),
        Step("persons", {"count": 2}),
    )
    batch = apply_steps(steps, Sequence(keypoints, score, (1920, 1080)))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import ClipError, UnknownNameError, UsageError
from stgcn_deploy.registry import nearest
from stgcn_deploy.skeleton.transforms import steps as made
from stgcn_deploy.skeleton.transforms.sequence import Sequence

__all__ = ["TRANSFORMS", "Sequence", "Step", "apply_steps", "raw_joints", "with_clips"]

Transform = Callable[..., "Sequence | tuple[Sequence, ...]"]

# Name in a manifest -> what it does.  A name, once written into manifests, keeps its meaning.
TRANSFORMS: dict[str, Transform] = {
    "coordinates": made.coordinates,
    "merge_score": made.merge_score,
    "drop_unsure": made.drop_unsure,
    "prenormalize_2d": made.prenormalize_image,
    "prenormalize_3d": made.prenormalize_space,
    "image_fractions": made.image_fractions,
    "normalize_range": made.normalize_range,
    "square_frames": made.square_frames,
    "middle_joint": made.middle_joint,
    "agcn_prenormalize": made.agcn_space,
    "from_first_valid": made.from_first_valid,
    "minus_joint": made.minus_joint,
    "cube": made.cube,
    "persons": made.persons,
    "best_persons": made.best_persons,
    "liveliest_persons": made.liveliest_persons,
    "stream": made.stream,
    "sample": made.sample,
    "pad_frames": made.pad_frames,
    "loop_frames": made.loop_frames,
    "crop_frames": made.crop_frames,
    "spread_frames": made.spread_frames,
    "spread_or_pad": made.spread_or_pad,
    "valid_crop_resize": made.valid_crop_resize,
}
SAMPLE, MIDDLE = "sample", "middle_joint"


@dataclass(frozen=True)
class Step:
    """One of TRANSFORMS with its parameters.

    Raises:
        UnknownNameError: no such step.
        UsageError: parameters that it does not have, or lacks.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in TRANSFORMS:
            raise UnknownNameError(
                f"unknown step {self.name!r}{nearest(self.name, TRANSFORMS)} Known: "
                f"{', '.join(TRANSFORMS)}."
            )
        try:
            inspect.signature(TRANSFORMS[self.name]).bind(None, **self.params)
        except TypeError as error:
            raise UsageError(f"step {self.name!r}: {error}.") from None

    @property
    def complete(self) -> Step:
        """The same with every parameter said, so that no default can change what it does."""
        bound = inspect.signature(TRANSFORMS[self.name]).bind(None, **self.params)
        bound.apply_defaults()
        return Step(self.name, bound.kwargs)

    def run(self, sequence: Sequence) -> tuple[Sequence, ...]:
        """The clips that it makes of one sequence: mostly one.

        Raises:
            ClipError: the sequence is not what the codebase starts from.
        """
        out = TRANSFORMS[self.name](sequence, **self.params)
        return out if isinstance(out, tuple) else (out,)


def apply_steps(steps: Iterable[Step], sequence: Sequence) -> NDArray[np.float32]:
    """A recording as its network sees it: (clips, M, T, V, C).

    Raises:
        ClipError: the sequence is not what the codebase starts from.
    """
    clips: tuple[Sequence, ...] = (sequence,)
    for step in steps:
        clips = tuple(one for clip in clips for one in step.run(clip))
    return np.stack([clip.keypoints for clip in clips]).astype(np.float32)


def with_clips(steps: Iterable[Step], clips: int) -> tuple[Step, ...]:
    """The same steps making `clips` clips; one is the middle of each part, with nothing drawn.

    Raises:
        ClipError: less than one, or several from a codebase that takes one.
    """
    if clips < 1:
        raise ClipError(f"clips must be at least 1, got {clips}.")
    out, found = [], False
    for step in steps:
        if step.name == SAMPLE:
            found = True
            draw = "center" if clips == 1 else step.params.get("draw", "center")
            step = replace(step, params={**step.params, "clips": clips, "draw": draw})  # noqa: PLW2901
        out.append(step)
    if clips > 1 and not found:
        raise ClipError(
            f"{clips} clips asked for, but this bundle's codebase looks at one clip of a recording; "
            "leave --clips out."
        )
    return tuple(out)


def raw_joints(steps: Iterable[Step], joints: int) -> tuple[int, ...]:
    """How many joints a raw clip may have where the network takes `joints`: usually as many."""
    appended = any(step.name == MIDDLE for step in steps)
    return (joints - 1, joints) if appended else (joints,)
