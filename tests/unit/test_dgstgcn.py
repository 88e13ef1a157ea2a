"""DG-STGCN against its formulas in numpy, and its deploy forms against the reference form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import CLASSES, Draw, State, pyskl, save
from faithful import TOLERANCE, deployed, error, in_onnxruntime, inputs, logits, nudged, truth

from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.errors import CheckpointError, KeyMismatchError, UnrecognisedCheckpointError
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.models.dgstgcn import DynamicBlockSpec
from stgcn_deploy.models.families import FAMILIES, count_macs
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import BranchSpec, NetworkSpec

# No strategy makes eight subsets: this graph is learned from nothing.
K, H, V = 8, 2, 5
WIDTHS, STRIDES = (12, 12, 18), (1, 1, 2)
FORMS = FAMILIES["dgstgcn"].graph_forms


# ---- files as PYSKL writes them --------------------------------------------------------------


def _norm(draw: Draw, key: str, features: int) -> State:
    """Scales of both signs: a pool does not commute with a negative one."""
    return draw.norm(key, features) | {f"{key}.weight": draw.uniform(features, low=-1.5)}


def _temporal(draw: Draw, here: str, width: int, temporal: str, extra: int, joints: int) -> State:
    if temporal == "plain":
        return draw.conv(f"{here}.conv", width, width, 9) | _norm(draw, f"{here}.bn", width)
    state: State = {}
    if temporal == "mean":
        state[f"{here}.add_coeff"] = draw.normal(joints + extra, scale=0.5)
    mid = width // 6
    for index, size in enumerate([width - 5 * mid, *[mid] * 5]):
        at = f"{here}.branches.{index}"
        if index == 5:
            state |= draw.conv(at, size, width)
            continue
        state |= draw.conv(f"{at}.0", size, width) | _norm(draw, f"{at}.1", size)
        if index < 4:
            state |= draw.conv(f"{at}.3.conv", size, size, 3)
    state |= _norm(draw, f"{here}.transform.0", width)
    return state | draw.conv(f"{here}.transform.2", width, width) | _norm(draw, f"{here}.bn", width)


def dgstgcn(
    *,
    joints: int = V,
    subset_wise: bool = False,
    temporal: str = "mean",
    extra: int = 0,
    persons: int = 0,
    seed: int = 0,
) -> State:
    """PYSKL's DGSTGCN.  `persons`: 0 for a data_bn that they share; `extra`: unused coefficients."""
    draw = Draw(seed)
    state = draw.norm("backbone.data_bn", max(persons, 1) * joints * 3)
    before, wide = 3, K * H
    for index, width in enumerate(WIDTHS):
        here = f"backbone.gcn.{index}"
        state[f"{here}.gcn.A"] = draw.normal(K, joints, joints, scale=0.5)
        for name in ("alpha", "beta"):
            state[f"{here}.gcn.{name}"] = draw.uniform(K)
            if not subset_wise:
                state[f"{here}.gcn.{name}"][1:] = 0
        state |= draw.conv(f"{here}.gcn.pre.0", wide, before)
        state |= _norm(draw, f"{here}.gcn.pre.1", wide)
        for name in ("conv1", "conv2"):
            state |= draw.conv(f"{here}.gcn.{name}", wide, before)
        state |= draw.conv(f"{here}.gcn.post", width, wide) | _norm(draw, f"{here}.gcn.bn", width)
        if before != width:
            state |= draw.conv(f"{here}.gcn.down.0", width, before)
            state |= _norm(draw, f"{here}.gcn.down.1", width)
        state |= _temporal(draw, f"{here}.tcn", width, temporal, extra, joints)
        if index and before != width:
            state |= draw.conv(f"{here}.residual.conv", width, before)
            state |= _norm(draw, f"{here}.residual.bn", width)
        before = width
    return state | {
        "cls_head.fc_cls.weight": draw.normal(CLASSES, before, scale=0.5),
        "cls_head.fc_cls.bias": draw.normal(CLASSES),
    }


VARIANTS: dict[str, dict[str, Any]] = {
    "published": {},
    "subset-wise": {"subset_wise": True, "seed": 1},
    "more coefficients than joints": {"extra": 3, "seed": 2},
    "no mean joint": {"temporal": "branches", "seed": 3},
    "plain temporal convolution": {"temporal": "plain", "seed": 4},
    "data_bn by person": {"persons": 2, "seed": 5},
}


def load(folder: Path, state: State, **hints: Any) -> LoadedCheckpoint:
    return load_checkpoint(save(state, folder / "dg.pt"), Hints(**({"frames": 9} | hints)))


# ---- the formulas in numpy -------------------------------------------------------------------

Array = np.ndarray


class Formula:
    """The network from its file's tensors, in float64."""

    def __init__(self, state: State, *, subset_wise: bool) -> None:
        self.w = {key: tensor.double().numpy() for key, tensor in state.items()}
        self.subset_wise = subset_wise

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

    def graph(self, x: Array, here: str, clip: int, subset: int) -> Array:
        """(H, V, V) of one clip and subset."""
        own = slice(subset * H, (subset + 1) * H)
        mean = x[clip : clip + 1].mean(axis=2, keepdims=True)
        a = self.conv(mean, f"{here}.conv1")[0, own, 0]
        b = self.conv(mean, f"{here}.conv2")[0, own, 0]
        strength = subset if self.subset_wise else 0
        alike = np.exp(a.T @ b)
        shared = self.w[f"{here}.A"][subset]
        shared = shared + self.w[f"{here}.beta"][strength] * alike / alike.sum(axis=0)
        differs = np.tanh(a[:, :, None] - b[:, None, :])
        return shared + self.w[f"{here}.alpha"][strength] * differs

    def spatial(self, x: Array, here: str) -> Array:
        p = np.maximum(self.norm(self.conv(x, f"{here}.pre.0"), f"{here}.pre.1"), 0)
        mixed = np.zeros_like(p)
        for clip in range(len(x)):
            for subset in range(K):
                own = slice(subset * H, (subset + 1) * H)
                mixed[clip, own] = p[clip, own] @ self.graph(x, here, clip, subset)
        y = self.norm(self.conv(mixed, f"{here}.post"), f"{here}.bn")
        if f"{here}.down.0.weight" in self.w:
            x = self.norm(self.conv(x, f"{here}.down.0"), f"{here}.down.1")
        return np.maximum(y + x, 0)

    def branches(self, x: Array, here: str, stride: int) -> Array:
        parts = []
        for index in range(6):
            at = f"{here}.branches.{index}"
            if index == 5:
                parts.append(self.conv(x, at, stride))
                continue
            y = np.maximum(self.norm(self.conv(x, f"{at}.0"), f"{at}.1"), 0)
            if index < 4:
                parts.append(self.conv(y, f"{at}.3.conv", stride, dilation=index + 1))
                continue
            edge = np.full_like(y[:, :, :1], -np.inf)
            wide, frames = np.concatenate([edge, y, edge], axis=2), y.shape[2]
            y = np.stack([wide[:, :, i : i + frames] for i in range(3)]).max(axis=0)
            parts.append(y[:, :, ::stride])
        return np.concatenate(parts, axis=1)

    def temporal(self, x: Array, here: str, stride: int) -> Array:
        if f"{here}.conv.weight" in self.w:
            return self.norm(self.conv(x, f"{here}.conv", stride), f"{here}.bn")
        y = self.branches(x, here, stride)
        if f"{here}.add_coeff" in self.w:
            mean = self.branches(x.mean(axis=3, keepdims=True), here, stride)
            y = y + mean * self.w[f"{here}.add_coeff"][: x.shape[3]]
        y = np.maximum(self.norm(y, f"{here}.transform.0"), 0)
        return self.norm(self.conv(y, f"{here}.transform.2"), f"{here}.bn")

    def logits(self, x: Array) -> Array:
        n, m, t, v, c = x.shape
        x = x.transpose(0, 1, 3, 4, 2)
        by_person = len(self.w["backbone.data_bn.weight"]) > v * c
        x = x.reshape(n, m * v * c, t) if by_person else x.reshape(n * m, v * c, t)
        x = self.norm(x, "backbone.data_bn").reshape(n * m, v, c, t).transpose(0, 2, 3, 1)
        for index, stride in enumerate(STRIDES):
            here = f"backbone.gcn.{index}"
            y = self.temporal(self.spatial(x, f"{here}.gcn"), f"{here}.tcn", stride)
            if f"{here}.residual.conv.weight" in self.w:
                y = y + self.norm(
                    self.conv(x, f"{here}.residual.conv", stride), f"{here}.residual.bn"
                )
            elif index:
                y = y + x
            x = np.maximum(y, 0)
        pooled = x.mean(axis=(2, 3)).reshape(n, m, -1).mean(axis=1)
        return pooled @ self.w["cls_head.fc_cls.weight"].T + self.w["cls_head.fc_cls.bias"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_reference_form_is_the_formula(tmp_path: Path, variant: str) -> None:
    state = dgstgcn(**VARIANTS[variant])
    found = load(tmp_path, state)
    batch = inputs(found, InputShape(2, 2, 9))
    formula = Formula(state, subset_wise=variant == "subset-wise")
    wanted = formula.logits(batch[0].double().numpy())
    assert error(truth(found, batch), wanted) < 1e-12
    assert np.abs(wanted).max() > 0.1


# ---- deploy forms ----------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "persons", "frames"), [(1, 1, 9), (2, 2, 8), (3, 1, 4)])
@pytest.mark.parametrize("form", FORMS)
def test_deploy_forms_are_the_reference_form(
    tmp_path: Path, form: str, batch: int, persons: int, frames: int
) -> None:
    found = load(tmp_path, dgstgcn(), persons=persons, frames=frames)
    shape = InputShape(batch, persons, frames)
    clip = inputs(found, shape)
    wanted = truth(found, clip)
    assert error(logits(deployed(found, form, shape), clip), wanted) < TOLERANCE
    options = ExportOptions(batch=batch)
    (got,) = in_onnxruntime(found, form, tmp_path / "m.onnx", options, clip)
    assert error(got, wanted) < TOLERANCE


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_a_deploy_form(tmp_path: Path, variant: str) -> None:
    found = load(tmp_path, dgstgcn(**VARIANTS[variant]))
    shape = InputShape(2, 2, 9)
    clip = inputs(found, shape)
    for form in FORMS:
        got = logits(deployed(found, form, shape), clip)
        assert error(got, truth(found, clip)) < TOLERANCE


@pytest.mark.parametrize("dynamic", ["N", "T", "M", "NTM"])
def test_open_axes_stay_open(tmp_path: Path, dynamic: str) -> None:
    found = load(tmp_path, dgstgcn())
    given = {"N": (1, 3), "M": (2, 1), "T": (9, 14)}
    kept = {"N": 1, "M": 2, "T": 9}
    batches = []
    for turn in range(2):
        sizes = {axis: given[axis][turn] if axis in dynamic else kept[axis] for axis in "NMT"}
        batches.append(inputs(found, InputShape(sizes["N"], sizes["M"], sizes["T"])))
    options = ExportOptions(dynamic=frozenset(dynamic))
    got = in_onnxruntime(found, "matmul", tmp_path / "m.onnx", options, *batches)
    for answer, clip in zip(got, batches, strict=True):
        assert error(answer, truth(found, clip)) < TOLERANCE


def test_the_matmul_form_is_written_at_opset_11(tmp_path: Path) -> None:
    found = load(tmp_path, dgstgcn())
    clip = inputs(found, InputShape(1, 2, 9))
    (got,) = in_onnxruntime(found, "matmul", tmp_path / "m.onnx", ExportOptions(opset=11), clip)
    assert error(got, truth(found, clip)) < TOLERANCE


@pytest.mark.parametrize(
    "key",
    [
        "backbone.data_bn.weight",
        *(
            f"backbone.gcn.1.{part}"
            for part in (
                "gcn.A",
                "gcn.alpha",
                "gcn.beta",
                "gcn.pre.0.weight",
                "gcn.pre.1.running_var",
                "gcn.conv1.weight",
                "gcn.conv2.weight",
                "gcn.post.weight",
                "gcn.bn.bias",
                "tcn.add_coeff",
                "tcn.branches.0.3.conv.weight",
                "tcn.branches.4.1.weight",
                "tcn.branches.5.weight",
                "tcn.transform.0.bias",
                "tcn.transform.0.weight",
            )
        ),
        "backbone.gcn.2.gcn.down.0.weight",
        "backbone.gcn.2.residual.bn.weight",
    ],
)
def test_one_percent_of_one_tensor_is_seen(tmp_path: Path, key: str) -> None:
    state = dgstgcn()
    found, changed = load(tmp_path, state), load(tmp_path, nudged(state, key))
    shape = InputShape(1, 2, 9)
    clip = inputs(found, shape)
    wanted = truth(found, clip)
    assert error(logits(deployed(found, "matmul", shape), clip), wanted) < 3e-6
    assert error(logits(deployed(changed, "matmul", shape), clip), wanted) > 1e-5


def test_what_no_network_uses_plays_no_part(tmp_path: Path) -> None:
    """Coefficients beyond V, and strengths of later subsets where the first is that of all."""
    state = dgstgcn(extra=3)
    other = {key: tensor.clone() for key, tensor in state.items()}
    other["backbone.gcn.1.tcn.add_coeff"][V:] += 5
    other["backbone.gcn.1.gcn.alpha"][2] = 0.7
    clip = inputs(load(tmp_path, state), InputShape(1, 2, 9))
    first, second = (truth(load(tmp_path, one), clip) for one in (state, other))
    assert np.array_equal(first, second)


# ---- recognition -----------------------------------------------------------------------------


def test_what_is_read_from_the_file(tmp_path: Path) -> None:
    found = load(tmp_path, dgstgcn())
    spec = found.spec
    assert found.codebase.name == "pyskl-dgstgcn"
    assert (spec.num_joints, spec.num_subsets, spec.num_persons) == (V, K, None)
    assert [block.stride for block in spec.blocks] == list(STRIDES)
    assert [(b.residual, b.graph_residual) for b in spec.blocks] == [
        ("none", "conv"), ("identity", "identity"), ("conv", "conv")
    ]  # fmt: skip
    first = spec.blocks[0]
    assert (first.hidden, first.coefficients, first.subset_wise) == (H, V, False)
    assert [(b.kind, b.kernel, b.dilation) for b in first.branches] == [
        ("conv", 3, 1), ("conv", 3, 2), ("conv", 3, 3), ("conv", 3, 4), ("max", 3, 1), ("1x1", 1, 1)
    ]  # fmt: skip
    facts = {fact.name: (fact.value, fact.origin) for fact in found.facts}
    assert facts["strengths by subset"] == (False, "assumed")
    assert facts["dilations"] == ((1, 2, 3, 4), "assumed")


def test_strengths_by_subset_show_in_their_values(tmp_path: Path) -> None:
    found = load(tmp_path, dgstgcn(subset_wise=True))
    assert all(block.subset_wise for block in found.spec.blocks)


def test_the_layout_is_known_by_v_alone(tmp_path: Path) -> None:
    found = load(tmp_path, dgstgcn(joints=25))
    assert found.match is not None
    assert not found.match.exact
    assert found.match.layout.num_joints == 25
    assert str(found.match).startswith("probably ntu25")
    assert "openpose25" in str(found.match)


def test_st_gcn_plus_plus_is_another_codebase(tmp_path: Path) -> None:
    """The same temporal keys; what differs is the graph convolution."""
    state = pyskl(widths=(12, 12, 18), adjacency="plain", graph_residual=True, branches=True)
    assert load(tmp_path, state).codebase.name == "pyskl"


def test_a_key_too_many_or_too_few_is_refused_by_name(tmp_path: Path) -> None:
    state = dgstgcn()
    with pytest.raises(KeyMismatchError, match=r"gcn\.1\.gcn\.extra"):
        load(tmp_path, state | {"backbone.gcn.1.gcn.extra": torch.zeros(3)})
    less = {key: tensor for key, tensor in state.items() if key != "backbone.gcn.2.gcn.beta"}
    with pytest.raises(KeyMismatchError, match=r"gcn\.2\.gcn\.beta"):
        load(tmp_path, less)
    headless = {key: tensor for key, tensor in state.items() if "cls_head" not in key}
    with pytest.raises(UnrecognisedCheckpointError):
        load(tmp_path, headless)


def test_a_data_bn_of_another_size_is_refused(tmp_path: Path) -> None:
    state = dgstgcn() | Draw(9).norm("backbone.data_bn", 16)
    with pytest.raises(CheckpointError, match="V\\*C"):
        load(tmp_path, state)


# ---- cost ------------------------------------------------------------------------------------


def test_macs_of_one_block_by_hand() -> None:
    branches = (BranchSpec("conv", 4), BranchSpec("max", 2), BranchSpec("1x1", 2, kernel=1))
    block = DynamicBlockSpec(
        6, 8, stride=2, residual="conv", graph_residual="conv", branches=branches,
        hidden=4, coefficients=5,
    )  # fmt: skip
    spec = NetworkSpec("dgstgcn", "NMTVC", 6, 5, 3, 7, (block,))
    t, v, wide = 10, 5, 12
    graph = t * v * (6 * wide + wide * v + wide * 8 + 6 * 8) + 2 * 6 * wide * v + wide * v * v
    temporal = (v + 1) * (8 * (4 + 2) * t + 8 * 2 * 5 + 4 * 4 * 3 * 5) + v * 8 * 8 * 5
    residual = 6 * 8 * 5 * v
    assert count_macs(spec, frames=t, persons=2) == 2 * (graph + temporal + residual) + 8 * 7
