"""How each action moves: body controls in degrees over time, composed of smooth blends.

A `Stage` holds one clip's controls (D, T).  An action writes the right-handed version of itself;
`Stage.mirror` makes the left-handed one.  Controls, all zero when standing upright, arms hanging:

    lean side turn      pelvis: forward, to the right, to the left
    bend tilt twist     chest, relative to the pelvis, same senses
    nod cock look       head, relative to the chest, same senses
    <side>_fwd _out     upper arm, raised forward and outward
    <side>_spin         upper arm about itself, outward;   <side>_elbow   flexion
    <side>_hip _spread  thigh, raised forward and outward; <side>_knee    flexion
    <side>_toe          leg about itself, outward;         <side>_heel    heel raised, in the world
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data._body import SEGMENTS

__all__ = ["MOVES", "Stage", "new_stage"]

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
_GRAVITY = 9.81


def _ramp(time: Array, start: float, duration: float) -> Array:
    """0 -> 1 with zero speed and acceleration at both ends (minimum jerk)."""
    s = np.clip((time - start) / max(duration, 1e-6), 0.0, 1.0)
    return np.asarray(s * s * s * (10 - 15 * s + 6 * s * s))


@dataclass
class Stage:
    """One clip in the making.

    Attributes:
        time: (T,) seconds.
        controls: (D, T) degrees.
        lift: (T,) metres off the ground.
        heading: (T,) radians, to the left.
        pace: < 1 in short windows, where everything has to happen faster.
        travel: 1 walks through the room, 0 on the spot (a treadmill, a following camera).
        drift: m/s forward while in the air.
        swinging: (T,) 1 while the right leg swings freely and cannot carry the body.
    """

    rng: np.random.Generator
    time: Array
    window: float
    pace: float
    controls: Array
    lift: Array
    heading: Array
    swinging: Array
    travel: float = 1.0
    drift: float = 0.0
    mirrored: bool = False

    def uniform(self, low: float, high: float) -> float:
        """One number from [low, high)."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def span(self, low: float, high: float) -> float:
        """A duration in seconds, shortened in short windows."""
        return self.uniform(low, high) * self.pace

    def begin(self, duration: float) -> float:
        """A start time from which most of `duration` still fits into the window."""
        latest = max(self.window - 0.92 * duration, 0.03 * self.window)
        return self.uniform(0.02 * self.window, latest)

    def ramp(self, start: float, duration: float) -> Array:
        """(T,) smooth 0 -> 1."""
        return _ramp(self.time, start, duration)

    def pulse(self, start: float, rise: float, hold: float, fall: float) -> Array:
        """(T,) smooth 0 -> 1 -> 0."""
        return self.ramp(start, rise) - self.ramp(start + rise + hold, fall)

    def blend(self, weight: Array | float, **targets: Array | float) -> None:
        """Move the named controls towards their targets."""
        for name, target in targets.items():
            row = self.controls[_INDEX[name]]
            row += weight * (target - row)

    def add(self, weight: Array | float, **amounts: float) -> None:
        """Add to the named controls."""
        for name, amount in amounts.items():
            self.controls[_INDEX[name]] += weight * amount

    def oscillate(self, frequency: float) -> Array:
        """(T,) sine of random phase whose rate wanders by a few per cent."""
        wander = self.uniform(0.05, 0.35) * np.sin(
            2 * np.pi * self.uniform(0.1, 0.4) * self.time + self.uniform(0, 6.3)
        )
        phase = 2 * np.pi * frequency * self.time + self.uniform(0, 6.3)
        return np.asarray(np.sin(phase + wander))

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

    def angles(self) -> Array:
        """Segment angles (S, T, 3) in radians."""
        by_name = {name: self.controls[index] for name, index in _INDEX.items()}
        out = np.zeros((len(SEGMENTS), len(self.time), 3))
        rows = {
            "pelvis": (by_name["lean"], by_name["turn"], by_name["side"]),
            "chest": (by_name["bend"], by_name["twist"], by_name["tilt"]),
            "head": (by_name["nod"], by_name["look"], by_name["cock"]),
        }
        zero = np.zeros(len(self.time))
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


# ---- what every clip has ---------------------------------------------------------------------

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


def _fidget(stage: Stage, count: int) -> None:
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


def _gait(stage: Stage, weight: Array, *, rate: float | None = None) -> None:
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
    step = 1 / max(len(stage.time), 1) * stage.window
    stage.heading += np.cumsum(weight) * step * np.deg2rad(stage.uniform(-22, 22))


def _come_from(stage: Stage, start: float) -> None:
    """Walk up before the action, now and then."""
    if stage.chance(0.25) and start > 0.12 * stage.window:
        _gait(stage, 1 - stage.ramp(start - stage.span(0.5, 0.9), stage.span(0.4, 0.7)))


def _go_away(stage: Stage, end: float) -> None:
    """Walk off after the action, now and then."""
    if stage.chance(0.3) and end < 0.88 * stage.window:
        _gait(stage, stage.ramp(end - stage.span(0.0, 0.3), stage.span(0.4, 0.8)))


# ---- the actions -----------------------------------------------------------------------------


def _stand(stage: Stage) -> None:
    _fidget(stage, int(stage.rng.integers(0, 5)))
    if stage.chance(0.12):
        # A few steps on arrival or departure do not make it a walk.
        length = stage.uniform(0.08, 0.2) * stage.window
        _gait(stage, 1 - stage.ramp(length, stage.span(0.3, 0.5)))


def _walk(stage: Stage) -> None:
    stage.travel = float(stage.rng.choice([0.0, 0.5, 1.0], p=[0.3, 0.2, 0.5]))
    weight = np.ones_like(stage.time)
    if stage.chance(0.35):
        weight = weight * stage.ramp(stage.uniform(-0.1, 0.35) * stage.window, stage.span(0.4, 0.9))
    if stage.chance(0.35):
        stop = stage.uniform(0.6, 1.0) * stage.window
        weight = weight * (1 - stage.ramp(stop, stage.span(0.4, 0.9)))
    _gait(stage, weight, rate=stage.uniform(0.65, 1.15))
    _fidget(stage, int(stage.rng.integers(0, 2)))


def _fall(stage: Stage) -> None:
    duration = stage.span(0.7, 1.5)
    start = stage.uniform(0.05 * stage.window, stage.window - 1.0 * duration)
    if stage.chance(0.45):
        _gait(stage, 1 - stage.ramp(start, 0.5 * duration))
    else:
        _fidget(stage, int(stage.rng.integers(0, 2)))
    # A toppling body gathers speed and stops at once; the ramp only rounds the corners.
    s = np.clip((stage.time - start) / duration, 0, 1)
    topple = s ** stage.uniform(1.7, 2.4)
    crumple = stage.ramp(start - 0.1 * duration, 0.8 * duration)
    where = stage.uniform(-np.pi, np.pi)
    # People fall forward, backward or aside; the diagonal in between is rarer.
    where = where - 0.18 * np.sin(4 * where)
    ahead, aside = float(np.cos(where)), float(np.sin(where))
    knees, hips = stage.uniform(5, 75), stage.uniform(0, 50)
    final_knees = [stage.uniform(5, 80) for _ in range(2)]
    buckle = crumple * (1 - 0.6 * topple)
    for side, final in zip(("left", "right"), final_knees, strict=True):
        stage.blend(buckle, **{f"{side}_knee": knees, f"{side}_hip": hips})
        hip = stage.uniform(-5, 15) + 0.5 * final
        rest = {f"{side}_knee": final, f"{side}_hip": hip, f"{side}_spread": stage.uniform(2, 14)}
        stage.blend(topple, **rest)
        reach = stage.uniform(0.4, 1.0)
        throw = {
            f"{side}_fwd": reach * (60 * ahead + 45),
            f"{side}_out": reach * (25 + 60 * abs(aside)),
            f"{side}_elbow": stage.uniform(10, 80),
        }
        stage.blend(stage.ramp(start, 0.6 * duration), **throw)
    total = stage.uniform(78, 92)
    stage.blend(topple, lean=total * ahead, side=total * aside)
    stage.blend(topple, bend=stage.uniform(-8, 22), nod=stage.uniform(-10, 20))
    bounce = stage.pulse(start + duration, 0.12, 0.0, 0.35)
    stage.add(bounce, bend=stage.uniform(-5, 5), lean=-6 * ahead, side=-6 * aside)


def _wave(stage: Stage) -> None:
    duration = stage.span(1.2, 4.0)
    start = stage.begin(duration + 0.8)
    _come_from(stage, start)
    rise = stage.span(0.4, 0.8)
    weight = stage.pulse(start, rise, duration, stage.span(0.4, 0.8))
    beat = stage.oscillate(stage.uniform(1.0, 2.6))
    style, size = int(stage.rng.integers(3)), stage.uniform(0.6, 1.4)
    for side in ("right", "left") if stage.chance(0.12) else ("right",):
        pose: dict[str, Array | float]
        if style == 0:  # upper arm level, forearm swinging above it
            pose = {
                "fwd": stage.uniform(0, 30),
                "out": stage.uniform(55, 105),
                "spin": stage.uniform(65, 100),
                "elbow": stage.uniform(60, 90) + 22 * size * beat,
            }
        elif style == 1:  # elbow low, hand before the shoulder
            pose = {
                "fwd": stage.uniform(25, 55),
                "out": stage.uniform(10, 40),
                "spin": 15 + 26 * size * beat,
                "elbow": stage.uniform(105, 135),
            }
        else:  # the whole arm overhead
            pose = {
                "fwd": stage.uniform(0, 40),
                "out": stage.uniform(135, 160) + 14 * size * beat,
                "spin": stage.uniform(0, 60),
                "elbow": stage.uniform(10, 40) + 8 * size * beat,
            }
        stage.blend(weight, **{f"{side}_{name}": target for name, target in pose.items()})
    stage.add(weight * beat, tilt=1.5)


def _punch(stage: Stage) -> None:
    count = int(stage.rng.integers(2, 6))
    gap = stage.span(0.5, 0.9)
    start = stage.begin(count * gap + 0.8)
    _come_from(stage, start)
    guard = stage.pulse(start - 0.3, 0.5, count * gap, stage.span(0.5, 0.9))
    raised = stage.uniform(0.3, 1.0)
    for side in ("left", "right"):
        fist = {"fwd": 30, "out": 14, "spin": -12, "elbow": stage.uniform(100, 130)}
        stage.blend(raised * guard, **{f"{side}_{name}": angle for name, angle in fist.items()})
    stage.crouch(0.8 * guard, thigh=14, shank=10, lean=6)
    stage.add(guard, left_hip=14, right_hip=-10, bend=6)
    hook = stage.chance(0.3)
    for index in range(count):
        left = index % 2 == 1 and stage.chance(0.7)
        side, sign = ("left", -1.0) if left else ("right", 1.0)
        rise = stage.span(0.12, 0.22)
        strike = stage.pulse(start + 0.35 + index * gap, rise, 0.05, stage.span(0.18, 0.35))
        high = stage.uniform(70, 100)
        target = {"fwd": high, "out": stage.uniform(-8, 10), "elbow": stage.uniform(4, 25)}
        if hook:
            target = {"fwd": 0.7 * high, "out": 45, "elbow": stage.uniform(70, 95), "spin": 5}
        stage.blend(strike, **{f"{side}_{name}": angle for name, angle in target.items()})
        stage.add(strike, twist=sign * stage.uniform(15, 40), bend=stage.uniform(0, 12))


def _kick(stage: Stage) -> None:
    count = int(stage.rng.integers(1, 4))
    gap = stage.span(1.0, 1.6)
    start = stage.begin(count * gap + 0.4)
    _come_from(stage, start)
    style = int(stage.rng.integers(3))
    for index in range(count):
        at = start + index * gap + stage.uniform(0, 0.15)
        chamber = stage.pulse(at, stage.span(0.25, 0.4), stage.span(0.12, 0.25), 0.35)
        strike = stage.pulse(at + 0.25 * stage.pace, stage.span(0.17, 0.28), 0.06, 0.3)
        height = stage.uniform(45, 100)
        stage.swinging = np.maximum(stage.swinging, np.maximum(chamber, strike))
        if style == 0:  # forward, knee first
            stage.blend(chamber, right_hip=0.8 * height, right_knee=95, right_heel=20)
            stage.blend(strike, right_hip=height, right_knee=stage.uniform(4, 25))
            stage.add(strike, bend=-stage.uniform(4, 16))
        elif style == 1:  # at a ball: swing back, then through
            stage.blend(chamber, right_hip=-28, right_knee=85, right_heel=60)
            low = 0.65 * height
            stage.blend(strike, right_hip=low, right_knee=stage.uniform(4, 20), right_heel=10)
            stage.add(chamber, twist=-10)
        else:  # to the side
            stage.blend(chamber, right_hip=60, right_spread=25, right_knee=90)
            out = 0.75 * height
            stage.blend(strike, right_hip=20, right_spread=out, right_knee=stage.uniform(4, 25))
            stage.add(strike, tilt=-stage.uniform(8, 25))
        stage.blend(chamber, left_knee=stage.uniform(6, 20), left_hip=stage.uniform(4, 12))
        arms = stage.uniform(0.2, 1.0)
        stage.add(chamber * arms, left_out=28, right_out=24, left_elbow=30, right_elbow=25)
        stage.add(strike * arms, left_fwd=30, right_fwd=-20)


def _reach_put_away(stage: Stage) -> None:
    count = int(stage.rng.integers(1, 3))
    lengths = [stage.span(1.8, 3.0) for _ in range(count)]
    start = stage.begin(sum(lengths))
    _come_from(stage, start)
    for length in lengths:
        # Reach out, take; draw the hand back and down, and leave it at the hip or the pocket.
        reach = stage.pulse(start, 0.3 * length, 0.15 * length, 0.25 * length)
        away = stage.pulse(start + 0.48 * length, 0.25 * length, 0.12 * length, 0.25 * length)
        stage.blend(
            reach,
            right_fwd=stage.uniform(45, 115),
            right_out=stage.uniform(-12, 40),
            right_elbow=stage.uniform(5, 40),
        )
        stage.add(reach, twist=stage.uniform(0, 25), bend=stage.uniform(0, 22))
        stage.bow(reach, stage.uniform(0, 15))
        stage.blend(
            away,
            right_fwd=stage.uniform(-38, -15),
            right_out=stage.uniform(8, 28),
            right_spin=stage.uniform(-45, -5),
            right_elbow=stage.uniform(55, 95),
        )
        stage.add(away, look=-stage.uniform(0, 35), nod=stage.uniform(0, 25), twist=-6)
        start += length
    _go_away(stage, start)


def _seat(stage: Stage, weight: Array, effort: Array) -> None:
    """Seated by `weight` (T,); `effort` (T,) is the bow that carries the weight over the feet."""
    thigh, shank = stage.uniform(72, 102), stage.uniform(-4, 18)
    stage.crouch(weight, thigh=thigh, shank=shank, lean=stage.uniform(-14, 10))
    stage.add(effort, left_knee=10, right_knee=10)
    stage.bow(effort, stage.uniform(18, 45))
    stage.add(effort, bend=stage.uniform(0, 15), left_fwd=25, right_fwd=25, nod=-8)
    style = stage.uniform(0, 1)
    for side in ("left", "right"):
        spread, knee = stage.uniform(0, 16), stage.uniform(-8, 8)
        stage.add(weight, **{f"{side}_spread": spread, f"{side}_knee": knee})
        if style < 0.7:  # hands on the thighs
            stage.blend(
                weight,
                **{
                    f"{side}_fwd": stage.uniform(18, 42),
                    f"{side}_elbow": stage.uniform(35, 75),
                    f"{side}_spin": stage.uniform(-35, 0),
                },
            )
    stage.add(weight, bend=stage.uniform(-4, 14))


def _sit_down(stage: Stage) -> None:
    duration = stage.span(0.9, 2.2)
    start = stage.begin(duration)
    _come_from(stage, start)
    effort = stage.pulse(start - 0.1, 0.55 * duration, 0.0, 0.6 * duration)
    _seat(stage, stage.ramp(start, duration), effort)
    _fidget(stage, int(stage.rng.integers(0, 2)))


def _stand_up(stage: Stage) -> None:
    duration = stage.span(0.9, 2.2)
    start = stage.begin(duration)
    effort = stage.pulse(start - 0.35 * duration, 0.5 * duration, 0.0, 0.7 * duration)
    _go_away(stage, start + duration)
    _seat(stage, 1 - stage.ramp(start, duration), effort)
    _fidget(stage, int(stage.rng.integers(0, 2)))


def _pick_up(stage: Stage) -> None:
    down, hold, rise = stage.span(0.6, 1.2), stage.span(0.1, 0.6), stage.span(0.6, 1.2)
    start = stage.begin(down + hold + rise)
    _come_from(stage, start)
    weight = stage.pulse(start, down, hold, rise)
    if stage.chance(0.55):  # stoop
        lean, bend = stage.uniform(45, 75), stage.uniform(25, 45)
        stage.crouch(weight, thigh=stage.uniform(8, 35), shank=stage.uniform(0, 10), lean=lean)
    else:  # squat
        lean, bend = stage.uniform(20, 45), stage.uniform(15, 30)
        stage.crouch(weight, thigh=stage.uniform(80, 115), shank=stage.uniform(22, 34), lean=lean)
    stage.blend(weight, bend=bend, nod=stage.uniform(-20, 10))
    carry = stage.ramp(start + down + hold, rise) * (0.0 if stage.chance(0.4) else 1.0)
    both = stage.chance(0.4)
    for side in ("right", "left"):
        # Hanging straight down from a tilted chest means raised forward by the tilt.
        hang = (lean + bend) * stage.uniform(0.85, 1.1)
        if side == "left" and not both:
            # The other hand hangs loosely or rests on the thigh.
            rest = hang * stage.uniform(0.45, 0.9)
            stage.blend(weight, left_fwd=rest, left_elbow=stage.uniform(10, 60))
            continue
        stage.blend(weight, **{f"{side}_fwd": hang, f"{side}_elbow": stage.uniform(4, 25)})
        hold_up = {"fwd": stage.uniform(0, 25), "elbow": stage.uniform(60, 100), "out": 8.0}
        stage.blend(carry, **{f"{side}_{name}": angle for name, angle in hold_up.items()})
    _go_away(stage, start + down + hold + rise)


def _jump(stage: Stage) -> None:
    count = int(stage.rng.integers(1, 4))
    gap = stage.span(1.2, 1.9)
    start = stage.begin(count * gap)
    _come_from(stage, start)
    stage.drift = stage.uniform(-0.1, 0.9) if stage.chance(0.4) else 0.0
    swing = stage.uniform(0.1, 1.0)
    for side in ("left", "right"):  # nobody jumps with folded arms
        loose = {"fwd": 0.0, "out": 9.0, "spin": -10.0, "elbow": 22.0}
        stage.blend(0.9, **{f"{side}_{name}": angle for name, angle in loose.items()})
    for index in range(count):
        take_off = start + index * gap + 0.55 * stage.pace
        height = stage.uniform(0.08, 0.42)
        flight = 2 * np.sqrt(2 * height / _GRAVITY)
        dip = stage.pulse(take_off - 0.6 * stage.pace, 0.4 * stage.pace, 0.02, 0.17)
        land = stage.pulse(take_off + flight - 0.04, 0.16, 0.03, 0.35 * stage.pace)
        depth = stage.uniform(0.5, 1.0)
        stage.crouch(dip * depth, thigh=60, shank=30, lean=32)
        stage.crouch(land * depth * 0.8, thigh=52, shank=28, lean=26)
        air = stage.pulse(take_off - 0.1, 0.12, max(flight - 0.1, 0.0), 0.1)
        stage.add(air, left_heel=38, right_heel=38)
        tuck = stage.uniform(0, 30)
        stage.add(air, left_knee=tuck, right_knee=tuck, left_hip=0.6 * tuck, right_hip=0.6 * tuck)
        up = stage.pulse(take_off - 0.25, 0.36, 0.4 * flight, 0.5)
        stage.add(dip * swing, left_fwd=-35, right_fwd=-35)
        reach = stage.uniform(40, 120)
        stage.blend(up * swing, left_fwd=reach, right_fwd=reach, left_elbow=25, right_elbow=25)
        s = np.clip((stage.time - take_off) / flight, 0, 1)
        stage.lift = np.maximum(stage.lift, 4 * height * s * (1 - s))


MOVES: dict[str, Callable[[Stage], None]] = {
    "stand": _stand,
    "walk": _walk,
    "fall": _fall,
    "wave": _wave,
    "punch": _punch,
    "kick": _kick,
    "reach_put_away": _reach_put_away,
    "sit_down": _sit_down,
    "stand_up": _stand_up,
    "pick_up": _pick_up,
    "jump": _jump,
}


def new_stage(rng: np.random.Generator, frames: int, fps: float) -> Stage:
    """An empty stage of `frames` frames with somebody standing at ease."""
    time = np.arange(frames) / fps
    window = frames / fps
    stage = Stage(
        rng=rng,
        time=time,
        window=window,
        pace=min(1.0, window / 4.0),
        controls=np.zeros((len(_CONTROLS), frames)),
        lift=np.zeros(frames),
        heading=np.zeros(frames),
        swinging=np.zeros(frames),
    )
    _stand_at_ease(stage)
    return stage
