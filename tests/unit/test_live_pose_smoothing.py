"""The one-euro filter: what stands still is held, what moves is followed, whatever the frame rate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stgcn_deploy.live.pose.blaze_landmarks import Landmarks
from stgcn_deploy.live.pose.smoothing import LandmarkSmoother, OneEuro


def _seen(x: float, visibility: float = 1.0) -> Landmarks:
    joints = np.full((33, 2), 100.0) + np.array([x, 0.0])
    guides = np.array([[100.0 + x, 100.0], [100.0 + x, 50.0]])
    return Landmarks(joints, np.full(33, visibility), guides, 1.0)


def test_the_first_values_pass() -> None:
    values = np.array([1.0, 2.0])
    assert OneEuro(1.0, 0.0)(values, 1.0, 0.1).tolist() == [1.0, 2.0]


def test_without_beta_it_is_a_low_pass_filter_of_that_cutoff() -> None:
    one = OneEuro(2.0, 0.0)
    one(np.zeros(1), 1.0, 0.1)
    share = 1 / (1 + 1 / (2 * math.pi * 2.0 * 0.1))
    assert one(np.ones(1), 1.0, 0.1)[0] == pytest.approx(share)
    assert one(np.ones(1), 1.0, 0.1)[0] == pytest.approx(share + share * (1 - share))


def test_fast_movement_gets_through_and_the_scale_says_what_is_fast() -> None:
    moved = []
    for scale in (0.001, 1.0):
        one = OneEuro(0.05, 80.0)
        one(np.zeros(1), scale, 1 / 30)
        moved.append(one(np.ones(1), scale, 1 / 30)[0])
    assert moved[0] < 0.1
    assert moved[1] > 0.9


def test_what_shakes_is_held() -> None:
    smoother = LandmarkSmoother()
    noise = np.random.default_rng(0).normal(0, 0.3, 200)
    out = [smoother(_seen(float(x)), i / 30).joints[0, 0] for i, x in enumerate(noise)]
    assert np.std(out[20:]) < 0.6 * np.std(noise[20:])


def test_what_walks_is_not_left_behind() -> None:
    smoother = LandmarkSmoother()
    # A person's length in a second: 100 px here.
    late = [
        100 + i * 100 / 30 - smoother(_seen(i * 100 / 30), i / 30).joints[0, 0] for i in range(60)
    ]
    assert 0 <= late[-1] < 1.0


def test_visibility_moves_as_far_in_a_second_at_any_frame_rate() -> None:
    ends = []
    for fps in (10, 30, 60):
        smoother = LandmarkSmoother()
        smoother(_seen(0, 0.0), 0.0)
        ends.append([smoother(_seen(0, 1.0), (i + 1) / fps).visibility[0] for i in range(fps)][-1])
    assert ends == pytest.approx([1 - 0.9**30] * 3)


def test_a_clock_that_stands_still_or_goes_back_gives_finite_values() -> None:
    smoother = LandmarkSmoother()
    for t in (1.0, 1.0, 0.5, 0.6):
        assert np.isfinite(smoother(_seen(t), t).joints).all()


def test_somebody_without_length_gives_finite_values() -> None:
    smoother = LandmarkSmoother()
    seen = Landmarks(np.zeros((33, 2)), np.zeros(33), np.zeros((2, 2)), 1.0)
    for i in range(3):
        assert np.isfinite(smoother(seen, i / 30).joints).all()
