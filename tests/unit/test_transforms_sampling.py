"""Which frames and persons a network is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.transforms import Sequence, uniform_indices
from stgcn_deploy.skeleton.transforms.format import (
    first_persons,
    pad_frames,
    resize_frames,
    spread_or_pad,
    valid_crop_resize,
)
from stgcn_deploy.skeleton.transforms.sampling import loop_indices, spread_indices

totals, frames, clips = st.integers(1, 400), st.integers(1, 120), st.integers(1, 10)
draws = st.sampled_from(["pyskl", "mmaction2"])


def _clip(persons: int = 2, length: int = 10) -> np.ndarray:
    rng = np.random.default_rng(0)
    clip = rng.normal(0, 1, (persons, length, 4, 3)).astype(np.float32)
    clip.setflags(write=False)
    return clip


# ---- uniform ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("draw", "total"), [("mmaction2", 74613), ("pyskl", 74456)])
def test_ten_clips_of_150_frames_are_those_of_the_codebases(draw: str, total: int) -> None:
    assert uniform_indices(150, 100, 10, draw=draw).sum() == total


def test_short_recordings_are_sampled_alike_by_both() -> None:
    for total in (1, 7, 50, 99):
        one, other = (uniform_indices(total, 100, 10, draw=d) for d in ("pyskl", "mmaction2"))
        assert np.array_equal(one, other)


def test_starts_are_spread_over_a_short_recording() -> None:
    assert uniform_indices(72, 100, 10, draw="mmaction2")[:, 0].tolist() == [
        0, 7, 14, 21, 28, 36, 43, 50, 57, 64,
    ]  # fmt: skip
    assert uniform_indices(4, 100, 10, draw="mmaction2")[:, 0].tolist() == [
        0, 1, 2, 3, 0, 1, 2, 3, 0, 1,
    ]  # fmt: skip


@given(totals, frames, clips, draws)
def test_frames_exist_and_time_does_not_run_backwards(
    total: int, count: int, number: int, draw: str
) -> None:
    found = uniform_indices(total, count, number, draw=draw)
    assert found.shape == (number, count)
    assert found.min() >= 0
    assert found.max() < total
    if total >= count:
        assert (np.diff(found, axis=1) > 0).all()
    else:
        assert (np.diff(found, axis=1) % total == 1 % total).all()


@given(totals, frames, draws)
def test_a_long_recording_gives_one_frame_of_each_part(total: int, count: int, draw: str) -> None:
    if total < 2 * count:
        return
    edges = np.arange(count + 1) * total // count
    for one in uniform_indices(total, count, 3, draw=draw):
        assert (edges[:-1] <= one).all()
        assert (one < edges[1:]).all()


@given(totals, frames, clips, draws)
def test_drawing_is_repeatable_and_leaves_numpys_own_generator_alone(
    total: int, count: int, number: int, draw: str
) -> None:
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = uniform_indices(total, count, number, draw=draw)
    np.random.seed(8)  # noqa: NPY002
    again = uniform_indices(total, count, number, draw=draw)
    assert np.array_equal(first, again)
    np.random.seed(7)  # noqa: NPY002
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_fewer_clips_are_the_first_of_more_clips() -> None:
    """Of recordings that are long enough; of short ones the starts depend on their number."""
    many = uniform_indices(250, 100, 10, draw="mmaction2")
    assert np.array_equal(uniform_indices(250, 100, 1, draw="mmaction2"), many[:1])


def test_another_seed_draws_other_frames() -> None:
    one, other = (uniform_indices(300, 100, draw="pyskl", seed=seed) for seed in (255, 256))
    assert not np.array_equal(one, other)


@given(totals, frames)
def test_the_middle_of_each_part_lies_in_it(total: int, count: int) -> None:
    found = uniform_indices(total, count)[0]
    if total < count:
        assert np.array_equal(found, np.arange(count) % total)
        return
    place = (np.arange(count) + 0.5) * total / count
    assert (np.abs(found + 0.5 - place) <= 0.5 + 1e-9).all()
    # Read backwards it is the same choice, up to the half frame that rounding takes.
    assert (np.abs((total - 1 - found[::-1]) - found) <= 1).all()


def test_a_recording_of_the_right_length_is_taken_whole() -> None:
    for draw in ("center", "mmaction2", "pyskl"):
        assert np.array_equal(uniform_indices(100, 100, draw=draw)[0], np.arange(100))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 10), {}, "10 frames out of 0"),
        ((10, 0), {}, "0 frames out of 10"),
        ((10, 10, 0), {"draw": "pyskl"}, "0 clips"),
        ((10, 10, 2), {}, "2 clips of draw 'center'"),
        ((10, 10), {"draw": "pyskel"}, "unknown draw 'pyskel'; did you mean 'pyskl'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    arguments: tuple[int, ...], options: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        uniform_indices(*arguments, **options)


# ---- loops and spreads -----------------------------------------------------------------------


def test_a_loop_starts_again_and_a_long_one_is_cut() -> None:
    assert loop_indices(3, 8).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert loop_indices(9, 4).tolist() == [0, 1, 2, 3]


def test_a_spread_goes_from_the_first_frame_to_the_last() -> None:
    assert spread_indices(10, 4).tolist() == [0, 3, 6, 9]
    assert spread_indices(2, 5).tolist() == [0, 0, 0, 0, 1]
    assert spread_indices(10, 3, past_end=True).tolist() == [0, 5, 10]


def test_long_recordings_are_thinned_out_and_end_in_an_empty_frame() -> None:
    sequence = Sequence(_clip(1, 11)).padded(frames=30)
    found = spread_or_pad(sequence, 5).keypoints
    assert np.array_equal(found[:, :4], sequence.keypoints[:, [0, 2, 5, 8]])
    assert not found[:, 4].any()
    assert spread_or_pad(sequence, 12).frames == 12


# ---- sizes -----------------------------------------------------------------------------------


@given(st.integers(1, 20), st.integers(1, 5))
def test_sizes_come_out_as_asked_and_what_is_added_is_empty(length: int, persons: int) -> None:
    given_ = Sequence(_clip(), np.ones((2, 10, 4), np.float32))
    found = pad_frames(first_persons(given_, persons), length)
    assert found.keypoints.shape == (persons, length, 4, 3)
    assert found.score is not None
    assert found.score.shape == (persons, length, 4)
    m, t = min(persons, 2), min(length, 10)
    assert np.array_equal(found.keypoints[:m, :t], given_.keypoints[:m, :t])
    assert not found.keypoints[m:].any()
    assert not found.keypoints[:, t:].any()
    assert found.score.sum() == m * t * 4


@pytest.mark.parametrize("call", [first_persons, pad_frames, spread_or_pad])
def test_less_than_one_is_refused(call: object) -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        call(Sequence(_clip()), 0)  # type: ignore[operator]


# ---- resizing --------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 40))
def test_resizing_is_torchs_without_aligned_corners(length: int, count: int) -> None:
    clip = _clip(1, length)
    rows = torch.from_numpy(clip[0].reshape(1, 1, length, 12).transpose(0, 1, 3, 2).copy())
    wanted = torch.nn.functional.interpolate(
        rows, size=(12, count), mode="bilinear", align_corners=False
    )
    found = resize_frames(clip, count)
    assert np.abs(found[0].reshape(count, 12).T - wanted[0, 0].numpy()).max() < 1e-5


def test_resizing_to_the_same_length_changes_nothing() -> None:
    assert np.array_equal(resize_frames(_clip(), 10), _clip())


def test_five_percent_go_in_halves_from_both_ends() -> None:
    clip = Sequence(_clip(1, 90)).padded(frames=60).keypoints
    assert np.array_equal(valid_crop_resize(clip, 86), clip[:, 2:88])
    assert np.array_equal(valid_crop_resize(clip, 90, 1.0), clip[:, :90])


def test_a_clip_of_nobody_stays_empty() -> None:
    assert valid_crop_resize(np.zeros((2, 9, 4, 3)), 5).shape == (2, 5, 4, 3)
    assert not valid_crop_resize(np.zeros((2, 9, 4, 3)), 5).any()


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="share"):
        valid_crop_resize(_clip(), 5, share)
