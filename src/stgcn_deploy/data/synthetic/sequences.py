"""Long recordings in which one action follows another, without a jump of the body in between.

Every action is performed on a stage of its own, as in a clip, and goes on a little after its time while
the next one is blended in, in joint angles: bones keep their length, and the floor carries the body
through the change as it does in any motion.  A camera that follows keeps walkers in the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.recording import UNLABELLED, Recording
from stgcn_deploy.data.synthetic.clips import ClipSettings, as_recording, film, observe, sample_rng
from stgcn_deploy.data.synthetic.figures import Figure, Tracks
from stgcn_deploy.data.synthetic.timeline import ramp
from stgcn_deploy.errors import UsageError

__all__ = ["ActionSequence", "Segment", "generate_sequence", "random_script"]

Array = NDArray[np.float64]
Script = Sequence[tuple[str, float]]

# A change takes longer the farther the body has to go.
_SHORTEST_CHANGE_S, _LONGEST_CHANGE_S = 0.4, 2.2
_DEGREES_PER_S = 100.0
# Of an action's time, at most this share passes before the one before it is gone.
_CHANGE_SHARE = 0.6
# Who is asked to stand up is seated first.
_BEFORE, _AFTER = {"stand_up": "sit_down"}, {"sit_down": "stand_up"}
# An hour at 25 frames a second; the whole of it lies in memory.
MOST_FRAMES = 90_000
_SEGMENT_S = (3.0, 7.0)


@dataclass(frozen=True)
class Segment:
    """One action of a sequence; all times in seconds from the beginning.

    Attributes:
        label: its index among the sequence's classes.
        start: when the script changes to it.
        settled: when nothing of the action before it is left; its frames have its label from here on.
        onset: when the first of the persons begins the movement that names the action.
        offset: when the last of them has finished it; they then stay as they are, or stand.
        end: when the script changes to the next.
    """

    action: str
    label: int
    start: float
    settled: float
    onset: float
    offset: float
    end: float


@dataclass(frozen=True)
class ActionSequence:
    """A recording with what goes on when.

    Attributes:
        recording: its label is that of the whole: UNLABELLED, unless there is only one segment.
        labels: (T,) class of each frame; UNLABELLED while one action turns into the next.
    """

    recording: Recording
    labels: NDArray[np.int64]
    segments: tuple[Segment, ...]
    classes: tuple[str, ...]


def random_script(
    seconds: float, actions: Sequence[str], rng: np.random.Generator
) -> tuple[tuple[str, float], ...]:
    """Actions of 3 to 7 seconds each, `seconds` in all; none twice in a row where there are others.

    Raises:
        UsageError: no actions, or no time.
    """
    _require(len(actions) > 0, "a script needs actions to choose from.")
    _require(0 < seconds < np.inf, f"a sequence of {seconds} s; give a time above 0.")
    script: list[tuple[str, float]] = []
    left, last = seconds, ""
    while left > 0:
        length = min(left, round(float(rng.uniform(*_SEGMENT_S)), 2))
        if left - length < _SEGMENT_S[0]:
            length = left
        others = [action for action in actions if action != last] or list(actions)
        drawn = others[int(rng.integers(len(others)))]
        if _AFTER.get(last) in actions:
            drawn = _AFTER[last]
        elif _BEFORE.get(drawn) in actions:
            drawn = _BEFORE[drawn]
        script.append((drawn, length))
        left, last = round(left - length, 6), drawn
    return tuple(script)


def generate_sequence(
    script: Script | float,
    *,
    seed: int,
    actions: Sequence[str] | None = None,
    settings: ClipSettings | None = None,
    index: int = 0,
) -> ActionSequence:
    """A continuous recording (M, T, V, C) of a script.

    Args:
        script: (action, seconds) in order, or so many seconds of a random script.
        actions: the classes, and what a random script draws from; all of the layout's without.
        settings: as of clips; `frames` comes from the script.
        index: with another one, another sequence of the same seed.

    Raises:
        UsageError: a name or number that makes no sense.
    """
    settings = settings or ClipSettings()
    classes = settings.choose(actions)
    _require(seed >= 0, f"seed is {seed}; give a whole number of 0 or more.")
    rng = sample_rng(seed, index)
    if isinstance(script, (int, float)):
        script = random_script(script, classes, rng)
    edges = _edges(script, settings.fps)
    settings.choose([action for action, _ in script])
    for action, _ in script:
        _require(action in classes, f"the script's {action!r} is not among the actions chosen.")
    settings = replace(settings, frames=int(edges[-1]))
    figure, joints = settings.casting.figure, settings.casting.joints
    placed, parts = [], []
    for _ in range(settings.persons):
        one = figure.one(rng)
        performed = [
            _perform(figure, action, start, end, settings, rng)
            for (action, _), (start, end) in zip(script, pairwise(edges), strict=True)
        ]
        tracks = _joined(performed, settings.fps)
        turn = float(rng.uniform(0, 2 * np.pi))
        placed.append(figure.place(one, tracks, turn, settings.fps, joints, follow=True))
        parts.append(performed)
    clip = observe(film(np.stack(placed), settings, rng), settings, rng)
    segments = _segments(script, edges, parts, classes, settings.fps)
    labels = np.full(settings.frames, UNLABELLED, np.int64)
    for segment in segments:
        first, last = (round(t * settings.fps) for t in (segment.settled, segment.end))
        labels[first:last] = segment.label
    whole = segments[0].label if len(segments) == 1 else UNLABELLED
    recording = as_recording(clip, settings, name=f"sequence_{index:04d}", label=whole)
    return ActionSequence(recording, labels, segments, classes)


@dataclass
class _Part:
    """One person's performance of one action.

    Attributes:
        first: frame of the sequence with which its tracks begin.
        change: frames during which the one before it is still there.
        happens: see Timeline.
    """

    tracks: Tracks
    first: int
    frames: int
    happens: tuple[float, float]
    change: int = 0


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def _edges(script: Script, fps: float) -> list[int]:
    """First frame of each action, and the number of all frames."""
    _require(len(script) > 0, "the script is empty; give (action, seconds), ...")
    for action, seconds in script:
        fits = np.isfinite(seconds) and round(seconds * fps) >= 2
        _require(
            bool(fits), f"{action!r} for {seconds} s: at {fps:g} fps that is less than 2 frames."
        )
    total = sum(seconds for _, seconds in script)
    _require(
        total * fps <= MOST_FRAMES,
        f"a sequence of {total * fps:.0f} frames; at most {MOST_FRAMES}. Make several.",
    )
    ends = np.cumsum([seconds for _, seconds in script]) * fps
    return [0, *(round(float(end)) for end in ends)]


def _perform(
    figure: Figure,
    action: str,
    start: int,
    end: int,
    settings: ClipSettings,
    rng: np.random.Generator,
) -> _Part:
    """One action in its time, and on for as long as the next one may need to take over."""
    beyond = int(np.ceil(_LONGEST_CHANGE_S * settings.fps))
    window = (end - start) / settings.fps
    stage = figure.stage(rng, end - start + beyond, settings.fps, window)
    tracks = figure.perform(action, stage)
    return _Part(tracks, start, end - start, stage.happens)


def _joined(parts: Sequence[_Part], fps: float) -> Tracks:
    """One performance after the other as one; says in each how long it took to take over."""
    made = {name: track[..., : parts[0].frames] for name, track in parts[0].tracks.items()}
    for before, after in pairwise(parts):
        change = after.change = _change(before, after, fps)
        weight = ramp(np.arange(1.0, change + 1), 0, change + 1)
        for name, track in after.tracks.items():
            old = before.tracks[name][..., before.frames : before.frames + change]
            new = track[..., : after.frames].copy()
            if name == "heading":
                # An angle without an origin: it goes on from where it is, at a blended rate.
                rate = np.diff(new, prepend=new[..., :1])
                was = np.diff(before.tracks[name])[..., before.frames - 1 :][..., :change]
                rate[..., :change] = (1 - weight) * was + weight * rate[..., :change]
                new = made[name][..., -1:] + np.cumsum(rate, axis=-1)
            else:
                new[..., :change] = (1 - weight) * old + weight * new[..., :change]
            made[name] = np.concatenate([made[name], new], axis=-1)
    return made


def _change(before: _Part, after: _Part, fps: float) -> int:
    """Frames that it takes from one performance to the next."""
    here = before.tracks["controls"][:, before.frames]
    way = float(np.abs(here - after.tracks["controls"][:, 0]).max())
    seconds = min(_SHORTEST_CHANGE_S + way / _DEGREES_PER_S, _LONGEST_CHANGE_S)
    return max(1, min(round(seconds * fps), int(_CHANGE_SHARE * after.frames)))


def _segments(
    script: Script,
    edges: Sequence[int],
    persons: Iterable[Sequence[_Part]],
    classes: tuple[str, ...],
    fps: float,
) -> tuple[Segment, ...]:
    """What the persons did, together."""
    made = []
    for number, parts in enumerate(zip(*persons, strict=True)):
        start, end = edges[number] / fps, edges[number + 1] / fps
        action = script[number][0]
        made.append(
            Segment(
                action=action,
                label=classes.index(action),
                start=start,
                settled=start + max(part.change for part in parts) / fps,
                onset=start + min(part.happens[0] for part in parts),
                offset=start + max(part.happens[1] for part in parts),
                end=end,
            )
        )
    return tuple(made)
