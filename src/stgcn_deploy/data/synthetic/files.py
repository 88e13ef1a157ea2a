"""Synthetic clips and sequences as files: recordings made one at a time, for any format that is written.

.pkl     PYSKL annotations, raw: pixels of a 640 x 480 image and scores, or metres
.npy     prepared data (N, C, T, V, M), as ST-GCN's own, with the labels beside it
.jsonl   our key-point stream, raw; the only one for sequences, whose frames have labels each
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.dataset import Header, WritableFormat
from stgcn_deploy.data.formats import FORMATS
from stgcn_deploy.data.formats.keypoint_lines import StreamHeader
from stgcn_deploy.data.recording import UNLABELLED, Recording
from stgcn_deploy.data.synthetic.clips import (
    ClipSettings,
    as_recording,
    observe,
    sample_rng,
    stage_clip,
)
from stgcn_deploy.data.synthetic.sequences import ActionSequence, Script, generate_sequence
from stgcn_deploy.errors import UsageError
from stgcn_deploy.files import fresh_file
from stgcn_deploy.registry import nearest

__all__ = ["iter_recordings", "write_clips", "write_sequences"]

Clip = NDArray[np.float32]
Count = Callable[[int, int], None]

SUFFIXES = {".pkl": "pyskl", ".npy": "kinetics-npy", ".jsonl": "keypoints-jsonl"}
# MediaPipe's fractions are taken as they are; those of the others around the image's middle.
_FROM_THE_CORNER = ("mediapipe33", "handmp21")
# What `unique` may keep of scenes.
MOST_KEPT_BYTES = 512 << 20
# Decimals of x, y, score in pixels, and of metres; a stream of full float32 is three times as long.
_DECIMALS = {"xyv": (2, 2, 3), "xyz": (4, 4, 4)}


def iter_recordings(
    count: int,
    *,
    seed: int,
    settings: ClipSettings,
    actions: Sequence[str] | None = None,
    unique: int | None = None,
    prepared: bool = False,
) -> Iterator[Recording]:
    """Recordings of clips, one at a time; the same clips as `iter_dataset` makes.

    Args:
        unique: so many distinct performances, filmed once; beyond it they come again with other errors
            of the estimator.  For tests of load and size, where nobody looks at the accuracy.
        prepared: as networks see them, not as a pose estimator gives them.

    Raises:
        UsageError: a name or number that makes no sense; at the call.
    """
    names = settings.choose(actions)
    _at_least("clips", count, 1)
    _at_least("seed", seed, 0)
    if unique is not None:
        _at_least("unique", unique, len(names))
        _check_kept(min(unique, count), settings)

    def made() -> Iterator[Recording]:
        kept = []
        for index in range(count):
            first = index if unique is None else index % unique
            action = names[first % len(names)]
            if first == index:
                rng = sample_rng(seed, index)
                scene = stage_clip(action, settings, rng)
                if unique is not None:
                    kept.append(scene)
            else:
                rng, scene = sample_rng(seed, index, 1), kept[first]
            clip = observe(scene, settings, rng)
            again = f"_again_{index // unique}" if unique is not None and first != index else ""
            name, label = f"{action}_{first:06d}{again}", first % len(names)
            if prepared:
                layout = settings.casting.layout.name
                clip = _prepared(clip, settings)
                yield Recording(clip, layout, name=name, label=label, fps=settings.fps)
            else:
                yield as_recording(clip, settings, name=name, label=label)

    return made()


def write_clips(
    path: Path,
    count: int,
    *,
    seed: int,
    settings: ClipSettings,
    actions: Sequence[str] | None = None,
    unique: int | None = None,
    test_share: float | None = None,
    force: bool = False,
    progress: Count | None = None,
) -> dict[str, Any]:
    """Write labelled clips in the format that the name of the file asks for.

    Args:
        test_share: so much of each class goes into the split "test", the rest into "train".
        progress: is told how many are written, of how many.

    Returns:
        What was written.

    Raises:
        UsageError: a name or number that makes no sense, or a format that cannot hold it.
        OutputExistsError: the file is there, and `force` is not given.
    """
    chosen = _format_of(path)
    prepared = chosen == "kinetics-npy"
    classes = settings.choose(actions)
    if not prepared and settings.channels == "xyz":
        _check_metric(path, settings)
    if test_share is not None and chosen != "pyskl":
        raise UsageError(f"{path}: only .pkl files hold splits; leave --test-share out.")
    splits = {} if test_share is None else _splits(count, len(classes), test_share)
    recordings = iter_recordings(
        count, seed=seed, settings=settings, actions=actions, unique=unique, prepared=prepared
    )
    layout = settings.casting.layout.name
    written = cast("WritableFormat", FORMATS[chosen]).write(
        path,
        _counted(recordings, count, progress),
        Header(count, classes, layout, splits),
        force=force,
    )
    described = _described(path, chosen, seed, settings, classes)
    described |= {"clips": count, "unique": unique}
    if splits:
        described["splits"] = {name: len(indices) for name, indices in splits.items()}
    return described | {"written": written}


def write_sequences(
    path: Path,
    script: Script | float,
    count: int = 1,
    *,
    seed: int,
    settings: ClipSettings,
    actions: Sequence[str] | None = None,
    force: bool = False,
    progress: Count | None = None,
) -> dict[str, Any]:
    """Write continuous recordings, a label in each frame, as our key-point stream.

    Args:
        script: see `generate_sequence`; of several sequences each draws its own random one.

    Returns:
        What was written, and what goes on when in it.

    Raises:
        UsageError: a name or number that makes no sense, or another format.
        OutputExistsError: the file is there, and `force` is not given.
    """
    if path.suffix != ".jsonl":
        raise UsageError(
            f"{path}: the frames of a sequence have labels each, which only our stream holds; call it "
            f"{path.stem}.jsonl."
        )
    _at_least("clips", count, 1)
    classes = settings.choose(actions)
    if settings.channels == "xyz":
        _check_metric(path, settings)
    frames, sequences = 0, []
    with fresh_file(path, force=force) as partial, partial.open("w", encoding="utf-8") as file:
        for index in range(count):
            made = generate_sequence(
                script, seed=seed, actions=actions, settings=settings, index=index
            )
            _write_stream(file, made, settings)
            frames += len(made.labels)
            segments = [_rounded(asdict(segment)) for segment in made.segments]
            sequences.append({"name": made.recording.name, "segments": segments})
            if progress is not None:
                progress(index + 1, count)
    described = _described(path, "keypoints-jsonl", seed, settings, classes)
    del described["settings"]["frames"]
    written = {"records": count, "frames": frames, "files": {path.name: path.stat().st_size}}
    return described | {"sequences": sequences, "written": written}


def _described(
    path: Path, format_name: str, seed: int, settings: ClipSettings, classes: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "file": str(path),
        "format": format_name,
        "classes": list(classes),
        "seed": seed,
        "settings": asdict(settings),
    }


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(
            f"{name} is {value}, expected at least {least}"
            + (", the number of actions." if name == "unique" else ".")
        )


def _format_of(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        known = ", ".join(f"{suffix} ({name})" for suffix, name in SUFFIXES.items())
        raise UsageError(
            f"{path}: no format for {path.suffix or 'a name without an ending'}"
            f"{nearest(path.suffix, SUFFIXES)} Known: {known}."
        )
    return SUFFIXES[path.suffix]


def _check_metric(path: Path, settings: ClipSettings) -> None:
    layout = settings.casting.layout
    if layout.dimensions == 2:
        raise UsageError(
            f"{path}: raw numbers of {layout.name} are x, y, score, so metres would be taken for that. "
            "Write them as .npy, or take a layout with three dimensions."
        )


def _check_kept(scenes: int, settings: ClipSettings) -> None:
    joints = len(settings.casting.sources)
    values = 6 if settings.channels == "xyz" else 4
    size = settings.persons * settings.frames * joints * values * 8
    if scenes * size > MOST_KEPT_BYTES:
        raise UsageError(
            f"{scenes} unique clips would take {scenes * size >> 20} MiB of memory; at most "
            f"{MOST_KEPT_BYTES // size} of this size, or leave --unique out."
        )


def _splits(count: int, classes: int, share: float) -> dict[str, NDArray[np.int64]]:
    """Whole rounds through the classes, so that both splits are balanced."""
    rounds = np.arange(count) // classes
    test = np.floor((rounds + 1) * share) > np.floor(rounds * share)
    if not 0 < share < 1 or test.all() or not test.any():
        raise UsageError(
            f"a test share of {share} of {count} clips leaves a split empty; each class has "
            f"{count // classes} or {-(-count // classes)} clips, and the share is between 0 and 1."
        )
    return {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}


def _counted(
    recordings: Iterator[Recording], count: int, progress: Count | None
) -> Iterator[Recording]:
    for done, one in enumerate(recordings, 1):
        yield one
        if progress is not None:
            progress(done, count)


def _prepared(clip: Clip, settings: ClipSettings) -> Clip:
    """As ST-GCN's released data are: around the image's middle, lost joints at 0; metres as they are."""
    layout = settings.casting.layout.name
    if settings.channels == "xyv" and layout not in _FROM_THE_CORNER:
        clip[..., :2] = np.where(clip[..., 2:] > 0, clip[..., :2] - 0.5, 0)
    return clip


def _write_stream(file: TextIO, made: ActionSequence, settings: ClipSettings) -> None:
    """Header and frames of one sequence; a lost joint is null, a lost person is not there."""
    one = made.recording
    header = StreamHeader(
        layout=one.layout,
        fps=settings.fps,
        channels="xys" if settings.channels == "xyv" else "xyz",
        image_size=one.image_size,
        classes=made.classes,
        name=one.name,
        persons=tuple(range(len(one.clip))),
    )
    file.write(header.as_line() + "\n")
    there = np.asarray((one.clip != 0).any(axis=-1))
    decimals = _DECIMALS[settings.channels]
    columns = [np.round(one.clip[..., axis].astype(float), d) for axis, d in enumerate(decimals)]
    clip = np.stack(columns, axis=-1)
    for place in range(clip.shape[1]):
        persons = [
            {"id": slot, "keypoints": _joints(clip[slot, place], there[slot, place])}
            for slot in range(len(clip))
            if there[slot, place].any()
        ]
        frame: dict[str, Any] = {"t": round(place / settings.fps, 6), "persons": persons}
        if made.labels[place] != UNLABELLED:
            frame["label"] = int(made.labels[place])
        file.write(json.dumps(frame, separators=(",", ":")) + "\n")


def _joints(points: NDArray[np.float64], there: NDArray[np.bool_]) -> list[list[float] | None]:
    rows: list[list[float]] = points.tolist()
    return [row if known else None for row, known in zip(rows, there.tolist(), strict=True)]


def _rounded(value: dict[str, Any]) -> dict[str, Any]:
    return {key: round(x, 3) if isinstance(x, float) else x for key, x in value.items()}
