"""Recordings in, actions out: what a loaded bundle does with numbers that no network has seen."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import copied, edit_manifest

from stgcn_deploy import api
from stgcn_deploy.data.formats import read_recording
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import ClipError
from stgcn_deploy.runtime import Model, load
from stgcn_deploy.skeleton.contract import Sequence, apply_steps, with_clips

M, T, V = 2, 20, 17
IMAGE = (320, 240)


def _pixels(frames: int = 47, joints: int = V, persons: int = M, seed: int = 0) -> np.ndarray:
    """People drifting through an image, some joints unsure: (M, T, V, 3)."""
    rng = np.random.default_rng(seed)
    clip = rng.uniform(40, 200, (persons, 1, joints, 3)) + rng.normal(
        0, 3, (persons, frames, joints, 3)
    )
    clip[..., 2] = rng.choice([0.0, 0.005, 0.5, 0.9], clip.shape[:3])
    return clip.astype(np.float32)


@pytest.fixture
def pyskl(example: Callable[..., Any]) -> Any:
    with load(example("pyskl").bundle, threads=1) as opened:
        yield opened


@pytest.fixture
def stgcn(example: Callable[..., Any]) -> Any:
    with load(example("stgcn").bundle, threads=1) as opened:
        yield opened


def _by_hand(model: Model, clip: np.ndarray, clips: int | None = None) -> np.ndarray:
    steps = model.manifest.steps
    steps = steps if clips is None else with_clips(steps, clips)
    return apply_steps(steps, Sequence(clip, None, IMAGE))


# ---- raw or not ------------------------------------------------------------------------------


def test_a_recording_is_scored_as_its_clips_averaged(pyskl: Model) -> None:
    batch = _by_hand(pyskl, _pixels())
    assert batch.shape == (10, M, T, V, 3)
    wanted = pyskl.scores(batch).mean(axis=0)
    found = pyskl.predict(Recording(_pixels(), None, IMAGE))
    assert np.allclose(found.scores, wanted, atol=1e-6)
    assert found.scores.sum() == pytest.approx(1, abs=1e-5)
    assert not np.allclose(found.scores, pyskl.scores(batch)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (Recording(_pixels(), None, IMAGE), {}),
        (Recording(_pixels(), raw=True), {"image_size": IMAGE}),
        (_pixels(), {"raw": True, "image_size": IMAGE}),
        (Recording(_pixels(), None, (1, 1)), {"image_size": IMAGE}),
        (Recording(_pixels()), {"raw": True, "image_size": IMAGE}),
    ],
)
def test_it_does_not_matter_who_says_that_it_is_raw(
    pyskl: Model, given: Any, options: dict[str, Any]
) -> None:
    wanted = pyskl.predict(_pixels(), raw=True, image_size=IMAGE).scores
    assert np.array_equal(pyskl.predict(given, **options).scores, wanted)


def test_numbers_are_as_the_network_sees_them_unless_said_otherwise(pyskl: Model) -> None:
    ready = _by_hand(pyskl, _pixels(), 1)[0]
    found = pyskl.predict(ready).scores
    assert np.array_equal(
        found, pyskl.predict(_pixels(), raw=True, image_size=IMAGE, clips=1).scores
    )


@pytest.mark.parametrize("clips", [1, 2, 10])
def test_as_many_clips_as_asked_for(pyskl: Model, clips: int) -> None:
    batch = pyskl.prepare_clips(_pixels(), raw=True, image_size=IMAGE, clips=clips)
    assert batch.shape == (clips, M, T, V, 3)
    assert np.array_equal(batch, _by_hand(pyskl, _pixels(), clips))


def test_one_prepared_clip_is_the_middle_of_each_part(pyskl: Model) -> None:
    one = pyskl.prepare(Recording(_pixels(), None, IMAGE))
    assert np.array_equal(one, _by_hand(pyskl, _pixels(), 1)[0])


def test_what_was_given_does_not_change(pyskl: Model) -> None:
    clip = _pixels()
    clip.setflags(write=False)
    before = clip.copy()
    pyskl.predict(clip, raw=True, image_size=IMAGE)
    assert np.array_equal(clip, before)


def test_the_steps_of_another_codebase_are_taken_too(stgcn: Model) -> None:
    """st-gcn: fractions around the middle, unseen joints at 0, empty frames at the end."""
    clip = _pixels(12, 18, 3)
    found = stgcn.prepare_clips(clip, raw=True, image_size=IMAGE)
    assert found.shape == (1, M, T, 18, 3)
    assert not found[0, :, 12:].any()
    seen = found[0, :, :12, :, 2] > 0
    assert (found[0, :, :12][~seen] == 0).all()
    assert np.abs(found[..., :2]).max() < 0.6
    wanted = stgcn.scores(found)[0]
    assert np.array_equal(stgcn.predict(clip, raw=True, image_size=IMAGE).scores, wanted)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_logits_are_averaged_as_probabilities(
    example: Callable[..., Any], tmp_path: Path, activation: str
) -> None:
    made = example("pyskl", logits=True)
    bundle = edit_manifest(copied(made.bundle, tmp_path), lambda m: m.update(activation=activation))
    with load(bundle, threads=1) as model:
        logits = model.scores(_by_hand(model, _pixels())).astype(np.float64)
        found = model.predict(_pixels(), raw=True, image_size=IMAGE).scores
    if activation == "softmax":
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        again = np.exp(found) / np.exp(found).sum()
    else:
        shares, again = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-found))
    assert np.allclose(again, shares.mean(axis=0), atol=1e-5)


def test_logits_of_any_size_have_an_average(example: Callable[..., Any], tmp_path: Path) -> None:
    for activation in ("softmax", "sigmoid"):
        folder = tmp_path / activation
        folder.mkdir()
        bundle = edit_manifest(
            copied(example("pyskl", logits=True).bundle, folder),
            lambda m, a=activation: m.update(activation=a),
        )
        with load(bundle, threads=1) as model:
            found = model._average(np.float32([[900, -900, 0], [900, -900, 1]]))
        assert np.isfinite(found).all()
        assert found.argmax() == 0


# ---- files -----------------------------------------------------------------------------------


def _annotation(**others: Any) -> dict[str, Any]:
    clip = _pixels()
    return {
        "img_shape": IMAGE[::-1],
        "keypoint": clip[..., :2],
        "keypoint_score": clip[..., 2],
    } | others


def test_annotations_are_raw_and_arrays_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(_annotation()))
    np.save(tmp_path / "a.npy", _pixels())
    assert read_recording(tmp_path / "a.pkl").is_raw
    assert not read_recording(tmp_path / "a.npy").is_raw
    without = _annotation()
    del without["img_shape"]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(without))
    assert read_recording(tmp_path / "a.pkl").is_raw


@pytest.mark.parametrize(
    ("extra", "raw", "size"),
    [
        ({}, False, None),
        ({"raw": True}, True, None),
        ({"image_size": [320, 240]}, True, IMAGE),
        ({"raw": False}, False, None),
    ],
)
def test_json_may_say_that_it_is_raw(
    tmp_path: Path, extra: dict[str, Any], raw: bool, size: Any
) -> None:
    path = tmp_path / "clip.json"
    path.write_text(json.dumps({"keypoints": _pixels().tolist(), **extra}), encoding="utf-8")
    found = read_recording(path)
    assert (found.is_raw, found.image_size) == (raw, size)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"raw": "yes"}, "\"raw\" is 'yes'"),
        ({"image_size": [320]}, '"image_size" is \\[320\\], expected two whole numbers'),
        ({"image_size": [0, 240]}, "image_size"),
        ({"image_size": "big"}, "image_size"),
        ({"image_size": {"w": 1}}, "image_size"),
    ],
)
def test_json_that_says_it_wrongly_is_refused(
    tmp_path: Path, extra: dict[str, Any], message: str
) -> None:
    path = tmp_path / "clip.json"
    path.write_text(json.dumps({"keypoints": _pixels().tolist(), **extra}), encoding="utf-8")
    with pytest.raises(ClipError, match=message):
        read_recording(path)


def test_a_score_of_one_person_may_leave_out_the_first_axis(tmp_path: Path) -> None:
    one = _annotation(keypoint=_pixels()[0, ..., :2], keypoint_score=_pixels()[0, ..., 2])
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(one))
    assert np.array_equal(read_recording(tmp_path / "a.pkl").clip, _pixels()[:1])


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clip", "options", "message"),
    [
        (_pixels(), {"image_size": IMAGE}, "an image size is for raw clips.*--raw"),
        (_pixels(T), {"clips": 10}, "sampled out of a raw recording.*--raw"),
        (_pixels(), {"raw": True}, "pixels and does not say.*--image-size"),
        (_pixels(), {"raw": True, "image_size": (0, 1)}, "image size"),
        (_pixels(), {"raw": True, "image_size": IMAGE, "clips": 0}, "clips must be at least 1"),
        (_pixels()[..., :2], {"raw": True, "image_size": IMAGE}, "score of each joint"),
        (_pixels()[..., [0, 1, 2, 2]], {"raw": True, "image_size": IMAGE}, "has 4 channels"),
        (_pixels(joints=18), {"raw": True}, r"V=18 is that of openpose18.*\(M, T, 17, C\)"),
        (_pixels()[:, :0], {"raw": True, "image_size": IMAGE}, "empty"),
        (_pixels() * np.nan, {"raw": True, "image_size": IMAGE}, "NaN or infinite"),
        (_pixels(30), {"fit": "crop"}, "unknown fit 'crop'; known: exact, pad, resample"),
        ([[1, 2], [3]], {}, "no regular array of numbers"),
    ],
)  # fmt: skip
def test_what_cannot_be_prepared_is_refused(
    pyskl: Model, clip: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClipError, match=message):
        pyskl.predict(clip, **options)


def test_several_clips_of_a_codebase_that_takes_one_are_refused(stgcn: Model) -> None:
    clip = _pixels(joints=18)
    with pytest.raises(ClipError, match="looks at one clip"):
        stgcn.predict(clip, raw=True, image_size=IMAGE, clips=10)
    assert stgcn.predict(clip, raw=True, image_size=IMAGE, clips=1)


def test_a_bundle_that_knows_no_steps_says_what_they_would_be(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    bundle = edit_manifest(
        copied(example("pyskl").bundle, tmp_path), lambda m: m["contract"].update(steps=[])
    )
    with (
        load(bundle) as model,
        pytest.raises(ClipError, match=r"does not know how its codebase \(pyskl\).*2-D: \(x-W/2\)"),
    ):
        model.predict(_pixels(), raw=True, image_size=IMAGE)


def test_steps_that_do_not_lead_to_the_network_are_refused_in_words(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    bundle = edit_manifest(
        copied(example("pyskl").bundle, tmp_path),
        lambda m: m["contract"].update(
            steps=[s for s in m["contract"]["steps"] if s["name"] != "merge_score"]
        ),
    )
    with (
        load(bundle) as model,
        pytest.raises(ClipError, match=r"of shape \(2, 47, 17, 3\) became \(2, 20, 17, 2\)"),
    ):
        model.predict(_pixels(), raw=True, image_size=IMAGE)


# ---- the command line ------------------------------------------------------------------------


def test_the_command_does_what_the_function_does(
    cli: Callable[..., Any], example: Callable[..., Any], tmp_path: Path
) -> None:
    bundle = example("pyskl").bundle
    np.save(tmp_path / "clip.npy", _pixels())
    done = cli(
        "predict", bundle, tmp_path / "clip.npy", "--raw", "--image-size", "320x240",
        "--clips", 1, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    wanted = api.predict(bundle, _pixels(), raw=True, image_size=IMAGE, clips=1)
    assert np.allclose(json.loads(done.out)["scores"], wanted.scores)


@pytest.mark.parametrize("size", ["320", "320x", "x240", "320x240x3", "0x240", "-320x240", "axb"])
def test_an_image_size_that_is_none_is_refused(
    cli: Callable[..., Any], example: Callable[..., Any], tmp_path: Path, size: str
) -> None:
    np.save(tmp_path / "clip.npy", _pixels())
    done = cli("predict", example("pyskl").bundle, tmp_path / "clip.npy", f"--image-size={size}")
    assert done.code == 2
    assert "--image-size takes WIDTHxHEIGHT" in done.err
