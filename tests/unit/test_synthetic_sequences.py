"""Continuous sequences: what goes on when, and no jump of the body in between."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from stgcn_deploy.data.recording import UNLABELLED
from stgcn_deploy.data.synthetic import ACTIONS, ClipSettings, actions_of, generate_clip
from stgcn_deploy.data.synthetic.sequences import generate_sequence, random_script
from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.layouts import LAYOUTS

EXACT = ClipSettings(layout="ntu25", channels="xyz", noise=0.0, missing=0.0)
SCRIPT = (("walk", 4.0), ("fall", 4.0), ("wave", 5.0), ("sit_down", 4.0), ("stand_up", 4.0))


def speed(clip: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of the fastest joint from each frame to the next, m/s at 25 frames a second."""
    step = np.diff(clip.astype(np.float64), axis=1)
    found: NDArray[np.float64] = np.linalg.norm(step, axis=-1).max(axis=(0, 2)) * 25
    return found


def test_frames_and_labels_follow_the_script() -> None:
    made = generate_sequence(SCRIPT, seed=0, settings=EXACT)
    assert made.recording.clip.shape == (1, 525, 25, 3)
    assert made.labels.shape == (525,)
    assert made.classes == ACTIONS
    assert made.recording.raw
    assert made.recording.fps == 25.0
    assert made.recording.label == UNLABELLED
    assert [s.action for s in made.segments] == [action for action, _ in SCRIPT]
    assert [s.start for s in made.segments] == [0, 4, 8, 13, 17]
    assert [s.end for s in made.segments] == [4, 8, 13, 17, 21]
    for segment in made.segments:
        assert segment.start <= segment.settled < segment.end
        assert segment.start <= segment.onset <= segment.offset <= segment.end
        assert made.classes[segment.label] == segment.action
        frames = slice(round(segment.settled * 25), round(segment.end * 25))
        assert set(made.labels[frames].tolist()) == {segment.label}
        change = slice(round(segment.start * 25), round(segment.settled * 25))
        assert set(made.labels[change].tolist()) <= {UNLABELLED}
    assert made.segments[0].settled == 0
    # It takes longer to get up from the floor than to begin to wave.
    assert made.segments[2].settled - made.segments[2].start > 0.9


@pytest.mark.parametrize("layout", ["ntu25", "handmp21"])
def test_the_body_does_not_jump_from_one_action_to_the_next(layout: str) -> None:
    settings = ClipSettings(layout=layout, channels="xyz", noise=0.0, missing=0.0)
    limit = {"ntu25": 25, "handmp21": 7}[layout]
    for seed in range(5):
        made = generate_sequence(60.0, seed=seed, settings=settings)
        moved = speed(made.recording.clip)
        assert moved.max() < limit
        changing = (made.labels == UNLABELLED)[1:]
        assert changing.any()
        assert moved[changing].max() < 1.5 * moved[~changing].max()


def test_clips_in_a_row_do_jump() -> None:
    """That the measure above would notice."""
    rng = np.random.default_rng(0)
    options = {"layout": "ntu25", "channels": "xyz", "noise": 0.0, "missing": 0.0}
    clips = [generate_clip(action, rng, **options) for action in ("walk", "fall")]
    assert speed(np.concatenate(clips, axis=1)).max() > 25


def test_bones_keep_their_length_through_every_change() -> None:
    made = generate_sequence(SCRIPT, seed=3, settings=EXACT)
    clip = made.recording.clip[0].astype(np.float64)
    joints = LAYOUTS["ntu25"].joints
    for child, parent in (("left_knee", "left_hip"), ("right_wrist", "right_elbow")):
        bone = clip[:, joints.index(child)] - clip[:, joints.index(parent)]
        assert np.ptp(np.linalg.norm(bone, axis=-1)) < 1e-4


def test_the_movement_begins_at_its_onset() -> None:
    neck = LAYOUTS["ntu25"].joints.index("neck")
    for seed in range(6):
        made = generate_sequence((("stand", 4.0), ("fall", 5.0)), seed=seed, settings=EXACT)
        fall = made.segments[1]
        height = made.recording.clip[0, :, neck, 1]
        before = height[: round(fall.onset * 25)]
        after = height[round(fall.offset * 25) :]
        assert before.min() > after.max()


def test_a_walker_stays_in_the_picture() -> None:
    made = generate_sequence((("walk", 60.0),), seed=1, settings=EXACT)
    assert made.recording.label == ACTIONS.index("walk")
    assert (made.labels == ACTIONS.index("walk")).all()
    path = made.recording.clip[0, :, 0]
    assert np.ptp(path, axis=0).max() < 5


def test_in_an_image_it_is_pixels_and_scores() -> None:
    settings = ClipSettings(layout="coco17", persons=2, occlusion=0.2)
    made = generate_sequence(8.0, seed=0, settings=settings)
    clip = made.recording.clip
    assert clip.shape == (2, 200, 17, 3)
    assert made.recording.image_size == (640, 480)
    assert 10 < clip[..., 0].max() <= 640
    assert clip[..., 2].max() <= 1
    assert clip.dtype == np.float32


def test_a_seed_and_an_index_name_a_sequence() -> None:
    def clip(seed: int, index: int) -> NDArray[np.float32]:
        found = generate_sequence(6.0, seed=seed, settings=EXACT, index=index).recording.clip
        return np.asarray(found)

    np.testing.assert_array_equal(clip(1, 0), clip(1, 0))
    assert not np.array_equal(clip(1, 0), clip(1, 1))
    assert not np.array_equal(clip(1, 0), clip(2, 0))


def test_a_random_script_is_as_long_as_asked_and_makes_sense() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        script = random_script(60.0, ACTIONS, rng)
        assert sum(length for _, length in script) == pytest.approx(60.0, abs=1e-6)
        assert all(3 <= length <= 10 for _, length in script)
        names = [action for action, _ in script]
        for one, other in pairwise(names):
            assert one != other
            # Who sits stands up, and nobody stands up from nothing.
            assert (one == "sit_down") == (other == "stand_up")
        assert names[0] != "stand_up"
    assert random_script(2.0, ("walk",), rng) == (("walk", 2.0),)
    assert {a for a, _ in random_script(30.0, ("walk",), rng)} == {"walk"}


def test_classes_are_those_chosen() -> None:
    made = generate_sequence(30.0, seed=0, actions=("wave", "fist"), settings=ClipSettings("hand"))
    assert made.classes == ("wave", "fist")
    assert set(made.labels.tolist()) == {0, 1, UNLABELLED}


@pytest.mark.parametrize("fps", [2.0, 10.0, 60.0])
def test_it_may_be_filmed_at_any_rate(fps: float) -> None:
    settings = ClipSettings(fps=fps, persons=2)
    made = generate_sequence(
        (("walk", 3.0), ("kick", 3.0), ("stand", 1.0)), seed=0, settings=settings
    )
    assert made.recording.clip.shape == (2, round(7 * fps), 33, 3)
    assert np.isfinite(made.recording.clip).all()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ((), "script is empty"),
        ((("wlak", 3.0),), "did you mean 'walk'"),
        ((("walk", 0.05),), "less than 2 frames"),
        ((("walk", float("nan")),), "less than 2 frames"),
        ((("walk", 1e6),), "Make several"),
        (0.0, "above 0"),
        (float("inf"), "above 0"),
        (float("nan"), "above 0"),
    ],
)
def test_wrong_scripts_are_refused(script: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        generate_sequence(script, seed=0)  # type: ignore[arg-type]


def test_other_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match="not among the actions chosen"):
        generate_sequence((("walk", 3.0),), seed=0, actions=("fall",))
    with pytest.raises(UsageError, match="0 or more"):
        generate_sequence(5.0, seed=-1)
    with pytest.raises(UsageError, match="to choose from"):
        random_script(5.0, (), np.random.default_rng(0))
    with pytest.raises(UsageError, match="unknown action 'walk'"):
        generate_sequence(5.0, seed=0, actions=("walk",), settings=ClipSettings("handmp21"))
    assert "walk" not in actions_of("handmp21")
