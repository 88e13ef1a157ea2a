"""From a path to a recognised, filled reference form with the record of how it came about."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import nn

from stgcn_deploy.checkpoints.accounting import Tensors, load_tensors
from stgcn_deploy.checkpoints.base import Codebase, Described, Fact, Hints
from stgcn_deploy.checkpoints.codebases import recognise
from stgcn_deploy.checkpoints.record import training_record, with_record
from stgcn_deploy.checkpoints.unwrap import read_container
from stgcn_deploy.errors import CheckpointError, FileUnreadableError, UsageError
from stgcn_deploy.models.families import reference_form
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.skeleton.adjacency import LayoutMatch, identify

__all__ = ["SUFFIXES", "LoadedCheckpoint", "choose_file", "load_checkpoint"]

SUFFIXES = (".pt", ".pth", ".ckpt", ".pdparams", ".tar")


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint that became a network.

    Attributes:
        network: the reference form, filled, in eval mode, float32.
        match: what its adjacency was recognised as; None when no layout fits.
        facts: what was read, given and assumed.
        adjacency: the graph of the first block, (K, V, V); see Described.
        hints: what was said from outside.
        members: of an ensemble: stream, weight and checkpoint of each.
    """

    path: Path
    sha256: str
    codebase: Codebase
    spec: NetworkSpec
    network: nn.Module
    described: Described
    match: LayoutMatch | None
    facts: tuple[Fact, ...]
    steps: tuple[str, ...]
    meta: Mapping[str, Any]
    adjacency: NDArray[Any]
    hints: Hints
    members: tuple[tuple[str, float, LoadedCheckpoint], ...] = ()

    @property
    def frames(self) -> int:
        """T of one clip."""
        return self.described.frames

    @property
    def persons(self) -> int:
        """M of one clip."""
        return self.described.persons

    @property
    def num_parameters(self) -> int:
        """Weights of the reference form; graphs and running statistics are not counted."""
        return sum(weight.numel() for weight in self.network.parameters())


def choose_file(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The file itself, or the best one of a directory: named "best", else the latest epoch.

    Returns:
        The file, and what was decided, in words (empty for a plain file).

    Raises:
        FileUnreadableError: nothing there, or a directory with no checkpoint.
    """
    if not path.exists():
        raise FileUnreadableError(f"{path} does not exist; give a checkpoint file or its folder.")
    if path.is_file():
        return path, ()
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if not files:
        raise FileUnreadableError(
            f"{path} holds no checkpoint ({', '.join(SUFFIXES)}); give the file itself."
        )

    def rank(file: Path) -> tuple[bool, int, float]:
        # "ntu60_epoch_10" is the tenth, "run-50-2000" the fiftieth (epoch, then step).
        epochs = re.findall(r"epoch\D?(\d+)", file.stem) or re.findall(r"\d+", file.stem)
        return "best" in file.stem.lower(), int(epochs[0]) if epochs else -1, file.stat().st_mtime

    best = max(files, key=rank)
    why = "named best" if "best" in best.stem.lower() else "the latest"
    listing = ", ".join(file.name for file in files)
    return best, (f"{path} holds {len(files)}: {listing}", f"took {best.name} ({why})")


def load_checkpoint(path: Path | str, hints: Hints | None = None) -> LoadedCheckpoint:
    """Recognise a checkpoint, account for every key, and build its reference form.

    Raises:
        CheckpointError: any of its kinds; FileUnreadableError: no such file.
    """
    hints = hints or Hints()
    file, chosen = choose_file(Path(path))
    container = read_container(file)
    tensors = Tensors(container.tensors, str(file), container.meta)
    hints = with_record(hints, training_record(container.meta, str(file)))
    codebase = recognise(tensors)
    try:
        described = codebase.describe(tensors, hints)
    except (IndexError, ValueError) as error:
        raise CheckpointError(
            f"{file}: looks like {codebase.title}, but a tensor has an unexpected shape ({error})."
        ) from None
    network = load_tensors(
        reference_form(described.spec), tensors, codebase.key_map(described.spec)
    )
    adjacency = described.adjacency
    return LoadedCheckpoint(
        path=file,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        codebase=codebase,
        spec=described.spec,
        network=network,
        described=described,
        match=_match_layout(file, adjacency, hints),
        hints=hints,
        facts=described.facts,
        steps=(*chosen, *container.steps),
        meta=container.meta,
        adjacency=adjacency,
    )


def _match_layout(file: Path, adjacency: NDArray[Any], hints: Hints) -> LayoutMatch | None:
    """What the stored graph is: the layout that was given, unless the graph contradicts it."""
    if hints.layout is None:
        return identify(adjacency)
    given = hints.layout
    said = {"option": "--layout", "file": "its own record's layout"}.get(
        hints.origin("layout"), "the config's layout"
    )
    joints = adjacency.shape[1]
    if given.num_joints != joints:
        raise UsageError(
            f"{file} has V={joints} joints, {said} {given.name!r} has {given.num_joints}; give the "
            f"layout it was trained with (its graph is {identify(adjacency) or 'none that is known'})."
        )
    match = identify(adjacency, (given,))
    known = identify(adjacency)
    if known and known.exact and known.layout.name != given.name and not (match and match.exact):
        raise UsageError(
            f"{file}: the stored graph is exactly {known}, not {said} {given.name!r}; leave it out, or "
            "give the layout it was trained with."
        )
    # A learned graph, or a strategy that we do not know: the user's word stands.
    return match or LayoutMatch(given, given.edge_sets[0], "unknown", 1, False, float("inf"))
