"""Clips of one length out of clips of any length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.errors import ClipError
from stgcn_deploy.skeleton.windows import fit_frames, pad_persons

lengths = st.integers(1, 40)
fits = st.sampled_from(["exact", "pad", "resample"])


def _clip(frames: int, persons: int = 1) -> np.ndarray:
    rng = np.random.default_rng(frames)
    return rng.normal(size=(persons, frames, 3, 2)).astype(np.float32)


@given(lengths, st.integers(0, 5), st.integers(0, 5), fits)
def test_a_clip_inside_the_range_stays_as_it_is(
    frames: int, below: int, above: int, fit: str
) -> None:
    clip = _clip(frames)
    assert np.array_equal(fit_frames(clip, (frames - below, frames + above), fit), clip)


@given(lengths, lengths, st.sampled_from(["pad", "resample"]))
def test_every_length_becomes_the_one_asked_for(frames: int, wanted: int, fit: str) -> None:
    fitted = fit_frames(_clip(frames), (wanted, wanted), fit)
    assert fitted.shape == (1, wanted, 3, 2)
    assert fitted.dtype == np.float32


@given(lengths, lengths)
def test_padding_keeps_the_beginning_and_ends_in_zeros(frames: int, wanted: int) -> None:
    clip = _clip(frames)
    fitted = fit_frames(clip, (wanted, wanted), "pad")
    kept = min(frames, wanted)
    assert np.array_equal(fitted[:, :kept], clip[:, :kept])
    assert not fitted[:, kept:].any()


@given(st.integers(2, 40), st.integers(2, 40))
def test_resampling_a_steady_motion_gives_a_steady_motion(frames: int, wanted: int) -> None:
    # Not from 0: a joint that is all zero is a lost one.
    line = np.linspace(1, 2, frames, dtype=np.float32)[None, :, None, None]
    fitted = fit_frames(line, (wanted, wanted), "resample")
    assert np.allclose(fitted[0, :, 0, 0], np.linspace(1, 2, wanted), atol=1e-6)


@given(st.integers(1, 40), st.integers(2, 40))
def test_resampling_keeps_the_first_and_the_last_frame(frames: int, wanted: int) -> None:
    clip = _clip(frames)
    fitted = fit_frames(clip, (wanted, wanted), "resample")
    assert np.allclose(fitted[:, 0], clip[:, 0])
    assert np.allclose(fitted[:, -1], clip[:, -1], atol=1e-6)


@given(lengths, lengths)
def test_resampling_stays_between_the_values_of_the_clip(frames: int, wanted: int) -> None:
    clip = _clip(frames)
    fitted = fit_frames(clip, (wanted, wanted), "resample")
    assert (fitted >= clip.min(axis=1, keepdims=True) - 1e-6).all()
    assert (fitted <= clip.max(axis=1, keepdims=True) + 1e-6).all()


@pytest.mark.parametrize(
    ("frames", "allowed", "wanted"), [(10, (20, 30), 20), (40, (20, 30), 30), (25, (20, 30), 25)]
)
@pytest.mark.parametrize("fit", ["pad", "resample"])
def test_an_open_range_is_entered_at_its_nearer_end(
    frames: int, allowed: tuple[int, int], wanted: int, fit: str
) -> None:
    assert fit_frames(_clip(frames), allowed, fit).shape[1] == wanted


@pytest.mark.parametrize(("allowed", "text"), [((20, 20), "takes 20"), ((20, 30), "20 to 30")])
def test_another_length_is_refused_by_default_and_told_how_to_fit(
    allowed: tuple[int, int], text: str
) -> None:
    with pytest.raises(ClipError, match=text) as caught:
        fit_frames(_clip(10), allowed, "exact")
    assert "--fit resample" in str(caught.value)
    assert "10 frames" in str(caught.value)


@given(st.integers(1, 4), st.integers(0, 3))
def test_missing_persons_are_zeros_at_the_end(persons: int, more: int) -> None:
    clip = _clip(5, persons)
    padded = pad_persons(clip, persons + more)
    assert np.array_equal(padded[:persons], clip)
    assert padded.shape[0] == persons + more
    assert not padded[persons:].any()


def test_too_many_persons_are_refused() -> None:
    with pytest.raises(ClipError, match="3 persons, the bundle takes 2"):
        pad_persons(_clip(5, 3), 2)


def test_halfway_to_a_lost_joint_lies_no_joint() -> None:
    clip = np.ones((1, 4, 2, 3), np.float32)
    clip[0, :, 1] = 5
    clip[0, 2, 1] = 0
    fitted = fit_frames(clip, (7, 7), "resample")
    assert np.array_equal(fitted[0, :, 0], np.ones((7, 3)))
    # Frames 0, .5, 1, 1.5, 2, 2.5, 3 of the clip: only what is nearest to the loss is lost.
    assert set(np.unique(fitted[0, :, 1])) == {0.0, 5.0}
    assert fitted[0, 4, 1].tolist() == [0, 0, 0]
