"""The networks of the original codebases: recognised with no hint, and reproduced in every form."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import shared_path

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.exporter.build import write_form
from stgcn_deploy.exporter.exporter import example_inputs
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.models.families import FAMILIES
from stgcn_deploy.models.shape import InputShape

pytestmark = pytest.mark.shared

# The bound that a family must meet; what is measured lies a hundred times below it.
BOUND = 1e-4
FORMS = ("aggregate", "einsum", "matmul")
# name -> (codebase, layout in words, family)
EXPECTED = {
    "stgcn_openpose_kinetics": ("st-gcn", "openpose18 (st-gcn", "stgcn"),
    "stgcn_ntu_spatial": ("st-gcn", "ntu25 (st-gcn", "stgcn"),
    "stgcn_ntu_uniform": ("st-gcn", "ntu25 (st-gcn", "stgcn"),
    "stgcn_dataparallel": ("st-gcn", "openpose18 (st-gcn", "stgcn"),
    "mmskeleton_stgcn18": ("st-gcn", "openpose18 (st-gcn", "stgcn"),
    "twostream_mediapipe_m1": ("st-gcn-twostream", "mediapipe33 (guide", "twostream"),
    "twostream_mediapipe_m5": ("st-gcn-twostream", "mediapipe33 (guide", "twostream"),
    "twostream_openpose": ("st-gcn-twostream", "openpose18 (st-gcn", "twostream"),
    "pyskl_stgcn_coco": ("pyskl", "coco17 (pyskl", "stgcn"),
    "pyskl_stgcn_ntu": ("pyskl", "ntu25 (pyskl", "stgcn"),
    "mmaction2_stgcn_ntu": ("mmaction2", "ntu25 (pyskl", "stgcn"),
    "pyskl_stgcnpp_coco": ("pyskl", "probably coco17 (pyskl", "stgcnpp"),
    "pyskl_stgcnpp_ntu": ("pyskl", "probably ntu25 (pyskl", "stgcnpp"),
    "mmaction2_stgcnpp_coco": ("mmaction2", "probably coco17 (pyskl", "stgcnpp"),
    "hagrid_real": ("pyskl", "probably handmp21 (pyskl", "stgcnpp"),
}
SUPPORTED = {"st-gcn", "two-stream", "mmskeleton", "pyskl-stgcn", "pyskl-stgcnpp"}


@dataclass(frozen=True)
class Case:
    """A reference network, rebuilt: loaded with no hint, and again with its input's T and M."""

    plain: LoadedCheckpoint
    checkpoint: LoadedCheckpoint
    input: np.ndarray
    logits: np.ndarray

    @property
    def options(self) -> ExportOptions:
        return ExportOptions(batch=self.input.shape[0])

    @property
    def shape(self) -> InputShape:
        return InputShape(self.input.shape[0], self.checkpoint.persons, self.checkpoint.frames)

    def error(self, logits: np.ndarray) -> float:
        return float(np.abs(logits - self.logits).max() / max(1, np.abs(self.logits).max()))


def rebuild(folder: Path, name: str) -> tuple[Any, np.ndarray, np.ndarray]:
    """(checkpoint object, input, float64 logits), by the reference folder's own script."""
    spec = importlib.util.spec_from_file_location("reference_rebuild", folder / "rebuild.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference_rebuild"] = module
    spec.loader.exec_module(module)
    wrapped, inputs, logits = module.checkpoint(name)
    return wrapped, inputs[0].astype(np.float32), logits


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = shared_path() / "reference"
    name = request.param
    if name == "hagrid_real":
        path = shared_path() / "data" / "hagrid.pth"
        stored = np.load(folder / "hagrid_real.npz")
        batch, logits = stored["input_0"].astype(np.float32), stored["logits_f64"]
    else:
        wrapped, batch, logits = rebuild(folder, name)
        path = tmp_path_factory.mktemp(name) / f"{name}.pt"
        torch.save(wrapped, path)
    plain = load_checkpoint(path)
    axes = plain.spec.axes
    hints = Hints(frames=batch.shape[axes.index("T")], persons=batch.shape[axes.index("M")])
    return Case(plain, load_checkpoint(path, hints), batch, logits)


def test_every_supported_reference_is_listed_here() -> None:
    folder = shared_path() / "reference"
    manifests = (json.loads(file.read_text()) for file in folder.glob("*.json"))
    names = {m.get("name", "hagrid_real") for m in manifests if m["family"] in SUPPORTED}
    assert names == set(EXPECTED)


def test_recognised_with_no_hint(case: Case, request: pytest.FixtureRequest) -> None:
    codebase, layout, family = EXPECTED[request.node.callspec.params["case"]]
    assert case.plain.codebase.name == codebase
    assert str(case.plain.match).startswith(layout)
    assert case.plain.spec.family == family


def test_reference_form_reproduces_the_original(case: Case) -> None:
    with torch.inference_mode():
        logits = case.checkpoint.network(torch.from_numpy(case.input)).numpy()
    assert case.error(logits) <= BOUND


@pytest.mark.parametrize("form", FORMS)
def test_deploy_form_reproduces_the_original_in_torch(case: Case, form: str) -> None:
    network = FAMILIES[case.checkpoint.spec.family].deploy(
        case.checkpoint.network, form, case.shape
    )
    with torch.inference_mode():
        logits = network(torch.from_numpy(case.input)).numpy()
    assert case.error(logits) <= BOUND


@pytest.mark.parametrize("form", FORMS)
def test_graph_form_reproduces_the_original_in_onnxruntime(
    case: Case, form: str, tmp_path: Path
) -> None:
    path = tmp_path / f"{form}.onnx"
    write_form(case.checkpoint, form, path, case.options)
    with BACKENDS["onnxruntime"].open(path, OpenOptions(threads=2, tap="logits")) as session:
        logits = session.run({"input": case.input})["logits"]
    # The tolerance table promises ten times less than the bound; hold it to that here.
    assert case.error(logits) <= BOUND / 10


@pytest.mark.parametrize("persons", [1, 2, 3, 4, 5])
def test_two_stream_takes_one_to_five_persons(persons: int, tmp_path: Path) -> None:
    wrapped, _, _ = rebuild(shared_path() / "reference", "twostream_mediapipe_m5")
    path = tmp_path / "two.pt"
    torch.save(wrapped, path)
    # 48 frames are enough to pass both strides, and five times quicker than 150.
    checkpoint = load_checkpoint(path, Hints(persons=persons, frames=48))
    spec = checkpoint.spec
    (batch,) = example_inputs(spec, InputShape(1, persons, 48))
    with torch.inference_mode():
        wanted = checkpoint.network.double()(batch.double()).numpy()
    checkpoint.network.float()
    write_form(checkpoint, "aggregate", tmp_path / "m.onnx", ExportOptions())
    options = OpenOptions(threads=2, tap="logits")
    with BACKENDS["onnxruntime"].open(tmp_path / "m.onnx", options) as session:
        logits = session.run({"input": batch.numpy()})["logits"]
    assert np.abs(logits - wanted).max() <= BOUND / 10 * max(1, np.abs(wanted).max())
