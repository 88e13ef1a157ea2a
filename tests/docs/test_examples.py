"""Every command and every Python block of the pages is run, page by page, in the order of the page.

A line `<!-- fresh -->` of a page begins again in a fresh folder.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from docs.pages import PAGES, ROOT, Block, Command, blocks, commands
from docs.world import make_world

from stgcn_deploy.cli.main import main
from stgcn_deploy.exporter import build
from stgcn_deploy.measure import bench
from stgcn_deploy.measure.bench import BenchReport, Contender, run_bench

FRESH = "<!-- fresh -->"


def sections(text: str) -> list[str]:
    """A page cut at its FRESH lines; each part begins with as many empty lines as came before it."""
    parts = text.split(FRESH)
    before = [sum(part.count("\n") for part in parts[:index]) for index in range(len(parts))]
    return ["\n" * lines + part for lines, part in zip(before, parts, strict=True)]


def steps(text: str) -> list[Command | Block]:
    """Commands and Python blocks in order."""
    found: list[Command | Block] = []
    for block in blocks(text):
        if block.language == "bash":
            found += commands(block)
        elif block.language == "python":
            found.append(block)
    return found


RUNNABLE = [
    pytest.param(page, found, id=f"{page.relative_to(ROOT).as_posix()}:{found[0].line}")
    for page in PAGES
    for section in sections(page.read_text(encoding="utf-8"))
    if (found := steps(section))
]


def quick_bench(contenders: Sequence[Contender], **options: Any) -> BenchReport:
    """run_bench for tiny networks, whose times nobody wants to know."""
    return run_bench(contenders, **(options | {"duration": 0.05, "rounds": 1}))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


@pytest.fixture
def place(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as users have it; tiny networks are not worth two threads, or seconds of timing."""
    folder = tmp_path / "here"
    shutil.copytree(world, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "run_bench", quick_bench)
    monkeypatch.setattr(bench, "run_bench", quick_bench)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield folder
    torch.set_num_threads(threads)


def run_command(command: Command, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run one command line in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", shlex.split(command.text))
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def run_block(page: str, block: Block, names: dict[str, Any]) -> None:
    """Run one Python block, with the page's line numbers in its traces."""
    source = "\n" * (block.line - 1) + block.text
    exec(compile(source, page, "exec"), names)


@pytest.mark.parametrize(("page", "found"), RUNNABLE)
def test_examples_work(
    page: Path,
    found: list[Command | Block],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = page.relative_to(ROOT).as_posix()
    names: dict[str, Any] = {"__name__": "__main__"}
    for step in found:
        if isinstance(step, Block):
            run_block(name, step, names)
            continue
        code = run_command(step, monkeypatch)
        out, err = capsys.readouterr()
        assert code == step.exit_code, (
            f"{name}:{step.line}: {step.text}\n{out[-2000:]}{err[-2000:]}"
        )


def test_something_is_run() -> None:
    """A parser that finds nothing would let every page pass."""
    pages = {param.values[0].relative_to(ROOT).as_posix() for param in RUNNABLE}
    assert {"README.md", "docs/getting-started.md", "docs/coming-from-the-guides.md"} <= pages
    found = [step for param in RUNNABLE for step in param.values[1]]
    assert sum(isinstance(step, Command) for step in found) > 50
    assert sum(isinstance(step, Block) for step in found) > 5


def test_sections_keep_their_line_numbers() -> None:
    text = "# T\n```bash\nstgcn doctor\n```\n<!-- fresh -->\n```bash\nstgcn doctor\n```\n"
    assert [step.line for part in sections(text) for step in steps(part)] == [3, 7]


def test_the_runner_reads_what_pages_write() -> None:
    text = (
        "```bash\npip install .\nstgcn doctor\nstgcn export a.pt \\\n    -o b  # exit 2\n"
        "# not run: slow\nstgcn bench b\n```\n```text\nstgcn doctor\n```\n```python\nx = 1\n```\n"
    )
    first, second, block = steps(text)
    assert first == Command(3, "stgcn doctor", 0)
    assert isinstance(second, Command)
    assert (second.line, second.exit_code) == (4, 2)
    assert shlex.split(second.text) == ["stgcn", "export", "a.pt", "-o", "b"]
    assert block == Block("python", 13, "x = 1")


def test_a_wrong_example_is_noticed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_command(Command(1, "stgcn inspect models/epoch60_model.pt", 0), monkeypatch) == 0
    assert run_command(Command(1, "stgcn inspect models/none.pt", 0), monkeypatch) == 2
    with pytest.raises(AssertionError):
        run_block("page.md", Block("python", 1, "assert False"), {})
