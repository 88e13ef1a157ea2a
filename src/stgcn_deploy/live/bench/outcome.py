"""What one run gave, whether it counts, and whether it is good enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from stgcn_deploy.live.bench.plan import BenchPlan

__all__ = ["LATE_MS", "Limits", "Outcome", "share"]

# A simulation whose frames come so late (99th percentile) is no longer one of cameras.
LATE_MS = 40.0
# Of the frames that cameras gave, so many may be on their way when a run ends.
ON_THE_WAY = 0.02
# Of the windows that fall due when everybody is seen all the time; fewer is not the load asked for.
LEAST_LOAD = 0.9


def share(part: float, whole: float) -> float:
    """NaN of nothing."""
    return part / whole if whole else float("nan")


@dataclass(frozen=True)
class Outcome:
    """One run.

    Attributes:
        plan: what was asked for.
        seconds: measured, without the warm-up.
        frames: "given" by the cameras, "ok" looked at, drops by reason, "waiting" at the end.
        windows: "expected" if everybody is seen all the time, "due", "ok", drops by reason.
        events: by type.
        delays: "people", "result", "event", from the frame's arrival: p50, p95, p99, max in ms and count.
        lateness: of the simulated cameras, by which frames came after their time; the same.
        batches: number of batches by size.
        levels: seconds at each level of degradation; level_changes: (second, level).
        usage: see resources.Usage.
        curves: by kind, [second, p50, p99, max, count]; ms.
        samples: by kind, some of the raw values, {"t": seconds, "ms": values}.
        by_camera: by kind, the p99 of each camera, ms.
        states: (second, camera, state, reason); told: (second, type, camera, label) of events.
        deepest: the most that waited in each queue.
        history: (second, MiB, files, threads).
        stopped: why it ended early, "" where it did not.
        failures: cameras that were given up.
        clean: whether all threads ended in time.
    """

    plan: dict[str, Any]
    seconds: float
    frames: dict[str, int]
    windows: dict[str, float]
    events: dict[str, int]
    delays: dict[str, dict[str, float]]
    lateness: dict[str, float]
    batches: dict[str, int]
    levels: dict[str, float]
    level_changes: list[list[float]]
    usage: dict[str, Any]
    curves: dict[str, list[list[float]]] = field(repr=False)
    samples: dict[str, dict[str, list[float]]] = field(repr=False)
    by_camera: dict[str, dict[str, float]] = field(repr=False)
    states: list[list[Any]] = field(repr=False)
    told: list[list[Any]] = field(repr=False)
    deepest: dict[str, int]
    history: list[list[float]] = field(repr=False)
    stopped: str = ""
    failures: dict[str, str] = field(default_factory=dict)
    clean: bool = True

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Outcome:
        """What as_dict gave."""
        return cls(**{one.name: value[one.name] for one in fields(cls)})

    def as_dict(self) -> dict[str, Any]:
        """Plain values, with what follows from them."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            **found,
            "frames_dropped_share": self.frames_dropped,
            "windows_lost_share": self.windows_lost,
            "invalid": self.invalid(),
        }

    @property
    def asked(self) -> BenchPlan:
        """The plan as it was."""
        return BenchPlan.model_validate(self.plan)

    @property
    def frames_dropped(self) -> float:
        """Share of the frames that went no further."""
        counted = {name: n for name, n in self.frames.items() if name not in ("given", "waiting")}
        return share(sum(counted.values()) - counted.get("ok", 0), sum(counted.values()))

    @property
    def windows_lost(self) -> float:
        """Share of the windows due that were not answered: a newer one came first, no room, it failed."""
        lost = sum(self.windows.get(name, 0) for name in ("coalesced", "overflow", "failed"))
        return share(lost, self.windows.get("due", 0))

    def delay(self, kind: str, which: str = "p99") -> float:
        """In ms; NaN where nothing of the kind was measured."""
        return self.delays.get(kind, {}).get(which, float("nan"))

    def invalid(self) -> list[str]:
        """Why the numbers say nothing about that many cameras; [] where they do."""
        plan, wrong = self.asked, []
        if not self.frames.get("ok"):
            wrong.append("no frame was looked at, so nothing was measured")
        late = self.lateness.get("p99", float("inf"))
        if not plan.streams and not late <= LATE_MS:
            wrong.append(
                f"the simulated cameras themselves were late by {late:.0f} ms (p99, limit {LATE_MS:.0f}): "
                "this machine cannot play them and be measured"
            )
        if plan.contender == "live":
            wrong += self._missing(plan)
        if self.failures:
            names = ", ".join(f"{name} ({why})" for name, why in sorted(self.failures.items()))
            wrong.append(f"cameras were given up: {names}")
        return wrong

    def _missing(self, plan: BenchPlan) -> list[str]:
        wrong = []
        given, waiting = self.frames.get("given", 0), self.frames.get("waiting", 0)
        if waiting > ON_THE_WAY * given + 2 * plan.cameras:
            wrong.append(f"{waiting} of {given} frames are not accounted for")
        if not plan.faults and not self.windows.get("ok"):
            wrong.append("no window was answered, so nothing was measured of the network")
        whole = not plan.images and not plan.faults and not plan.ladder and plan.data is None
        load = share(self.windows.get("due", 0), self.windows.get("expected", 0))
        # A short run is not a whole number of strides.
        slack = 2 * plan.stride / plan.duration
        if whole and load < LEAST_LOAD - slack:
            wrong.append(
                f"only {load:.0%} of the windows fell due that so many people ask for: the load was not "
                "what it should be"
            )
        return wrong


@dataclass(frozen=True)
class Limits:
    """What is good enough.

    Attributes:
        drops: share of frames; lost: share of windows.
        delay_ms: 99th percentile from a window's newest frame to its answer; None: the stride.
        age_ms: 99th percentile from a frame to the people in it; None: not judged.
    """

    drops: float = 0.01
    lost: float = 0.01
    delay_ms: float | None = None
    age_ms: float | None = None

    def broken(self, outcome: Outcome) -> list[str]:
        """What is not good enough, in words with numbers; [] where all is."""
        wrong = list(outcome.invalid())
        if not outcome.frames_dropped <= self.drops:
            wrong.append(f"{outcome.frames_dropped:.1%} of frames dropped (limit {self.drops:.0%})")
        if outcome.windows.get("due") and not outcome.windows_lost <= self.lost:
            wrong.append(f"{outcome.windows_lost:.1%} of windows lost (limit {self.lost:.0%})")
        most = 1e3 * outcome.asked.stride if self.delay_ms is None else self.delay_ms
        if not outcome.delay("result") < most:
            wrong.append(
                f"p99 from frame to answer {outcome.delay('result'):.0f} ms (limit {most:.0f})"
            )
        if self.age_ms is not None and not outcome.delay("people") < self.age_ms:
            wrong.append(
                f"p99 from frame to people {outcome.delay('people'):.0f} ms (limit {self.age_ms:.0f})"
            )
        return wrong
