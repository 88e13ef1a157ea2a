"""MS-G3D against its formulas in numpy, and its deploy forms against the reference form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import CLASSES, Draw, State, save
from faithful import TOLERANCE, deployed, error, in_onnxruntime, inputs, logits, nudged, truth

from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.errors import CheckpointError, ExportError, KeyMismatchError
from stgcn_deploy.exporter.build import input_shape
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.models.families import FAMILIES, count_macs
from stgcn_deploy.models.msg3d import ChannelsFirst, DeployStage, DeployWindow
from stgcn_deploy.models.msg3d_parts import StageSpec, TemporalSpec, WindowSpec
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import BranchSpec, NetworkSpec
from stgcn_deploy.skeleton.adjacency import build
from stgcn_deploy.skeleton.layouts import LAYOUTS

V, SCALES, WINDOW_SCALES, WINDOWS = 5, 3, 2, (3, 5)
# Published networks have three stages; the third is like the second.
WIDTHS, STRIDES = (12, 24), (1, 2)
FORMS = FAMILIES["msg3d"].graph_forms
HEADS = {"pyskl-msg3d": "cls_head.fc_cls", "mmaction2-msg3d": "cls_head.fc"}


# ---- files as the codebases write them -------------------------------------------------------


def _norm(draw: Draw, key: str, features: int) -> State:
    """Scales of both signs: a pool does not commute with a negative one."""
    return draw.norm(key, features) | {f"{key}.weight": draw.uniform(features, low=-1.5)}


def _graph(draw: Draw, here: str, scales: int, joints: int, into: int, out: int) -> State:
    """A by distance, and what was learned beside it."""
    return {
        f"{here}.A": draw.uniform(scales, joints, joints, low=0.0, high=2 / joints),
        f"{here}.PA": draw.normal(scales, joints, joints),
        **draw.conv(f"{here}.mlp.layers.0", out, scales * into),
        **_norm(draw, f"{here}.mlp.layers.1", out),
    }


def _temporal(draw: Draw, here: str, before: int, width: int, stride: int = 1) -> State:
    state: State = {}
    part = width // 6
    for index in range(6):
        at = f"{here}.branches.{index}"
        state |= draw.conv(f"{at}.0", part, before) | _norm(draw, f"{at}.1", part)
        if index < 4:
            state |= draw.conv(f"{at}.3.conv", part, part, 3) | _norm(draw, f"{at}.3.bn", part)
        if index == 4:
            state |= _norm(draw, f"{at}.4", part)
    if before != width or stride != 1:
        state |= draw.conv(f"{here}.residual.conv", width, before)
        state |= _norm(draw, f"{here}.residual.bn", width)
    return state


def _windows(draw: Draw, here: str, before: int, width: int, joints: int) -> State:
    state: State = {}
    hidden = width if before == 3 else before
    for index, window in enumerate(WINDOWS):
        at = f"{here}.gcn3d.{index}"
        state |= _graph(draw, f"{at}.gcn3d.1", WINDOW_SCALES, window * joints, before, hidden)
        weight = draw.normal(width, hidden, 1, window, 1, scale=(window * hidden) ** -0.5)
        state |= {f"{at}.out_conv.weight": weight, f"{at}.out_conv.bias": draw.normal(width)}
        state |= _norm(draw, f"{at}.out_bn", width)
    return state


def msg3d(
    head: str = "cls_head.fc_cls", *, persons: int = 2, joints: int = V, seed: int = 0
) -> State:
    """PYSKL's MSG3D."""
    draw = Draw(seed)
    state: State = {"backbone.A": draw.normal(joints, joints)}
    state |= draw.norm("backbone.data_bn", persons * joints * 3)
    before = 3
    for index, (width, stride) in enumerate(zip(WIDTHS, STRIDES, strict=True), start=1):
        hidden = width if before == 3 else before
        here = f"backbone.sgcn{index}"
        state |= _windows(draw, f"backbone.gcn3d{index}", before, width, joints)
        state |= _graph(draw, f"{here}.0", SCALES, joints, before, hidden)
        state |= _temporal(draw, f"{here}.1", hidden, width, stride)
        state |= _temporal(draw, f"{here}.2", width, width)
        state |= _temporal(draw, f"backbone.tcn{index}", width, width)
        before = width
    return state | {
        f"{head}.weight": draw.normal(CLASSES, before, scale=0.3),
        f"{head}.bias": draw.normal(CLASSES),
    }


def load(folder: Path, state: State, **hints: Any) -> LoadedCheckpoint:
    return load_checkpoint(save(state, folder / "ms.pt"), Hints(**({"frames": 9} | hints)))


# ---- the formulas in numpy -------------------------------------------------------------------

Array = np.ndarray


class Formula:
    """The network from its file's tensors, in float64."""

    def __init__(self, state: State) -> None:
        self.w = {key: tensor.double().numpy() for key, tensor in state.items()}

    def norm(self, x: Array, key: str) -> Array:
        """(N, C, ..) by C."""
        w, tail = self.w, (1,) * (x.ndim - 2)
        scale = w[f"{key}.weight"] / np.sqrt(w[f"{key}.running_var"] + 1e-5)
        shift = w[f"{key}.bias"] - scale * w[f"{key}.running_mean"]
        return x * scale.reshape(-1, *tail) + shift.reshape(-1, *tail)

    def conv(self, x: Array, key: str, stride: int = 1, dilation: int = 1) -> Array:
        """Along T, as long as before but for the stride."""
        weight, bias = self.w[f"{key}.weight"], self.w[f"{key}.bias"]
        taps, frames = weight.shape[2], x.shape[2]
        reach = dilation * (taps - 1) // 2
        padded = np.pad(x, ((0, 0), (0, 0), (reach, reach), (0, 0)))
        y = bias.reshape(1, -1, 1, 1)
        for tap in range(taps):
            moved = padded[:, :, tap * dilation : tap * dilation + frames : stride]
            y = y + np.einsum("oc,nctv->notv", weight[:, :, tap, 0], moved)
        return y

    def scales(self, x: Array, here: str) -> Array:
        channels, total = x.shape[1], 0.0
        weight = self.w[f"{here}.mlp.layers.0.weight"][:, :, 0, 0]
        graphs = self.w[f"{here}.A"] + self.w[f"{here}.PA"]
        for scale, graph in enumerate(graphs):
            own = weight[:, scale * channels : (scale + 1) * channels]
            total = total + np.einsum("oc,nctv->notv", own, x @ graph)
        total = total + self.w[f"{here}.mlp.layers.0.bias"].reshape(1, -1, 1, 1)
        return np.maximum(self.norm(total, f"{here}.mlp.layers.1"), 0)

    def space_time(self, x: Array, here: str, stride: int) -> Array:
        weight, bias = self.w[f"{here}.out_conv.weight"], self.w[f"{here}.out_conv.bias"]
        n, c, frames, v = x.shape
        window = weight.shape[3]
        cut = np.zeros((n, c, len(range(0, frames, stride)), window, v))
        for number, middle in enumerate(range(0, frames, stride)):
            for j in range(window):
                frame = middle + j - window // 2
                if 0 <= frame < frames:
                    cut[:, :, number, j] = x[:, :, frame]
        y = self.scales(cut.reshape(n, c, -1, window * v), f"{here}.gcn3d.1")
        y = y.reshape(n, -1, cut.shape[2], window, v)
        y = np.einsum("ocj,nctjv->notv", weight[:, :, 0, :, 0], y) + bias.reshape(1, -1, 1, 1)
        return self.norm(y, f"{here}.out_bn")

    def temporal(self, x: Array, here: str, stride: int = 1) -> Array:
        """Without the ReLU at its end."""
        parts = []
        for index in range(6):
            at = f"{here}.branches.{index}"
            if index == 5:
                parts.append(self.norm(self.conv(x, f"{at}.0", stride), f"{at}.1"))
                continue
            y = np.maximum(self.norm(self.conv(x, f"{at}.0"), f"{at}.1"), 0)
            if index < 4:
                y = self.conv(y, f"{at}.3.conv", stride, dilation=index + 1)
                parts.append(self.norm(y, f"{at}.3.bn"))
                continue
            edge = np.full_like(y[:, :, :1], -np.inf)
            wide, frames = np.concatenate([edge, y, edge], axis=2), y.shape[2]
            y = np.stack([wide[:, :, i : i + frames] for i in range(3)]).max(axis=0)
            parts.append(self.norm(y[:, :, ::stride], f"{at}.4"))
        if f"{here}.residual.conv.weight" in self.w:
            x = self.norm(self.conv(x, f"{here}.residual.conv", stride), f"{here}.residual.bn")
        return np.concatenate(parts, axis=1) + x

    def logits(self, x: Array, head: str) -> Array:
        n, m, t, v, c = x.shape
        x = self.norm(x.transpose(0, 1, 3, 4, 2).reshape(n, m * v * c, t), "backbone.data_bn")
        x = x.reshape(n * m, v, c, t).transpose(0, 2, 3, 1)
        for index, stride in enumerate(STRIDES, start=1):
            here = f"backbone.sgcn{index}"
            y = np.maximum(self.temporal(self.scales(x, f"{here}.0"), f"{here}.1", stride), 0)
            y = self.temporal(y, f"{here}.2")
            for window in range(len(WINDOWS)):
                y = y + self.space_time(x, f"backbone.gcn3d{index}.gcn3d.{window}", stride)
            x = np.maximum(self.temporal(np.maximum(y, 0), f"backbone.tcn{index}"), 0)
        pooled = x.mean(axis=(2, 3)).reshape(n, m, -1).mean(axis=1)
        return pooled @ self.w[f"{head}.weight"].T + self.w[f"{head}.bias"]


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("persons", [1, 2])
def test_the_reference_form_is_the_formula(tmp_path: Path, name: str, persons: int) -> None:
    state = msg3d(HEADS[name], persons=persons)
    found = load(tmp_path, state)
    assert found.codebase.name == name
    batch = inputs(found, InputShape(2, persons, 9))
    wanted = Formula(state).logits(batch[0].double().numpy(), HEADS[name])
    assert error(truth(found, batch), wanted) < 1e-12
    assert np.abs(wanted).max() > 0.1


# ---- deploy forms ----------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "persons", "frames"), [(1, 2, 9), (2, 1, 4)])
@pytest.mark.parametrize("form", FORMS)
def test_deploy_forms_are_the_reference_form(
    tmp_path: Path, form: str, batch: int, persons: int, frames: int
) -> None:
    found = load(tmp_path, msg3d(persons=persons), frames=frames)
    shape = InputShape(batch, persons, frames)
    clip = inputs(found, shape)
    wanted = truth(found, clip)
    assert error(logits(deployed(found, form, shape), clip), wanted) < TOLERANCE
    options = ExportOptions(batch=batch)
    (got,) = in_onnxruntime(found, form, tmp_path / "m.onnx", options, clip)
    assert error(got, wanted) < TOLERANCE


@pytest.mark.parametrize("dynamic", ["N", "T", "NT"])
@pytest.mark.parametrize("form", FORMS)
def test_open_axes_stay_open(tmp_path: Path, form: str, dynamic: str) -> None:
    found = load(tmp_path, msg3d())
    batches = [
        inputs(found, InputShape(n if "N" in dynamic else 1, 2, t if "T" in dynamic else 9))
        for n, t in ((1, 9), (3, 14))
    ]
    options = ExportOptions(dynamic=frozenset(dynamic))
    got = in_onnxruntime(found, form, tmp_path / "m.onnx", options, *batches)
    for answer, clip in zip(got, batches, strict=True):
        assert error(answer, truth(found, clip)) < TOLERANCE


def test_persons_cannot_be_open(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="2 persons"):
        input_shape(load(tmp_path, msg3d()), ExportOptions(dynamic=frozenset("M")))


@pytest.mark.parametrize("form", ["aggregate", "matmul"])
def test_forms_without_einsum_are_written_at_opset_11(tmp_path: Path, form: str) -> None:
    found = load(tmp_path, msg3d())
    clip = inputs(found, InputShape(1, 2, 9))
    (got,) = in_onnxruntime(found, form, tmp_path / "m.onnx", ExportOptions(opset=11), clip)
    assert error(got, truth(found, clip)) < TOLERANCE


def test_both_orders_of_the_product_are_used(tmp_path: Path) -> None:
    """Channels first where windows overlap enough; the tests above so cover both."""
    found = load(tmp_path, msg3d())

    def direct(form: str, shape: InputShape) -> list[list[bool]]:
        stages = [m for m in deployed(found, form, shape).modules() if isinstance(m, DeployStage)]
        paths = [[m for m in one.windows if isinstance(m, DeployWindow)] for one in stages]
        return [[isinstance(path.graph, ChannelsFirst) for path in one] for one in paths]

    fixed = InputShape(1, 2, 9)
    assert direct("aggregate", fixed) == [[False, False], [False, True]]
    assert direct("matmul", fixed) == direct("aggregate", fixed)
    for form, shape in (("einsum", fixed), ("aggregate", InputShape(1, 2, 9, frozenset("T")))):
        assert not any(map(any, direct(form, shape)))


@pytest.mark.parametrize(
    "key",
    [
        "backbone.data_bn.weight",
        "backbone.sgcn2.0.A",
        "backbone.sgcn2.0.PA",
        "backbone.sgcn2.0.mlp.layers.0.weight",
        "backbone.sgcn1.0.mlp.layers.1.bias",
        "backbone.sgcn1.1.branches.1.3.conv.weight",
        "backbone.sgcn2.1.branches.4.4.weight",
        "backbone.sgcn2.1.residual.conv.weight",
        "backbone.sgcn2.2.branches.5.1.weight",
        "backbone.gcn3d1.gcn3d.0.gcn3d.1.PA",
        "backbone.gcn3d2.gcn3d.1.gcn3d.1.A",
        "backbone.gcn3d2.gcn3d.1.gcn3d.1.PA",
        "backbone.gcn3d2.gcn3d.1.gcn3d.1.mlp.layers.0.bias",
        "backbone.gcn3d2.gcn3d.0.gcn3d.1.mlp.layers.0.weight",
        "backbone.gcn3d2.gcn3d.0.out_conv.weight",
        "backbone.gcn3d2.gcn3d.1.out_bn.running_mean",
        "backbone.tcn2.branches.0.0.weight",
    ],
)
def test_one_percent_of_one_tensor_is_seen(tmp_path: Path, key: str) -> None:
    state = msg3d()
    found, changed = load(tmp_path, state), load(tmp_path, nudged(state, key))
    shape = InputShape(1, 2, 9)
    clip = inputs(found, shape)
    wanted = truth(found, clip)
    assert error(logits(deployed(found, "aggregate", shape), clip), wanted) < 3e-6
    assert error(logits(deployed(changed, "aggregate", shape), clip), wanted) > 1e-5


# ---- recognition -----------------------------------------------------------------------------


def test_what_is_read_from_the_file(tmp_path: Path) -> None:
    found = load(tmp_path, msg3d())
    spec = found.spec
    assert (spec.num_joints, spec.num_subsets, spec.num_persons) == (V, SCALES, 2)
    assert [block.stride for block in spec.blocks] == list(STRIDES)
    assert [(s.in_channels, s.hidden, s.out_channels) for s in spec.blocks] == [
        (3, 12, 12), (12, 12, 24)
    ]  # fmt: skip
    assert [(w.window, w.hidden, w.scales) for s in spec.blocks for w in s.windows] == [
        (3, 12, 2), (5, 12, 2), (3, 12, 2), (5, 12, 2)
    ]  # fmt: skip
    first, second = spec.blocks[1].temporal
    assert (first.residual, first.relu) == ("conv", True)
    assert (second.residual, second.relu) == ("identity", False)
    assert [(b.kind, b.kernel, b.dilation, b.after_bn) for b in first.branches] == [
        *(("conv", 3, dilation, True) for dilation in (1, 2, 3, 4)),
        ("max", 3, 1, True), ("1x1", 1, 1, True),
    ]  # fmt: skip
    facts = {fact.name: (fact.value, fact.origin) for fact in found.facts}
    assert facts["windows"] == (WINDOWS, "file")
    assert facts["strides"] == (STRIDES, "assumed")
    assert facts["persons (M)"][0] == 2


def test_strides_given_by_the_user_reach_every_path(tmp_path: Path) -> None:
    found = load(tmp_path, msg3d(), strides=(1, 1))
    shape = InputShape(1, 2, 9)
    clip = inputs(found, shape)
    wanted = truth(found, clip)
    assert error(logits(deployed(found, "aggregate", shape), clip), wanted) < TOLERANCE
    assert error(truth(load(tmp_path, msg3d()), clip), wanted) > 1e-3


def test_the_first_scale_with_neighbours_names_the_layout(tmp_path: Path) -> None:
    state = msg3d(joints=17)
    graph = build(LAYOUTS["coco17"], "uniform", edge_set="pyskl").astype(np.float32)
    state["backbone.sgcn1.0.A"][1] = torch.from_numpy(graph[0])
    match = load(tmp_path, state).match
    assert match is not None
    assert (match.layout.name, match.edge_set.name, match.exact) == ("coco17", "pyskl", True)


def test_a_key_too_many_or_too_few_is_refused_by_name(tmp_path: Path) -> None:
    state = msg3d()
    embedded = "backbone.gcn3d2.gcn3d.0.in1x1.layers.0.weight"
    with pytest.raises(KeyMismatchError, match="in1x1"):
        load(tmp_path, state | {embedded: torch.zeros(12, 12, 1, 1)})
    less = {key: tensor for key, tensor in state.items() if key != "backbone.sgcn2.0.PA"}
    with pytest.raises(KeyMismatchError, match=r"sgcn2\.0\.PA"):
        load(tmp_path, less)


def test_a_data_bn_of_another_size_is_refused(tmp_path: Path) -> None:
    state = msg3d() | Draw(9).norm("backbone.data_bn", 16)
    with pytest.raises(CheckpointError, match="V\\*C"):
        load(tmp_path, state)


# ---- cost ------------------------------------------------------------------------------------


def test_macs_of_one_stage_by_hand() -> None:
    branches = (BranchSpec("conv", 4), BranchSpec("max", 2), BranchSpec("1x1", 2, kernel=1))
    grow = TemporalSpec(24, 8, "conv", branches)
    keep = TemporalSpec(8, 8, "identity", branches)
    stage = StageSpec(24, 8, 2, 24, 3, (WindowSpec(5, 24, 2),), (grow, keep), keep)
    spec = NetworkSpec("msg3d", "NMTVC", 24, 5, 3, 7, (stage,))
    t, after, v, u = 10, 5, 5, 25
    graph = 3 * 24 * t * v * (v + 24)
    windows = 2 * 24 * after * u * (u + 24)
    collapse = 5 * 24 * 8 * after * v
    first = v * (24 * 8 * after + 24 * (4 + 2) * t + 24 * 2 * after + 4 * 4 * 3 * after)
    later = v * after * (8 * 8 + 4 * 4 * 3)
    whole = graph + windows + collapse + first + 2 * later
    assert count_macs(spec, frames=t, persons=2) == 2 * whole + 8 * 7
    direct = 2 * 24 * (24 * 14 * v + after * u * u)
    saved = count_macs(spec, frames=t, persons=2, aggregate=True)
    assert saved == 2 * (whole - windows + direct) + 8 * 7
