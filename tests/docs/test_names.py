"""Pages name only commands and options that `--help` knows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from docs.pages import PAGES, ROOT, blocks, prose
from typer.main import get_command

from stgcn_deploy.cli.main import build_app

# All but the pages that quote the options of other tools, and of our training recipes.
OTHER_TOOLS = ("coming-from-the-guides.md", "accuracy.md")
OWN = [page for page in PAGES if page.name not in OTHER_TOOLS]
OTHERS = {"--help", "--version", "--check"}


def known_options() -> dict[str, set[str]]:
    """Command -> its options."""
    found: dict[str, set[str]] = {}

    def add(group: Any, before: str) -> None:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                add(command, f"{before}{name} ")
                continue
            options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
            found[f"{before}{name}"] = {"-h", "--help"} | options

    add(get_command(build_app()), "")
    return found


OPTIONS = known_options()


def wrong_names(line: str) -> list[str]:
    """What of one `stgcn ...` line does not exist."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        words = line.split()
    if len(words) < 2 or words[1].startswith("-"):
        return [word for word in words[1:2] if word not in OTHERS | {"-h"}]
    command, rest = words[1], words[2:]
    if command.isupper():
        return []
    # Of "data bins write" the first word alone, or the first two, are a group.
    while command not in OPTIONS and any(name.startswith(f"{command} ") for name in OPTIONS):
        if not rest or rest[0].startswith("-") or rest[0].isupper() or "|" in rest[0]:
            return []
        command, rest = f"{command} {rest[0]}", rest[1:]
    if command not in OPTIONS:
        return [command]
    options = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    return [f"{command} {option}" for option in options if option not in OPTIONS[command]]


def named(text: str) -> list[str]:
    """Every `stgcn ...` of a page, in blocks and in the running text."""
    joined = [block.text.replace("\\\n", " ") for block in blocks(text)]
    lines = [line.strip().removeprefix("$ ") for part in joined for line in part.splitlines()]
    lines += re.findall(r"`(stgcn [^`]*)`", prose(text))
    return [line for line in lines if line.startswith("stgcn ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_and_options_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [wrong for line in named(text) for wrong in wrong_names(line)] == []


@pytest.mark.parametrize("page", OWN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_options_in_running_text_exist(page: Path) -> None:
    every = set().union(*OPTIONS.values()) | OTHERS
    used = re.findall(r"`(--?[a-z][a-z0-9-]*)", prose(page.read_text(encoding="utf-8")))
    assert [option for option in used if option not in every] == []


def test_every_command_is_shown_somewhere() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "cli.md")
    assert [name for name in OPTIONS if f"stgcn {name}" not in text and name != "demo"] == []


def test_pages_name_no_folder_of_a_machine() -> None:
    pattern = re.compile(r"(?<![\w.])/(work|tmp|home|root|Users)/")
    found = [page.name for page in PAGES if pattern.search(page.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("stgcn quantise bundle", ["quantise"]),
        ("stgcn export a.pt -o b --precision fp16", ["export --precision"]),
        ("stgcn export a.pt -o b --dynamic=frames", []),
        ("stgcn export a.pt -o b # --precision", []),
        ("stgcn COMMAND --help", []),
        ("stgcn data info a.pkl --layout coco17", []),
        ("stgcn data", []),
        ("stgcn data inform a.pkl", ["data inform"]),
        ("stgcn data bins write --data a.npy --colour", ["data bins write --colour"]),
        ("stgcn --colour", ["--colour"]),
        ("stgcn verify b --rtol 1e-4 --seeds -1", []),
    ],
)
def test_unknown_names_are_noticed(line: str, wrong: list[str]) -> None:
    assert wrong_names(line) == wrong
