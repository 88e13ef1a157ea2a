"""The weights of BlazePose: out of a wheel into the cache, whole or not at all, never another file."""

from __future__ import annotations

import hashlib
import importlib.machinery
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished

from stgcn_deploy import api
from stgcn_deploy.builders.tool import ToolRun
from stgcn_deploy.errors import (
    BuildError,
    FileUnreadableError,
    HashMismatchError,
    MissingDependencyError,
    OutputExistsError,
)
from stgcn_deploy.live.pose import fetch
from stgcn_deploy.live.pose.fetch import DETECTOR, LANDMARKS, WEIGHTS, Weights, find_weights

CONTENTS = {DETECTOR: b"looks for people" * 100, LANDMARKS: b"looks for joints" * 200}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, small weights, no MediaPipe installed, and no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, content in CONTENTS.items():
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setitem(WEIGHTS, name, Weights(WEIGHTS[name].member, len(content), digest))
    monkeypatch.setattr(fetch, "find_spec", lambda _: None)
    monkeypatch.setattr(fetch, "run_tool", _never)
    return tmp_path / "cache" / "stgcn-deploy" / "pose" / "blazepose"


def _never(*_: object) -> ToolRun:
    raise AssertionError("pip must not be started here")


def _wheel(path: Path, contents: dict[str, bytes] | None = None, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (CONTENTS if contents is None else contents).items():
            archive.writestr(WEIGHTS[name].member, content)
        archive.writestr("mediapipe/__init__.py", "raise SystemExit")
        for name, content in more.items():
            archive.writestr(name, content)
    return path


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.rglob("*") if path.is_file())


# ---- a wheel of the user's -------------------------------------------------------------------


def test_two_files_are_taken_and_where_they_are_from_is_said(cache: Path, tmp_path: Path) -> None:
    made = api.pose_fetch(_wheel(tmp_path / "mediapipe.whl"))
    assert made.new
    assert made.folder == cache
    assert _left(cache) == [DETECTOR, LANDMARKS, "source.json"]
    assert {name: (cache / name).read_bytes() for name in CONTENTS} == CONTENTS
    said = json.loads((cache / "source.json").read_text())
    assert said["licence"] == "Apache-2.0"
    assert said["source"] == "mediapipe.whl"
    assert "Google" in said["authors"]
    assert find_weights() == {name: cache / name for name in CONTENTS}


def test_what_is_there_is_not_written_again_unless_forced(cache: Path, tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "mediapipe.whl")
    api.pose_fetch(wheel)
    before = (cache / DETECTOR).stat().st_mtime_ns
    again = api.pose_fetch()
    assert not again.new
    assert again.source == "mediapipe.whl"
    assert (cache / DETECTOR).stat().st_mtime_ns == before
    assert api.pose_fetch(wheel, force=True).new


def test_damaged_files_are_replaced(cache: Path, tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "mediapipe.whl")
    api.pose_fetch(wheel)
    (cache / LANDMARKS).write_bytes(b"x" * len(CONTENTS[LANDMARKS]))
    with pytest.raises(HashMismatchError, match=f"{LANDMARKS}.*pose fetch --force"):
        find_weights()
    assert api.pose_fetch(wheel).new
    assert find_weights()


def test_a_damaged_side_file_harms_nothing(cache: Path, tmp_path: Path) -> None:
    api.pose_fetch(_wheel(tmp_path / "mediapipe.whl"))
    (cache / "source.json").write_text("[")
    assert api.pose_fetch().source == "unknown"


@pytest.mark.parametrize("name", [DETECTOR, LANDMARKS])
@pytest.mark.parametrize("how", ["other", "shorter", "longer"])
def test_another_file_under_the_name_is_refused_and_nothing_is_written(
    cache: Path, tmp_path: Path, name: str, how: str
) -> None:
    content = CONTENTS[name]
    wrong = {"other": content[:-1] + b"!", "shorter": content[:-1], "longer": content + b"!"}[how]
    wheel = _wheel(tmp_path / "mediapipe.whl", CONTENTS | {name: wrong})
    with pytest.raises(HashMismatchError, match=f"{name}.*nothing was written"):
        api.pose_fetch(wheel)
    assert not cache.exists()


def test_a_refused_wheel_leaves_what_is_there(cache: Path, tmp_path: Path) -> None:
    api.pose_fetch(_wheel(tmp_path / "right.whl"))
    wrong = _wheel(tmp_path / "wrong.whl", CONTENTS | {DETECTOR: b"?"})
    with pytest.raises(HashMismatchError):
        api.pose_fetch(wrong, force=True)
    assert find_weights()


def test_a_header_that_lies_about_the_size_is_refused(cache: Path, tmp_path: Path) -> None:
    # Said to be as long as it should be, and really a bomb.
    wheel = _wheel(tmp_path / "mediapipe.whl", CONTENTS | {DETECTOR: b"\0" * 10_000_000})
    size = len(CONTENTS[DETECTOR])
    raw = wheel.read_bytes().replace((10_000_000).to_bytes(4, "little"), size.to_bytes(4, "little"))
    wheel.write_bytes(raw)
    with pytest.raises((HashMismatchError, FileUnreadableError)):
        api.pose_fetch(wheel)
    assert not cache.exists()


def test_a_wheel_without_weights_says_which_has_them(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(FileUnreadableError, match=r"since 0\.10\.30.*mediapipe==0\.10\.21"):
        api.pose_fetch(_wheel(tmp_path / "newer.whl", {}))


@pytest.mark.parametrize("content", [None, b"", b"no zip", b"PK\x03\x04 cut short"])
def test_what_is_no_wheel_is_said(cache: Path, tmp_path: Path, content: bytes | None) -> None:
    wheel = tmp_path / "mediapipe.whl"
    if content is not None:
        wheel.write_bytes(content)
    with pytest.raises(FileUnreadableError, match="cannot be read as a wheel"):
        api.pose_fetch(wheel)
    assert not cache.exists()


def test_a_damaged_wheel_is_refused(cache: Path, tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "mediapipe.whl")
    raw = bytearray(wheel.read_bytes())
    raw[80:90] = bytes(10)
    wheel.write_bytes(raw)
    with pytest.raises((FileUnreadableError, HashMismatchError)):
        api.pose_fetch(wheel)
    assert not cache.exists()


def test_a_folder_of_somebody_elses_is_not_replaced(cache: Path, tmp_path: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "mine.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        api.pose_fetch(_wheel(tmp_path / "mediapipe.whl"))
    assert (cache / "mine.txt").read_text() == "mine"


# ---- pip -------------------------------------------------------------------------------------


def test_pip_is_asked_for_one_wheel_whatever_the_machine(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def download(argv: list[str], cwd: Path, _: float) -> ToolRun:
        asked.append(list(argv))
        _wheel(cwd / "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl")
        return ToolRun(0, "", 0.1)

    monkeypatch.setattr(fetch, "run_tool", download)
    assert api.pose_fetch().source.startswith("mediapipe-0.10.21")
    ((python, *words),) = asked
    assert python == sys.executable
    assert words[:3] == ["-m", "pip", "download"]
    assert words[-1] == "mediapipe==0.10.21"
    assert {"--no-deps", "--only-binary=:all:", "--no-input"} <= set(words)
    assert _left(cache) == [DETECTOR, LANDMARKS, "source.json"]


@pytest.mark.parametrize(
    "said",
    [
        "ERROR: No matching distribution found for mediapipe==0.10.21",
        f"{sys.executable}: No module named pip",
    ],
)
def test_without_pip_or_network_it_says_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(fetch, "run_tool", lambda *_: ToolRun(1, said, 0.1))
    with pytest.raises(MissingDependencyError, match="--wheel FILE") as stop:
        api.pose_fetch()
    assert said in str(stop.value)
    assert not cache.exists()


def test_a_password_in_an_address_is_not_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "WARNING: https://me:secret@mirror.example/simple cannot be reached"
    monkeypatch.setattr(fetch, "run_tool", lambda *_: ToolRun(1, said, 0.1))
    with pytest.raises(MissingDependencyError) as stop:
        api.pose_fetch()
    assert "secret" not in str(stop.value)
    assert "https://mirror.example/simple" in str(stop.value)


def test_a_pip_that_hangs_is_given_up(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object) -> ToolRun:
        raise BuildError("stopped")

    monkeypatch.setattr(fetch, "run_tool", hang)
    with pytest.raises(MissingDependencyError, match=r"within 900 s.*--wheel FILE"):
        api.pose_fetch()


def test_the_words_are_ones_that_pip_knows(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    argv += [*fetch.WHEEL_OF, "--no-input", "--no-index", fetch.PACKAGE]
    run = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "No module named pip" in run.stderr:
        pytest.skip("pip is not installed here")
    assert run.returncode == 1  # 2 would be a wrong word
    assert "No matching distribution" in run.stderr


# ---- an installed MediaPipe ------------------------------------------------------------------


def _install(folder: Path, contents: dict[str, bytes]) -> Callable[[str], Any]:
    package = folder / "mediapipe"
    for name, content in contents.items():
        place = folder / WEIGHTS[name].member
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
    spec = importlib.machinery.ModuleSpec("mediapipe", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    return lambda _: spec


def test_files_of_an_installed_mediapipe_are_taken_where_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fetch, "find_spec", _install(tmp_path, CONTENTS))
    assert find_weights() == {name: tmp_path / WEIGHTS[name].member for name in CONTENTS}


@pytest.mark.parametrize("contents", [{}, CONTENTS | {DETECTOR: b"of another version"}])
def test_those_of_another_version_are_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, contents: dict[str, bytes]
) -> None:
    monkeypatch.setattr(fetch, "find_spec", _install(tmp_path, contents))
    with pytest.raises(MissingDependencyError, match="stgcn pose fetch"):
        find_weights()


def test_a_module_without_a_place_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise ValueError("mediapipe.__spec__ is None")

    monkeypatch.setattr(fetch, "find_spec", broken)
    with pytest.raises(MissingDependencyError):
        find_weights()


# ---- the command -----------------------------------------------------------------------------


def test_the_command_tells_the_place_the_files_and_the_licence(
    cli: Callable[..., Finished], cache: Path, tmp_path: Path
) -> None:
    wheel = _wheel(tmp_path / "mediapipe.whl")
    run = cli("pose", "fetch", "--wheel", wheel)
    assert run.code == 0
    for word in (str(cache), "written", DETECTOR, LANDMARKS, "Apache-2.0", "Google"):
        assert word in run.out
    again = json.loads(cli("pose", "fetch", "--json").out)
    assert again["new"] is False
    assert again["folder"] == str(cache)
    assert set(again["files"]) == set(CONTENTS)


def test_a_wrong_wheel_is_an_error_without_a_trace(
    cli: Callable[..., Finished], tmp_path: Path
) -> None:
    run = cli("pose", "fetch", "--wheel", tmp_path / "none.whl")
    assert run.code == 2
    assert "cannot be read as a wheel" in run.err
    assert "Traceback" not in run.err
