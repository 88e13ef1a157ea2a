"""New weights into an engine: only into one that takes them, and only of the same network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tensorrt_doubles import FIXED, Site, inspection, silent

from stgcn_deploy.builders.tensorrt.refit import engine_of, same_architecture
from stgcn_deploy.bundle import Bundle, write_bundle
from stgcn_deploy.errors import BuildError, UsageError
from stgcn_deploy.manifest import BuildRecord


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Site]:
    def make(version: str, **returns: Any) -> Site:
        (tmp_path / "scratch").mkdir(exist_ok=True)
        return Site(version, tmp_path / "scratch", FIXED, **returns)

    return make


def _with_engine(world: dict[str, Path], folder: Path, **changes: Any) -> Path:
    """The FP32 bundle with an engine in it, as `stgcn build` leaves it."""
    target = folder / "built"
    shutil.copytree(world["fp32"], target)
    (target / "model_fp32.engine").write_bytes(b"plan")
    record = {
        "target": "tensorrt", "file": "model_fp32.engine", "requested": "fp32", "actual": "fp32",
        "attempts": [{"precision": "fp32", "outcome": "built"}], "shapes": {"input": [FIXED]},
        "device": "sm_87", "layers": {"fp32": 9}, "tools": {"tensorrt": "10.3.0"},
        "command": ["TensorRT 10.3.0 Python API"],
    }  # fmt: skip
    manifest = Bundle(target).manifest.model_dump()
    write_bundle(target, manifest | {"builds": [record | changes]})
    return target


def _refit(here: Site, built: Path, bundle: Path) -> BuildRecord:
    options = here.builder.options(refit_from=built)
    (made,) = here.builder.build(Bundle(bundle), options, here.folder, silent)
    assert made.path.read_bytes() == b"refitted"
    return made.record


@pytest.mark.shared
@pytest.mark.parametrize("version", ["10.0", "10.3", "10.16", "11.4"])
def test_the_parser_refits_from_10_on(
    version: str, site: Callable[..., Site], tensorrt_world: dict[str, Path], tmp_path: Path
) -> None:
    here, built = site(version), _with_engine(tensorrt_world, tmp_path)
    record = _refit(here, built, tensorrt_world["other"])
    ((path,),) = here.fake.calls("OnnxParserRefitter.refit_from_file")
    assert Path(path) == (tensorrt_world["other"] / "model.onnx").resolve()
    assert here.fake.calls("Refitter.refit_cuda_engine") == [()]
    assert here.fake.calls("Builder.build_serialized_network") == []
    assert record.file == "model_fp32.engine"
    assert record.command[-1].startswith("refitted from")
    assert record.tools["tensorrt"] == here.fake.trt.__version__


@pytest.mark.shared
@pytest.mark.parametrize("version", ["8.5", "8.6"])
def test_weights_by_name_before_10(
    version: str, site: Callable[..., Site], tensorrt_world: dict[str, Path], tmp_path: Path
) -> None:
    built = _with_engine(tensorrt_world, tmp_path)
    model = onnx.load(str(tensorrt_world["other"] / "model.onnx"))
    arrays = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    here = site(version, Refitter__get_all_weights=list(arrays))
    given: list[Any] = []
    here.fake.trt.Weights = lambda array: given.append(array) or here.fake.trt.IHostMemory._fake()
    _refit(here, built, tensorrt_world["other"])
    assert [name for name, _ in here.fake.calls("Refitter.set_named_weights")] == list(arrays)
    for array, expected in zip(given, arrays.values(), strict=True):
        np.testing.assert_array_equal(array, expected.ravel())
    here = site(version, Refitter__get_all_weights=["(Unnamed Layer* 3) [Constant]"])
    with pytest.raises(BuildError, match="the graph has none of that name"):
        _refit(here, built, tensorrt_world["other"])
    here = site(
        version,
        Refitter__get_all_weights=list(arrays),
        Refitter__set_named_weights=lambda *_: False,
    )
    here.fake.trt.Weights = lambda _: here.fake.trt.IHostMemory._fake()
    with pytest.raises(BuildError, match="refuses new weights for"):
        _refit(here, built, tensorrt_world["other"])


@pytest.mark.shared
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"ICudaEngine__refittable": False}, "it was built without --refit"),
        ({"Runtime__deserialize_cuda_engine": lambda *_: None}, "cannot open"),
        ({"Refitter__get_missing_weights": ["a", "b"]}, r"needs 2 more weight\(s\).*\(a, b\)"),
        ({"Refitter__refit_cuda_engine": lambda *_: False}, "does not refit"),
        ({"ICudaEngine__serialize": lambda *_: None}, "cannot be written"),
        ({"OnnxParserRefitter__refit_from_file": lambda *_: False,
          "OnnxParserRefitter__num_errors": 0}, "it does not say why"),
    ],
)  # fmt: skip
def test_what_can_break(
    answer: dict[str, Any],
    told: str,
    site: Callable[..., Site],
    tensorrt_world: dict[str, Path],
    tmp_path: Path,
) -> None:
    here, built = site("10.3", **answer), _with_engine(tensorrt_world, tmp_path)
    with pytest.raises(BuildError, match=told):
        _refit(here, built, tensorrt_world["other"])
    assert list(here.folder.glob("*.engine")) == []


@pytest.mark.shared
def test_an_engine_built_for_it_can_be_refitted(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site("10.3")
    here.fake.inspections = [inspection({"fp32": 9})]
    record = here.build(tensorrt_world["fp32"], refit=True)
    ((flag,),) = here.fake.calls("IBuilderConfig.set_flag")
    assert flag.name == "REFIT"
    assert "refit" in record.command


def test_bundles_without_a_fitting_engine(tensorrt_world: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no TensorRT engine to refit"):
        engine_of(Bundle(tensorrt_world["fp32"]))
    built = Bundle(_with_engine(tensorrt_world, tmp_path, actual="int8"))
    with pytest.raises(UsageError, match=r"is INT8: its ranges were taken with its old weights"):
        engine_of(built)


def test_a_plan_checks_the_architecture(tensorrt_world: dict[str, Path], tmp_path: Path) -> None:
    from stgcn_deploy.builders.tensorrt.builder import BUILDER

    built = _with_engine(tensorrt_world, tmp_path)
    plan = BUILDER.plan(Bundle(tensorrt_world["other"]), BUILDER.options(refit_from=built))
    assert plan.files == ("model_fp32.engine",)
    with pytest.raises(UsageError, match="another architecture"):
        BUILDER.plan(Bundle(tensorrt_world["open"]), BUILDER.options(refit_from=built))


@pytest.mark.parametrize("change", ["node", "attribute", "name", "shape", "type", "input"])
def test_the_first_difference_is_named(
    change: str, tensorrt_world: dict[str, Path], tmp_path: Path
) -> None:
    path = tensorrt_world["other"] / "model.onnx"
    same_architecture(tensorrt_world["fp32"] / "model.onnx", path)
    model = onnx.load(str(path))
    graph = model.graph
    conv = next(node for node in graph.node if node.op_type == "Conv")
    weights = next(one for one in graph.initializer if one.name == conv.input[1])
    values = numpy_helper.to_array(weights)
    if change == "node":
        del graph.node[-1]
    elif change == "attribute":
        conv.attribute[0].ints[0] += 1
    elif change == "name":
        weights.name = "renamed"
        conv.input[1] = "renamed"
    elif change == "shape":
        weights.CopyFrom(numpy_helper.from_array(values[:-1], weights.name))
    elif change == "type":
        weights.CopyFrom(numpy_helper.from_array(values.astype(np.float64), weights.name))
    else:
        graph.input[0].type.tensor_type.shape.dim[0].dim_value = 7
    onnx.save(model, str(tmp_path / "changed.onnx"))
    with pytest.raises(UsageError, match=r"another architecture: .*build this bundle"):
        same_architecture(path, tmp_path / "changed.onnx")
