"""An NVIDIA GPU that is not there: fakes of TensorRT and CUDA in place of both, in new processes too."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import fake_tensorrt
import onnx
import pytest
from built import build_record, with_builds
from fake_cuda import FakeLibrary, compiled_runtime

import stgcn_deploy
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.measure.node_macs import PRODUCTS

__all__ = ["VERSION", "bundle_with_engines", "fused_names", "gpu"]

VERSION = "10.3.0"
# What is imported as `tensorrt`.
MODULE = """
import sys
sys.path.append({tests!r})
from fake_cuda import FakeLibrary
from fake_tensorrt import FakeTensorRt
made = FakeTensorRt("10.3", FakeLibrary({library!r}))
made.__spec__ = __spec__
sys.modules[__name__] = made
"""


@pytest.fixture
def gpu(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeLibrary]:
    """CUDA and TensorRT, found by this process and those that it starts as real ones would be."""
    folder = tmp_path_factory.mktemp("gpu")
    (folder / "lib64").mkdir()
    made = compiled_runtime(folder / "lib64")
    if made is None:
        pytest.skip("no C compiler here, so no CUDA runtime to find")
    library = made.rename(made.with_name("libcudart.so"))
    tests, source = Path(__file__).parent, Path(stgcn_deploy.__file__).parents[1]
    (folder / "tensorrt.py").write_text(
        MODULE.format(tests=str(tests), library=str(library)), encoding="utf-8"
    )
    about = folder / f"tensorrt-{VERSION}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: tensorrt\nVersion: {VERSION}\n", encoding="utf-8"
    )
    known = os.environ.get("PYTHONPATH", "")
    paths = os.pathsep.join(filter(None, [str(folder), str(source), known]))
    for name, value in (
        ("PYTHONPATH", paths),
        ("CUDA_HOME", str(folder)),
        ("CUDA_VISIBLE_DEVICES", ""),  # where there is a real one, it is not found
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    state = FakeLibrary(library)
    yield state
    sys.modules.pop("tensorrt", None)
    gc.collect()
    assert state.live() == 0


def bundle_with_engines(
    source: Path,
    target: Path,
    engines: Mapping[str, tuple[int, ...]],
    *,
    edit: Callable[[onnx.ModelProto], None] = lambda _: None,
    **more: Any,
) -> Path:
    """A copy of a bundle with engines that compute its graph, after `edit`.

    Args:
        engines: file -> the batch, or the smallest and the largest, that it takes.
        more: of the plan, see fake_tensorrt.plan.
    """
    bundle = Bundle(source)
    network = target.with_name(f"{target.name}.network.onnx")
    model = onnx.load(str(bundle.model_path))
    edit(model)
    onnx.save(model, str(network))
    files = {}
    for name, batches in engines.items():
        shapes = [tuple(bundle.manifest.shapes_at(one)["input"]) for one in batches]
        data = fake_tensorrt.plan(
            version=VERSION,
            shape=shapes[0],
            profiles=((shapes[0], shapes[-1]),) if len(shapes) > 1 else (),
            classes=bundle.golden()[0].logits.shape[-1],
            model=str(network),
            **more,
        )
        record = build_record(
            source, batches, name, target="tensorrt", device="sm_87", tools={"tensorrt": VERSION}
        )
        files[name] = (data, record)
    return with_builds(source, target, files)


def fused_names(source: Path) -> list[str]:
    """Names as TensorRT makes them: products with what follows each, a copy, and one that tells nothing."""
    names: list[str] = []
    for node in onnx.load(str(Bundle(source).model_path)).graph.node:
        if node.op_type == "Constant":
            continue
        if not names or node.op_type in PRODUCTS:
            names.append(node.name)
        else:
            names[-1] += f" + {node.name}"
    return [f"Reformatting CopyNode for Input Tensor 0 to {names[0]}", *names, "__myl_Move_myl0_1"]
