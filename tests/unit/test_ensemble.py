"""Score fusion: streams derived in one graph, scores added as the codebases add them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import save, tiny
from conftest import shared_path

from stgcn_deploy import api
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.ensemble import load_ensemble, parse_stream
from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.errors import UsageError
from stgcn_deploy.models.ensemble import fuse
from stgcn_deploy.models.streams import StreamMaker
from stgcn_deploy.skeleton.bones import BONE_PARENTS


def two(tmp_path: Path, name: str = "stgcnpp") -> tuple[Path, Path]:
    """Two checkpoints of one network, the second with other weights."""
    state = tiny(name)
    other = {key: value * 1.1 if value.ndim == 4 else value.clone() for key, value in state.items()}
    return save(state, tmp_path / "J.pt"), save(other, tmp_path / "B.pt")


def test_bones_and_motion_are_the_formulas() -> None:
    clip = torch.randn(2, 3, 7, 17, generator=torch.Generator().manual_seed(0))
    parents = list(BONE_PARENTS["coco17"])
    plain = {"mean_bone_score": False, "mean_motion_score": False}
    bones = StreamMaker("bone", "coco17", **plain)(clip)
    assert torch.allclose(bones, clip - clip[..., parents], atol=1e-6)
    motion = StreamMaker("joint_motion", "coco17", **plain)(clip)
    assert torch.allclose(motion[:, :, :-1], clip[:, :, 1:] - clip[:, :, :-1])
    assert motion[:, :, -1].abs().max() == 0
    scored = StreamMaker("bone", "coco17", mean_bone_score=True, mean_motion_score=True)(clip)
    assert torch.allclose(scored[:, 2], (clip[:, 2] + clip[:, 2][..., parents]) / 2, atol=1e-6)


@pytest.mark.parametrize("space", ["logits", "probabilities"])
def test_the_graph_is_the_weighted_sum_of_its_members(tmp_path: Path, space: str) -> None:
    joint, bone = two(tmp_path)
    hints = Hints(frames=20, persons=2)
    made = api.export(
        output=tmp_path / "out",
        stream=[f"joint={joint}:2", f"bone={bone}:1"],
        fusion=space,
        frames=20,
        persons=2,
        graph_form="aggregate",
    )
    assert made.report is not None
    assert made.report.passed
    clip = np.random.default_rng(0).normal(0, 0.3, (2, 20, 17, 3)).astype(np.float32)
    with api.load(tmp_path / "out") as model:
        scores = model.predict(clip).scores
    x = torch.from_numpy(clip[None])
    parents = list(BONE_PARENTS["coco17"])
    bones = x - x[:, :, :, parents]
    bones[..., 2] = (x[..., 2] + x[:, :, :, parents][..., 2]) / 2
    with torch.inference_mode():
        a = load_checkpoint(joint, hints).network(x)
        b = load_checkpoint(bone, hints).network(bones)
    if space == "logits":
        wanted = torch.softmax(2 * a + b, 1)
    else:
        wanted = (2 * torch.softmax(a, 1) + torch.softmax(b, 1)) / 3
    assert np.allclose(scores, wanted[0].numpy(), atol=1e-5)
    sources = made.bundle.manifest.sources
    assert [(s.stream, s.weight) for s in sources] == [("joint", 2.0), ("bone", 1.0)]
    assert made.bundle.manifest.fusion == space


def test_the_codebase_says_how_it_fuses(tmp_path: Path) -> None:
    joint, bone = two(tmp_path)
    files = [parse_stream(f"joint={joint}"), parse_stream(f"bone={bone}")]
    loaded = load_ensemble(files, Hints(frames=20, persons=2))
    assert [member[1] for member in loaded.members] == [2.0, 2.0]
    assert loaded.spec.family == "ensemble"
    assert loaded.spec.option("space") == "probabilities"


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        (["joint=J.pt"], "at least two"),
        (["joint=J.pt", "joint=B.pt"], "each once"),
        (["joint=J.pt:1", "bone=B.pt"], "every stream, or for none"),
        (["joint=J.pt", "bones=B.pt"], "did you mean 'bone'"),
        (["joint=J.pt", "bone=B.pt:-1"], "must be positive"),
        (["joint", "bone=B.pt"], "NAME=FILE"),
    ],
)
def test_ensembles_that_are_none_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streams: list[str], message: str
) -> None:
    two(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        api.export(output="out", stream=streams)
    assert not (tmp_path / "out").exists()


def test_streams_of_other_networks_are_refused(tmp_path: Path) -> None:
    joint, _ = two(tmp_path)
    other = save(tiny("stgcn"), tmp_path / "other.pt")
    with pytest.raises(UsageError, match="cannot be fused: codebase"):
        api.export(output=tmp_path / "out", stream=[f"joint={joint}", f"bone={other}"])


def test_the_stream_of_a_single_file_is_recorded(tmp_path: Path) -> None:
    joint, _ = two(tmp_path)
    made = api.export(
        joint, tmp_path / "out", stream=["bone"], frames=20, persons=2, graph_form="aggregate"
    )
    assert made.bundle.manifest.sources[0].stream == "bone"
    assert "bone" in str(made.bundle.manifest.contract.steps)


@pytest.mark.shared
def test_real_scores_fuse_to_the_accuracy_on_record() -> None:
    """MMAction2's own fusion example: .9167 and .9333 alone, .9333 fused one to one."""
    folder = shared_path() / "data"
    scores, labels = [], []
    for name in ("joint", "bone"):
        with (folder / f"fusion_{name}_scores.pkl").open("rb") as file:
            records = pickle.load(file)  # material of ours, not a user's file
        labels = [int(np.ravel(record["gt_label"])[0]) for record in records]
        scores.append(np.stack([np.asarray(record["pred_score"]) for record in records]))
    alone = [float((s.argmax(1) == labels).mean()) for s in scores]
    assert alone == pytest.approx([0.9167, 0.9333], abs=1e-4)
    logits = [torch.log(torch.from_numpy(s).double().clamp_min(1e-30)) for s in scores]
    fused = fuse(logits, [1.0, 1.0], "probabilities")
    assert float((fused.argmax(1).numpy() == labels).mean()) == pytest.approx(0.9333, abs=1e-4)
