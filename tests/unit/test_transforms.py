"""Coordinates as networks were trained on them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.skeleton.transforms import prenormalize_2d

sizes = st.tuples(st.integers(1, 4000), st.integers(1, 4000))


def _points(*points: tuple[float, ...]) -> np.ndarray:
    return np.array(points, dtype=np.float32)[None, None]


@given(sizes)
def test_the_corners_of_the_image_become_the_corners_of_the_unit_square(
    size: tuple[int, int],
) -> None:
    width, height = size
    corners = _points((0, 0), (width, height), (width / 2, height / 2))
    found = prenormalize_2d(corners, size, score_threshold=None)
    assert np.allclose(found[0, 0], [(-1, -1), (1, 1), (0, 0)], atol=1e-6)


def test_the_score_is_kept_and_unsure_joints_go_to_the_centre() -> None:
    points = _points((10, 20, 0.9), (10, 20, 0.01), (10, 20, 0.011))
    found = prenormalize_2d(points, (40, 40), score_threshold=0.01)
    assert np.allclose(found[0, 0], [(-0.5, 0, 0.9), (0, 0, 0.01), (-0.5, 0, 0.011)])


def test_without_a_threshold_unsure_joints_stay_where_they_are() -> None:
    found = prenormalize_2d(_points((10, 20, 0.0)), (40, 40), score_threshold=None)
    assert np.allclose(found[0, 0], [(-0.5, 0, 0)])


def test_two_channels_have_no_score_to_go_by() -> None:
    found = prenormalize_2d(_points((10, 20)), (40, 40), score_threshold=0.01)
    assert np.allclose(found[0, 0], [(-0.5, 0)])


def test_the_clip_that_was_given_does_not_change() -> None:
    points = _points((10, 20, 0.9))
    before = points.copy()
    prenormalize_2d(points, (40, 40), score_threshold=0.95)
    assert np.array_equal(points, before)


def test_whole_numbers_of_pixels_come_out_as_float32() -> None:
    clip = np.array([[[[3, 4, 1]]]], dtype=np.int64)
    assert prenormalize_2d(clip, (10, 10), score_threshold=0.5).dtype == np.float32
