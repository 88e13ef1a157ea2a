"""Two halves: the package is quick to import, and what runs a bundle never needs torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stgcn_deploy

TESTS = Path(__file__).resolve().parents[1]
HEAVY = (
    "torch", "onnxruntime", "openvino", "onnx", "matplotlib",
    "ai_edge_litert", "av", "cv2", "paho", "prometheus_client", "psutil", "scipy", "starlette",
    "uvicorn", "yaml",
)  # fmt: skip
# Modules that may import torch; nothing else may, not even indirectly.
BUILD_HALF = ("checkpoints", "models", "exporter", "torchrun")
PACKAGE = Path(stgcn_deploy.__file__).parent
BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.partition(".")[0])

sys.meta_path.insert(0, Blocked())
"""


def _run(code: str, *, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in which some libraries are not installed."""
    return subprocess.run(
        [sys.executable, "-c", BLOCK.format(blocked=blocked) + code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _answer(code: str, *, blocked: tuple[str, ...] = ()) -> Any:
    done = _run(code, blocked=blocked)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _cli(*arguments: object, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    argv = ["stgcn", *map(str, arguments)]
    code = f"sys.argv = {argv!r}\nfrom stgcn_deploy.cli.main import main\nmain()\n"
    return _run(code, blocked=blocked)


def _modules() -> list[str]:
    """Every module of the run half, by its dotted name."""
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in BUILD_HALF and "demo" not in parts:
            names.append(".".join(("stgcn_deploy", *parts)).removesuffix(".__init__"))
    return names


LOADED = f"\nimport json, sys\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))\n"


@pytest.mark.parametrize(
    "code",
    [
        "import stgcn_deploy",
        "import stgcn_deploy; stgcn_deploy.__version__; dir(stgcn_deploy)",
        "import stgcn_deploy.api",
        "from stgcn_deploy import StgcnError, export, verify, predict, load, inspect, bench",
        "import stgcn_deploy.cli.main as m; m.build_app()",
        "from stgcn_deploy.skeleton.layouts import LAYOUTS; LAYOUTS['coco17']",
        "from stgcn_deploy.backends.registry import BACKENDS; list(BACKENDS)",
    ],
)
def test_importing_loads_no_runtime(code: str) -> None:
    assert _answer(code + LOADED) == []


def test_the_check_above_would_see_a_runtime() -> None:
    assert "onnx" in _answer("import onnx" + LOADED)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["export", "--help"]])
def test_help_loads_no_runtime(arguments: list[str]) -> None:
    code = (
        f"import sys, atexit, json\nsys.argv = ['stgcn', *{arguments!r}]\n"
        f"atexit.register(lambda: print(json.dumps([m for m in {HEAVY!r} if m in sys.modules])))\n"
        "from stgcn_deploy.cli.main import main\nmain()\n"
    )
    assert _answer(code) == []


def test_every_module_of_the_run_half_loads_without_torch() -> None:
    code = (
        "import importlib, json\n"
        f"for name in {_modules()!r}:\n    importlib.import_module(name)\n"
        "print(json.dumps('torch' in sys.modules))"
    )
    assert _answer(code, blocked=("torch",)) is False


def test_the_build_half_does_need_torch() -> None:
    """Else the test above would prove nothing."""
    done = _run("import stgcn_deploy.models.network", blocked=("torch",))
    assert done.returncode != 0
    assert "torch" in done.stderr


def test_a_bundle_is_loaded_and_run_without_torch(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    clip = np.random.default_rng(0).normal(0, 1, (2, 20, 18, 3)).astype(np.float32)
    np.save(tmp_path / "clip.npy", clip)
    code = (
        "import json, numpy, stgcn_deploy\n"
        f"with stgcn_deploy.load({str(example().bundle)!r}) as model:\n"
        f"    found = model.predict(numpy.load({str(tmp_path / 'clip.npy')!r}))\n"
        "print(json.dumps(found.as_dict()))"
    )
    found = _answer(code, blocked=("torch", "onnx", "matplotlib", "onnxscript"))
    with stgcn_deploy.load(example().bundle) as model:
        assert np.allclose(found["scores"], model.predict(clip).scores, atol=1e-6)


@pytest.mark.parametrize("command", ["verify", "predict", "inspect", "bench", "doctor"])
def test_commands_on_bundles_work_without_torch(
    example: Callable[..., Any], tmp_path: Path, command: str
) -> None:
    np.save(tmp_path / "clip.npy", np.zeros((2, 20, 18, 3), np.float32))
    arguments: dict[str, tuple[object, ...]] = {
        "verify": (example().bundle, "--seeds", "1"),
        "predict": (example().bundle, tmp_path / "clip.npy"),
        "inspect": (example().bundle,),
        "bench": (example().bundle, "--duration", "0.02", "--rounds", "1", "--threads", "1"),
        "doctor": (),
    }
    done = _cli(command, *arguments[command], blocked=("torch", "matplotlib"))
    assert done.returncode == 0, done.stderr
    assert done.stdout


MISSING: dict[str, tuple[tuple[str, ...], Callable[[Any, Path], tuple[object, ...]], str]] = {
    "export": (("torch",), lambda e, p: ("export", e.checkpoint, "-o", p / "out"), "[export]"),
    "inspect": (("torch",), lambda e, p: ("inspect", e.checkpoint), "[export]"),
    "bench": (("torch",), lambda e, p: ("bench", e.checkpoint), "[export]"),
    "verify": (
        ("torch",),
        lambda e, p: ("verify", e.bundle, "--checkpoint", e.checkpoint),
        "[export]",
    ),
    "predict": (
        ("onnxruntime",),
        lambda e, p: ("predict", e.bundle, p / "clip.npy"),
        "onnxruntime",
    ),
    "inspect an onnx file": (
        ("onnx",),
        lambda e, p: ("inspect", e.bundle / "model.onnx"),
        "pip install onnx",
    ),
    "verify a graph": (("onnx",), lambda e, p: ("verify", e.bundle), "pip install onnx"),
    "plot": (
        ("matplotlib",),
        lambda e, p: ("bench", e.bundle, "--duration", "0.02", "--plot", p / "out.png"),
        "[plots]",
    ),
}


@pytest.mark.parametrize("what", MISSING)
def test_a_missing_library_is_named_with_the_line_that_installs_it(
    example: Callable[..., Any], tmp_path: Path, what: str
) -> None:
    blocked, arguments, line = MISSING[what]
    np.save(tmp_path / "clip.npy", np.zeros((2, 20, 18, 3), np.float32))
    done = _cli(*arguments(example(), tmp_path), blocked=blocked)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "pip install" in done.stderr
    assert line in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.npy"]


def test_the_doctor_reports_what_is_missing_instead_of_failing() -> None:
    done = _cli("doctor", "--json", blocked=("onnxruntime", "torch"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["backends"]["onnxruntime"]
    assert found["usable"] is False
    assert found["reason"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_nothing_of_the_package_is_written_for_this_machine() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert os.sep + "home" + os.sep not in text, path
        assert str(TESTS.parents[1]) + os.sep not in text, path


# ---- the tests' own rule about material beside the repository ---------------------------------

WORDS = {"passed", "skipped", "failed", "error"}
MARKED = """
import pytest
from conftest import shared_path

@pytest.mark.shared
def test_marked():
    assert shared_path("thing.txt").is_file()

def test_unmarked():
    assert True

def test_unmarked_that_asks():
    assert shared_path("thing.txt").is_file()
"""


@pytest.mark.parametrize(
    ("present", "required", "verdicts"),
    [
        (False, "", {"passed": 1, "skipped": 2}),
        (False, "1", {"passed": 1, "failed": 1, "error": 1}),
        (True, "1", {"passed": 3}),
    ],
)
def test_marked_tests_skip_or_fail_without_the_folder_beside_the_repository(
    tmp_path: Path, present: bool, required: str, verdicts: dict[str, int]
) -> None:
    tests = tmp_path / "repo" / "tests"
    tests.mkdir(parents=True)
    (tests / "conftest.py").write_bytes((TESTS / "conftest.py").read_bytes())
    (tests / "test_it.py").write_text(MARKED, encoding="utf-8")
    if present:
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared" / "thing.txt").touch()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull,
         "--rootdir", str(tests), "-o", "markers=shared", "-o", f"pythonpath={tests}", str(tests)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "STGCN_REQUIRE_SHARED": required},
    )  # fmt: skip
    summary = done.stdout.splitlines()[-1]
    found = {word: int(count) for count, word in re.findall(r"(\d+) ([a-z]+?)s?\b", summary)}
    assert {word: count for word, count in found.items() if word in WORDS} == verdicts
    assert "material beside the repository" in done.stdout
    assert "torch" in done.stdout
