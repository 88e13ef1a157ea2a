"""How each gesture of a hand moves; see `_hand` for the controls and `_motions` for the way of writing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.synthetic.hand import FINGERS, HandStage

__all__ = ["GESTURES"]

Array = NDArray[np.float64]
Span = tuple[float, float]

_STRAIGHT: dict[str, Span] = {"base": (-8, 8), "bend": (0, 8)}
_CURLED: dict[str, Span] = {"base": (68, 88), "bend": (85, 105)}
_THUMB_SHAPES: dict[str, dict[str, Span]] = {
    "apart": {"out": (45, 62), "over": (0, 15), "base": (-5, 5), "bend": (-8, 5)},
    "folded": {"out": (12, 22), "over": (32, 44), "base": (35, 50), "bend": (30, 50)},
    "to_index": {"out": (16, 22), "over": (36, 42), "base": (11, 17), "bend": (18, 24)},
}
# Fingers fan out from the middle one.
_FAN = {"index": 12.0, "middle": 1.0, "ring": -10.0, "pinky": -22.0}


def _fingers(
    stage: HandStage, weight: Array | float, names: Iterable[str], shape: dict[str, Span]
) -> None:
    for finger in names:
        targets = {f"{finger}_{part}": stage.uniform(*span) for part, span in shape.items()}
        stage.blend(weight, **targets)


def _thumb(stage: HandStage, weight: Array | float, shape: str) -> None:
    parts = _THUMB_SHAPES[shape]
    stage.blend(weight, **{f"thumb_{part}": stage.uniform(*span) for part, span in parts.items()})


def _fan(stage: HandStage, weight: Array | float, size: float) -> None:
    stage.blend(weight, **{f"{finger}_spread": size * angle for finger, angle in _FAN.items()})


def _show(stage: HandStage) -> Array:
    """(T,) taken up, held and mostly left again: most gestures are shown so."""
    rise, hold, fall = stage.span(0.25, 0.6), stage.span(0.7, 2.2), stage.span(0.3, 0.7)
    start = stage.begin(rise + hold + fall)
    stage.mark(start, start + rise + hold)
    if stage.chance(0.25):
        return stage.ramp(start, rise)
    return stage.pulse(start, rise, hold, fall)


def _present(stage: HandStage, weight: Array) -> None:
    """A sign is held towards who is to see it."""
    stage.blend(weight, roll=stage.uniform(-20, 20), pitch=stage.uniform(0, 25))
    stage.blend(weight, flex=stage.uniform(-15, 10), sway=stage.uniform(-20, 15))
    stage.add(weight, up=stage.uniform(0, 8), near=stage.uniform(0, 6))


def _fidget(stage: HandStage, count: int) -> None:
    for _ in range(count):
        start = stage.uniform(0, stage.window)
        weight = stage.pulse(start, stage.span(0.3, 0.7), stage.span(0.1, 1.0), 0.5)
        kind = int(stage.rng.integers(3))
        if kind == 0:
            stage.add(weight, roll=stage.uniform(-35, 35), flex=stage.uniform(-15, 15))
        elif kind == 1:
            finger = FINGERS[int(stage.rng.integers(4))]
            stage.add(weight, **{f"{finger}_base": stage.uniform(-12, 25)})
        else:
            stage.add(weight, sway=stage.uniform(-12, 12), up=stage.uniform(-3, 3))


def _rest(stage: HandStage) -> None:
    _fidget(stage, int(stage.rng.integers(0, 4)))


def _open(stage: HandStage) -> None:
    weight = _show(stage)
    _present(stage, weight)
    _fingers(stage, weight, FINGERS, _STRAIGHT)
    _thumb(stage, weight, "apart")
    _fan(stage, weight, stage.uniform(0.7, 1.3))


def _fist(stage: HandStage) -> None:
    weight = _show(stage)
    _present(stage, weight)
    _fingers(stage, weight, FINGERS, _CURLED)
    _thumb(stage, weight, "folded")


def _point(stage: HandStage) -> None:
    weight = _show(stage)
    _present(stage, weight)
    _fingers(stage, weight, ("index",), _STRAIGHT)
    _fingers(stage, weight, FINGERS[1:], _CURLED)
    _thumb(stage, weight, "folded")
    if stage.chance(0.5):  # at something beside the viewer
        stage.add(weight, flex=stage.uniform(10, 35), near=stage.uniform(2, 8))


def _victory(stage: HandStage) -> None:
    weight = _show(stage)
    _present(stage, weight)
    _fingers(stage, weight, FINGERS[:2], _STRAIGHT)
    _fingers(stage, weight, FINGERS[2:], _CURLED)
    _thumb(stage, weight, "folded")
    apart = stage.uniform(10, 18)
    stage.blend(weight, index_spread=apart, middle_spread=-0.7 * apart)


def _thumb_up(stage: HandStage) -> None:
    weight = _show(stage)
    _fingers(stage, weight, FINGERS, _CURLED)
    _thumb(stage, weight, "apart")
    if stage.chance(0.5):  # the forearm towards the viewer
        stage.blend(weight, pitch=stage.uniform(60, 85), roll=stage.uniform(65, 105), sway=0.0)
    else:  # or across
        stage.blend(weight, sway=stage.uniform(60, 85), roll=stage.uniform(140, 190), pitch=10.0)
    stage.blend(weight, flex=0.0, deviate=stage.uniform(-5, 15))


def _pinch(stage: HandStage) -> None:
    count = int(stage.rng.integers(1, 4))
    gap = stage.span(0.7, 1.1)
    start = stage.begin(count * gap + 0.3)
    stage.mark(start, start + count * gap)
    ready = stage.pulse(start - 0.3, 0.4, count * gap, 0.5)
    _present(stage, ready)
    _fingers(stage, ready, FINGERS[1:], {"base": (15, 40), "bend": (15, 45)})
    stage.blend(ready, index_base=25.0, index_bend=25.0, index_spread=2.0)
    stage.blend(ready, thumb_out=35.0, thumb_over=40.0, thumb_base=0.0, thumb_bend=0.0)
    for index in range(count):
        closed = stage.pulse(start + index * gap, 0.35 * gap, 0.15 * gap, 0.35 * gap)
        _thumb(stage, closed, "to_index")
        stage.blend(closed, index_base=stage.uniform(49, 54), index_bend=stage.uniform(46, 52))


def _wave(stage: HandStage) -> None:
    rise, hold = stage.span(0.25, 0.5), stage.span(1.2, 3.0)
    start = stage.begin(rise + hold + 0.4)
    stage.mark(start, start + rise + hold)
    weight = stage.pulse(start, rise, hold, stage.span(0.3, 0.6))
    _present(stage, weight)
    _fingers(stage, weight, FINGERS, _STRAIGHT)
    _thumb(stage, weight, "apart")
    _fan(stage, weight, stage.uniform(0.2, 1.0))
    beat = weight * stage.oscillate(stage.uniform(1.2, 2.8))
    if stage.chance(0.75):  # the forearm swings, the wrist after it
        stage.add(beat, sway=stage.uniform(10, 24), deviate=stage.uniform(0, 14))
    else:  # only the wrist
        stage.add(beat, sway=3.0, deviate=stage.uniform(16, 26))


def _grab(stage: HandStage) -> None:
    out, close, back = stage.span(0.4, 0.8), stage.span(0.2, 0.4), stage.span(0.5, 0.9)
    start = stage.begin(out + close + back)
    stage.mark(start, start + out + close + back)
    reach = stage.pulse(start, out, close, back)
    _fingers(stage, reach, FINGERS, {"base": (10, 30), "bend": (5, 25)})
    _thumb(stage, reach, "apart")
    stage.add(reach, near=stage.uniform(6, 14), pitch=stage.uniform(5, 25), up=2.0)
    closed = stage.ramp(start + out, close)
    if stage.chance(0.5):
        closed = closed - stage.ramp(start + out + close + back, 0.5)
    _fingers(stage, closed, FINGERS, {"base": (50, 75), "bend": (55, 85)})
    _thumb(stage, closed, "folded")


def _beckon(stage: HandStage) -> None:
    duration = stage.span(1.4, 3.0)
    start = stage.begin(duration + 0.5)
    stage.mark(start, start + duration)
    weight = stage.pulse(start, stage.span(0.3, 0.6), duration, 0.5)
    # The palm is up, and to oneself.
    stage.blend(weight, roll=stage.uniform(150, 200), pitch=stage.uniform(0, 30))
    stage.blend(weight, flex=stage.uniform(5, 30))
    _thumb(stage, weight, "apart")
    beat = 0.5 + 0.5 * stage.oscillate(stage.uniform(1.2, 2.4))
    one = stage.chance(0.35)
    base, bend = stage.uniform(40, 65), stage.uniform(35, 75)
    for finger in FINGERS:
        still = one and finger != "index"
        targets: dict[str, Array | float] = {
            f"{finger}_base": 78.0 if still else 10 + base * beat,
            f"{finger}_bend": 95.0 if still else 10 + bend * beat,
        }
        stage.blend(weight, **targets)


def _swipe(stage: HandStage) -> None:
    count = int(stage.rng.integers(1, 3))
    gap = stage.span(1.1, 1.6)
    start = stage.begin(count * gap)
    stage.mark(start, start + count * gap)
    weight = stage.pulse(start - 0.2, 0.4, count * gap, 0.5)
    _present(stage, weight)
    _fingers(stage, weight, FINGERS, _STRAIGHT)
    way = 1.0 if stage.chance(0.5) else -1.0
    size = stage.uniform(9, 16)
    for index in range(count):
        at = start + index * gap
        ready = stage.pulse(at, 0.35 * gap, 0.0, 0.3 * gap)
        over = stage.pulse(at + 0.35 * gap, 0.22 * gap, 0.05 * gap, 0.38 * gap)
        stage.add(ready, right=-way * size, sway=-way * 14, deviate=-way * 12)
        stage.add(over, right=way * size, sway=way * 18, deviate=way * 16)


def _circle(stage: HandStage) -> None:
    turns = int(stage.rng.integers(1, 4))
    period = stage.span(0.7, 1.2)
    start = stage.begin(turns * period + 0.5)
    stage.mark(start, start + turns * period)
    weight = stage.pulse(start - 0.3, 0.5, turns * period, 0.5)
    _present(stage, weight)
    _fingers(stage, weight, ("index",), _STRAIGHT)
    _fingers(stage, weight, FINGERS[1:], _CURLED)
    _thumb(stage, weight, "folded")
    way = 1.0 if stage.chance(0.5) else -1.0
    passed = np.clip((stage.time - start) / period, 0, turns)
    angle = 2 * np.pi * way * passed + stage.uniform(0, 2 * np.pi)
    size = stage.uniform(3, 8)
    stage.add(weight * np.cos(angle), right=size)
    stage.add(weight * np.sin(angle), up=size)


GESTURES: dict[str, Callable[[HandStage], None]] = {
    "rest": _rest,
    "open": _open,
    "fist": _fist,
    "point": _point,
    "victory": _victory,
    "thumb_up": _thumb_up,
    "pinch": _pinch,
    "wave": _wave,
    "grab": _grab,
    "beckon": _beckon,
    "swipe": _swipe,
    "circle": _circle,
}
