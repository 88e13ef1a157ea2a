"""A tiny network with its steps, and labelled recordings that it can be judged on."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checkpoints import CLASSES, stgcn

__all__ = ["RECORD", "prepared_pair", "recordings", "save_network"]

FRAMES = 32
RECORD: dict[str, Any] = {
    "layout": "coco17",
    "frames": FRAMES,
    "persons": 1,
    "stream": "joint",
    "classes": list("abcde"),
    "contract": [
        {"name": "coordinates", "params": {"dimensions": 2}},
        {"name": "valid_crop_resize", "params": {"frames": FRAMES, "share": 1.0}},
        {"name": "persons", "params": {"count": 1}},
    ],
}


def save_network(path: Path, *, seed: int = 0, **changes: Any) -> Path:
    """An st-gcn of 17 joints, 2 channels and 5 classes that says how its clips are made."""
    state = stgcn(layout="coco17", channels=2, persons=1, seed=seed)
    torch.save({"state_dict": state, "stgcn_deploy": {**RECORD, **changes}}, path)
    return path


def recordings(path: Path, count: int = 23, seed: int = 0) -> Path:
    """PYSKL annotations of as many random walks, splits "train1" and "test1"."""
    rng = np.random.default_rng(seed)
    annotations = []
    for index in range(count):
        steps = rng.normal(size=(1, 20 + index, 17, 2))
        points = (rng.normal(size=(1, 1, 17, 2)) + 0.1 * steps.cumsum(axis=1)).astype(np.float32)
        label = int(index % CLASSES)
        annotations.append({"frame_dir": f"walk{index}", "label": label, "keypoint": points})
    names = [one["frame_dir"] for one in annotations]
    value = {
        "split": {"train1": names[: count // 2], "test1": names[count // 2 :]},
        "annotations": annotations,
    }
    path.write_bytes(pickle.dumps(value))
    return path


def prepared_pair(folder: Path, count: int = 11, seed: int = 0) -> Path:
    """val_data.npy (N, C, T, V, M) and val_label.pkl."""
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(count, 2, FRAMES, 17, 1)).astype(np.float32)
    np.save(folder / "val_data.npy", data)
    names = [f"clip{index}" for index in range(count)]
    labels = [int(index % CLASSES) for index in range(count)]
    (folder / "val_label.pkl").write_bytes(pickle.dumps((names, labels)))
    return folder / "val_data.npy"
