"""stgcn bench-live: what it measures, when it fails, and what a camera that does wrong does to others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stgcn_deploy import api
from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.bench import launch as launching
from stgcn_deploy.live.bench.delay import DelayPlan, detection_delay, simulate
from stgcn_deploy.live.bench.launch import launch
from stgcn_deploy.live.bench.outcome import Outcome
from stgcn_deploy.live.bench.plan import BenchPlan, Fault
from stgcn_deploy.live.bench.soak import checks

# Processes, servers and browsers of their own: left out of the quick check.
pytestmark = pytest.mark.slow

# A machine that runs other tests may be too slow to play cameras: then that is what has to be said.
SLOW = "the simulated cameras themselves were late"


@pytest.fixture
def bundle(example: Callable[..., Any]) -> Path:
    """Windows of 0.8 s of one person."""
    made: Path = example("twostream", persons=1, fps=25.0, dynamic="batch").bundle
    return made


def only_slow(outcome: Outcome) -> bool:
    return all(text.startswith(SLOW) for text in outcome.invalid())


@pytest.mark.parametrize("contender", ["live", "naive"])
def test_a_run_measures_frames_windows_and_itself(bundle: Path, contender: str) -> None:
    plan = BenchPlan(
        bundle=str(bundle), cameras=2, persons=2, contender=contender,  # type: ignore[arg-type]
        stride=0.2, warmup=0, duration=2.0,
    )  # fmt: skip
    said: list[str] = []
    found = launch(plan, said.append)
    assert only_slow(found), found.invalid()
    assert found.frames["given"] > 20
    assert found.frames["ok"] > 0
    # Those that fell due while it was warm may be answered after it.
    assert found.windows["due"] + plan.cameras >= found.windows["ok"] > 0
    assert set(found.delays) >= {"people", "result"}
    assert found.delays["people"]["count"] == found.frames["ok"]
    assert found.usage["cores"] > 0
    assert found.usage["rss_mb"]["peak"] > 10
    assert found.curves["people"]
    assert found.samples["result"]["ms"]
    assert found.clean
    assert said[0].startswith("2 cameras, warming up")


def test_the_command_prints_draws_and_keeps_what_it_measured(
    bundle: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    raw, plot = tmp_path / "raw.json", tmp_path / "plot.png"
    done = cli(
        "bench-live", bundle, "--cameras", 1, "--stride", 0.2, "--warmup", 0, "--duration", 1.5,
        "--raw", raw, "--plot", plot,
    )  # fmt: skip
    assert done.code == (1 if SLOW in done.err else 0), done.err
    assert "frame to answer: p50 ms" in done.out
    assert plot.read_bytes().startswith(b"\x89PNG")
    value = json.loads(raw.read_text())
    assert value["runs"][0]["outcome"]["samples"]["people"]["ms"]
    again = cli("bench-live", bundle, "--raw", raw)
    assert again.code == 2
    assert "--force" in again.err


# ---- what is asked for, without running it ---------------------------------------------------


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[BenchPlan]:
    """Runs that are only noted; more than 6 cameras are too many."""
    from unit.test_live_bench import good

    plans: list[BenchPlan] = []

    def play(plan: BenchPlan, progress: object = None) -> Outcome:
        plans.append(plan)
        made = good(plan.cameras)
        late = {"people": {"p99": 5.0}, "result": {"p99": 80.0 if plan.cameras <= 6 else 5000.0}}
        curves = {kind: [[0.0, 1.0, 2.0, 3.0, 4.0]] for kind in ("people", "result")}
        return replace(made, plan=plan.model_dump(mode="json"), delays=late, curves=curves)

    monkeypatch.setattr(launching, "launch", play)
    return plans


def test_search_and_overload_use_what_was_found(played: list[BenchPlan]) -> None:
    found = api.bench_live("b", search=True, overload=1.5, naive=True, duration=10)
    assert found.found is not None
    assert found.found.cameras == 6
    assert [run.title for run in found.runs] == [
        "6 cameras", "9 cameras (1.5 times 6)", "naive, 9 cameras (1.5 times 6)",
    ]  # fmt: skip
    overload, naive = played[-2:]
    assert (overload.cameras, overload.ladder, overload.contender) == (9, True, "live")
    assert (naive.cameras, naive.ladder, naive.contender) == (9, False, "naive")
    assert {plan.ladder for plan in played[:-2]} == {False}
    assert {plan.duration for plan in played} == {5.0, 10.0}
    assert found.broken == []


def test_limits_decide_the_exit_code(played: list[BenchPlan], cli: Callable[..., Any]) -> None:
    assert cli("bench-live", "b", "--cameras", 7).code == 0
    late = cli("bench-live", "b", "--cameras", 7, "--max-p99-ms", 100)
    assert late.code == 1
    assert "p99 from frame to answer 5000 ms (limit 100)" in late.err
    assert cli("bench-live", "b", "--cameras", 2, "--max-p99-ms", 100, "--json").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cameras": 2, "search": True}, "either a number of cameras, or --search"),
        ({"data": "a.npy", "clips": "clips"}, "either recordings"),
        ({"cameras": 2, "overload": 0.5}, "a factor above 1"),
        ({"cameras": 0}, "cameras"),
        ({"duration": 0.0}, "duration"),
        ({"loss": 1.0}, "loss"),
    ],
)
def test_what_makes_no_sense_is_refused(
    played: list[BenchPlan], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        api.bench_live("b", **options)
    assert played == []


# ---- detection delay ---------------------------------------------------------------------------


def test_an_oracle_is_told_within_a_stride(example: Callable[..., Any]) -> None:
    """A network that knew what the newest frame shows would be found to be so quick."""
    import numpy as np

    from stgcn_deploy.bundle import read_manifest
    from stgcn_deploy.data.synthetic.sequences import generate_sequence
    from stgcn_deploy.live.bench.delay import decided, judge
    from stgcn_deploy.live.decide import Decider
    from stgcn_deploy.live.people import WindowShape
    from stgcn_deploy.live.settings import DecideSettings
    from stgcn_deploy.live.windows import Result, Window

    manifest = read_manifest(example("twostream", persons=1, fps=25.0, dynamic="batch").bundle)
    script = [("walk", 6.0), ("fall", 6.0), ("wave", 6.0)]
    sequence = generate_sequence(script, seed=1, actions=("walk", "fall", "wave"))

    class Oracle:
        def run(self, windows: list[Window]) -> list[Result]:
            found = []
            for window in windows:
                shown = [s.label for s in sequence.segments if s.onset <= window.t1]
                sure = np.full(3, 0.02, np.float32)
                sure[shown[-1] if shown else 0] = 0.96
                found.append(Result(window, sure, 0.0))
            return found

    assert manifest.clip.frames == 20
    shape = WindowShape(fps=25.0, frames=20, persons=1, mode="person")
    results = simulate(sequence, shape, 0.5, Oracle())  # type: ignore[arg-type]
    assert len(results) == pytest.approx(34, abs=3)
    decider = Decider(sequence.classes, DecideSettings(smoothing=0.0), wall=lambda t: t, stride=0.5)
    delays, late, missed, going_on, false = judge(
        sequence.segments, decided(results, decider, 18.0), 0.8
    )
    assert (late, missed, going_on, false) == (0, 0, 0, 0)
    assert len(delays) == 2
    assert all(0 <= delay <= 0.5 + 1 / 25 for delay in delays)


def test_labels_that_nobody_can_act_are_refused(bundle: Path) -> None:
    with pytest.raises(UsageError, match="known onsets"):
        detection_delay(str(bundle), DelayPlan(sequences=1, seconds=10))


# ---- chaos, in short -----------------------------------------------------------------------------


def test_a_camera_that_does_wrong_leaves_the_others_alone(bundle: Path) -> None:
    faults = (
        Fault(camera=0, kind="killed", start=0.5, end=1.5),
        Fault(camera=0, kind="corrupt", start=4.0, end=4.5),
        Fault(camera=1, kind="refused", start=1.0, end=2.0),
    )
    plan = BenchPlan(
        bundle=str(bundle), cameras=4, stride=0.2, warmup=0, duration=8.0, faults=faults
    )
    found = launch(plan)
    assert found.failures == {}
    assert found.stopped == ""
    assert found.clean
    # The others answered to the end.
    assert {"cam002", "cam003"} <= set(found.by_camera["result"])
    assert found.curves["result"][-1][0] >= 6
    states = [(camera, state) for _, camera, state, _ in found.states]
    for camera in ("cam000", "cam001"):
        assert (camera, "backoff") in states
        away = states.index((camera, "backoff"))
        assert (camera, "running") in states[away:]
    assert found.frames["corrupt"] > 0
    found_by = {one.name: one for one in checks(found, window=0.8)}
    assert found_by["open files do not grow"].good, found_by
    assert found_by["no action begins across a gap"].good is not False, found_by
    begun = {camera for _, _, camera, _ in found.told} - {""}
    assert begun <= {f"cam{n:03d}" for n in range(4)}
    assert not [state for state in states if state[0] in ("cam002", "cam003")]
