"""What several verbs share: how a checkpoint is named, hinted at and opened."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stgcn_deploy.errors import UsageError, requires

if TYPE_CHECKING:
    from stgcn_deploy.checkpoints.base import Hints
    from stgcn_deploy.checkpoints.load import LoadedCheckpoint
    from stgcn_deploy.skeleton.layout import Layout

__all__: list[str] = []

Motion = Literal["first_difference", "second_difference"]
Adjacency = Literal["importance", "offset"]
Space = Literal["logits", "probabilities"]
Progress = Callable[[str], None]
EXPORT_INSTALL = "pip install 'stgcn-deploy[export]'"


def quiet(_: str) -> None:
    """No progress."""


def layout_of(name: str | None) -> Layout | None:
    """A layout by name, or the user's own from a .toml or .json file."""
    from stgcn_deploy.skeleton.layout_file import read_layout
    from stgcn_deploy.skeleton.layouts import LAYOUTS

    if name is None:
        return None
    if name.endswith((".toml", ".json")):
        return read_layout(Path(name))
    return LAYOUTS[name]


def make_hints(
    *,
    persons: int | None = None,
    frames: int | None = None,
    layout: str | None = None,
    motion: Motion | None = None,
    strides: Sequence[int] | None = None,
    adjacency: Adjacency | None = None,
    fps: float | None = None,
    contract: str | Path | None = None,
) -> Hints:
    with requires("reading a checkpoint", EXPORT_INSTALL):
        from stgcn_deploy.checkpoints.base import Hints
    from stgcn_deploy.bundle import read_steps

    return Hints(
        frames=frames,
        persons=persons,
        strides=tuple(strides) if strides else None,
        layout=layout_of(layout),
        motion=motion,
        adjacency=adjacency,
        fps=fps,
        contract=read_steps(Path(contract)) if contract is not None else None,
    )


def open_checkpoint(path: str | Path, hints: Hints, config: str | Path | None) -> LoadedCheckpoint:
    from stgcn_deploy.checkpoints.load import load_checkpoint

    loaded = load_checkpoint(path, hints)
    if config is None:
        return loaded
    from stgcn_deploy.checkpoints.mmconfig import (
        contradictions,
        hints_from_config,
        read_config,
        to_hints,
    )

    # First what the file itself says: only a config that agrees with it may add to it.
    said = hints_from_config(read_config(Path(config)))
    wrong = contradictions(said, loaded.spec)
    if wrong:
        raise UsageError(
            f"{config} does not describe {loaded.path}: {'; '.join(wrong)}. Give the config it was "
            "trained with."
        )
    return load_checkpoint(path, to_hints(said, hints))


def is_bundle(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def command_line() -> str:
    """How this process was started, without the folders of the user's machine."""
    shown = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv]
    return shlex.join([Path(word).name for word in shown[:1]] + shown[1:])
