"""Several checkpoints as one network: the streams of a codebase, fused as the codebase fuses them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stgcn_deploy.checkpoints.base import Fact, Hints
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.errors import UsageError
from stgcn_deploy.models.ensemble import Ensemble, Member, Space
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.models.streams import STREAM_NAMES
from stgcn_deploy.registry import nearest

__all__ = ["StreamFile", "load_ensemble", "parse_stream", "stream_name"]

EQUAL: dict[str, float] = dict.fromkeys(STREAM_NAMES, 1.0)
CTR_WEIGHTS = {"joint": 0.6, "bone": 0.6, "joint_motion": 0.4, "bone_motion": 0.4}
PYSKL_WEIGHTS = {"joint": 2.0, "bone": 2.0, "joint_motion": 1.0, "bone_motion": 1.0}
# How the codebases' own scripts fuse: the space, and a weight for each stream.
FUSION: dict[str, tuple[Space, dict[str, float]]] = {
    "2s-agcn": ("logits", EQUAL),
    "paddle-agcn2s": ("logits", EQUAL),
    "mmaction2-0.x-agcn": ("logits", EQUAL),
    "ctr-gcn": ("logits", CTR_WEIGHTS),
    "ctr-gcn-baseline": ("logits", CTR_WEIGHTS),
    "paddle-ctrgcn": ("logits", CTR_WEIGHTS),
}
# PYSKL and MMAction2 1.x, whatever the network; others have no script of their own and get theirs.
USUAL: tuple[Space, dict[str, float]] = ("probabilities", PYSKL_WEIGHTS)
# Layouts of 2-D key points, whose third channel is a score that these codebases average.
SCORED_BONES = ("openpose18", "coco17", "handmp21")
SCORED_MOTION = ("openpose18", "coco17")


def _is_pyskl(codebase: str) -> bool:
    """PYSKL or MMAction2 1.x: same features, same sampling."""
    return codebase.startswith(("pyskl", "mmaction2")) and not codebase.startswith("mmaction2-0.x")


@dataclass(frozen=True)
class StreamFile:
    """One `--stream NAME=FILE[:WEIGHT]`."""

    stream: str
    path: Path
    weight: float | None = None


def stream_name(stream: str) -> str:
    """The name itself.

    Raises:
        UsageError: no such stream.
    """
    if stream not in STREAM_NAMES:
        raise UsageError(
            f"unknown stream {stream!r}{nearest(stream, STREAM_NAMES)} Streams: "
            f"{', '.join(STREAM_NAMES)}."
        )
    return stream


def parse_stream(text: str) -> StreamFile:
    """The parts of "bone=B.pt:0.6".

    Raises:
        UsageError: another form, an unknown stream, a weight that is no positive number.
    """
    stream, equals, rest = text.partition("=")
    if not equals or not rest:
        raise UsageError(f"--stream takes NAME=FILE or NAME=FILE:WEIGHT, got {text!r}.")
    stream_name(stream)
    name, colon, weight = rest.rpartition(":")
    if not colon or Path(rest).exists():
        return StreamFile(stream, Path(rest))
    try:
        value = float(weight)
    except ValueError:
        return StreamFile(stream, Path(rest))
    if not 0 < value < 1e6:
        raise UsageError(f"the weight of {stream} must be positive, got {weight}.")
    return StreamFile(stream, Path(name), value)


def load_ensemble(
    files: Sequence[StreamFile], hints: Hints, space: Space | None = None
) -> LoadedCheckpoint:
    """Load every stream's checkpoint and join them.

    Args:
        space: where scores are added; by default as the first file's codebase does it.

    Raises:
        UsageError: fewer than two streams, one named twice, weights given for some only, or files
            that do not belong together.
        CheckpointError: a file cannot be loaded.
    """
    names = [file.stream for file in files]
    if len(files) < 2 or len(set(names)) != len(names):
        raise UsageError(
            f"an ensemble needs at least two streams, each once; got {', '.join(names) or 'none'}."
        )
    loaded = [load_checkpoint(file.path, hints) for file in files]
    _check_streams(files, loaded)
    _check_alike(loaded)
    first = loaded[0]
    usual_space, usual_weights = FUSION.get(first.codebase.name, USUAL)
    given = [file.weight for file in files]
    if any(w is None for w in given) and any(w is not None for w in given):
        raise UsageError("give a weight for every stream, or for none.")
    weights = [usual_weights[f.stream] if f.weight is None else f.weight for f in files]
    layout = first.match.layout.name if first.match else ""
    scored = _is_pyskl(first.codebase.name) and first.spec.in_channels == 3
    members = tuple(
        Member(
            name,
            weight,
            one.spec,
            layout,
            mean_bone_score=scored and layout in SCORED_BONES,
            mean_motion_score=scored and layout in SCORED_MOTION,
        )
        for name, weight, one in zip(names, weights, loaded, strict=True)
    )
    chosen = space or usual_space
    spec = NetworkSpec(
        family="ensemble",
        axes=first.spec.axes,
        in_channels=first.spec.in_channels,
        num_joints=first.spec.num_joints,
        num_subsets=first.spec.num_subsets,
        num_classes=first.spec.num_classes,
        blocks=first.spec.blocks,
        input_norm="none",
        num_persons=first.spec.num_persons,
        options=(("members", members), ("space", chosen)),
        members=tuple(member.spec for member in members),
    )
    network = Ensemble(spec)
    for slot, one in zip(network.members, loaded, strict=True):
        slot.load_state_dict(one.network.state_dict())
    digest = hashlib.sha256("".join(one.sha256 for one in loaded).encode()).hexdigest()
    return replace(
        first,
        sha256=digest,
        spec=spec,
        network=network.eval(),
        facts=tuple(_facts(members, loaded, chosen, space is not None, given[0] is not None)),
        steps=tuple(
            f"{n}: {step}" for n, one in zip(names, loaded, strict=True) for step in one.steps
        ),
        members=tuple(zip(names, weights, loaded, strict=True)),
    )


def _check_streams(files: Sequence[StreamFile], loaded: Sequence[LoadedCheckpoint]) -> None:
    """A file that says what it was trained on is not taken for another stream."""
    for file, one in zip(files, loaded, strict=True):
        trained = one.hints.stream
        if trained not in (None, file.stream):
            raise UsageError(
                f"{file.path} says that it was trained on {trained}, and is given as {file.stream}; "
                f"write --stream {trained}={file.path}."
            )


def _check_alike(loaded: Sequence[LoadedCheckpoint]) -> None:
    """Streams of one ensemble see the same clip and name the same classes."""

    def what(one: LoadedCheckpoint) -> dict[str, object]:
        return {
            "codebase": one.codebase.name,
            "axes": one.spec.axes,
            "channels": one.spec.in_channels,
            "joints": one.spec.num_joints,
            "layout": one.match.layout.name if one.match else None,
            "classes": one.spec.num_classes,
            "frames": one.frames,
            "persons": one.persons,
        }

    first = what(loaded[0])
    for other in loaded[1:]:
        for name, value in what(other).items():
            if value != first[name]:
                raise UsageError(
                    f"{loaded[0].path} and {other.path} cannot be fused: {name} is {first[name]} in "
                    f"the first and {value} in the second."
                )


def _facts(
    members: Sequence[Member],
    loaded: Sequence[LoadedCheckpoint],
    space: Space,
    given: bool,
    weighted: bool,
) -> list[Fact]:
    why = "" if given else f"as {loaded[0].codebase.name} fuses"
    facts = [Fact("fusion", space, "option" if given else "assumed", why)]
    for member, one in zip(members, loaded, strict=True):
        facts.append(
            Fact(
                f"{member.stream} weight",
                member.weight,
                "option" if weighted else "assumed",
                one.path.name,
            )
        )
        if "motion" in member.stream and _is_pyskl(one.codebase.name):
            facts.append(
                Fact(
                    f"{member.stream} source",
                    "frames of the clip",
                    "assumed",
                    f"{one.codebase.name} takes motion before it samples frames; in one graph it is "
                    "taken from the sampled ones, which differs where frames are skipped",
                )
            )
    return facts
