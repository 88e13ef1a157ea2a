"""BlazePose's decoders: on tensors whose meaning is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.live.pose import blaze_detector, blaze_landmarks
from stgcn_deploy.live.pose.blaze_anchors import ANCHORS, anchors
from stgcn_deploy.live.pose.roi import Roi, crop, roi_of_person

pytest.importorskip("cv2")

SURE = 4.0  # a logit


# ---- anchors ---------------------------------------------------------------------------------


def test_there_are_as_many_anchors_as_the_network_has_outputs() -> None:
    assert ANCHORS.shape == (2254, 2)
    assert len(anchors(32, (8, 16), 1)) == 16 + 4


def test_anchors_go_row_by_row_in_the_middle_of_their_cells() -> None:
    assert ANCHORS[0] == pytest.approx((4 / 224, 4 / 224))
    assert ANCHORS[2] == pytest.approx((12 / 224, 4 / 224))  # two in each cell
    assert ANCHORS[56] == pytest.approx((4 / 224, 12 / 224))
    assert ANCHORS[1568] == pytest.approx((8 / 224, 8 / 224))  # stride 16
    # Three layers of stride 32 share one pass over their grid: six anchors in a cell.
    assert ANCHORS[1960] == pytest.approx((16 / 224, 16 / 224))
    assert ANCHORS[1966] == pytest.approx((48 / 224, 16 / 224))
    assert ANCHORS[-1] == pytest.approx((208 / 224, 208 / 224))


# ---- the detector ----------------------------------------------------------------------------


def _outputs() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((1, 2254, 12), np.float32), np.full((1, 2254, 1), -100.0, np.float32)


def _told(
    values: np.ndarray, logits: np.ndarray, at: int, logit: float, shift: float = 0.0
) -> None:
    """Somebody at an anchor, whose four points lie 10, 20, 30 and 40 pixels right of it."""
    values[0, at, :4] = shift, 0, 50, 50
    values[0, at, 4::2] = shift + np.array([10, 20, 30, 40])
    logits[0, at] = logit


def test_points_are_told_from_their_anchor_in_pixels_of_the_input() -> None:
    values, logits = _outputs()
    _told(values, logits, 1000, SURE)
    points, scores = blaze_detector.decode(values, logits)
    assert points.shape == (1, 4, 2)
    assert points[0, :, 0] == pytest.approx(ANCHORS[1000, 0] + np.array([10, 20, 30, 40]) / 224)
    assert points[0, :, 1] == pytest.approx(ANCHORS[1000, 1])
    assert scores == pytest.approx([1 / (1 + math.exp(-SURE))])


def test_nobody_gives_empty_arrays() -> None:
    points, scores = blaze_detector.decode(*_outputs())
    assert points.shape == (0, 4, 2)
    assert scores.shape == (0,)


def test_those_below_the_lowest_score_are_nobody() -> None:
    values, logits = _outputs()
    _told(values, logits, 0, -0.01)
    assert len(blaze_detector.decode(values, logits)[1]) == 0
    _told(values, logits, 0, 0.01)
    assert len(blaze_detector.decode(values, logits)[1]) == 1


def test_a_huge_logit_is_no_overflow() -> None:
    values, logits = _outputs()
    _told(values, logits, 0, 3e38)
    assert blaze_detector.decode(values, logits)[1] == pytest.approx([1.0])


def test_several_anchors_that_see_one_person_become_one_mean_by_score() -> None:
    values, logits = _outputs()
    # The same anchor cell twice: shifted by 0 and by 6 pixels, with scores 0.9 and 0.6.
    _told(values, logits, 1000, math.log(9))
    _told(values, logits, 1001, math.log(1.5), shift=6)
    assert (ANCHORS[1000] == ANCHORS[1001]).all()
    points, scores = blaze_detector.decode(values, logits)
    assert scores == pytest.approx([0.9])
    moved = 6 * 0.6 / (0.9 + 0.6)
    assert points[0, 0, 0] == pytest.approx(ANCHORS[1000, 0] + (10 + moved) / 224)


def test_two_people_stay_two_and_the_better_one_is_first() -> None:
    values, logits = _outputs()
    _told(values, logits, 0, 1.0)
    _told(values, logits, 1500, 2.0)
    points, scores = blaze_detector.decode(values, logits)
    assert scores == pytest.approx([1 / (1 + math.exp(-2.0)), 1 / (1 + math.exp(-1.0))])
    assert points[0, 0, 0] == pytest.approx(ANCHORS[1500, 0] + 10 / 224)


def test_an_empty_box_is_a_heap_by_itself_and_the_end_is_reached() -> None:
    points = np.arange(6.0).reshape(3, 1, 2)
    merged, best = blaze_detector.merge(points, np.zeros((3, 4)), np.array([1.0, 2.0, 3.0]))
    assert merged.tolist() == points[::-1].tolist()
    assert best.tolist() == [3.0, 2.0, 1.0]


# ---- regions ---------------------------------------------------------------------------------


@given(
    x=st.floats(-500, 2500),
    y=st.floats(-500, 1500),
    size=st.floats(4, 3000),
    angle=st.floats(-7, 7),
)
def test_to_a_region_and_back_is_where_it_was(
    x: float, y: float, size: float, angle: float
) -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.3, 0.9], [-2.0, 5.0]])
    roi = Roi(x, y, size, angle)
    back = roi.to_image(roi.from_image(points * 1000))
    assert np.abs(back - points * 1000).max() < 1e-6


def test_somebody_upright_has_an_upright_region_and_one_who_lies_a_turned_one() -> None:
    upright = roi_of_person(np.array([100.0, 200.0]), np.array([100.0, 120.0]))
    assert (upright.x, upright.y) == (100, 200)
    assert upright.size == pytest.approx(2 * 80 * 1.25)
    assert upright.angle == pytest.approx(0)
    # Head to the right: the region is turned clockwise by a quarter, so that its top is there.
    lying = roi_of_person(np.array([100.0, 200.0]), np.array([180.0, 200.0]))
    assert lying.angle == pytest.approx(math.pi / 2)
    top = lying.to_image(np.array([[0.5, 0.0]]))[0]
    assert top == pytest.approx((200, 200))


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2, 3.0])
def test_a_dot_is_in_the_crop_where_the_region_says(angle: float) -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    image[118:123, 198:203] = 255
    roi = Roi(180, 110, 120, angle)
    seen = crop(image, roi, 256, 0.0, 1.0, black=True)
    assert seen.shape == (1, 256, 256, 3)
    assert seen.dtype == np.float32
    rows, columns = np.nonzero(seen[0, ..., 0] > 0.5)
    there = roi.to_image(np.array([columns.mean(), rows.mean()]) / 256)
    assert np.abs(there - (200, 120)).max() < 0.3


def test_outside_of_the_image_is_black_or_as_its_edge() -> None:
    image = np.full((20, 10, 3), 255, np.uint8)
    around = Roi.around((0, 0, 10, 20))
    black = crop(image, around, 32, -1.0, 1.0, black=True)[0, ..., 0]
    assert black[16, 0] == -1.0
    assert black[16, 16] == 1.0
    assert crop(image, around, 32, 0.0, 1.0, black=False).min() == 1.0


def test_a_region_that_shows_nothing_or_is_no_size_is_not_usable() -> None:
    assert Roi(50, 50, 80).usable(100, 100)
    for roi in (
        Roi(math.nan, 50, 80),
        Roi(50, 50, math.inf),
        Roi(50, 50, 1),
        Roi(50, 50, 5000),
        Roi(900, 50, 80),
    ):
        assert not roi.usable(100, 100)


# ---- joints ----------------------------------------------------------------------------------


def _heat(*peaks: tuple[int, int, int]) -> np.ndarray:
    heat = np.full((64, 64, 3), -20.0, np.float32)
    for point, row, column in peaks:
        heat[row, column, point] = 10.0
    return heat


def test_a_point_moves_to_the_peak_near_it() -> None:
    points = np.array([[0.5, 0.5], [0.25, 0.75], [0.1, 0.1]])
    moved = blaze_landmarks.refine(points, _heat((0, 34, 30), (1, 48, 16)))
    assert moved[0] == pytest.approx((30 / 64, 34 / 64), abs=1e-6)
    assert moved[1] == pytest.approx((16 / 64, 48 / 64), abs=1e-6)
    assert moved[2] == pytest.approx((0.1, 0.1))  # no heat: it stays


def test_a_peak_that_is_far_away_or_of_another_point_moves_nothing() -> None:
    points = np.array([[0.5, 0.5]])
    for heat in (_heat((0, 32, 37)), _heat((1, 32, 33))):
        assert blaze_landmarks.refine(points, heat)[0].tolist() == [0.5, 0.5]


def test_two_peaks_pull_by_their_shares() -> None:
    heat = _heat()
    heat[32, 30, 0] = heat[32, 34, 0] = 10.0
    assert blaze_landmarks.refine(np.array([[0.5, 0.5]]), heat)[0, 0] == pytest.approx(
        0.5, abs=1e-6
    )


def test_at_the_border_only_what_is_there_counts() -> None:
    # Clipped indices would count the border's heat several times.
    heat = _heat()
    heat[0, 0, 0] = heat[0, 3, 0] = 10.0
    moved = blaze_landmarks.refine(np.array([[1 / 64, 0.0]]), heat)
    assert moved[0] == pytest.approx((1.5 / 64, 0), abs=1e-6)


def test_points_outside_of_the_map_or_not_finite_stay_as_they_are() -> None:
    points = np.array([[1.2, 0.5], [0.5, -0.5], [math.nan, 0.5]])
    moved = blaze_landmarks.refine(points, np.full((64, 64, 3), 10.0, np.float32))
    np.testing.assert_array_equal(moved, points)


def test_outputs_become_joints_in_pixels_of_the_image() -> None:
    told = np.zeros((39, 5), np.float32)
    told[:, :2] = 128.0
    told[0, :2] = 256.0, 0.0  # upper right corner
    told[34, :2] = 128.0, 64.0
    told[5, 3] = 2.0
    heat = np.full((1, 64, 64, 39), -20.0, np.float32)
    mask = np.zeros((1, 256, 256, 1), np.float32)
    roi = Roi(300, 200, 100, math.pi / 2)
    found = blaze_landmarks.decode((told.reshape(1, 195), np.array([[0.75]]), mask, heat), roi)
    assert found.joints.shape == (33, 2)
    assert found.joints[0] == pytest.approx((350, 250))  # the region lies on its right side
    assert found.joints[1] == pytest.approx((300, 200))
    assert found.visibility[5] == pytest.approx(1 / (1 + math.exp(-2)))
    assert found.visibility[4] == 0.5
    assert found.score == 0.75
    assert found.guides[0] == pytest.approx((300, 200))
    assert found.roi.size == pytest.approx(2 * 25 * 1.25)
    assert found.roi.angle == pytest.approx(math.pi / 2)
