"""AGCN and AAGCN: graphs that depend on the clip, in every codebase's own keys."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from checkpoints import CLASSES, Draw, State, save
from conftest import shared_path
from faithful import TOLERANCE, deployed, error, in_onnxruntime, inputs, logits, nudged, truth

from stgcn_deploy.checkpoints.accounting import Tensors
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.codebases import CODEBASES, recognise
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.errors import (
    KeyMismatchError,
    UnrecognisedCheckpointError,
    UnsupportedCheckpointError,
    UsageError,
)
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.models.agcn import AgcnBlockSpec, MatMulUnit, fold_adaptive
from stgcn_deploy.models.families import count_macs
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.skeleton.adjacency import build
from stgcn_deploy.skeleton.layout import EdgeSet, Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS

FORMS = ("aggregate", "einsum", "matmul")


def gates(draw: Draw, here: str, width: int, joints: int) -> State:
    """The tensors of the three gates, under `here`."""
    taps, narrow = joints - 1 + joints % 2, width // 2
    return {
        f"{here}.conv_sa.weight": draw.normal(1, width, taps),
        f"{here}.conv_sa.bias": draw.normal(1),
        f"{here}.conv_ta.weight": draw.normal(1, width, 9),
        f"{here}.conv_ta.bias": draw.normal(1),
        f"{here}.fc1c.weight": draw.normal(narrow, width, scale=0.3),
        f"{here}.fc1c.bias": draw.normal(narrow),
        f"{here}.fc2c.weight": draw.normal(width, narrow, scale=0.3),
        f"{here}.fc2c.bias": draw.normal(width),
    }


def two_stream_agcn(
    *,
    kind: str = "agcn",
    gated: bool | None = None,
    adaptive: bool = True,
    joints: int = 18,
    persons: int = 2,
    widths: tuple[int, ...] = (8, 8, 16),
    seed: int = 0,
) -> State:
    """lshiwjx/2s-AGCN, as its two models write themselves; `kind`: agcn or aagcn."""
    draw = Draw(seed)
    state = draw.norm("data_bn", persons * joints * 3)
    before = 3
    for index, width in enumerate(widths, start=1):
        here = f"l{index}.gcn1"
        if adaptive:
            graph = draw.normal(3, joints, joints, scale=0.03)
            state[f"{here}.PA"] = graph if kind == "agcn" else graph.abs()
        if kind == "aagcn" and adaptive:
            state[f"{here}.alpha"] = draw.uniform(1) / 20
        for k in range(3):
            for part in ("conv_a", "conv_b") if adaptive else ():
                state |= draw.conv(f"{here}.{part}.{k}", width // 4, before)
                # Scores far from zero and from the ends of tanh: attention neither flat nor fixed.
                state[f"{here}.{part}.{k}.weight"] *= 3 if kind == "agcn" else 0.1
            state |= draw.conv(f"{here}.conv_d.{k}", width, before)
        if kind == "aagcn" and gated is not False:
            state |= gates(draw, here, width, joints)
        if width != before:
            state |= draw.conv(f"{here}.down.0", width, before)
            state |= draw.norm(f"{here}.down.1", width)
        state |= draw.norm(f"{here}.bn", width)
        state |= draw.conv(f"l{index}.tcn1.conv", width, width, 9)
        state |= draw.norm(f"l{index}.tcn1.bn", width)
        if index > 1 and width != before:
            state |= draw.conv(f"l{index}.residual.conv", width, before)
            state |= draw.norm(f"l{index}.residual.bn", width)
        before = width
    state["fc.weight"] = draw.normal(CLASSES, before, scale=0.3)
    return state | {"fc.bias": draw.normal(CLASSES)}


def renamed(state: State, *rules: tuple[str, str]) -> State:
    """Keys by regular expressions, in order."""
    out: State = {}
    for key, tensor in state.items():
        name = key
        for pattern, to in rules:
            name = re.sub(pattern, to, name)
        out[name] = tensor
    return out


def _numbered(state: State, to: str) -> State:
    return {
        re.sub(r"^l(\d+)\.", lambda m: f"backbone.{to}.{int(m[1]) - 1}.", key): tensor
        for key, tensor in state.items()
    }


def pyskl_aagcn(head: str = "cls_head.fc_cls", **options: Any) -> State:
    """AAGCN as PYSKL and MMAction2 1.x write it; the graph at the top is never used."""
    state = renamed(
        _numbered(two_stream_agcn(kind="aagcn", **options), "gcn"),
        (r"\.gcn1\.PA$", ".gcn.A"),
        (r"\.gcn1\.", ".gcn."),
        (r"\.tcn1\.", ".tcn."),
        (r"^data_bn", "backbone.data_bn"),
        (r"^fc\.", f"{head}."),
    )
    joints = state["backbone.gcn.0.gcn.A"].shape[1]
    layout = {17: "coco17", 18: "openpose18", 25: "ntu25"}[joints]
    edges = LAYOUTS[layout].edge_sets[-1 if layout == "ntu25" else 0].name
    graph = build(LAYOUTS[layout], "inward_outward", edge_set=edges)
    return {"backbone.A": torch.from_numpy(graph).float(), **state}


def mmaction0_agcn(**options: Any) -> State:
    """AGCN as MMAction2 0.x writes it: one data_bn for all persons, the graph stored once."""
    joints = options.pop("joints", 25)
    state = renamed(
        _numbered(two_stream_agcn(joints=joints, persons=1, **options), "agcn_networks"),
        (r"\.gcn1\.", ".gcn."),
        (r"\.tcn1\.conv", ".tcn.0"),
        (r"\.tcn1\.bn", ".tcn.1"),
        (r"\.residual\.conv", ".residual.0"),
        (r"\.residual\.bn", ".residual.1"),
        (r"^data_bn", "backbone.data_bn"),
        (r"^fc\.", "cls_head.fc."),
    )
    state["cls_head.fc.weight"] = state["cls_head.fc.weight"][:, :, None, None]
    layout = {18: "openpose18", 25: "ntu25"}[joints]
    graph = build(LAYOUTS[layout], "inward_outward")
    return {"backbone.A": torch.from_numpy(graph).float(), **state}


KINDS = {
    "agcn": two_stream_agcn,
    "agcn-ntu": lambda: two_stream_agcn(joints=25, persons=1, seed=1),
    "aagcn": lambda: two_stream_agcn(kind="aagcn", seed=2),
    "aagcn-no-gates": lambda: two_stream_agcn(kind="aagcn", gated=False, seed=3),
    "aagcn-fixed-graph": lambda: two_stream_agcn(kind="aagcn", adaptive=False, seed=4),
    "aagcn-fixed-no-gates": lambda: two_stream_agcn(
        kind="aagcn", adaptive=False, gated=False, persons=1, seed=5
    ),
    "pyskl-aagcn": lambda: pyskl_aagcn(joints=17, seed=6),
    "pyskl-aagcn-one": lambda: pyskl_aagcn(joints=17, persons=1, seed=7),
    "mmaction2-aagcn": lambda: pyskl_aagcn("cls_head.fc", joints=25, seed=8),
    "mmaction2-0.x-agcn": lambda: mmaction0_agcn(seed=9),
}


def load(folder: Path, state: State, **hints: Any) -> LoadedCheckpoint:
    asked = {"frames": 12} | hints
    return load_checkpoint(save(state, folder / "agcn.pt"), Hints(**asked))


# ---- the deploy form is the same function -----------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "t"), [(1, 12), (3, 9)])
def test_deploy_form_is_the_reference_form(
    kind: str, form: str, n: int, t: int, tmp_path: Path
) -> None:
    found = load(tmp_path, KINDS[kind](), frames=t)
    shape = InputShape(n, found.persons, t)
    batch = inputs(found, shape)
    assert error(logits(deployed(found, form, shape), batch), truth(found, batch)) < TOLERANCE


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("persons", [1, 3])
def test_persons_are_free_where_data_bn_is_shared(form: str, persons: int, tmp_path: Path) -> None:
    found = load(tmp_path, mmaction0_agcn(), persons=persons)
    shape = InputShape(2, persons, 12)
    batch = inputs(found, shape)
    assert error(logits(deployed(found, form, shape), batch), truth(found, batch)) < TOLERANCE


OPEN = [("agcn", "T"), ("agcn", "N"), ("agcn", "NT"), ("aagcn", "NT"), ("aagcn", "T"),
        ("mmaction2-0.x-agcn", "NTM"), ("mmaction2-0.x-agcn", "M")]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("kind", "axes"), OPEN)
def test_open_axes_are_open_in_the_graph(kind: str, axes: str, form: str, tmp_path: Path) -> None:
    """T is in the divisor of the scores: it must be the T of the clip, not the traced one."""
    found = load(tmp_path, KINDS[kind](), frames=16)
    sizes = [(1, 2, 16)]
    for axis, other in zip("NMT", (3, 4, 29), strict=True):
        if axis in axes:
            grown = [
                size if letter != axis else other
                for letter, size in zip("NMT", sizes[-1], strict=True)
            ]
            sizes.append(tuple(grown))
    batches = [inputs(found, InputShape(n, m, t)) for n, m, t in sizes]
    options = ExportOptions(dynamic=frozenset(axes))
    got = in_onnxruntime(found, form, tmp_path / "open.onnx", options, *batches)
    for batch, out in zip(batches, got, strict=True):
        assert error(out, truth(found, batch)) < TOLERANCE


@pytest.mark.parametrize("kind", ["agcn", "aagcn"])
@pytest.mark.parametrize(("form", "opset"), [("aggregate", 11), ("matmul", 11), ("einsum", 12)])
def test_fixed_shapes_leave_no_trace_of_sizes(
    kind: str, form: str, opset: int, tmp_path: Path
) -> None:
    found = load(tmp_path, KINDS[kind]())
    path = tmp_path / "fixed.onnx"
    batch = inputs(found, InputShape(1, 2, 12))
    (got,) = in_onnxruntime(found, form, path, ExportOptions(opset=opset), batch)
    assert error(got, truth(found, batch)) < TOLERANCE
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert not operators & {"Shape", "Gather", "Cast", "Expand", "Slice", "BatchNormalization"}
    assert ("Einsum" in operators) == (form == "einsum")


def test_scores_stay_in_the_range_of_half_precision(tmp_path: Path) -> None:
    """The plain sum over C'T products of these embeddings is beyond 65504; its mean is not."""
    state = two_stream_agcn(widths=(64,))
    for part in ("conv_a", "conv_b"):
        for k in range(3):
            state[f"l1.gcn1.{part}.{k}.bias"] = torch.full((16,), 12.0)
    found = load(tmp_path, state, frames=300)
    gcn = found.network.blocks[0].gcn
    unit = MatMulUnit(fold_adaptive(gcn, 300), gcn.spec, InputShape(1, 1, 300))
    x = torch.randn(1, 3, 300, 18, generator=torch.Generator().manual_seed(0))
    plain = 16 * 300 * torch.einsum("nctv,nctw->nvw", gcn.conv_a[0](x), gcn.conv_b[0](x)).mean()
    assert plain > 65504
    a, b = (conv(x).half() for conv in (unit.conv_a, unit.conv_b))
    assert max(a.abs().max(), b.abs().max()) < 1
    products = torch.einsum("nctv,nctw->nvw", a[:, :16], b[:, :16])
    assert torch.isfinite(products).all()


REFERENCES = ("2sagcn_ntu", "2saagcn_ntu", "pyskl_aagcn_ntu", "mmaction2_aagcn_coco")


@pytest.mark.shared
@pytest.mark.parametrize("name", REFERENCES)
def test_reference_form_is_the_original_to_the_last_digits(name: str, tmp_path: Path) -> None:
    """With random weights attention is nearly flat: transposed scores differ by 3e-5 only."""
    folder = shared_path("reference")
    spec = importlib.util.spec_from_file_location("reference_rebuild", folder / "rebuild.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    wrapped, (clip,), wanted = module.checkpoint(name)
    torch.save(wrapped, tmp_path / "original.pt")
    found = load_checkpoint(tmp_path / "original.pt")
    assert error(truth(found, (torch.from_numpy(clip),)), wanted) < 1e-12


# ---- nothing of a file is left out ------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_one_percent_of_any_tensor_is_seen(kind: str, tmp_path: Path) -> None:
    state = KINDS[kind]()
    found = load(tmp_path, state)
    batch = inputs(found, InputShape(2, found.persons, 12))
    wanted = truth(found, batch)
    middle = {"l2", "backbone.gcn.1", "backbone.agcn_networks.1"}
    seen = [
        key
        for key in state
        if state[key].is_floating_point() and (any(m in key for m in middle) or ".down." in key)
    ]
    assert len(seen) > 20
    for key in seen:
        changed = truth(load(tmp_path, nudged(state, key)), batch)
        # Softmax over the source joints cancels what is the same for all of them.
        if "aagcn" not in kind and ".conv_a." in key and key.endswith("bias"):
            assert error(changed, wanted) < 1e-12, key
        else:
            assert error(changed, wanted) > 1e-9, key


def test_the_graph_at_the_top_of_pyskl_files_is_not_used(tmp_path: Path) -> None:
    state = pyskl_aagcn(joints=17)
    found = load(tmp_path, state)
    batch = inputs(found, InputShape(1, 2, 12))
    other = load(tmp_path, nudged(state, "backbone.A"))
    assert np.array_equal(truth(found, batch), truth(other, batch))
    assert str(found.match).startswith("coco17 (pyskl")


def test_all_names_of_a_network_are_the_same_network(tmp_path: Path) -> None:
    """MMAction2 0.x's AGCN and published files with other names, from one set of weights."""
    state = two_stream_agcn(joints=25, persons=1)
    plain = load(tmp_path, state)
    (clip,) = inputs(plain, InputShape(2, 1, 12))
    wanted = truth(plain, (clip,))
    for rules in ([(r"^l1\.", "l1a.")], [(r"\.gcn1\.down\.", ".gcn1.conv_res.")]):
        other = load(tmp_path, renamed(state, *rules))
        assert other.codebase.name == "2s-agcn"
        assert np.array_equal(truth(other, (clip,)), wanted)
    other = load(tmp_path, mmaction0_agcn(seed=0), persons=1)
    assert np.array_equal(truth(other, (clip,)), wanted)


# ---- which codebase, and what it does not say -------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_exactly_one_codebase_takes_it(kind: str) -> None:
    tensors = Tensors(KINDS[kind](), "agcn.pt")
    takers = [name for name in CODEBASES if CODEBASES[name].matches(tensors)]
    prefix = kind.partition("agcn")[0].rstrip("a")
    wanted = {"": "2s-agcn", "mmaction2-0.x-": "mmaction2-0.x-agcn"}.get(prefix, f"{prefix}aagcn")
    assert takers == [wanted]


@pytest.mark.parametrize(("kind", "family"), [("agcn", "agcn"), ("aagcn", "aagcn"),
                         ("aagcn-fixed-graph", "aagcn"), ("pyskl-aagcn", "aagcn")])  # fmt: skip
def test_family_and_residuals_are_read_from_the_keys(
    kind: str, family: str, tmp_path: Path
) -> None:
    spec = load(tmp_path, KINDS[kind]()).spec
    assert spec.family == family
    assert [block.residual for block in spec.blocks] == ["none", "identity", "conv"]
    assert [block.graph_residual for block in spec.blocks] == ["conv", "identity", "conv"]
    assert [block.stride for block in spec.blocks] == [1, 1, 2]


@pytest.mark.parametrize(("joints", "layout"), [(18, "openpose18"), (25, "ntu25")])
@pytest.mark.parametrize("kind", ["agcn", "aagcn"])
def test_a_graph_that_is_not_stored_is_assumed_and_said(
    joints: int, layout: str, kind: str, tmp_path: Path
) -> None:
    state = two_stream_agcn(kind=kind, joints=joints, adaptive=kind == "agcn")
    found = load(tmp_path, state)
    (fact,) = [fact for fact in found.facts if fact.name == "graph"]
    assert (str(fact.value).split()[0], fact.origin) == (layout, "assumed")
    assert str(found.match).startswith(f"{layout} (st-gcn edges, inward_outward)")
    assert found.spec.num_joints == joints


def test_the_users_layout_is_the_graph(tmp_path: Path) -> None:
    state = two_stream_agcn()
    chain = Layout(
        "chain", tuple(f"j{i}" for i in range(18)),
        (EdgeSet("mine", tuple((i + 1, i) for i in range(17)), center=0),),
    )  # fmt: skip
    plain, other = load(tmp_path, state), load(tmp_path, state, layout=chain)
    (fact,) = [fact for fact in other.facts if fact.name == "graph"]
    assert fact.origin == "option"
    assert other.match is not None
    assert (other.match.layout.name, other.match.exact) == ("chain", True)
    batch = inputs(plain, InputShape(1, 2, 12))
    assert error(truth(other, batch), truth(plain, batch)) > 1e-3


def test_unknown_or_wrong_joints_need_a_layout(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedCheckpointError, match=r"V=17.*--layout"):
        load(tmp_path, two_stream_agcn(joints=17))
    assert load(tmp_path, two_stream_agcn(joints=17), layout=LAYOUTS["coco17"]).match
    with pytest.raises(UsageError, match="has V=18 joints, layout 'ntu25' has 25"):
        load(tmp_path, two_stream_agcn(), layout=LAYOUTS["ntu25"])
    fixed = two_stream_agcn(kind="aagcn", adaptive=False, joints=17)
    with pytest.raises(UnsupportedCheckpointError, match="does not tell the number of joints"):
        load(tmp_path, fixed)


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        ("aagcn", "l2.gcn1.alpha"),
        ("aagcn", "l1.gcn1.conv_ta.weight"),
        ("aagcn-no-gates", "l2.gcn1.PA"),
        ("agcn", "l2.gcn1.PA"),
        ("agcn", "l3.residual.bn.weight"),
        ("mmaction2-0.x-agcn", "backbone.A"),
        ("pyskl-aagcn", "backbone.gcn.1.gcn.A"),
    ],
)
def test_a_lost_tensor_makes_no_other_network_of_it(kind: str, lost: str, tmp_path: Path) -> None:
    state = KINDS[kind]()
    del state[lost]
    with pytest.raises(KeyMismatchError, match=re.escape(lost)):
        load(tmp_path, state)


def test_a_tensor_too_many_is_refused(tmp_path: Path) -> None:
    extra = {**two_stream_agcn(), "l2.gcn1.conv_ta.weight": torch.ones(1, 8, 9)}
    with pytest.raises(KeyMismatchError):
        load(tmp_path, extra)
    gap = {k: t for k, t in two_stream_agcn().items() if not k.startswith("l2.")}
    with pytest.raises(KeyMismatchError, match=r"l3\."):
        load(tmp_path, gap)


def test_look_alikes_are_not_taken() -> None:
    """CTR-GCN's baseline has PA and no attention; PaddleVideo's and headless files no such head."""
    state = two_stream_agcn(widths=(8,))
    baseline = {k: t for k, t in state.items() if ".conv_a." not in k and ".conv_b." not in k}
    names = [n for n in CODEBASES if CODEBASES[n].matches(Tensors(baseline, "b.pt"))]
    assert not [name for name in names if "agcn" in name]
    headless = {k: t for k, t in pyskl_aagcn().items() if not k.startswith("cls_head")}
    paddle = renamed(state, (r"^l", "backbone.l"), (r"^fc", "head.fc"))
    for other in (headless, paddle):
        takers = [n for n in CODEBASES if CODEBASES[n].matches(Tensors(other, "x.pt"))]
        assert not [name for name in takers if "agcn" in name and "paddle" not in name]
    with pytest.raises(UnrecognisedCheckpointError, match="without classifier"):
        recognise(Tensors(headless, "x.pt"))


# ---- how much it computes ----------------------------------------------------------------------


def test_macs_are_counted_from_the_formulas(tmp_path: Path) -> None:
    """One block, V=18, C=3, Co=8, C'=2, T=12: each term by hand."""
    spec = load(tmp_path, two_stream_agcn(widths=(8,))).spec
    v, t = 18, 12
    embeddings, scores = 3 * 2 * 2 * 3 * t * v, 3 * v * v * 2 * t
    products, convolutions = 3 * v * v * 3 * t, 4 * 3 * 8 * t * v
    temporal, head = 9 * 8 * 8 * t * v, 8 * CLASSES
    one = embeddings + scores + products + convolutions + temporal
    assert count_macs(spec, frames=t, persons=1) == one + head
    gated = load(tmp_path, two_stream_agcn(kind="aagcn", widths=(8,))).spec
    assert count_macs(gated, frames=t, persons=1) == one + head + 8 * (17 * v + 9 * t + 2 * 4)


def test_macs_of_the_published_network() -> None:
    """AGCN at T=100, M=2, V=17: 4.4 G (MMAction2's table, without gates)."""
    widths = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
    before = (3, *widths[:-1])
    blocks = tuple(
        AgcnBlockSpec(
            ci, co, 2 if i and ci != co else 1,
            "none" if not i else "conv" if ci != co else "identity",
            "conv" if ci != co else "identity", embedding=co // 4,
        )
        for i, (ci, co) in enumerate(zip(before, widths, strict=True))
    )  # fmt: skip
    spec = NetworkSpec("agcn", "NCTVM", 3, 17, 3, 60, blocks)
    assert count_macs(spec, frames=100, persons=2) / 1e9 == pytest.approx(4.4, abs=0.1)
