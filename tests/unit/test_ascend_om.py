"""Which OM of a bundle is run: the one that was meant, whole, and recorded as what it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ascendhost import add_om, host_environment, tiny_bundle, varied_data
from checkpoints import edit_manifest

from stgcn_deploy import api
from stgcn_deploy.errors import BundleError, HashMismatchError, UnknownNameError, UsageError


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with three OM files, and its data."""
    folder = tmp_path_factory.mktemp("om")
    tiny_bundle(folder / "bundle", 1, 4, 8)
    varied_data(folder, 5)
    return folder


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in host_environment(tmp_path).items():
        monkeypatch.setenv(name, value)


def _run(world: Path, work: Path, **options: Any) -> Any:
    return api.ascend_run(world / "bundle", world / "val_data.npy", work, **options)


def test_the_smallest_batch_is_taken_where_none_is_said(world: Path, tmp_path: Path) -> None:
    assert _run(world, tmp_path, dry_run=True).om.batch == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch": 2}, UsageError, "batch size 1, 4, 8, not 2"),
        ({"om": "model_b5_fp16.om"}, UnknownNameError, "did you mean 'model_b"),
        ({"om": "model_b4_fp16.om", "batch": 8}, UsageError, "batch size 4, not 8"),
        ({"tool": "msame", "batch": 4}, UsageError, "cannot fill a batch of 4"),
        ({"device": -1}, UsageError, "device must be"),
        ({"loop": 0}, UsageError, "loop of 1"),
        ({"limit": 0}, UsageError, "limit must be"),
    ],
)
def test_what_there_is_not_is_refused(
    world: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _run(world, tmp_path / "work", **options)


def test_two_files_of_one_batch_size_must_be_told_apart(world: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(world / "bundle", bundle)
    add_om(bundle, 4, "origin")
    with pytest.raises(UsageError, match=r"several OM files of batch size 4.*--om FILE"):
        api.ascend_run(bundle, world / "val_data.npy", tmp_path / "w", batch=4, dry_run=True)
    found = api.ascend_run(
        bundle, world / "val_data.npy", tmp_path / "w", om="model_b4_origin.om", batch=4
    )
    assert found.om.precision == "origin"


def test_a_bundle_without_om_says_how_to_build_one(
    tmp_path: Path, example: Callable[..., Any]
) -> None:
    with pytest.raises(BundleError, match=r"stgcn build .* --to ascend"):
        api.ascend_run(example().bundle, tmp_path / "val_data.npy", tmp_path / "work")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda build: build.update(file="a b.om"), "is no name that Ascend's tools take"),
        (lambda build: build.update(file="$(reboot).om"), "is no name that Ascend's tools take"),
        (
            lambda build: build.update(shapes={"points": build["shapes"]["input"]}),
            "inputs are input",
        ),
        (lambda build: build["shapes"].update(input=build["shapes"]["input"] * 3), "gears"),
    ],
)
def test_records_that_contradict_the_bundle_are_refused(
    world: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(world / "bundle", bundle)

    def only(manifest: dict[str, Any]) -> None:
        manifest["builds"] = manifest["builds"][:1]
        before = manifest["builds"][0]["file"]
        change(manifest["builds"][0])
        after = manifest["builds"][0]["file"]
        manifest["files"][after] = manifest["files"][before]
        if after != before:
            shutil.copyfile(bundle / before, bundle / after)

    edit_manifest(bundle, only)
    with pytest.raises(BundleError, match=message):
        api.ascend_run(bundle, world / "val_data.npy", tmp_path / "work", dry_run=True)


def test_a_changed_om_is_not_run(world: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(world / "bundle", bundle)
    with (bundle / "model_b4_fp16.om").open("ab") as file:
        file.write(b"x")
    with pytest.raises(HashMismatchError, match=r"model_b4_fp16\.om"):
        api.ascend_run(bundle, world / "val_data.npy", tmp_path / "work", batch=4)
