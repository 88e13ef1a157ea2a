"""From layout to layout: joints keep their values, derived ones follow their sources, none is made up."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stgcn_deploy.errors import ClipError, UnknownNameError, UsageError
from stgcn_deploy.skeleton.layout import EdgeSet, Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.remap import DERIVED, NEAR, correspondence, remap

NAMES = tuple(LAYOUTS)
BODIES = tuple(name for name in NAMES if name != "handmp21")
PAIRS = list(permutations(BODIES, 2))
# 2s_st-gcn's order of OpenPose's joints out of COCO's 17 and the neck behind them.
OPENPOSE_FROM_COCO = [0, 17, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]


def _clip(layout: str, channels: int = 3, seed: int = 0) -> np.ndarray:
    shape = (2, 3, LAYOUTS[layout].num_joints, channels)
    return np.random.default_rng(seed).uniform(0.1, 1.0, shape).astype(np.float32)


def _joint(layout: str, name: str) -> int:
    return LAYOUTS[layout].joints.index(name)


def clips(layout: str, channels: int) -> st.SearchStrategy[np.ndarray]:
    shape = (1, 2, LAYOUTS[layout].num_joints, channels)
    return hnp.arrays(np.float32, shape, elements=st.floats(-2, 2, width=32))


@given(st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), clips(name, 3))))
def test_a_layout_to_itself_changes_nothing(drawn: tuple[str, np.ndarray]) -> None:
    name, clip = drawn
    same = remap(clip, name, name)
    assert same.dtype == clip.dtype
    assert np.array_equal(same, clip)
    assert not np.shares_memory(same, clip)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_there_and_back_keeps_what_both_have(one: str, other: str) -> None:
    clip = _clip(one, channels=2)
    there = remap(clip, one, other, absent=True)
    back = remap(there, other, one, absent=True)
    shared = [j for j, name in enumerate(LAYOUTS[one].joints) if name in LAYOUTS[other].joints]
    assert shared
    assert np.array_equal(back[:, :, shared], clip[:, :, shared])


@given(st.permutations(range(17)), clips("coco17", 3))
def test_another_order_of_joints_is_a_permutation(order: list[int], clip: np.ndarray) -> None:
    coco = LAYOUTS["coco17"]
    shuffled = Layout("shuffled", tuple(coco.joints[j] for j in order), (EdgeSet("e", (), 0),))
    there = remap(clip, coco, shuffled)
    assert np.array_equal(there, clip[:, :, order])
    assert np.array_equal(remap(there, shuffled, coco), clip)


def test_coco_becomes_openpose_with_a_neck_amid_the_shoulders() -> None:
    clip = _clip("coco17")
    found = remap(clip, "coco17", "openpose18")
    neck = clip[:, :, [5, 6]].mean(axis=2)
    neck[..., 2] = clip[:, :, [5, 6], 2].min(axis=2)
    expected = np.concatenate([clip, neck[:, :, None]], axis=2)[:, :, OPENPOSE_FROM_COCO]
    assert np.allclose(found, expected)


def test_the_neck_of_2s_st_gcn_is_the_sum_of_the_shoulders() -> None:
    clip = _clip("coco17")
    clip[0, 0, 5] = 0  # its feeder looks at no score
    found = remap(clip, "coco17", "openpose18", neck="sum")
    neck = clip[:, :, 5] + clip[:, :, 6]
    expected = np.concatenate([clip, neck[:, :, None]], axis=2)[:, :, OPENPOSE_FROM_COCO]
    assert np.allclose(found, expected)


@pytest.mark.parametrize(
    ("source", "target"), [("openpose18", "openpose18"), ("coco17", "cococut14")]
)
def test_a_summed_neck_that_nobody_makes_is_refused(source: str, target: str) -> None:
    with pytest.raises(UsageError, match="neck='sum' is for a neck made of shoulders"):
        remap(_clip(source), source, target, neck="sum")


def test_tsstgs_last_joint_is_the_mean_of_all_channels() -> None:
    clip = _clip("coco17")
    found = remap(clip, "coco17", "cococut14")
    assert np.array_equal(found[:, :, 0], clip[:, :, 0])
    assert np.allclose(found[:, :, 13], clip[:, :, [5, 6]].mean(axis=2))
    assert np.array_equal(found[:, :, 1:13], clip[:, :, 5:])


@pytest.mark.parametrize(
    ("source", "target", "joint", "sources"),
    [
        ("coco17", "openpose25", "mid_hip", ("left_hip", "right_hip")),
        ("mediapipe33", "openpose25", "neck", ("left_shoulder", "right_shoulder")),
        ("nvidia34", "ntu25", "spine_base", ("pelvis",)),
        ("nvidia34", "ntu25", "spine_shoulder", ("left_shoulder", "right_shoulder")),
        ("ntu25", "human36m17", "pelvis", ("spine_base",)),
        ("human36m17", "ucla20", "spine_base", ("pelvis",)),
        ("ucla20", "human36m17", "thorax", ("left_shoulder", "right_shoulder")),
    ],
)
def test_a_derived_joint_is_the_mean_of_its_sources(
    source: str, target: str, joint: str, sources: tuple[str, ...]
) -> None:
    clip = _clip(source)
    found = remap(clip, source, target, absent=True)[:, :, _joint(target, joint)]
    parts = clip[:, :, [_joint(source, name) for name in sources]]
    assert np.allclose(found[..., :2], parts[..., :2].mean(axis=2))
    metric = LAYOUTS[source].dimensions == 3
    third = parts[..., 2].mean(axis=2) if metric else parts[..., 2].min(axis=2)
    assert np.allclose(found[..., 2], third)


@pytest.mark.parametrize(
    ("channels", "value"),
    [(slice(None), 0.0), (2, 0.0), (0, np.nan), (1, np.inf)],
    ids=["zeros", "score 0", "nan", "inf"],
)
def test_what_is_not_seen_stays_unseen(channels: slice | int, value: float) -> None:
    clip = _clip("coco17")
    clip[0, 1, 5, channels] = value
    found = remap(clip, "coco17", "openpose18")
    assert np.array_equal(found[0, 1, 5], clip[0, 1, 5], equal_nan=True)  # copied as it is
    assert np.array_equal(found[0, 1, 1], np.zeros(3))  # the neck has one shoulder only
    assert (found[0, 0, 1] != 0).all()
    assert (found[1, 1, 1] != 0).all()


def test_a_score_of_zero_in_metric_data_is_a_coordinate() -> None:
    clip = _clip("nvidia34")
    clip[..., 20:22, 2] = 0
    found = remap(clip, "nvidia34", "ntu25", absent=True)
    middle = clip[:, :, 20:22].mean(axis=2)
    assert np.allclose(found[:, :, 20], middle)


def test_an_empty_clip_stays_empty() -> None:
    found = remap(np.zeros((1, 4, 17, 3)), "coco17", "openpose18")
    assert not found.any()


def test_missing_joints_are_listed_with_what_could_be_done() -> None:
    with pytest.raises(UsageError) as caught:
        remap(_clip("mediapipe33"), "mediapipe33", "openpose25")
    message = str(caught.value)
    for joint in ("left_big_toe", "left_small_toe", "right_big_toe", "right_small_toe"):
        assert joint in message
    assert "4 joint(s)" in message
    assert "near=True takes stand-ins for some (left_big_toe: left_foot_index;" in message
    assert "absent=True leaves them absent" in message


def test_stand_ins_only_when_allowed() -> None:
    clip = _clip("coco17", channels=2)
    with pytest.raises(UsageError, match=r"spine, head.*near=True takes stand-ins \(spine: mean"):
        remap(clip, "coco17", "human36m17")
    found = remap(clip, "coco17", "human36m17", near=True)
    assert np.allclose(found[:, :, 10], clip[:, :, [3, 4]].mean(axis=2))
    assert np.allclose(found[:, :, 7], clip[:, :, [5, 6, 11, 12]].mean(axis=2))
    left_out = remap(clip, "coco17", "human36m17", absent=True)
    assert not left_out[:, :, [7, 10]].any()
    assert np.array_equal(np.delete(left_out, [7, 10], 2), np.delete(found, [7, 10], 2))


def test_near_alone_does_not_excuse_what_is_missing() -> None:
    with pytest.raises(UsageError, match=r"2 joint\(s\).*left_small_toe, right_small_toe\."):
        remap(_clip("mediapipe33"), "mediapipe33", "openpose25", near=True)
    found = remap(_clip("mediapipe33"), "mediapipe33", "openpose25", near=True, absent=True)
    unseen = np.flatnonzero(~found.any(axis=(0, 1, 3)))
    assert [LAYOUTS["openpose25"].joints[j] for j in unseen] == [
        "left_small_toe",
        "right_small_toe",
    ]


@pytest.mark.parametrize("options", [{}, {"absent": True}, {"near": True, "absent": True}])
def test_a_hand_is_no_body(options: dict[str, bool]) -> None:
    with pytest.raises(UsageError, match="coco17 and handmp21 have no joint in common"):
        remap(_clip("coco17"), "coco17", "handmp21", **options)


def test_scores_do_not_become_depth() -> None:
    with pytest.raises(
        UsageError, match=r"holds x, y, score and human36m17 x, y, z.*\[\.\.\., :2\]"
    ):
        remap(_clip("coco17"), "coco17", "human36m17", near=True)
    with pytest.raises(UsageError, match="holds x, y, z and openpose18 x, y, score"):
        remap(_clip("ntu25"), "ntu25", "openpose18", absent=True)


@pytest.mark.parametrize(
    "clip",
    [
        np.zeros((1, 2, 18, 3)),
        np.zeros((2, 17, 3)),
        np.zeros((1, 2, 17, 1)),
        np.zeros((1, 2, 17, 3), dtype=bool),
        np.zeros((1, 2, 17, 3), dtype=complex),
        np.full((1, 2, 17, 3), "x"),
    ],
)
def test_a_clip_of_another_kind_is_refused(clip: np.ndarray) -> None:
    with pytest.raises(ClipError, match=r"\(M, T, 17, C\)"):
        remap(clip, "coco17", "openpose18")


def test_whole_numbers_become_fractions_where_they_must() -> None:
    clip = np.ones((1, 1, 17, 3), dtype=np.int64)
    clip[0, 0, 5, 0] = 4
    assert remap(clip, "coco17", "openpose18")[0, 0, 1, 0] == 2.5


def test_names_may_be_spelt_as_codebases_do() -> None:
    clip = _clip("coco17")
    assert np.array_equal(remap(clip, "coco", "openpose"), remap(clip, "coco17", "openpose18"))
    with pytest.raises(UnknownNameError, match="did you mean 'coco'"):
        correspondence("cocoo", "openpose")


def test_the_report_says_where_every_joint_comes_from() -> None:
    found = correspondence("mediapipe33", "openpose25")
    assert found.of_kind("derived") == ("neck", "mid_hip")
    assert found.of_kind("near") == ("left_big_toe", "right_big_toe")
    assert found.of_kind("missing") == ("left_small_toe", "right_small_toe")
    assert len(found.of_kind("same")) == 25 - 6
    assert "left_thumb" in found.unused
    assert "left_heel" not in found.unused
    text = str(found)
    assert "1 neck             mean of left_shoulder, right_shoulder" in text
    assert "19 left_big_toe     near: left_foot_index" in text
    assert "20 left_small_toe   missing" in text


@pytest.mark.parametrize("joint", [*DERIVED, *NEAR])
def test_recipes_name_joints_that_layouts_have_and_never_themselves(joint: str) -> None:
    known = {name for layout in LAYOUTS.values() for name in layout.joints}
    assert joint in known
    for recipe in (*DERIVED.get(joint, ()), *NEAR.get(joint, ())):
        assert set(recipe.sources) <= known
        assert joint not in recipe.sources


def test_no_joint_is_both_derived_and_near() -> None:
    assert not set(DERIVED) & set(NEAR)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_left_stays_left(one: str, other: str) -> None:
    found = correspondence(one, other)
    for origin in found.origins:
        side = origin.joint.partition("_")[0]
        if side in ("left", "right"):
            names = [found.source.joints[index] for index in origin.sources]
            assert all(name.startswith(side) for name in names)
