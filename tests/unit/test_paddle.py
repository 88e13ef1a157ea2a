"""PaddleVideo's networks, from .pdparams that these tests write: the same weights, the same logits."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import CLASSES, Draw, State, save, stgcn
from faithful import TOLERANCE, deployed, error, in_onnxruntime, inputs, logits, nudged, truth

from stgcn_deploy.checkpoints.accounting import Tensors
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.codebases import CODEBASES
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.checkpoints.unwrap import read_container
from stgcn_deploy.errors import (
    CheckpointError,
    FileUnreadableError,
    KeyMismatchError,
    StgcnError,
    UnsafeFileError,
    UnsupportedCheckpointError,
)
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.models.families import FAMILIES
from stgcn_deploy.models.shape import InputShape

TABLE = "StructuredToParameterName@@"
PADDLES = {"running_mean": "_mean", "running_var": "_variance"}


class Variable:
    """A tensor of Paddle as paddle.save pickles it in nested objects: (name, array)."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self.array = name, array

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return tuple, ((self.name, self.array),)


def as_paddle(state: State, head: str, *, matrix: bool) -> dict[str, np.ndarray]:
    """The names and orders of Paddle for a PyTorch state; `head` is the classifier's key.

    Args:
        matrix: whether the classifier is an nn.Linear, whose weight Paddle keeps as (in, out).
    """
    found: dict[str, np.ndarray] = {}
    for key, tensor in state.items():
        stem, _, last = key.rpartition(".")
        if last == "num_batches_tracked":
            continue
        array = tensor.numpy()
        if stem in ("fcn", "fc"):
            if last == "weight" and matrix:
                array = np.ascontiguousarray(array.reshape(array.shape[:2]).T)
            found[f"{head}.{last}"] = array
        else:
            found[f"backbone.{stem}.{PADDLES.get(last, last)}" if stem else f"backbone.{key}"] = (
                array
            )
    return found


def write(path: Path, arrays: dict[str, Any], *, protocol: int = 4, table: bool = True) -> Path:
    """A .pdparams file: the dict that paddle.save pickles, with the names of its variables."""
    content: dict[str, Any] = dict(arrays)
    if table:
        content[TABLE] = {key: f"param_{index}.w_0" for index, key in enumerate(arrays)}
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def load(path: Path, **hints: Any) -> LoadedCheckpoint:
    return load_checkpoint(path, Hints(**({"frames": 12} | hints)))


def paddle_stgcn(layout: str = "openpose25", edge_set: str = "fsd10", **options: Any) -> State:
    return stgcn(layout=layout, edge_set=edge_set, **({"channels": 2} | options))


# ---- the container ---------------------------------------------------------------------------


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    return read_container(path).tensors


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["table", "no table", "tuples", "ordered", "nested"])
def test_every_version_of_the_container_holds_the_same(
    tmp_path: Path, protocol: int, kind: str
) -> None:
    state = paddle_stgcn()
    arrays: dict[str, Any] = as_paddle(state, "head.fcn", matrix=False)
    path = tmp_path / "model.pdparams"
    if kind in ("table", "no table"):
        write(path, arrays, protocol=protocol, table=kind == "table")
    elif kind == "tuples":
        pairs = {key: Variable(f"p_{key}", array) for key, array in arrays.items()}
        write(path, pairs, protocol=protocol, table=False)
    elif kind == "ordered":
        path.write_bytes(pickle.dumps(OrderedDict(arrays), protocol))
    else:
        path.write_bytes(pickle.dumps({"epoch": 3, "state_dict": arrays}, protocol))
    found = _tensors(path)
    assert not any(key.startswith(TABLE) for key in found)
    assert set(found) == {
        key.replace("_mean", "running_mean").replace("_variance", "running_var") for key in arrays
    }
    for key in ("data_bn.running_var", "st_gcn_networks.1.tcn.2.weight", "A"):
        assert torch.equal(found[f"backbone.{key}"], state[key])


def test_a_linear_weight_is_turned_and_nothing_else(tmp_path: Path) -> None:
    linear = np.arange(12, dtype=np.float32).reshape(4, 3)
    arrays = {
        "backbone.bn._mean": np.zeros(3, np.float32),
        "head.fc.weight": linear,
        "head.fc.bias": np.ones(3, np.float32),
        "backbone.square.weight": linear.reshape(4, 3, 1, 1),
        "backbone.PA": np.ones((3, 2, 2), np.float32),
    }
    container = read_container(write(tmp_path / "a.pdparams", arrays))
    assert torch.equal(container.tensors["head.fc.weight"], torch.from_numpy(linear.T.copy()))
    assert container.tensors["backbone.square.weight"].shape == (4, 3, 1, 1)
    assert any("transposed: head.fc.weight" in step for step in container.steps)


def test_arrays_of_another_byte_order_are_read(tmp_path: Path) -> None:
    arrays = {"bn._mean": np.arange(3, dtype=">f4"), "w": np.ones((2, 3, 1, 1), ">f8")}
    found = _tensors(write(tmp_path / "a.pdparams", arrays))
    assert found["bn.running_mean"].tolist() == [0, 1, 2]
    assert found["w"].dtype == torch.float64


def test_a_parameter_in_parts_is_refused(tmp_path: Path) -> None:
    arrays = {"w@@.0": np.ones(3), "UnpackBigParamInfor@@": {"w": {"slices": ["w@@.0"]}}}
    with pytest.raises(UnsupportedCheckpointError, match="splits into parts"):
        read_container(write(tmp_path / "a.pdparams", arrays))


def test_a_pickled_dict_of_arrays_that_is_not_paddles_is_refused(tmp_path: Path) -> None:
    """Its matrices may be either way round, so guessing would be silent nonsense."""
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"fc.weight": np.ones((2, 3)), "bn.running_mean": np.ones(2)}))
    with pytest.raises(CheckpointError, match="not Paddle's"):
        read_container(path)


def test_pickled_tensors_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"A": torch.ones(2)}))
    with pytest.raises(CheckpointError, match=r"torch\.save"):
        read_container(path)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path, call: Callable[..., object]) -> None:
        self.marker, self.call = marker, call

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        if self.call is eval:  # how Paddle pickles its LoDTensor
            return eval, (f"open({str(self.marker)!r}, 'w').close()",)
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("call", [eval, os.system], ids=lambda call: call.__name__)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_file_that_would_run_code_is_refused_before_it_does(
    tmp_path: Path, call: Callable[..., object], protocol: int
) -> None:
    arrays: dict[str, Any] = as_paddle(paddle_stgcn(), "head.fcn", matrix=False)
    marker = tmp_path / "ran"
    path = write(tmp_path / "a.pdparams", arrays | {"x": Bomb(marker, call)}, protocol=protocol)
    with pytest.raises(UnsafeFileError, match=r"a\.pdparams.*could run code"):
        read_container(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()


@pytest.mark.parametrize("share", [0.001, 0.3, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "cut.pdparams", as_paddle(paddle_stgcn(), "head.fcn", matrix=False))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FileUnreadableError, match=r"cut\.pdparams"):
        read_container(path)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_bytes_never_give_another_kind_of_error(tmp_path: Path, seed: int) -> None:
    arrays = {"bn._mean": np.zeros(3, np.float32), "w.weight": np.ones((2, 3), np.float32)}
    path = write(tmp_path / "damaged.pdparams", arrays, protocol=2 + seed % 3)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(data), size=4):
        data[place] = int(rng.integers(0, 256))
    path.write_bytes(data)
    try:
        read_container(path)
    except StgcnError:
        return


def test_a_dict_that_holds_itself_is_refused(tmp_path: Path) -> None:
    loop: dict[str, Any] = {"epoch": 1}
    loop["state_dict"] = loop
    path = tmp_path / "loop.pdparams"
    path.write_bytes(pickle.dumps(loop))
    with pytest.raises(CheckpointError, match=r"loop\.pdparams"):
        read_container(path)


# ---- ST-GCN ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "edge_set", "frames", "persons"),
    [("openpose25", "fsd10", 350, 1), ("coco17", "paddle", 50, 1), ("ntu25", "st-gcn", 300, 2)],
)
def test_stgcn_is_the_network_of_st_gcn(
    tmp_path: Path, layout: str, edge_set: str, frames: int, persons: int
) -> None:
    state = paddle_stgcn(layout, edge_set)
    arrays = as_paddle(state, "head.fcn", matrix=False)
    path = write(tmp_path / "STGCN_fsd.pdparams", arrays)
    plain = load_checkpoint(path)
    assert (plain.codebase.name, plain.spec.family) == ("paddle-stgcn", "stgcn")
    assert str(plain.match) == f"{layout} ({edge_set} edges, spatial_configuration)"
    assert (plain.frames, plain.persons) == (frames, persons)
    own = load(save(state, tmp_path / "own.pt"))
    batch = inputs(own, InputShape(2, 1, 12))
    assert error(truth(load(path), batch), truth(own, batch)) == 0


def test_stgcn_keys_are_accounted_for(tmp_path: Path) -> None:
    arrays = as_paddle(paddle_stgcn(), "head.fcn", matrix=False)
    with pytest.raises(KeyMismatchError, match=r"backbone\.extra"):
        load(write(tmp_path / "a.pdparams", arrays | {"backbone.extra": np.ones(1)}))
    del arrays["backbone.st_gcn_networks.0.tcn.0._mean"]
    with pytest.raises(KeyMismatchError, match=r"tcn\.0\.running_mean"):
        load(write(tmp_path / "b.pdparams", arrays))


# ---- PaddleVideo's own AGCN ------------------------------------------------------------------


def own_agcn(
    joints: int = 25, channels: int = 2, classes: int = CLASSES, widths: tuple[int, ...] = (6, 6, 8)
) -> State:
    """Its tensors with PyTorch's names."""
    draw = Draw(0)
    state = draw.norm("data_bn", 50)
    before = channels
    for index, width in enumerate(widths):
        here = f"agcn.{index}"
        state |= draw.conv(f"{here}.conv_res", width, before) | draw.norm(f"{here}.bn_res", width)
        state |= draw.conv(f"{here}.gcn.conv1", 3 * width, before)
        state |= draw.conv(f"{here}.gcn.conv2", joints, 3 * joints)
        state |= draw.norm(f"{here}.tcn.0", width) | draw.conv(f"{here}.tcn.2", width, width, 9)
        state |= draw.norm(f"{here}.tcn.3", width)
        before = width
    return state | draw.conv("fcn", classes, before)


def agcn_by_hand(state: State, clip: torch.Tensor) -> torch.Tensor:
    """The network written out joint by joint: (N, C, T, V, M) -> logits."""
    state = {key: tensor.double() for key, tensor in state.items()}

    def norm(key: str, x: torch.Tensor) -> torch.Tensor:
        mean, var, weight, bias = (
            state[f"{key}.{name}"].view(1, -1, 1, 1)
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias

    n, c, t, v, m = clip.shape
    x = clip.double().permute(0, 4, 1, 2, 3).reshape(n * m, c, t, v)
    for index in range(3):
        here = f"agcn.{index}"
        z = torch.conv2d(x, state[f"{here}.gcn.conv1.weight"], state[f"{here}.gcn.conv1.bias"])
        graph = state[f"{here}.gcn.conv2.weight"][:, :, 0, 0]
        width = z.shape[1] // 3
        y = torch.zeros(n * m, width, x.shape[2], v, dtype=torch.float64)
        for out in range(width):
            for w in range(v):
                for k in range(3):
                    y[:, out, :, w] += z[:, 3 * out + k] @ graph[w, k * v : (k + 1) * v]
                y[:, out, :, w] += state[f"{here}.gcn.conv2.bias"][w]
        y = torch.relu(norm(f"{here}.tcn.0", y))
        stride = (2, 1) if index == 2 else (1, 1)
        weight, bias = state[f"{here}.tcn.2.weight"], state[f"{here}.tcn.2.bias"]
        y = norm(f"{here}.tcn.3", torch.conv2d(y, weight, bias, stride, (4, 0)))
        if index:
            weight, bias = state[f"{here}.conv_res.weight"], state[f"{here}.conv_res.bias"]
            y = y + norm(f"{here}.bn_res", torch.conv2d(x, weight, bias, stride))
        x = torch.relu(y)
    pooled = x.mean(dim=(2, 3)).reshape(n, m, -1).mean(dim=1)
    return pooled @ state["fcn.weight"][:, :, 0, 0].T + state["fcn.bias"]


def _agcn_file(folder: Path, state: State) -> Path:
    return write(folder / "AGCN.pdparams", as_paddle(state, "head.fcn", matrix=False))


def test_agcn_is_the_network_written_out(tmp_path: Path) -> None:
    state = own_agcn()
    found = load(_agcn_file(tmp_path, state))
    assert (found.codebase.name, found.spec.family) == ("paddle-agcn", "paddle-agcn")
    (clip,) = inputs(found, InputShape(2, 2, 12))
    assert error(truth(found, (clip,)), agcn_by_hand(state, clip).numpy()) < 1e-12


@pytest.mark.parametrize("form", FAMILIES["paddle-agcn"].graph_forms)
@pytest.mark.parametrize(("n", "m", "t"), [(1, 1, 12), (2, 2, 13)])
def test_every_form_of_agcn_is_the_reference_form(
    tmp_path: Path, form: str, n: int, m: int, t: int
) -> None:
    found = load(_agcn_file(tmp_path, own_agcn()), frames=t, persons=m)
    shape = InputShape(n, m, t)
    batch = inputs(found, shape)
    assert error(logits(deployed(found, form, shape), batch), truth(found, batch)) < TOLERANCE


@pytest.mark.parametrize("form", FAMILIES["paddle-agcn"].graph_forms)
@pytest.mark.parametrize("dynamic", ["", "NTM"])
def test_graphs_of_agcn_are_the_reference_form(tmp_path: Path, form: str, dynamic: str) -> None:
    found = load(_agcn_file(tmp_path, own_agcn()), persons=2)
    other = (3, 1, 17) if dynamic else (1, 2, 12)
    batches = [inputs(found, InputShape(*sizes)) for sizes in ((1, 2, 12), other)]
    options = ExportOptions(dynamic=frozenset(dynamic), opset=18 if form == "einsum" else 11)
    graphs = in_onnxruntime(found, form, tmp_path / "m.onnx", options, *batches)
    for batch, got in zip(batches, graphs, strict=True):
        assert error(got, truth(found, batch)) < TOLERANCE


@pytest.mark.parametrize(
    ("key", "seen"),
    [
        ("agcn.1.gcn.conv2.weight", True),
        ("agcn.1.gcn.conv2.bias", True),
        ("agcn.1.conv_res.weight", True),
        ("agcn.0.conv_res.weight", False),
        ("data_bn.weight", False),
    ],
)
def test_what_agcn_uses_is_seen_and_what_it_never_uses_is_not(
    tmp_path: Path, key: str, seen: bool
) -> None:
    state = own_agcn()
    found = load(_agcn_file(tmp_path, state))
    other = load(_agcn_file(tmp_path, nudged(state, key)))
    batch = inputs(found, InputShape(1, 1, 12))
    moved = error(truth(other, batch), truth(found, batch))
    assert moved > TOLERANCE if seen else moved == 0


@pytest.mark.parametrize(
    ("joints", "channels", "classes", "layout", "frames"),
    [
        (25, 2, 30, "openpose25", 350),
        (25, 2, 60, "ntu25", 300),
        (25, 3, 60, "ntu25", 300),
    ],
)
def test_agcn_shows_no_skeleton_so_one_is_assumed(
    tmp_path: Path, joints: int, channels: int, classes: int, layout: str, frames: int
) -> None:
    state = own_agcn(joints, channels, classes)
    found = load_checkpoint(_agcn_file(tmp_path, state))
    assert found.match.layout.name == layout
    assert found.frames == frames
    assert next(fact for fact in found.facts if fact.name == "layout").origin == "assumed"


def test_agcn_of_other_joints_is_taken_as_it_is(tmp_path: Path) -> None:
    found = load(_agcn_file(tmp_path, own_agcn(17)))
    assert found.adjacency.shape == (3, 17, 17)
    assert next(fact for fact in found.facts if fact.name == "graph").origin == "file"


# ---- AGCN2s and CTR-GCN ----------------------------------------------------------------------


def two_stream_agcn(joints: int = 25, widths: tuple[int, ...] = (8, 8, 16)) -> State:
    """lshiwjx/2s-AGCN's agcn.Model."""
    draw = Draw(1)
    state = draw.norm("data_bn", 2 * joints * 3)
    before = 3
    for index, width in enumerate(widths, start=1):
        here = f"l{index}"
        state[f"{here}.gcn1.PA"] = draw.normal(3, joints, joints, scale=0.05)
        for k in range(3):
            for part in ("conv_a", "conv_b"):
                state |= draw.conv(f"{here}.gcn1.{part}.{k}", width // 4, before)
            state |= draw.conv(f"{here}.gcn1.conv_d.{k}", width, before)
        state |= draw.norm(f"{here}.gcn1.bn", width)
        if width != before:
            state |= draw.conv(f"{here}.gcn1.down.0", width, before)
            state |= draw.norm(f"{here}.gcn1.down.1", width)
        state |= draw.conv(f"{here}.tcn1.conv", width, width, 9)
        state |= draw.norm(f"{here}.tcn1.bn", width)
        if index > 1 and width != before:
            state |= draw.conv(f"{here}.residual.conv", width, before)
            state |= draw.norm(f"{here}.residual.bn", width)
        before = width
    return state | {"fc.weight": draw.normal(CLASSES, before), "fc.bias": draw.normal(CLASSES)}


def ctrgcn(joints: int = 25, widths: tuple[int, ...] = (16, 16, 32)) -> State:
    """Uason-Chen/CTR-GCN's ctrgcn.Model."""
    draw = Draw(2)
    state = draw.norm("data_bn", 2 * joints * 3)
    before = 3
    for index, width in enumerate(widths, start=1):
        gcn, tcn = f"l{index}.gcn1", f"l{index}.tcn1"
        relation, part = 8 if before == 3 else before // 8, width // 4
        state[f"{gcn}.PA"] = draw.normal(3, joints, joints)
        state[f"{gcn}.alpha"] = draw.uniform(1)
        for k in range(3):
            for conv, out, into in (
                ("conv1", relation, before),
                ("conv2", relation, before),
                ("conv3", width, before),
                ("conv4", width, relation),
            ):
                state |= draw.conv(f"{gcn}.convs.{k}.{conv}", out, into)
        state |= draw.norm(f"{gcn}.bn", width)
        if width != before:
            state |= draw.conv(f"{gcn}.down.0", width, before) | draw.norm(f"{gcn}.down.1", width)
        for branch in range(4):
            at = f"{tcn}.branches.{branch}"
            state |= draw.conv(f"{at}.0", part, width) | draw.norm(f"{at}.1", part)
            if branch < 2:
                state |= draw.conv(f"{at}.3.conv", part, part, 5) | draw.norm(f"{at}.3.bn", part)
        state |= draw.norm(f"{tcn}.branches.2.4", part)
        if index > 1 and width != before:
            state |= draw.conv(f"l{index}.residual.conv", width, before)
            state |= draw.norm(f"l{index}.residual.bn", width)
        before = width
    return state | {"fc.weight": draw.normal(CLASSES, before), "fc.bias": draw.normal(CLASSES)}


TWINS: dict[str, tuple[Callable[[], State], str]] = {
    "paddle-agcn2s": (two_stream_agcn, "2s-agcn"),
    "paddle-ctrgcn": (ctrgcn, "ctr-gcn"),
}


@pytest.mark.parametrize("codebase", TWINS)
def test_it_is_the_network_of_the_pytorch_codebase(tmp_path: Path, codebase: str) -> None:
    make, original = TWINS[codebase]
    state = make()
    own = load(save(state, tmp_path / "own.pt"), frames=16)
    assert own.codebase.name == original
    path = write(tmp_path / "twin.pdparams", as_paddle(state, "head.fc", matrix=True))
    found = load(path, frames=16)
    assert (found.codebase.name, found.spec.family) == (codebase, own.spec.family)
    assert found.spec.num_persons == 2
    assert str(found.match) == str(own.match)
    shape = InputShape(2, 2, 16)
    batch = inputs(own, shape)
    wanted = truth(own, batch)
    assert error(truth(found, batch), wanted) == 0
    for form in FAMILIES[found.spec.family].graph_forms:
        assert error(logits(deployed(found, form, shape), batch), wanted) < TOLERANCE


def test_a_head_that_was_not_turned_is_seen(tmp_path: Path) -> None:
    arrays = as_paddle(two_stream_agcn(), "head.fc", matrix=False)
    with pytest.raises(KeyMismatchError, match=r"head\.fc"):
        load(write(tmp_path / "a.pdparams", arrays), frames=16)


def test_a_ctrgcn_without_its_graph_is_refused(tmp_path: Path) -> None:
    arrays = as_paddle(ctrgcn(), "head.fc", matrix=True)
    fixed = {key.replace("gcn1.PA", "gcn1.A"): array for key, array in arrays.items()}
    with pytest.raises(UnsupportedCheckpointError, match="adaptive=False"):
        load(write(tmp_path / "a.pdparams", fixed))


@pytest.mark.parametrize(
    ("codebase", "make", "head"),
    [
        ("paddle-stgcn", paddle_stgcn, "head.fcn"),
        ("paddle-agcn", own_agcn, "head.fcn"),
        ("paddle-agcn2s", two_stream_agcn, "head.fc"),
        ("paddle-ctrgcn", ctrgcn, "head.fc"),
    ],
)
def test_exactly_one_codebase_takes_it(
    tmp_path: Path, codebase: str, make: Callable[[], State], head: str
) -> None:
    path = write(tmp_path / "a.pdparams", as_paddle(make(), head, matrix=head.endswith("fc")))
    tensors = Tensors(_tensors(path), "a.pdparams")
    assert [name for name in CODEBASES if CODEBASES[name].matches(tensors)] == [codebase]
