"""The stand-ins of ais_bench and msame refuse what their source refuses: else they would prove nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ascendhost import FAKES, host_environment
from fakes.om import read_om, write_om

BATCH, CLASSES, WIDTH = 4, 3, 6
AIS_BENCH = ("python3", "-m", "ais_bench")
Tool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One product, so that every score is known."""
    from onnx import TensorProto, helper, numpy_helper

    weight = np.arange(WIDTH * CLASSES, dtype=np.float32).reshape(WIDTH, CLASSES)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, size])
        for name, size in (("input", WIDTH), ("output", CLASSES))
    ]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weight"], ["output"])], "product", values[:1],
        values[1:], [numpy_helper.from_array(weight, "weight")],
    )  # fmt: skip
    onnx_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    file = tmp_path_factory.mktemp("om") / "product.om"
    meta = {"soc_version": "Ascend310P3", "batch": BATCH, "precision_mode": "force_fp16",
            "inputs": {"input": [BATCH, WIDTH]}, "outputs": {"output": [BATCH, CLASSES]}}  # fmt: skip
    write_om(file, onnx_model.SerializeToString(), meta)
    assert read_om(file)[1] == meta
    return file


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    env = host_environment(tmp_path)

    def run(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in words],
            env={**env, **more}, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def _samples(folder: Path, count: int) -> np.ndarray[Any, Any]:
    folder.mkdir(parents=True)
    rows = np.random.default_rng(0).normal(size=(count, WIDTH)).astype(np.float32)
    for index, row in enumerate(rows):
        row.tofile(folder / f"{index}.bin")
    return rows


def test_batches_are_filled_in_natural_order_and_the_last_is_padded(
    model: Path, tool: Tool, tmp_path: Path
) -> None:
    """10 comes after 9, and no result is of the padding."""
    rows = _samples(tmp_path / "data", 11)
    done = tool(*AIS_BENCH, "--model", model, "--input", "data", "--output", "out",
                "--output_dirname", "r", "--batchsize", 4)  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "filesperbatch:4 runcount:3" in done.stdout
    weight = np.arange(WIDTH * CLASSES, dtype=np.float32).reshape(WIDTH, CLASSES)
    found = {
        path.name: np.fromfile(path, np.float32) for path in (tmp_path / "out" / "r").iterdir()
    }
    assert set(found) == {f"{index}_0.bin" for index in range(11)}
    for index, row in enumerate(rows):
        assert np.allclose(found[f"{index}_0.bin"], row @ weight, atol=1e-4)
    assert (
        json.loads((tmp_path / "out" / "r_summary.json").read_text(encoding="utf-8"))["throughput"]
        > 0
    )


def test_a_folder_below_is_not_seen(model: Path, tool: Tool, tmp_path: Path) -> None:
    """Guide 004 names the folder above."""
    _samples(tmp_path / "kinetics" / "val_data", 3)
    done = tool(*AIS_BENCH, "--model", model, "--input", "kinetics", "--output", "out")
    assert done.returncode != 0
    assert "not find valid" in done.stdout


def test_without_a_name_results_go_where_the_time_says(
    model: Path, tool: Tool, tmp_path: Path
) -> None:
    done = tool(*AIS_BENCH, "--model", model, "--output", "out", "--loop", 5)
    assert done.returncode == 0
    (folder,) = (path for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert [path.name for path in folder.iterdir()] == ["pure_infer_data_0.bin"]
    summary = folder.with_name(f"{folder.name}_summary.json").read_text(encoding="utf-8")
    assert json.loads(summary)["NPU_compute_time"]["count"] == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--colour", "1"), "unrecognized arguments: --colour"),
        (("--outp", "out"), "unrecognized arguments"),
        (("--batchsize", "0"), "invalid positive int value"),
        (("--device", "256"), "device:256 is invalid"),
        (("--outfmt", "bin"), "invalid choice"),
        (("--output_dirname", "r"), "cann't be used alone"),
        (("--input", "absent"), "--input is invalid"),
        (("--input", "data,data"), "input dir num:2 not equal to model inputs num:1"),
        (("--input", "odd"), "not match"),
    ],
)
def test_what_ais_bench_refuses_is_refused(
    model: Path, tool: Tool, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    _samples(tmp_path / "data", 3)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "0.bin").write_bytes(b"12345")
    done = tool(*AIS_BENCH, "--model", model, *words)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def test_later_versions_look_at_paths(model: Path, tool: Tool, tmp_path: Path) -> None:
    _samples(tmp_path / "my data", 4)
    words = (*AIS_BENCH, "--model", model, "--input", "my data")
    assert tool(*words).returncode == 0
    later = tool(*words, FAKE_AIS_BENCH_VERSION="ait")
    assert later.returncode != 0
    assert "contains illegal char" in later.stdout
    absolute = tool(*AIS_BENCH, "--model", model, "--output", "out", "--output_dirname",
                    tmp_path / "r", FAKE_AIS_BENCH_VERSION="ait")  # fmt: skip
    assert "do not support abs path" in absolute.stderr


def test_msame_takes_a_file_for_a_call(model: Path, tool: Tool, tmp_path: Path) -> None:
    _samples(tmp_path / "data", 3)
    done = tool("msame", "--model", model, "--input", "data", "--output", "out", "--outfmt", "BIN")
    assert done.returncode == 1
    assert "execute model failed" in done.stdout
    (tmp_path / "whole").mkdir()
    for name in ("a", ".hidden"):
        np.ones((BATCH, WIDTH), np.float32).tofile(tmp_path / "whole" / f"{name}.bin")
    done = tool("msame", "--model", model, "--input", "whole", "--output", "o2", "--outfmt", "BIN")
    assert done.returncode == 0
    assert [path.name for path in (tmp_path / "o2").glob("*/*")] == ["a_output_0.bin"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--colour", "1"), "unknown paramenter"),
        (("--loop", "101"), "loop must in 1 to 100"),
        (("--device", "300"), "device id must in 0 to 255"),
    ],
)
def test_msame_ends_well_when_its_words_are_wrong(
    model: Path, tool: Tool, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    done = tool("msame", "--model", model, "--output", "out", "--outfmt", "BIN", *words)
    assert done.returncode == 0
    assert message in done.stdout
    assert not (tmp_path / "out").exists()


def test_the_stand_ins_need_nothing_of_this_package(tmp_path: Path) -> None:
    """They judge it, so they may not share its code."""
    programs = ("ais_bench/__main__.py", "fake_device.py", "msame", "om.py")
    for file in (FAKES / name for name in programs):
        assert "stgcn_deploy" not in file.read_text(encoding="utf-8"), file
    done = subprocess.run(
        [sys.executable, "-c", "import ais_bench"], env={**os.environ, "PYTHONPATH": str(FAKES)},
        check=False,
    )  # fmt: skip
    assert done.returncode == 0
