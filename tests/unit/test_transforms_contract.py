"""Steps by name: what a manifest may hold, and what every codebase writes into one."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import copied, edit_manifest

from stgcn_deploy.bundle import read_manifest
from stgcn_deploy.checkpoints.base import Setting
from stgcn_deploy.checkpoints.codebases import CODEBASES
from stgcn_deploy.errors import ClipError, ManifestError, UnknownNameError, UsageError
from stgcn_deploy.manifest import ContractRecord, StepRecord
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec
from stgcn_deploy.skeleton.contract import (
    TRANSFORMS,
    Sequence,
    Step,
    apply_steps,
    raw_joints,
    with_clips,
)
from stgcn_deploy.skeleton.layouts import LAYOUTS

# Enough parameters to run each step on a clip of 25 joints.
NEEDED: dict[str, dict[str, Any]] = {
    "coordinates": {"dimensions": 3},
    "image_fractions": {"offset": 0.5},
    "normalize_range": {"mean": [0, 0, 0], "span": [1, 1, 1]},
    "middle_joint": {"joints": 25, "first": 1, "second": 2},
    "minus_joint": {"joint": 0},
    "persons": {"count": 3},
    "stream": {"name": "bone", "layout": "ntu25"},
    "sample": {"frames": 4},
    "pad_frames": {"frames": 4},
    "loop_frames": {"frames": 4},
    "crop_frames": {"frames": 4},
    "spread_frames": {"frames": 4},
    "spread_or_pad": {"frames": 4},
    "valid_crop_resize": {"frames": 4},
}
# Kept in the plane: only two coordinates make sense to them.
FLAT = {"prenormalize_2d", "image_fractions", "square_frames"}


def _sequence(*, channels: int = 3, scored: bool = True, joints: int = 25) -> Sequence:
    rng = np.random.default_rng(0)
    points = rng.uniform(0.1, 0.9, (2, 9, joints, channels)).astype(np.float32)
    score = rng.uniform(0, 1, (2, 9, joints)).astype(np.float32)
    return Sequence(points, score if scored else None, (640, 480))


# ---- steps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_step_gives_sequences_and_leaves_its_own_alone(name: str) -> None:
    sequence = _sequence(channels=2 if name in FLAT else 3)
    points, score = sequence.keypoints.copy(), sequence.score.copy()
    sequence.keypoints.setflags(write=False)
    sequence.score.setflags(write=False)
    step = Step(name, NEEDED.get(name, {}))
    first, again = step.run(sequence), step.run(sequence)
    assert first
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.keypoints, other.keypoints)
        assert np.isfinite(one.keypoints).all()
    assert np.array_equal(sequence.keypoints, points)
    assert np.array_equal(sequence.score, score)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_step_survives_a_manifest(name: str) -> None:
    step = Step(name, NEEDED.get(name, {})).complete
    record = StepRecord(name=name, params=dict(step.params))
    read = StepRecord.model_validate(json.loads(record.model_dump_json()))
    assert read.step.complete == read.step
    sequence = _sequence(channels=2 if name in FLAT else 3)
    for one, other in zip(step.run(sequence), read.step.run(sequence), strict=True):
        assert np.array_equal(one.keypoints, other.keypoints)


def test_a_complete_step_hides_no_default() -> None:
    step = Step("sample", {"frames": 100}).complete
    assert step.params == {"frames": 100, "clips": 1, "draw": "center", "seed": 255}


def test_steps_are_taken_in_order_and_clips_stack() -> None:
    steps = (
        Step("coordinates", {"dimensions": 2}),
        Step("prenormalize_2d", {"threshold": 0.5}),
        Step("merge_score"),
        Step("sample", {"frames": 5, "clips": 3, "draw": "pyskl"}),
        Step("persons", {"count": 4}),
    )
    raw = Sequence(np.random.default_rng(0).uniform(0, 1, (2, 9, 17, 3)), None, (640, 480))
    found = apply_steps(steps, raw)
    assert found.shape == (3, 4, 5, 17, 3)
    assert found.dtype == np.float32
    assert not found[:, 2:].any()
    hidden = found[..., :2] == 0
    assert np.array_equal(hidden.all(axis=-1)[:, :2], found[:, :2, ..., 2] <= 0.5)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("prenormalise_2d", {}, "unknown step 'prenormalise_2d'; did you mean 'prenormalize_2d'"),
        ("sample", {}, "'sample'.*frames"),
        ("sample", {"frames": 9, "clip": 2}, "'sample'.*clip"),
        ("persons", {"sequence": 1, "count": 2}, "'persons'"),
    ],
)
def test_what_is_no_step_is_refused(name: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Step(name, params)


@pytest.mark.parametrize(
    ("shape", "score", "size", "message"),
    [
        ((2, 3, 4), None, None, "expected \\(M, T, V, C\\)"),
        ((2, 0, 4, 2), None, None, "none of it 0"),
        ((2, 3, 4, 2), (2, 3), None, "expected one for each joint"),
        ((2, 3, 4, 2), None, (0, 3), "image size"),
    ],
)
def test_what_is_no_sequence_is_refused(
    shape: tuple[int, ...], score: Any, size: Any, message: str
) -> None:
    with pytest.raises(ClipError, match=message):
        Sequence(np.ones(shape), None if score is None else np.ones(score), size)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_than_coordinates_and_score_are_refused(channels: int) -> None:
    with pytest.raises(ClipError, match=rf"has {channels} channels.*starts from x, y, with or"):
        Step("coordinates", {"dimensions": 2}).run(_sequence(channels=channels, scored=False))


def test_a_missing_score_is_asked_for_and_not_made_up() -> None:
    with pytest.raises(ClipError, match="score of each joint as its last channel"):
        Step("merge_score").run(_sequence(scored=False))


def test_a_middle_joint_is_appended_once() -> None:
    step = Step("middle_joint", {"joints": 13, "first": 1, "second": 2})
    (once,) = step.run(_sequence(joints=13))
    (twice,) = step.run(once)
    assert once.joints == 14
    assert once.score.shape == (2, 9, 14)
    assert np.array_equal(once.keypoints, twice.keypoints)
    with pytest.raises(ClipError, match="has 17 joints, expected 13"):
        step.run(_sequence(joints=17))


def test_one_clip_is_drawn_by_nobody() -> None:
    steps = (Step("sample", {"frames": 5, "clips": 10, "draw": "pyskl"}), Step("cube"))
    assert with_clips(steps, 1)[0].params == {"frames": 5, "clips": 1, "draw": "center"}
    assert with_clips(steps, 4)[0].params == {"frames": 5, "clips": 4, "draw": "pyskl"}
    assert with_clips(steps, 1)[1] == steps[1]
    assert with_clips((Step("cube"),), 1) == (Step("cube"),)


@pytest.mark.parametrize(("clips", "message"), [(0, "at least 1"), (10, "looks at one clip")])
def test_clips_that_cannot_be_made_are_refused(clips: int, message: str) -> None:
    with pytest.raises(ClipError, match=message):
        with_clips((Step("cube"),), clips)


def test_joints_that_steps_append_may_be_missing() -> None:
    assert raw_joints((Step("cube"),), 17) == (17,)
    middle = Step("middle_joint", {"joints": 13, "first": 1, "second": 2})
    assert raw_joints((middle,), 14) == (13, 14)


# ---- manifests -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "smaple", "params": {}}, "unknown step 'smaple'; did you mean 'sample'"),
        ({"name": "sample", "params": {}}, "missing a required argument: 'frames'"),
        ({"name": "sample", "params": {"frames": 9, "x": 1}}, "unexpected keyword argument 'x'"),
        ({"name": "sample", "params": {"frames": "9"}}, "'frames'.*valid integer"),
        ({"name": "sample", "params": {"frames": 9, "draw": "all"}}, "'draw'.*'center'"),
        ({"name": "normalize_range", "params": {"mean": ["a"], "span": [1]}}, "'mean.0'.*number"),
        ({"name": "cube"}, "params"),
        ({"name": "cube", "params": {}, "why": ""}, "why"),
    ],
)
def test_a_manifest_with_a_wrong_step_is_refused_in_words(
    example: Callable[..., Any], tmp_path: Path, step: dict[str, Any], message: str
) -> None:
    bundle = edit_manifest(
        copied(example().bundle, tmp_path), lambda m: m["contract"]["steps"].append(step)
    )
    with pytest.raises(ManifestError, match=rf"contract\.steps.*{message}"):
        read_manifest(bundle)


def test_a_manifest_without_steps_is_refused(example: Callable[..., Any], tmp_path: Path) -> None:
    bundle = edit_manifest(copied(example().bundle, tmp_path), lambda m: m["contract"].pop("steps"))
    with pytest.raises(ManifestError, match=r"contract\.steps"):
        read_manifest(bundle)


# ---- codebases -------------------------------------------------------------------------------


def _spec(layout: str, channels: int) -> NetworkSpec:
    """As much of a network as steps ask for."""
    joints = 20 if layout == "ucla" else LAYOUTS[layout].num_joints
    block = BlockSpec(in_channels=channels, out_channels=8)
    return NetworkSpec("stgcn", "NCTVM", channels, joints, 3, 5, (block,))


def _made(codebase: str, layout: str, channels: int, stream: str = "joint") -> tuple[Step, ...]:
    known = None if layout == "ucla" else LAYOUTS[layout]
    setting = Setting(known, frames=30, persons=2, stream=stream)
    found = CODEBASES[codebase].steps(_spec(layout, channels), setting)
    assert ContractRecord(
        preprocessing="",
        steps=[{"name": s.name, "params": dict(s.complete.params)} for s in found],
        pad_frames="zeros",
        pad_persons="zeros",
    )
    return found


FIXED = {
    "sample", "pad_frames", "loop_frames", "spread_or_pad", "spread_frames", "valid_crop_resize",
}  # fmt: skip


def _recording(layout: str, dimensions: int) -> Sequence:
    """Two persons, 50 frames, in pixels or metres; some scores are low."""
    rng = np.random.default_rng(0)
    shape = (2, 50, LAYOUTS[layout].num_joints)
    points = rng.uniform(0, 400, (*shape, dimensions)).astype(np.float32)
    score = rng.choice([0.0, 0.005, 0.9], shape).astype(np.float32)
    return Sequence(np.concatenate([points, score[..., None]], axis=-1), None, (640, 480))


@pytest.mark.parametrize("codebase", CODEBASES)
def test_steps_make_clips_of_the_network_or_there_are_none(codebase: str) -> None:
    found = 0
    for layout, channels, stream in product(LAYOUTS, (2, 3), ("joint", "bone", "bone_motion")):
        steps = _made(codebase, layout, channels, stream)
        if not steps:
            continue
        found += 1
        names = [step.name for step in steps]
        dimensions = steps[names.index("coordinates")].params["dimensions"]
        batch = apply_steps(steps, _recording(layout, dimensions))
        assert batch.shape[1:3] == (2, 50 if FIXED.isdisjoint(names) else 30)
        assert np.isfinite(batch).all()
        if dimensions == 2 or channels == 3:
            assert batch.shape[3:] == (LAYOUTS[layout].num_joints, channels)
    assert found or codebase.startswith("paddle")


@pytest.mark.parametrize("codebase", CODEBASES)
def test_an_unknown_skeleton_has_no_steps(codebase: str) -> None:
    setting = Setting(None, frames=30, persons=2)
    assert CODEBASES[codebase].steps(_spec("ntu25", 3), setting) == ()


@pytest.mark.parametrize(
    ("codebase", "layout", "channels", "names"),
    [
        ("pyskl", "coco17", 3,
         "coordinates prenormalize_2d merge_score sample persons"),
        ("pyskl", "handmp21", 2, "coordinates prenormalize_2d sample persons"),
        ("mmaction2", "ntu25", 3, "coordinates prenormalize_3d sample persons"),
        ("st-gcn", "openpose18", 3,
         "coordinates image_fractions drop_unsure best_persons merge_score pad_frames persons"),
        ("st-gcn", "ntu25", 3, "coordinates pad_frames persons"),
        ("st-gcn-twostream", "mediapipe33", 3, "coordinates image_fractions merge_score"),
        ("2s-agcn", "ntu25", 3,
         "coordinates liveliest_persons pad_frames agcn_prenormalize persons"),
        ("ctr-gcn", "ntu25", 3, "coordinates persons from_first_valid valid_crop_resize"),
        ("ctr-gcn", "ucla", 3, "coordinates cube spread_frames persons"),
        ("mmaction2-0.x", "coco17", 3,
         "coordinates merge_score normalize_range loop_frames persons"),
        ("mmaction2-0.x-agcn", "ntu25", 3,
         "coordinates liveliest_persons crop_frames agcn_prenormalize loop_frames persons"),
        ("tsstg", "cococut14", 3, "coordinates square_frames middle_joint merge_score"),
        ("tao", "nvidia34", 3, "coordinates minus_joint drop_unsure pad_frames persons"),
        ("paddle-stgcn", "openpose25", 2, "coordinates spread_or_pad minus_joint persons"),
        ("paddle-stgcn", "coco17", 2, ""),
        ("st-gcn", "handmp21", 3, ""),
    ],
)  # fmt: skip
def test_what_each_codebase_does(codebase: str, layout: str, channels: int, names: str) -> None:
    if codebase not in CODEBASES:
        pytest.skip(f"no codebase {codebase}")
    assert [step.name for step in _made(codebase, layout, channels)] == names.split()


def test_codebases_differ_where_their_data_differ() -> None:
    def params(codebase: str, layout: str, name: str) -> dict[str, Any]:
        return next(dict(s.complete.params) for s in _made(codebase, layout, 3) if s.name == name)

    assert params("pyskl", "coco17", "prenormalize_2d")["threshold"] == 0.01
    assert params("mmaction2", "coco17", "prenormalize_2d")["threshold"] is None
    assert params("pyskl", "handmp21", "prenormalize_2d") == {"mode": "span", "threshold": 0.0}
    assert params("pyskl", "coco17", "sample")["draw"] == "pyskl"
    assert params("mmaction2", "coco17", "sample")["draw"] == "mmaction2"
    assert params("pyskl", "coco17", "sample")["clips"] == 10
    assert params("pyskl", "handmp21", "sample")["clips"] == 1
    assert params("st-gcn", "openpose18", "image_fractions")["flip_y"] is False
    assert params("2s-agcn", "openpose18", "image_fractions")["flip_y"] is True
    if "pyskl-dgstgcn" in CODEBASES:
        assert params("pyskl-dgstgcn", "ntu25", "prenormalize_3d")["align_spine"] is False


@pytest.mark.parametrize(
    ("codebase", "layout", "bone", "motion"),
    [
        ("pyskl", "coco17", True, True),
        ("pyskl", "handmp21", True, False),
        ("pyskl", "ntu25", False, False),
        ("2s-agcn", "openpose18", False, False),
    ],
)
def test_scores_of_streams_are_averaged_where_the_codebase_does(
    codebase: str, layout: str, bone: bool, motion: bool
) -> None:
    step = next(s for s in _made(codebase, layout, 3, "bone_motion") if s.name == "stream")
    found = step.complete.params
    assert (found["bone_score"], found["motion_score"]) == (bone, motion)
    assert found["name"] == "bone_motion"


def test_unknown_names_are_usage_errors() -> None:
    assert issubclass(UnknownNameError, UsageError)
