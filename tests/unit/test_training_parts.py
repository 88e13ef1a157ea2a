"""The parts of training/ by themselves: augmentation, contracts, the learning rate."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from stgcn_deploy.errors import UnknownNameError, UsageError
from stgcn_deploy.skeleton.contract import Sequence, Step, apply_steps
from stgcn_deploy.skeleton.layouts import LAYOUTS

sys.path.append(str(ROOT / "training"))
augment = importlib.import_module("augment")
loop = importlib.import_module("loop")
material = importlib.import_module("material")
demo = importlib.import_module("demo")

# ---- augmentation ---------------------------------------------------------------------------------

VIEW = augment.View(augment.mirrored_joints(LAYOUTS["jhmdb15"]))
STILL = augment.Augmentation(flip=0, rotate=0, scale=0, shift=0, crop=0)


def _clips(count: int = 6) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, 1, 10, 15, 3)).astype(np.float32)


def _augmented(view: Any = VIEW, **changes: float) -> np.ndarray:
    how = augment.Augmentation(**{**vars(STILL), **changes})
    out: np.ndarray = augment.augmented(_clips(), how, view, np.random.default_rng(0))
    return out


def test_no_augmentation_changes_nothing() -> None:
    assert np.allclose(_augmented(), _clips(), atol=1e-6)


def test_a_mirrored_body_has_its_sides_exchanged() -> None:
    layout = LAYOUTS["jhmdb15"]
    out, clips = _augmented(flip=1), _clips()
    for joint, name in enumerate(layout.joints):
        swapped = {"left": "right", "right": "left"}
        side, _, rest = name.partition("_")
        other = layout.joints.index(f"{swapped[side]}_{rest}") if side in swapped else joint
        assert np.allclose(out[:, :, :, joint, 0], -clips[:, :, :, other, 0], atol=1e-6)
        assert np.allclose(out[:, :, :, joint, 1:], clips[:, :, :, other, 1:], atol=1e-6)


def test_a_body_is_mirrored_in_the_middle_of_the_picture() -> None:
    out = _augmented(augment.View(VIEW.mirror, (0.5, 0.5)), flip=1)
    assert np.allclose(out[..., 0], 1 - _clips()[:, :, :, list(VIEW.mirror), 0], atol=1e-6)


def test_a_turn_keeps_lengths_and_the_score() -> None:
    out, clips = _augmented(rotate=45), _clips()
    assert not np.allclose(out, clips)
    assert np.allclose(np.linalg.norm(out[..., :2], axis=-1), np.linalg.norm(clips[..., :2], axis=-1),
                       atol=1e-5)  # fmt: skip
    assert np.array_equal(out[..., 2], clips[..., 2])


def test_a_shift_is_for_joints_only() -> None:
    moved = _augmented(shift=0.2) - _clips()
    assert 0.01 < np.abs(moved[..., :2]).max() <= 0.2 + 1e-6
    assert np.ptp(moved[..., 0], axis=(1, 2, 3)).max() < 1e-6
    bones = augment.View(VIEW.mirror, moves=False)
    assert np.allclose(_augmented(bones, shift=0.2), _clips(), atol=1e-6)


def test_absent_joints_stay_absent() -> None:
    clips = _clips()
    clips[:, :, 3:5, 2] = 0
    how = augment.Augmentation(crop=0, flip=0)
    out = augment.augmented(clips, how, VIEW, np.random.default_rng(0))
    assert np.array_equal((out == 0).all(-1), (clips == 0).all(-1))


def test_a_cut_in_time_is_a_stretch_of_the_clip() -> None:
    clips = np.broadcast_to(
        np.arange(1, 11, dtype=np.float32)[None, None, :, None, None], (6, 1, 10, 15, 3)
    ).copy()
    out = augment.augmented(clips, augment.Augmentation(**{**vars(STILL), "crop": 0.5}), VIEW,
                            np.random.default_rng(0))[:, 0, :, 0, 0]  # fmt: skip
    steps = np.diff(out, axis=1)
    assert np.allclose(steps, steps[:, :1], atol=1e-4)
    assert (steps >= 0.5 - 1e-4).all()
    assert (steps <= 1 + 1e-4).all()
    assert out.min() >= 1
    assert out.max() <= 10


def test_a_hidden_joint_is_hidden_in_all_frames() -> None:
    out = _augmented(hide=1)
    assert ((out == 0).all(axis=(1, 2, 4)).sum(axis=1) == 1).all()


def test_mixing_keeps_the_sum_of_targets() -> None:
    targets = np.eye(6, dtype=np.float32)
    clips, mixed = augment.mixed(_clips(), targets, 0.5, np.random.default_rng(0))
    assert np.allclose(mixed.sum(axis=1), 1)
    assert (mixed.argmax(axis=1) == np.arange(6)).all()
    assert clips.shape == _clips().shape


# ---- contract, schedule ---------------------------------------------------------------------------


def test_the_default_contract_makes_clips_of_one_size() -> None:
    steps = material.default_contract(
        LAYOUTS["coco17"], frames=12, persons=2, stream="bone", scored=True, pixels=True
    )
    assert material.stream_of(steps) == "bone"
    clip = np.random.default_rng(0).uniform(1, 300, (1, 7, 17, 3)).astype(np.float32)
    assert apply_steps(steps, Sequence(clip, None, (320, 240))).shape == (1, 2, 12, 17, 3)
    space = material.default_contract(
        LAYOUTS["ntu25"], frames=12, persons=2, stream="joint", scored=True, pixels=False
    )
    assert apply_steps(space, Sequence(np.ones((1, 7, 25, 3), np.float32))).shape[-1] == 3


def test_the_middle_of_the_picture_is_read_from_the_contract() -> None:
    assert material.image_center([Step("image_fractions", {"offset": 0.0}).complete]) == (0.5, 0.5)
    assert material.image_center([Step("image_fractions", {"offset": 0.5}).complete]) == (0.0, 0.0)
    assert material.image_center([Step("coordinates", {"dimensions": 2})]) == (0.0, 0.0)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '["persons"]', '[{"params": {}}]'])
def test_a_contract_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "contract.json").write_text(text)
    with pytest.raises(UsageError, match=r"contract\.json"):
        material.read_contract(tmp_path / "contract.json")


def test_an_unknown_step_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "contract.json").write_text('[{"name": "person", "params": {"count": 1}}]')
    with pytest.raises(UnknownNameError, match="persons"):
        material.read_contract(tmp_path / "contract.json")


def test_the_learning_rate_goes_up_once_and_down_to_nothing() -> None:
    rates = [loop.one_cycle(step, 100, 0.1) for step in range(100)]
    top = int(np.argmax(rates))
    assert top == 25
    assert rates[top] == pytest.approx(0.1)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    assert rates[0] == pytest.approx(0.004)
    assert rates[-1] < 1e-3


# ---- the demonstration model ----------------------------------------------------------------------


def test_training_clips_follow_from_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, float]] = []
    real = demo.iter_dataset

    def watched(count: int, **how: Any) -> Any:
        asked.append(how)
        return real(count, **how)

    monkeypatch.setattr(demo, "iter_dataset", watched)
    first, again, other = demo.drawn(12, 3), demo.drawn(12, 3), demo.drawn(12, 4)
    assert first.clips.shape == (12, 1, 1, 150, 33, 3)
    assert first.labels.tolist() == [*range(11), 0]
    assert np.array_equal(first.clips, again.clips)
    assert not np.array_equal(first.clips, other.clips)
    for name, (low, high) in demo.RANGES.items():
        drawn = [how[name] for how in asked]
        assert low <= min(drawn) < max(drawn) <= high
    # Seeds of a data set are small; no clip of the tests is one that was trained on.
    assert min(how["seed"] for how in asked) > max(demo.VALIDATION_SEED, demo.TEST_SEED)


def test_the_command_of_the_card_repeats_what_was_changed() -> None:
    recipe = demo.Recipe(epochs=2, bf16=False)
    assert demo.command_line(recipe, {"threads": 1}) == (
        "python training/demo.py --epochs 2 --no-bf16 --threads 1"
    )
