"""Every call of ours to TensorRT passes the argument checks of NVIDIA's own bindings, on four versions.

There is neither a GPU nor a TensorRT library here: the bindings, downloaded as wheels into the user's
cache, run over a stub (tests/tensorrt_contract.py).  What the engines would do is not shown by this.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import shared_path
from tensorrt_doubles import WHEELS, bindings_folder

SECONDS = 300
WEAK = ("8.6", "10.3", "10.13")


def _run(version: str, world: dict[str, Path], scratch: Path) -> dict[str, Any]:
    """The whole path in a child process; what it reports."""
    stub = shared_path("tensorrt", "make_stub.py")
    if shutil.which("g++") is None:
        pytest.skip("needs g++ to build the stub library, which is not installed")
    folder = bindings_folder(version)
    if isinstance(folder, str):
        pytest.skip(folder)
    major, minor = (int(one) for one in version.split("."))
    asked = {
        "stub": str(stub),
        "bindings": str(folder),
        "major": major,
        "minor": minor,
        "world": {name: str(path) for name, path in world.items()},
        "scratch": str(scratch),
    }
    script = Path(__file__).parents[1] / "tensorrt_contract.py"
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(asked)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    line = next((one for one in done.stdout.splitlines() if one.startswith("RESULT")), None)
    assert line is not None, f"code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT"))
    assert found["version"].startswith(version)
    return found


@pytest.fixture(scope="module")
def runs() -> dict[str, dict[str, Any]]:
    """Filled as versions are asked for."""
    return {}


@pytest.fixture(params=list(WHEELS))
def found(
    request: pytest.FixtureRequest,
    tensorrt_world: dict[str, Path],
    runs: dict[str, dict[str, Any]],
    tmp_path: Path,
) -> dict[str, Any]:
    version = request.param
    if version not in runs:
        runs[version] = _run(version, tensorrt_world, tmp_path)
    return {**runs[version], "asked": version}


def _calls(run: dict[str, Any], name: str) -> list[str]:
    return [told for called, told in run["calls"] if called == name]


def test_the_bindings_do_check(found: dict[str, Any]) -> None:
    """Else everything below would prove nothing."""
    refused = found["refused"]
    assert refused["workspace as a float"] == "TypeError"
    assert refused["profile of two shapes"] == "TypeError"
    assert refused["a path that is no str"] == "TypeError"
    assert refused["a flag that never was"] == "AttributeError"
    old = "works" if found["asked"] == "8.6" else "AttributeError"
    assert refused["max_workspace_size"] == old
    assert refused["BuilderFlag.FP16"] == ("works" if found["asked"] in WEAK else "AttributeError")


def test_a_graph_is_built_in_its_own_precision(found: dict[str, Any]) -> None:
    strong, batch = {"8.6": "1", "11.4": "1"}.get(found["asked"], "2"), found["asked"]
    for run, precision in (
        ("fp32", "fp32"),
        ("fp16 in the graph", "fp16"),
        ("int8 in the graph", "int8"),
    ):
        made = found["runs"][run]
        assert made.get("file") == f"model_{precision}.engine", made
        assert made["record"]["requested"] == made["record"]["actual"] == precision
        assert made["record"]["layers"] == {precision: 9}
        # 8: explicit batch is bit 0; 10: strongly typed is bit 1; 11: it is bit 0.
        assert _calls(made, "Builder.create_network") == [strong]
        flags = _calls(made, "IBuilderConfig.set_flag")
        typed = {"fp16 in the graph": ["FP16"], "int8 in the graph": ["INT8"]}.get(run, [])
        assert [one for one in flags if one != "REFIT"] == (typed if batch == "8.6" else [])
        assert _calls(made, "IBuilderConfig.clear_flag") == ["TF32"]
        assert _calls(made, "IBuilderConfig.set_memory_pool_limit") == [f"WORKSPACE, {4 << 30}"]
        assert _calls(made, "IBuilderConfig.profiling_verbosity=") == ["DETAILED"]
        assert len(_calls(made, "OnnxParser.parse_from_file")) == 1
        assert _calls(made, "EngineInspector.get_engine_information") == ["JSON"]


def test_timings_levels_and_compatible_engines(found: dict[str, Any]) -> None:
    plain, wide = found["runs"]["fp32"], found["runs"]["fp32 compatible"]
    assert _calls(plain, "IBuilderConfig.create_timing_cache") == ["b''"]
    assert len(_calls(plain, "IBuilderConfig.set_timing_cache")) == 1
    assert _calls(plain, "IBuilderConfig.builder_optimization_level=") == ["3"]
    assert "REFIT" in _calls(plain, "IBuilderConfig.set_flag")
    assert _calls(wide, "IBuilderConfig.hardware_compatibility_level=") == ["AMPERE_PLUS"]
    assert _calls(wide, "IBuilderConfig.set_flag") == ["VERSION_COMPATIBLE"]
    assert wide["record"]["device"] == "sm_80+"
    watched = _calls(plain, "IBuilderConfig.progress_monitor=")
    assert len(watched) == (0 if found["asked"] == "8.6" else 1)


def test_open_axes_become_a_profile(found: dict[str, Any]) -> None:
    made = found["runs"]["fp32 open"]
    ((told,),) = [_calls(made, "IOptimizationProfile.set_shape")]
    assert told == "input, (1, 2, 32, 17, 1), (1, 2, 32, 17, 1), (4, 2, 32, 17, 1)"
    assert len(_calls(made, "IBuilderConfig.add_optimization_profile")) == 1
    assert made["record"]["shapes"]["input"][2] == [4, 2, 32, 17, 1]
    assert _calls(made, "IExecutionContext.set_input_shape")


def test_flags_and_calibrators_where_there_are_any(found: dict[str, Any]) -> None:
    half = found["runs"]["fp16 by flag"]
    if found["asked"] not in WEAK:
        assert "has no BuilderFlag.FP16" in half["error"]
        assert "stgcn quantize" in half["error"]
        assert "has no BuilderFlag" in found["runs"]["int8 by entropy"]["error"]
        assert "calibrators" not in found["objects"]
        return
    weak = "1" if found["asked"] == "8.6" else "0"
    assert _calls(half, "IBuilderConfig.set_flag") == ["FP16"]
    assert _calls(half, "Builder.create_network") == [weak]
    for method in ("entropy", "minmax"):
        made = found["runs"][f"int8 by {method}"]
        assert made.get("file") == "model_int8.engine", made
        assert _calls(made, "IBuilderConfig.set_flag") == ["FP16", "INT8"]
        assert len(_calls(made, "IBuilderConfig.int8_calibrator=")) == 1
        shaped = len(_calls(made, "IBuilderConfig.set_calibration_profile"))
        assert shaped == (1 if found["asked"] == "8.6" else 0)


def test_calibrators_answer_through_the_vendors_classes(found: dict[str, Any]) -> None:
    if found["asked"] not in WEAK:
        assert "calibrators" not in found["objects"]
        return
    algorithms = {"entropy": "ENTROPY_CALIBRATION_2", "minmax": "MINMAX_CALIBRATION"}
    for method, algorithm in algorithms.items():
        told = found["objects"]["calibrators"][method]
        assert told["algorithm"] == algorithm
        assert (told["batch"], told["batches"]) == (3, 5)  # 16 clips; the sixteenth is dropped
        assert told["shape"] == [3, 2, 32, 17, 1]
        assert told["freed"] == [1]
        assert told["read"] == "TRT-ranges"
        assert told["origin"]["method"] == method
        assert told["origin"]["tensorrt"] == found["version"]


def test_an_engine_wider_than_asked_for_is_named_so(found: dict[str, Any]) -> None:
    made = found["runs"]["fallen back"]
    assert made["file"] == "model_fp32.engine"
    first, second = made["record"]["attempts"]
    assert (first["precision"], second) == ("fp16", {"precision": "fp32", "outcome": "built"})
    why = "computes in fp32" if found["asked"] in WEAK else "has no BuilderFlag.FP16"
    assert why in first["outcome"]


def test_new_weights_go_into_an_engine(found: dict[str, Any]) -> None:
    made = found["runs"]["refit"]
    assert (made["file"], made["bytes"]) == ("model_fp32.engine", "refitted")
    assert len(_calls(made, "Refitter.refit_cuda_engine")) == 1
    named = _calls(made, "Refitter.set_named_weights")
    files = _calls(made, "OnnxParserRefitter.refit_from_file")
    if found["asked"] == "8.6":
        assert len(named) == made["weights"] > 10
    else:
        assert (len(files), named) == (1, [])


def test_messages_and_progress_come_back(found: dict[str, Any]) -> None:
    told = found["objects"]
    assert told["logger"] is True
    assert "'Conv_7'" in told["diagnosis"]
    assert "--workspace" in told["diagnosis"]
    if found["asked"] != "8.6":
        assert told["progress"] == [["Building Engine", 0.0], ["Building Engine", 0.5]]
