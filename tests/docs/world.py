"""The files that the pages talk about: small random networks under the names that users would have."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from ascendhost import add_om
from checkpoints import pyskl, save, stgcn, twostream
from docs.pages import ROOT, blocks
from labelled import prepared_pair, recordings, save_network
from torch import Tensor

from stgcn_deploy import api

__all__ = ["make_world", "toml_layout"]

WIDTHS = (4, 4, 8)
TWO_STREAM = ("epoch60_model", "epoch50_model", "stgcn_unified", "single_model", "multi_model")
CONFIG = """\
clip_len = 100
num_person = 4
model = dict(
    type='RecognizerGCN',
    backbone=dict(
        type='STGCN', in_channels=2, base_channels=6, num_stages=3, inflate_stages=[3],
        down_stages=[3], gcn_adaptive='init', gcn_with_res=True, tcn_type='mstcn',
        graph_cfg=dict(layout='coco', mode='spatial')),
    cls_head=dict(type='GCNHead', num_classes=5, in_channels=12))
test_pipeline = [
    dict(type='PreNormalize2D'),
    dict(type='GenSkeFeat', dataset='coco', feats=['b']),
    dict(type='UniformSampleFrames', clip_len=clip_len, num_clips=10, test_mode=True),
    dict(type='PoseDecode'),
    dict(type='FormatGCNInput', num_person=num_person),
    dict(type='PackActionInputs')]
test_dataloader = dict(dataset=dict(type='PoseDataset', pipeline=test_pipeline))
"""


def toml_layout() -> str:
    """The layout file that the getting-started page shows."""
    page = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    return next(block.text for block in blocks(page) if block.language == "toml")


def _of_16_joints(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """An 18-joint network cut to 16 joints: its graph then fits no known layout."""
    cut = {}
    for key, tensor in state.items():
        if key.startswith("data_bn") and tensor.ndim:
            cut[key] = tensor[: 16 * 3].clone()
        elif tensor.shape[-2:] == (18, 18):
            cut[key] = tensor[:, :16, :16].clone()
        else:
            cut[key] = tensor
    return cut


def _recordings(folder: Path) -> None:
    """The same two persons in pixels of a 1920x1080 image: bare numbers, and a data set's annotation."""
    rng = np.random.default_rng(1)
    points = rng.uniform((0, 0), (1920, 1080), (2, 240, 17, 2)).astype(np.float32)
    score = rng.uniform(0.3, 1, (2, 240, 17)).astype(np.float32)
    np.save(folder / "recording.npy", np.concatenate([points, score[..., None]], axis=3))
    annotation = {
        "keypoint": points,
        "keypoint_score": score,
        "img_shape": (1080, 1920),
        "total_frames": 240,
        "label": 0,
    }
    (folder / "annotation.pkl").write_bytes(pickle.dumps(annotation))


def _for_ascend(folder: Path) -> None:
    """The bundle that `stgcn build --to ascend` leaves on a host with the toolkit."""
    file = folder / "checkpoints" / "st_gcn.kinetics-6fa43f73.pth"
    bundle = folder / "kinetics-310p"
    api.export(
        file, bundle, graph_form="matmul", opset=11, dynamic="batch", logits=True, verify=False
    )
    for batch in (1, 4, 8):
        add_om(bundle, batch)


def make_world(folder: Path) -> None:
    """Write every file that a page names before it makes it."""
    for name in ("models", "checkpoints", "work_dirs", "configs"):
        (folder / name).mkdir()
    for seed, name in enumerate(TWO_STREAM):
        state = twostream(widths=WIDTHS)
        state["origin_stream.fcn.bias"] += seed
        save(state, folder / "models" / f"{name}.pt")
    save(_of_16_joints(stgcn(widths=WIDTHS)), folder / "models" / "mpii.pt")
    for seed, name in enumerate(("joint", "bone", "joint_motion")):
        save(pyskl(widths=WIDTHS, seed=seed), folder / "models" / f"coco_{name}.pth")
    _recordings(folder)
    save(stgcn(widths=WIDTHS), folder / "checkpoints" / "st_gcn.kinetics-6fa43f73.pth")
    _for_ascend(folder)
    fight = pyskl(
        widths=(6, 6, 12), channels=2, adjacency="plain", graph_residual=True, branches=True,
        head="cls_head.fc",
    )  # fmt: skip
    save(fight, folder / "work_dirs" / "best_acc_top1_epoch_14.pth")
    config = folder / "configs" / "stgcnpp_enhanced_fight_detection_stable.py"
    config.write_text(CONFIG, encoding="utf-8")
    (folder / "mpii16.toml").write_text(toml_layout(), encoding="utf-8")
    (folder / "labels.txt").write_text("walk\nrun\nsit\nstand\nfall\n", encoding="utf-8")
    save_network(folder / "models" / "walks.pth")
    recordings(folder / "walks.pkl", 40)
    prepared_pair(folder)
    clip = np.random.default_rng(0).normal(0, 0.3, (1, 150, 33, 3)).astype(np.float32)
    np.save(folder / "clip.npy", clip)
    np.save(folder / "short.npy", clip[:, :90])
