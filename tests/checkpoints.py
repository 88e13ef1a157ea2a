"""Tiny checkpoints in each codebase's own key format, and bundles that tests may damage.

Weights are random but behave: normalisations with variances around one, convolutions scaled by their
fan-in, so that activations keep their size through any number of blocks.
"""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from stgcn_deploy.bundle import write_bundle
from stgcn_deploy.skeleton.adjacency import build
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = [
    "CODEBASE_OF",
    "CONTAINERS",
    "TINY",
    "copied",
    "edit_manifest",
    "edit_model",
    "pyskl",
    "references",
    "reseal",
    "save",
    "stgcn",
    "tiny",
    "twostream",
]

State = dict[str, Tensor]
CLASSES = 5


class Draw:
    """Tensors in the order in which they are asked for, from one seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def normal(self, *shape: int, scale: float = 0.1) -> Tensor:
        return torch.from_numpy(self._rng.normal(0, scale, shape).astype(np.float32))

    def uniform(self, *shape: int, low: float = 0.5, high: float = 1.5) -> Tensor:
        return torch.from_numpy(self._rng.uniform(low, high, shape).astype(np.float32))

    def conv(self, key: str, out: int, into: int, taps: int = 1) -> State:
        """A convolution (out, into, taps, 1) with bias."""
        scale = (into * taps) ** -0.5
        return {
            f"{key}.weight": self.normal(out, into, taps, 1, scale=scale),
            f"{key}.bias": self.normal(out),
        }

    def norm(self, key: str, features: int) -> State:
        """A batch normalisation after training, its step counter included."""
        return {
            f"{key}.weight": self.uniform(features),
            f"{key}.bias": self.normal(features),
            f"{key}.running_mean": self.normal(features),
            f"{key}.running_var": self.uniform(features),
            f"{key}.num_batches_tracked": torch.tensor(1000),
        }


def _graph(layout: str, strategy: str, edge_set: str | None = None) -> Tensor:
    graph = build(LAYOUTS[layout], strategy, edge_set=edge_set)
    return torch.from_numpy(graph.astype(np.float32))


def stgcn(
    *,
    widths: tuple[int, ...] = (8, 8, 16),
    layout: str = "openpose18",
    edge_set: str | None = None,
    strategy: str = "spatial_configuration",
    channels: int = 3,
    importance: bool = True,
    norm: str = "joint",
    persons: int = 2,
    taps: int = 9,
    seed: int = 0,
) -> State:
    """yysijie/st-gcn.  `norm`: data_bn of each "joint", of each "person", or "none"."""
    draw = Draw(seed)
    graph = _graph(layout, strategy, edge_set)
    k, v, _ = graph.shape
    state: State = {"A": graph}
    if norm != "none":
        state |= draw.norm("data_bn", v * channels * (persons if norm == "person" else 1))
    before = channels
    for index, width in enumerate(widths):
        here = f"st_gcn_networks.{index}"
        state |= draw.conv(f"{here}.gcn.conv", k * width, before)
        state |= draw.norm(f"{here}.tcn.0", width)
        state |= draw.conv(f"{here}.tcn.2", width, width, taps)
        state |= draw.norm(f"{here}.tcn.3", width)
        if index and width != before:
            state |= draw.conv(f"{here}.residual.0", width, before)
            state |= draw.norm(f"{here}.residual.1", width)
        if importance:
            state[f"edge_importance.{index}"] = draw.uniform(k, v, v)
        before = width
    return state | draw.conv("fcn", CLASSES, before)


def twostream(
    *, layout: str = "mediapipe33", edge_set: str | None = "guide", **options: Any
) -> State:
    """2s_st-gcn and the Jetson guides: the st-gcn tree under two names."""
    return {
        f"{stream}_stream.{key}": tensor
        for seed, stream in enumerate(("origin", "motion"), start=10)
        for key, tensor in stgcn(layout=layout, edge_set=edge_set, seed=seed, **options).items()
    }


def _mask(draw: Draw, graph: Tensor, kind: str) -> Tensor:
    """PA as training leaves it: a mask decays where A is 0, an offset moves everywhere."""
    if kind == "importance":
        return torch.where(graph == 0, torch.tensor(0.9), draw.uniform(*graph.shape))
    return draw.normal(*graph.shape, scale=0.05)


def _temporal(draw: Draw, here: str, width: int, taps: int, *, branches: bool) -> State:
    if not branches:
        return draw.conv(f"{here}.conv", width, width, taps) | draw.norm(f"{here}.bn", width)
    mid = width // 6
    sizes = [width - 5 * mid, *[mid] * 5]
    state: State = {}
    for index, size in enumerate(sizes):
        at = f"{here}.branches.{index}"
        if index == 5:
            state |= draw.conv(at, size, width)
            continue
        state |= draw.conv(f"{at}.0", size, width) | draw.norm(f"{at}.1", size)
        if index < 4:
            state |= draw.conv(f"{at}.3.conv", size, size, 3)
    state |= draw.norm(f"{here}.transform.0", width)
    state |= draw.conv(f"{here}.transform.2", width, width)
    return state | draw.norm(f"{here}.bn", width)


def pyskl(
    *,
    widths: tuple[int, ...] = (8, 8, 16),
    layout: str = "coco17",
    strategy: str = "inward_outward",
    channels: int = 3,
    adjacency: str = "importance",
    conv_first: bool = True,
    graph_residual: bool = False,
    branches: bool = False,
    norm: str = "joint",
    persons: int = 2,
    taps: int = 9,
    head: str = "cls_head.fc_cls",
    seed: int = 0,
) -> State:
    """PYSKL's STGCN, and ST-GCN++ with `branches`.  `adjacency`: plain, importance or offset."""
    draw = Draw(seed)
    graph = _graph(layout, strategy)
    k, v, _ = graph.shape
    state: State = {}
    if norm != "none":
        features = v * channels * (persons if norm == "person" else 1)
        state |= draw.norm("backbone.data_bn", features)
    before = channels
    for index, width in enumerate(widths):
        here = f"backbone.gcn.{index}"
        if adjacency == "plain":
            # "init": the adjacency itself was trained.
            state[f"{here}.gcn.A"] = graph + draw.normal(*graph.shape, scale=0.02)
        else:
            state[f"{here}.gcn.A"] = graph
            state[f"{here}.gcn.PA"] = _mask(draw, graph, adjacency)
        state |= draw.norm(f"{here}.gcn.bn", width)
        out, into = (k * width, before) if conv_first else (width, k * before)
        state |= draw.conv(f"{here}.gcn.conv", out, into)
        if graph_residual and width != before:
            state |= draw.conv(f"{here}.gcn.down.0", width, before)
            state |= draw.norm(f"{here}.gcn.down.1", width)
        state |= _temporal(draw, f"{here}.tcn", width, taps, branches=branches)
        if index and width != before:
            state |= draw.conv(f"{here}.residual.conv", width, before)
            state |= draw.norm(f"{here}.residual.bn", width)
        before = width
    state |= draw.conv(head, CLASSES, before)
    state[f"{head}.weight"] = state[f"{head}.weight"].reshape(CLASSES, before)
    return state


def _plusplus(**options: Any) -> State:
    settings: dict[str, Any] = {"adjacency": "plain", "graph_residual": True, "branches": True}
    return pyskl(widths=(12, 12, 24), **(settings | options))


# One of each kind that the families have to get right.
TINY: dict[str, Callable[[], State]] = {
    "stgcn": stgcn,
    "stgcn-plain": lambda: stgcn(importance=False, seed=1),
    "stgcn-raw-input": lambda: stgcn(norm="none", seed=2),
    "stgcn-person": lambda: stgcn(norm="person", layout="ntu25", persons=2, seed=3),
    "stgcn-uniform": lambda: stgcn(strategy="uniform", channels=2, seed=4),
    "twostream": twostream,
    "twostream-openpose": lambda: twostream(layout="openpose18", edge_set=None),
    "pyskl": lambda: pyskl(seed=5),
    "pyskl-offset": lambda: pyskl(adjacency="offset", conv_first=False, seed=6),
    "pyskl-plain": lambda: pyskl(adjacency="plain", norm="none", graph_residual=True, seed=7),
    "pyskl-square": lambda: pyskl(widths=(3, 8), graph_residual=True, seed=8),
    "pyskl-person": lambda: pyskl(norm="person", graph_residual=True, seed=9),
    "stgcnpp": lambda: _plusplus(seed=10),
    "stgcnpp-post": lambda: _plusplus(conv_first=False, adjacency="importance", seed=11),
    "mmaction2": lambda: pyskl(head="cls_head.fc", layout="ntu25", seed=12),
    "mmaction2-pp": lambda: _plusplus(head="cls_head.fc", seed=13),
}
CODEBASE_OF = {
    name: {"stgcn": "st-gcn", "twostream": "st-gcn-twostream", "mmaction2": "mmaction2"}.get(
        name.partition("-")[0], "pyskl"
    )
    for name in TINY
}


def tiny(name: str) -> State:
    """A fresh copy of one of TINY."""
    return TINY[name]()


def references() -> dict[str, tuple[str, str, str]]:
    """(codebase, layout, family) of each recorded network: the table in parity/test_reference.py."""
    source = Path(__file__).parent / "parity" / "test_reference.py"
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXPECTED":
            found: dict[str, tuple[str, str, str]] = ast.literal_eval(node.value)
            return found
    raise AssertionError(f"{source} has no table EXPECTED")


def _other_head(state: State) -> State:
    """The classifier as a 1x1 convolution where it is a matrix, and the other way round."""
    key = next(k for k in state if k.endswith(("fcn.weight", "fc.weight", "fc_cls.weight")))
    turned = dict(state)
    heads = [k for k in state if k.rpartition(".")[0].endswith(key.rpartition(".")[0][-6:])]
    for each in heads:
        if each.endswith(".weight"):
            weight = state[each]
            turned[each] = weight[:, :, 0, 0] if weight.ndim == 4 else weight[:, :, None, None]
    return turned


# How training loops wrap the tensors.
CONTAINERS: dict[str, Callable[[State], object]] = {
    "raw": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "meta": {"epoch": 16, "CLASSES": None}},
    "model_state_dict": lambda state: {"model_state_dict": state, "epoch": 60},
    "module": lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
    "nested": lambda state: {"model": {"state_dict": {f"0.{k}": t for k, t in state.items()}}},
    "half": lambda state: {k: t.half() if t.is_floating_point() else t for k, t in state.items()},
    "other_head": _other_head,
}


def save(state: Mapping[str, object], path: Path, container: str = "raw") -> Path:
    """Write tensors as a checkpoint file."""
    torch.save(CONTAINERS[container](dict(state)), path)  # type: ignore[arg-type]
    return path


def copied(bundle: Path, folder: Path) -> Path:
    """A bundle that a test may damage."""
    target = folder / "damaged"
    shutil.copytree(bundle, target)
    return target


def edit_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change manifest.json; the other files keep their hashes."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return bundle


def reseal(bundle: Path) -> Path:
    """Make the hashes fit the files again, as one who wants to deceive would."""
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    for field in ("files", "schema_version"):
        del manifest[field]
    write_bundle(bundle, manifest)
    return bundle


def edit_model(bundle: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    """Change model.onnx and reseal the bundle."""
    path = bundle / "model.onnx"
    model = onnx.load(str(path))
    change(model)
    onnx.save_model(model, str(path))
    return reseal(bundle)
