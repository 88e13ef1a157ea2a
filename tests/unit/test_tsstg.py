"""TSSTG: two inputs, one person, features concatenated, independent classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import CLASSES, Draw, State, save, stgcn
from faithful import TOLERANCE, deployed, error, in_onnxruntime, inputs, logits, nudged, truth

from stgcn_deploy import api
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.errors import ExportError, KeyMismatchError, UsageError
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.models.families import FAMILIES, count_macs
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.stgcn import stgcn_macs
from stgcn_deploy.models.tsstg import motion_stream
from stgcn_deploy.skeleton.inputs import make_feed

FORMS = FAMILIES["tsstg"].graph_forms


def trunk(channels: int, seed: int, **options: Any) -> State:
    """One stream: st-gcn's tree without its head."""
    state = stgcn(layout="cococut14", widths=(6, 6, 8), channels=channels, seed=seed, **options)
    return {key: tensor for key, tensor in state.items() if not key.startswith("fcn.")}


def tsstg(**options: Any) -> State:
    """A file as Human-Falling-Detect-Tracks writes it."""
    state = {f"pts_stream.{key}": tensor for key, tensor in trunk(3, 1, **options).items()}
    state |= {f"mot_stream.{key}": tensor for key, tensor in trunk(2, 2, **options).items()}
    draw = Draw(3)
    return state | {"fcn.weight": draw.normal(CLASSES, 16), "fcn.bias": draw.normal(CLASSES)}


def alone(channels: int = 3) -> State:
    """One stream with its own head."""
    draw = Draw(3)
    return trunk(channels, 1) | draw.conv("cls", CLASSES, 8)


def load(folder: Path, state: State, **hints: Any) -> LoadedCheckpoint:
    asked = {"frames": 12} | hints
    return load_checkpoint(save(state, folder / "tsstg.pt"), Hints(**asked))


def test_the_two_inputs_and_the_activation_are_read(tmp_path: Path) -> None:
    found = load_checkpoint(save(tsstg(), tmp_path / "tsstg.pt"))
    assert found.codebase.name == "tsstg"
    assert str(found.match) == "cococut14 (tsstg edges, spatial_configuration)"
    assert (found.frames, found.persons, found.spec.activation) == (30, 1, "sigmoid")
    points, motion = found.spec.inputs
    assert (points.name, points.axes, points.channels, points.stream) == (
        "points", "NCTV", 3, "joint"
    )  # fmt: skip
    assert (motion.name, motion.axes, motion.channels) == ("motion", "NCTV", 2)
    sizes = {"N": 2, "T": 30, "V": 14}
    assert points.shape(sizes) == (2, 3, 30, 14)
    assert motion.shape(sizes) == (2, 2, 29, 14)


def test_the_motion_is_the_next_frame_minus_this_one(tmp_path: Path) -> None:
    found = load(tmp_path, tsstg())
    clip = np.random.default_rng(0).normal(size=(2, 1, 12, 14, 3)).astype(np.float32)
    feed = make_feed(found.spec.inputs, clip)
    native = clip[:, 0].transpose(0, 3, 1, 2)
    assert np.array_equal(feed["points"], native)
    assert np.array_equal(feed["motion"], native[:, :2, 1:] - native[:, :2, :-1])


def test_the_streams_meet_in_one_layer(tmp_path: Path) -> None:
    """The logits are the sum of what each stream alone adds, and swapping the halves is seen."""
    state = tsstg()
    found = load(tmp_path, state)
    points, motion = inputs(found, InputShape(2, 1, 12))
    with torch.inference_mode():
        parts = [found.network.points.features(points), found.network.motion.features(motion)]
    weight, bias = state["fcn.weight"].numpy(), state["fcn.bias"].numpy()
    wanted = np.concatenate([p[:, 0].numpy() for p in parts], axis=1) @ weight.T + bias
    assert error(logits(found.network, (points, motion)), wanted) < TOLERANCE
    halves = torch.cat([state["fcn.weight"][:, 8:], state["fcn.weight"][:, :8]], dim=1)
    other = load(tmp_path, state | {"fcn.weight": halves})
    assert error(logits(other.network, (points, motion)), wanted) > 1e-3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("n", "t"), [(1, 12), (3, 13), (2, 8)])
@pytest.mark.parametrize("importance", [True, False])
def test_every_form_is_the_reference_form(
    tmp_path: Path, form: str, n: int, t: int, importance: bool
) -> None:
    found = load(tmp_path, tsstg(importance=importance), frames=t)
    shape = InputShape(n, 1, t)
    batch = inputs(found, shape)
    assert error(logits(deployed(found, form, shape), batch), truth(found, batch)) < TOLERANCE


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dynamic", ["", "N", "T", "NT"])
def test_graphs_are_the_reference_form(tmp_path: Path, form: str, dynamic: str) -> None:
    found = load(tmp_path, tsstg())
    other = (3 if "N" in dynamic else 1, 17 if "T" in dynamic else 12)
    batches = [inputs(found, InputShape(n, 1, t)) for n, t in [(1, 12), other]]
    options = ExportOptions(dynamic=frozenset(dynamic), opset=18 if form == "einsum" else 11)
    graphs = in_onnxruntime(found, form, tmp_path / "m.onnx", options, *batches)
    for batch, got in zip(batches, graphs, strict=True):
        assert error(got, truth(found, batch)) < TOLERANCE


@pytest.mark.parametrize("channels", [2, 3])
def test_one_stream_alone_is_a_network_of_its_own(tmp_path: Path, channels: int) -> None:
    found = load(tmp_path, alone(channels))
    assert (found.codebase.name, found.spec.family, found.spec.activation) == (
        "tsstg", "stgcn", "sigmoid"
    )  # fmt: skip
    shape = InputShape(2, 1, 12)
    batch = inputs(found, shape)
    assert [x.shape for x in batch] == [(2, channels, 12, 14)]
    for form in FORMS:
        assert error(logits(deployed(found, form, shape), batch), truth(found, batch)) < TOLERANCE


@pytest.mark.parametrize(
    "key",
    [
        "pts_stream.st_gcn_networks.1.gcn.conv.weight",
        "mot_stream.edge_importance.0",
        "mot_stream.data_bn.weight",
        "fcn.weight",
    ],
)
def test_one_percent_of_one_tensor_is_seen(tmp_path: Path, key: str) -> None:
    state = tsstg()
    found, other = load(tmp_path, state), load(tmp_path, nudged(state, key))
    batch = inputs(found, InputShape(1, 1, 12))
    assert error(truth(other, batch), truth(found, batch)) > 10 * TOLERANCE


@pytest.mark.parametrize("stream", ["pts", "mot"])
def test_half_a_file_is_refused_as_half(tmp_path: Path, stream: str) -> None:
    half = {k: t for k, t in tsstg().items() if k.startswith((stream, "fcn"))}
    with pytest.raises(KeyMismatchError, match="stream only"):
        load(tmp_path, half)


def test_streams_that_differ_are_refused(tmp_path: Path) -> None:
    wide = stgcn(layout="cococut14", widths=(6, 8, 8), channels=2)
    wide = {f"mot_stream.{k}": t for k, t in wide.items() if not k.startswith("fcn.")}
    points = {k: t for k, t in tsstg().items() if not k.startswith("mot_stream.")}
    with pytest.raises(KeyMismatchError, match="different shapes"):
        load(tmp_path, points | wide)


def test_several_persons_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one person"):
        load(tmp_path, tsstg(), persons=2)
    found = load(tmp_path, tsstg())
    with pytest.raises(ExportError):
        in_onnxruntime(
            found, "aggregate", tmp_path / "m.onnx", ExportOptions(dynamic=frozenset("M"))
        )


def test_a_bundle_takes_one_clip_and_gives_independent_scores(tmp_path: Path) -> None:
    checkpoint = save(tsstg(), tmp_path / "tsstg.pt")
    bundle = tmp_path / "bundle"
    api.export(checkpoint, bundle, frames=16, graph_form="aggregate")
    clip = np.random.default_rng(1).normal(size=(1, 16, 14, 3)).astype(np.float32)
    np.save(tmp_path / "clip.npy", clip)
    found = load_checkpoint(checkpoint, Hints(frames=16))
    feed = make_feed(found.spec.inputs, clip[None])
    wanted = 1 / (1 + np.exp(-truth(found, tuple(map(torch.from_numpy, feed.values())))))
    result = api.predict(bundle, tmp_path / "clip.npy", topk=CLASSES)
    assert np.allclose(result.scores, wanted[0], atol=1e-5)
    assert abs(result.scores.sum() - 1) > 1e-2
    assert api.verify(bundle, checkpoint=checkpoint).passed


def test_macs_are_those_of_both_streams(tmp_path: Path) -> None:
    spec = load(tmp_path, tsstg()).spec
    both = stgcn_macs(spec, 12) + stgcn_macs(motion_stream(spec), 11)
    assert count_macs(spec, frames=12, persons=1) == both + 16 * CLASSES
