"""OpenVINO: exactly the precision asked for, a trial before it is trusted, nothing sent anywhere."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from checkpoints import copied, edit_manifest
from onnx import TensorProto, helper

from stgcn_deploy import api
from stgcn_deploy.backends import openvino_probe
from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.openvino import BACKEND, OpenVinoSession
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.backends.telemetry import SENDER, no_telemetry
from stgcn_deploy.errors import BackendError, MissingDependencyError
from stgcn_deploy.measure.tolerances import TOLERANCES
from stgcn_deploy.measure.verify import failure_text

SHAPE = (1, 3, 20, 18, 2)
CPU = "OPTIMIZATION_CAPABILITIES"
# Where arithmetic is done; the rest moves numbers.
LAYERS = ("Convolution", "MatMul", "FullyConnected")


@pytest.fixture
def model(example: Callable[..., Any]) -> Path:
    """A small st-gcn, where OpenVINO works."""
    if reason := BACKEND.available():
        pytest.skip(reason)
    path: Path = example().bundle / "model.onnx"
    return path


@pytest.fixture
def bf16(model: Path) -> None:
    """Skips where the CPU has no bfloat16."""
    if "BF16" not in _openvino().Core().get_property("CPU", CPU):
        pytest.skip("this CPU has no bfloat16")


def _openvino() -> Any:
    """The library, which must not report that it was imported."""
    with no_telemetry():
        return importlib.import_module("openvino")


def _batch(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def _opened(model: Path, **options: Any) -> OpenVinoSession:
    session = BACKEND.open(model, OpenOptions(**{"threads": 1} | options))
    assert isinstance(session, OpenVinoSession)
    return session


def _precisions(session: OpenVinoSession) -> Counter[str]:
    """What the layers were really compiled for."""
    nodes = [node.get_rt_info() for node in session._compiled.get_runtime_model().get_ops()]
    return Counter(
        str(info["runtimePrecision"].astype(str))
        for info in nodes
        if info["layerType"].astype(str) in LAYERS
    )


# ---- precision -------------------------------------------------------------------------------


def test_every_layer_of_an_fp32_bundle_is_computed_in_float32(model: Path) -> None:
    with _opened(model) as session:
        assert set(_precisions(session)) == {"f32"}


def test_layers_are_computed_in_bfloat16_when_asked(model: Path, bf16: None) -> None:
    with _opened(model, compute="bf16") as session:
        assert _precisions(session)["bf16"] > 0


def test_fp32_agrees_with_onnxruntime_and_bf16_does_only_roughly(model: Path, bf16: None) -> None:
    """Else a silent bfloat16 would pass for float32."""
    feed = {"input": _batch()}
    with BACKENDS["onnxruntime"].open(model, OpenOptions(threads=1, tap="logits")) as session:
        wanted = session.run(feed)["logits"]
    scale = max(1.0, float(np.abs(wanted).max()))
    errors = {}
    for compute in ("fp32", "bf16"):
        with _opened(model, tap="logits", compute=compute) as session:
            errors[compute] = np.abs(session.run(feed)["logits"] - wanted).max() / scale
    assert errors["fp32"] <= TOLERANCES["openvino", "fp32"].error
    assert TOLERANCES["openvino", "fp32"].error < errors["bf16"]
    assert errors["bf16"] <= TOLERANCES["openvino", "bf16"].error


@pytest.mark.parametrize("compute", ["bf16", "fp16"])
def test_a_precision_that_the_cpu_has_not_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, compute: str
) -> None:
    monkeypatch.setattr(_openvino().Core, "get_property", lambda *_: ["FP32", "INT8"])
    with pytest.raises(BackendError, match=rf"not compute in {compute} .*FP32, INT8"):
        _opened(model, compute=compute)


def test_another_precision_than_was_asked_for_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino = _openvino()
    monkeypatch.setattr(
        openvino.CompiledModel, "get_property", lambda *_: openvino.Type.bf16, raising=False
    )
    with pytest.raises(BackendError, match=r"in f32, but it would compute in bf16"):
        _opened(model)


@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_threads_and_hint_reach_the_runtime(model: Path, hint: str) -> None:
    with _opened(model, threads=2, hint=hint) as session:
        assert session._compiled.get_property("PERFORMANCE_HINT") == hint.upper()
        assert session._compiled.get_property("INFERENCE_NUM_THREADS") == 2


# ---- names and sizes -------------------------------------------------------------------------


def test_outputs_keep_their_own_names(example: Callable[..., Any], model: Path) -> None:
    with _opened(model, tap="logits") as session:
        assert [spec.name for spec in session.outputs] == ["output", "logits"]
    with _opened(example(logits=True).bundle / "model.onnx", tap="logits") as session:
        found = session.run({"input": _batch()})
    assert np.array_equal(found["output"], found["logits"])


def test_without_onnx_open_axes_have_a_name_too(
    example: Callable[..., Any], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_model = example(dynamic="frames").bundle / "model.onnx"
    monkeypatch.setitem(sys.modules, "onnx", None)
    with _opened(open_model) as session:
        assert session.inputs[0].shape == (1, 3, "axis2", 18, 2)
        assert session.run({"input": _batch(shape=(1, 3, 33, 18, 2))})["output"].shape == (1, 5)


def _product(path: Path) -> Path:
    """(m, n) x (3, 2), n open."""
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [3, 2], [1.0] * 6)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weight"], ["output"])],
        "product",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["m", "n"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["m", 2])],
        [weight],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    return path


def test_sizes_that_do_not_fit_the_graph_are_refused_and_others_still_run(
    model: Path, tmp_path: Path
) -> None:
    """The CPU plugin alone would read past the end of its buffers."""
    with _opened(_product(tmp_path / "product.onnx")) as session:
        for _ in range(2):
            with pytest.raises(BackendError, match="Incompatible MatMul matrix dimension"):
                session.run({"input": np.ones((2, 2), np.float32)})
            for rows in (1, 4):
                found = session.run({"input": np.ones((rows, 3), np.float32)})["output"]
                assert np.array_equal(found, np.full((rows, 2), 3.0))


def test_a_file_without_a_network_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(BackendError, match=r"empty\.onnx holds no network"):
        _opened(tmp_path / "empty.onnx")


def test_errors_say_what_was_wrong_in_one_line(model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_bytes(b"text")
    with pytest.raises(BackendError) as caught:
        _opened(tmp_path / "text.onnx")
    assert "\n" not in str(caught.value)
    assert "src/" not in str(caught.value)


# ---- the trial run ---------------------------------------------------------------------------


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Put a program in the trial run's place; an empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    openvino_probe._asked.cache_clear()

    def put(program: str) -> None:
        openvino_probe._asked.cache_clear()
        monkeypatch.setattr(openvino_probe, "_argv", lambda: [sys.executable, "-c", program])

    yield put
    openvino_probe._asked.cache_clear()


KILLED = f"import os, signal; os.kill(os.getpid(), {int(signal.SIGFPE)})"


def _notes(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").rglob("*.passed"))


def test_the_trial_run_passes_here(model: Path) -> None:
    assert openvino_probe._answer("here") is None
    assert openvino_probe.compile_something() > 0


def test_a_crash_in_the_trial_run_is_a_reason(
    model: Path, child: Callable[[str], None], tmp_path: Path
) -> None:
    child(KILLED)
    reason = BACKEND.available()
    assert reason is not None
    assert "killed by SIGFPE" in reason
    assert "pip install -U openvino" in reason
    with pytest.raises(MissingDependencyError, match="SIGFPE"):
        _opened(model)
    assert _notes(tmp_path) == []


def test_commands_end_with_the_reason(
    model: Path, child: Callable[[str], None], cli: Callable[..., Any], example: Callable[..., Any]
) -> None:
    child(KILLED)
    finished = cli("verify", example().bundle, "--backend", "openvino")
    assert finished.code == 3
    assert "SIGFPE" in finished.err
    finished = cli("doctor")
    assert finished.code == 0


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise ImportError('libopenvino.so: cannot open')", "failed: ImportError: libopenvino"),
        ("raise SystemExit(7)", "ended with code 7"),
    ],
)
def test_a_trial_run_that_fails_says_why(
    child: Callable[[str], None], program: str, reason: str
) -> None:
    child(program)
    assert reason in (openvino_probe.refusal("1") or "")


def test_a_trial_run_without_an_end_is_stopped(
    child: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    child("import time; time.sleep(60)")
    monkeypatch.setattr(openvino_probe, "SECONDS", 0.2)
    assert "did not end" in (openvino_probe.refusal("1") or "")


def test_a_trial_run_that_cannot_be_started_is_a_reason(
    child: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_probe, "_argv", lambda: ["no-such-program-anywhere"])
    assert "could not be started" in (openvino_probe.refusal("1") or "")


def test_a_machine_that_passed_is_not_asked_again_but_another_one_is(
    child: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child("pass")
    assert openvino_probe.refusal("1") is None
    assert len(_notes(tmp_path)) == 1
    child(KILLED)
    assert openvino_probe.refusal("1") is None
    assert openvino_probe.refusal("2") is not None
    monkeypatch.setattr(openvino_probe, "_machine", lambda: "another CPU")
    assert openvino_probe.refusal("1") is not None


def test_a_refusal_is_asked_again_by_the_next_process(child: Callable[[str], None]) -> None:
    child(KILLED)
    assert openvino_probe.refusal("1") is not None
    child("pass")
    assert openvino_probe.refusal("1") is None


def test_a_cache_folder_that_cannot_be_written_only_costs_time(
    child: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("in the way", encoding="utf-8")
    child("pass")
    assert openvino_probe.refusal("1") is None


def test_without_openvino_the_line_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match=r"stgcn-deploy\[openvino\]"):
        _opened(model)


# ---- nothing is sent -------------------------------------------------------------------------


WATCHED = """
import json, openvino_telemetry
made = []
openvino_telemetry.Telemetry.__init__ = lambda *a, **k: made.append(1)
openvino_telemetry.Telemetry.send_event = lambda *a, **k: None
{code}
print(json.dumps(len(made)))
"""
RUN = """
from pathlib import Path
from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.openvino import BACKEND
import numpy as np
with BACKEND.open(Path({model!r}), OpenOptions(threads=1)) as session:
    session.run({{"input": np.zeros({shape}, np.float32)}})
"""


def _telemetry_sessions(code: str) -> int:
    """How many are begun by a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(code=code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout.splitlines()[-1]))


def test_running_a_bundle_begins_no_telemetry_session(model: Path) -> None:
    assert _telemetry_sessions(RUN.format(model=str(model), shape=SHAPE)) == 0
    assert _telemetry_sessions("import openvino") > 0


def test_hiding_the_sender_leaves_the_modules_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, SENDER, raising=False)
    with no_telemetry(), pytest.raises(ImportError):
        importlib.import_module(SENDER)
    assert SENDER not in sys.modules
    theirs = ModuleType(SENDER)
    monkeypatch.setitem(sys.modules, SENDER, theirs)
    with pytest.raises(KeyError), no_telemetry():
        raise KeyError
    assert sys.modules[SENDER] is theirs


# ---- commands --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["verify", "predict", "bench"])
def test_commands_take_it_by_name_and_by_its_short_name(
    cli: Callable[..., Any],
    example: Callable[..., Any],
    model: Path,
    tmp_path: Path,
    command: str,
) -> None:
    np.save(tmp_path / "clip.npy", np.zeros((2, 20, 18, 3), np.float32))
    arguments: dict[str, tuple[object, ...]] = {
        "verify": (example().bundle, "--seeds", 1),
        "predict": (example().bundle, tmp_path / "clip.npy"),
        "bench": (example().bundle, "--duration", 0.02, "--rounds", 1, "--threads", 1),
    }
    for name in ("openvino", "ov"):
        finished = cli(command, *arguments[command], "--backend", name)
        assert finished.code == 0, finished.err


def test_a_bf16_bundle_passes_verification_within_its_own_tolerance(
    example: Callable[..., Any], model: Path, bf16: None, tmp_path: Path
) -> None:
    bundle = copied(example().bundle, tmp_path)
    record = {"requested": "bf16", "actual": "bf16", "compute": "bf16"}
    edit_manifest(bundle, lambda manifest: manifest["precision"].update(record))
    report = api.verify(bundle, backend="openvino", seeds=2)
    assert report.passed, failure_text(report)
    assert report.golden.max_error > TOLERANCES["openvino", "fp32"].error
