"""Put stand-ins first on PATH, run by this interpreter."""

from __future__ import annotations

import os
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

__all__ = [
    "FAKES",
    "OLD",
    "OPTIONS",
    "SOC",
    "gone",
    "nothing_left",
    "put_on_path",
    "use_atc",
    "without_toolkit",
]

FAKES = Path(__file__).resolve().parent
# For the command line, and for the API.
SOC = ("--soc-version", "Ascend310P3")
OPTIONS: dict[str, Any] = {"to": "ascend", "soc_version": "Ascend310P3"}
# Exports that every atc reads.
OLD: dict[str, Any] = {"graph_form": "matmul", "opset": 11}
# What a real toolkit of the machine would set.
VARIABLES = ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH", "ASCEND_OPP_PATH")


def without_toolkit(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A machine that has no toolkit, whatever this one has."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in list(os.environ):
        if name.startswith("FAKE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr("stgcn_deploy.builders.ascend_toolkit.SYSTEM", folder / "nowhere")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def put_on_path(monkeypatch: pytest.MonkeyPatch, folder: Path, *names: str) -> Path:
    """A folder with these stand-ins, first on PATH, and the variables of a sourced set_env.sh."""
    place = folder / "toolkit" / "bin"
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        script = place / name
        command = shlex.join([sys.executable, str(FAKES / name)])
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(place.parent))
    monkeypatch.setenv("ASCEND_OPP_PATH", str(place.parent / "opp"))
    return place


def use_atc(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The stand-in of atc first on PATH; its calls and all scratch folders below `folder`."""
    put_on_path(monkeypatch, folder, "atc")
    monkeypatch.setenv("FAKE_ATC_CALLS", str(folder / "calls"))
    # Scratch folders are made here, so that what is left of them shows.
    (folder / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder / "scratch"))


def nothing_left(folder: Path) -> bool:
    """No bundle called out, no part of one, no scratch folder."""
    scratch = list((folder / "scratch").iterdir())
    return not scratch and not [path for path in folder.iterdir() if "out" in path.name]


def gone(pid: int) -> bool:
    """Whether a process ends soon; one that nobody waits for stays in the table as a zombie."""
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state[0] in "ZX":
            return True
        time.sleep(0.1)
    with suppress(ProcessLookupError):
        os.kill(pid, 9)
    return False
