"""Recordings as a network is trained on them: prepared by a contract, held as arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Dataset
from stgcn_deploy.errors import ClipError, DataError, FileUnreadableError, UsageError
from stgcn_deploy.skeleton import contract
from stgcn_deploy.skeleton.contract import Step
from stgcn_deploy.skeleton.layout import Layout

__all__ = ["Clips", "default_contract", "image_center", "prepare", "read_contract", "stream_of"]

Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Clips:
    """Prepared recordings.

    Attributes:
        clips: (N, K, M, T, V, C): a contract makes K clips of a recording, mostly one.
        labels: (N,).
        names: what the file calls them.
    """

    clips: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def taken(self, indices: NDArray[np.int64]) -> Clips:
        """Some of them."""
        names = tuple(self.names[index] for index in indices)
        return Clips(self.clips[indices], self.labels[indices], names)


def default_contract(
    layout: Layout, *, frames: int, persons: int, stream: str, scored: bool, pixels: bool
) -> Steps:
    """What is done to recordings that no codebase has steps for.

    Args:
        scored: keep the score of each joint as a third channel (2-D layouts only).
        pixels: recordings are in pixels of an image whose size they know.
    """
    steps = [Step("coordinates", {"dimensions": layout.dimensions})]
    if layout.dimensions == 3:
        steps.append(Step("from_first_valid", {"joint": layout.edge_sets[0].center}))
    elif pixels:
        steps.append(Step("prenormalize_2d", {"mode": "image"}))
    if scored and layout.dimensions == 2:
        steps.append(Step("merge_score"))
    steps += [
        Step("valid_crop_resize", {"frames": frames, "share": 1.0}),
        Step("persons", {"count": persons}),
    ]
    if stream != "joint":
        score = scored and layout.dimensions == 2
        options = {"bone_score": score, "motion_score": score}
        steps.append(Step("stream", {"name": stream, "layout": layout.name, **options}))
    return tuple(step.complete for step in steps)


def read_contract(path: Path) -> Steps:
    """Steps from a JSON file: [{"name": .., "params": {..}}, ..].

    Raises:
        FileUnreadableError: no such file; UsageError: it holds something else.
        UnknownNameError: a step that there is not.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error}).") from None
    wanted = '[{"name": .., "params": {..}}, ..]'
    if not isinstance(listed, list) or not listed:
        raise UsageError(f"{path} holds no list of steps; expected {wanted}.")
    steps = []
    for number, one in enumerate(listed):
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise UsageError(f"{path}, step {number}: {one!r}, expected {wanted}.")
        steps.append(Step(one["name"], one.get("params", {})).complete)
    return tuple(steps)


def stream_of(steps: Sequence[Step]) -> str:
    """What of a clip the contract shows the network."""
    return next((str(step.params["name"]) for step in steps if step.name == "stream"), "joint")


def image_center(steps: Sequence[Step]) -> tuple[float, float]:
    """The middle of the picture in the units of prepared joints; bones and motion have it at 0."""
    if stream_of(steps) != "joint":
        return (0.0, 0.0)
    offset = next((s.params["offset"] for s in steps if s.name == "image_fractions"), 0.5)
    return (0.5 - offset, 0.5 - offset)


def prepare(data: Dataset, indices: NDArray[np.int64], steps: Steps) -> Clips:
    """Records of a data set after the steps.

    Raises:
        DataError: no records, one that the contract does not fit, or clips of several sizes.
    """
    if not len(indices):
        raise DataError(f"{data.path}: no records to train or test on.")
    made: list[NDArray[np.float32]] = []
    for index in map(int, indices):
        one = data[index]
        try:
            clips = _clips(one, steps)
        except ClipError as error:
            raise DataError(f"{data.where(index)}: {error}") from None
        if made and clips.shape != made[0].shape:
            raise DataError(
                f"{data.where(index)}: the contract makes (clips, M, T, V, C) = {clips.shape} of it, "
                f"{made[0].shape} of the first; end it with steps that give every clip one size."
            )
        made.append(clips)
    names = tuple(data.name(int(index)) for index in indices)
    return Clips(np.stack(made), data.labels[indices], names)


def _clips(one: Any, steps: Steps) -> NDArray[np.float32]:
    if not one.is_raw:
        return np.asarray(one.clip, np.float32)[None]
    return contract.apply_steps(steps, contract.Sequence(one.clip, None, one.image_size, one.fps))
