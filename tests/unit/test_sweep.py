"""Settings that fit a graph and a machine, what is best of them, and how that is remembered."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoints import copied, edit_manifest

from stgcn_deploy import api
from stgcn_deploy.bundle import read_manifest
from stgcn_deploy.cores import usable_cores
from stgcn_deploy.errors import CheckFailedError, UnknownNameError, UsageError
from stgcn_deploy.measure import sweep as sweeping
from stgcn_deploy.measure import tuned
from stgcn_deploy.measure.bench import Row
from stgcn_deploy.measure.environment import environment
from stgcn_deploy.measure.sweep import (
    Measured,
    Setting,
    Sweep,
    quick_settings,
    run_sweep,
    settings_for,
)
from stgcn_deploy.measure.sweep_plot import plot_sweep
from stgcn_deploy.measure.sweep_worker import Crew

ORT = "onnxruntime"


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def one(
    latency: float, rate: float, *, backend: str = ORT, batch: int = 1, threads: int = 1,
    instances: int = 1, error: str | None = None,
) -> Measured:  # fmt: skip
    """A setting that took so long."""
    setting = Setting(backend, batch, threads, instances)
    if error:
        return Measured(setting, Row("r", batch, setting.cores, error=error), ())
    row = Row("r", batch, setting.cores, samples_ms=(latency,), load_ms=1.0, peak_rss_mb=2.0)
    return Measured(setting, row, (rate,))


def sweep_of(*measured: Measured, bundle: str = "bundle") -> Sweep:
    return Sweep(bundle, measured, environment(), 1)


# ---- settings ----------------------------------------------------------------------------------


def test_a_fixed_graph_has_one_batch_and_threads_up_to_all_cores(
    example: Callable[..., Any],
) -> None:
    manifest = read_manifest(example().bundle)
    found = settings_for(manifest, [ORT], 6)
    assert {setting.batch for setting in found} == {1}
    assert {setting.threads for setting in found} == {1, 2, 4, 6}
    assert all(setting.cores <= 6 for setting in found)
    assert Setting(ORT, 1, 2, 2) in found
    assert Setting(ORT, 1, 4, 2) not in found
    assert len(set(found)) == len(found)


def test_an_open_batch_is_tried_over_its_verified_range(example: Callable[..., Any]) -> None:
    manifest = read_manifest(example("pyskl", dynamic="batch").bundle)
    found = settings_for(manifest, [ORT], 1)
    assert [setting.batch for setting in found] == [1, 2, 4, 8]
    assert {(setting.threads, setting.instances) for setting in found} == {(1, 1)}
    assert quick_settings(manifest, ORT, 4) == tuple(Setting(ORT, 1, n) for n in (1, 2, 4))


def test_numbers_that_are_given_are_taken(example: Callable[..., Any]) -> None:
    manifest = read_manifest(example("pyskl", dynamic="batch").bundle)
    found = settings_for(manifest, [ORT], 8, batches=[3], threads=[2, 2], instances=[1, 3, 5])
    assert found == (Setting(ORT, 3, 2, 1), Setting(ORT, 3, 2, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batches": [0]}, "batch takes numbers of at least 1"),
        ({"threads": []}, "threads takes numbers of at least 1"),
        ({"instances": [-1, 2]}, "instances takes"),
        ({"threads": [3], "instances": [2]}, r"must fit on 4 usable core\(s\); got threads 3 and"),
        ({"batches": range(1, 400)}, "name fewer"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    example: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        settings_for(read_manifest(example().bundle), [ORT], 4, **options)


def test_a_setting_is_said_in_words() -> None:
    assert Setting(ORT, 4, 1, 2).text == "batch 4, 1 thread, 2 sessions at once"
    assert Setting(ORT, 1, 2).text == "batch 1, 2 threads, 1 session"


# ---- what is best ------------------------------------------------------------------------------


def test_the_lowest_latency_is_of_the_smallest_batch_and_one_session() -> None:
    best = one(10, 100, threads=2)
    found = sweep_of(
        one(12, 80), best, one(9, 150, instances=2), one(8, 900, batch=4, threads=2),
        one(1, 1, error="fell over"),
    )  # fmt: skip
    assert found.lowest_latency() is best
    assert found.most_clips().setting.batch == 4


def test_of_equal_settings_fewer_cores_win() -> None:
    best = one(10, 100, threads=1)
    assert sweep_of(one(10, 100, threads=2), best).lowest_latency() is best


def test_each_backend_has_its_own_best() -> None:
    ours, theirs = one(10, 100), one(5, 200, backend="openvino")
    found = sweep_of(ours, theirs)
    assert found.lowest_latency() is theirs
    assert found.lowest_latency(ORT) is ours
    assert found.most_clips(ORT) is ours


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    quick, middle, busy = one(10, 100), one(20, 150, batch=2), one(40, 180, batch=4)
    beaten, equal = one(25, 140, threads=2), one(10, 90, threads=2)
    found = sweep_of(busy, beaten, quick, equal, middle, one(1, 1, error="fell over"))
    assert found.front == (quick, middle, busy)
    told = found.as_dict()
    assert told["front"] == [2, 4, 0]
    assert told["lowest_latency"] == 2
    assert told["most_clips"] == 0


def test_the_rate_is_the_median_of_the_rounds() -> None:
    setting = Setting(ORT, 1, 1)
    row = Row("r", 1, 1, samples_ms=(1.0,))
    assert Measured(setting, row, (10.0, 90.0, 11.0)).clips_per_s == 11
    assert math.isnan(Measured(setting, row, ()).clips_per_s)


# ---- measuring ---------------------------------------------------------------------------------


def test_all_settings_are_timed_and_every_sample_is_kept(example: Callable[..., Any]) -> None:
    bundle = example("pyskl", dynamic="batch").bundle
    said: list[str] = []
    settings = settings_for(
        read_manifest(bundle), [ORT], usable_cores(), batches=[1, 2], threads=[1]
    )[:3]
    found = run_sweep(bundle, settings, duration=0.02, rounds=2, progress=said.append)
    assert [one.setting for one in found.measured] == list(settings)
    for measured in found.measured:
        assert measured.row.error is None
        least = 2 * 3 * measured.setting.instances
        assert len(measured.row.samples_ms) >= least
        assert len(measured.rates) == 2
        assert measured.clips_per_s > 0
    assert said[0] == f"round 1 of 2, 1 of {len(settings)}: {settings[0].text}"
    # Every other round goes backwards.
    assert said[len(settings)].endswith(settings[-1].text)
    told = json.loads(json.dumps(found.as_dict()))
    assert len(told["settings"][0]["samples_ms"]) == len(found.measured[0].row.samples_ms)


def test_sessions_of_one_crew_are_all_busy(example: Callable[..., Any]) -> None:
    crew = Crew()
    call = crew.prepare(
        {
            "model": str(example().bundle / "model.onnx"), "backend": ORT, "threads": 3, "each": 1,
            "instances": 3, "shapes": {"input": [1, 3, 20, 18, 2]},
        }
    )  # fmt: skip
    call()
    found = crew.sample(call, 0.0, 4)
    assert len(found["samples_ms"]) == 3 * 4
    assert found["calls_per_s"] > 0


def test_rates_of_sessions_add_up() -> None:
    """Two sessions of 4 calls each, of which each takes as long as it takes."""
    crew = Crew()
    crew._calls = [lambda: None, lambda: None]
    found = crew.sample(lambda: None, 0.0, 4)
    samples = found["samples_ms"]
    wanted = 4e3 / sum(samples[:4]) + 4e3 / sum(samples[4:])
    assert found["calls_per_s"] == pytest.approx(wanted)


# A child that speaks the protocol of the sweep's; it stands in for a runtime.
SCRIPTED = """
import json, os, sys
options = {}
for line in sys.stdin:
    message = json.loads(line)
    if "prepare" in message:
        options = message["prepare"]
        with open("order.txt", "a") as file:
            file.write(f"{options['each']}x{options['instances']} ")
        if options["each"] == 2:
            print(json.dumps({"error": "no such thing"}), flush=True)
            break
        turn = len(open("order.txt").read().split())
        print(json.dumps({"ready": {"load_ms": turn, "cores": []}}), flush=True)
    elif "run" in message:
        if options["each"] == 4 and turn > 3:
            sys.exit(9)
        print(json.dumps({"samples_ms": [float(turn)] * 3, "calls_per_s": 7.0 * turn}), flush=True)
    else:
        print(json.dumps({"peak_rss_mb": 10 * turn}), flush=True)
        break
"""


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scripted_crew.py").write_text(SCRIPTED, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweeping, "WORKER", "scripted_crew")


@pytest.mark.usefixtures("scripted")
def test_a_setting_that_fails_in_any_round_has_no_numbers(example: Callable[..., Any]) -> None:
    settings = [Setting(ORT, 1, 1), Setting(ORT, 1, 2), Setting(ORT, 1, 4), Setting(ORT, 1, 1, 2)]
    found = run_sweep(example().bundle, settings, duration=0.02, rounds=2)
    first, refused, died, last = found.measured
    assert refused.row.error == "no such thing"
    assert "code 9" in (died.row.error or "")
    assert died.rates == ()
    # One that cannot run is not started again; the second round goes backwards.
    order = Path("order.txt").read_text(encoding="utf-8").split()
    assert order == ["1x1", "2x1", "4x1", "1x2", "1x2", "4x1", "1x1"]
    assert last.row.samples_ms == (4.0,) * 3 + (5.0,) * 3
    assert last.rates == (28.0, 35.0)
    assert first.row.load_ms == 4
    assert first.row.peak_rss_mb == 70
    assert found.ran() == (first, last)


@pytest.mark.usefixtures("scripted")
def test_when_no_setting_ran_the_check_has_failed(example: Callable[..., Any]) -> None:
    with pytest.raises(CheckFailedError, match="nothing was measured: no such thing"):
        run_sweep(example().bundle, [Setting(ORT, 1, 2)], duration=0.02, rounds=2)


@pytest.mark.parametrize(("duration", "rounds"), [(0, 1), (float("nan"), 1), (1, 0)])
def test_times_that_make_no_sense_are_refused(
    example: Callable[..., Any], duration: float, rounds: int
) -> None:
    with pytest.raises(UsageError, match="duration and rounds"):
        run_sweep(example().bundle, [Setting(ORT, 1, 1)], duration=duration, rounds=rounds)


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(("load", "said"), [([0.5, 0, 0], 0), ([3.0, 0, 0], 1), ([], 0)])
def test_a_busy_machine_is_noted(
    example: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, load: list[float], said: int
) -> None:
    facts = {**environment(), "load_average": load, "cores": 4}
    monkeypatch.setattr(sweeping, "environment", lambda: facts)
    found = run_sweep(example().bundle, [Setting(ORT, 1, 1)], duration=0.02, rounds=1)
    assert len(found.notes) == said
    assert all("load 3.0 on 4 core(s)" in note for note in found.notes)


def test_a_batch_that_the_graph_does_not_allow_is_refused(example: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="--batch 4 or --dynamic batch"):
        run_sweep(example().bundle, [Setting(ORT, 4, 1)], duration=0.02, rounds=1)


# ---- what is remembered ------------------------------------------------------------------------


def _full(bundle: Path, best: int = 1) -> Sweep:
    """A sweep that tried all numbers of threads, of which `best` was the quickest."""
    settings = quick_settings(read_manifest(bundle), ORT, usable_cores())
    rows = [one(1 + abs(s.threads - best), 10, threads=s.threads) for s in settings]
    return sweep_of(*rows, bundle=str(bundle))


def test_what_was_found_is_known_the_next_time(example: Callable[..., Any]) -> None:
    bundle = example().bundle
    assert tuned.recall(bundle, ORT) is None
    place = tuned.remember(_full(bundle), ORT)
    found = tuned.recall(bundle, ORT)
    assert found is not None
    assert found.lowest_latency.threads == 1
    assert found.lowest_latency.latency_ms == 1
    assert found.key["cpu"] == environment()["cpu"]
    assert place.is_file()


def test_another_bundle_machine_or_version_knows_nothing(
    example: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = copied(example().bundle, tmp_path)
    tuned.remember(_full(bundle), ORT)
    assert tuned.recall(bundle, "openvino") is None
    with monkeypatch.context() as patch:
        patch.setattr(tuned, "usable_cores", lambda: 99)
        assert tuned.recall(bundle, ORT) is None
    with monkeypatch.context() as patch:
        patch.setattr(tuned, "cpu_name", lambda: "another")
        assert tuned.recall(bundle, ORT) is None
    assert tuned.recall(bundle, ORT) is not None
    edit_manifest(bundle, lambda manifest: manifest.update(name="other"))
    assert tuned.recall(bundle, ORT) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "99", "threads", "key", "long", "NaN"])
def test_a_damaged_note_is_none(example: Callable[..., Any], damage: str) -> None:
    bundle = example().bundle
    place = tuned.remember(_full(bundle), ORT)
    value = json.loads(place.read_text(encoding="utf-8"))
    if damage == "99":
        value["lowest_latency"]["threads"] = 99
    elif damage == "threads":
        value["lowest_latency"]["threads"] = 0
    elif damage == "key":
        value["key"]["cores"] = 99
    elif damage == "NaN":
        value["lowest_latency"]["latency_ms"] = float("nan")
    text = json.dumps(value) if damage in ("99", "threads", "key", "NaN") else damage
    place.write_text(text if damage != "long" else " " * (1 << 17) + text, encoding="utf-8")
    assert tuned.recall(bundle, ORT) is None


def test_a_sweep_that_left_something_out_is_not_complete(example: Callable[..., Any]) -> None:
    bundle = example().bundle
    whole = _full(bundle)
    assert tuned.complete(whole, ORT)
    assert not tuned.complete(whole, "openvino")
    assert not tuned.complete(sweep_of(one(1, 1, instances=2), bundle=str(bundle)), ORT)
    broken = [
        one(1, 1, threads=measured.setting.threads, error="fell over")
        for measured in whole.measured
    ]
    assert not tuned.complete(sweep_of(*broken, bundle=str(bundle)), ORT)


# ---- load(tune=True) ---------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The number of threads of every session that is opened."""
    from stgcn_deploy.api import tuning

    seen: list[int | None] = []

    def fake(bundle: Path, *, backend: str, threads: int | None, batch: int | None) -> str:
        del bundle, backend, batch
        seen.append(threads)
        return "model"

    monkeypatch.setattr(tuning, "open_model", fake)
    return seen


def test_without_tune_threads_are_as_given(
    example: Callable[..., Any], opened: list[int | None]
) -> None:
    api.load(example().bundle)
    api.load(example().bundle, threads=3)
    assert opened == [None, 3]


def test_tune_takes_what_is_remembered(
    example: Callable[..., Any], opened: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = example().bundle
    best = usable_cores()
    tuned.remember(_full(bundle, best), ORT)
    monkeypatch.setattr(sweeping, "run_sweep", None)
    said: list[str] = []
    api.load(bundle, tune=True, progress=said.append)
    api.load(bundle, backend="ort", tune=True)
    assert opened == [best, best]
    assert said == []


def test_tune_finds_out_once_and_remembers(
    example: Callable[..., Any], opened: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, runs = example().bundle, []

    def fake(path: Path, settings: Any, **options: Any) -> Sweep:
        runs.append((settings, options["duration"]))
        return _full(path)

    monkeypatch.setattr(sweeping, "run_sweep", fake)
    monkeypatch.setattr("stgcn_deploy.cores.usable_cores", lambda: 2)
    monkeypatch.setattr(tuned, "usable_cores", lambda: 2)
    said: list[str] = []
    api.load(bundle, tune=True, progress=said.append)
    api.load(bundle, tune=True, progress=said.append)
    assert opened == [1, 1]
    ((settings, seconds),) = runs
    assert settings == (Setting(ORT, 1, 1), Setting(ORT, 1, 2))
    assert seconds < 3
    assert said[0] == "trying 1, 2 threads"


def test_tune_and_threads_together_are_refused(example: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="either threads, or tune=True"):
        api.load(example().bundle, threads=2, tune=True)


def test_a_cache_that_cannot_be_written_stops_no_one(
    example: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    found = api.tune(example().bundle, threads=[1], instances=[1], duration=0.02, rounds=1)
    assert found.notes[-1].startswith("not remembered for onnxruntime")


def test_a_bundle_is_tuned_where_it_is_at_home(example: Callable[..., Any], tmp_path: Path) -> None:
    bundle = copied(example().bundle, tmp_path)
    edit_manifest(bundle, lambda manifest: manifest["precision"].update(target="triton"))
    with pytest.raises(UnknownNameError, match="unknown backend 'triton'"):
        api.tune(bundle)


# ---- the picture -------------------------------------------------------------------------------


def test_the_picture_is_a_png_and_replaces_nothing(tmp_path: Path) -> None:
    many = [
        one(10 * b / t, 100 * i, backend=name, batch=b, threads=t, instances=i)
        for name in (ORT, "openvino") for b in (1, 2, 4) for t in (1, 2, 4) for i in (1, 2)
    ]  # fmt: skip
    for number, rows in enumerate(([one(1, 5)], [one(1, 5), one(2, 9, batch=2)], many)):
        place = plot_sweep(sweep_of(*rows, one(1, 1, error="$x$")), tmp_path / f"{number}.png")
        assert place.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(Exception, match="--force"):
        plot_sweep(sweep_of(one(1, 5)), tmp_path / "0.png")


def test_nothing_measured_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match="nothing to plot"):
        plot_sweep(sweep_of(one(1, 1, error="fell over")), tmp_path / "no.png")
