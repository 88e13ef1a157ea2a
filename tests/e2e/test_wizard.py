"""The wizard: answers become commands, and the commands run."""

from __future__ import annotations

from pathlib import Path

import checkpoints
import pytest
import typer
from typer.testing import CliRunner

from stgcn_deploy.cli import wizard
from stgcn_deploy.errors import UsageError


def run(answers: list[str]) -> object:
    app = typer.Typer()
    app.command()(wizard.run_wizard)
    return CliRunner().invoke(app, [], input="\n".join(answers) + "\n")


def test_answers_become_one_command_for_each_file() -> None:
    answers = {
        "files": [Path("a.pt"), Path("b.pt")],
        "persons": 5,
        "frames": 150,
        "opset": 11,
        "target": "ascend",
        "output": "out",
    }
    first, second = wizard.build_commands(answers)
    assert first[:4] == ["export", "a.pt", "-o", str(Path("out/a"))]
    assert second[1] == "b.pt"
    assert first[first.index("--graph-form") + 1] == "matmul"
    assert first[first.index("--opset") + 1] == "11"


def test_the_wizard_shows_its_command_and_makes_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    checkpoints.save(checkpoints.stgcn(), tmp_path / "models" / "epoch60_model.pt")
    # folder, which files, several persons, T, target, opset, output, run
    result = run(["models", "1", "n", "24", "ascend", "11", "bundles", "y"])
    assert result.exit_code == 0, result.output
    assert "stgcn export" in result.output
    assert (tmp_path / "bundles" / "epoch60_model" / "manifest.json").is_file()


def test_a_wrong_answer_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoints.save(checkpoints.stgcn(), tmp_path / "m.pt")
    result = run([".", "7", "all", "n", "99999", "24", "toaster", "cpu", "18", "out", "n"])
    assert result.exit_code == 0, result.output
    assert "numbers from 1 to 1" in result.output
    assert "number from 8 to 2000" in result.output
    assert not (tmp_path / "out").exists()


def test_without_a_terminal_the_wizard_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UsageError, match="stgcn export"):
        wizard.wizard()
