"""From a source's joints and channels to a bundle's, with the numbers that `stgcn eval` would take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import copied, edit_manifest

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import ClipError, UnknownNameError, UsageError
from stgcn_deploy.live.joints import JointMap, recording_of
from stgcn_deploy.live.windows import Window
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.runtime import load
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.remap import remap

SIZE = (320, 240)
T = 20


def _clip(layout: str, channels: int = 3, frames: int = T, persons: int = 1) -> np.ndarray:
    """People in pixels, some joints not seen: (M, T, V, C)."""
    rng = np.random.default_rng(3)
    joints = LAYOUTS[layout].num_joints
    clip = rng.uniform(40, 200, (persons, frames, joints, channels)).astype(np.float32)
    if channels in (3, 4):
        clip[..., -1] = rng.uniform(0.2, 1, clip.shape[:3])
    clip[rng.random(clip.shape[:3]) < 0.1] = 0
    return clip


def _window(clip: np.ndarray, size: tuple[int, int] | None = SIZE) -> Window:
    return Window("a", 1, (1,), clip, 1.0, 1.0, 0.0, 0.8, 0.9, 1.0, size)


def _edited(
    example: Callable[..., Any], tmp_path: Path, change: Callable[[dict[str, Any]], Any], name: str
) -> Manifest:
    return Bundle(edit_manifest(copied(example(name).bundle, tmp_path), change)).manifest


# ---- the same numbers as eval ----------------------------------------------------------------

SAME = [
    ("stgcn", "openpose18"),
    ("pyskl", "coco17"),
    ("stgcnpp", "coco17"),
    ("twostream", "mediapipe33"),
    ("twostream-openpose", "openpose18"),
]


@pytest.mark.parametrize(("name", "layout"), SAME)
@pytest.mark.parametrize("persons", [1, 2])
def test_a_window_is_prepared_as_the_recording_that_it_is(
    example: Callable[..., Any], name: str, layout: str, persons: int
) -> None:
    made = example(name)
    with load(made.bundle, threads=1) as model:
        assert model.manifest.layout.name == layout
        clip = _clip(layout, persons=persons)
        joints = JointMap.between(layout, "xys", model.manifest)
        assert joints.notes == ()
        found = model.prepare(recording_of(_window(clip), joints))
        file = Recording(clip, layout, SIZE, raw=True)
        (expected,) = model.prepare_clips(file, clips=1)
        np.testing.assert_array_equal(found, expected)
        assert np.ptp(found) > 0


@pytest.mark.parametrize(
    ("name", "source", "made"),
    [
        ("stgcn", "coco17", ["neck"]),
        ("stgcn", "mediapipe33", ["neck"]),
        ("pyskl", "mediapipe33", []),
    ],
)
def test_other_layouts_are_renamed_before_the_steps(
    example: Callable[..., Any], name: str, source: str, made: list[str]
) -> None:
    with load(example(name).bundle, threads=1) as model:
        target = model.manifest.layout.name
        assert target is not None
        clip = _clip(source)
        joints = JointMap.between(source, "xys", model.manifest)
        assert [note.partition(":")[0] for note in joints.notes] == made
        found = model.prepare(recording_of(_window(clip), joints))
        file = Recording(remap(clip, source, target), target, SIZE, raw=True)
        np.testing.assert_array_equal(found, model.prepare_clips(file, clips=1)[0])


def test_prepared_numbers_pass_as_they_are(example: Callable[..., Any]) -> None:
    with load(example("stgcn").bundle, threads=1) as model:
        clip = _clip("openpose18")
        joints = JointMap.between("openpose18", "xys", model.manifest, raw=False)
        # The image's size does not make prepared numbers raw.
        record = recording_of(_window(clip), joints)
        assert not record.is_raw
        np.testing.assert_array_equal(model.prepare(record)[:1], clip)
        JointMap.between(None, "xyz", model.manifest, raw=False)


@pytest.mark.parametrize(
    ("layout", "channels", "says"),
    [
        ("coco17", "xys", "prepared numbers of layout coco17, and the bundle takes openpose18"),
        ("openpose18", "xy", "prepared numbers x, y of 18 joints, and the bundle takes 3 channels"),
        (None, "xyzs", "prepared numbers x, y, z, s, and the bundle takes 3 channels of 18"),
    ],
)
def test_prepared_numbers_of_another_kind_are_refused(
    example: Callable[..., Any], layout: str | None, channels: str, says: str
) -> None:
    manifest = Bundle(example("stgcn").bundle).manifest
    with pytest.raises(UsageError, match=says):
        JointMap.between(layout, channels, manifest, raw=False)


# ---- joints ----------------------------------------------------------------------------------


def test_missing_joints_are_named_with_what_could_stand_in(example: Callable[..., Any]) -> None:
    manifest = Bundle(example("twostream").bundle).manifest
    with pytest.raises(UsageError) as error:
        JointMap.between("coco17", "xys", manifest)
    text = str(error.value)
    assert "mediapipe33 has 16 joint(s) that cannot be had from the source's coco17" in text
    assert "left_pinky" in text
    assert "Use a pose estimator that gives these joints" in text


def test_stand_ins_are_taken_only_when_asked(example: Callable[..., Any], tmp_path: Path) -> None:
    def headed(manifest: dict[str, Any]) -> None:
        manifest["layout"]["name"] = "mine"
        manifest["layout"]["joints"][0] = "head"

    manifest = _edited(example, tmp_path, headed, "pyskl")
    with pytest.raises(UsageError, match=r"near=True\): head, near: mean of left_ear, right_ear"):
        JointMap.between("coco17", "xys", manifest)
    joints = JointMap.between("coco17", "xys", manifest, near=True)
    assert joints.notes == ("head: near: mean of left_ear, right_ear",)
    assert joints.layout is None  # `Model` knows no layout of that name
    clip = _clip("coco17")
    made = joints.apply(clip)
    np.testing.assert_array_equal(made[:, :, 1:], clip[:, :, 1:])
    both = (clip[:, :, 3] != 0).any(-1) & (clip[:, :, 4] != 0).any(-1)
    np.testing.assert_allclose(
        made[:, :, 0, :2][both], clip[:, :, 3:5, :2].mean(2)[both], rtol=1e-6
    )
    assert not made[:, :, 0][~both].any()


def test_a_layout_of_the_users_that_has_a_known_name_is_the_users(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    def turned(manifest: dict[str, Any]) -> None:
        manifest["layout"]["joints"].reverse()

    manifest = _edited(example, tmp_path, turned, "pyskl")
    clip = _clip("coco17")
    joints = JointMap.between("coco17", "xys", manifest)
    np.testing.assert_array_equal(joints.apply(clip), clip[:, :, ::-1])


def test_images_and_space_are_not_renamed_into_each_other(example: Callable[..., Any]) -> None:
    flat = Bundle(example("stgcn").bundle).manifest
    deep = Bundle(example("stgcn-person").bundle).manifest
    assert deep.layout.name == "ntu25"
    with pytest.raises(UsageError, match=r"gives x, y, z, points in space .* image points"):
        JointMap.between("ntu25", "xyz", flat)
    with pytest.raises(UsageError, match="are ntu25, the bundle's openpose18: one in images"):
        JointMap.between("ntu25", "xys", flat)
    with pytest.raises(UsageError, match=r"x, y, s, image points .* points in space"):
        JointMap.between("coco17", "xys", deep)
    with pytest.raises(UsageError, match="are coco17, the bundle's ntu25: one in images"):
        JointMap.between("coco17", "xyz", deep)
    joints = JointMap.between("ntu25", "xyzs", deep)
    clip = _clip("ntu25", 4)
    assert joints.apply(clip) is clip
    assert not joints.needs_size


def test_a_source_without_a_layout_is_believed_if_the_number_fits(
    example: Callable[..., Any],
) -> None:
    manifest = Bundle(example("pyskl").bundle).manifest
    joints = JointMap.between(None, "xys", manifest)
    clip = _clip("coco17")
    assert joints.apply(clip) is clip
    with pytest.raises(ClipError, match=r"\(1, 20, 18, 3\), expected \(M, T, V, 3\) with V = 17"):
        joints.apply(_clip("openpose18"))


def test_a_bundle_without_a_layout_takes_only_a_source_without_one(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    manifest = _edited(example, tmp_path, lambda m: m["layout"].update(name=None), "pyskl")
    joints = JointMap.between(None, "xys", manifest)
    assert joints.layout is None
    assert joints.apply(_clip("coco17")).shape == (1, T, 17, 3)
    for raw in (True, False):
        with pytest.raises(UsageError, match=r"no layout that has a name.*--layout"):
            JointMap.between("coco17", "xys", manifest, raw=raw)


def test_unknown_layouts_and_channels_are_refused(example: Callable[..., Any]) -> None:
    manifest = Bundle(example("pyskl").bundle).manifest
    with pytest.raises(UnknownNameError, match="coco17"):
        JointMap.between("coco71", "xys", manifest)
    with pytest.raises(UsageError, match="channels 'yx'"):
        JointMap.between("coco17", "yx", manifest)


# ---- channels --------------------------------------------------------------------------------


def test_a_score_is_made_where_the_network_wants_one(example: Callable[..., Any]) -> None:
    with load(example("stgcn").bundle, threads=1) as model:
        clip = _clip("coco17", 2)
        joints = JointMap.between("coco17", "xy", model.manifest)
        assert joints.add_score
        assert any("score: 1 where" in note for note in joints.notes)
        made = joints.apply(clip)
        seen = (clip[0, :, 0] != 0).any(-1)
        np.testing.assert_array_equal(made[0, :, 0, 2], seen)
        assert not made[0, :, 1][~(clip[0, :, 5:7] != 0).any(-1).all(-1)].any()  # the neck
        whole = np.concatenate([clip, (clip != 0).any(-1, keepdims=True)], -1).astype(np.float32)
        expected = Recording(remap(whole, "coco17", "openpose18"), "openpose18", SIZE, raw=True)
        np.testing.assert_array_equal(
            model.prepare(recording_of(_window(clip), joints)), model.prepare(expected)
        )


def test_a_score_that_the_network_does_not_want_is_left_to_the_steps(
    example: Callable[..., Any],
) -> None:
    with load(example("stgcn-uniform").bundle, threads=1) as model:
        assert model.manifest.clip.channels == 2
        for channels in ("xys", "xy"):
            clip = _clip("openpose18", len(channels))
            joints = JointMap.between("openpose18", channels, model.manifest)
            assert joints.apply(clip) is clip
            found = model.prepare(recording_of(_window(clip), joints))
            file = Recording(clip, "openpose18", SIZE, raw=True)
            np.testing.assert_array_equal(found, model.prepare_clips(file, clips=1)[0])


def test_depth_of_image_points_is_left_out_and_said(example: Callable[..., Any]) -> None:
    manifest = Bundle(example("twostream").bundle).manifest
    clip = _clip("mediapipe33", 4)
    joints = JointMap.between("mediapipe33", "xyzs", manifest)
    np.testing.assert_array_equal(joints.apply(clip), clip[..., [0, 1, 3]])
    assert joints.notes == ("z: left out, for the network takes image points",)
    joints = JointMap.between("mediapipe33", "xyz", manifest)
    made = joints.apply(clip[..., :3])
    np.testing.assert_array_equal(made[..., :2], clip[..., :2])
    np.testing.assert_array_equal(made[..., 2], (clip[..., :2] != 0).any(-1))


def test_steps_that_begin_with_something_else_take_their_channels_as_they_are(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    def short(manifest: dict[str, Any]) -> None:
        manifest["contract"]["steps"] = [{"name": "crop_frames", "params": {"frames": T}}]

    manifest = _edited(example, tmp_path, short, "stgcn")
    assert JointMap.between("openpose18", "xys", manifest).keep == (0, 1, 2)
    with pytest.raises(UsageError, match="gives x, y, and the bundle takes 3 channels as they are"):
        JointMap.between("openpose18", "xy", manifest)


def test_a_bundle_without_steps_takes_no_raw_numbers(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    manifest = _edited(example, tmp_path, lambda m: m["contract"].update(steps=[]), "stgcn")
    with pytest.raises(UsageError, match="stgcn export CHECKPOINT --contract FILE"):
        JointMap.between("openpose18", "xys", manifest)
    JointMap.between("openpose18", "xys", manifest, raw=False)


# ---- sizes -----------------------------------------------------------------------------------


def test_who_needs_the_size_of_the_image_says_so_before_the_first_window(
    example: Callable[..., Any],
) -> None:
    needs = JointMap.between("coco17", "xys", Bundle(example("pyskl").bundle).manifest)
    needs.check_size(SIZE)
    with pytest.raises(UsageError, match='"image_size"'):
        needs.check_size(None)
    fractions = JointMap.between("mediapipe33", "xys", Bundle(example("twostream").bundle).manifest)
    fractions.check_size(None)


@pytest.mark.parametrize("shape", [(1, T, 17, 2), (1, T, 16, 3), (T, 17, 3), (1, 1, T, 17, 3)])
def test_windows_of_other_shapes_are_refused(
    example: Callable[..., Any], shape: tuple[int, ...]
) -> None:
    joints = JointMap.between("coco17", "xys", Bundle(example("stgcn").bundle).manifest)
    with pytest.raises(ClipError, match="with V = 17"):
        joints.apply(np.zeros(shape, np.float32))
