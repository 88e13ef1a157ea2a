"""How each action moves: targets for the body's controls, blended in and out over time.

Every number is a habit that somebody may have: amplitudes, tempos and pauses are drawn anew for
each clip.  Angles are degrees, times seconds; the controls are explained in `_stage`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.synthetic.stage import Stage, come_from, fidget, go_away, walk_gait

__all__ = ["MOVES"]

Array = NDArray[np.float64]

_GRAVITY = 9.81


def _stand(stage: Stage) -> None:
    fidget(stage, int(stage.rng.integers(0, 5)))
    if stage.chance(0.12):
        # A few steps on arrival or departure do not make it a walk.
        length = stage.uniform(0.08, 0.2) * stage.window
        walk_gait(stage, 1 - stage.ramp(length, stage.span(0.3, 0.5)))


def _walk(stage: Stage) -> None:
    stage.travel = float(stage.rng.choice([0.0, 0.5, 1.0], p=[0.3, 0.2, 0.5]))
    weight = np.ones_like(stage.time)
    start, stop = 0.0, stage.window
    if stage.chance(0.35):
        start = stage.uniform(-0.1, 0.35) * stage.window
        weight = weight * stage.ramp(start, stage.span(0.4, 0.9))
    if stage.chance(0.35):
        stop = stage.uniform(0.6, 1.0) * stage.window
        weight = weight * (1 - stage.ramp(stop, stage.span(0.4, 0.9)))
    stage.mark(start, stop)
    walk_gait(stage, weight, rate=stage.uniform(0.65, 1.15))
    fidget(stage, int(stage.rng.integers(0, 2)))


def _fall(stage: Stage) -> None:
    duration = stage.span(0.7, 1.5)
    start = stage.uniform(0.05 * stage.window, stage.window - 1.0 * duration)
    stage.mark(start, start + duration)
    if stage.chance(0.45):
        walk_gait(stage, 1 - stage.ramp(start, 0.5 * duration))
    else:
        fidget(stage, int(stage.rng.integers(0, 2)))
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
    come_from(stage, start)
    rise = stage.span(0.4, 0.8)
    stage.mark(start, start + rise + duration)
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
    stage.mark(start, start + 0.35 + count * gap)
    come_from(stage, start)
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
    stage.mark(start, start + count * gap)
    come_from(stage, start)
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
    stage.mark(start, start + sum(lengths))
    come_from(stage, start)
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
    go_away(stage, start)


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
    stage.mark(start, start + duration)
    come_from(stage, start)
    effort = stage.pulse(start - 0.1, 0.55 * duration, 0.0, 0.6 * duration)
    _seat(stage, stage.ramp(start, duration), effort)
    fidget(stage, int(stage.rng.integers(0, 2)))


def _stand_up(stage: Stage) -> None:
    duration = stage.span(0.9, 2.2)
    start = stage.begin(duration)
    stage.mark(start, start + duration)
    effort = stage.pulse(start - 0.35 * duration, 0.5 * duration, 0.0, 0.7 * duration)
    go_away(stage, start + duration)
    _seat(stage, 1 - stage.ramp(start, duration), effort)
    fidget(stage, int(stage.rng.integers(0, 2)))


def _pick_up(stage: Stage) -> None:
    down, hold, rise = stage.span(0.6, 1.2), stage.span(0.1, 0.6), stage.span(0.6, 1.2)
    start = stage.begin(down + hold + rise)
    stage.mark(start, start + down + hold + rise)
    come_from(stage, start)
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
    go_away(stage, start + down + hold + rise)


def _jump(stage: Stage) -> None:
    count = int(stage.rng.integers(1, 4))
    gap = stage.span(1.2, 1.9)
    start = stage.begin(count * gap)
    stage.mark(start, start + count * gap)
    come_from(stage, start)
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
