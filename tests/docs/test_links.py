"""Every relative link of a page leads to a file, and every anchor to a heading."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs.pages import PAGES, ROOT, anchors, links


def broken(page: Path, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    found = []
    for target in links(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        place, _, anchor = target.partition("#")
        file = (page.parent / place).resolve() if place else page
        if place and not file.exists():
            found.append(target)
            continue
        if not anchor:
            continue
        headings = anchors(text if file == page else file.read_text(encoding="utf-8"))
        if anchor not in headings:
            found.append(target)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in links(page.read_text(encoding="utf-8")):
            file = (page.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.is_file():
                waiting.append(file)
    assert set(PAGES) <= seen


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](nowhere.md)", ["nowhere.md"]),
        ("[a](README.md#no-such-heading)", ["README.md#no-such-heading"]),
        ("# Here: A `b`\n[a](#here-a-b) [b](#there)", ["#there"]),
        ("`[a](nowhere.md)`\n\n```text\n[b](nowhere.md)\n```\n", []),
        ("![a](nowhere.png)", ["nowhere.png"]),
    ],
)
def test_broken_links_are_noticed(text: str, wrong: list[str]) -> None:
    assert broken(ROOT / "page.md", text) == wrong
