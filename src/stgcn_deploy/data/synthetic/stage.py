"""The stage on which an action is performed, and what people do besides it.

A `Stage` holds one clip's body controls (D, T) in degrees.  An action writes the right-handed
version of itself in smooth blends; `Stage.mirror` makes the left-handed one.  Controls, all zero
when standing upright, arms hanging:

    lean side turn      pelvis: forward, to the right, to the left
    bend tilt twist     chest, relative to the pelvis, same senses
    nod cock look       head, relative to the chest, same senses
    <side>_fwd _out     upper arm, raised forward and outward
    <side>_spin         upper arm about itself, outward;   <side>_elbow   flexion
    <side>_hip _spread  thigh, raised forward and outward; <side>_knee    flexion
    <side>_toe          leg about itself, outward;         <side>_heel    heel raised, in the world
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.synthetic.body import SEGMENTS
from stgcn_deploy.data.synthetic.timeline import Timeline

__all__ = ["Stage", "come_from", "fidget", "go_away", "new_stage", "segment_angles", "walk_gait"]

Array = NDArray[np.float64]

_MIDDLE = ("lean", "side", "turn", "bend", "tilt", "twist", "nod", "cock", "look")
_LIMB = ("fwd", "out", "spin", "elbow", "hip", "spread", "toe", "knee", "heel")
_CONTROLS = (*_MIDDLE, *(f"{side}_{name}" for side in ("left", "right") for name in _LIMB))
_INDEX = {name: index for index, name in enumerate(_CONTROLS)}
_TURNS_WITH_MIRROR = [_INDEX[name] for name in ("side", "turn", "tilt", "twist", "cock", "look")]
_SWAPPED = np.array(
    [
        _INDEX[
            name.replace("left_", "right_")
            if name.startswith("left_")
            else name.replace("right_", "left_")
        ]
        for name in _CONTROLS
    ]
)
# An ankle turns between 40 degrees up and 60 down; beyond that the foot leaves the ground.
_ANKLE_UP, _ANKLE_DOWN = -40.0, 60.0


@dataclass
class Stage(Timeline):
    """One person's clip in the making; a Timeline of the body's controls.

    Attributes:
        lift: (T,) metres off the ground.
        heading: (T,) radians, to the left.
        swinging: (T,) 1 while the right leg swings freely and cannot carry the body.
        frame: seconds from one frame to the next.
        travel: 1 walks through the room, 0 on the spot (a treadmill, a following camera).
        drift: m/s forward while in the air.
    """

    INDEX: ClassVar[Mapping[str, int]] = _INDEX

    lift: Array
    heading: Array
    swinging: Array
    frame: float
    travel: float = 1.0
    drift: float = 0.0
    mirrored: bool = False

    def crouch(self, weight: Array | float, *, thigh: float, shank: float, lean: float) -> None:
        """Thighs and shanks at angles to the vertical, feet flat, the trunk leaning."""
        legs = {
            f"{side}_{name}": angle
            for side in ("left", "right")
            for name, angle in (("hip", thigh + lean), ("knee", thigh + shank), ("heel", 0.0))
        }
        self.blend(weight, lean=lean, **legs)

    def bow(self, weight: Array | float, angle: float) -> None:
        """Lean the trunk from the hips; the legs stay where they are."""
        self.add(weight, lean=angle, left_hip=angle, right_hip=angle)

    def mirror(self) -> None:
        """Exchange left and right."""
        self.controls = self.controls[_SWAPPED]
        self.controls[_TURNS_WITH_MIRROR] *= -1
        self.heading = -self.heading
        self.mirrored = not self.mirrored


def segment_angles(controls: Array) -> Array:
    """Body controls (D, T) in degrees -> segment angles (S, T, 3) in radians."""
    by_name = {name: controls[index] for name, index in _INDEX.items()}
    out = np.zeros((len(SEGMENTS), controls.shape[1], 3))
    rows = {
        "pelvis": (by_name["lean"], by_name["turn"], by_name["side"]),
        "chest": (by_name["bend"], by_name["twist"], by_name["tilt"]),
        "head": (by_name["nod"], by_name["look"], by_name["cock"]),
    }
    zero = np.zeros(controls.shape[1])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        limb = {name: by_name[f"{side}_{name}"] for name in _LIMB}
        flat = limb["heel"] - by_name["lean"] + limb["hip"] - limb["knee"]
        ankle = np.clip(flat, _ANKLE_UP, _ANKLE_DOWN)
        rows |= {
            f"{side}_upper_arm": (-limb["fwd"], sign * limb["spin"], sign * limb["out"]),
            f"{side}_forearm": (-limb["elbow"], zero, zero),
            f"{side}_thigh": (-limb["hip"], sign * limb["toe"], sign * limb["spread"]),
            f"{side}_shank": (limb["knee"], zero, zero),
            f"{side}_foot": (ankle, zero, zero),
        }
    for name, row in rows.items():
        # A positive turn about z takes "up" to the right, which is what `side` means; an arm
        # or leg hangs down, so the same turn takes it to the left, its `out`.
        out[SEGMENTS.index(name)] = np.stack(row, axis=-1)
    return np.deg2rad(out)


_ARM_POSTURES: tuple[dict[str, float], ...] = (
    {"fwd": -12, "out": 38, "spin": -55, "elbow": 95},  # hand on the hip
    {"fwd": 32, "out": 2, "spin": -55, "elbow": 100},  # folded over the chest
    {"fwd": -14, "out": 14, "spin": -10, "elbow": 35},  # in the pocket
    {"fwd": 30, "out": 6, "spin": -25, "elbow": 105},  # holding a telephone
    {"fwd": -22, "out": 8, "spin": -60, "elbow": 60},  # behind the back
)


def _stand_at_ease(stage: Stage) -> None:
    """A relaxed stance of random habit, and the slow sway of every control."""
    stage.add(1, bend=stage.uniform(0, 9), nod=stage.uniform(-4, 14), lean=stage.uniform(-2, 3))
    for side in ("left", "right"):
        stage.add(
            1,
            **{
                f"{side}_fwd": stage.uniform(-6, 8),
                f"{side}_out": stage.uniform(4, 13),
                f"{side}_spin": stage.uniform(-20, 10),
                f"{side}_elbow": stage.uniform(6, 28),
                f"{side}_hip": stage.uniform(0, 4),
                f"{side}_knee": stage.uniform(1, 7),
                f"{side}_spread": stage.uniform(1, 7),
                f"{side}_toe": stage.uniform(2, 18),
            },
        )
    if stage.chance(0.4):
        _hold_arms(stage, 1.0)
    size = np.full((len(_CONTROLS), 2, 1), stage.uniform(0.3, 1.1))
    size[[_INDEX[name] for name in ("look", "nod", "twist", "left_elbow", "right_elbow")]] *= 2.5
    shape = (len(_CONTROLS), 2, 1)
    rate, phase = stage.rng.uniform(0.08, 0.6, shape), stage.rng.uniform(0, 6.3, shape)
    stage.controls += (size * np.sin(2 * np.pi * rate * stage.time + phase)).sum(axis=1)


def _hold_arms(stage: Stage, weight: Array | float) -> None:
    posture = _ARM_POSTURES[int(stage.rng.integers(len(_ARM_POSTURES)))]
    sides = ("left", "right") if stage.chance(0.5) else ("left",)
    for side in sides:
        stage.blend(
            weight,
            **{f"{side}_{name}": angle + stage.uniform(-6, 6) for name, angle in posture.items()},
        )


def fidget(stage: Stage, count: int) -> None:
    """What people do while they do nothing: look about, shift weight, gesture, scratch."""
    for _ in range(count):
        rise, hold = stage.span(0.5, 1.1), stage.span(0.2, 2.0)
        weight = stage.pulse(stage.uniform(0, stage.window), rise, hold, stage.span(0.5, 1.1))
        kind = int(stage.rng.integers(6))
        if kind == 0:
            stage.add(weight, look=stage.uniform(-65, 65), nod=stage.uniform(-15, 25))
        elif kind == 1:
            amount = stage.uniform(-7, 7)
            stage.add(weight, side=amount, tilt=-1.2 * amount, right_knee=stage.uniform(0, 18))
        elif kind == 2:
            talk = 16 * stage.oscillate(stage.uniform(0.5, 1.3))
            elbow, fwd = stage.uniform(55, 95), stage.uniform(5, 25)
            stage.blend(weight, right_elbow=elbow + talk, right_fwd=fwd + 0.4 * talk)
        elif kind == 3:
            scratch = 7 * stage.oscillate(stage.uniform(1.5, 3.0))
            out = stage.uniform(25, 70)
            stage.blend(weight, right_fwd=50, right_out=out, right_elbow=125 + scratch)
        elif kind == 4:
            _hold_arms(stage, weight)
        else:
            stage.add(weight, twist=stage.uniform(-30, 30), bend=stage.uniform(-6, 14))


def walk_gait(stage: Stage, weight: Array, *, rate: float | None = None) -> None:
    """Walking, blended in by `weight` (T,): heel strike of the right foot at phase 0."""
    cycle = rate or stage.uniform(0.75, 1.1)
    stride = stage.uniform(0.65, 1.1)
    phase0 = stage.uniform(0, 2 * np.pi)
    swing = stage.uniform(0.3, 1.2)
    lean = stage.uniform(0, 6)
    for side, shift in (("right", 0.0), ("left", np.pi)):
        phase = 2 * np.pi * cycle * stage.time + phase0 + shift

        def bump(centre: float, sharpness: float, phase: Array = phase) -> Array:
            return np.asarray(np.exp(sharpness * (np.cos(phase - centre) - 1)))

        # The third harmonic makes the standing leg turn evenly, so the body keeps its speed.
        hip = stride * (24 * np.cos(phase) + 2.5 * np.cos(3 * phase) + 5)
        knee = 4 + 12 * bump(0.26 * np.pi, 6) + (34 + 24 * stride) * bump(1.44 * np.pi, 4)
        heel = stride * (-16 * bump(0.0, 8) + 50 * bump(1.2 * np.pi, 6))
        leg = {"hip": hip + lean, "knee": knee, "heel": heel}
        stage.blend(weight, **{f"{side}_{name}": angle for name, angle in leg.items()})
        stage.blend(weight, **{f"{side}_spread": 2.0})
        # The arm swings against its leg, and the elbow bends as it comes forward.
        back = -np.cos(phase)
        stage.add(weight * swing * back, **{f"{side}_fwd": 22.0, f"{side}_elbow": 9.0})
    beat = np.cos(2 * np.pi * cycle * stage.time + phase0)
    stage.blend(weight, lean=lean)
    # The pelvis turns with the leading leg, the chest against it.
    stage.add(weight * beat * stride, turn=6.0, twist=-11.0, look=5.0)
    stage.heading += np.cumsum(weight) * stage.frame * np.deg2rad(stage.uniform(-22, 22))


def come_from(stage: Stage, start: float) -> None:
    """Walk up before the action, now and then."""
    if stage.chance(0.25) and start > 0.12 * stage.window:
        walk_gait(stage, 1 - stage.ramp(start - stage.span(0.5, 0.9), stage.span(0.4, 0.7)))


def go_away(stage: Stage, end: float) -> None:
    """Walk off after the action, now and then."""
    if stage.chance(0.3) and end < 0.88 * stage.window:
        walk_gait(stage, stage.ramp(end - stage.span(0.0, 0.3), stage.span(0.4, 0.8)))


def new_stage(
    rng: np.random.Generator, frames: int, fps: float, window: float | None = None
) -> Stage:
    """An empty stage of `frames` frames with somebody standing at ease.

    Args:
        window: seconds in which the action is to happen; all of them without.
    """
    seconds = frames / fps
    window = window or seconds
    stage = Stage(
        rng=rng,
        time=np.arange(frames) / fps,
        window=window,
        pace=min(1.0, window / 4.0),
        controls=np.zeros((len(_CONTROLS), frames)),
        happens=(0.0, window),
        lift=np.zeros(frames),
        heading=np.zeros(frames),
        swinging=np.zeros(frames),
        frame=1 / max(frames, 1) * seconds,
    )
    _stand_at_ease(stage)
    return stage
