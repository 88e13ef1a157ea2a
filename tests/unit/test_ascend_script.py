"""The script that --dry-run prints: it runs as it is, gives eval's scores, and trusts no name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ascendhost import host_environment, tiny_bundle, varied_data
from checkpoints import edit_manifest

from stgcn_deploy import api
from stgcn_deploy.data.dataset import ReadOptions
from stgcn_deploy.errors import UsageError

COUNT = 9
Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("script")
    tiny_bundle(folder / "bundle", 1, 4)
    varied_data(folder, COUNT)
    return folder


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in host_environment(tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache")).items():
        monkeypatch.setenv(name, value)


def _text(cli: Cli, world: Path, work: Path, *options: object) -> str:
    finished = cli(
        "ascend", "run", world / "bundle", "--data", world / "val_data.npy", "--work", work,
        "--dry-run", *options,
    )  # fmt: skip
    assert finished.code == 0, finished.err
    return str(finished.out)


def _sh(text: str, folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    place = folder / "steps.sh"
    place.write_text(text, encoding="utf-8")
    return subprocess.run(
        ["sh", str(place), *arguments],
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd="/",
    )


@pytest.mark.parametrize(("tool", "batch"), [("ais_bench", 4), ("ais_bench", 1), ("msame", 1)])
def test_the_script_runs_as_it_is_and_scores_as_eval_does(
    world: Path, tmp_path: Path, cli: Cli, tool: str, batch: int
) -> None:
    text = _text(cli, world, tmp_path / "work", "--tool", tool, "--batch", batch, "--loop", 3)
    assert not (tmp_path / "work").exists()
    done = _sh(text, tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    norm = api.evaluate([world / "bundle"], world / "val_data.npy").rows[0].accuracy
    assert told["accuracy"]["confusion"] == norm.confusion.tolist()
    assert (told["accuracy"]["top1"], told["accuracy"]["top5"]) == (norm.top1, norm.top5)
    assert told["ran"] is False
    assert told["timing"]["clips_per_s"] > 0
    assert told["pure"]["batch"] == batch


def test_what_the_script_did_is_not_done_again(world: Path, tmp_path: Path, cli: Cli) -> None:
    work = tmp_path / "work"
    text = _text(cli, world, work, "--batch", 4)
    assert _sh(text, tmp_path).returncode == 0
    files = {path: path.stat().st_mtime_ns for path in work.rglob("*_0.bin")}
    again = _sh(text, tmp_path, FAKE_ASCEND_FAULT="exit:1")
    assert again.returncode == 0, again.stderr
    assert "already" in again.stderr
    # The command goes on with the script's folder, as the script does with the command's.
    found = api.ascend_run(world / "bundle", world / "val_data.npy", work, batch=4)
    assert not found.ran
    assert files == {path: path.stat().st_mtime_ns for path in work.rglob("*_0.bin")}


def test_the_script_goes_on_where_the_command_ended(world: Path, tmp_path: Path, cli: Cli) -> None:
    work = tmp_path / "work"
    api.ascend_run(world / "bundle", world / "val_data.npy", work, batch=4)
    done = _sh(_text(cli, world, work, "--batch", 4), tmp_path, FAKE_ASCEND_FAULT="exit:1")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("tool", ["ais_bench", "msame"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("exit:1", "failed; its log is"),
        ("silent", "no (folder of )?results; its log is"),
        ("missing:3", "wrote 8 results of 9"),
        ("stray", "wrote 10 results of 9"),
        ("die:4", "failed; its log is"),
        ("truncated:2", r"2_(output_)?0\.bin"),
    ],
)
def test_the_script_stops_where_something_is_wrong(
    world: Path, tmp_path: Path, cli: Cli, tool: str, fault: str, message: str
) -> None:
    text = _text(cli, world, tmp_path / "work", "--tool", tool)
    done = _sh(text, tmp_path, FAKE_ASCEND_FAULT=fault)
    assert done.returncode != 0
    import re

    assert re.search(message, done.stderr.replace("wrote no", "no")), done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("change", ["run.json", "bins.json"])
def test_the_script_takes_no_results_of_another_run(
    world: Path, tmp_path: Path, cli: Cli, change: str
) -> None:
    text = _text(cli, world, tmp_path / "work")
    assert _sh(text, tmp_path).returncode == 0
    (tmp_path / "work" / "model_b1_fp16_ais_bench" / change).write_text("{}\n", encoding="utf-8")
    done = _sh(text, tmp_path)
    assert done.returncode == 1
    assert "holds results of" in done.stderr


def test_places_can_be_given_on_the_other_host(world: Path, tmp_path: Path, cli: Cli) -> None:
    text = _text(cli, world, tmp_path / "work")
    shutil.copytree(world / "bundle", tmp_path / "there")
    done = _sh(text, tmp_path, BUNDLE=str(tmp_path / "there"), WORK=str(tmp_path / "elsewhere"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "elsewhere" / "model_b1_fp16_ais_bench" / "results").is_dir()
    assert not (tmp_path / "work").exists()


def test_odd_names_of_the_users_stay_words(
    world: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spaces, quotes, dollars and semicolons; 0.0.2 of ais_bench takes such paths."""
    odd = tmp_path / 'it\'s $(touch owned); `touch owned` "x"'
    odd.mkdir()
    shutil.copy(world / "val_data.npy", odd / "val_data.npy")
    shutil.copy(world / "val_label.npy", odd / "my labels.npy")
    finished = cli(
        "ascend", "run", world / "bundle", "--data", odd / "val_data.npy", "--labels",
        odd / "my labels.npy", "--work", odd / "work", "--dry-run", "--limit", 5,
    )  # fmt: skip
    assert finished.code == 0, finished.err
    done = _sh(finished.out, tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 5
    assert not list(tmp_path.rglob("owned"))
    assert not Path("/owned").exists()


def test_a_device_name_that_ends_the_comment_does_not(
    world: Path, tmp_path: Path, cli: Cli
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(world / "bundle", bundle)
    edit_manifest(
        bundle, lambda manifest: manifest["builds"][0].update(device="Ascend310P3\ntouch owned")
    )
    found = api.ascend_run(bundle, world / "val_data.npy", tmp_path / "work", batch=1, dry_run=True)
    assert found.script is not None
    assert "\ntouch" not in found.script
    assert "Ascend310P3?touch owned" in found.script


def test_what_a_script_cannot_say_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no options for the layout or fps"):
        api.ascend_run(
            world / "bundle",
            world / "val_data.npy",
            tmp_path,
            read=ReadOptions(fps=25.0),
            dry_run=True,
        )
    with pytest.raises(UsageError, match="line break"):
        api.ascend_run(world / "bundle", tmp_path / "a\nb.npy", tmp_path, dry_run=True)


def test_options_of_the_data_are_carried(world: Path, tmp_path: Path, cli: Cli) -> None:
    text = _text(
        cli, world, tmp_path / "work", "--limit", 4, "--fit", "pad", "--split", "test1", "--format",
        "kinetics-npy", "--axes", "NCTVM", "--image-size", "640x480",
    )  # fmt: skip
    for words in ("--limit 4", "--fit pad", "--split test1", "--format kinetics-npy"):
        assert text.count(words) == 2
    assert text.count("--axes NCTVM") == text.count("--image-size 640x480") == 2


def test_json_of_a_dry_run_has_the_script(world: Path, tmp_path: Path, cli: Cli) -> None:
    told = json.loads(_text(cli, world, tmp_path / "work", "--json"))
    assert told["script"].startswith("#!/bin/sh\n")
    assert told["om"] == "model_b1_fp16.om"


@pytest.mark.parametrize("tool", ["ais_bench", "msame"])
def test_shellcheck_has_nothing_to_say(world: Path, tmp_path: Path, cli: Cli, tool: str) -> None:
    checker = shutil.which("shellcheck")
    if checker is None:
        pytest.skip("shellcheck is not installed here")
    place = tmp_path / "steps.sh"
    place.write_text(_text(cli, world, tmp_path / "work", "--tool", tool), encoding="utf-8")
    done = subprocess.run(
        [checker, "--shell=sh", "--enable=all", "--exclude=SC2312,SC2250", str(place)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
