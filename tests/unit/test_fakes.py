"""The stand-ins are strict: a test that passes by them would not pass by luck."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from fakes.om import read_om, write_om
from fakes.place import FAKES

META = {
    "soc_version": "Ascend310P3",
    "batch": 1,
    "precision_mode": "force_fp16",
    "inputs": {"input": [1, 3]},
    "outputs": {"output": [1, 5]},
}


@pytest.fixture
def model(example: Callable[..., Any]) -> Path:
    made: Path = example(graph_form="matmul", opset=11, dynamic="batch").bundle
    return made / "model.onnx"


def _atc(folder: Path, /, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FAKES / "atc"), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ASCEND_OPP_PATH": "opp", **environment},
    )


def _words(folder: Path, network: Path, /, **changes: str | None) -> list[str]:
    given: dict[str, str | None] = {
        "model": str(network),
        "framework": "5",
        "output": str(folder / "om"),
        "input_format": "ND",
        "input_shape": "input:2,3,20,18,2",
        "soc_version": "Ascend310P3",
        "log": "error",
    }
    given |= changes
    return [f"--{name}={value}" for name, value in given.items() if value is not None]


def test_what_is_right_becomes_a_container_with_fixed_shapes(model: Path, tmp_path: Path) -> None:
    done = _atc(tmp_path, *_words(tmp_path, model))
    assert done.returncode == 0, done.stdout
    assert "ATC run success" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "fusion_result.json", "kernel_meta", "om.om",
    ]  # fmt: skip
    data, meta = read_om(tmp_path / "om.om")
    assert meta == {
        "soc_version": "Ascend310P3",
        "batch": 2,
        "precision_mode": "force_fp16",
        "inputs": {"input": [2, 3, 20, 18, 2]},
        "outputs": {"output": [2, 5]},
    }
    graph = onnx.load_from_string(data)
    assert [dim.dim_value for dim in graph.graph.input[0].type.tensor_type.shape.dim] == [
        2, 3, 20, 18, 2,
    ]  # fmt: skip


def test_equal_calls_give_equal_files(model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        _atc(tmp_path, *_words(tmp_path, model, output=str(tmp_path / name)))
    assert (tmp_path / "a.om").read_bytes() == (tmp_path / "b.om").read_bytes()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colour": "red"}, "unknown command line flag '--colour=red'"),
        ({"framework": None}, "E10007: [--framework] is required"),
        ({"framework": "7"}, "E10001: Value [7] for parameter [--framework]"),
        ({"model": None}, "E10004: Value for [--model] is empty"),
        ({"model": "none.onnx"}, "E19000"),
        ({"output": None}, "E10004: Value for [--output] is empty"),
        ({"output": "nowhere/om"}, "for parameter [--output] is invalid"),
        ({"output": "om.om"}, "a suffix that is appended anyway"),
        ({"input_format": "NTCVM"}, "for parameter [--input_format] is invalid"),
        ({"log": "verbose"}, "for parameter [--log] is invalid"),
        ({"soc_version": None}, "E10004: Value for [--soc_version] is empty"),
        ({"soc_version": "Ascend310310P3"}, "Value [Ascend310310P3] for parameter [--soc_version]"),
        ({"precision_mode": "fp16"}, "for parameter [--precision_mode] is invalid"),
        ({"precision_mode_v2": "force_fp16"}, "for parameter [--precision_mode_v2] is invalid"),
        ({"precision_mode": "force_fp16", "precision_mode_v2": "fp16"}, "cannot be used together"),
        ({"input_shape": None}, "Value [-1] for parameter [input] is invalid"),
        (
            {"input_shape": "input1:1,3,20,18,2"},
            "[input1] specified in [--input_shape] is not found",
        ),
        ({"input_shape": "input:1,3,20,18"}, "does not fit"),
        ({"input_shape": "input:1,3,21,18,2"}, "does not fit"),
        ({"input_shape": "input:-1,3,20,18,2"}, "Value [-1] for parameter [input] is invalid"),
        ({"input_shape": "input:one,3,20,18,2"}, "E10005"),
        (
            {"precision_mode": "must_keep_origin_dtype"},
            "Optype [Conv2D] of Ops kernel [AIcoreEngine] is unsupported",
        ),
    ],
)
def test_what_is_wrong_is_refused(
    model: Path, tmp_path: Path, changes: dict[str, str | None], said: str
) -> None:
    done = _atc(tmp_path, *_words(tmp_path, model, **changes))
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert not list(tmp_path.glob("*.om"))


@pytest.mark.parametrize(
    "words",
    [("--mode",), ("model.onnx",), ("-h",), ("--log=error", "--log=error"), ("--soc_version", "x")],
)
def test_words_that_are_no_flags_are_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = _atc(tmp_path, *words)
    assert done.returncode == 1
    assert "ERROR: " in done.stdout


def test_without_its_environment_it_does_nothing(model: Path, tmp_path: Path) -> None:
    done = _atc(tmp_path, *_words(tmp_path, model), ASCEND_OPP_PATH="")
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_einsum_and_newer_opsets_have_no_parser(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    shape = "input:1,3,20,18,2"
    for options, said in (
        ({"graph_form": "einsum"}, "optype [ai.onnx::18::Einsum]"),
        ({"graph_form": "matmul", "opset": 19}, "optype [ai.onnx::19::"),
    ):
        path = example(**options).bundle / "model.onnx"
        done = _atc(tmp_path, *_words(tmp_path, path, input_shape=shape))
        assert "E19010: No parser is registered for Op [" in done.stdout
        assert said in done.stdout


def test_the_list_of_layers_is_of_an_om_alone(model: Path, tmp_path: Path) -> None:
    _atc(tmp_path, *_words(tmp_path, model))
    listed = ("--mode=1", f"--om={tmp_path / 'om.om'}", f"--json={tmp_path / 'om.json'}")
    assert _atc(tmp_path, *listed).returncode == 0
    (graph,) = json.loads((tmp_path / "om.json").read_text(encoding="utf-8"))["graph"]
    assert {"Data", "Conv2D", "NetOutput"} <= {one["type"] for one in graph["op"]}
    assert _atc(tmp_path, *listed, "--framework=5").returncode != 0
    assert _atc(tmp_path, listed[0], f"--om={model}", listed[2]).returncode != 0


def test_a_fault_that_nobody_knows_is_a_mistake_of_the_test(tmp_path: Path) -> None:
    assert "is none of" in _atc(tmp_path, FAKE_ATC_FAULT="colour").stderr


def test_containers_are_written_and_read(tmp_path: Path) -> None:
    write_om(tmp_path / "a.om", b"graph", META)
    assert read_om(tmp_path / "a.om") == (b"graph", META)


def test_containers_of_another_kind_are_refused(tmp_path: Path) -> None:
    import zipfile

    with pytest.raises(ValueError, match="meta has"):
        write_om(tmp_path / "a.om", b"graph", {"batch": 1})
    (tmp_path / "b.om").write_bytes(b"IMOD")
    with pytest.raises(ValueError, match="no OM container"):
        read_om(tmp_path / "b.om")
    with zipfile.ZipFile(tmp_path / "c.om", "w") as file:
        file.writestr("other", b"")
    with pytest.raises(ValueError, match="holds"):
        read_om(tmp_path / "c.om")
    with zipfile.ZipFile(tmp_path / "d.om", "w") as file:
        file.writestr("model.onnx", b"")
        file.writestr("meta.json", b"{}")
    with pytest.raises(ValueError, match="meta has"):
        read_om(tmp_path / "d.om")
