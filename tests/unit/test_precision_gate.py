"""The accuracy gate: what it measures on, what it lets through, and the search behind it."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import copied, edit_model
from quantised import make_world, scale_activations, source, to_int8

from stgcn_deploy import api
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.data.formats import open_dataset
from stgcn_deploy.errors import CheckFailedError, DataError
from stgcn_deploy.manifest import AccuracyRecord
from stgcn_deploy.precision import tradeoff
from stgcn_deploy.precision.gate import Gate, held_out, partner_of
from stgcn_deploy.precision.tradeoff import Trial, back_off, judge, trial_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_world(tmp_path_factory.mktemp("gate"))
    to_int8(folder, folder / "int8")
    return folder


def _gate(world: Path, indices: Sequence[int] | None = None) -> Gate:
    held = source(world, "test1")
    chosen = held.data.select("test1") if indices is None else np.asarray(indices, dtype=np.int64)
    return Gate(Bundle(world / "bundle"), held.data, "test1", chosen, "onnxruntime")


@pytest.mark.parametrize(
    ("split", "splits", "expected"),
    [
        ("train1", ["train1", "test1", "train2", "test2"], "test1"),
        ("xsub_train", ["xsub_train", "xsub_val"], "xsub_val"),
        ("train", ["train", "val"], "val"),
        ("train2", ["train2", "test1"], None),
        ("test1", ["train1", "test1"], None),
        ("strained", ["strained", "stested"], None),
        (None, ["train", "test"], None),
    ],
)
def test_the_split_beside_a_training_one(
    split: str | None, splits: list[str], expected: str | None
) -> None:
    assert partner_of(split, splits) == expected


def test_records_that_were_calibrated_on_are_left_out(world: Path) -> None:
    data = open_dataset(world / "walks.pkl")
    found, notes = held_out(data, "train1", [0, 1, 2], same_file=True)
    assert set(found.tolist()) == set(range(3, 30))
    assert "3 record(s)" in notes[0]
    found, notes = held_out(data, "test1", [0, 1, 2], same_file=True)
    assert len(found) == 30
    assert not notes
    assert len(held_out(data, "train1", [0, 1], same_file=False)[0]) == 30


def test_nothing_left_to_judge_on_fails(world: Path) -> None:
    data = open_dataset(world / "walks.pkl")
    with pytest.raises(CheckFailedError, match="nothing was measured"):
        held_out(data, "train1", range(60), same_file=True)


def test_data_without_labels_cannot_be_a_gate(world: Path, tmp_path: Path) -> None:
    value = pickle.loads((world / "walks.pkl").read_bytes())
    for one in value["annotations"]:
        del one["label"]
    (tmp_path / "bare.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(CheckFailedError, match="no labels"):
        held_out(open_dataset(tmp_path / "bare.pkl"), "test1", [], same_file=False)


def test_a_gate_without_a_record_fails(world: Path) -> None:
    gate = _gate(world, [])
    with pytest.raises(CheckFailedError, match="no record"):
        gate.judge(Bundle(world / "int8"))


def test_one_record_without_a_label_is_named(world: Path) -> None:
    gate = _gate(world)
    gate.data.labels[35] = -1
    with pytest.raises(DataError, match="record 35"):
        gate.judge(Bundle(world / "int8"))


def test_the_base_is_run_once_and_the_numbers_are_those_of_an_evaluation(world: Path) -> None:
    gate = _gate(world)
    first = gate.judge(Bundle(world / "int8"))
    second = gate.judge(Bundle(world / "int8"))
    gate.close()
    wanted = api.evaluate(
        [world / "bundle", world / "int8"], world / "walks.pkl", split="test1", resume=False
    ).rows
    for one, two in (first, second):
        assert np.array_equal(one.scores, wanted[0].scores)
        assert np.array_equal(two.scores, wanted[1].scores)
        assert two.drop == wanted[1].drop
    assert first[0].accuracy.top1 == 1


def test_broken_scales_fail_the_gate_and_the_verification(world: Path, tmp_path: Path) -> None:
    broken = edit_model(copied(world / "int8", tmp_path), scale_activations)
    gate = _gate(world)
    good = judge(gate, trial_of(Bundle(world / "int8"), "good"), 20.0, lambda _: None)
    bad = judge(gate, trial_of(Bundle(broken), "bad"), 20.0, lambda _: None)
    assert (good.within, bad.within) == (True, False)
    assert bad.accuracy is not None
    assert bad.accuracy.points > 20
    assert api.verify(world / "int8").passed
    report = api.verify(broken)
    assert not report.passed
    assert "parity with the recorded reference" in [c.name for c in report.checks if not c.passed]


def _pretend(monkeypatch: pytest.MonkeyPatch, losses: dict[int, float]) -> tuple[list[int], Any]:
    """Trials whose loss depends on how many blocks are float; and a list of what was judged."""
    seen: list[int] = []

    def fake(gate: object, trial: Trial, budget: float, progress: object) -> Trial:
        count = len(trial.float_blocks)
        seen.append(count)
        lost = AccuracyRecord(
            data="d", split=None, records=100, backend="b", before=0.9, after=0.9,
            points=losses[count], margin=0.0, agreement=1.0, budget=budget,
        )  # fmt: skip
        return Trial(
            trial.name, trial.bundle, trial.float_blocks, 1.0, lost, None, losses[count] <= budget
        )

    monkeypatch.setattr(tradeoff, "judge", fake)
    return seen, fake


def test_blocks_become_float_one_by_one_until_the_budget_is_kept(
    monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    seen, fake = _pretend(monkeypatch, {0: 5.0, 1: 3.0, 2: 0.4, 3: 0.0})
    bundle = Bundle(world / "int8")
    first = fake(None, Trial("all", bundle, (), 1.0), 0.5, None)
    made = back_off(
        first,
        ["c", "a", "b", "d"],
        lambda blocks: Trial("some", bundle, blocks, 1.0),
        lambda trial: fake(None, trial, 0.5, None),
    )
    assert seen == [0, 1, 2]
    assert made[-1].float_blocks == ("c", "a")
    assert made[-1].within


def test_the_last_block_is_not_given_back(monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    seen, fake = _pretend(monkeypatch, dict.fromkeys(range(4), 5.0))
    bundle = Bundle(world / "int8")
    first = fake(None, Trial("all", bundle, (), 1.0), 0.5, None)
    made = back_off(
        first,
        ["a", "b", "c"],
        lambda blocks: Trial("some", bundle, blocks, 1.0),
        lambda trial: fake(None, trial, 0.5, None),
    )
    assert seen == [0, 1, 2]
    assert not any(trial.within for trial in made)


def test_a_bundle_that_fails_verification_keeps_no_budget(world: Path) -> None:
    gate = _gate(world)
    trial = trial_of(Bundle(world / "int8"), "good")
    asked: list[Bundle] = []

    def refuses(bundle: Bundle) -> bool:
        asked.append(bundle)
        return False

    assert judge(gate, trial, 100.0, lambda _: None).within
    assert not judge(gate, trial, 100.0, lambda _: None, refuses).within
    assert asked == [trial.bundle]
    # One that loses too much is not worth the while.
    assert not judge(gate, trial, -100.0, lambda _: None, refuses).within
    assert len(asked) == 1
