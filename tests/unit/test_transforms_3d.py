"""Skeletons in space: moved, turned, filled, squeezed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.errors import ClipError
from stgcn_deploy.skeleton.transforms import prenormalize_3d
from stgcn_deploy.skeleton.transforms.agcn import agcn_prenormalize, fill_null_frames, liveliest
from stgcn_deploy.skeleton.transforms.ctrgcn import cube, from_first_valid
from stgcn_deploy.skeleton.transforms.rotation import aligning, rotate

seeds = st.integers(0, 10_000)


def _clip(persons: int = 1, frames: int = 6, seed: int = 0, *, upright: bool = False) -> np.ndarray:
    """Moving bodies two metres away; `upright`: in frame 0 the shoulders stand across the spine."""
    rng = np.random.default_rng(seed)
    rest = rng.uniform(-0.6, 0.6, (persons, 1, 25, 3)) + np.array((0.2, -0.1, 2.5))
    clip = rest + rng.normal(0, 0.05, (persons, frames, 25, 3))
    if upright:
        clip[0, 0, [0, 1]] = (0.1, 0, 2), (0.1, 0.4, 2)
        clip[0, 0, [4, 8]] = (-0.2, 0.6, 2.1), (0.3, 0.6, 2.2)
    return clip


def _turn(seed: int) -> np.ndarray:
    """A random rotation."""
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return matrix * np.linalg.det(matrix)


# ---- rotations -------------------------------------------------------------------------------


@given(seeds)
def test_a_vector_is_turned_onto_its_target_and_nothing_is_stretched(seed: int) -> None:
    vector, target = np.random.default_rng(seed).normal(size=(2, 3))
    matrix = aligning(vector, tuple(target))
    turned = matrix @ vector
    assert np.allclose(np.cross(turned, target), 0, atol=1e-9)
    assert turned @ target > 0
    assert np.allclose(matrix @ matrix.T, np.eye(3))
    assert np.linalg.det(matrix) == pytest.approx(1)


@given(seeds)
def test_the_short_way_leaves_the_axis_of_the_turn_alone(seed: int) -> None:
    vector, target = np.random.default_rng(seed).normal(size=(2, 3))
    axis = np.cross(vector, target)
    assert np.allclose(aligning(vector, tuple(target)) @ axis, axis)


@pytest.mark.parametrize("vector", [(0, 0, 0), (0, 0, 2), (0, 0, -2), (1e-9, 0, 1e-9)])
def test_where_no_turn_is_defined_there_is_none(vector: tuple[float, ...]) -> None:
    assert np.array_equal(aligning(np.array(vector), (0.0, 0.0, 1.0)), np.eye(3))


def test_a_quarter_turn_is_right_handed() -> None:
    matrix = aligning(np.array([1.0, 0, 0]), (0.0, 1.0, 0.0))
    assert np.allclose(rotate(np.array([[[[0.0, 1, 0]]]]), matrix), [[[[-1, 0, 0]]]])


# ---- PreNormalize3D --------------------------------------------------------------------------


@given(seeds)
def test_the_first_frame_is_centred_and_its_shoulders_lie_along_x(seed: int) -> None:
    found = prenormalize_3d(_clip(2, seed=seed))
    assert np.allclose(found[0, 0, 1], 0, atol=1e-6)
    shoulders = found[0, 0, 8] - found[0, 0, 4]
    assert shoulders[0] > 0
    assert np.allclose(shoulders[1:], 0, atol=1e-6)


def test_spine_first_and_shoulders_second() -> None:
    """With shoulders across the spine both hold in the end."""
    found = prenormalize_3d(_clip(upright=True))
    spine = found[0, 0, 1] - found[0, 0, 0]
    assert np.allclose(spine, (0, 0, np.linalg.norm(spine)), atol=1e-6)


@given(seeds)
def test_distances_stay(seed: int) -> None:
    clip = _clip(2, seed=seed)
    found = prenormalize_3d(clip)
    wanted = np.linalg.norm(clip[1, 2, 3] - clip[0, 4, 20])
    assert np.linalg.norm(found[1, 2, 3] - found[0, 4, 20]) == pytest.approx(wanted, abs=1e-5)


@given(seeds, st.floats(-3, 3))
def test_where_the_camera_stood_does_not_matter(seed: int, shift: float) -> None:
    clip = _clip(2, seed=seed)
    moved = clip + np.array((shift, -shift / 2, 1))
    assert np.allclose(prenormalize_3d(moved), prenormalize_3d(clip), atol=1e-5)


@given(seeds)
def test_how_the_camera_was_turned_does_not_matter(seed: int) -> None:
    """Exactly so for shoulders across the spine; else the two short turns leave a rest."""
    clip = _clip(2, seed=seed, upright=True)
    turned = clip @ _turn(seed).T
    assert np.allclose(prenormalize_3d(turned), prenormalize_3d(clip), atol=1e-5)


@given(seeds)
def test_doing_it_again_changes_nothing(seed: int) -> None:
    upright = prenormalize_3d(_clip(2, seed=seed, upright=True))
    assert np.allclose(prenormalize_3d(upright), upright, atol=1e-5)
    centred = prenormalize_3d(_clip(2, seed=seed), align_spine=False)
    assert np.array_equal(prenormalize_3d(centred, align_spine=False), centred)


def test_without_rotation_the_clip_is_only_moved() -> None:
    clip = _clip(2).astype(np.float32)
    found = prenormalize_3d(clip, align_spine=False)
    assert np.array_equal(found, clip - clip[0, 0, 1])
    assert np.array_equal(prenormalize_3d(clip, align_spine=False, align_center=False), clip)


def test_an_absent_person_stays_absent() -> None:
    clip = _clip(2)
    clip[1] = 0
    assert not prenormalize_3d(clip)[1].any()


def test_a_missing_joint_stays_at_the_origin() -> None:
    clip = _clip(1)
    clip[0, 3, 7] = 0
    assert not prenormalize_3d(clip)[0, 3, 7].any()


@pytest.mark.parametrize("persons", [1, 2])
def test_nobody_at_all_is_left_as_it_is(persons: int) -> None:
    clip = np.zeros((persons, 5, 25, 3))
    assert np.array_equal(prenormalize_3d(clip), clip)


def test_frames_without_the_first_person_go() -> None:
    clip = _clip(1, 8)
    clip[0, [0, 3, 7]] = 0
    kept = clip[:, [1, 2, 4, 5, 6]]
    assert np.array_equal(prenormalize_3d(clip), prenormalize_3d(kept))


def test_who_is_there_longer_comes_first() -> None:
    clip = _clip(2, 8)
    clip[0, 2:] = 0
    swapped = clip[::-1].copy()
    assert np.array_equal(prenormalize_3d(clip), prenormalize_3d(swapped))
    assert prenormalize_3d(clip).shape[1] == 8


def test_other_skeletons_are_centred_on_their_last_joint() -> None:
    clip = _clip(1)[:, :, :20].astype(np.float32)
    found = prenormalize_3d(clip, align_spine=False)
    assert np.array_equal(found, clip - clip[0, 0, -1])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 4, 25, 3), "3 persons, this codebase looks at one or two"),
        ((1, 4, 25, 2), r"shape \(1, 4, 25, 2\)"),
        ((1, 4, 8, 3), "joints of NTU"),
    ],
)
def test_what_is_no_such_skeleton_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ClipError, match=message):
        prenormalize_3d(np.ones(shape))


# ---- 2s-AGCN ---------------------------------------------------------------------------------


def _slow_fill(person: np.ndarray) -> np.ndarray:
    frames = [frame.copy() for frame in person]
    there = [frame for frame in frames if frame.any()]
    if not there:
        return person
    if not frames[0].any():
        frames = there + [np.zeros_like(frames[0])] * (len(frames) - len(there))
    end = len(frames)
    while not frames[end - 1].any():
        end -= 1
    for t in range(end, len(frames)):
        frames[t] = frames[(t - end) % end]
    return np.stack(frames)


def _slow_agcn(clip: np.ndarray) -> np.ndarray:
    """The same by the words of the data format: person by person, frame by frame, joint by joint."""
    out = np.stack([_slow_fill(person) for person in clip.astype(np.float64)])
    centres = out[0, :, 1].copy()
    m, t, v, _ = out.shape
    places = [(p, f, j) for p in range(m) for f in range(t) for j in range(v)]
    for place in places:
        if out[place].sum() != 0:
            out[place] -= centres[place[1]]
    for start, end, axis in ((0, 1, (0.0, 0.0, 1.0)), (4, 8, (1.0, 0.0, 0.0))):
        matrix = aligning(out[0, 0, end] - out[0, 0, start], axis)
        for place in places:
            out[place] = matrix @ out[place]
    return out


@given(seeds, st.lists(st.integers(0, 9), max_size=6), st.lists(st.integers(0, 9), max_size=9))
def test_it_is_what_its_words_say(seed: int, gaps: list[int], other: list[int]) -> None:
    clip = _clip(2, 10, seed)
    clip[0, gaps] = 0
    clip[1, other] = 0
    clip[0, 5, 3] = 0
    assert np.allclose(agcn_prenormalize(clip), _slow_agcn(clip), atol=1e-5)


def test_every_frame_is_centred_on_the_first_person() -> None:
    found = agcn_prenormalize(_clip(2))
    assert np.allclose(found[0, :, 1], 0, atol=1e-6)
    assert np.abs(found[1, :, 1]).max() > 0.01


def test_an_empty_end_repeats_the_recording() -> None:
    person = _clip(1, 10)[0]
    person[4:] = 0
    found = fill_null_frames(person)
    assert np.array_equal(found, person[[0, 1, 2, 3, 0, 1, 2, 3, 0, 1]])


def test_a_late_start_moves_to_the_start_and_gaps_in_between_stay() -> None:
    late = _clip(1, 6)[0]
    late[[0, 3]] = 0
    assert np.array_equal(fill_null_frames(late)[:4], late[[1, 2, 4, 5]])
    gap = _clip(1, 6)[0]
    gap[3] = 0
    assert np.array_equal(fill_null_frames(gap), gap)


def test_nobody_and_an_absent_second_person_stay_empty() -> None:
    assert not agcn_prenormalize(np.zeros((2, 5, 25, 3))).any()
    clip = _clip(2)
    clip[1] = 0
    assert not agcn_prenormalize(clip)[1].any()


def test_the_liveliest_come_first() -> None:
    clip = _clip(1, 8) + np.zeros((4, 1, 1, 1))
    for person, scale in enumerate((0.1, 3.0, 0.0, 1.0)):
        clip[person] *= scale
    assert np.array_equal(liveliest(clip), clip[[1, 3]])
    assert np.array_equal(liveliest(clip, candidates=1), clip[:1])


def test_empty_frames_do_not_make_a_person_lively() -> None:
    clip = _clip(2, 8)
    clip[0] = clip[1] * 0.9
    clip[0, 4:] = 0
    clip[1] *= 1.2
    assert np.array_equal(liveliest(clip, keep=1), clip[1:])


# ---- CTR-GCN ---------------------------------------------------------------------------------


def test_a_clip_is_seen_from_where_the_first_person_is_first_seen() -> None:
    clip = _clip(2, 6)
    clip[0, :2] = 0
    clip[1, 4] = 0
    found = from_first_valid(clip)
    assert not found[0, :2].any()
    assert not found[1, 4].any()
    assert np.allclose(found[1, 0], clip[1, 0] - clip[0, 2, 1])
    assert np.array_equal(from_first_valid(found), found)


def test_without_a_first_person_nothing_moves() -> None:
    clip = _clip(2)
    clip[0] = 0
    assert np.array_equal(from_first_valid(clip), clip)


def test_a_centre_that_is_no_joint_is_refused() -> None:
    with pytest.raises(ClipError, match="has 25 joints, this codebase centres on 25"):
        from_first_valid(_clip(), 25)


@given(seeds, st.floats(0.1, 50), st.floats(-9, 9))
def test_a_clip_fills_the_cube_wherever_it_was(seed: int, scale: float, shift: float) -> None:
    clip = _clip(seed=seed)
    found = cube(clip)
    assert np.allclose(found.min(axis=(0, 1, 2)), -1)
    assert np.allclose(found.max(axis=(0, 1, 2)), 1)
    assert np.allclose(cube(clip * scale + shift), found, atol=1e-5)


def test_a_flat_clip_has_no_depth() -> None:
    clip = _clip()
    clip[..., 2] = 3
    assert not cube(clip)[..., 2].any()


# ---- all -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function", [prenormalize_3d, agcn_prenormalize, liveliest, from_first_valid, cube]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_was_given_does_not_change(function: Any, dtype: Any) -> None:
    clip = _clip(2).astype(dtype)
    clip[0, 0] = 0
    clip.setflags(write=False)
    before = clip.copy()
    first, again = function(clip), function(clip)
    assert np.array_equal(clip, before)
    assert np.array_equal(first, again)


@pytest.mark.parametrize("function", [prenormalize_3d, agcn_prenormalize, cube])
def test_networks_are_given_float32(function: Any) -> None:
    assert function(_clip()).dtype == np.float32
