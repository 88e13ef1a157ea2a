"""Joints that layouts make of others, and what stands between people and the camera."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stgcn_deploy.data.synthetic import generate_clip, make_dataset
from stgcn_deploy.data.synthetic.figures import cast
from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.layout import EdgeSet, Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_derived_joints_lie_where_their_names_say() -> None:
    def seen(layout: str) -> dict[str, NDArray[np.float32]]:
        clip = generate_clip(
            "kick", _rng(4), layout=layout, channels="xyz", noise=0, missing=0, frames=40
        )[0]
        return {name: clip[:, i] for i, name in enumerate(LAYOUTS[layout].joints)}

    human, feet, kinect = seen("human36m17"), seen("openpose25"), seen("ntu25")
    np.testing.assert_allclose(
        human["thorax"], 0.5 * (human["left_shoulder"] + human["right_shoulder"]), atol=1e-5
    )
    np.testing.assert_allclose(human["pelvis"], kinect["spine_base"], atol=1e-5)
    np.testing.assert_allclose(human["spine"], kinect["spine_mid"], atol=1e-5)
    for side in ("left", "right"):
        big, small = feet[f"{side}_big_toe"], feet[f"{side}_small_toe"]
        gap = np.linalg.norm(big - small, axis=-1)
        assert 0.02 < gap.min() <= gap.max() < 0.08
        # The big toe is the inner one: seen from the ankle, it is towards the other hip.
        inwards = feet["mid_hip"] - feet[f"{side}_hip"]
        assert np.median(np.sum((big - small) * inwards, axis=-1)) > 0


def test_the_last_joint_of_tsstg_is_computed_from_estimates() -> None:
    clip = generate_clip("walk", _rng(), layout="cococut14", noise=0.02, missing=0.1)[0]
    left, right, middle = clip[:, 1], clip[:, 2], clip[:, 13]
    both = left.any(axis=-1) & right.any(axis=-1)
    assert 0 < both.sum() < len(both)
    np.testing.assert_allclose(middle[both], 0.5 * (left + right)[both], rtol=1e-6)
    assert not middle[~both].any()


def test_a_layout_with_foreign_joints_is_refused() -> None:
    tail = Layout("cat", ("nose", "tail_tip"), (EdgeSet("cat", ((1, 0),), 0),))
    with pytest.raises(UsageError, match="'cat' has joints that a synthetic body lacks: tail_tip"):
        cast(tail)


def test_what_stands_before_people_covers_the_asked_share() -> None:
    def kept(share: float) -> tuple[float, float]:
        clips, _ = make_dataset(22, seed=0, missing=0, occlusion=share, persons=2)
        lost = (clips == 0).all(axis=-1)
        return float(lost.mean()), float((clips[..., 2] < 0.4)[~lost].mean())

    lost, unsure = kept(0.4)
    nothing_lost, unsure_before = kept(0.0)
    assert nothing_lost == 0
    # Half of what is covered is lost, the rest is guessed with little visibility.
    assert 0.15 < lost < 0.25
    assert 0.12 < unsure - unsure_before < 0.35


def test_what_is_covered_is_on_one_side_of_a_line_and_guessed_badly() -> None:
    clear = generate_clip("stand", _rng(3), noise=0, missing=0)[0]
    # Errors are random; only where they are is looked at.
    settings = {"noise": 0.004, "missing": 0.0}
    usual = generate_clip("stand", _rng(3), **settings)[0]
    covered = generate_clip("stand", _rng(3), **settings, occlusion=0.3)[0]
    guessed = (covered[..., 2] > 0) & (covered[..., 2] < 0.36)
    assert guessed.any()
    off = np.linalg.norm((covered - clear)[..., :2], axis=-1)
    assert np.median(off[guessed]) > 2 * np.median(
        np.linalg.norm((usual - clear)[..., :2], axis=-1)
    )


def test_a_range_is_drawn_anew_for_each_clip() -> None:
    clips, _ = make_dataset(30, seed=2, actions=("stand",), missing=(0.0, 0.5), frames=80)
    lost = (clips == 0).all(axis=-1).mean(axis=(1, 2, 3))
    assert lost.min() < 0.12
    assert lost.max() > 0.3
    again, _ = make_dataset(30, seed=2, actions=("stand",), missing=(0.0, 0.5), frames=80)
    np.testing.assert_array_equal(clips, again)
