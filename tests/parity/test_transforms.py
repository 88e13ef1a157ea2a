"""Real recordings, prepared as MMAction2's own test pipelines prepared them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import shared_path

from stgcn_deploy import api
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.data.formats import read_recording
from stgcn_deploy.data.safe_pickle import load_pickle
from stgcn_deploy.runtime import load
from stgcn_deploy.skeleton.contract import Sequence, Step, apply_steps
from stgcn_deploy.skeleton.transforms import prenormalize_2d, prenormalize_3d
from stgcn_deploy.skeleton.transforms.agcn import agcn_prenormalize
from stgcn_deploy.skeleton.transforms.ctrgcn import from_first_valid
from stgcn_deploy.skeleton.transforms.format import pad_frames, valid_crop_resize
from stgcn_deploy.skeleton.transforms.sampling import uniform_indices

pytestmark = pytest.mark.shared

STREAMS = {"j": "joint", "b": "bone", "jm": "joint_motion", "bm": "bone_motion"}
IMAGE = (340, 256)
# Points in the image come out bit for bit; in space angles are summed in another order.
BOUND = {"ucf101_coco": 0.0, "ntu_3d": 5e-7}


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    with np.load(shared_path("reference", "mmaction2_transforms.npz")) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def ntu() -> np.ndarray:
    """(M, T, V, C) = (2, 300, 25, 3), one person in 72 frames."""
    return np.load(shared_path("data", "ntu_sample_ctvm.npy")).transpose(3, 1, 2, 0)


def _steps(case: str, stream: str, clips: int) -> list[Step]:
    scored = case == "ucf101_coco"
    layout = "coco17" if scored else "ntu25"
    if scored:
        start = [
            Step("coordinates", {"dimensions": 2}),
            Step("prenormalize_2d"),
            Step("merge_score"),
        ]
    else:
        start = [Step("coordinates", {"dimensions": 3}), Step("prenormalize_3d")]
    score = {"bone_score": scored, "motion_score": scored}
    return [
        *start,
        Step("stream", {"name": stream, "layout": layout, **score}),
        Step("sample", {"frames": 100, "clips": clips, "draw": "mmaction2"}),
        Step("persons", {"count": 2}),
    ]


def _sequence(truth: dict[str, np.ndarray], case: str) -> Sequence:
    if case == "ntu_3d":
        return Sequence(truth["ntu_3d.raw_keypoint"])
    return Sequence(truth[f"{case}.raw_keypoint"], truth[f"{case}.raw_score"], IMAGE)


@pytest.mark.parametrize("case", BOUND)
@pytest.mark.parametrize("short", STREAMS)
def test_clips_are_those_of_the_original(
    truth: dict[str, np.ndarray], case: str, short: str
) -> None:
    compared = 0
    for clips in (1, 10):
        name = f"{case}.{short}.clips{clips}"
        if name not in truth:
            continue
        compared += 1
        found = apply_steps(_steps(case, STREAMS[short], clips), _sequence(truth, case))
        assert found.shape == truth[name].shape
        assert np.abs(found - truth[name]).max() <= BOUND[case]
    assert compared


@pytest.mark.parametrize("case", BOUND)
def test_frames_are_those_of_the_original(truth: dict[str, np.ndarray], case: str) -> None:
    total = truth[f"{case}.raw_keypoint"].shape[1]
    found = uniform_indices(total, 100, 1, draw="mmaction2")[0]
    assert np.array_equal(found, truth[f"{case}.j.frame_inds"])


@pytest.mark.parametrize(
    "other",
    [
        ("prenormalize_2d", {"threshold": 0.3}),
        ("sample", {"frames": 100, "clips": 10, "draw": "pyskl"}),
        ("sample", {"frames": 100, "clips": 10, "draw": "mmaction2", "seed": 254}),
    ],
)
def test_another_setting_is_noticed(
    truth: dict[str, np.ndarray], other: tuple[str, dict[str, Any]]
) -> None:
    steps = [
        Step(*other) if step.name == other[0] else step
        for step in _steps("ucf101_coco", "joint", 10)
    ]
    found = apply_steps(steps, _sequence(truth, "ucf101_coco"))
    assert np.abs(found - truth["ucf101_coco.j.clips10"]).max() > 1e-2


# ---- files -----------------------------------------------------------------------------------


def test_an_annotation_is_the_recording_that_the_original_read(
    truth: dict[str, np.ndarray],
) -> None:
    found = read_recording(shared_path("data", "ucf101_sample_pyskl.pkl"))
    assert found.is_raw
    assert found.image_size == IMAGE
    assert np.array_equal(found.clip[..., :2], truth["ucf101_coco.raw_keypoint"])
    assert np.array_equal(found.clip[..., 2], truth["ucf101_coco.raw_score"])


def test_pyskl_hides_what_mmaction2_leaves_in_the_corner(truth: dict[str, np.ndarray]) -> None:
    clip = read_recording(shared_path("data", "ucf101_sample_pyskl.pkl")).clip
    shown = prenormalize_2d(clip, IMAGE, score_threshold=None)
    hidden = prenormalize_2d(clip, IMAGE, score_threshold=0.01)
    unsure = clip[..., 2] <= 0.01
    assert 0 < unsure.sum() < unsure.size
    missing = unsure & ~clip[..., :2].any(axis=-1)
    assert 0 < missing.sum() < unsure.sum()
    assert (shown[missing][:, :2] == -1).all()
    assert (hidden[unsure][:, :2] == 0).all()
    assert np.array_equal(shown[~unsure], hidden[~unsure])


def test_points_that_are_normalised_already_stay(tmp_path: Path) -> None:
    """JHMDB's coordinates have no image: mode "span" leaves them alone, mode "image" asks."""
    annotation = load_pickle(shared_path("data", "jhmdb14.pkl"))["annotations"][0]
    sequence = Sequence(annotation["keypoint"])
    kept = apply_steps([Step("prenormalize_2d", {"mode": "span"})], sequence)
    assert np.array_equal(kept[0], annotation["keypoint"])
    with pytest.raises(Exception, match="--image-size"):
        apply_steps([Step("prenormalize_2d")], sequence)


# ---- NTU, as the other codebases have it -----------------------------------------------------


def test_2s_agcn_fills_centres_and_turns_a_real_recording(ntu: np.ndarray) -> None:
    found = agcn_prenormalize(ntu)
    assert found.shape == ntu.shape
    assert np.abs(found[0, :, 1]).max() < 1e-6
    assert np.array_equal(found[0, 72:144], found[0, :72])
    assert np.array_equal(found[1], ntu[1])
    shoulders = found[0, 0, 8] - found[0, 0, 4]
    assert shoulders[0] > 0.1
    assert np.abs(shoulders[1:]).max() < 1e-6
    # Distances between joints are those that the camera measured.
    wanted = np.linalg.norm(ntu[0, :72, 3] - ntu[0, :72, 0], axis=-1)
    assert np.allclose(np.linalg.norm(found[0, :72, 3] - found[0, :72, 0], axis=-1), wanted)


def test_the_two_rotations_of_ntu_differ_only_in_what_is_centred(ntu: np.ndarray) -> None:
    per_frame, per_clip = agcn_prenormalize(ntu[:1, :72]), prenormalize_3d(ntu[:1, :72])
    assert np.allclose(per_frame[0, 0], per_clip[0, 0], atol=1e-5)
    again = per_clip - per_clip[:, :, 1:2]
    assert np.allclose(per_frame, again, atol=1e-5)


def test_ctr_gcn_resizes_the_middle_of_what_is_there(ntu: np.ndarray) -> None:
    moved = from_first_valid(ntu)
    assert np.array_equal(moved[0, 0, 1], np.zeros(3))
    assert not moved[1].any()
    assert not moved[0, 72:].any()
    found = valid_crop_resize(moved, 64)
    # One frame goes at each end: int(0.05 * 72 / 2).
    kept = torch.from_numpy(np.ascontiguousarray(moved[:, 1:71].transpose(0, 2, 3, 1)))
    wanted = torch.nn.functional.interpolate(
        kept.reshape(1, 1, -1, 70), size=(150, 64), mode="bilinear", align_corners=False
    )
    wanted = wanted.reshape(2, 25, 3, 64).numpy().transpose(0, 3, 1, 2)
    assert np.abs(found - wanted).max() < 1e-6


def test_padding_a_real_recording_changes_nothing_in_it(ntu: np.ndarray) -> None:
    padded = pad_frames(Sequence(ntu[:1, :72]), 300)
    assert np.array_equal(padded.keypoints, ntu[:1])


# ---- the whole way ---------------------------------------------------------------------------


def _rebuilt(name: str) -> Any:
    path = shared_path("reference") / "rebuild.py"
    spec = importlib.util.spec_from_file_location("reference_rebuild", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference_rebuild"] = module
    spec.loader.exec_module(module)
    return module.checkpoint(name)[0]


@pytest.mark.parametrize(
    ("name", "case", "data"),
    [
        ("mmaction2_stgcnpp_coco", "ucf101_coco", "ucf101_sample_pyskl.pkl"),
        ("mmaction2_stgcn_ntu", "ntu_3d", "ntu_sample_ctvm.npy"),
    ],
)
def test_a_recording_is_classified_as_the_original_would(
    truth: dict[str, np.ndarray], tmp_path: Path, name: str, case: str, data: str
) -> None:
    """Ten clips of the original's, through the reference form, probabilities averaged."""
    checkpoint = tmp_path / "network.pth"
    torch.save(_rebuilt(name), checkpoint)
    api.export(
        checkpoint, tmp_path / "bundle", frames=100, persons=2,
        graph_form="aggregate", verify=False,
    )  # fmt: skip
    network = load_checkpoint(checkpoint, Hints(frames=100, persons=2)).network
    with torch.inference_mode():
        logits = network(torch.from_numpy(truth[f"{case}.j.clips10"]))
    wanted = torch.softmax(logits, dim=1).mean(dim=0).numpy()
    given = shared_path("data", data)
    with load(tmp_path / "bundle", threads=1) as model:
        if case == "ntu_3d":
            # With its padding and its absent person, which are no part of the recording.
            clip = np.load(given).transpose(3, 1, 2, 0)
            found = model.predict(clip, raw=True).scores
        else:
            found = model.predict(read_recording(given)).scores
    assert np.abs(found - wanted).max() < 1e-5


def test_a_hand_of_the_demo_is_its_own_normalisation(tmp_path: Path) -> None:
    """The trained gesture network, its golden input given as MediaPipe would: 0.621354 for class 34."""
    t, v = np.arange(10)[:, None], np.arange(21)[None]
    clip = np.stack([np.sin(0.3 * v) + 0.01 * t, np.cos(0.2 * v) - 0.02 * t], axis=-1)[None]
    bundle = tmp_path / "bundle"
    api.export(
        shared_path("data", "hagrid.pth"), bundle, frames=10, graph_form="aggregate", verify=False
    )
    for options in ({}, {"raw": True}):
        found = api.predict(bundle, clip.astype(np.float32), **options).top[0]
        assert found.index == 34
        assert found.score == pytest.approx(0.621354, abs=1e-5)
    pixels = (clip * 300).astype(np.float32)
    assert api.predict(bundle, pixels, raw=True).top[0].score != pytest.approx(0.621354, abs=1e-3)
