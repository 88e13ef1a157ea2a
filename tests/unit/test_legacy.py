"""ST-GCN of early 2018: its own order of operations, and a graph that is in no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import CLASSES, Draw, State, save
from faithful import TOLERANCE, deployed, error, in_onnxruntime, inputs, logits, nudged, truth

from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.errors import (
    CheckpointError,
    KeyMismatchError,
    UnsupportedCheckpointError,
    UsageError,
)
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.models.families import FAMILIES, count_macs
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.skeleton.adjacency import build
from stgcn_deploy.skeleton.layouts import LAYOUTS

FORMS = FAMILIES["stgcn-legacy"].graph_forms


def legacy(
    *,
    joints: int = 18,
    widths: tuple[int, ...] = (6, 6, 8),
    mask: bool = True,
    norm: str = "person",
    persons: int = 2,
    seed: int = 0,
) -> State:
    """A file as the first code wrote it."""
    draw = Draw(seed)
    state: State = {}
    if norm != "none":
        state |= draw.norm("data_bn", joints * 3 * (persons if norm == "person" else 1))
    before = 3
    for index, width in enumerate(widths):
        here = f"backbone.{index - 1}"
        gcn, tcn = (f"{here}.gcn1", f"{here}.tcn1") if index else ("gcn0", "tcn0")
        if mask:
            state[f"{gcn}.mask"] = draw.uniform(3, joints, joints)
        for k in range(3):
            state |= draw.conv(f"{gcn}.conv_list.{k}", width, before)
        state |= draw.norm(f"{gcn}.bn", width)
        state |= draw.conv(f"{tcn}.conv", width, width, 9) | draw.norm(f"{tcn}.bn", width)
        if index and width != before:
            state |= draw.conv(f"{here}.down1.conv", width, before)
            state |= draw.norm(f"{here}.down1.bn", width)
        before = width
    state |= draw.norm("person_bn", before)
    state |= draw.conv("fcn", CLASSES, before)
    state["fcn.weight"] = state["fcn.weight"][:, :, 0]
    return state


def load(folder: Path, state: State, **hints: Any) -> LoadedCheckpoint:
    asked = {"frames": 12} | hints
    return load_checkpoint(save(state, folder / "legacy.pt"), Hints(**asked))


def bn(state: State, key: str, x: torch.Tensor) -> torch.Tensor:
    """Batch normalisation over axis 1, written out."""
    shape = (1, -1, *[1] * (x.dim() - 2))
    mean, var = state[f"{key}.running_mean"], state[f"{key}.running_var"]
    scale = state[f"{key}.weight"] / torch.sqrt(var + 1e-5)
    return (x - mean.view(shape)) * scale.view(shape) + state[f"{key}.bias"].view(shape)


def by_hand(state: State, clip: torch.Tensor) -> torch.Tensor:
    """The network written out from the file's tensors: (N, C, T, V, M) -> logits."""
    state = {key: tensor.double() for key, tensor in state.items()}
    graph = torch.from_numpy(build(LAYOUTS["openpose18"], "inward_outward")).float().double()
    n, c, t, v, m = clip.shape
    x = clip.double().permute(0, 4, 3, 1, 2).reshape(n, m * v * c, t)
    x = bn(state, "data_bn", x).reshape(n, m, v, c, t).permute(0, 1, 3, 4, 2)
    x = x.reshape(n * m, c, t, v)
    names = [("gcn0", "tcn0", "")]
    names += [(f"backbone.{j}.gcn1", f"backbone.{j}.tcn1", f"backbone.{j}.down1") for j in range(2)]
    for gcn, tcn, down in names:
        y = sum(
            torch.conv2d(
                x @ (graph[k] * state[f"{gcn}.mask"][k]),
                state[f"{gcn}.conv_list.{k}.weight"],
                state[f"{gcn}.conv_list.{k}.bias"],
            )
            for k in range(3)
        )
        y = torch.relu(bn(state, f"{gcn}.bn", y))
        stride = 2 if f"{down}.conv.weight" in state else 1
        weight, bias = state[f"{tcn}.conv.weight"], state[f"{tcn}.conv.bias"]
        y = torch.conv2d(y, weight, bias, stride=(stride, 1), padding=(4, 0))
        y = torch.relu(bn(state, f"{tcn}.bn", y))
        if stride == 2:
            weight, bias = state[f"{down}.conv.weight"], state[f"{down}.conv.bias"]
            shortcut = torch.conv2d(x, weight, bias, stride=(2, 1))
            y = y + torch.relu(bn(state, f"{down}.bn", shortcut))
        elif down:
            y = y + x
        x = y
    pooled = x.mean(dim=3).reshape(n, m, -1, x.shape[2]).mean(dim=1)
    return pooled.mean(dim=2) @ state["fcn.weight"][:, :, 0].T + state["fcn.bias"]


def test_the_reference_form_is_the_network_written_out(tmp_path: Path) -> None:
    state = legacy()
    found = load(tmp_path, state)
    (clip,) = inputs(found, InputShape(2, 2, 12))
    assert error(truth(found, (clip,)), by_hand(state, clip).numpy()) < 1e-12


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("n", "m", "t"), [(1, 2, 12), (2, 2, 13), (3, 2, 7)])
@pytest.mark.parametrize("norm", ["person", "joint", "none"])
def test_every_form_is_the_reference_form(
    tmp_path: Path, form: str, n: int, m: int, t: int, norm: str
) -> None:
    found = load(tmp_path, legacy(norm=norm), frames=t, persons=m)
    shape = InputShape(n, m, t)
    batch = inputs(found, shape)
    assert error(logits(deployed(found, form, shape), batch), truth(found, batch)) < TOLERANCE


@pytest.mark.parametrize("options", [{"norm": "joint", "persons": 1}, {"mask": False}])
def test_variants_are_the_reference_form(tmp_path: Path, options: dict[str, Any]) -> None:
    found = load(tmp_path, legacy(**options), persons=options.get("persons", 2))
    shape = InputShape(1, found.persons, 12)
    batch = inputs(found, shape)
    for form in FORMS:
        assert error(logits(deployed(found, form, shape), batch), truth(found, batch)) < TOLERANCE


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("norm", "dynamic"), [("person", ""), ("person", "N"), ("person", "NT"), ("joint", "NT")]
)
def test_graphs_are_the_reference_form(tmp_path: Path, form: str, norm: str, dynamic: str) -> None:
    found = load(tmp_path, legacy(norm=norm))
    other = (3 if "N" in dynamic else 1, 17 if "T" in dynamic else 12)
    batches = [inputs(found, InputShape(n, 2, t)) for n, t in [(1, 12), other]]
    options = ExportOptions(dynamic=frozenset(dynamic), opset=11 if form == "aggregate" else 18)
    graphs = in_onnxruntime(found, form, tmp_path / "m.onnx", options, *batches)
    for batch, got in zip(batches, graphs, strict=True):
        assert error(got, truth(found, batch)) < TOLERANCE


@pytest.mark.parametrize(
    "key",
    [
        "gcn0.mask",
        "backbone.0.gcn1.conv_list.2.weight",
        "backbone.1.down1.conv.weight",
        "data_bn.weight",
    ],
)
def test_one_percent_of_one_tensor_is_seen(tmp_path: Path, key: str) -> None:
    state = legacy()
    found, other = load(tmp_path, state), load(tmp_path, nudged(state, key))
    batch = inputs(found, InputShape(1, 2, 12))
    assert error(truth(other, batch), truth(found, batch)) > 10 * TOLERANCE


def test_what_the_file_does_not_hold_is_said_to_be_assumed(tmp_path: Path) -> None:
    found = load(tmp_path, legacy())
    assert found.codebase.name == "st-gcn-legacy"
    assert str(found.match) == "openpose18 (st-gcn edges, inward_outward)"
    graph = next(fact for fact in found.facts if fact.name == "graph")
    assert graph.origin == "assumed"
    assert "openpose18" in str(graph.value)
    assert found.persons == 2
    assert found.spec.num_persons == 2


def test_person_bn_is_accounted_for_and_used_nowhere(tmp_path: Path) -> None:
    state = legacy()
    found = load(tmp_path, state)
    other = load(tmp_path, nudged(state, "person_bn.weight"))
    batch = inputs(found, InputShape(1, 2, 12))
    assert error(truth(other, batch), truth(found, batch)) == 0
    del state["person_bn.bias"]
    load(tmp_path, state)


def test_ntu_files_take_ntus_graph_and_the_users_layout_wins(tmp_path: Path) -> None:
    assert load(tmp_path, legacy(joints=25)).match.layout.name == "ntu25"
    found = load(tmp_path, legacy(joints=17), layout=LAYOUTS["coco17"])
    assert found.match.layout.name == "coco17"
    assert next(fact for fact in found.facts if fact.name == "graph").origin == "option"


def test_the_graph_takes_part(tmp_path: Path) -> None:
    """Two layouts of 25 joints are two networks."""
    state = legacy(joints=25)
    ntu, body = load(tmp_path, state), load(tmp_path, state, layout=LAYOUTS["openpose25"])
    batch = inputs(ntu, InputShape(1, 2, 12))
    assert error(truth(ntu, batch), truth(body, batch)) > 1e-3


def test_without_a_graph_for_these_joints_it_asks(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--layout"):
        load(tmp_path, legacy(joints=17))
    with pytest.raises(UsageError, match="V=18"):
        load(tmp_path, legacy(), layout=LAYOUTS["coco17"])
    with pytest.raises(UsageError, match="--layout"):
        load(tmp_path, legacy(mask=False, norm="none"))
    named = load(tmp_path, legacy(mask=False, norm="none"), layout=LAYOUTS["openpose18"])
    assert named.spec.num_joints == 18


def test_variants_that_were_never_released_are_refused_by_name(tmp_path: Path) -> None:
    local = legacy()
    local |= Draw(1).norm("gcn0.bn", 6 * 18)
    with pytest.raises(UnsupportedCheckpointError, match="use_local_bn"):
        load(tmp_path, local)
    scales = legacy() | {"backbone.0.unit_1.gcn1.conv_list.0.weight": torch.ones(1)}
    with pytest.raises(UnsupportedCheckpointError, match="multi-scale"):
        load(tmp_path, scales)
    one = {k: t for k, t in legacy().items() if not k.startswith("gcn0.conv_list.2")}
    with pytest.raises(UnsupportedCheckpointError, match="2 subset"):
        load(tmp_path, one)


@pytest.mark.parametrize(
    "lost", ["gcn0.mask", "backbone.0.gcn1.mask", "backbone.1.down1", "backbone.0.tcn1.bn.weight"]
)
def test_a_missing_tensor_is_named_and_makes_no_other_network(tmp_path: Path, lost: str) -> None:
    state = {key: tensor for key, tensor in legacy().items() if not key.startswith(lost)}
    with pytest.raises(KeyMismatchError, match=lost):
        load(tmp_path, state)


def test_a_foreign_tensor_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyMismatchError, match="attention"):
        load(tmp_path, legacy() | {"attention.weight": torch.ones(1)})
    with pytest.raises(KeyMismatchError, match="data_bn has 55 features"):
        load(tmp_path, legacy() | Draw(0).norm("data_bn", 55))


def test_macs_count_the_graph_before_the_channels(tmp_path: Path) -> None:
    found = load(tmp_path, legacy(widths=(6, 8)))
    v, t = 18, 12
    first = v * (3 * 3 * 6 * t + 3 * v * 3 * t + 6 * 6 * 9 * t)
    second = v * (3 * 6 * 8 * t + 3 * v * 6 * t + 6 * 8 * 6 + 8 * 8 * 9 * 6)
    assert count_macs(found.spec, frames=t, persons=2) == 2 * (first + second) + 8 * CLASSES
