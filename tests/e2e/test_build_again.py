"""Building into a bundle that has built files, and what is done with one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoints import copied
from fakes.place import FAKES, OPTIONS

from stgcn_deploy import api
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import (
    OutputExistsError,
    UnknownNameError,
)

Cli = Callable[..., Any]


# ---- a second build --------------------------------------------------------------------------


def test_a_second_build_keeps_the_first_ones_files(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.build(bundle, tmp_path / "first", **OPTIONS)
    found = api.build(tmp_path / "first", tmp_path / "second", **OPTIONS, batch=4)
    assert found.bundle is not None
    assert [one.file for one in found.bundle.manifest.builds] == [
        "model_b1_fp16.om", "model_b4_fp16.om",
    ]  # fmt: skip
    assert [one.file for one in found.builds] == ["model_b4_fp16.om"]
    assert (tmp_path / "second" / "model_b1_fp16.om").is_file()


def test_the_same_file_again_needs_force(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.build(bundle, tmp_path / "first", **OPTIONS)
    before = (tmp_path / "calls").read_text(encoding="utf-8")
    with pytest.raises(OutputExistsError, match=r"has model_b1_fp16\.om already"):
        api.build(tmp_path / "first", tmp_path / "second", **OPTIONS)
    # Said before atc has worked for minutes.
    assert (tmp_path / "calls").read_text(encoding="utf-8") == before
    assert not (tmp_path / "second").exists()
    found = api.build(
        tmp_path / "first", tmp_path / "second", to="ascend", soc_version="Ascend310P1", force=True
    )
    assert found.bundle is not None
    assert [one.device for one in found.bundle.manifest.builds] == ["Ascend310P1"]


def test_files_are_added_to_a_bundle_itself_with_force(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = copied(bundle, tmp_path)
    with pytest.raises(OutputExistsError, match="exists; choose another -o"):
        api.build(mine, mine, **OPTIONS)
    found = api.build(mine, mine, **OPTIONS, force=True)
    assert found.bundle is not None
    assert [one.file for one in Bundle(mine).manifest.builds] == ["model_b1_fp16.om"]
    assert Bundle(mine).golden()


def test_what_is_not_ours_is_never_replaced(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").touch()
    with pytest.raises(OutputExistsError, match="holds other files than ours"):
        api.build(bundle, folder, **OPTIONS, force=True)
    assert (folder / "thesis.txt").is_file()


def test_a_build_still_verifies_and_predicts(
    cli: Cli, bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.build(bundle, tmp_path / "out", **OPTIONS)
    assert cli("verify", tmp_path / "out", "--seeds", "1").code == 0
    shown = cli("inspect", tmp_path / "out").out
    assert "model_b1_fp16.om for ascend, Ascend310P3, fp16" in shown
    said = json.loads(cli("inspect", tmp_path / "out", "--json").out)
    assert said["builds"][0]["device"] == "Ascend310P3"


def test_a_changed_om_is_noticed(bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from stgcn_deploy.errors import HashMismatchError

    api.build(bundle, tmp_path / "out", **OPTIONS)
    file = tmp_path / "out" / "model_b1_fp16.om"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    with pytest.raises(HashMismatchError, match=r"model_b1_fp16\.om is not the file"):
        Bundle(tmp_path / "out")


def test_an_unknown_option_finds_its_nearest_name(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'soc_version'"):
        api.build(bundle, tmp_path / "out", to="ascend", soc_verson="Ascend310P3")
    with pytest.raises(UnknownNameError, match="did you mean 'ascend'"):
        api.build(bundle, tmp_path / "out", to="ascent", soc_version="Ascend310P3")


def test_the_stand_in_is_run_by_name_and_by_path() -> None:
    done = subprocess.run(
        [sys.executable, str(FAKES / "atc"), "--mode=0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "ATC start working now" in done.stdout
