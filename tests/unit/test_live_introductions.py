"""How a camera's joints become the bundle's, settled when its source says what it gives."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stgcn_deploy import api
from stgcn_deploy.errors import ClipError, UsageError
from stgcn_deploy.live.introductions import Introductions
from stgcn_deploy.live.pipeline import window_shape
from stgcn_deploy.live.settings import LiveSettings
from stgcn_deploy.live.windows import Window
from stgcn_deploy.manifest import Manifest


def source(layout: str | None, channels: str | None, **more: Any) -> Any:
    return SimpleNamespace(name="door", layout=layout, channels=channels, raw=True, **more)


def window(joints: int, camera: str = "a") -> Window:
    clip = np.full((1, 5, joints, 3), 10.0, np.float32)
    return Window(camera, 1, (1,), clip, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, size=(640, 480))


@pytest.fixture(scope="module")
def manifest(example: Callable[..., Any]) -> Manifest:
    with api.load(example("stgcn", fps=30.0).bundle) as model:
        return model.manifest


def test_each_camera_by_its_own_layout(manifest: Manifest) -> None:
    known = Introductions(manifest, None)
    known.introduce("a", source("openpose18", "xys"))
    known.introduce("b", source("coco17", "xys"))
    for camera, joints in (("a", 18), ("b", 17)):
        recording = known.recording(window(joints, camera))
        assert recording.layout == manifest.layout.name
        assert recording.clip.shape[2] == manifest.clip.joints
        assert recording.image_size == (640, 480)
        assert recording.is_raw


def test_a_source_that_lacks_joints_is_refused(manifest: Manifest) -> None:
    with pytest.raises(UsageError, match="cannot be had"):
        Introductions(manifest, None).introduce("a", source("handmp21", "xys"))


def test_images_without_a_pose_estimator_are_refused(manifest: Manifest) -> None:
    with pytest.raises(ClipError, match="no pose estimator"):
        Introductions(manifest, None).introduce("a", source(None, None))


def test_a_pose_estimator_of_the_wrong_joints_is_refused_before_any_camera(
    manifest: Manifest,
) -> None:
    pose: Any = SimpleNamespace(layout="handmp21")
    with pytest.raises(UsageError, match="cannot be had"):
        Introductions(manifest, pose)


def test_images_take_the_joints_of_the_pose_estimator(manifest: Manifest) -> None:
    pose: Any = SimpleNamespace(layout="coco17")
    known = Introductions(manifest, pose)
    known.introduce("a", source(None, None))
    assert known.recording(window(17)).clip.shape[2] == 18


def test_joints_other_than_those_announced_are_refused(manifest: Manifest) -> None:
    known = Introductions(manifest, None)
    known.introduce("a", source("openpose18", "xys"))
    with pytest.raises(ClipError):
        known.recording(window(17))


# ---- what the network looks at ------------------------------------------------------------------


def settings(**windows: Any) -> LiveSettings:
    return LiveSettings.model_validate(
        {"bundle": "b", "cameras": [{"name": "a", "source": "0"}], "windows": windows}
    )


def test_fps_comes_from_the_bundle_or_from_the_settings(manifest: Manifest) -> None:
    shape = window_shape("b", manifest, settings())
    assert (shape.fps, shape.frames, shape.persons, shape.mode) == (30.0, 20, 2, "scene")
    assert window_shape("b", manifest, settings(fps=12.5)).fps == 12.5
    assert window_shape("b", manifest, settings(mode="person")).persons == 1


def test_a_bundle_without_fps_says_what_to_do(example: Callable[..., Any]) -> None:
    with api.load(example("stgcn").bundle) as model:
        without = model.manifest
    assert without.clip.fps is None
    with pytest.raises(UsageError, match=r"--fps 25"):
        window_shape("bundle", without, settings())


def test_a_scene_needs_a_bundle_of_several_persons(example: Callable[..., Any]) -> None:
    with api.load(example("stgcn", persons=1, fps=25.0).bundle) as model:
        single = model.manifest
    assert window_shape("bundle", single, settings()).mode == "person"
    with pytest.raises(UsageError, match="mode scene"):
        window_shape("bundle", single, settings(mode="scene"))
