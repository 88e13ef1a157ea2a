"""Every family, in every graph form, is the function that its reference form defines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from checkpoints import TINY, pyskl, references, save, stgcn, tiny, twostream
from torch import Tensor, nn

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.exporter.build import write_form
from stgcn_deploy.exporter.presets import DYNAMIC_RANGES, MAX_OPSET, MIN_OPSET, ExportOptions
from stgcn_deploy.models.families import FAMILIES, graph_forms, reference_form
from stgcn_deploy.models.graphforms import GRAPH_FORMS
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.skeleton.axes import AXIS_ORDERS, named_shape, to_canonical, to_native

TOLERANCE = 1e-5
FORMS = tuple(GRAPH_FORMS)
# A network with persons may read them in either order; NCTV is for networks of one.
ORDERS = tuple(order for order in AXIS_ORDERS if "M" in order)
# Families that neither a tiny checkpoint nor a recorded network stands for: their own tests do.
OWN_TESTS = {
    "ctrgcn-baseline": "unit/test_ctrgcn.py",
    "ensemble": "unit/test_ensemble.py",
    "paddle-agcn": "unit/test_paddle.py",
}
OPEN_AXES = tuple("".join(axes) for size in range(4) for axes in combinations("NTM", size))
# Narrow networks for the long clips at the far ends of open axes: one for each way through the code.
NARROW: dict[str, Callable[[], dict[str, Tensor]]] = {
    "stgcn": lambda: stgcn(widths=(4, 6), taps=3),
    "person": lambda: stgcn(widths=(4, 6), taps=3, norm="person"),
    "twostream": lambda: twostream(layout="openpose18", edge_set=None, widths=(4, 6), taps=3),
    "stgcnpp": lambda: pyskl(widths=(6, 12), adjacency="plain", graph_residual=True, branches=True),
}
BATCH_END = 3


def load(state: dict[str, Tensor], *, frames: int, persons: int = 2) -> LoadedCheckpoint:
    with TemporaryDirectory() as folder:
        file = save(state, Path(folder) / "tiny.pt")
        return load_checkpoint(file, Hints(frames=frames, persons=persons))


@cache
def loaded(name: str) -> LoadedCheckpoint:
    return load(tiny(name), frames=20)


@cache
def narrow(name: str) -> LoadedCheckpoint:
    return load(NARROW[name](), frames=60)


@cache
def network(name: str, axes: str | None = None) -> nn.Module:
    """The reference form of a tiny checkpoint, in its own axis order or in another."""
    found = loaded(name)
    if axes in (None, found.spec.axes):
        return found.network
    other = reference_form(replace(found.spec, axes=axes))
    other.load_state_dict(found.network.state_dict())
    return other.eval()


def clips(spec: NetworkSpec, *, n: int = 2, m: int = 2, t: int = 20, seed: int = 0) -> Tensor:
    """A random native batch."""
    sizes = {"N": n, "M": m, "T": t, "V": spec.num_joints, "C": spec.in_channels}
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(named_shape(spec.axes, sizes), generator=generator)


def run(net: nn.Module, batch: Tensor) -> Tensor:
    with torch.inference_mode():
        out: Tensor = net(batch)
    return out


def assert_same(found: Tensor, wanted: Tensor) -> None:
    assert found.shape == wanted.shape
    scale = max(1.0, float(wanted.abs().max()))
    assert float((found - wanted).abs().max()) <= TOLERANCE * scale


def persons_of(name: str) -> tuple[int, ...]:
    fixed = loaded(name).spec.num_persons
    return (fixed,) if fixed else (1, 2, 3)


def deploy(net: nn.Module, form: str, shape: InputShape) -> nn.Module:
    return FAMILIES[net.spec.family].deploy(net, form, shape)  # type: ignore[union-attr]


def cases() -> list[tuple[str, str, str, int, int]]:
    return [
        (name, form, axes, persons, frames)
        for name in TINY
        for form in graph_forms(loaded(name).spec)
        for axes in ORDERS
        for persons in persons_of(name)
        for frames in (16, 17, 24)
    ]


def test_every_family_has_networks_that_it_is_tested_on() -> None:
    tiny_ones = {loaded(name).spec.family for name in TINY}
    recorded = {family for _, _, family in references().values()}
    assert set(FAMILIES) - tiny_ones - recorded == set(OWN_TESTS)
    for family, file in OWN_TESTS.items():
        text = (Path(__file__).parents[1] / file).read_text(encoding="utf-8")
        assert f'"{family}"' in text


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_what_it_is(family: str) -> None:
    assert FAMILIES[family].title
    # An adjacency that depends on the clip cannot be multiplied into a stack beforehand.
    lacking = {"aggregate"} if family in ("ctrgcn", "dgstgcn") else set()
    assert set(FAMILIES[family].graph_forms) == set(GRAPH_FORMS) - lacking


def test_tiny_checkpoints_have_all_graph_forms() -> None:
    assert {graph_forms(loaded(name).spec) for name in TINY} == {FORMS}


@pytest.mark.parametrize(("name", "form", "axes", "persons", "frames"), cases())
def test_deploy_form_is_the_reference_form(
    name: str, form: str, axes: str, persons: int, frames: int
) -> None:
    net = network(name, axes)
    batch = clips(net.spec, m=persons, t=frames)
    fast = deploy(net, form, InputShape(2, persons, frames))
    assert_same(run(fast, batch), run(net, batch))


@pytest.mark.parametrize("dynamic", OPEN_AXES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["stgcn", "twostream", "pyskl-square", "stgcnpp"])
def test_open_axes_take_other_sizes_than_the_traced_ones(
    name: str, form: str, dynamic: str
) -> None:
    net = network(name)
    fast = deploy(net, form, InputShape(2, 2, 20, frozenset(dynamic)))
    sizes = {"n": 2, "m": 2, "t": 20}
    for axis, other in (("N", 3), ("T", 33), ("M", 1)):
        if axis in dynamic:
            sizes[axis.lower()] = other
    batch = clips(net.spec, **sizes)
    assert_same(run(fast, batch), run(net, batch))


@pytest.mark.parametrize("name", TINY)
def test_axis_orders_are_the_same_network(name: str) -> None:
    answers = []
    for axes in ORDERS:
        net = network(name, axes)
        canonical = clips(replace(net.spec, axes="NMTVC")).numpy()
        answers.append(run(net, torch.from_numpy(to_native(canonical, axes))))
    assert_same(answers[0], answers[1])


@pytest.mark.parametrize("form", ["reference", *FORMS])
@pytest.mark.parametrize("name", TINY)
def test_a_batch_of_clips_is_the_clips_one_by_one(name: str, form: str) -> None:
    net = network(name)
    batch = clips(net.spec, n=3)
    axis = net.spec.axes.index("N")
    together, alone = net, net
    if form != "reference":
        together = deploy(net, form, InputShape(3, 2, 20))
        alone = deploy(net, form, InputShape(1, 2, 20))
    singles = torch.cat([run(alone, batch.narrow(axis, index, 1)) for index in range(3)])
    assert_same(run(together, batch), singles)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TINY)
def test_the_same_clip_twice_gives_the_same_bits(name: str, form: str) -> None:
    net = network(name)
    fast, batch = deploy(net, form, InputShape(2, 2, 20)), clips(net.spec)
    before = batch.clone()
    assert torch.equal(run(fast, batch), run(fast, batch))
    assert torch.equal(run(net, batch), run(net, batch))
    assert torch.equal(batch, before)


@pytest.mark.parametrize("name", TINY)
def test_making_a_deploy_form_leaves_the_reference_form_alone(name: str) -> None:
    net = network(name)
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    for form in FORMS:
        deploy(net, form, InputShape(1, 2, 20))
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TINY)
def test_nothing_of_a_batch_normalisation_is_left(name: str, form: str) -> None:
    fast = deploy(network(name), form, InputShape(1, 2, 20))
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in fast.modules())
    assert not fast.training


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TINY)
def test_one_changed_weight_changes_the_deploy_form(name: str, form: str) -> None:
    """The comparison above can fail: 1 % of one tensor is more than its tolerance."""
    found = loaded(name)
    changed = reference_form(found.spec)
    state = {key: tensor.clone() for key, tensor in found.network.state_dict().items()}
    key = next(key for key in state if key.endswith("blocks.1.gcn.conv.weight"))
    state[key] *= 1.01
    changed.load_state_dict(state)
    batch = clips(found.spec)
    fast = deploy(changed.eval(), form, InputShape(2, 2, 20))
    with pytest.raises(AssertionError):
        assert_same(run(fast, batch), run(found.network, batch))


@pytest.mark.parametrize("kind", ["first_difference", "second_difference"])
@pytest.mark.parametrize("form", FORMS)
def test_both_definitions_of_motion_survive_deployment(form: str, kind: Any) -> None:
    found = loaded("twostream")
    net = reference_form(replace(found.spec, motion=kind))
    net.load_state_dict(found.network.state_dict())
    net.eval()
    for frames in (2, 3, 20):
        batch = clips(net.spec, t=frames)
        assert_same(run(deploy(net, form, InputShape(2, 2, frames)), batch), run(net, batch))


def test_the_two_definitions_of_motion_are_different_functions() -> None:
    found = loaded("twostream")
    other = reference_form(replace(found.spec, motion="second_difference"))
    other.load_state_dict(found.network.state_dict())
    batch = clips(found.spec)
    assert float((run(other.eval(), batch) - run(found.network, batch)).abs().max()) > 1e-2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [name for name in TINY if "person" not in name])
def test_order_of_present_persons_does_not_matter(name: str, form: str) -> None:
    net = network(name)
    fast = deploy(net, form, InputShape(2, 3, 20))
    batch = clips(net.spec, m=3)
    assert_same(run(fast, batch.flip(net.spec.axes.index("M"))), run(fast, batch))


# ---- the written file ------------------------------------------------------------------------


def _forms(opset: int) -> list[str]:
    return [f for f in ("reference", *FORMS) if opset >= 12 or f not in ("einsum", "reference")]


def _batches(found: LoadedCheckpoint, dynamic: str) -> list[np.ndarray[Any, Any]]:
    """The traced size, both ends of every open axis, and all of them at the same end."""
    ends = {"N": (1, BATCH_END), "T": DYNAMIC_RANGES["T"], "M": DYNAMIC_RANGES["M"]}
    traced = {"N": 1, "T": found.frames, "M": found.persons}
    sizes = [traced]
    for end in (0, 1):
        sizes += [{**traced, axis: ends[axis][end]} for axis in dynamic]
        sizes.append({**traced, **{axis: ends[axis][end] for axis in dynamic}})
    unique = {tuple(s.values()): s for s in sizes}
    return [clips(found.spec, n=s["N"], t=s["T"], m=s["M"]).numpy() for s in unique.values()]


def _check_file(found: LoadedCheckpoint, file: Path, form: str, opset: int, dynamic: str) -> None:
    options = ExportOptions(graph_form=form, opset=opset, dynamic=frozenset(dynamic), logits=True)
    write_form(found, form, file, options)
    assert [entry.version for entry in onnx.load(str(file)).opset_import] == [opset]
    with BACKENDS["onnxruntime"].open(file, OpenOptions(threads=1)) as session:
        for batch in _batches(found, dynamic):
            answer = session.run({"input": batch})["output"]
            wanted = run(found.network, torch.from_numpy(batch))
            assert_same(torch.from_numpy(answer), wanted)


@pytest.mark.parametrize(
    ("form", "opset"),
    [(form, opset) for opset in range(MIN_OPSET, MAX_OPSET + 1) for form in _forms(opset)],
)
def test_every_opset_is_written_with_all_axes_open(tmp_path: Path, form: str, opset: int) -> None:
    _check_file(narrow("stgcn"), tmp_path / "model.onnx", form, opset, "NTM")


@pytest.mark.parametrize(
    ("name", "form", "axes", "opset"),
    [
        (name, form, axes, opset)
        for name in NARROW
        for opset in (11, 12, 18)
        for form in _forms(opset)
        if opset != 12 or form in ("einsum", "reference")
        for axes in (("N", "T", "NT") if name == "person" else ("N", "T", "M", "NTM"))
    ],
)
def test_open_axes_hold_at_both_ends_in_onnxruntime(
    tmp_path: Path, name: str, form: str, axes: str, opset: int
) -> None:
    _check_file(narrow(name), tmp_path / "model.onnx", form, opset, axes)


@pytest.mark.parametrize("opset", [11, 13, 17, 20])
@pytest.mark.parametrize("name", TINY)
def test_every_network_is_written_in_every_opset(tmp_path: Path, name: str, opset: int) -> None:
    form = FORMS[opset % 3] if opset > 11 else "matmul"
    _check_file(loaded(name), tmp_path / "model.onnx", form, opset, "")


def _operators(file: Path) -> set[str]:
    return {node.op_type for node in onnx.load(str(file)).graph.node}


@pytest.mark.parametrize("name", ["stgcn", "twostream", "pyskl", "stgcnpp"])
def test_aggregate_form_has_no_operator_that_old_parsers_lack(tmp_path: Path, name: str) -> None:
    write_form(loaded(name), "aggregate", tmp_path / "m.onnx", ExportOptions(opset=11))
    assert not _operators(tmp_path / "m.onnx") & {"Einsum", "BatchNormalization", "Pad", "Where"}


@pytest.mark.parametrize("form", FORMS)
def test_shapes_are_constants_where_the_axes_are_fixed(tmp_path: Path, form: str) -> None:
    write_form(loaded("stgcn"), form, tmp_path / "m.onnx", ExportOptions())
    assert not _operators(tmp_path / "m.onnx") & {"Shape", "Gather", "Unsqueeze", "ConstantOfShape"}


def test_only_the_einsum_form_has_einsum(tmp_path: Path) -> None:
    found: dict[str, bool] = {}
    for form in FORMS:
        write_form(loaded("stgcn"), form, tmp_path / "m.onnx", ExportOptions())
        found[form] = "Einsum" in _operators(tmp_path / "m.onnx")
    assert found == {"aggregate": False, "einsum": True, "matmul": False}


def test_a_clip_read_by_another_axis_order_is_another_clip() -> None:
    """Swapping axes silently would be noticed: the two orders disagree on the same bytes."""
    net = network("pyskl")
    batch = clips(net.spec, m=2, t=20).numpy()
    shuffled = to_canonical(batch.reshape(2, 3, 20, 17, 2), "NCTVM")
    wrong = run(net, torch.from_numpy(shuffled))
    assert float((wrong - run(net, torch.from_numpy(batch))).abs().max()) > 1e-2
