"""Ensembles: several checkpoints in one graph, fused as their scores would be fused outside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import pyskl, save

from stgcn_deploy import api
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.ensemble import StreamFile, load_ensemble, parse_stream
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.errors import ExportError, UsageError
from stgcn_deploy.models.ensemble import Space
from stgcn_deploy.models.families import FAMILIES, count_macs, graph_forms
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.skeleton.bones import bone_parents

M, T, V, C = 2, 20, 17, 3
HINTS = Hints(frames=T, persons=M)
STREAMS = ("joint", "bone", "joint_motion", "bone_motion")
USUAL = (2.0, 2.0, 1.0, 1.0)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, ...]:
    """One PYSKL checkpoint for each stream."""
    return tuple(
        save(pyskl(widths=(6, 8), taps=3, seed=seed), tmp_path / f"{name}.pt")
        for seed, name in enumerate(STREAMS, start=30)
    )


def load(
    files: Sequence[Path], weights: Sequence[float | None], space: Space | None
) -> LoadedCheckpoint:
    named = zip(STREAMS, files, weights, strict=False)
    return load_ensemble([StreamFile(n, f, w) for n, f, w in named], HINTS, space)


def batch(n: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (n, M, T, V, C)).astype(np.float32)


def streams(clips: np.ndarray) -> dict[str, np.ndarray]:
    """Bones and motion written out one by one; the score is a mean of two."""
    bone = np.zeros_like(clips)
    for joint, parent in enumerate(bone_parents("coco17")):
        bone[..., joint, :2] = clips[..., joint, :2] - clips[..., parent, :2]
        bone[..., joint, 2] = (clips[..., joint, 2] + clips[..., parent, 2]) / 2

    def moved(x: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for t in range(x.shape[2] - 1):
            out[:, :, t, :, :2] = x[:, :, t + 1, :, :2] - x[:, :, t, :, :2]
            out[:, :, t, :, 2] = (x[:, :, t + 1, :, 2] + x[:, :, t, :, 2]) / 2
        return out

    return dict(zip(STREAMS, (clips, bone, moved(clips), moved(bone)), strict=True))


def fused(files: Sequence[Path], clips: np.ndarray, weights: Sequence[float], space: str) -> Any:
    """Scores added outside any graph; comparable up to a constant for probabilities."""
    total = 0.0
    with torch.inference_mode():
        for name, file, weight in zip(STREAMS, files, weights, strict=True):
            network = load_checkpoint(file, HINTS).network.double()
            logits = network(torch.from_numpy(streams(clips)[name]).double())
            total = total + weight * (logits if space == "logits" else torch.softmax(logits, 1))
    return total.numpy() if space == "logits" else (total / sum(weights)).numpy()


def answers(logits: torch.Tensor, space: str) -> np.ndarray:
    return (logits if space == "logits" else torch.softmax(logits, 1)).numpy()


@pytest.mark.parametrize("space", ["logits", "probabilities"])
def test_the_reference_form_is_the_fusion_of_its_members(
    files: tuple[Path, ...], space: Space
) -> None:
    found = load(files, (0.5, 1.0, 2.0, 0.25), space)
    assert found.spec.family == "ensemble"
    with torch.inference_mode():
        logits = found.network.double()(torch.from_numpy(batch()).double())
    wanted = fused(files, batch(), (0.5, 1.0, 2.0, 0.25), space)
    assert np.allclose(answers(logits, space), wanted, atol=1e-6)


def test_scores_are_fused_as_the_codebase_fuses_them(files: tuple[Path, ...]) -> None:
    found = load(files, (None,) * 4, None)
    with torch.inference_mode():
        logits = found.network.double()(torch.from_numpy(batch()).double())
    wanted = fused(files, batch(), USUAL, "probabilities")
    assert np.allclose(answers(logits, "probabilities"), wanted, atol=1e-6)


@pytest.mark.parametrize("dynamic", ["", "N", "T", "M", "NTM"])
@pytest.mark.parametrize("form", FAMILIES["ensemble"].graph_forms)
@pytest.mark.parametrize("space", ["logits", "probabilities"])
def test_deploy_forms_are_the_reference_form(
    files: tuple[Path, ...], form: str, dynamic: str, space: Space
) -> None:
    found = load(files, USUAL, space)
    shape = InputShape(2, M, T, frozenset(dynamic))
    fast = FAMILIES["ensemble"].deploy(found.network, form, shape)
    clips = torch.from_numpy(batch(3 if "N" in dynamic else 2))
    if "T" in dynamic:
        clips = torch.cat([clips, clips.flip(2)], dim=2)
    if "M" in dynamic:
        clips = clips[:, :1]
    with torch.inference_mode():
        assert torch.allclose(fast(clips), found.network(clips), atol=1e-5)


def test_one_changed_member_is_seen(files: tuple[Path, ...], tmp_path: Path) -> None:
    other = save(pyskl(widths=(6, 8), taps=3, seed=99), tmp_path / "other.pt")
    clips = torch.from_numpy(batch())
    with torch.inference_mode():
        mine = load(files, USUAL, None).network(clips)
        theirs = load((*files[:3], other), USUAL, None).network(clips)
    assert float((mine - theirs).abs().max()) > 1e-3


def test_work_is_that_of_all_members(files: tuple[Path, ...]) -> None:
    found = load(files, USUAL, None)
    one = count_macs(load_checkpoint(files[0], HINTS).spec, frames=T, persons=M)
    assert count_macs(found.spec, frames=T, persons=M) == 4 * one
    assert graph_forms(found.spec) == ("aggregate", "einsum", "matmul")


def test_an_ensemble_becomes_one_verified_bundle(files: tuple[Path, ...], tmp_path: Path) -> None:
    asked = [f"{n}={f}:{w}" for n, f, w in zip(STREAMS, files, USUAL, strict=True)]
    api.export(output=tmp_path / "out", stream=asked, frames=T, persons=M, graph_form="aggregate")
    manifest = Bundle(tmp_path / "out").manifest
    assert manifest.fusion == "probabilities"
    assert [(s.stream, s.weight, s.file) for s in manifest.sources] == [
        (name, weight, file.name) for name, weight, file in zip(STREAMS, USUAL, files, strict=True)
    ]
    assert manifest.parity is not None
    with api.load(tmp_path / "out") as model:
        found = model.scores(batch(1))
    assert np.allclose(found, fused(files, batch(1), USUAL, "probabilities"), atol=1e-5)
    with pytest.raises(UsageError, match="ensemble of 4 checkpoints"):
        api.verify(tmp_path / "out", checkpoint=files[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("joint", "NAME=FILE"),
        ("joint=", "NAME=FILE"),
        ("bnoe=a.pt", "did you mean 'bone'"),
        ("bone=a.pt:0", "must be positive"),
        ("bone=a.pt:-1", "must be positive"),
        ("bone=a.pt:nan", "must be positive"),
        ("bone=a.pt:inf", "must be positive"),
    ],
)
def test_what_is_no_stream_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_stream(text)


def test_a_stream_has_a_name_a_file_and_perhaps_a_weight() -> None:
    assert parse_stream("bone=B.pt:0.5") == StreamFile("bone", Path("B.pt"), 0.5)
    assert parse_stream("bone=B.pt") == StreamFile("bone", Path("B.pt"))
    assert parse_stream("bone=C:B.pt") == StreamFile("bone", Path("C:B.pt"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: [StreamFile("joint", a)], "at least two streams"),
        (lambda a, b: [StreamFile("joint", a), StreamFile("joint", b)], "each once"),
        (lambda a, b: [StreamFile("joint", a, 1.0), StreamFile("bone", b)], "weight for every"),
    ],
)
def test_what_is_no_ensemble_is_refused(
    files: tuple[Path, ...], change: Callable[..., list[StreamFile]], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load_ensemble(change(*files[:2]), HINTS)


def test_networks_of_different_skeletons_are_not_fused(
    files: tuple[Path, ...], tmp_path: Path
) -> None:
    other = save(pyskl(widths=(6, 8), taps=3, layout="ntu25"), tmp_path / "ntu.pt")
    with pytest.raises(UsageError, match="cannot be fused: joints is 17 in the first and 25"):
        load((files[0], other), (None, None), None)


def test_a_form_that_a_member_lacks_is_refused(tmp_path: Path) -> None:
    from ctrfiles import NETWORKS

    names = ("joint", "joint_motion")
    made = [save(NETWORKS["ctr-gcn"](seed=s), tmp_path / f"{s}.pt") for s in (1, 2)]
    asked = [f"{name}={file}" for name, file in zip(names, made, strict=True)]
    with pytest.raises((ExportError, UsageError), match="aggregate"):
        api.export(output=tmp_path / "out", stream=asked, frames=T, graph_form="aggregate")
    assert not (tmp_path / "out").exists()
