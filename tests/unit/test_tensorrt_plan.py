"""What a build would do, and why it cannot, on a machine with or without TensorRT."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest
from tensorrt_doubles import FIXED, Site, silent

from stgcn_deploy.builders.tensorrt import api as bindings
from stgcn_deploy.builders.tensorrt import trtexec
from stgcn_deploy.builders.tensorrt.builder import BUILDER, TensorRtBuilder
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import MissingDependencyError, UsageError


def _absent() -> Any:
    raise MissingDependencyError("no TensorRT; pip install 'tensorrt-cu12>=10.3,<11'")


def test_a_plan_without_tensorrt(tensorrt_world: dict[str, Path]) -> None:
    builder = TensorRtBuilder(bindings=_absent)
    plan = builder.plan(Bundle(tensorrt_world["open"]), builder.options(precision="fp16"))
    assert plan.files == ("model_fp16.engine",)
    assert plan.missing is not None
    assert "tensorrt-cu12" in plan.missing
    assert any("batch 1 to 8" in step for step in plan.steps)
    assert "where that fails: stop" in plan.steps
    assert any("stgcn quantize BUNDLE --to fp16 --for tensorrt" in note for note in plan.notes)
    with pytest.raises(MissingDependencyError, match="tensorrt-cu12"):
        builder.build(Bundle(tensorrt_world["fp32"]), builder.options(), Path(), silent)


@pytest.mark.shared
def test_a_plan_says_what_the_version_cannot(
    tensorrt_world: dict[str, Path], tmp_path: Path
) -> None:
    here = Site("11.4", tmp_path, FIXED)
    plan = here.builder.plan(
        Bundle(tensorrt_world["fp32"]), here.builder.options(precision="fp16", allow_fallback=True)
    )
    assert plan.missing is None
    assert any("11.4 cannot lower an FP32 graph" in note for note in plan.notes)
    assert "where that fails: fp32" in plan.steps
    assert here.fake.log == []


def test_calibration_must_be_for_something(tensorrt_world: dict[str, Path]) -> None:
    options = BUILDER.options
    bundle = Bundle(tensorrt_world["fp32"])
    with pytest.raises(UsageError, match="give --calib DATA"):
        BUILDER.plan(bundle, options(precision="int8"))
    with pytest.raises(UsageError, match="--calib and --calib-cache are for --precision int8"):
        BUILDER.plan(bundle, options(calib=tensorrt_world["data"]))
    with pytest.raises(UsageError, match="nothing is calibrated"):
        BUILDER.plan(Bundle(tensorrt_world["int8"]), options(calib=tensorrt_world["data"]))
    with pytest.raises(UsageError, match="nothing is calibrated"):
        BUILDER.plan(bundle, options(precision="fp16", calib_cache=Path("ranges.cache")))


def test_notes_on_opsets_and_empty_slots(tensorrt_world: dict[str, Path]) -> None:
    bundle = Bundle(tensorrt_world["fp32"])
    assert not any("opset" in note for note in BUILDER.plan(bundle, BUILDER.options()).notes)
    clip = bundle.manifest.clip.model_copy(update={"skips_absent": True})
    bundle.manifest = bundle.manifest.model_copy(update={"opset": 18, "clip": clip})
    notes = TensorRtBuilder(bindings=_absent).plan(bundle, BUILDER.options()).notes
    assert any("export with --opset 17" in note for note in notes)
    assert any("--skip-absent" in note for note in notes)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine without trtexec that is no Jetson."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(trtexec, "PLACES", ())
    monkeypatch.setattr(bindings, "JETSON", tmp_path / "none")
    return monkeypatch


def test_the_line_that_installs_it_on_this_platform(
    bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare.setattr(platform, "system", lambda: "Linux")
    bare.setattr(platform, "machine", lambda: "x86_64")
    assert "'tensorrt-cu12>=10,<11,!=10.2.0'" in bindings.install_lines()
    assert "'tensorrt-cu13>=11,<12'" in bindings.install_lines()
    bare.setattr(platform, "system", lambda: "Darwin")
    assert bindings.install_lines().startswith("there is no TensorRT for Darwin")
    bare.setattr(bindings, "JETSON", tmp_path)
    assert "apt-get" in bindings.install_lines()
    assert "pip" not in bindings.install_lines()


def test_neither_bindings_nor_tool(bare: pytest.MonkeyPatch) -> None:
    reason = TensorRtBuilder(bindings=_absent).available()
    assert reason is not None
    assert "tensorrt-cu12" in reason


def test_the_tool_alone_is_enough_and_is_told_of(
    bare: pytest.MonkeyPatch, tensorrt_world: dict[str, Path], tmp_path: Path
) -> None:
    tool = tmp_path / "trtexec"
    tool.write_text("")
    bare.setattr(trtexec, "PLACES", (tool,))
    builder = TensorRtBuilder(bindings=_absent)
    assert builder.available() is None
    with pytest.raises(MissingDependencyError, match="--builder trtexec needs no bindings"):
        builder.build(Bundle(tensorrt_world["fp32"]), builder.options(), tmp_path, silent)


def test_libraries_that_are_missing_behind_the_bindings(bare: pytest.MonkeyPatch) -> None:
    """`import tensorrt` fails so where the wheel is there and libnvinfer is not."""

    def broken(_: str) -> None:
        raise ImportError("libnvinfer.so.10: cannot open shared object file")

    bare.setattr(bindings, "import_module", broken)
    with pytest.raises(MissingDependencyError, match=r"libnvinfer\.so\.10"):
        bindings.load_api()


def test_a_plan_for_trtexec_prints_its_arguments(
    bare: pytest.MonkeyPatch, tensorrt_world: dict[str, Path]
) -> None:
    bundle = Bundle(tensorrt_world["open"])
    plan = BUILDER.plan(bundle, BUILDER.options(builder="trtexec", precision="fp16"))
    ((tool, *argv),) = plan.commands
    assert tool == "trtexec"
    assert "--fp16" in argv
    assert "--maxShapes=input:8x2x32x17x1" in argv
    assert plan.missing is not None
    assert "libnvinfer-bin" in plan.missing
    assert "arguments are those of trtexec 10.3" in plan.notes


def test_trtexec_makes_no_ranges(tensorrt_world: dict[str, Path], tmp_path: Path) -> None:
    asked: dict[str, Any] = {"builder": "trtexec", "precision": "int8"}
    for options in (asked, {**asked, "calib_cache": tmp_path / "none.cache"}):
        with pytest.raises(UsageError, match="would make them up without one"):
            BUILDER.plan(Bundle(tensorrt_world["fp32"]), BUILDER.options(**options))
