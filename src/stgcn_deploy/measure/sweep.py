"""Which batch, threads and number of sessions are best on this machine.

A setting is timed in a process that is the only one at that time, and a new one in each round: what
other settings hold in memory or leave spinning is not in its numbers, and memory never holds two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_deploy.backends.built import sizes_of
from stgcn_deploy.errors import CheckFailedError, UsageError
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.measure.bench import MAX_SECONDS, Child, Contender, Row
from stgcn_deploy.measure.contenders import bundle_contenders
from stgcn_deploy.measure.environment import environment
from stgcn_deploy.measure.report import failure

__all__ = ["Measured", "Setting", "Sweep", "quick_settings", "run_sweep", "settings_for"]

WORKER = "stgcn_deploy.measure.sweep_worker"
# Others' share of the cores from which on a result says more about them.
BUSY = 0.3
# More settings than anyone waits for; a slip in a list of numbers.
MAX_SETTINGS = 1000


@dataclass(frozen=True)
class Setting:
    """One way to run a bundle.

    Attributes:
        batch: clips in one call.
        threads: of one session.
        instances: sessions that are called at the same time.
    """

    backend: str
    batch: int
    threads: int
    instances: int = 1

    @property
    def cores(self) -> int:
        """What it keeps busy."""
        return self.threads * self.instances

    @property
    def text(self) -> str:
        """In words."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        sessions = "1 session" if self.instances == 1 else f"{self.instances} sessions at once"
        return f"batch {self.batch}, {threads}, {sessions}"


@dataclass(frozen=True)
class Measured:
    """A setting's result.

    Attributes:
        row: latencies of one call while all sessions are busy.
        rates: clips per second of all sessions together, one number a round.
    """

    setting: Setting
    row: Row
    rates: tuple[float, ...]

    @property
    def latency_ms(self) -> float:
        """Median of one call; NaN where it did not run."""
        return self.row.percentile(50)

    @property
    def clips_per_s(self) -> float:
        """Median over the rounds; NaN where it did not run."""
        return float(np.median(self.rates)) if self.rates else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """For --json, raw samples included."""
        facts = self.row.as_dict()
        # That rate is of the network in one call, and says nothing of several at once.
        del facts["gmacs_per_s"]
        return {
            "backend": self.setting.backend,
            **facts,
            "threads": self.setting.threads,
            "instances": self.setting.instances,
            "cores": self.setting.cores,
            "clips_per_s": self.clips_per_s,
            "rates": list(self.rates),
        }


@dataclass(frozen=True)
class Sweep:
    """All settings of one bundle, with the machine they were measured on.

    Attributes:
        notes: what a reader should know, in words.
    """

    bundle: str
    measured: tuple[Measured, ...]
    environment: dict[str, Any]
    rounds: int
    notes: tuple[str, ...] = ()

    def ran(self, backend: str | None = None) -> tuple[Measured, ...]:
        """The settings with numbers, of one backend or of all."""
        return tuple(
            one
            for one in self.measured
            if failure(one.row) is None and backend in (None, one.setting.backend)
        )

    def lowest_latency(self, backend: str | None = None) -> Measured:
        """The shortest median of one call with the smallest batch, by as few sessions as were tried."""
        return min(
            self.ran(backend),
            key=lambda one: (
                one.setting.batch, one.setting.instances, one.latency_ms, one.setting.cores
            ),
        )  # fmt: skip

    def most_clips(self, backend: str | None = None) -> Measured:
        """The most clips per second; of equal ones that with the shorter call."""
        return max(self.ran(backend), key=lambda one: (one.clips_per_s, -one.latency_ms))

    @property
    def front(self) -> tuple[Measured, ...]:
        """Settings that no other beats in both latency and clips per second, fastest call first."""
        found: list[Measured] = []
        for one in sorted(self.ran(), key=lambda one: (one.latency_ms, -one.clips_per_s)):
            if not found or one.clips_per_s > found[-1].clips_per_s:
                found.append(one)
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """For --json; "front" holds places in "settings"."""
        places = {id(one): index for index, one in enumerate(self.measured)}
        return {
            "bundle": self.bundle,
            "environment": self.environment,
            "rounds": self.rounds,
            "settings": [one.as_dict() for one in self.measured],
            "lowest_latency": places[id(self.lowest_latency())],
            "most_clips": places[id(self.most_clips())],
            "front": [places[id(one)] for one in self.front],
            "notes": list(self.notes),
        }


def _doubled(low: int, high: int) -> tuple[int, ...]:
    """Powers of two from `low` to `high`, and both ends."""
    powers = (1 << exponent for exponent in range(high.bit_length()))
    return tuple(sorted({low, high, *(power for power in powers if low <= power <= high)}))


def settings_for(
    manifest: Manifest,
    backends: Sequence[str],
    cores: int,
    *,
    batches: Sequence[int] | None = None,
    threads: Sequence[int] | None = None,
    instances: Sequence[int] | None = None,
) -> tuple[Setting, ...]:
    """Every combination that the graph allows and the cores hold.

    Args:
        cores: that may be used; no setting keeps more threads busy.
        batches: None takes powers of two in the range that was verified, or the graph's fixed size; or
            those that files were built for.
        threads, instances: None takes powers of two up to `cores`, and `cores`.

    Raises:
        UsageError: numbers below 1, or no combination that fits on the cores.
    """
    for name, numbers in (("batch", batches), ("threads", threads), ("instances", instances)):
        if numbers is not None and (not numbers or min(numbers) < 1):
            raise UsageError(f"{name} takes numbers of at least 1, got {tuple(numbers)}.")
    usual = _doubled(1, cores)
    found = tuple(
        Setting(*values)
        for backend in dict.fromkeys(backends)
        for values in product(
            (backend,),
            dict.fromkeys(batches or _known_batches(manifest, backend)),
            dict.fromkeys(threads or usual),
            dict.fromkeys(instances or usual),
        )
        if values[2] * values[3] <= cores
    )
    if not found:
        raise UsageError(
            f"threads times instances must fit on {cores} usable core(s); got threads "
            f"{', '.join(map(str, threads or usual))} and instances "
            f"{', '.join(map(str, instances or usual))}."
        )
    if len(found) > MAX_SETTINGS:
        raise UsageError(
            f"{len(found)} settings are more than the {MAX_SETTINGS} that are tried at most; name "
            "fewer batches, threads or instances."
        )
    return found


def _known_batches(manifest: Manifest, backend: str) -> tuple[int, ...]:
    """Numbers of clips in one call: those that files were built for, else the range of the graph."""
    built = [sizes_of(manifest, one) for one in manifest.builds if one.target == backend]
    if built:
        return tuple(sorted({size for sizes in built for size in sizes}))
    fixed = (manifest.clip.batch, manifest.clip.batch)
    return _doubled(*manifest.clip.dynamic.get("N", fixed))


def quick_settings(manifest: Manifest, backend: str, cores: int) -> tuple[Setting, ...]:
    """What decides the lowest latency: threads alone, one session, the smallest batch."""
    batch = _known_batches(manifest, backend)[0]
    return settings_for(manifest, [backend], cores, batches=[batch], instances=[1])


class _Crew(Child):
    """A setting's process; it says how many calls a second all its sessions made together."""

    calls_per_s = float("nan")

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """See Child.ask."""
        answer = super().ask(message)
        self.calls_per_s = answer.get("calls_per_s", self.calls_per_s)
        return answer


def run_sweep(
    path: Path,
    settings: Sequence[Setting],
    *,
    duration: float = 3.0,
    rounds: int = 3,
    progress: Callable[[str], None] = lambda _: None,
) -> Sweep:
    """Time every setting for about `duration` seconds, a slice of it in each round.

    Args:
        duration: seconds for each setting, over all rounds; starting processes comes on top.
        rounds: how often the settings take turns; the order is reversed every other round.

    Raises:
        UsageError: a batch that the graph does not allow, or numbers that make no sense.
        CheckFailedError: no setting could run.
    """
    if not 0 < duration < MAX_SECONDS or rounds < 1:
        raise UsageError(
            f"duration and rounds must be positive (and at most {MAX_SECONDS} seconds); got "
            f"{duration} and {rounds}."
        )
    notes = _busy(environment())
    contenders = _contenders(path, settings)
    rows: dict[Setting, list[Row]] = {setting: [] for setting in contenders}
    rates: dict[Setting, list[float]] = {setting: [] for setting in contenders}
    for number in range(rounds):
        order = list(contenders) if number % 2 == 0 else list(reversed(contenders))
        for place, setting in enumerate(order):
            progress(f"round {number + 1} of {rounds}, {place + 1} of {len(order)}: {setting.text}")
            if any(row.error for row in rows[setting]):
                continue
            crew = _Crew(contenders[setting])
            with crew:
                crew.load()
                crew.sample(duration / rounds)
                rows[setting].append(crew.result())
            rates[setting].append(setting.batch * crew.calls_per_s)
    measured = tuple(_merged(one, rows[one], rates[one]) for one in contenders)
    if all(failure(one.row) for one in measured):
        reasons = "; ".join(dict.fromkeys(f"{one.row.error}" for one in measured))
        raise CheckFailedError(f"no setting could run, so nothing was measured: {reasons}")
    return Sweep(str(path), measured, environment(), rounds, notes)


def _busy(before: dict[str, Any]) -> tuple[str, ...]:
    """A note where the machine had other work before the sweep began."""
    load = next(iter(before["load_average"]), 0.0)
    if load <= BUSY * before["cores"]:
        return ()
    return (
        f"the machine was busy before this began (load {load:.1f} on {before['cores']} core(s)): what is "
        "best now may not be when it is idle",
    )


def _contenders(path: Path, settings: Iterable[Setting]) -> dict[Setting, Contender]:
    """What the worker is told of each setting."""
    plain: dict[tuple[str, int], Contender] = {}
    found = {}
    for setting in settings:
        key = (setting.backend, setting.batch)
        if key not in plain:
            (plain[key],) = bundle_contenders(path, setting.backend, [setting.batch], 1)
        one = plain[key]
        options = {
            **one.options,
            "threads": setting.cores,
            "each": setting.threads,
            "instances": setting.instances,
        }
        found[setting] = replace(one, name=setting.text, module=WORKER, options=options)
    return found


def _merged(setting: Setting, rows: Sequence[Row], rates: Sequence[float]) -> Measured:
    """The rounds of one setting; one that failed in any of them has no numbers."""
    broken = next((row for row in rows if row.error), None)
    if broken is not None:
        return Measured(setting, broken, ())
    together = replace(
        rows[0],
        samples_ms=tuple(value for row in rows for value in row.samples_ms),
        load_ms=float(np.median([row.load_ms for row in rows])),
        peak_rss_mb=max(row.peak_rss_mb for row in rows),
    )
    return Measured(setting, together, tuple(rates))
