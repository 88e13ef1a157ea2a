"""The seam between a codebase's files and our networks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors
from stgcn_deploy.errors import KeyMismatchError, UsageError
from stgcn_deploy.models.spec import InputNorm, Motion, NetworkSpec
from stgcn_deploy.skeleton.contract import Step
from stgcn_deploy.skeleton.layout import Layout

__all__ = ["Codebase", "Described", "Fact", "Hints", "Origin", "Setting"]

MAX_FPS = 10_000
Origin = Literal["file", "config", "option", "assumed"]


@dataclass(frozen=True)
class Fact:
    """One thing known about a checkpoint, and how we know it."""

    name: str
    value: object
    origin: Origin
    why: str = ""


@dataclass(frozen=True)
class Hints:
    """What the user, or a training config, says about a file; None means unsaid.

    Attributes:
        frames: T; persons: M; strides: one for each block; layout: its name or the user's own.
        motion: the definition of the motion stream of a two-stream network.
        adjacency: "importance" or "offset" where the file cannot show it.
        stream: what of the clip the file was trained on: joint, bone, joint_motion, bone_motion.
        contract: the steps from a recording to a clip that the network was trained with, where they
            are not the codebase's own.
        origin: where the hints came from, for the record.
    """

    frames: int | None = None
    persons: int | None = None
    strides: tuple[int, ...] | None = None
    layout: Layout | None = None
    motion: Motion | None = None
    adjacency: Literal["importance", "offset"] | None = None
    fps: float | None = None
    stream: str | None = None
    contract: tuple[Step, ...] | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("frames", "persons"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}.")
        if self.strides is not None and min(self.strides, default=1) < 1:
            raise UsageError(f"strides must be at least 1, got {self.strides}.")
        if self.fps is not None and not 0 < self.fps < MAX_FPS:
            raise UsageError(f"fps must be between 0 and {MAX_FPS}, got {self.fps}.")

    def origin(self, name: str) -> Origin:
        """Who said it."""
        return self.origins.get(name, "option")


@dataclass(frozen=True)
class Described:
    """A codebase's reading of a file's shapes.

    Attributes:
        adjacency: the graph of the first block, (K, V, V), which the layout is recognised by; where
            a file does not hold it, the one that the codebase assumes.
    """

    spec: NetworkSpec
    facts: tuple[Fact, ...]
    frames: int
    persons: int
    adjacency: NDArray[np.float32]


@dataclass(frozen=True)
class Setting:
    """What clips a network is used with.

    Attributes:
        layout: the skeleton; None where the graph fits none that is known.
        frames: T; persons: M.
        stream: what of the clip the network sees: joint, bone, joint_motion, bone_motion.
    """

    layout: Layout | None
    frames: int
    persons: int
    stream: str = "joint"


class Codebase(Protocol):
    """One training codebase: how its files are recognised, read and mapped.

    Attributes:
        name: the table's name of it.
        title: one line for people.
        preprocessing: what the numbers of a clip must be, in words (facts of the codebase).
    """

    name: str
    title: str
    preprocessing: str

    def matches(self, tensors: Tensors) -> bool:
        """Whether the keys are those of this codebase, and of no other."""

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """Everything that can be read from the shapes, and what had to be assumed."""

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """Where each tensor of the reference form comes from."""

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """What its tests do to a recording, see skeleton.contract; empty where that is not known."""


def with_strides(spec: NetworkSpec, hints: Hints) -> tuple[NetworkSpec, Fact]:
    """Strides as the rule has them, or as the user says.

    Raises:
        UsageError: the wrong number of strides.
    """
    found = tuple(block.stride for block in spec.blocks)
    if hints.strides is None:
        why = "2 where the channels change after the first block (not stored in files)"
        return spec, Fact("strides", found, "assumed", why)
    if len(hints.strides) != len(found):
        raise UsageError(
            f"{len(hints.strides)} strides given for {len(found)} blocks; give one each, e.g. "
            f"{','.join(map(str, found))}."
        )
    blocks = tuple(
        replace(block, stride=stride)
        for block, stride in zip(spec.blocks, hints.strides, strict=True)
    )
    return replace(spec, blocks=blocks), Fact("strides", hints.strides, hints.origin("strides"))


def clip_size(
    hints: Hints, frames: tuple[int, str], persons: tuple[int, str]
) -> tuple[int, int, list[Fact]]:
    """T and M as said, else the codebase's usual ones, with the record of which it was."""
    facts: list[Fact] = []
    chosen: list[int] = []
    for letter, name, said, (usual, why) in (
        ("T", "frames", hints.frames, frames),
        ("M", "persons", hints.persons, persons),
    ):
        origin = hints.origin(name) if said is not None else "assumed"
        chosen.append(said if said is not None else usual)
        facts.append(Fact(f"{name} ({letter})", chosen[-1], origin, "" if said else why))
    return chosen[0], chosen[1], facts


def input_norm(tensors: Tensors, key: str, per_joint: int) -> tuple[InputNorm, int | None]:
    """What data_bn under `key` normalises, and M where it fixes M.

    Args:
        per_joint: V * C, the features of one person.

    Raises:
        KeyMismatchError: its features are no multiple of that, or its weight is missing.
    """
    if not tensors.any(rf"^{re.escape(key)}\."):
        return "none", None
    features = tensors[f"{key}.weight"].numel()
    if features % per_joint:
        raise KeyMismatchError(
            f"{tensors.where}: data_bn has {features} features, expected V*C = {per_joint} or a "
            "multiple of it."
        )
    return ("joint", None) if features == per_joint else ("person", features // per_joint)
