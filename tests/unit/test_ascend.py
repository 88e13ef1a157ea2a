"""Backend "ascend": a bundle with OM files, used by every command that runs a bundle."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from checkpoints import CLASSES, Draw, copied, edit_manifest, edit_model, reseal, save, stgcn
from labelled import recordings, save_network
from npu import npu, npu_in_children
from oms import bundle_with_oms, make_om
from onnx import numpy_helper

from stgcn_deploy import api
from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle, Golden, write_golden
from stgcn_deploy.errors import BackendError, BundleError, ClipError, MissingDependencyError
from stgcn_deploy.measure.verify import VerifyReport, failure_text

__all__ = ["npu", "npu_in_children"]

ASCEND = BACKENDS["ascend"]
BUILT = OpenOptions(compute=None)
PARITY = "parity with the recorded reference"
RECORDED = "recorded reference"


@pytest.fixture(scope="module")
def source(example: Callable[..., Any]) -> Path:
    path: Path = example(dynamic="batch").bundle
    return path


@pytest.fixture
def bundle(source: Path, tmp_path: Path) -> Path:
    """Batches 1 and 4."""
    return bundle_with_oms(source, tmp_path / "bundle", [1, 4])


def _clip(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (2, 20, 18, 3)).astype(np.float32)


def _failed(report: VerifyReport) -> set[str]:
    return {check.name for check in report.checks if not check.passed}


# ---- opening -------------------------------------------------------------------------------------


def test_without_pyacl_it_says_what_to_install(source: Path, tmp_path: Path) -> None:
    if "acl" in sys.modules or ASCEND.version():
        pytest.skip("pyACL is installed here")
    assert "set_env.sh" in str(ASCEND.available())
    with pytest.raises(MissingDependencyError, match=r"needs acl.*set_env\.sh"):
        ASCEND.open(make_om(source, tmp_path / "m.om"), BUILT)


def test_with_pyacl_it_is_usable_and_has_a_version(
    npu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ASCEND.available() is None
    monkeypatch.delenv("ASCEND_HOME_PATH", raising=False)
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(tmp_path))
    assert ASCEND.version() == "CANN of unknown version"
    folder = tmp_path / "aarch64-linux"
    folder.mkdir()
    text = "package_name=Ascend-cann-toolkit\nversion=8.0.RC3\narch=aarch64\n"
    (folder / "ascend_toolkit_install.info").write_text(text)
    assert ASCEND.version() == "CANN 8.0.RC3"


def test_no_npu_and_a_broken_driver_are_reasons(npu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    npu.devices = 0
    assert "ACL sees no NPU here" in str(ASCEND.available())
    npu.fail_at, npu.fail_with = sum(npu.counts.values()) + 1, 507899
    assert "error 507899" in str(ASCEND.available())


def test_init_that_fails_is_a_reason(npu: Any) -> None:
    npu.fail_at, npu.fail_with = 1, 148049
    assert "acl.init failed with ACL error 148049 (ASCEND_OPP_PATH is wrong" in str(
        ASCEND.available()
    )


def test_another_module_of_that_name_is_a_reason(monkeypatch: pytest.MonkeyPatch, npu: Any) -> None:
    import types

    monkeypatch.setitem(sys.modules, "acl", types.ModuleType("acl"))
    assert "not a working pyACL" in str(ASCEND.available())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (OpenOptions(compute=None, tap="logits"), "inner tensor 'logits' cannot be shown"),
        (OpenOptions(compute="fp16"), "computes as it was built"),
        (OpenOptions(), "cannot be told to compute in fp32"),
    ],
)
def test_what_an_om_cannot_do_is_refused(
    npu: Any, bundle: Path, options: OpenOptions, message: str
) -> None:
    with pytest.raises(BackendError, match=message):
        ASCEND.open(bundle / "model_b1_fp32.om", options)


def test_a_wrong_input_is_refused_with_what_was_expected(npu: Any, bundle: Path) -> None:
    good = np.zeros((1, 3, 20, 18, 2), np.float32)
    wrong = {
        "has shape": {"input": np.zeros((2, 3, 20, 18, 2), np.float32)},
        "has dtype float16": {"input": good.astype(np.float16)},
        "has dtype float64": {"input": good.astype(np.float64)},
        "is missing": {},
        "did you mean 'input'": {"inputs": good},
    }
    with ASCEND.open(bundle / "model_b1_fp32.om", BUILT) as session:
        for message, feed in wrong.items():
            with pytest.raises(ClipError, match=message):
                session.run(feed)
        assert npu.counts["mdl.execute"] == 0
        assert np.isfinite(session.run({"input": good})["output"]).all()


@pytest.mark.parametrize(
    ("found", "name"),
    [
        ("Softmax_12:0:output", "output"),
        ("PartitionedCall_/head/Softmax_12:0:out:put", "out:put"),
        ("Softmax_12:0", "output"),
        ("Softmax_12", "output"),
    ],
)
def test_outputs_have_the_names_of_the_graph(
    npu: Any, bundle: Path, monkeypatch: pytest.MonkeyPatch, found: str, name: str
) -> None:
    import acl

    monkeypatch.setattr(acl.mdl, "get_output_name_by_index", lambda desc, index: found)
    with ASCEND.open(bundle / "model_b1_fp32.om", BUILT) as session:
        assert [spec.name for spec in session.outputs] == [name]


# ---- a bundle ------------------------------------------------------------------------------------


def test_predictions_are_those_of_the_graph(npu: Any, bundle: Path) -> None:
    for batch in (None, 1, 4):
        with api.load(bundle, backend="ascend", batch=batch) as model, api.load(bundle) as plain:
            for seed in range(2):
                found, wanted = (m.predict(_clip(seed)).scores for m in (model, plain))
                assert np.allclose(found, wanted, atol=1e-6)
            many = np.stack([_clip(seed) for seed in range(6)])
            assert np.allclose(model.scores(many), plain.scores(many), atol=1e-6)


def test_a_batch_that_was_not_built_names_those_that_were(npu: Any, bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"batches 1, 4.*stgcn build .* --to ascend .*--batch 3"):
        api.load(bundle, backend="ascend", batch=3)


def test_a_bundle_without_an_om_names_the_command(npu: Any, source: Path) -> None:
    with pytest.raises(BundleError, match=f"stgcn build {source} --to ascend"):
        api.load(source, backend="ascend")


# ---- verification --------------------------------------------------------------------------------


@pytest.mark.parametrize("batches", [[1], [1, 4], [[1, 2, 4]]], ids=str)
@pytest.mark.parametrize("name", ["stgcn", "twostream-openpose"])
def test_an_om_of_the_graph_passes(
    npu: Any, example: Callable[..., Any], tmp_path: Path, name: str, batches: list[Any]
) -> None:
    made = example(name, dynamic="batch")
    found = bundle_with_oms(made.bundle, tmp_path / "bundle", batches)
    report = api.verify(found, backend="ascend", checkpoint=made.checkpoint, seeds=2)
    assert report.passed, failure_text(report)
    assert report.golden.max_error < 5e-6
    silent = [case.name for case in report.golden.cases if not case.seen]
    assert silent == ["zeros"]
    details = [check.detail for check in report.checks if PARITY in check.name]
    assert len(details) == len(batches)
    assert all("compared are log-probabilities above 1e-30" in detail for detail in details)
    if batches == [[1, 2, 4]]:
        assert {"random, batch 2", "random, batch 4"} <= {c.name for c in report.golden.cases}


def test_an_om_of_a_bundle_with_logits_is_compared_in_logits(
    npu: Any, example: Callable[..., Any], tmp_path: Path
) -> None:
    found = bundle_with_oms(example(logits=True).bundle, tmp_path / "bundle")
    report = api.verify(found, backend="ascend", seeds=1)
    assert report.passed, failure_text(report)
    assert "log-prob" not in " ".join(check.detail for check in report.checks)


@pytest.fixture(scope="module")
def falls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TSSTG: two inputs, independent classes."""
    folder, draw, state = tmp_path_factory.mktemp("tsstg"), Draw(3), {}
    for name, channels, seed in (("pts", 3, 1), ("mot", 2, 2)):
        part = stgcn(layout="cococut14", widths=(6, 6, 8), channels=channels, seed=seed)
        state |= {f"{name}_stream.{k}": v for k, v in part.items() if not k.startswith("fcn.")}
    state |= {"fcn.weight": draw.normal(CLASSES, 16), "fcn.bias": draw.normal(CLASSES)}
    api.export(save(state, folder / "falls.pt"), folder / "falls", frames=12)
    return folder / "falls"


def test_independent_classes_are_compared_in_odds(npu: Any, falls: Path, tmp_path: Path) -> None:
    found = bundle_with_oms(falls, tmp_path / "bundle")
    report = api.verify(found, backend="ascend", seeds=1)
    assert report.passed, failure_text(report)
    assert "log-odds" in " ".join(check.detail for check in report.checks)
    edit = _scaled(_weights(falls)[0], 1.01)
    wrong = bundle_with_oms(falls, tmp_path / "wrong" / "bundle", edit=edit)
    assert _failed(api.verify(wrong, backend="ascend", seeds=1)) == {PARITY}


def test_half_precision_is_judged_as_half_precision(npu: Any, source: Path, tmp_path: Path) -> None:
    """By the record of the file, not by the graph that it was built of."""
    found = bundle_with_oms(source, tmp_path / "half", precision="fp16")
    assert Bundle(found).manifest.precision.actual == "fp32"
    report = api.verify(found, backend="ascend", seeds=1)
    assert report.passed, failure_text(report)
    assert report.golden.tolerance == 1e-2
    assert 1e-5 < report.golden.max_error < 1e-2


MODELS = Path(__file__).parents[1] / "data" / "models"


def test_a_trained_network_in_half_precision_is_judged_by_more_than_nobody(
    npu: Any, tmp_path: Path
) -> None:
    """It is sure of every recorded case, so that their probabilities tell nothing."""
    api.export(MODELS / "jhmdb14_stgcn_slim_bone_s1.pth", tmp_path / "net", graph_form="aggregate")
    found = bundle_with_oms(tmp_path / "net", tmp_path / "bundle", precision="fp16")
    report = api.verify(found, backend="ascend", seeds=1)
    assert report.passed, failure_text(report)
    telling = [case.name for case in report.golden.cases if case.seen]
    assert len(telling) >= 4
    assert all(name.startswith("graph ") for name in telling)
    name = next(one for one in _weights(tmp_path / "net") if "gcn.conv.weight" in one)
    edit = _scaled(name, 1.5)
    wrong = bundle_with_oms(
        tmp_path / "net", tmp_path / "wrong" / "bundle", precision="fp16", edit=edit
    )
    assert PARITY in _failed(api.verify(wrong, backend="ascend", seeds=1))


def test_half_precision_that_calls_itself_single_fails(
    npu: Any, source: Path, tmp_path: Path
) -> None:
    om = make_om(source, tmp_path / "half.om", precision="fp16")
    found = bundle_with_oms(source, tmp_path / "bundle")
    (found / "model_b1_fp32.om").write_bytes(om.read_bytes())
    report = api.verify(reseal(found), backend="ascend", seeds=1)
    assert _failed(report) == {PARITY}


def _scaled(name: str, factor: float) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == name:
                values = (numpy_helper.to_array(tensor) * np.float32(factor)).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(values, name))

    return change


def _weights(bundle: Path) -> list[str]:
    graph = onnx.load(str(bundle / "model.onnx")).graph
    return [one.name for one in graph.initializer if one.data_type == 1 and np.prod(one.dims) > 1]


def test_one_percent_of_any_one_tensor_of_an_om_is_noticed(
    npu: Any, source: Path, tmp_path: Path
) -> None:
    names = _weights(source)
    assert len(names) >= 14
    unseen = {}
    for number, name in enumerate(names):
        found = bundle_with_oms(source, tmp_path / str(number) / "bundle", edit=_scaled(name, 1.01))
        report = api.verify(found, backend="ascend", seeds=1)
        if PARITY not in _failed(report):
            unseen[name] = report.golden.max_error
    assert unseen == {}


def test_one_wrong_row_of_a_batch_is_noticed(npu: Any, source: Path, tmp_path: Path) -> None:
    """The recorded cases hold one clip; they fill a file of four, and every row is compared."""

    def last_row_doubled(model: onnx.ModelProto) -> None:
        graph = model.graph
        factor = np.ones((4, 1), np.float32)
        factor[3] = 1.5
        graph.initializer.append(numpy_helper.from_array(factor, "factor"))
        place = next(i for i, node in enumerate(graph.node) if "logits" in node.output)
        graph.node[place].output[0] = "before"
        graph.node.insert(place + 1, onnx.helper.make_node("Mul", ["before", "factor"], ["logits"]))

    found = bundle_with_oms(source, tmp_path / "bundle", [4], edit=last_row_doubled)
    assert PARITY in _failed(api.verify(found, backend="ascend", seeds=1))


def test_one_bad_file_of_several_is_named(npu: Any, source: Path, tmp_path: Path) -> None:
    good = bundle_with_oms(source, tmp_path / "bundle", [1, 4])
    bad = make_om(source, tmp_path / "bad.om", [4], edit=_scaled(_weights(source)[-1], 2.0))
    (good / "model_b4_fp32.om").write_bytes(bad.read_bytes())
    report = api.verify(reseal(good), backend="ascend", seeds=1)
    assert _failed(report) == {f"model_b4_fp32.om: {PARITY}"}
    assert report.golden.max_error > 1e-4


@pytest.mark.parametrize("wrong", [[[1, 3, 20, 17, 2]], [[1, 3, 21, 18, 2]], [[4, 3, 20, 18, 2]]])
def test_a_file_of_other_sizes_than_its_record_fails(
    npu: Any, source: Path, tmp_path: Path, wrong: list[list[int]]
) -> None:
    found = bundle_with_oms(source, tmp_path / "bundle")

    def change(manifest: dict[str, Any]) -> None:
        manifest["builds"][0]["shapes"]["input"] = wrong

    report = api.verify(edit_manifest(found, change), backend="ascend")
    # Either the file is not as its record says, or its record is not as the graph.
    assert not report.passed or wrong != [[4, 3, 20, 18, 2]]
    if wrong == [[4, 3, 20, 18, 2]]:
        assert _failed(report) == {"shape of input"}


def test_saturated_probabilities_fail_and_say_what_to_do(
    npu: Any, example: Callable[..., Any], tmp_path: Path
) -> None:
    """Logits times 1000: the softmax is 0 or 1 whatever the graph does."""
    source = copied(example().bundle, tmp_path)

    def sure(model: onnx.ModelProto) -> None:
        graph = model.graph
        graph.initializer.append(numpy_helper.from_array(np.float32(1e5), "factor"))
        place = next(i for i, node in enumerate(graph.node) if "logits" in node.output)
        graph.node[place].output[0] = "before"
        graph.node.insert(place + 1, onnx.helper.make_node("Mul", ["before", "factor"], ["logits"]))

    cases = Bundle(source).golden()
    write_golden(source, tuple(Golden(c.name, c.batch, c.logits * 1e5) for c in cases))
    edit_model(reseal(source), sure)
    assert api.verify(source, seeds=1).golden.passed
    report = api.verify(bundle_with_oms(source, tmp_path / "bundle"), backend="ascend", seeds=1)
    assert PARITY in _failed(report)
    assert "Export the bundle with --logits and build it again" in failure_text(report)


# ---- the command line ----------------------------------------------------------------------------


def test_the_commands_take_it(
    npu_in_children: Any, bundle: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    np.save(tmp_path / "clip.npy", _clip())
    for command in (
        ("verify", bundle, "--backend", "ascend", "--seeds", 1),
        ("predict", bundle, tmp_path / "clip.npy", "--backend", "ascend"),
        ("bench", bundle, "--backend", "ascend", "--batch", "1,4", "--duration", 0.2),
    ):
        done = cli(*command, *(("--rounds", 1, "--threads", 1) if command[0] == "bench" else ()))
        assert done.code == 0, done.out + done.err
    assert "batch 4" in done.out
    done = cli("predict", bundle, tmp_path / "clip.npy", "--backend", "ascend", "--json")
    wanted = cli("predict", bundle, tmp_path / "clip.npy", "--json")
    scores = [json.loads(one.out)["scores"] for one in (done, wanted)]
    assert np.allclose(*scores, atol=1e-6)


def test_a_changed_om_ends_verify_with_one(
    npu: Any, source: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    edit = _scaled(_weights(source)[0], 1.01)
    found = bundle_with_oms(source, tmp_path / "bundle", edit=edit)
    done = cli("verify", found, "--backend", "ascend", "--seeds", 1)
    assert done.code == 1
    assert "verdict: FAILED" in done.out


def test_bench_of_a_batch_that_was_not_built_ends_with_two(
    npu: Any, bundle: Path, cli: Callable[..., Any]
) -> None:
    done = cli("bench", bundle, "--backend", "ascend", "--batch", 2, "--duration", 0.1)
    assert done.code == 2
    assert "there are batches 1, 4" in done.err


def test_eval_and_compare_take_it_too(
    npu_in_children: Any, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    recordings(tmp_path / "walks.pkl", 12)
    save_network(tmp_path / "net.pth")
    api.export(tmp_path / "net.pth", tmp_path / "plain", graph_form="aggregate", dynamic="batch")
    found = bundle_with_oms(tmp_path / "plain", tmp_path / "bundle", [4], precision="fp16")
    graph = api.evaluate([found], tmp_path / "walks.pkl", resume=False)
    chip = api.evaluate([found], tmp_path / "walks.pkl", backend=["ascend"], resume=False)
    assert np.allclose(chip.rows[0].scores, graph.rows[0].scores, atol=5e-3)
    assert "fp16" in chip.rows[0].form
    assert "fp32" in graph.rows[0].form
    done = cli(
        "compare", found, "--backend", "onnxruntime", "--backend", "ascend", "--batch", 4, "--threads", 1,
        "--duration", 0.2, "--rounds", 1, "--json",
    )  # fmt: skip
    assert done.code == 0, done.out + done.err
    rows = json.loads(done.out)["rows"]
    assert [row["precision"] for row in rows] == ["fp32", "fp16"]
    assert rows[1]["size_mb"] < rows[0]["size_mb"]


def test_tune_tries_the_batches_that_were_built(bundle: Path) -> None:
    from stgcn_deploy.measure.sweep import quick_settings, settings_for

    manifest = Bundle(bundle).manifest
    found = settings_for(manifest, ["ascend", "onnxruntime"], 1)
    batches = {
        name: [one.batch for one in found if one.backend == name]
        for name in ("ascend", "onnxruntime")
    }
    assert batches["ascend"] == [1, 4]
    assert len(batches["onnxruntime"]) > 2
    assert [one.batch for one in quick_settings(manifest, "ascend", 1)] == [1]
