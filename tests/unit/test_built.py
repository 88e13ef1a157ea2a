"""Which file of a bundle a backend opens, and with what it is opened and judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from built import build_record, with_builds

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.built import (
    batches_of,
    built_for,
    model_file,
    model_files,
    refuse_changes,
    sizes_of,
)
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BackendError, BundleError


class Chips:
    """A backend that opens built files; nothing is ever opened here."""

    name, install, taps = "chips", "", False

    def available(self) -> str | None:
        return None

    def version(self) -> str | None:
        return "1"

    def model_of(self, bundle: Bundle, batch: int = 1) -> Path:
        return built_for(bundle, self.name, batch, f"--batch {batch}")

    def open(self, model: Path, options: OpenOptions) -> Any:
        raise AssertionError


CHIPS = Chips()


def _files(source: Path, *kinds: tuple[str, list[int], str]) -> dict[str, Any]:
    return {
        name: (name.encode(), build_record(source, sizes, name, target="chips", actual=precision))
        for name, sizes, precision in kinds
    }


@pytest.fixture
def bundle(example: Callable[..., Any], tmp_path: Path) -> Bundle:
    """Batches 1 and 4, a range from 2 to 16, and one for another backend."""
    source = example(dynamic="batch").bundle
    files = _files(
        source, ("b4.bin", [4], "fp32"), ("b1.bin", [1], "fp16"), ("many.bin", [2, 8, 16], "fp16")
    )
    files["other.bin"] = (b"", build_record(source, [3], "other.bin", target="others"))
    return Bundle(with_builds(source, tmp_path / "built", files))


@pytest.mark.parametrize(
    ("batch", "file"),
    [(1, "b1.bin"), (4, "b4.bin"), (2, "many.bin"), (3, "many.bin"), (16, "many.bin")],
)
def test_the_file_of_a_batch_is_exact_or_takes_it_among_others(
    bundle: Bundle, batch: int, file: str
) -> None:
    found = model_file(bundle, CHIPS, batch)
    assert found.path == bundle.path / file
    assert found.build is not None
    assert found.build.file == file


def test_a_built_file_has_its_own_precision_and_cannot_be_told_another(bundle: Bundle) -> None:
    assert bundle.manifest.precision.actual == "fp32"
    one = model_file(bundle, CHIPS, 1)
    assert (one.precision, one.compute) == ("fp16", None)
    graph = model_file(bundle, BACKENDS["onnxruntime"])
    assert (graph.path.name, graph.precision, graph.compute) == ("model.onnx", "fp32", "fp32")
    assert graph.build is None


def test_without_a_batch_the_smallest_is_taken(bundle: Bundle) -> None:
    assert model_file(bundle, CHIPS).path.name == "b1.bin"


def test_all_files_of_a_backend_and_of_no_other(bundle: Bundle) -> None:
    names = [one.path.name for one in model_files(bundle, CHIPS)]
    assert names == ["b4.bin", "b1.bin", "many.bin"]
    assert [one.path.name for one in model_files(bundle, BACKENDS["onnxruntime"])] == ["model.onnx"]


def test_the_latest_of_two_for_one_batch_is_taken(
    example: Callable[..., Any], tmp_path: Path
) -> None:
    source = example().bundle
    files = _files(source, ("old.bin", [1], "fp32"), ("new.bin", [1], "fp16"))
    found = Bundle(with_builds(source, tmp_path / "built", files))
    assert built_for(found, "chips", 1, "").name == "new.bin"


def test_sizes_are_those_of_the_record(bundle: Bundle) -> None:
    sizes = {one.file: sizes_of(bundle.manifest, one) for one in bundle.manifest.builds}
    assert sizes == {"b4.bin": (4,), "b1.bin": (1,), "many.bin": (2, 8, 16), "other.bin": (3,)}
    assert batches_of(bundle.manifest, bundle.manifest.builds[2]) == (2, 16)


def test_a_bundle_without_a_build_names_the_command(example: Callable[..., Any]) -> None:
    plain = Bundle(example().bundle)
    for find in (model_file, model_files):
        with pytest.raises(BundleError, match=f"stgcn build {plain.path} --to chips"):
            find(plain, CHIPS)


def test_another_batch_is_refused_with_those_there_are(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="batches 4, 1, 2 to 16") as caught:
        model_file(bundle, CHIPS, 17)
    assert "--to chips --batch 17" in str(caught.value)


def test_a_record_without_the_input_is_refused(example: Callable[..., Any], tmp_path: Path) -> None:
    source = example().bundle
    record = build_record(source, [1], "x.bin", target="chips", shapes={"another": [[1, 2]]})
    found = Bundle(with_builds(source, tmp_path / "built", {"x.bin": (b"", record)}))
    with pytest.raises(BundleError, match=r"does not say which shapes x\.bin takes for 'input'"):
        model_file(found, CHIPS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (OpenOptions(compute=None, tap="logits"), "'logits' cannot be shown"),
        (OpenOptions(compute="fp16"), "computes as it was built"),
        (OpenOptions(), "fp32"),
    ],
)
def test_a_built_file_takes_no_changes(options: OpenOptions, message: str) -> None:
    refuse_changes(Path("m.bin"), OpenOptions(compute=None), "chips")
    with pytest.raises(BackendError, match=message):
        refuse_changes(Path("m.bin"), options, "chips")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_graph_has_no_precision_of_its_own(example: Callable[..., Any], name: str) -> None:
    backend = BACKENDS[name]
    if reason := backend.available():
        pytest.skip(reason)
    with pytest.raises(BackendError, match="say which: compute="):
        backend.open(example().bundle / "model.onnx", OpenOptions(compute=None))
