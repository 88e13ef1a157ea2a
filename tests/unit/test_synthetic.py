"""Synthetic motion: reproducible, anatomically sound, and different from action to action."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from stgcn_deploy.data.synthetic import (
    ACTIONS,
    BODY_BONES,
    BODY_JOINTS,
    LAYOUT_NAMES,
    generate_clip,
    generate_motion,
    iter_dataset,
    make_dataset,
)
from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.layouts import LAYOUTS


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _joint(name: str) -> int:
    return BODY_JOINTS.index(name)


# ---- motion in the room ----------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_bones_keep_their_length(action: str) -> None:
    child, parent = np.array(BODY_BONES).T
    for seed in range(5):
        joints = generate_motion(action, _rng(seed)).joints3d
        length = np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1)
        assert np.ptp(length, axis=0).max() < 1e-9
        assert length.min() > 0.005
        assert length.max() < 0.7


@pytest.mark.parametrize("action", ACTIONS)
def test_nobody_sinks_into_the_floor_or_floats(action: str) -> None:
    for seed in range(5):
        lowest = generate_motion(action, _rng(seed)).joints3d[..., 1].min(axis=1)
        assert lowest.min() > -0.001
        # Somebody who stands or lies touches the floor; only a jump leaves it.
        assert np.median(lowest) < 0.05
        assert lowest.max() < (0.6 if action == "jump" else 0.1)


@pytest.mark.parametrize("action", ACTIONS)
def test_motion_is_finite_smooth_and_human_in_speed(action: str) -> None:
    for seed in range(5):
        joints = generate_motion(action, _rng(seed)).joints3d
        speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1) * 25
        assert np.isfinite(joints).all()
        assert speed.max() < 25
        assert speed[:, _joint("spine_base")].max() < 6


def test_a_walker_does_not_skate() -> None:
    soles = [_joint(f"{side}_{part}") for side in ("left", "right") for part in ("heel", "foot")]
    walkers = 0
    for seed in range(12):
        joints = generate_motion("walk", _rng(seed), frames=300, fps=50.0).joints3d
        if np.linalg.norm(joints[-1, 0, ::2] - joints[0, 0, ::2]) < 3.5:
            continue  # on the spot, or filmed by a camera that follows
        walkers += 1
        speed = np.linalg.norm(np.diff(joints[:, soles], axis=0), axis=-1) * 50
        # At (nearly) every moment a part of one foot stands, though the body moves on.
        assert np.quantile(speed.min(axis=1), 0.75) < 0.6
    assert walkers > 3


def test_each_action_does_what_its_name_says() -> None:
    def height(action: str, seed: int) -> NDArray[np.float64]:
        joints = generate_motion(action, _rng(seed)).joints3d
        neck: NDArray[np.float64] = (
            joints[:, _joint("neck"), 1] / joints[:, _joint("neck"), 1].max()
        )
        return neck

    for seed in range(8):
        assert height("fall", seed)[-1] < 0.6
        assert height("stand", seed).min() > 0.9
        assert height("sit_down", seed)[0] > 0.9 > height("sit_down", seed)[-1]
        assert height("stand_up", seed)[0] < 0.9 < height("stand_up", seed)[-1]
        stooped = height("pick_up", seed)
        assert stooped.min() < 0.8


def test_a_body_may_be_filmed_at_any_rate() -> None:
    for frames, fps in ((2, 30.0), (13, 10.0), (64, 15.0), (300, 30.0)):
        motion = generate_motion("kick", _rng(), frames=frames, fps=fps)
        assert motion.joints3d.shape == (frames, len(BODY_JOINTS), 3)
        assert motion.fps == fps


# ---- clips -----------------------------------------------------------------------------------


def test_every_layout_of_the_table_can_be_made() -> None:
    assert set(LAYOUT_NAMES) == set(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
@pytest.mark.parametrize("channels", ["xyv", "xyz"])
def test_clip_has_the_shape_of_its_layout(layout: str, channels: str) -> None:
    clip = generate_clip("wave", _rng(), layout=layout, frames=40, persons=2, channels=channels)
    assert clip.shape == (2, 40, LAYOUTS[layout].num_joints, 3)
    assert clip.dtype == np.float32
    assert np.isfinite(clip).all()


@pytest.mark.parametrize("action", ACTIONS)
def test_image_clip_stays_in_the_unit_square(action: str) -> None:
    clip = generate_clip(action, _rng(3), persons=3, noise=0.02, missing=0.2)
    assert clip.min() >= 0
    assert clip.max() <= 1
    assert clip[..., :2].any(axis=(1, 2, 3)).all(), "a person slot is empty"


def test_image_y_points_down() -> None:
    clip = generate_clip("stand", _rng(), missing=0, noise=0)
    joints = LAYOUTS["mediapipe33"].joints
    nose, ankle = joints.index("nose"), joints.index("left_ankle")
    assert (clip[0, :, nose, 1] < clip[0, :, ankle, 1]).all()


def test_metric_clip_is_seen_upright_by_a_right_handed_camera() -> None:
    clip = generate_clip("stand", _rng(1), layout="ntu25", channels="xyz", missing=0, noise=0)[0]
    at = LAYOUTS["ntu25"].joints.index
    assert (clip[:, at("head"), 1] > clip[:, at("spine_base"), 1]).all()
    assert (clip[..., 2] > 0.8).all()
    # left x up = ahead: the body's own axes keep their sense, so no mirror is in the chain.
    left = clip[:, at("left_shoulder")] - clip[:, at("right_shoulder")]
    up = clip[:, at("head")] - clip[:, at("spine_base")]
    toes = clip[:, at("left_foot")] - clip[:, at("left_ankle")]
    assert (np.sum(np.cross(left, up) * toes, axis=-1) > 0).all()


def test_layouts_show_the_same_body() -> None:
    def seen(layout: str) -> dict[str, NDArray[np.float32]]:
        clip = generate_clip("kick", _rng(4), layout=layout, noise=0, missing=0)[0]
        return {name: clip[:, i, :2] for i, name in enumerate(LAYOUTS[layout].joints)}

    one, other = seen("mediapipe33"), seen("openpose18")
    shared = set(one) & set(other)
    assert len(shared) >= 17
    for name in shared:
        np.testing.assert_allclose(one[name], other[name], atol=1e-6)
    middle = 0.5 * (other["left_shoulder"] + other["right_shoulder"])
    np.testing.assert_allclose(other["neck"], middle, atol=0.02)


# Hashes of what the generator made before it knew hands, sequences and occlusion: the demonstration
# checkpoint was trained and is tested on these clips.
@pytest.mark.parametrize(
    ("layout", "persons", "channels", "sha256"),
    [
        (
            "mediapipe33",
            1,
            "xyv",
            "ff45b9bec9ecac9af9dc223b84133a5117b0cd8d9da2e74420721df8b0539169",
        ),
        ("coco17", 1, "xyv", "d1d7fb9459fe872ee2b5d02e1a248eb13f75210564457ef12cec952357cc9816"),
        (
            "openpose18",
            2,
            "xyv",
            "997aff972bbe093b43d94ebbf4786bab608a0716ce8a1e6218eaf17753307921",
        ),
        ("ntu25", 2, "xyz", "2c85577984331321f1498b98d41ff099580da523cf9effe123467cd637b174c6"),
        ("ntu24", 1, "xyz", "ff2ba70f1afdfbe60742e1b9f7376a86ac13d8d79fe7f40e45f6c73fe18a1fc3"),
    ],
)
def test_a_seed_names_the_same_clips_for_good(
    layout: str, persons: int, channels: str, sha256: str
) -> None:
    digest = hashlib.sha256()
    for clip, label in iter_dataset(
        11, seed=17, layout=layout, persons=persons, channels=channels, frames=60
    ):
        digest.update(clip.tobytes())
        digest.update(bytes([label]))
    assert digest.hexdigest() == sha256


def test_share_of_lost_joints_is_what_was_asked_for() -> None:
    clips, _ = make_dataset(40, seed=0, missing=0.1)
    lost = (clips == 0).all(axis=-1)
    assert 0.07 < lost.mean() < 0.13
    # Lost joints come in runs, not as single frames.
    ends = (lost[:, :, 1:] != lost[:, :, :-1]).sum() / 2
    assert 3 < lost.sum() / ends < 10


def test_without_noise_and_loss_nothing_is_lost() -> None:
    clip = generate_clip("punch", _rng(), noise=0, missing=0)
    assert (clip[..., 2] > 0).all()
    step = np.abs(np.diff(clip[..., :2], axis=1))
    assert np.median(step) < 0.002


def test_noise_has_about_the_asked_size() -> None:
    still = generate_clip("stand", _rng(2), noise=0, missing=0)
    noisy = generate_clip("stand", _rng(2), noise=0.01, missing=0)
    spread = np.std((noisy - still)[..., :2])
    assert 0.006 < spread < 0.03


def test_a_face_turned_away_is_hardly_visible() -> None:
    joints = LAYOUTS["mediapipe33"].joints
    nose, left, right = (joints.index(n) for n in ("nose", "left_shoulder", "right_shoulder"))
    seen: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(60):
        clip = generate_clip("stand", _rng(seed), missing=0)[0]
        width = clip[:, left, 0] - clip[:, right, 0]
        if abs(width.mean()) > 0.04:
            seen[bool(width.mean() > 0)].append(float(clip[:, nose, 2].mean()))
    assert np.mean(seen[True]) > 0.85
    assert np.mean(seen[False]) < 0.45


def test_people_stand_apart() -> None:
    clip = generate_clip("stand", _rng(), layout="ntu25", channels="xyz", persons=4, missing=0)
    hips = clip[:, :, 0].mean(axis=1)
    gap = np.linalg.norm(hips[:, None] - hips[None], axis=-1) + 9 * np.eye(4)
    assert gap.min() > 0.5


# ---- data sets -------------------------------------------------------------------------------


def test_same_seed_same_clips_other_seed_other_clips() -> None:
    first, labels = make_dataset(12, seed=7, frames=30)
    again, labels_again = make_dataset(12, seed=7, frames=30)
    other, _ = make_dataset(12, seed=8, frames=30)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(labels, labels_again)
    assert not np.array_equal(first, other)


def test_a_sample_does_not_depend_on_the_count() -> None:
    few, _ = make_dataset(5, seed=3, frames=20)
    many, _ = make_dataset(15, seed=3, frames=20)
    np.testing.assert_array_equal(few, many[:5])


def test_lazy_and_stacked_agree() -> None:
    clips, labels = make_dataset(6, seed=1, frames=20, layout="coco17", persons=2)
    for index, (clip, label) in enumerate(
        iter_dataset(6, seed=1, frames=20, layout="coco17", persons=2)
    ):
        np.testing.assert_array_equal(clip, clips[index])
        assert label == labels[index]
    assert clips.shape == (6, 2, 20, 17, 3)
    assert labels.dtype == np.int64


def test_labels_are_balanced() -> None:
    _, labels = make_dataset(4 * len(ACTIONS) + 3, seed=0, frames=4)
    counts = np.bincount(labels, minlength=len(ACTIONS))
    assert counts.max() - counts.min() <= 1
    _, labels = make_dataset(10, seed=0, frames=4, actions=("fall", "walk"))
    assert labels.tolist() == [0, 1] * 5


def _features(clips: NDArray[np.float32]) -> NDArray[np.float64]:
    """A few numbers per clip (N, F), relative to the body's size: extents, speeds, heights."""
    xy = clips[:, 0, :, :, :2].astype(np.float64)
    names = LAYOUTS["mediapipe33"].joints
    at = names.index
    hips = xy[:, :, [at("left_hip"), at("right_hip")]].mean(axis=2)
    feet = xy[:, :, [at("left_ankle"), at("right_ankle")]].mean(axis=2)
    nose = xy[:, :, at("nose")]
    size = np.quantile(np.linalg.norm(nose - feet, axis=-1), 0.9, axis=1)[:, None]
    columns = []
    for track in (nose - hips, feet - hips, hips):
        columns += [np.ptp(track, axis=1) / size, (track[:, -1] - track[:, 0]) / size]
    for joint in ("wrist", "knee", "ankle"):
        both = xy[:, :, [at(f"left_{joint}"), at(f"right_{joint}")]] - hips[:, :, None]
        speed = np.linalg.norm(np.diff(both, axis=1), axis=-1) / size[:, None]
        columns += [np.sort(speed.mean(axis=1), axis=1), np.sort(speed.max(axis=1), axis=1)]
        top = both[..., 1].min(axis=1) / size
        columns.append(np.sort(top, axis=1))
    return np.concatenate(columns, axis=1)


def test_actions_can_be_told_apart_by_nearest_centroid() -> None:
    count = 30 * len(ACTIONS)
    train_clips, train_labels = make_dataset(count, seed=0, missing=0)
    test_clips, test_labels = make_dataset(count // 2, seed=1, missing=0)
    train, test = _features(train_clips), _features(test_clips)
    mean, spread = train.mean(axis=0), train.std(axis=0)
    train, test = (train - mean) / spread, (test - mean) / spread
    centroids = np.stack([train[train_labels == k].mean(axis=0) for k in range(len(ACTIONS))])
    nearest = np.linalg.norm(test[:, None] - centroids[None], axis=-1).argmin(axis=1)
    accuracy = (nearest == test_labels).mean()
    assert accuracy > 4 / len(ACTIONS)


# ---- wrong use -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"action": "wlak"}, "did you mean 'walk'"),
        ({"layout": "mediapipe3"}, "did you mean 'mediapipe33'"),
        ({"layout": "handmp21"}, "unknown action 'walk'.*Known: rest, open"),
        ({"frmaes": 3}, "unknown setting 'frmaes'; did you mean 'frames'"),
        ({"channels": "xyw"}, "did you mean 'xyv'|did you mean 'xyz'"),
        ({"frames": 1}, "at least 2 frames"),
        ({"fps": 0.0}, "frames per second"),
        ({"fps": float("nan")}, "frames per second"),
        ({"persons": 0}, "at least 1 person"),
        ({"persons": 1000, "frames": 1000}, "at most 200000 frames"),
        ({"noise": -1.0}, "0 or more"),
        ({"noise": (0.2, 0.1)}, "a range"),
        ({"missing": 1.0}, "0 to below 1"),
        ({"missing": float("nan")}, "0 to below 1"),
        ({"occlusion": 1.0}, "share of people covered"),
        ({"occlusion": (0.1, 0.2, 0.3)}, "a range"),
    ],
)
def test_wrong_use_is_refused_with_advice(arguments: dict[str, object], says: str) -> None:
    action = str(arguments.pop("action", "walk"))
    with pytest.raises(UsageError, match=says):
        generate_clip(action, _rng(), **arguments)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=says):
        # Refused at the call, before a sample is asked for.
        iter_dataset(3, seed=0, actions=(action,), **arguments)  # type: ignore[arg-type]


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 clip"):
        make_dataset(0, seed=0)
    with pytest.raises(UsageError, match="name some of"):
        make_dataset(3, seed=0, actions=())
    with pytest.raises(UsageError, match="0 or more"):
        make_dataset(3, seed=-1)


def test_motion_needs_no_torch() -> None:
    code = "import sys, stgcn_deploy.data.synthetic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
