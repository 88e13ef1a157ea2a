"""Image points as networks were trained on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.errors import ClipError
from stgcn_deploy.skeleton.transforms import prenormalize_2d
from stgcn_deploy.skeleton.transforms.kinetics import best_per_frame, fractions
from stgcn_deploy.skeleton.transforms.normalize2d import fixed_range, hide_unsure, scale_to_span
from stgcn_deploy.skeleton.transforms.tsstg import append_middle, square

sizes = st.tuples(st.integers(1, 4000), st.integers(1, 4000))


def _points(*points: tuple[float, ...]) -> np.ndarray:
    return np.array(points, dtype=np.float32)[None, None]


def _clip(shape: tuple[int, ...] = (2, 6, 5, 2), seed: int = 0) -> np.ndarray:
    clip = np.random.default_rng(seed).uniform(0, 200, shape).astype(np.float32)
    clip.setflags(write=False)
    return clip


# ---- PYSKL and MMAction2 ---------------------------------------------------------------------


@given(sizes)
def test_the_corners_of_the_image_become_the_corners_of_the_square(size: tuple[int, int]) -> None:
    width, height = size
    corners = _points((0, 0), (width, height), (width / 2, height / 2))
    found = prenormalize_2d(corners, size, score_threshold=None)
    assert np.allclose(found[0, 0], [(-1, -1), (1, 1), (0, 0)], atol=1e-6)


def test_unsure_joints_go_to_the_middle_and_keep_their_score() -> None:
    points = _points((10, 20, 0.9), (10, 20, 0.01), (10, 20, 0.011))
    found = prenormalize_2d(points, (40, 40), score_threshold=0.01)
    assert np.allclose(found[0, 0], [(-0.5, 0, 0.9), (0, 0, 0.01), (-0.5, 0, 0.011)])


def test_without_a_threshold_a_missing_joint_lands_in_the_corner() -> None:
    found = prenormalize_2d(_points((0, 0, 0)), (40, 40), score_threshold=None)
    assert np.array_equal(found[0, 0], [(-1, -1, 0)])


def test_a_hidden_joint_is_plain_zero() -> None:
    """Not -0.0, which some runtimes tell apart."""
    hidden = hide_unsure(_points((-3, -4)), np.zeros((1, 1, 1)), 0.01)
    assert not np.signbit(hidden).any()


@given(st.floats(11, 500), st.floats(11, 500), st.floats(-300, 300), st.integers(0, 10))
def test_the_span_becomes_the_square_wherever_it_lies(
    width: float, height: float, shift: float, seed: int
) -> None:
    unit = np.random.default_rng(seed).uniform(0, 1, (2, 4, 5, 2))
    unit[0, 0, 0], unit[0, 0, 1] = 0, 1
    clip = (unit * (width, height) + shift).astype(np.float32)
    assert np.allclose(scale_to_span(clip, None), unit * 2 - 1, atol=1e-3)


def test_scaling_a_span_again_changes_nothing() -> None:
    once = scale_to_span(_clip(), None)
    assert np.array_equal(scale_to_span(once, None), once)


@pytest.mark.parametrize("span", [(10, 200), (200, 10), (1, 1), (0, 0)])
def test_small_spans_are_taken_for_normalised_points(span: tuple[float, float]) -> None:
    clip = _points((0, 0), span, (span[0] / 2, span[1] / 2))
    assert np.array_equal(scale_to_span(clip, None), clip)


def test_unseen_joints_do_not_count_for_the_span() -> None:
    clip = _points((0, 0), (100, 100), (200, 150))
    seen = np.array([[[False, True, True]]])
    assert np.allclose(scale_to_span(clip, seen)[0, 0, 1:], [(-1, -1), (1, 1)])
    assert np.array_equal(scale_to_span(clip, np.zeros_like(seen)), clip)


# ---- MMAction2 0.x ---------------------------------------------------------------------------


def test_the_fixed_range_is_that_of_full_hd() -> None:
    found = fixed_range(_points((960, 540, 0.5), (1920, 0, 1)), (960, 540, 0.5), (1920, 1080, 1))
    assert np.allclose(found[0, 0], [(0, 0, 0), (0.5, -0.5, 0.5)])


def test_a_range_of_other_channels_is_refused() -> None:
    with pytest.raises(ClipError, match="2 channels, this codebase's range is for 3"):
        fixed_range(_points((1, 2)), (0, 0, 0), (1, 1, 1))


# ---- Kinetics --------------------------------------------------------------------------------


@pytest.mark.parametrize(("flip", "sign"), [(False, 1), (True, -1)])
def test_fractions_lie_around_the_middle_and_y_may_be_turned(flip: bool, sign: int) -> None:
    found = fractions(_points((160, 60)), (320, 240), offset=0.5, flip_y=flip)
    assert np.allclose(found[0, 0], [(0, -0.25 * sign)])


def test_released_data_are_fractions_already() -> None:
    points = _points((0.25, 0.75), (-0.3, 1.4))
    assert np.allclose(fractions(points, None, offset=0.5), points - 0.5)


def test_pixels_of_no_image_are_refused() -> None:
    with pytest.raises(ClipError, match=r"up to 320 are pixels.*--image-size"):
        fractions(_points((320, 10)), None)


def test_the_surest_persons_come_first_in_every_frame() -> None:
    """Their slots may change from frame to frame: so do those of the training data."""
    points = np.arange(3, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 4, 2), np.float32)
    score = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])[:, :, None] * np.ones((1, 1, 4))
    chosen, sure = best_per_frame(points, score, keep=2)
    assert chosen[:, 0, 0, 0].tolist() == [2, 1]
    assert chosen[:, 1, 0, 0].tolist() == [0, 1]
    assert np.allclose(sure[:, :, 0], [[0.3, 0.9], [0.2, 0.8]])


def test_only_the_first_candidates_are_looked_at() -> None:
    points = np.arange(7, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 2, 2), np.float32)
    score = np.arange(7, dtype=np.float32)[:, None, None] * np.ones((1, 1, 2), np.float32)
    chosen, _ = best_per_frame(points, score, keep=2, candidates=5)
    assert chosen[:, 0, 0, 0].tolist() == [4, 3]


def test_persons_that_are_alike_keep_their_order() -> None:
    points = np.arange(4, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 2, 2), np.float32)
    chosen, _ = best_per_frame(points, np.ones((4, 1, 2)), keep=4)
    assert chosen[:, 0, 0, 0].tolist() == [0, 1, 2, 3]


# ---- TSSTG -----------------------------------------------------------------------------------


@given(st.integers(0, 20), st.floats(0.01, 1000), st.floats(-500, 500))
def test_each_frame_fills_the_square_wherever_it_was(seed: int, scale: float, shift: float) -> None:
    clip = np.random.default_rng(seed).uniform(0, 1, (1, 4, 13, 2))
    found = square(clip)
    assert np.allclose(found.min(axis=2), -1)
    assert np.allclose(found.max(axis=2), 1)
    assert np.allclose(square(clip * scale + shift), found, atol=1e-6)
    assert np.allclose(square(found), found)


def test_a_frame_without_extent_becomes_zeros_instead_of_nothing() -> None:
    clip = _clip((1, 2, 13, 2)).copy()
    clip[0, 0] = 7
    clip[0, 1, :, 1] = 3
    found = square(clip)
    assert not found[0, 0].any()
    assert not found[0, 1, :, 1].any()
    assert found[0, 1, :, 0].max() == 1


def test_the_middle_of_the_shoulders_is_joint_13() -> None:
    clip = _clip((1, 2, 13, 3))
    found = append_middle(clip, (1, 2))
    assert found.shape == (1, 2, 14, 3)
    assert np.array_equal(found[:, :, :13], clip)
    assert np.allclose(found[:, :, 13], (clip[:, :, 1] + clip[:, :, 2]) / 2)


def test_a_middle_of_joints_that_are_not_there_is_refused() -> None:
    with pytest.raises(ClipError, match="has 2 joints, expected 3"):
        append_middle(_clip((1, 2, 2, 2)), (1, 2))


# ---- all -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda c: prenormalize_2d(c, (200, 200), score_threshold=0.01),
        lambda c: scale_to_span(c, None),
        lambda c: fractions(c, (200, 200), offset=0.5, flip_y=True),
        lambda c: fixed_range(c, (1, 1), (2, 2)),
        lambda c: hide_unsure(c, c[..., 0], 100),
        lambda c: best_per_frame(c, c[..., 0])[0],
        square,
        lambda c: append_middle(c, (1, 2)),
    ],
)
def test_what_was_given_does_not_change(function: Any) -> None:
    clip = _clip()
    before = clip.copy()
    first, again = function(clip), function(clip)
    assert np.array_equal(clip, before)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, clip)
