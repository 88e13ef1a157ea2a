"""Synthetic hands: bones that keep their length, and gestures that do what their names say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stgcn_deploy.data.synthetic import ACTIONS, actions_of, generate_clip, make_dataset
from stgcn_deploy.data.synthetic.figures import HAND
from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.layouts import LAYOUTS

GESTURES = actions_of("handmp21")
FINGERS = ("index", "middle", "ring", "pinky")
Array = NDArray[np.float64]


def at(name: str) -> int:
    return HAND.joints.index(name)


def perform(gesture: str, seed: int) -> tuple[Array, float, tuple[float, float]]:
    """Joints (T, V, 3) in metres of 4 seconds, the hand's size, and when the gesture happens."""
    rng = np.random.default_rng(seed)
    one, stage = HAND.one(rng), HAND.stage(rng, 100, 25.0)
    tracks = HAND.perform(gesture, stage)
    joints = HAND.place(one, tracks, 0.0, 25.0, len(HAND.joints), follow=False)
    return joints, one.size * one.fingers, stage.happens


def reach(joints: Array, size: float) -> dict[str, Array]:
    """How far each finger tip is from the wrist (T,), for a hand of the usual size."""
    tips = {f: joints[:, at(f"{f}_4")] - joints[:, 0] for f in FINGERS}
    return {finger: np.linalg.norm(tip, axis=-1) / size for finger, tip in tips.items()}


def test_a_hand_has_gestures_and_a_body_has_actions() -> None:
    assert actions_of("hand") == GESTURES
    assert len(GESTURES) == 12
    for layout in set(LAYOUTS) - {"handmp21"}:
        assert actions_of(layout) == ACTIONS
    with pytest.raises(UsageError, match="unknown action 'fist'"):
        generate_clip("fist", np.random.default_rng(0), layout="coco17")


@pytest.mark.parametrize("gesture", GESTURES)
def test_bones_keep_their_length_and_move_at_human_speed(gesture: str) -> None:
    edges = np.array([edge for edge in LAYOUTS["handmp21"].edges if edge[0] % 4 != 1])
    for seed in range(8):
        joints, size, _ = perform(gesture, seed)
        length = np.linalg.norm(joints[:, edges[:, 0]] - joints[:, edges[:, 1]], axis=-1)
        assert np.ptp(length, axis=0).max() < 1e-9
        assert 0.015 < length.min() / size <= length.max() / size < 0.05
        assert np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() * 25 < 7


@pytest.mark.parametrize("seed", range(8))
def test_each_gesture_does_what_its_name_says(seed: int) -> None:
    joints, size, _ = perform("fist", seed)
    assert max(far.min() for far in reach(joints, size).values()) < 0.09

    joints, size, _ = perform("open", seed)
    assert min(far.max() for far in reach(joints, size).values()) > 0.14

    joints, size, (start, end) = perform("point", seed)
    shown = reach(joints, size)
    middle = round((start + end) / 2 * 25)
    assert shown["index"][middle] > 0.16
    assert max(shown[finger][middle] for finger in FINGERS[1:]) < 0.1

    joints, size, (start, end) = perform("victory", seed)
    shown = reach(joints, size)
    middle = round((start + end) / 2 * 25)
    assert min(shown["index"][middle], shown["middle"][middle]) > 0.16
    assert max(shown["ring"][middle], shown["pinky"][middle]) < 0.1

    joints, size, _ = perform("pinch", seed)
    apart = np.linalg.norm(joints[:, at("thumb_4")] - joints[:, at("index_4")], axis=-1) / size
    assert apart.min() < 0.018
    assert apart.max() > 0.03

    joints, _, (start, end) = perform("thumb_up", seed)
    middle = round((start + end) / 2 * 25)
    thumb = joints[middle, at("thumb_4")]
    assert thumb[1] > max(joints[middle, at(f"{finger}_4"), 1] for finger in FINGERS)
    assert thumb[1] > joints[middle, 0, 1] + 0.03


def test_a_wave_goes_to_and_fro() -> None:
    for seed in range(6):
        joints, _, (start, end) = perform("wave", seed)
        across = joints[round(start * 25) : round(end * 25), at("middle_4"), 0]
        turns = (np.diff(np.sign(np.diff(across))) != 0).sum()
        assert turns >= 2 * (end - start) - 2
        assert np.ptp(across) > 0.03


def test_there_are_left_and_right_hands_with_palms_that_fit_them() -> None:
    lefts = 0
    for seed in range(20):
        joints = perform("open", seed)[0][50]
        up = joints[at("middle_1")] - joints[0]
        across = joints[at("index_1")] - joints[at("pinky_1")]
        out_of_palm = np.cross(across, up)
        # The palm's axes are right-handed on a right hand; finger tips bend out of the palm.
        bend = joints[at("ring_4")] - joints[at("ring_1")]
        side = np.sign(np.dot(out_of_palm, joints[at("thumb_1")] - joints[0]))
        assert side != 0
        lefts += int(side < 0)
        assert np.dot(bend, up) > 0
    assert 3 < lefts < 17


def test_several_hands_do_not_overlap() -> None:
    clip = generate_clip(
        "rest", np.random.default_rng(0), layout="handmp21", channels="xyz", persons=3, missing=0
    )
    wrists = clip[:, :, 0].mean(axis=1)
    gap = np.linalg.norm(wrists[:, None] - wrists[None], axis=-1) + 9 * np.eye(3)
    assert gap.min() > 0.15


def _features(clips: NDArray[np.float32]) -> Array:
    """A few numbers per clip (N, F): extents of fingers and of the hand's way, in its own size."""
    xy = clips[:, 0, :, :, :2].astype(np.float64) * [4 / 3, 1]
    palm = np.linalg.norm(xy[:, :, at("middle_1")] - xy[:, :, 0], axis=-1)
    size = np.quantile(palm, 0.9, axis=1)[:, None]
    columns = []
    for finger in ("thumb", *FINGERS):
        far = np.linalg.norm(xy[:, :, at(f"{finger}_4")] - xy[:, :, at(f"{finger}_1")], axis=-1)
        columns.append(np.quantile(far, [0.1, 0.5, 0.9], axis=1).T / size)
    pinch = np.linalg.norm(xy[:, :, at("thumb_4")] - xy[:, :, at("index_4")], axis=-1)
    columns.append(np.quantile(pinch, [0.1, 0.5, 0.9], axis=1).T / size)
    wrist, tip = xy[:, :, 0], xy[:, :, at("middle_4")]
    for way in (wrist, tip - wrist):
        columns.append(np.ptp(way, axis=1) / size)
        columns.append(np.linalg.norm(np.diff(way, axis=1), axis=-1).mean(axis=1)[:, None] / size)
    thumb = (xy[:, :, at("thumb_4")] - wrist)[..., 1]
    columns.append(np.quantile(thumb, [0.1, 0.5, 0.9], axis=1).T / size)
    return np.concatenate(columns, axis=1)


def test_gestures_can_be_told_apart_by_nearest_centroid() -> None:
    count = 30 * len(GESTURES)
    settings = {"layout": "handmp21", "missing": 0.0, "frames": 100}
    train_clips, train_labels = make_dataset(count, seed=0, **settings)
    test_clips, test_labels = make_dataset(count // 2, seed=1, **settings)
    train, test = _features(train_clips), _features(test_clips)
    mean, spread = train.mean(axis=0), train.std(axis=0)
    train, test = (train - mean) / spread, (test - mean) / spread
    centroids = np.stack([train[train_labels == k].mean(axis=0) for k in range(len(GESTURES))])
    nearest = np.linalg.norm(test[:, None] - centroids[None], axis=-1).argmin(axis=1)
    assert (nearest == test_labels).mean() > 5 / len(GESTURES)


def test_fingers_behind_the_palm_are_less_visible() -> None:
    seen = {}
    for gesture in ("fist", "open"):
        clips, _ = make_dataset(
            20, seed=4, actions=(gesture,), layout="handmp21", missing=0, noise=0, frames=50
        )
        seen[gesture] = clips[..., 2].min(axis=(1, 2, 3))
    assert np.median(seen["open"]) > 0.5
    assert (seen["fist"] < 0.7).any()
