"""A bundle is used whole and unchanged, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import copied, edit_manifest, reseal
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.bundle import Bundle, Golden, read_manifest, sha256_of, write_bundle, write_golden
from stgcn_deploy.errors import (
    BundleError,
    FileUnreadableError,
    HashMismatchError,
    ManifestError,
    OutputExistsError,
    StgcnError,
    UsageError,
)
from stgcn_deploy.files import fresh_directory
from stgcn_deploy.manifest import SCHEMA_VERSION, Manifest

FILES = ("golden.npz", "labels.txt", "model.onnx")


@pytest.fixture
def bundle(example: Callable[..., Any], tmp_path: Path) -> Path:
    """A bundle of this test's own."""
    return copied(example().bundle, tmp_path)


def _manifest(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    return found


# ---- reading ---------------------------------------------------------------------------------


def test_an_untouched_bundle_is_read(bundle: Path) -> None:
    found = Bundle(bundle)
    assert set(found.manifest.files) == set(FILES)
    assert found.model_path.is_file()
    assert found.labels == tuple(f"class {index}" for index in range(5))
    assert found.manifest.input_shapes == {"input": (1, 3, 20, 18, 2)}


def test_the_manifest_says_what_it_was_made_of(bundle: Path) -> None:
    manifest = Bundle(bundle).manifest
    assert manifest.schema_version == SCHEMA_VERSION
    assert manifest.source.codebase == "st-gcn"
    assert manifest.layout.name == "openpose18"
    assert manifest.parity is not None
    assert manifest.parity.max_error <= manifest.parity.tolerance
    assert {"numpy", "onnx", "torch", "stgcn-deploy"} <= set(manifest.versions)


def test_golden_cases_come_back_as_they_were_recorded(bundle: Path) -> None:
    cases = Bundle(bundle).golden()
    assert {"random", "lifelike", "extreme", "zeros", "padded", "absent"} <= {c.name for c in cases}
    for case in cases:
        assert case.batch.dtype == np.float32
        assert case.batch.shape == (1, 2, 20, 18, 3)
        assert case.logits.dtype == np.float64
        assert case.logits.shape == (1, 5)


def test_writing_and_reading_a_manifest_changes_nothing(bundle: Path) -> None:
    before = read_manifest(bundle)
    reseal(bundle)
    assert read_manifest(bundle) == before


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0, -1])
def test_one_changed_bit_is_noticed(bundle: Path, name: str, place: int) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[place] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(HashMismatchError, match=name):
        Bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_one_byte_more_is_noticed(bundle: Path, name: str) -> None:
    with (bundle / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(HashMismatchError, match=name):
        Bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(HashMismatchError, match=f"{name} is missing"):
        Bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_manifest_does_not_vouch_for_is_refused(bundle: Path, name: str) -> None:
    """Striking a file off the list must not free it from its hash."""
    edit_manifest(bundle, lambda m: m["files"].pop(name))
    with pytest.raises(ManifestError, match=name):
        Bundle(bundle)


@pytest.mark.parametrize(
    "name", ["../model.onnx", "/etc/hostname", "sub/model.onnx", "..", ".", "", "a\\..\\b/c"]
)
def test_a_file_name_that_leaves_the_bundle_is_refused(bundle: Path, name: str) -> None:
    edit_manifest(bundle, lambda m: m["files"].update({name: m["files"]["model.onnx"]}))
    with pytest.raises(BundleError):
        Bundle(bundle)


@pytest.mark.parametrize("field", Manifest.model_fields)
def test_every_field_is_required(bundle: Path, field: str) -> None:
    edit_manifest(bundle, lambda m: m.pop(field))
    with pytest.raises(ManifestError, match="schema version" if "schema" in field else field):
        Bundle(bundle)


NESTED = ("sources.0", "inputs.0", "layout", "clip", "contract", "precision", "parity")


def _part(manifest: dict[str, Any], where: str) -> dict[str, Any]:
    """The record at a dotted place; "" is the manifest itself."""
    found: Any = manifest
    for step in where.split(".") if where else ():
        found = found[int(step) if step.isdigit() else step]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("where", ["", *NESTED])
def test_an_unknown_field_is_refused_wherever_it_stands(bundle: Path, where: str) -> None:
    edit_manifest(bundle, lambda m: _part(m, where).update(surprise=1))
    with pytest.raises(ManifestError, match=r"surprise.*Extra inputs"):
        Bundle(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema_version=2), "schema version 2, this stgcn-deploy reads 1"),
        (lambda m: m.update(schema_version="1"), "schema version '1'"),
        (lambda m: m.update(schema_version=None), "schema version None"),
        (lambda m: m["inputs"][0].update(axes="NCVT"), "axes 'NCVT' is none of"),
        (lambda m: m["inputs"][0].update(stream="bones"), "stream 'bones' is none of"),
        (lambda m: m.update(inputs=[]), "no inputs"),
        (lambda m: m.update(sources=[]), "no sources"),
        (lambda m: m.update(fusion="mean"), "fusion"),
        (lambda m: m.update(activation="relu"), "activation"),
        (lambda m: m["contract"].update(steps=[{"name": "smaple", "params": {}}]), "did you mean"),
        (lambda m: m["contract"].update(steps=[{"name": "stream"}]), "params"),
        (lambda m: m.update(output="sigmoid"), "output"),
        (lambda m: m.update(num_classes="many"), "num_classes"),
        (lambda m: m["clip"].update(joints=17), "layout has 18 joints, clip 17"),
        (lambda m: m["clip"].update(dynamic={"V": [1, 2]}), "dynamic"),
        (lambda m: m["clip"].update(dynamic={"T": [1]}), "dynamic"),
        (lambda m: m["contract"].update(pad_frames="repeat"), "pad_frames"),
        (lambda m: m["files"]["model.onnx"].pop("sha256"), "sha256"),
    ],
)
def test_a_wrong_value_is_named(
    bundle: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit_manifest(bundle, change)
    with pytest.raises(ManifestError, match=message):
        Bundle(bundle)


@pytest.mark.parametrize("size", ["batch", "persons", "frames", "joints", "channels"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_size_below_one_is_refused(bundle: Path, size: str, value: int) -> None:
    edit_manifest(bundle, lambda m: m["clip"].update({size: value}))
    with pytest.raises(ManifestError, match=size if size != "joints" else "joints"):
        Bundle(bundle)


@pytest.mark.parametrize("ends", [[30, 10], [0, 10], [-5, 5]])
def test_an_open_axis_without_a_proper_range_is_refused(bundle: Path, ends: list[int]) -> None:
    edit_manifest(bundle, lambda m: m["clip"].update(dynamic={"T": ends}))
    with pytest.raises(ManifestError, match="dynamic"):
        Bundle(bundle)


def test_labels_of_another_number_than_the_classes_are_refused(bundle: Path) -> None:
    (bundle / "labels.txt").write_text("only one\n", encoding="utf-8")
    reseal(bundle)
    with pytest.raises(BundleError, match="label"):
        _ = Bundle(bundle).labels


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b"{}", b"[" * 200_000]
)
def test_a_manifest_that_is_none_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / "manifest.json").write_bytes(content)
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        Bundle(bundle)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def test_any_garbage_in_any_field_is_an_error_of_ours(bundle: Path) -> None:
    good = _manifest(bundle)

    @given(st.sampled_from(sorted(good)), json_values)
    def try_it(field: str, value: Any) -> None:
        text = json.dumps({**good, field: value})
        (bundle / "manifest.json").write_text(text, encoding="utf-8")
        try:
            read_manifest(bundle)
        except ManifestError:
            return
        assert not isinstance(value, type(None)) or good[field] is None or field == "parity"

    try_it()


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no bundle"):
        Bundle(tmp_path)


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ManifestError, match="no bundle"):
        Bundle(tmp_path / "file")


def test_nothing_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadableError, match="does not exist"):
        Bundle(tmp_path / "absent")


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"PK\x03\x04garbage"], ids=["empty", "text", "zip"]
)
def test_golden_cases_that_cannot_be_read_are_an_error_of_ours(
    bundle: Path, content: bytes
) -> None:
    (bundle / "golden.npz").write_bytes(content)
    reseal(bundle)
    with pytest.raises(StgcnError, match=r"golden\.npz"):
        Bundle(bundle).golden()


def test_golden_cases_without_their_names_are_an_error_of_ours(bundle: Path) -> None:
    np.savez(bundle / "golden.npz", batch_0=np.zeros(3))
    reseal(bundle)
    with pytest.raises(StgcnError, match=r"golden\.npz"):
        Bundle(bundle).golden()


def test_golden_cases_never_run_code(bundle: Path) -> None:
    np.savez(bundle / "golden.npz", names=np.array([print], dtype=object))
    reseal(bundle)
    with pytest.raises(StgcnError, match=r"golden\.npz"):
        Bundle(bundle).golden()


# ---- writing ---------------------------------------------------------------------------------


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def _fresh(target: Path, *, force: bool = False) -> AbstractContextManager[Path]:
    return fresh_directory(target, mark="manifest.json", force=force)


def test_a_directory_takes_its_place_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with _fresh(target) as folder:
        (folder / "file").touch()
        assert not target.exists()
    assert _left(tmp_path) == ["file", "out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_inside_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fill_and_fail() -> None:
        with _fresh(tmp_path / "out") as folder:
            (folder / "file").touch()
            raise error

    with pytest.raises(error):
        fill_and_fail()
    assert _left(tmp_path) == []


def test_a_failure_inside_leaves_no_parent_folder_that_was_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="stop"),
        _fresh(tmp_path / "a" / "b"),
    ):
        raise ValueError("stop")
    assert _left(tmp_path) == []


def test_parent_folders_are_made(tmp_path: Path) -> None:
    with _fresh(tmp_path / "a" / "b" / "c"):
        pass
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_nothing_is_overwritten_unless_asked(bundle: Path) -> None:
    before = {path.name: sha256_of(path) for path in bundle.iterdir()}
    with pytest.raises(OutputExistsError, match="--force"), _fresh(bundle):
        pass
    assert {path.name: sha256_of(path) for path in bundle.iterdir()} == before


def test_force_replaces_a_bundle(bundle: Path) -> None:
    with _fresh(bundle, force=True) as folder:
        (folder / "new").touch()
    assert [path.name for path in bundle.iterdir()] == ["new"]


def test_a_failure_under_force_keeps_the_old_bundle(bundle: Path) -> None:
    with pytest.raises(ValueError, match="stop"), _fresh(bundle, force=True):
        raise ValueError("stop")
    assert Bundle(bundle).labels
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_force_spares_what_is_no_bundle(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "precious"
    if kind == "folder":
        target.mkdir()
        (target / "thesis.tex").touch()
    else:
        target.touch()
    with (
        pytest.raises(OutputExistsError, match="other files than ours"),
        _fresh(target, force=True),
    ):
        pass
    assert target.exists()
    assert len(_left(tmp_path)) == (2 if kind == "folder" else 1)


def test_force_takes_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with _fresh(tmp_path / "out", force=True) as folder:
        (folder / "file").touch()
    assert _left(tmp_path / "out") == ["file"]


def test_a_link_to_a_bundle_is_not_followed_into_a_crash(bundle: Path) -> None:
    """--force through a link: replaced or refused in words, but never half of either."""
    link = bundle.parent / "link"
    link.symlink_to(bundle, target_is_directory=True)
    try:
        with _fresh(link, force=True) as folder:
            (folder / "new").touch()
    except StgcnError:
        assert Bundle(bundle).labels
    else:
        assert (link / "new").exists()
    assert {path.name for path in bundle.parent.iterdir()} == {bundle.name, "link"}


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match=r"cannot write .*out"),
        _fresh(tmp_path / "file" / "out"),
    ):
        pass
    assert _left(tmp_path) == ["file"]


def test_a_sealed_bundle_names_every_file_with_its_hash(bundle: Path) -> None:
    (bundle / "model.onnx.data").write_bytes(b"weights")
    fields = _manifest(bundle)
    for field in ("files", "schema_version"):
        del fields[field]
    manifest = write_bundle(bundle, fields)
    assert set(manifest.files) == {*FILES, "model.onnx.data"}
    for name, record in manifest.files.items():
        assert record.sha256 == sha256_of(bundle / name)
        assert record.bytes == (bundle / name).stat().st_size


def test_golden_cases_are_written_in_their_order(tmp_path: Path) -> None:
    cases = tuple(
        Golden(name, np.full((1, 2), index, np.float32), np.full((1, 3), index, np.float64))
        for index, name in enumerate(["b", "a", "c"])
    )
    write_golden(tmp_path, cases)
    with np.load(tmp_path / "golden.npz", allow_pickle=False) as file:
        assert list(file["names"]) == ["b", "a", "c"]
        assert file["batch_2"][0, 0] == 2


def _built(**changes: Any) -> dict[str, Any]:
    return {
        "target": "tensorrt", "file": "model_fp32.engine", "requested": "fp16", "actual": "fp32",
        "attempts": [{"precision": "fp16", "outcome": "no tactic"},
                     {"precision": "fp32", "outcome": "built"}],
        "shapes": {"input": [[1, 3, 20, 18, 1]]}, "device": "sm_87", "layers": {"fp32": 40},
        "tools": {"tensorrt": "10.3.0"}, "command": ["trtexec"], **changes,
    }  # fmt: skip


def test_a_built_file_is_one_of_the_bundle(bundle: Path) -> None:
    (bundle / "model_fp32.engine").write_bytes(b"plan")
    edit_manifest(bundle, lambda m: m.update(builds=[_built()]))
    with pytest.raises(ManifestError, match=r"model_fp32\.engine, which was built"):
        Bundle(bundle)
    reseal(bundle)
    (found,) = Bundle(bundle).manifest.builds
    assert (found.requested, found.actual) == ("fp16", "fp32")
    edit_manifest(bundle, lambda m: m.update(builds=[_built(shapes={"input": [[0]]})]))
    with pytest.raises(ManifestError, match="builds"):
        Bundle(bundle)
