"""A bundle's OM under stand-ins of the tools: the scores of `stgcn eval`, or the fault by its name."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ascendhost import FRAMES, add_om, host_environment, tiny_bundle, varied_data
from checkpoints import edit_manifest, save
from fakes.om import read_om, write_om

from stgcn_deploy import api
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.data.bins import read_results
from stgcn_deploy.errors import (
    BackendError,
    CheckFailedError,
    DataError,
    OutputExistsError,
    UsageError,
)

COUNT = 13
Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with three OM files, and its data."""
    folder = tmp_path_factory.mktemp("ascend")
    tiny_bundle(folder / "bundle", 1, 4, 8)
    varied_data(folder, COUNT)
    return folder


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in host_environment(tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache")).items():
        monkeypatch.setenv(name, value)


def _run(world: Path, work: Path, **options: Any) -> Any:
    return api.ascend_run(world / "bundle", world / "val_data.npy", work, **options)


def _norm(world: Path) -> Any:
    """What `stgcn eval` finds on the same data."""
    return api.evaluate([world / "bundle"], world / "val_data.npy").rows[0]


# ---- the whole way ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.0.2", "ait"])
@pytest.mark.parametrize("batch", [1, 4, 8])
def test_ais_bench_scores_as_eval_does(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, batch: int
) -> None:
    """13 records fill no batch of 4 or 8: the padding's results must not appear."""
    monkeypatch.setenv("FAKE_AIS_BENCH_VERSION", version)
    norm = _norm(world)
    assert 0 < norm.accuracy.top1 < norm.accuracy.top5 <= 1
    assert len(set(norm.scores.argmax(axis=1))) > 1
    found = _run(world, tmp_path / "work", batch=batch)
    assert np.array_equal(found.accuracy.confusion, norm.accuracy.confusion)
    assert np.array_equal(found.accuracy.ranks, norm.accuracy.ranks)
    scores = read_results(found.folder / "results", COUNT, classes=5).scores
    assert np.allclose(scores, norm.scores, atol=1e-5)
    assert found.ran
    assert found.timing.calls == -(-COUNT // batch)
    assert found.timing.files_per_batch == batch
    assert found.timing.h2d is not None
    assert len(found.bench.rows[0].samples_ms) == found.timing.calls
    assert found.notes == ()


def test_msame_scores_as_eval_does(world: Path, tmp_path: Path) -> None:
    norm, found = _norm(world), _run(world, tmp_path / "work", tool="msame", loop=5)
    assert np.array_equal(found.accuracy.confusion, norm.accuracy.confusion)
    assert np.array_equal(found.accuracy.ranks, norm.accuracy.ranks)
    assert found.timing.npu.count == COUNT - 1
    assert found.pure.npu.count == 4
    assert found.om.batch == 1


def test_a_loop_is_timed_beside_and_scores_nothing(world: Path, tmp_path: Path) -> None:
    found = _run(world, tmp_path / "work", batch=4, loop=20)
    assert (found.pure.npu.count, found.pure.batch) == (20, 4)
    assert [row.name.rpartition(" ")[2] for row in found.bench.rows] == ["samples", "zeros"]
    again = _run(world, tmp_path / "work", batch=4, loop=20)
    assert again.pure == found.pure
    assert not again.ran


def test_several_inputs_are_run_from_a_folder_each(tmp_path: Path) -> None:
    """TSSTG: joints and their motion are two inputs of one network."""
    from unit.test_tsstg import tsstg

    bundle = tmp_path / "bundle"
    api.export(
        save(tsstg(), tmp_path / "net.pt"),
        bundle,
        frames=FRAMES,
        graph_form="matmul",
        dynamic="batch",
    )
    add_om(bundle, 4)
    manifest = Bundle(bundle).manifest
    assert len(manifest.inputs) == 2
    rng = np.random.default_rng(0)
    shape = (COUNT, manifest.clip.channels, FRAMES, manifest.clip.joints, 1)
    np.save(tmp_path / "val_data.npy", rng.normal(size=shape).astype(np.float32))
    np.save(tmp_path / "val_label.npy", rng.integers(0, manifest.num_classes, COUNT))
    norm = api.evaluate([bundle], tmp_path / "val_data.npy").rows[0]
    found = api.ascend_run(bundle, tmp_path / "val_data.npy", tmp_path / "work")
    assert {path.name for path in (tmp_path / "work" / "bins").iterdir()} == {
        "bins.json", "val_label", "val_data_points", "val_data_motion",
    }  # fmt: skip
    scores = read_results(found.folder / "results", COUNT, classes=manifest.num_classes).scores
    assert np.allclose(scores, norm.scores, atol=1e-5)
    assert np.array_equal(found.accuracy.ranks, norm.accuracy.ranks)


def test_records_are_prepared_as_eval_prepares_them(tmp_path: Path) -> None:
    from labelled import recordings, save_network

    save_network(tmp_path / "net.pth")
    bundle = tmp_path / "bundle"
    api.export(tmp_path / "net.pth", bundle, graph_form="matmul", dynamic="batch")
    add_om(bundle, 4)
    recordings(tmp_path / "walks.pkl")
    norm = api.evaluate([bundle], tmp_path / "walks.pkl", split="test1", clips=1).rows[0]
    found = api.ascend_run(bundle, tmp_path / "walks.pkl", tmp_path / "work", split="test1")
    assert found.count == 12
    assert np.array_equal(found.accuracy.ranks, norm.accuracy.ranks)
    assert np.array_equal(found.accuracy.confusion, norm.accuracy.confusion)


def test_half_precision_results_are_read_by_their_size(world: Path, tmp_path: Path) -> None:
    """FP16 outputs behind FP32 inputs, as --output_type=FP16 makes them."""
    shutil.copytree(world / "bundle", tmp_path / "bundle")
    file = tmp_path / "bundle" / "model_b4_fp16.om"
    _with_half_outputs(file)
    _sealed_again(tmp_path / "bundle")
    found = api.ascend_run(tmp_path / "bundle", world / "val_data.npy", tmp_path / "work", batch=4)
    assert (found.folder / "results" / "0_0.bin").stat().st_size == 2 * 5
    norm = _norm(world)
    scores = read_results(found.folder / "results", COUNT, classes=5).scores
    assert np.allclose(scores, norm.scores, atol=0.02)
    assert np.array_equal(found.accuracy.confusion, norm.accuracy.confusion)


def _with_half_outputs(file: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    content, meta = read_om(file)
    model = onnx.load_from_string(content)
    output = model.graph.output[0]
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == output.name:
                node.output[index] = "inner"
    model.graph.node.append(
        helper.make_node("Cast", ["inner"], [output.name], to=TensorProto.FLOAT16)
    )
    output.type.tensor_type.elem_type = TensorProto.FLOAT16
    write_om(file, model.SerializeToString(), meta)


def _sealed_again(bundle: Path) -> None:
    from checkpoints import reseal

    reseal(bundle)


def test_the_command_prints_scores_and_times(world: Path, tmp_path: Path, cli: Cli) -> None:
    arguments = ("ascend", "run", world / "bundle", "--data", world / "val_data.npy")
    finished = cli(*arguments, "--work", tmp_path / "work", "--batch", "4")
    assert finished.code == 0, finished.err
    norm = _norm(world).accuracy
    assert f"top-1 {norm.top1:.2%}   top-5 {norm.top5:.2%}" in finished.out
    assert "compute on the NPU" in finished.out
    assert "throughput on the samples" in finished.out
    again = cli(*arguments, "--work", tmp_path / "work", "--batch", "4", "--json")
    told = json.loads(again.out)
    assert told["accuracy"]["top1"] == norm.top1
    assert told["ran"] is False
    assert told["bench"]["rows"][0]["count"] == told["timing"]["npu"]["count"] == 4


# ---- going on --------------------------------------------------------------------------------


def test_results_that_are_there_are_only_scored(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _run(world, tmp_path / "work", batch=4)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "work" / "bins").rglob("*.bin")}
    # A tool that is started now fails.
    monkeypatch.setenv("FAKE_ASCEND_FAULT", "exit:1")
    again = _run(world, tmp_path / "work", batch=4)
    assert not again.ran
    assert np.array_equal(first.accuracy.confusion, again.accuracy.confusion)
    assert again.timing == first.timing
    assert files == {path: path.stat().st_mtime_ns for path in files}
    with pytest.raises(BackendError, match="failed with code 1"):
        _run(world, tmp_path / "work", batch=4, force=True)
    # What was whole stays until something better is.
    assert _run(world, tmp_path / "work", batch=4).timing == first.timing


def test_other_om_files_share_the_samples(world: Path, tmp_path: Path) -> None:
    for batch in (1, 4):
        assert _run(world, tmp_path / "work", batch=batch).ran
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [
        "bins", "model_b1_fp16_ais_bench", "model_b1_fp16_ais_bench.log",
        "model_b4_fp16_ais_bench", "model_b4_fp16_ais_bench.log",
    ]  # fmt: skip


@pytest.mark.parametrize("signals", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_killed_in_the_tool_goes_on(
    world: Path, tmp_path: Path, signals: signal.Signals
) -> None:
    work = tmp_path / "work"
    command = [
        "stgcn",
        "ascend",
        "run",
        world / "bundle",
        "--data",
        world / "val_data.npy",
        "--work",
        work,
    ]
    with subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, "FAKE_ASCEND_FAULT": "slow:400"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        until = time.monotonic() + 60
        while not list(work.glob("*.attempt*/results/*_0.bin")):
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signals)
        process.wait(timeout=30)
    assert not (work / "model_b1_fp16_ais_bench").exists()
    if signals == signal.SIGINT:
        assert not list(work.glob("*.attempt*"))
    found = _run(world, work)
    assert found.ran
    assert not list(work.glob("*.attempt*"))
    assert np.array_equal(found.accuracy.confusion, _norm(world).accuracy.confusion)


def test_a_tool_that_dies_leaves_no_results(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ASCEND_FAULT", "die:3")
    with pytest.raises(BackendError, match="ended by signal 9") as caught:
        _run(world, tmp_path / "work", batch=4)
    log = tmp_path / "work" / "model_b4_fp16_ais_bench.log"
    assert str(log) in str(caught.value)
    assert "npu-smi" not in str(caught.value)
    assert "acl init success" in log.read_text(encoding="utf-8")
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["bins", log.name]
    monkeypatch.delenv("FAKE_ASCEND_FAULT")
    assert _run(world, tmp_path / "work", batch=4).ran


# ---- what goes wrong -------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["ais_bench", "msame"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing:3", r"1 of 13 results are missing, first 3_0\.bin"),
        ("truncated:3", r"/3_(output_)?0\.bin has 16 bytes, the others 20"),
        ("duplicated:3", "record 3 twice"),
        ("stray", r"copy_(output_)?0\.bin is no result of a numbered record"),
        ("beyond", "result of record 1000000, and there are 13 labels"),
    ],
)
def test_results_that_are_not_right_are_named_and_not_scored(
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tool: Any,
    fault: str,
    message: str,
) -> None:
    monkeypatch.setenv("FAKE_ASCEND_FAULT", fault)
    with pytest.raises(DataError, match=message):
        _run(world, tmp_path / "work", tool=tool)
    assert not (tmp_path / "work" / f"model_b1_fp16_{tool}").exists()


@pytest.mark.parametrize("tool", ["ais_bench", "msame"])
def test_a_tool_that_ends_well_without_output_is_a_failure(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Any
) -> None:
    monkeypatch.setenv("FAKE_ASCEND_FAULT", "silent")
    with pytest.raises(BackendError, match=f"{tool}: it ended well and made"):
        _run(world, tmp_path / "work", tool=tool)


def test_what_the_tool_said_last_is_told_with_what_to_do(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ASCEND_FAULT", "exit:1")
    with pytest.raises(BackendError, match=r"(?s)npu-smi info.*open device 0 failed, ret = 507033"):
        _run(world, tmp_path / "work")


@pytest.mark.parametrize("change", ["missing", "truncated"])
def test_a_sealed_run_that_was_damaged_is_named(world: Path, tmp_path: Path, change: str) -> None:
    found = _run(world, tmp_path / "work", batch=4)
    place = found.folder / "results" / "5_0.bin"
    if change == "missing":
        place.unlink()
    else:
        place.write_bytes(place.read_bytes()[:8])
    with pytest.raises(DataError, match=r"5_0\.bin"):
        _run(world, tmp_path / "work", batch=4)


def test_inputs_of_half_precision_are_noticed_by_the_number_of_calls(
    world: Path, tmp_path: Path
) -> None:
    """Two float32 samples fill a batch of four FP16 ones; the tool computes on nonsense and ends well.

    Its results have the size of float32 scores: 2 of 4 rows of 5 FP16 numbers.
    """
    bundle = tmp_path / "bundle"
    shutil.copytree(world / "bundle", bundle)
    edit_manifest(bundle, lambda manifest: manifest.update(builds=[]))
    for file in bundle.glob("*.om"):
        file.unlink()
    add_om(bundle, 4, half=True)
    with pytest.raises(DataError, match=r"7 call\(s\) of 2 file\(s\), and 13 samples .* are 4"):
        api.ascend_run(bundle, world / "val_data.npy", tmp_path / "work")


def test_an_om_of_another_size_is_named_by_its_tool(world: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(world / "bundle", bundle)
    edit_manifest(bundle, lambda manifest: manifest.update(builds=[]))
    for file in bundle.glob("*.om"):
        file.unlink()
    add_om(bundle, 1, half=True)
    with pytest.raises(BackendError, match="The OM takes samples of another size"):
        api.ascend_run(bundle, world / "val_data.npy", tmp_path / "work")


def test_records_of_another_length_are_refused_before_anything_is_written(
    world: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(world / "bundle", bundle)

    def shorter(manifest: dict[str, Any]) -> None:
        for build in manifest["builds"]:
            shape = build["shapes"]["input"][0]
            shape[2] = 10

    edit_manifest(bundle, shorter)
    with pytest.raises(
        DataError, match=r"samples for val_data are \(1, 3, 20, 18, 2\), .* takes \(1, 3, 10"
    ):
        api.ascend_run(bundle, world / "val_data.npy", tmp_path / "work")
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("name", ["kernel_meta/te.json", "nested/0.bin", "13.bin", "notes.txt"])
def test_what_lies_among_the_samples_is_named_before_the_tool_starts(
    world: Path, tmp_path: Path, name: str
) -> None:
    _run(world, tmp_path / "work")
    stray = tmp_path / "work" / "bins" / "val_data" / name
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"1")
    with pytest.raises(DataError, match=name.partition("/")[0]):
        _run(world, tmp_path / "work", batch=4)


def test_results_of_another_om_are_not_taken(world: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(world / "bundle", bundle)
    api.ascend_run(bundle, world / "val_data.npy", tmp_path / "work", batch=4)
    file = bundle / "model_b4_fp16.om"
    content, meta = read_om(file)
    write_om(file, content, {**meta, "soc_version": "Ascend310B1"})
    _sealed_again(bundle)
    # The samples' record has the bundle's hash too, so that --force is what a new build needs.
    with pytest.raises(OutputExistsError, match="another network"):
        api.ascend_run(bundle, world / "val_data.npy", tmp_path / "work", batch=4)
    found = api.ascend_run(bundle, world / "val_data.npy", tmp_path / "work", batch=4, force=True)
    assert found.ran


@pytest.mark.parametrize("change", ["none", "other", "samples"])
def test_results_of_another_run_lying_there_are_not_scored(
    world: Path, tmp_path: Path, change: str
) -> None:
    found = _run(world, tmp_path / "work", batch=4)
    if change == "none":
        (found.folder / "run.json").unlink()
        message = "is no run of ours"
    elif change == "other":
        place = found.folder / "run.json"
        told = json.loads(place.read_text(encoding="utf-8"))
        place.write_text(json.dumps({**told, "batch": 8}), encoding="utf-8")
        message = r"results of another run \(batch differs\)"
    else:
        (found.folder / "bins.json").write_text("{}", encoding="utf-8")
        message = "results of other samples"
    with pytest.raises(OutputExistsError, match=message):
        _run(world, tmp_path / "work", batch=4)
    if change == "none":
        with pytest.raises(OutputExistsError, match=message):
            _run(world, tmp_path / "work", batch=4, force=True)
    else:
        assert _run(world, tmp_path / "work", batch=4, force=True).ran


def test_labels_that_changed_are_not_scored_with_old_samples(world: Path, tmp_path: Path) -> None:
    data = varied_data(tmp_path, COUNT)
    api.ascend_run(world / "bundle", data, tmp_path / "work")
    labels = np.load(tmp_path / "val_label.npy")
    np.save(tmp_path / "val_label.npy", (labels + 1) % 5)
    with pytest.raises(OutputExistsError, match="other data"):
        api.ascend_run(world / "bundle", data, tmp_path / "work")


def test_a_path_that_later_versions_refuse_is_explained(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_AIS_BENCH_VERSION", "ait")
    with pytest.raises(BackendError, match="take only paths of letters, digits"):
        _run(world, tmp_path / "my work")
    monkeypatch.setenv("FAKE_AIS_BENCH_VERSION", "0.0.2")
    assert _run(world, tmp_path / "my work").ran


def test_scores_that_overflow_are_no_accuracy(world: Path, tmp_path: Path) -> None:
    found = _run(world, tmp_path / "work", batch=4)
    (found.folder / "results" / "2_0.bin").write_bytes(np.full(5, np.nan, "<f4").tobytes())
    with pytest.raises(CheckFailedError, match="NaN among their scores, first number 2"):
        _run(world, tmp_path / "work", batch=4)


def test_a_work_folder_that_is_a_file_is_refused(world: Path, tmp_path: Path) -> None:
    (tmp_path / "work").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot write"):
        _run(world, tmp_path / "work")
    assert (tmp_path / "work").read_text(encoding="utf-8") == "mine"
