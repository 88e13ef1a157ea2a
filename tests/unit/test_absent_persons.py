"""Skipping absent persons: the same numbers as the network that runs every slot, with less work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from checkpoints import TINY, copied, edit_model, pyskl, references, save, stgcn, tiny
from conftest import shared_path
from ctrfiles import NETWORKS
from faithful import deployed, error, logits, truth
from onnx import numpy_helper
from torch import Tensor, nn

from stgcn_deploy import api
from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.ensemble import StreamFile, load_ensemble
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.errors import ExportError, UsageError
from stgcn_deploy.exporter.build import input_shape, write_form
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.measure.contenders import bundle_contenders
from stgcn_deploy.measure.inputs import probes
from stgcn_deploy.models.families import FAMILIES, graph_forms, reference_form
from stgcn_deploy.models.persons import PersonSlots
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import BlockSpec, NetworkSpec
from stgcn_deploy.models.streams import STREAM_NAMES, StreamMaker
from stgcn_deploy.models.twostream import _motion_graph
from stgcn_deploy.skeleton.axes import named_shape

T = 16
TOLERANCE = 1e-5
PARITY = "parity with the recorded reference"
# The form that runs every slot differs from ours by the order of sums alone.
ROUNDING = 2e-6
OF_CTRGCN = tuple(f"file of {name}" for name in NETWORKS)
LEARNED = NetworkSpec(
    "paddle-agcn",
    "NCTVM",
    in_channels=2,
    num_joints=7,
    num_subsets=3,
    num_classes=5,
    blocks=(BlockSpec(2, 6, residual="conv"), BlockSpec(6, 8, stride=2, residual="conv")),
    input_norm="none",
)
# One recorded network for each family that has no small file here.
RECORDED = {
    family: name
    for name, (_, _, family) in references().items()
    if family in ("agcn", "aagcn", "dgstgcn", "msg3d", "stgcn-legacy")
}


def opened(state: dict[str, Tensor], *, frames: int = T, persons: int = 3) -> LoadedCheckpoint:
    with TemporaryDirectory() as folder:
        file = save(state, Path(folder) / "tiny.pt")
        found = load_checkpoint(file, Hints(frames=frames))
        return load_checkpoint(
            file, Hints(frames=frames, persons=found.spec.num_persons or persons)
        )


@cache
def loaded(name: str) -> LoadedCheckpoint:
    if name.startswith("file of "):
        return opened(NETWORKS[name.removeprefix("file of ")]())
    return opened(tiny(name))


@cache
def learned() -> nn.Module:
    """A network of the one family that no small file here stands for."""
    torch.manual_seed(0)
    network = reference_form(LEARNED)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


def clips(spec: NetworkSpec, n: int, m: int, *, frames: int = T, seed: int = 0) -> Tensor:
    """A random native batch, everybody present."""
    sizes = {"N": n, "M": m, "T": frames, "V": spec.num_joints, "C": spec.in_channels}
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(named_shape(spec.axes, sizes), generator=generator)


def occupied(batch: Tensor, axes: str, slots: list[tuple[int, ...]]) -> Tensor:
    """The batch with only those slots occupied: 0 or 1, by clip and person."""
    out = batch.clone()
    view = out.movedim([axes.index("N"), axes.index("M")], [0, 1])
    view *= torch.tensor(slots).reshape(len(slots), -1, 1, 1, 1)
    return out


def patterns(persons: int) -> list[tuple[int, ...]]:
    """Every way to be there or not."""
    return list(product((0, 1), repeat=persons))


def skipping(n: int, m: int, *, frames: int = T, dynamic: str = "") -> InputShape:
    return InputShape(n, m, frames, frozenset(dynamic), skip_absent=True)


def every_slot(shape: InputShape) -> InputShape:
    return InputShape(shape.batch, shape.persons, shape.frames, shape.dynamic)


def run(network: nn.Module, batch: Tensor) -> np.ndarray[Any, Any]:
    return logits(network, (batch,))


# ---- the same function -----------------------------------------------------------------------


def forms(names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in names:
        for form in graph_forms(loaded(name).spec):
            yield name, form


@pytest.mark.parametrize(("name", "form"), [*forms(tuple(TINY)), *forms(OF_CTRGCN)])
def test_any_occupancy_gives_what_the_reference_form_gives(name: str, form: str) -> None:
    found = loaded(name)
    ways = patterns(found.persons)
    batch = occupied(clips(found.spec, len(ways), found.persons), found.spec.axes, ways)
    shape = skipping(len(ways), found.persons)
    got = run(deployed(found, form, shape), batch)
    assert error(got, truth(found, (batch,))) < TOLERANCE
    assert error(got, run(deployed(found, form, every_slot(shape)), batch)) < ROUNDING


@pytest.mark.parametrize("form", FAMILIES["paddle-agcn"].graph_forms)
def test_a_graph_that_is_a_layer_skips_too(form: str) -> None:
    ways = patterns(2)
    batch = occupied(clips(LEARNED, len(ways), 2), "NCTVM", ways)
    fast = FAMILIES["paddle-agcn"].deploy(learned(), form, skipping(len(ways), 2))
    assert error(run(fast, batch), run(learned(), batch)) < TOLERANCE


@pytest.mark.shared
@pytest.mark.parametrize("name", RECORDED.values())
def test_networks_of_the_original_codebases_skip_exactly(name: str, tmp_path: Path) -> None:
    import importlib.util
    import sys

    script = shared_path("reference", "rebuild.py")
    described = importlib.util.spec_from_file_location("rebuilt", script)
    assert described is not None
    assert described.loader is not None
    sys.modules["rebuilt"] = module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    path = tmp_path / f"{name}.pt"
    torch.save(module.checkpoint(name)[0], path)
    spec = load_checkpoint(path).spec
    persons = spec.num_persons or 2
    found = load_checkpoint(path, Hints(frames=T, persons=persons))
    ways = [patterns(persons)[0], patterns(persons)[1], patterns(persons)[-1]]
    batch = occupied(clips(spec, len(ways), persons), spec.axes, ways)
    got = run(deployed(found, graph_forms(spec)[0], skipping(len(ways), persons)), batch)
    assert error(got, truth(found, (batch,))) < TOLERANCE


def test_every_family_that_takes_several_persons_is_tested_here() -> None:
    mine = {loaded(name).spec.family for name in (*TINY, *OF_CTRGCN)}
    others = {"paddle-agcn", "ensemble"}
    assert mine | set(RECORDED) | others == set(FAMILIES) - {"tsstg"}


@pytest.fixture
def ensemble(tmp_path: Path) -> LoadedCheckpoint:
    """All four streams of key points with scores."""
    files = [
        StreamFile(
            stream,
            save(pyskl(widths=(6, 8), taps=3, seed=seed), tmp_path / f"{stream}.pt"),
            1.0 + seed,
        )
        for seed, stream in enumerate(STREAM_NAMES)
    ]
    return load_ensemble(files, Hints(frames=T, persons=2), "probabilities")


@pytest.mark.parametrize("dynamic", ["", "N", "M", "NM"])
@pytest.mark.parametrize("form", FAMILIES["ensemble"].graph_forms)
def test_ensembles_skip_in_all_their_members(
    ensemble: LoadedCheckpoint, form: str, dynamic: str
) -> None:
    ways = patterns(2)
    batch = occupied(clips(ensemble.spec, 4, 2), ensemble.spec.axes, ways)
    fast = deployed(ensemble, form, skipping(4, 2, dynamic=dynamic))
    assert error(run(fast, batch), truth(ensemble, (batch,))) < TOLERANCE


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("stream", STREAM_NAMES)
def test_streams_of_an_absent_person_are_zero(stream: str, scores: bool) -> None:
    maker = StreamMaker(stream, "coco17", mean_bone_score=scores, mean_motion_score=scores)
    assert not maker(torch.zeros(2, 3, T, 17)).any()
    assert maker(torch.ones(2, 3, T, 17)).any() or not scores


@pytest.mark.parametrize("kind", ["first_difference", "second_difference"])
def test_motion_of_an_absent_person_is_zero(kind: Any) -> None:
    assert not _motion_graph(torch.zeros(2, 3, T, 17), kind).any()


# ---- the features of an empty slot -----------------------------------------------------------


def empty(found: LoadedCheckpoint, persons: int, frames: int = T) -> Tensor:
    fast: Any = deployed(found, "aggregate", skipping(1, persons, frames=frames))
    constant: Tensor = fast.trunk.empty
    return constant


def test_features_of_an_empty_slot_depend_on_the_number_of_frames() -> None:
    short, long = empty(loaded("stgcn"), 2), empty(loaded("stgcn"), 2, frames=2 * T)
    assert float((short - long).abs().max()) > 1e-3


def test_features_of_empty_slots_are_their_own_where_data_bn_is() -> None:
    own, shared = empty(loaded("stgcn-person"), 2), empty(loaded("stgcn"), 2)
    assert float((own[0] - own[1]).abs().max()) > 1e-3
    assert torch.equal(shared[0], shared[1])
    assert float(shared.abs().max()) > 1e-2


# ---- what runs -------------------------------------------------------------------------------


def rows_run(batch: Tensor, shape: InputShape) -> int:
    """How many slots go through the first block."""
    fast: Any = deployed(loaded("stgcn"), "aggregate", shape)
    seen: list[int] = []
    fast.trunk.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    run(fast, batch)
    return seen[0]


@pytest.mark.parametrize("way", patterns(3))
def test_only_occupied_slots_run_and_always_the_first(way: tuple[int, ...]) -> None:
    batch = occupied(clips(loaded("stgcn").spec, 1, 3), "NCTVM", [way])
    shape = skipping(1, 3)
    assert rows_run(batch, shape) == sum((1, *way[1:]))
    assert rows_run(batch, every_slot(shape)) == 3


def test_the_first_slot_of_a_later_clip_is_skipped() -> None:
    batch = occupied(clips(loaded("stgcn").spec, 3, 2), "NCTVM", [(1, 0), (0, 1), (0, 0)])
    assert rows_run(batch, skipping(3, 2)) == 2


@pytest.mark.parametrize("value", [1.0, -1.0, 1e-30, float("nan"), float("inf")])
@pytest.mark.parametrize("where", [(0, 0, 0), (2, T - 1, 4)])
def test_one_number_that_is_not_zero_is_a_person(value: float, where: tuple[int, ...]) -> None:
    clip = torch.zeros(3, 3, T, 5)
    clip[(2, *where)] = value
    found = PersonSlots(skipping(1, 3))(clip)
    assert found.rows.tolist() == [0, 2]
    assert found.sources.tolist() == [3, 1, 4]


def test_minus_zero_is_nobody() -> None:
    assert PersonSlots(skipping(1, 2))(torch.full((2, 3, T, 5), -0.0)).rows.tolist() == [0]


def test_not_a_number_is_not_hidden() -> None:
    batch = occupied(clips(loaded("stgcn").spec, 1, 3), "NCTVM", [(1, 0, 0)])
    batch[0, 0, 3, 2, 2] = float("nan")
    assert np.isnan(run(deployed(loaded("stgcn"), "aggregate", skipping(1, 3)), batch)).any()


@pytest.mark.parametrize("name", ["stgcn", "twostream", "stgcn-person", "stgcnpp"])
def test_a_person_in_one_frame_only_is_exact(name: str) -> None:
    found = loaded(name)
    spec, persons = found.spec, found.persons
    whole = clips(spec, 1, persons).movedim(spec.axes.index("T"), 0)
    batch = torch.zeros_like(whole)
    batch[-1] = whole[-1]
    native = batch.movedim(0, spec.axes.index("T"))
    native = occupied(native, spec.axes, [(0,) * (persons - 1) + (1,)])
    got = run(deployed(found, "matmul", skipping(1, persons)), native)
    assert error(got, truth(found, (native,))) < TOLERANCE


# ---- the written graph -----------------------------------------------------------------------


def in_runtime(
    found: LoadedCheckpoint, file: Path, options: ExportOptions, batches: list[Tensor], runtime: str
) -> None:
    """Write the graph and compare it, batch by batch."""
    write_form(found, options.graph_form, file, options)
    onnx.checker.check_model(str(file), full_check=True)
    with BACKENDS[runtime].open(file, OpenOptions(threads=1)) as session:
        for batch in batches:
            got = session.run({"input": batch.numpy()})["output"]
            assert error(got, truth(found, (batch,))) < TOLERANCE


def some_batches(found: LoadedCheckpoint, sizes: list[tuple[int, int]]) -> list[Tensor]:
    """Each size with nobody, with everybody, and with the last ones only."""
    spec = found.spec
    return [
        occupied(clips(spec, n, m), spec.axes, [way] * n)
        for n, m in sizes
        for way in ((0,) * m, (1,) * m, (0,) * (m - 1) + (1,))
    ]


def narrow(name: str) -> LoadedCheckpoint:
    makes: dict[str, Callable[[], dict[str, Tensor]]] = {
        "stgcn": lambda: stgcn(widths=(4, 6), taps=3),
        "person": lambda: stgcn(widths=(4, 6), taps=3, norm="person"),
    }
    return opened(makes[name](), persons=2) if name in makes else loaded(name)


@pytest.mark.parametrize("opset", range(11, 21))
def test_every_opset_is_written(tmp_path: Path, opset: int) -> None:
    found = narrow("stgcn")
    for form in ("aggregate", "matmul", *(["einsum"] if opset > 11 else [])):
        options = ExportOptions(graph_form=form, opset=opset, logits=True, skip_absent=True)
        batches = some_batches(found, [(1, 2)])
        in_runtime(found, tmp_path / f"{form}.onnx", options, batches, "onnxruntime")


@pytest.mark.parametrize("dynamic", ["N", "M", "NM"])
@pytest.mark.parametrize("name", ["stgcn", "person", "twostream", "stgcnpp"])
def test_batch_and_persons_may_be_open(tmp_path: Path, name: str, dynamic: str) -> None:
    found = narrow(name)
    if name == "person" and "M" in dynamic:
        with pytest.raises(ExportError, match="data_bn"):
            input_shape(found, ExportOptions(dynamic=frozenset(dynamic), skip_absent=True))
        return
    sizes = [(n, m) for n in ((1, 3) if "N" in dynamic else (1,))
             for m in ((1, 2, 5) if "M" in dynamic else (found.persons,))]  # fmt: skip
    options = ExportOptions(
        graph_form="aggregate", dynamic=frozenset(dynamic), logits=True, skip_absent=True
    )
    in_runtime(found, tmp_path / "m.onnx", options, some_batches(found, sizes), "onnxruntime")


@pytest.mark.parametrize("dynamic", ["", "NM"])
@pytest.mark.parametrize("form", ["aggregate", "einsum", "matmul"])
@pytest.mark.parametrize("name", ["stgcn", "person", "twostream", "stgcnpp"])
def test_openvino_gives_the_same(tmp_path: Path, name: str, form: str, dynamic: str) -> None:
    if reason := BACKENDS["openvino"].available():
        pytest.skip(reason)
    found = narrow(name)
    dynamic = dynamic.replace("M", "") if name == "person" else dynamic
    sizes = [(1, found.persons)] + ([(3, found.persons)] if dynamic else [])
    options = ExportOptions(
        graph_form=form, dynamic=frozenset(dynamic), logits=True, skip_absent=True
    )
    in_runtime(found, tmp_path / "m.onnx", options, some_batches(found, sizes), "openvino")


def test_blocks_keep_the_names_of_their_nodes(tmp_path: Path) -> None:
    """Whatever names layers (quantisation, a profile) finds them in both."""
    named = []
    for skip in (False, True):
        file = tmp_path / f"{skip}.onnx"
        options = ExportOptions(graph_form="aggregate", skip_absent=skip)
        model = write_form(narrow("stgcn"), "aggregate", file, options)
        named.append({node.name for node in model.graph.node if "blocks" in node.name})
    assert named[0] == named[1]
    assert len(named[0]) > 10


@pytest.mark.parametrize("dynamic", ["", "N", "NM"])
def test_onnxruntime_fuses_as_much_as_where_every_slot_runs(tmp_path: Path, dynamic: str) -> None:
    """It does so only where it can tell that two sizes are one."""
    import onnxruntime

    left = []
    for options in (
        ExportOptions(graph_form="aggregate"),
        ExportOptions(graph_form="aggregate", dynamic=frozenset(dynamic), skip_absent=True),
    ):
        file, seen = tmp_path / "model.onnx", tmp_path / "seen.onnx"
        write_form(loaded("stgcn"), "aggregate", file, options)
        settings = onnxruntime.SessionOptions()
        settings.optimized_model_filepath, settings.log_severity_level = str(seen), 3
        onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
        left.append([node.op_type for node in onnx.load(str(seen)).graph.node].count("Relu"))
    assert left[0] == left[1]


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize("dynamic", ["T", "NT", "NTM"])
def test_an_open_number_of_frames_is_refused(dynamic: str) -> None:
    with pytest.raises(ExportError, match="number of frames is fixed"):
        skipping(1, 2, dynamic=dynamic)


def test_one_slot_is_refused_unless_it_may_be_more() -> None:
    with pytest.raises(ExportError, match="one person slot"):
        skipping(4, 1)
    assert skipping(1, 1, dynamic="M").skip_absent


def test_the_reference_form_is_refused() -> None:
    with pytest.raises(ExportError, match="reference form"):
        ExportOptions(graph_form="reference", skip_absent=True)


def test_a_family_of_one_person_is_refused_by_name() -> None:
    class OnePerson:
        spec = NetworkSpec("tsstg", "NCTV", 3, 14, 3, 7, (BlockSpec(3, 8),))
        persons, frames = 1, 30

    with pytest.raises(ExportError, match="'tsstg' takes one person"):
        input_shape(OnePerson(), ExportOptions(skip_absent=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--dynamic", "frames"], "number of frames is fixed"),
        (["--preset", "realtime"], "number of frames is fixed"),
        (["--preset", "development"], "reference form"),
        (["--persons", "1"], "one person slot"),
    ],
)
def test_the_command_says_why_not(
    cli: Callable[..., Any], tmp_path: Path, arguments: list[str], why: str
) -> None:
    file = save(tiny("stgcn"), tmp_path / "a.pt")
    out = tmp_path / "out"
    done = cli("export", file, "-o", out, "--frames", 20, "--skip-absent", *arguments)
    assert done.code == 2
    assert why in " ".join(done.err.split())
    assert not out.exists()


# ---- bundles ---------------------------------------------------------------------------------

BUNDLES = ["stgcn", "stgcn-person", "twostream-openpose", "stgcnpp"]


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_that_skips_passes_verification(example: Callable[..., Any], name: str) -> None:
    made = example(name, skip_absent=True)
    manifest = Bundle(made.bundle).manifest
    assert manifest.clip.skips_absent
    assert not Bundle(example(name).bundle).manifest.clip.skips_absent
    report = api.verify(made.bundle, checkpoint=made.checkpoint, seeds=1)
    assert report.passed
    assert report.golden.max_error < ROUNDING


def test_verification_passes_with_open_axes(example: Callable[..., Any]) -> None:
    made = example(skip_absent=True, dynamic="batch,persons")
    assert api.verify(made.bundle, checkpoint=made.checkpoint, seeds=1).passed


def _change(model: onnx.ModelProto, name: str, to: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change one constant, whether it is an initializer or a node."""
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(to(numpy_helper.to_array(tensor)), name))
            return
    for node in model.graph.node:
        if name in node.output:
            value = node.attribute[0].t
            value.CopyFrom(numpy_helper.from_array(to(numpy_helper.to_array(value))))
            return
    raise AssertionError(f"no constant {name}")


def _failed(bundle: Path) -> set[str]:
    return {check.name for check in api.verify(bundle, seeds=1).checks if not check.passed}


def test_wrong_features_of_an_empty_slot_fail(example: Callable[..., Any], tmp_path: Path) -> None:
    bundle = copied(example(skip_absent=True).bundle, tmp_path)
    edit_model(bundle, lambda m: _change(m, "network.trunk.empty", lambda x: x * np.float32(1.01)))
    assert PARITY in _failed(bundle)


def test_features_of_another_slot_fail(example: Callable[..., Any], tmp_path: Path) -> None:
    bundle = copied(example("stgcn-person", skip_absent=True).bundle, tmp_path)
    edit_model(bundle, lambda m: _change(m, "network.trunk.empty", lambda x: x[::-1].copy()))
    assert PARITY in _failed(bundle)


def test_a_person_overlooked_fails(example: Callable[..., Any], tmp_path: Path) -> None:
    """A slot counts as empty while it is small: nobody notices but the glimpse."""

    def overlook(model: onnx.ModelProto) -> None:
        (node,) = (node for node in model.graph.node if node.op_type == "Equal")
        node.op_type = "Less"
        _change(model, node.input[1], lambda x: x + np.float32(3))

    bundle = edit_model(copied(example(skip_absent=True).bundle, tmp_path), overlook)
    assert PARITY in _failed(bundle)


@pytest.mark.parametrize("persons", [2, 5])
def test_probes_hold_absent_persons_of_every_kind(
    example: Callable[..., Any], persons: int
) -> None:
    manifest = Bundle(example(persons=persons).bundle).manifest
    present = {
        probe.name: tuple(np.abs(probe.batch[0]).max(axis=(1, 2, 3)) > 0)
        for probe in probes(manifest)
    }
    first = (True, *[False] * (persons - 1))
    assert present["zeros"] == (False,) * persons
    assert present["absent"] == first
    assert present["alternating"][:2] == (False, True)
    assert present["glimpse"] == first[::-1]
    glimpse = next(probe.batch for probe in probes(manifest) if probe.name == "glimpse")
    assert np.count_nonzero(glimpse.any(axis=(0, 1, 3, 4))) == 1


# ---- bench -----------------------------------------------------------------------------------


@pytest.mark.parametrize("present", [0, 1, 2])
def test_bench_feeds_so_many_persons(example: Callable[..., Any], present: int) -> None:
    bundle = example(skip_absent=True).bundle
    (one,) = bundle_contenders(bundle, "onnxruntime", (1,), 1, present)
    assert one.options["present"] == {"input": (4, present)}
    assert f"{present} of 2 present" in one.name
    report = api.bench([bundle], threads=1, duration=0.01, rounds=1, present=present)
    assert report.rows[0].error is None


def test_the_worker_empties_the_other_slots(
    example: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from stgcn_deploy.backends.base import Session
    from stgcn_deploy.measure.worker import prepare_model

    fed: list[dict[str, Any]] = []
    monkeypatch.setattr(Session, "run", lambda self, feed: fed.append(feed))
    (one,) = bundle_contenders(example(skip_absent=True).bundle, "onnxruntime", (1,), 1, 1)
    prepare_model(one.options)()
    (clip,) = (feed["input"] for feed in fed)
    assert np.abs(clip[..., 0]).min() > 0
    assert not clip[..., 1].any()


@pytest.mark.parametrize("present", [-1, 3])
def test_bench_refuses_more_persons_than_slots(example: Callable[..., Any], present: int) -> None:
    with pytest.raises(UsageError, match="2 person slot"):
        api.bench([example(skip_absent=True).bundle], present=present)


def test_bench_refuses_what_cannot_be_absent(example: Callable[..., Any]) -> None:
    made = example(persons=1)
    with pytest.raises(UsageError, match="1 person slot"):
        api.bench([made.bundle], present=1)
    with pytest.raises(UsageError, match="no bundle"):
        api.bench([made.checkpoint], present=1)
