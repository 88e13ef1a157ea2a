"""stgcn wizard: questions that end in a command."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import typer

from stgcn_deploy.cli.console import note, say
from stgcn_deploy.errors import UsageError

__all__ = ["build_commands", "wizard"]

SUFFIXES = (".pt", ".pth", ".ckpt")


def build_commands(answers: dict[str, Any]) -> list[list[str]]:
    """The argument lists of `stgcn` that the answers stand for, one for each chosen file."""
    commands = []
    for file in answers["files"]:
        command = ["export", str(file), "-o", str(Path(answers["output"]) / Path(file).stem)]
        command += ["--persons", str(answers["persons"]), "--frames", str(answers["frames"])]
        command += ["--opset", str(answers["opset"])]
        if answers["target"] == "ascend":
            command += ["--graph-form", "matmul"]
        commands.append(command)
    return commands


def _choose_files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    files = sorted(f for f in folder.glob("*") if f.suffix in SUFFIXES) if folder.is_dir() else []
    if not files:
        raise UsageError(f"{folder} holds no checkpoint ({', '.join(SUFFIXES)}).")
    for number, file in enumerate(files, 1):
        note(f"  {number}. {file.name} ({file.stat().st_size / 1e6:.1f} MB)")
    while True:
        answer = typer.prompt("Which ones? Numbers like 1,3, or all", default="all", err=True)
        if answer.strip().lower() == "all":
            return files
        try:
            return [files[int(part) - 1] for part in answer.split(",") if int(part) > 0]
        except (ValueError, IndexError):
            note(f"Please answer with numbers from 1 to {len(files)}, or all.")


def _number(question: str, default: int, low: int, high: int) -> int:
    while True:
        value: int = typer.prompt(
            f"{question} ({low} to {high})", default=default, type=int, err=True
        )
        if low <= value <= high:
            return value
        note(f"Please answer with a number from {low} to {high}.")


def _ask() -> dict[str, Any]:
    """Every question, with a default read from the first chosen file where it says."""
    from stgcn_deploy import api

    folder = Path(typer.prompt("Folder or file with checkpoints", default=".", err=True))
    files = _choose_files(folder)
    found = api.inspect(files[0])
    note(f"{files[0].name}: {found['family_title']}, {found['layout']}, {found['classes']} classes")
    multi = typer.confirm("Several persons in one clip?", default=found["M"] > 1, err=True)
    persons = _number("How many", max(2, found["M"]), 2, 8) if multi else 1
    frames = _number("Frames of one clip (T), as in training", found["T"], 8, 2000)
    target = (
        typer.prompt("Where will it run: cpu, tensorrt or ascend", default="cpu", err=True)
        .strip()
        .lower()
    )
    while target not in ("cpu", "tensorrt", "ascend"):
        target = typer.prompt("cpu, tensorrt or ascend", default="cpu", err=True).strip().lower()
    usual = {"cpu": 18, "tensorrt": 17, "ascend": 11}[target]
    opset = _number("ONNX opset", usual, 11, 20)
    output = typer.prompt("Folder for the bundles", default="bundles", err=True)
    return {
        "files": files, "persons": persons, "frames": frames, "target": target, "opset": opset,
        "output": output,
    }  # fmt: skip


def wizard() -> None:
    """Ask what to export, show the equivalent commands, run them."""
    if not sys.stdin.isatty():
        raise UsageError(
            "the wizard asks questions and needs a terminal; in scripts use stgcn export, whose "
            "options are listed by stgcn export --help."
        )
    run_wizard()


def run_wizard() -> None:
    """The conversation itself, on whatever standard input is."""
    from stgcn_deploy.cli.main import build_app

    commands = build_commands(_ask())
    say("The same without questions:")
    for command in commands:
        say(f"  stgcn {shlex.join(command)}")
    if not typer.confirm("Run it now?", default=True, err=True):
        return
    for command in commands:
        note(f"> stgcn {shlex.join(command)}")
        build_app()(command, standalone_mode=False)
