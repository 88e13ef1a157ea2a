"""A long run in which cameras do wrong one after the other, and whether anything else notices.

First a quiet time, against which the rest is measured; then one fault after the other, with time between
them to come back.  Every check has numbers; one that had nothing to look at fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from math import isfinite

import numpy as np

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.bench.outcome import Outcome
from stgcn_deploy.live.bench.plan import BenchPlan, Fault, FaultKind, camera_name
from stgcn_deploy.live.bench.resources import slope_per_hour

__all__ = ["Check", "SoakLimits", "checks", "failed", "faults_for"]

KINDS: tuple[FaultKind, ...] = ("killed", "frozen", "corrupt", "refused")
QUIET_SHARE = 1 / 6
# The first share of the history in which caches and pools fill.
SETTLING = 0.2
# A camera waits at most so long before it is opened again, then up to a fifth more; then it opens.
LONGEST_WAIT, JITTER, OPENING = 30.0, 1.2, 3.0
# An answer to a window of before a fault may come so much later.
ON_THE_WAY = 1.0


@dataclass(frozen=True)
class Check:
    """One verdict.

    Attributes:
        good: None: there was too little to tell, which is no pass.
    """

    name: str
    good: bool | None
    numbers: str


@dataclass(frozen=True)
class SoakLimits:
    """What is good enough.

    Attributes:
        change: of the other cameras' p99, as a share of the quiet time's.
        floor_ms: differences below it are noise of the clock and the scheduler.
        slope_mb: growth of memory in an hour.
        least_seconds: a shorter run says nothing about memory.
    """

    change: float = 0.10
    floor_ms: float = 5.0
    slope_mb: float = 16.0
    least_seconds: float = 300.0


def faults_for(
    duration: float, *, cameras: int, every: float = 60.0, length: float = 20.0
) -> tuple[Fault, ...]:
    """One fault after the other after a quiet time, on the first half of the cameras in turn.

    Raises:
        UsageError: there is no time for a single one, or no camera to leave alone.
    """
    if cameras < 2 or not 0 < length < every or duration * (1 - QUIET_SHARE) < every:
        raise UsageError(
            f"{cameras} cameras for {duration:g} s with a fault of {length:g} s every {every:g} s: there "
            "must be two cameras, time between faults, and time for one after the quiet time."
        )
    found = []
    start = duration * QUIET_SHARE
    faulty, kinds = cycle(range(max(1, cameras // 2))), cycle(KINDS)
    while start + every <= duration + 1e-9:
        found.append(Fault(camera=next(faulty), kind=next(kinds), start=start, end=start + length))
        start += every
    return tuple(found)


def checks(outcome: Outcome, window: float, limits: SoakLimits | None = None) -> list[Check]:
    """All verdicts.

    Args:
        window: seconds that the network looks at, of which half must be seen before an answer.
    """
    limits = limits or SoakLimits()
    plan = outcome.asked
    invalid = outcome.invalid()
    return [
        Check("the run counts", not invalid and not outcome.stopped, "; ".join(invalid) or "yes"),
        _steady(outcome, plan, "people", limits),
        _steady(outcome, plan, "result", limits),
        _no_false_starts(outcome, plan, 0.5 * window),
        _back_in_time(outcome, plan),
        _memory(outcome, limits),
        _flat(outcome, "open files", 2),
        _flat(outcome, "threads", 3),
    ]


def _steady(outcome: Outcome, plan: BenchPlan, kind: str, limits: SoakLimits) -> Check:
    """The other cameras' p99 during faults against the quiet time's."""
    title = {"people": "frame to people", "result": "frame to answer"}[kind]
    name = f"the other cameras' p99, {title}"
    kept = outcome.samples.get(kind, {})
    t, ms = np.array(kept.get("t", [])), np.array(kept.get("ms", []))
    others = ~np.isin(np.array(kept.get("camera", [])), [fault.camera for fault in plan.faults])
    during = np.zeros(len(t), bool)
    for fault in plan.faults:
        during |= (t >= fault.start) & (t < fault.end)
    before = t < min((fault.start for fault in plan.faults), default=0.0)
    quiet, loud = ms[others & before], ms[others & during]
    if len(quiet) < 100 or len(loud) < 100:
        return Check(name, None, f"only {len(quiet)} and {len(loud)} values")
    was, now = float(np.percentile(quiet, 99)), float(np.percentile(loud, 99))
    good = now - was <= max(limits.change * was, limits.floor_ms)
    return Check(
        name,
        good,
        f"{was:.1f} ms while all was quiet, {now:.1f} ms during faults ({now / was - 1:+.0%})",
    )


def _no_false_starts(outcome: Outcome, plan: BenchPlan, seen: float) -> Check:
    """No action begins of a camera that is away, nor before it was seen again for `seen` seconds."""
    name = "no action begins across a gap"
    starts = [(t, camera) for t, kind, camera, _ in outcome.told if kind == "action_start"]
    wrong = []
    for fault in plan.faults:
        if fault.kind == "corrupt":
            continue
        camera = camera_name(fault.camera)
        back = _back(outcome, fault)
        until = (fault.end if back is None else back) + seen
        wrong += [
            t for t, one in starts if one == camera and fault.start + ON_THE_WAY < t < until - 0.1
        ]
    if not starts:
        return Check(name, None, "no action began at all")
    places = ", ".join(f"{t:.1f} s" for t in wrong[:5])
    return Check(
        name, not wrong, f"{len(starts)} began, {len(wrong)} of them across a gap {places}".strip()
    )


def _back(outcome: Outcome, fault: Fault) -> float | None:
    """When a camera was running again after its fault; None: it was never lost, or never came back."""
    camera = camera_name(fault.camera)
    mine = [(t, state) for t, one, state, _ in outcome.states if one == camera and t >= fault.start]
    away = next((t for t, state in mine if state in ("backoff", "stalled")), None)
    if away is None:
        return None
    return next((t for t, state in mine if state == "running" and t > away), None)


def _back_in_time(outcome: Outcome, plan: BenchPlan) -> Check:
    """Every camera that was away is back within the wait that was in force."""
    name = "cameras come back within their back-off"
    away = [fault for fault in plan.faults if fault.kind != "corrupt"]
    if not away:
        return Check(name, None, "no camera was away")
    waits, late = [], []
    for fault in away:
        back = _back(outcome, fault)
        # Waits double: the one in force is as long as all before it together, and half a second.
        most = JITTER * min(LONGEST_WAIT, fault.end - fault.start + 1.0) + OPENING
        wait = float("inf") if back is None else back - fault.end
        waits.append(wait)
        if not wait <= most:
            late.append(f"{fault.kind} at {fault.start:.0f} s: {wait:.1f} s (limit {most:.1f})")
    known = [wait for wait in waits if isfinite(wait)]
    longest = max(known, default=float("nan"))
    numbers = f"{len(away)} times away, back {longest:.1f} s after the fault at most"
    return Check(name, not late, "; ".join([numbers, *late]))


def _settled(outcome: Outcome) -> list[list[float]]:
    return [row for row in outcome.history if row[0] >= SETTLING * outcome.seconds]


def _memory(outcome: Outcome, limits: SoakLimits) -> Check:
    name = "memory does not grow"
    rows = _settled(outcome)
    slope = slope_per_hour([row[0] for row in rows], [row[1] for row in rows])
    numbers = f"{slope:+.1f} MiB an hour (limit {limits.slope_mb:.0f})"
    if rows:
        numbers += f", {rows[0][1]:.0f} MiB, {rows[-1][1]:.0f} at the end"
    if outcome.seconds < limits.least_seconds or not isfinite(slope):
        return Check(name, None, f"{numbers}; too short to tell")
    return Check(name, slope <= limits.slope_mb, numbers)


def _flat(outcome: Outcome, what: str, column: int) -> Check:
    """As many at the end as at the beginning; in between a camera that comes back may hold some more."""
    values = [int(row[column]) for row in outcome.history]
    if len(values) < 2:
        return Check(f"{what} do not grow", None, "not measured")
    return Check(
        f"{what} do not grow",
        values[-1] <= values[0],
        f"{values[0]} at the beginning, {values[-1]} at the end, {max(values)} at most",
    )


def failed(found: Sequence[Check]) -> list[Check]:
    """Those that are not good, or could not be told."""
    return [one for one in found if not one.good]
