"""Bones and motion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.bones import BONE_PARENTS
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.transforms.features import FEATURES, bones, feature, motion


def _clip(joints: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    clip = np.random.default_rng(seed).normal(0, 1, (2, 6, joints, channels)).astype(np.float32)
    clip.setflags(write=False)
    return clip


@pytest.mark.parametrize("layout", BONE_PARENTS)
def test_bones_add_up_to_joints_from_the_root_on(layout: str) -> None:
    """Following the parents from any joint ends at one root, and the bones on the way add up."""
    parents = BONE_PARENTS[layout]
    assert len(parents) == LAYOUTS[layout].num_joints
    clip = _clip(len(parents))
    found = bones(clip, layout)
    roots = {joint for joint, parent in enumerate(parents) if joint == parent}
    assert len(roots) == 1
    for joint in range(len(parents)):
        at, way = joint, np.zeros_like(clip[:, :, 0])
        while at not in roots:
            way = way + found[:, :, at]
            at = parents[at]
        assert np.allclose(way, clip[:, :, joint] - clip[:, :, at], atol=1e-5)


@pytest.mark.parametrize("layout", BONE_PARENTS)
def test_the_root_has_no_bone(layout: str) -> None:
    parents = BONE_PARENTS[layout]
    root = next(joint for joint, parent in enumerate(parents) if joint == parent)
    assert not bones(_clip(len(parents)), layout)[:, :, root].any()


@pytest.mark.parametrize("name", ["bone", "joint_motion", "bone_motion"])
def test_where_a_body_stands_does_not_matter(name: str) -> None:
    clip = _clip(17)
    moved = clip + np.float32([3, -2, 0])
    assert np.allclose(feature(moved, name, "coco17"), feature(clip, name, "coco17"), atol=1e-5)


def test_a_score_is_averaged_where_said_and_differenced_where_not() -> None:
    clip = _clip(17)
    parents = list(BONE_PARENTS["coco17"])
    score, other = clip[..., 2], clip[:, :, parents, 2]
    assert np.array_equal(bones(clip, "coco17", mean_score=True)[..., 2], (score + other) / 2)
    assert np.array_equal(bones(clip, "coco17")[..., 2], score - other)
    steps = motion(clip, mean_score=True)
    assert np.array_equal(steps[:, :-1, :, 2], (score[:, :-1] + score[:, 1:]) / 2)
    assert np.array_equal(steps[..., :2], motion(clip)[..., :2])
    assert np.array_equal(
        bones(clip[..., :2], "coco17", mean_score=True), bones(clip, "coco17")[..., :2]
    )


@given(st.integers(0, 100), st.integers(1, 8))
def test_motion_is_the_next_frame_minus_this_one_and_ends_at_rest(seed: int, length: int) -> None:
    clip = _clip(5, 3, seed)[:, :length] if length <= 6 else _clip(5, 3, seed)
    found = motion(clip)
    assert not found[:, -1].any()
    rebuilt = clip[:, :1] + np.concatenate(
        [np.zeros_like(clip[:, :1]), np.cumsum(found[:, :-1], axis=1)], axis=1
    )
    assert np.allclose(rebuilt, clip, atol=1e-5)


def test_the_motion_of_bones_is_that_of_bones() -> None:
    clip = _clip(25)
    found = feature(clip, "bone_motion", "ntu25")
    assert np.array_equal(found, motion(bones(clip, "ntu25")))


@pytest.mark.parametrize("name", FEATURES)
def test_nobody_has_neither_bones_nor_motion(name: str) -> None:
    clip = _clip(17).copy()
    clip[1] = 0
    assert not feature(clip, name, "coco17")[1].any()


@pytest.mark.parametrize("name", FEATURES)
def test_what_was_given_does_not_change(name: str) -> None:
    clip = _clip(17)
    before = clip.copy()
    feature(clip, name, "coco17", bone_score=True, motion_score=True)
    assert np.array_equal(clip, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bones", "coco17"), "unknown stream 'bones'; did you mean 'bone'"),
        (("bone", "nvidia34"), "no bone pairs are known for layout 'nvidia34'"),
        (("bone", "ntu25"), "'ntu25' has 25 joints, the clip 17"),
    ],
)
def test_streams_that_cannot_be_made_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        feature(_clip(17), *arguments)
