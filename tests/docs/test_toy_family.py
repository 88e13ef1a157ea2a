"""The walk-through of add-a-family works: its file and its line, exported and run in ONNX Runtime."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from docs.pages import ROOT, Block, blocks

from stgcn_deploy.models.families import FAMILIES

PAGE = ROOT / "docs" / "how-to" / "add-a-family.md"


def parts() -> tuple[Block, Block, Block]:
    """The file, the line, and the comparison."""
    found = [block for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language == "py"]
    assert len(found) == 3
    return found[0], found[1], found[2]


def use(folder: Path, monkeypatch: pytest.MonkeyPatch, *, package: str, file: str) -> None:
    """Put the page's file into a package, and its line into the table."""
    place = folder / package
    place.mkdir()
    (place / "__init__.py").write_text("", encoding="utf-8")
    (place / "toy.py").write_text(file, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    line = eval(f"{{{parts()[1].text}}}", {"_HERE": package})
    for name, target in line.items():
        monkeypatch.setitem(FAMILIES.table, name, target)


def run(source: Block) -> None:
    exec(compile("\n" * (source.line - 1) + source.text, PAGE.name, "exec"), {})


def test_the_walk_through_gives_a_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _, comparison = parts()
    use(tmp_path, monkeypatch, package="toy_package", file=file.text)
    assert list(FAMILIES)[-1] == "toy"
    run(comparison)


def test_its_comparison_notices_another_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _, comparison = parts()
    wrong = file.text.replace(" + self.offset", "")
    assert wrong != file.text
    use(tmp_path, monkeypatch, package="wrong_toy_package", file=wrong)
    with pytest.raises(AssertionError):
        run(comparison)


def test_the_files_of_how_to_pages_are_python() -> None:
    for page in sorted((ROOT / "docs" / "how-to").glob("*.md")):
        for block in blocks(page.read_text(encoding="utf-8")):
            if block.language == "py" and not block.text.startswith('"'):
                ast.parse(block.text)
