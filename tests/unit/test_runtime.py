"""A loaded bundle: clips in, actions out, and words for whatever cannot be a clip."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import copied, edit_manifest
from hypothesis import given
from hypothesis import strategies as st

import stgcn_deploy
from stgcn_deploy import api
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import BackendError, ClipError, UnknownNameError
from stgcn_deploy.runtime import Model, load
from stgcn_deploy.skeleton.axes import to_native
from stgcn_deploy.skeleton.transforms import prenormalize_2d

M, T, V, C = 2, 20, 18, 3


def _clip(shape: tuple[int, ...] = (M, T, V, C), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


@pytest.fixture
def model(example: Callable[..., Any]) -> Any:
    with load(example().bundle, threads=1) as opened:
        yield opened


def _reference(checkpoint: Path, batch: np.ndarray) -> np.ndarray:
    """Logits of the checkpoint's own network for canonical clips."""
    found = load_checkpoint(checkpoint, Hints(frames=T, persons=M))
    with torch.inference_mode():
        return found.network(torch.from_numpy(to_native(batch, found.spec.axes))).numpy()


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# ---- answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stgcn", "twostream-openpose", "pyskl", "stgcnpp"])
def test_scores_are_the_probabilities_of_the_checkpoint(
    example: Callable[..., Any], name: str
) -> None:
    made = example(name)
    with load(made.bundle, threads=1) as opened:
        clip = _clip((M, T, opened.manifest.clip.joints, C))
        found = opened.predict(clip).scores
    assert np.allclose(found, _softmax(_reference(made.checkpoint, clip[None])[0]), atol=1e-5)


def test_a_bundle_of_logits_gives_logits(example: Callable[..., Any]) -> None:
    made = example(logits=True)
    with load(made.bundle, threads=1) as opened:
        found = opened.predict(_clip())
    assert np.allclose(found.scores, _reference(made.checkpoint, _clip()[None])[0], atol=1e-4)
    assert found.top[0].score == pytest.approx(found.scores.max())


def test_the_best_class_comes_first(model: Model) -> None:
    found = model.predict(_clip(), topk=3)
    assert [a.score for a in found.top] == sorted(found.scores.tolist(), reverse=True)[:3]
    assert found.label == found.top[0].label == model.labels[int(found.scores.argmax())]
    assert all(model.labels[a.index] == a.label for a in found.top)


def test_more_classes_than_there_are_is_all_of_them(model: Model) -> None:
    assert len(model.predict(_clip(), topk=99).top) == 5


def test_probabilities_add_up_to_one(model: Model) -> None:
    assert math.isclose(model.predict(_clip()).scores.sum(), 1, abs_tol=1e-5)


def test_a_prediction_is_plain_values(model: Model) -> None:
    found = model.predict(_clip(), topk=1).as_dict()
    assert set(found["top"][0]) == {"label", "index", "score"}
    assert len(found["scores"]) == 5


def test_the_clip_that_was_given_does_not_change(model: Model) -> None:
    clip = _clip()
    clip.setflags(write=False)
    before = clip.copy()
    model.predict(clip)
    assert np.array_equal(clip, before)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.uint8])
def test_numbers_of_any_kind_are_taken(model: Model, dtype: Any) -> None:
    clip = np.round(_clip() * 3).clip(0).astype(dtype)
    wanted = model.predict(clip.astype(np.float32)).scores
    assert np.array_equal(model.predict(clip).scores, wanted)


def test_the_short_names_of_the_package_are_these_functions(example: Callable[..., Any]) -> None:
    found = stgcn_deploy.predict(example().bundle, _clip())
    with stgcn_deploy.load(example().bundle) as opened:
        assert np.allclose(opened.predict(_clip()).scores, found.scores, atol=1e-6)


# ---- persons, frames, batches ----------------------------------------------------------------


def test_missing_persons_are_absent_ones(model: Model) -> None:
    alone = _clip()
    alone[1:] = 0
    assert np.array_equal(model.predict(alone[:1]).scores, model.predict(alone).scores)


def test_an_open_number_of_persons_is_taken_as_it_is(example: Callable[..., Any]) -> None:
    made = example(dynamic="persons")
    for persons in (1, 3, 5):
        clip = _clip((persons, T, V, C))
        with load(made.bundle, threads=1) as opened:
            found = opened.predict(clip).scores
        assert np.allclose(found, _softmax(_reference(made.checkpoint, clip[None])[0]), atol=1e-5)


@pytest.mark.parametrize("frames", [50, 77, 200])
def test_open_frames_are_taken_as_they_are(example: Callable[..., Any], frames: int) -> None:
    made = example(dynamic="frames")
    clip = _clip((M, frames, V, C))
    with load(made.bundle, threads=1) as opened:
        found = opened.predict(clip).scores
    assert np.allclose(found, _softmax(_reference(made.checkpoint, clip[None])[0]), atol=1e-5)


@pytest.mark.parametrize("frames", [10, 45])
@pytest.mark.parametrize("fit", ["pad", "resample"])
def test_other_lengths_are_fitted_when_asked(model: Model, frames: int, fit: Any) -> None:
    clip = _clip((M, frames, V, C))
    prepared = model.prepare(clip, fit=fit)
    assert prepared.shape == (M, T, V, C)
    assert np.array_equal(model.predict(clip, fit=fit).scores, model.scores(prepared[None])[0])


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_clips_in_groups_are_the_clips_one_by_one(
    example: Callable[..., Any], batch: int, count: int
) -> None:
    clips = _clip((count, M, T, V, C))
    with load(example(batch=batch).bundle, threads=1) as opened:
        together = opened.scores(clips)
        singles = np.concatenate([opened.scores(clip[None]) for clip in clips])
    assert together.shape == (count, 5)
    assert np.allclose(together, singles, atol=1e-6)


def test_an_open_batch_is_run_at_once(example: Callable[..., Any]) -> None:
    clips = _clip((5, M, T, V, C))
    with load(example(dynamic="batch").bundle, threads=1) as opened:
        together = opened.scores(clips)
        singles = np.concatenate([opened.scores(clip[None]) for clip in clips])
    assert np.allclose(together, singles, atol=1e-6)


def test_no_clip_gives_no_scores(example: Callable[..., Any]) -> None:
    for options in ({}, {"dynamic": "batch"}):
        with load(example(**options).bundle, threads=1) as opened:
            assert opened.scores(np.zeros((0, M, T, V, C), np.float32)).shape == (0, 5)


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (_clip((M, T, V)), r"shape \(2, 20, 18\), the bundle expects \(2, 20, 18, 3\)"),
        (_clip((1, M, T, V, C)), r"the bundle expects .* = \(M, T, V, C\)"),
        (_clip((M, T, 17, C)), r"V=17 is that of coco17.*layout openpose18"),
        (_clip((M, T, 19, C)), r"shape \(2, 20, 19, 3\), the bundle expects"),
        (_clip((M, T, V, 2)), "has 2 channels .* it was trained on: Kinetics"),
        (_clip((M, T, V, 4)), "has 4 channels"),
        (_clip((3, T, V, C)), "has 3 persons, the bundle takes 2"),
        (_clip((M, 19, V, C)), "has 19 frames, the bundle takes 20"),
        (_clip((M, 0, V, C)), "empty"),
        (_clip((0, T, V, C)), "empty"),
        (np.full((M, T, V, C), "x"), "dtype <U1"),
        (np.full((M, T, V, C), None), "dtype object"),
        (_clip().astype(np.complex64), "dtype complex64"),
        (_clip() > 0, "dtype bool"),
        (np.where(np.arange(C) == 1, np.nan, _clip()), "holds 720 NaN or infinite"),
        (np.where(np.arange(C) == 1, np.inf, _clip()), "NaN or infinite"),
        (np.full((M, T, V, C), 1e300), "NaN or infinite|too large"),
        (7, "shape"),
        ([[1, 2], [3, 4]], "shape"),
    ],
)
def test_what_is_no_clip_of_this_bundle_is_refused(model: Model, clip: Any, message: str) -> None:
    with pytest.raises(ClipError, match=message):
        model.predict(clip)


def test_ragged_lists_are_refused(model: Model) -> None:
    with pytest.raises(ClipError, match="numbers"):
        model.predict([[1, 2], [3]])  # type: ignore[arg-type]


@pytest.mark.parametrize("topk", [0, -1])
def test_less_than_one_class_cannot_be_named(model: Model, topk: int) -> None:
    with pytest.raises(ClipError, match="topk must be at least 1"):
        model.predict(_clip(), topk=topk)


def test_an_unknown_fit_is_refused(model: Model) -> None:
    with pytest.raises(Exception, match="crop") as caught:
        model.predict(_clip((M, 30, V, C)), fit="crop")  # type: ignore[arg-type]
    assert isinstance(caught.value, stgcn_deploy.StgcnError)


@given(st.tuples(*[st.integers(0, 4)] * 4))
def test_no_shape_gives_another_kind_of_error(
    shape: tuple[int, ...],
) -> None:
    clip = np.zeros(shape, np.float32)
    with pytest.raises(ClipError):
        SHARED_MODEL[0].predict(clip)


SHARED_MODEL: list[Model] = []


@pytest.fixture(autouse=True, scope="module")
def _one_model_for_all_examples(example: Callable[..., Any]) -> Any:
    with load(example().bundle, threads=1) as opened:
        SHARED_MODEL.append(opened)
        yield
    SHARED_MODEL.clear()


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("ntu25", "in layout ntu25, the bundle expects"),
        ("coco", "in layout coco17"),
        ("openpse18", "unknown layout 'openpse18'; did you mean 'openpose18'"),
    ],
)
def test_a_clip_that_says_another_layout_is_refused(
    model: Model, layout: str, message: str
) -> None:
    with pytest.raises((ClipError, UnknownNameError), match=message):
        model.predict(Recording(_clip(), layout))


@pytest.mark.parametrize("layout", ["openpose18", "kinetics", None])
def test_a_clip_of_the_same_layout_by_any_of_its_names_is_taken(
    model: Model, layout: str | None
) -> None:
    found = model.predict(Recording(_clip(), layout))
    assert np.array_equal(found.scores, model.predict(_clip()).scores)


# ---- pixels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "threshold"), [("pyskl", 0.01), ("mmaction2-pp", None)])
def test_an_annotation_in_pixels_is_normalised_as_in_training(
    example: Callable[..., Any], name: str, threshold: float | None
) -> None:
    pixels = np.random.default_rng(0).uniform(0, 240, (M, T, 17, 3)).astype(np.float32)
    pixels[..., 2] = np.random.default_rng(1).choice([0.0, 0.005, 0.9], (M, T, 17))
    with load(example(name).bundle, threads=1) as opened:
        found = opened.predict(Recording(pixels, None, (320, 240))).scores
        ready = prenormalize_2d(pixels, (320, 240), score_threshold=threshold)
        assert np.array_equal(opened.predict(ready).scores, found)
        assert not np.array_equal(opened.predict(pixels).scores, found)


def test_raw_clips_are_refused_where_the_steps_of_the_codebase_are_not_known(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    bundle = edit_manifest(
        copied(example().bundle, tmp_path), lambda m: m["contract"].update(steps=[])
    )
    refused = r"raw, .*how its codebase \(st-gcn\) prepares such clips.*prepared numbers as \.npy"
    with load(bundle, threads=1) as opened:
        with pytest.raises(ClipError, match=refused):
            opened.predict(Recording(_clip(), None, (320, 240)))
        with pytest.raises(ClipError, match=refused):
            opened.predict(_clip(), raw=True)
        assert len(opened.predict(_clip()).scores) == 5


# ---- sessions --------------------------------------------------------------------------------


def test_a_closed_model_refuses_to_predict(example: Callable[..., Any]) -> None:
    with load(example().bundle) as opened:
        pass
    with pytest.raises(BackendError, match="closed"):
        opened.predict(_clip())


def test_an_unknown_backend_is_refused(example: Callable[..., Any]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'onnxruntime'"):
        load(example().bundle, backend="onnxrutime")


def test_a_bundle_with_other_sizes_than_its_graph_is_refused_in_words(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    bundle = edit_manifest(
        copied(example().bundle, tmp_path), lambda m: m["clip"].update(frames=24)
    )
    with load(bundle) as opened, pytest.raises(ClipError, match="expected"):
        opened.predict(_clip((M, 24, V, C)))


def test_predicting_from_a_file_is_predicting_its_numbers(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    np.save(tmp_path / "clip.npy", _clip())
    from_file = api.predict(example().bundle, tmp_path / "clip.npy")
    assert np.array_equal(from_file.scores, api.predict(example().bundle, _clip()).scores)
