"""Reading the pages: blocks of code, headings, links, and the commands that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "Command", "anchors", "blocks", "commands", "links", "prose"]

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)

FENCE = re.compile(r"^(\s*)```([\w-]*)\s*$")
EXIT = re.compile(r"\s+#\s*exit (\d+)\s*$")
COMMENT = re.compile(r"\s+#(?!\S).*$")
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its first line of text, counted from 1."""

    language: str
    line: int
    text: str


@dataclass(frozen=True)
class Command:
    """One `stgcn ...` of a page, continuation lines joined."""

    line: int
    text: str
    exit_code: int


def blocks(text: str) -> list[Block]:
    """Every fenced block."""
    found: list[Block] = []
    opened: tuple[str, int, str] | None = None
    held: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if fence and opened is None:
            opened, held = (fence[2], number + 1, fence[1]), []
        elif opened is not None and line.strip() == "```":
            found.append(Block(opened[0], opened[1], "\n".join(held)))
            opened = None
        elif opened is not None:
            held.append(line.removeprefix(opened[2]))
    assert opened is None, f"the block of line {opened and opened[1]} has no end"
    return found


def commands(block: Block) -> Iterator[Command]:
    """The commands of a bash block that are to be run; what follows `# not run` is left out."""
    pending, start = "", 0
    for offset, line in enumerate(block.text.splitlines()):
        if line.startswith("# not run"):
            return
        start = start if pending else block.line + offset
        pending += line.removesuffix("\\")
        if line.endswith("\\"):
            continue
        code = EXIT.search(pending)
        if pending.startswith("stgcn "):
            yield Command(start, COMMENT.sub("", pending), int(code[1]) if code else 0)
        pending = ""


def prose(text: str) -> str:
    """A page without its fenced blocks, as many lines long."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if FENCE.match(line):
            inside = not inside
        kept.append("" if inside or FENCE.match(line) else line)
    return "\n".join(kept)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as Markdown viewers make them."""
    found: set[str] = set()
    for heading in re.findall(r"(?m)^#{1,6} +(.+?)\s*$", prose(text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


def links(text: str) -> list[str]:
    """The targets of links and images, outside code."""
    plain = re.sub(r"`[^`\n]*`", "", prose(text))
    return [*LINK.findall(plain), *IMAGE.findall(plain)]
