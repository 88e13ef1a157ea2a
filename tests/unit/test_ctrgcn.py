"""CTR-GCN in both of its meanings, and its baseline, against the formulas in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import Draw, State, save
from ctrfiles import NAMES, NETWORKS, STRIDES, K, Names, V, baseline, ctrgcn
from faithful import TOLERANCE, deployed, error, in_onnxruntime, inputs, logits, nudged, truth

from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.errors import (
    KeyMismatchError,
    UnrecognisedCheckpointError,
    UnsupportedCheckpointError,
    UsageError,
)
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.models.ctrgcn import CtrBlockSpec
from stgcn_deploy.models.families import FAMILIES, count_macs
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import BranchSpec, NetworkSpec

EVERY_FORM = [
    (name, form)
    for name, family in (
        ("ctr-gcn", "ctrgcn"),
        ("pyskl-ctrgcn", "ctrgcn"),
        ("ctr-gcn-baseline", "ctrgcn-baseline"),
    )
    for form in FAMILIES[family].graph_forms
]


def load(folder: Path, state: State, **hints: Any) -> LoadedCheckpoint:
    return load_checkpoint(save(state, folder / "ctr.pt"), Hints(**({"frames": 9} | hints)))


def some(folder: Path, name: str, *, persons: int = 2, **hints: Any) -> LoadedCheckpoint:
    return load(folder, NETWORKS[name](persons=persons), **hints)


# ---- the formulas in numpy -------------------------------------------------------------------

Array = np.ndarray


class Formula:
    """A network from its file's tensors, in float64 and from the papers' formulas."""

    def __init__(self, state: State, names: Names) -> None:
        self.w = {key: tensor.double().numpy() for key, tensor in state.items()}
        self.names = names

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

    def refined(self, x: Array, here: str) -> Array:
        total = 0.0
        for k in range(K):
            at = f"{here}.convs.{k}"
            a = self.conv(x, f"{at}.conv1").mean(axis=2)
            b = self.conv(x, f"{at}.conv2").mean(axis=2)
            relation = np.tanh(a[:, :, :, None] - b[:, :, None, :])
            graph = self.w[f"{here}.alpha"] * self.conv(relation, f"{at}.conv4")
            graph = graph + self.w[f"{here}.{self.names.graph}"][k]
            value = self.conv(x, f"{at}.conv3")
            if self.names.target == "row":
                graph = graph.transpose(0, 1, 3, 2)
            total = total + value @ graph
        return total

    def normalised(self, x: Array, here: str) -> Array:
        total = 0.0
        for k, graph in enumerate(self.w[f"{here}.PA"]):
            mixed = np.zeros_like(x)
            for target in range(graph.shape[1]):
                column = graph[:, target] / (np.linalg.norm(graph[:, target]) + 1e-4)
                mixed[..., target] = x @ column
            total = total + self.conv(mixed, f"{here}.conv_d.{k}")
        return total

    def spatial(self, x: Array, here: str) -> Array:
        mix = self.refined if f"{here}.alpha" in self.w else self.normalised
        y = self.norm(mix(x, here), f"{here}.bn")
        if f"{here}.down.0.weight" in self.w:
            x = self.norm(self.conv(x, f"{here}.down.0"), f"{here}.down.1")
        return np.maximum(y + x, 0)

    def temporal(self, x: Array, here: str, stride: int) -> Array:
        if f"{here}.conv.weight" in self.w:
            return self.norm(self.conv(x, f"{here}.conv", stride), f"{here}.bn")
        parts = []
        for index in range(4):
            at = f"{here}.branches.{index}"
            if index == 3:
                parts.append(self.norm(self.conv(x, f"{at}.0", stride), f"{at}.1"))
                continue
            y = np.maximum(self.norm(self.conv(x, f"{at}.0"), f"{at}.1"), 0)
            if index == 2:
                edge = np.full_like(y[:, :, :1], -np.inf)
                wide, frames = np.concatenate([edge, y, edge], axis=2), y.shape[2]
                y = np.stack([wide[:, :, i : i + frames] for i in range(3)]).max(axis=0)
                parts.append(self.norm(y[:, :, ::stride], f"{at}.4"))
            else:
                y = self.conv(y, f"{at}.3.conv", stride, dilation=index + 1)
                parts.append(self.norm(y, f"{at}.3.bn"))
        joined = np.concatenate(parts, axis=1)
        return np.maximum(joined, 0) if self.names.relu_after_branches else joined

    def logits(self, x: Array) -> Array:
        names = self.names
        x = x.transpose([names.axes.index(axis) for axis in "NMVCT"])
        n, m, v, c, t = x.shape
        x = self.norm(x.reshape(n, m * v * c, t), names.data_bn)
        x = x.reshape(n * m, v, c, t).transpose(0, 2, 3, 1)
        for index, stride in enumerate(STRIDES):
            here = names.at(index)
            y = self.temporal(self.spatial(x, f"{here}.gcn1"), f"{here}.tcn1", stride)
            if f"{here}.residual.conv.weight" in self.w:
                y = y + self.norm(
                    self.conv(x, f"{here}.residual.conv", stride), f"{here}.residual.bn"
                )
            elif index:
                y = y + x
            x = np.maximum(y, 0)
        pooled = x.mean(axis=(2, 3)).reshape(n, m, -1).mean(axis=1)
        return pooled @ self.w[f"{names.head}.weight"].T + self.w[f"{names.head}.bias"]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_reference_form_is_the_formula(tmp_path: Path, name: str) -> None:
    state = NETWORKS[name]()
    found = load(tmp_path, state)
    batch = inputs(found, InputShape(2, 2, 9))
    wanted = Formula(state, NAMES[name]).logits(batch[0].double().numpy())
    assert error(truth(found, batch), wanted) < 1e-12
    assert np.abs(wanted).max() > 0.1


# ---- deploy forms ----------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "persons", "frames"), [(1, 2, 9), (2, 1, 8), (3, 2, 4)])
@pytest.mark.parametrize(("name", "form"), EVERY_FORM)
def test_deploy_forms_are_the_reference_form(
    tmp_path: Path, name: str, form: str, batch: int, persons: int, frames: int
) -> None:
    found = some(tmp_path, name, persons=persons, frames=frames)
    shape = InputShape(batch, persons, frames)
    clip = inputs(found, shape)
    wanted = truth(found, clip)
    assert error(logits(deployed(found, form, shape), clip), wanted) < TOLERANCE
    options = ExportOptions(batch=batch)
    (got,) = in_onnxruntime(found, form, tmp_path / "m.onnx", options, clip)
    assert error(got, wanted) < TOLERANCE


@pytest.mark.parametrize("dynamic", ["N", "T", "NT"])
@pytest.mark.parametrize(
    ("name", "form"),
    [("ctr-gcn", "matmul"), ("pyskl-ctrgcn", "einsum"), ("ctr-gcn-baseline", "aggregate")],
)
def test_open_axes_stay_open(tmp_path: Path, name: str, form: str, dynamic: str) -> None:
    found = some(tmp_path, name)
    batches = [
        inputs(found, InputShape(n if "N" in dynamic else 1, 2, t if "T" in dynamic else 9))
        for n, t in ((1, 9), (3, 14))
    ]
    options = ExportOptions(dynamic=frozenset(dynamic))
    for got, clip in zip(
        in_onnxruntime(found, form, tmp_path / "m.onnx", options, *batches), batches, strict=True
    ):
        assert error(got, truth(found, clip)) < TOLERANCE


def test_the_matmul_form_is_written_at_opset_11(tmp_path: Path) -> None:
    found = some(tmp_path, "ctr-gcn")
    clip = inputs(found, InputShape(1, 2, 9))
    options = ExportOptions(opset=11)
    (got,) = in_onnxruntime(found, "matmul", tmp_path / "m.onnx", options, clip)
    assert error(got, truth(found, clip)) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *(
            (name, f"{here}.{part}")
            for name, here in (("ctr-gcn", "l2"), ("pyskl-ctrgcn", "backbone.net.1"))
            for part in (
                "gcn1.alpha",
                "gcn1.convs.0.conv1.weight",
                "gcn1.convs.1.conv2.weight",
                "gcn1.convs.2.conv3.weight",
                "gcn1.convs.0.conv4.weight",
                "gcn1.convs.1.conv4.bias",
                "gcn1.bn.bias",
                "tcn1.branches.0.3.conv.weight",
                "tcn1.branches.1.3.bn.running_var",
                "tcn1.branches.2.4.weight",
                "tcn1.branches.3.1.weight",
            )
        ),
        ("ctr-gcn", "l1.gcn1.PA"),
        ("ctr-gcn", "l3.gcn1.down.0.weight"),
        ("ctr-gcn", "data_bn.weight"),
        ("pyskl-ctrgcn", "backbone.net.0.gcn1.A"),
        ("ctr-gcn-baseline", "l2.gcn1.conv_d.1.weight"),
        ("ctr-gcn-baseline", "l2.tcn1.conv.weight"),
    ],
)
def test_one_percent_of_one_tensor_is_seen(tmp_path: Path, name: str, key: str) -> None:
    """By the parity check of a deploy form: all of them agree far below what this changes."""
    state = NETWORKS[name]()
    found, changed = load(tmp_path, state), load(tmp_path, nudged(state, key))
    shape = InputShape(1, 2, 9)
    clip = inputs(found, shape)
    form = FAMILIES[found.spec.family].graph_forms[0]
    wanted = truth(found, clip)
    assert error(logits(deployed(found, form, shape), clip), wanted) < 3e-6
    assert error(logits(deployed(changed, form, shape), clip), wanted) > 1e-5


def test_the_length_of_a_column_plays_no_part_in_the_baseline(tmp_path: Path) -> None:
    state = baseline()
    longer = state | {"l2.gcn1.PA": state["l2.gcn1.PA"] * torch.linspace(1, 3, V)}
    clip = inputs(load(tmp_path, state), InputShape(1, 2, 9))
    first, second = (truth(load(tmp_path, one), clip) for one in (state, longer))
    # What remains is the 1e-4 beside the length.
    assert error(first, second) < 1e-3
    other = state | {"l2.gcn1.PA": state["l2.gcn1.PA"] * torch.linspace(1, 3, V)[:, None]}
    assert error(first, truth(load(tmp_path, other), clip)) > 1e-2


# ---- recognition -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_each_file_is_of_one_codebase(tmp_path: Path, name: str) -> None:
    found = some(tmp_path, name)
    assert found.codebase.name == name
    assert (found.spec.num_joints, found.spec.num_subsets, found.spec.num_persons) == (V, K, 2)
    assert [block.stride for block in found.spec.blocks] == list(STRIDES)
    residuals = [(block.residual, block.graph_residual) for block in found.spec.blocks]
    assert residuals == [("none", "conv"), ("identity", "identity"), ("conv", "conv")]


def test_the_same_tensors_are_two_networks(tmp_path: Path) -> None:
    """Renaming CTR-GCN's keys to PYSKL's loads, and computes something else."""
    state = ctrgcn()
    renamed = {"backbone.A": state["l1.gcn1.PA"]}
    for key, tensor in state.items():
        layer, _, rest = key.partition(".")
        if layer == "data_bn":
            renamed[f"backbone.{key}"] = tensor
        elif layer == "fc":
            renamed[f"cls_head.fc_cls.{rest}"] = tensor
        else:
            moved = rest.replace("gcn1.PA", "gcn1.A")
            renamed[f"backbone.net.{int(layer[1:]) - 1}.{moved}"] = tensor
    ours, theirs = load(tmp_path, state), load(tmp_path, renamed)
    (clip,) = inputs(ours, InputShape(1, 2, 9))
    assert theirs.codebase.name == "pyskl-ctrgcn"
    difference = error(truth(theirs, (clip.permute(0, 4, 2, 3, 1),)), truth(ours, (clip,)))
    assert difference > 1e-2


def test_the_branches_are_read(tmp_path: Path) -> None:
    found = some(tmp_path, "ctr-gcn")
    branches = found.spec.blocks[0].branches
    assert [b.kind for b in branches] == ["conv", "conv", "max", "1x1"]
    assert [(b.kernel, b.dilation, b.after_bn) for b in branches] == [
        (5, 1, True), (5, 2, True), (3, 1, True), (1, 1, True)
    ]  # fmt: skip
    facts = {fact.name: (fact.value, fact.origin) for fact in found.facts}
    assert facts["dilations"] == ((1, 2), "assumed")


@pytest.mark.parametrize(
    ("name", "joints", "frames"),
    [
        ("ctr-gcn", 25, 64),
        ("ctr-gcn", 20, 52),
        ("ctr-gcn-baseline", 25, 64),
        ("pyskl-ctrgcn", 17, 100),
    ],
)
def test_the_usual_clip_is_the_codebases(
    tmp_path: Path, name: str, joints: int, frames: int
) -> None:
    state = NETWORKS[name](joints=joints, persons=1)
    found = load_checkpoint(save(state, tmp_path / "ctr.pt"))
    assert (found.frames, found.persons) == (frames, 1)


@pytest.mark.parametrize(("joints", "layout"), [(25, "ntu25 (st-gcn"), (20, "ucla20 (ctr-gcn")])
def test_a_baseline_shows_no_skeleton_and_takes_that_of_its_joints(
    tmp_path: Path, joints: int, layout: str
) -> None:
    found = load(tmp_path, baseline(joints=joints))
    assert str(found.match) == f"{layout} edges, inward_outward)"
    facts = {fact.name: (fact.value, fact.origin) for fact in found.facts}
    assert facts["graph"] == (f"{layout} edges)", "assumed")


def test_a_baseline_of_other_joints_has_the_graph_that_it_learned(tmp_path: Path) -> None:
    state = baseline()
    found = load(tmp_path, state)
    assert found.match is None
    assert np.array_equal(found.adjacency, state["l1.gcn1.PA"].numpy())


@pytest.mark.parametrize("extra", ["l1.gcn1.conv_a.0.weight", "l1.gcn1.conv_ta.weight"])
def test_an_adaptive_network_is_no_baseline(tmp_path: Path, extra: str) -> None:
    state = baseline() | {extra: torch.ones(2, 3, 1, 1)}
    with pytest.raises((UnrecognisedCheckpointError, KeyMismatchError)):
        load(tmp_path, state)


def test_a_network_without_its_graph_is_refused(tmp_path: Path) -> None:
    state = {key: tensor for key, tensor in ctrgcn().items() if not key.endswith("gcn1.PA")}
    with pytest.raises(UnsupportedCheckpointError, match="adaptive=False"):
        load(tmp_path, state)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_key_is_accounted_for(tmp_path: Path, name: str) -> None:
    state = NETWORKS[name]()
    here = NAMES[name].at(1)
    with pytest.raises(KeyMismatchError, match="1 unknown"):
        load(tmp_path, state | {f"{here}.gcn1.attention.weight": torch.ones(3)})
    for part in (f"{here}.gcn1.bn.bias", f"{NAMES[name].at(0)}.gcn1.bn.weight"):
        cut = {key: tensor for key, tensor in state.items() if key != part}
        with pytest.raises(KeyMismatchError, match=f"1 missing: {part}"):
            load(tmp_path, cut)


def test_a_gap_between_the_layers_is_refused(tmp_path: Path) -> None:
    state = {key: t for key, t in ctrgcn().items() if not key.startswith("l2.")}
    with pytest.raises(KeyMismatchError, match=r"unknown: l3\."):
        load(tmp_path, state)


def test_a_data_bn_of_no_whole_number_of_persons_is_refused(tmp_path: Path) -> None:
    state = ctrgcn() | Draw(0).norm("data_bn", 2 * V * 3 + 1)
    with pytest.raises(KeyMismatchError, match="multiple of V\\*C = 15"):
        load(tmp_path, state)


def test_strides_are_the_users(tmp_path: Path) -> None:
    found = some(tmp_path, "pyskl-ctrgcn", strides=(1, 1, 1))
    assert found.spec.temporal_stride == 1
    with pytest.raises(UsageError, match="strides given for 3 blocks"):
        some(tmp_path, "pyskl-ctrgcn", strides=(1, 2))


# ---- cost ------------------------------------------------------------------------------------


def _plan() -> NetworkSpec:
    """The network of the paper: NTU, 64 frames, two persons."""
    blocks = []
    before = 3
    for index, width in enumerate((64,) * 4 + (128,) * 3 + (256,) * 3):
        part = width // 4
        kinds = [BranchSpec("conv", part, 5, d, after_bn=True) for d in (1, 2)]
        others = (
            BranchSpec("max", part, 3, after_bn=True),
            BranchSpec("1x1", part, 1, after_bn=True),
        )
        blocks.append(
            CtrBlockSpec(
                in_channels=before,
                out_channels=width,
                stride=2 if index in (4, 7) else 1,
                residual="none" if index == 0 else "conv" if width != before else "identity",
                graph_residual="conv" if width != before else "identity",
                branches=(*kinds, *others),
                join="none",
                relation=8 if before == 3 else before // 8,
            )
        )
        before = width
    return NetworkSpec("ctrgcn", "NCTVM", 3, 25, 3, 60, tuple(blocks), "person", 2)


def test_macs_are_those_of_the_paper() -> None:
    """The paper states 1.97 G; counters differ in what they leave out."""
    macs = count_macs(_plan(), frames=64, persons=2)
    assert macs == pytest.approx(1.97e9, rel=0.02)
    saved = macs - count_macs(_plan(), frames=64, persons=2, aggregate=True)
    # The embeddings of every frame but one.
    assert saved == sum(
        2 * 3 * 25 * 2 * b.relation * b.in_channels * (t - 1)
        for b, t in zip(_plan().blocks, (64,) * 5 + (32,) * 3 + (16,) * 2, strict=True)
    )
