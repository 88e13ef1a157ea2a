"""The generated parts of the pages are fresh, and the generator notices when they are not."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from checkpoints import TINY
from docs.pages import PAGES, ROOT
from parity.test_reference import EXPECTED

from stgcn_deploy import errors
from stgcn_deploy.checkpoints.accounting import Tensors
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.codebases import CODEBASES, KNOWN_FOREIGN, UNSUPPORTED, recognise
from stgcn_deploy.models.families import FAMILIES
from stgcn_deploy.skeleton.axes import AXIS_ORDERS


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_fresh(
    generate: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    code = generate.main(["--check"])
    assert code == 0, capsys.readouterr().out


def test_every_part_is_on_a_page(generate: ModuleType) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    unused = [name for name in generate.PARTS if f"<!-- generated:{name} -->" not in text]
    # The matrix has it.
    assert set(unused) <= {"backends"}


def test_a_stale_part_fails_the_check_and_is_rewritten(
    generate: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path / "README.md"
    page.write_text("# T\n\n<!-- generated:presets -->\nold\n<!-- end -->\n", encoding="utf-8")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "pages", lambda: [page])
    assert generate.main(["--check"]) == 1
    assert "-old" in capsys.readouterr().out
    assert "old" in page.read_text(encoding="utf-8")
    assert generate.main([]) == 0
    assert "| `realtime` |" in page.read_text(encoding="utf-8")
    assert generate.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- generated:nonsense -->\n<!-- end -->", "no part is called 'nonsense'"),
        ("<!-- generated:presets -->\nno end", "has no <!-- end -->"),
    ],
)
def test_a_wrong_marker_is_refused(generate: ModuleType, text: str, message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        generate.regenerated(text, "page.md")


def test_links_of_a_part_are_relative_to_the_page(
    generate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(generate.PARTS, "presets", lambda: "[x](/bench/report.md)")
    text = "<!-- generated:presets -->\n<!-- end -->"
    assert "](bench/report.md)" in generate.regenerated(text, "README.md")
    assert "](../../bench/report.md)" in generate.regenerated(text, "docs/how-to/page.md")


def test_a_field_of_the_manifest_without_a_meaning_is_noticed(
    generate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert generate.stale_meanings() == []
    monkeypatch.delitem(generate.MEANINGS, "clip.fps")
    monkeypatch.setitem(generate.MEANINGS, "clip.colour", "what is not there")
    assert generate.stale_meanings() == ["clip.colour", "clip.fps"]


def test_the_families_of_codebases_are_those_of_the_registries(generate: ModuleType) -> None:
    assert list(generate.FAMILIES_OF) == list(CODEBASES)
    listed = {family for families, _ in generate.FAMILIES_OF.values() for family in families}
    assert listed | set(generate.COMPOSED) == set(FAMILIES)
    assert not listed & set(generate.COMPOSED)
    assert {axes for _, axes in generate.FAMILIES_OF.values()} <= set(AXIS_ORDERS)


def test_the_families_of_codebases_are_those_of_the_references(generate: ModuleType) -> None:
    for name, (codebase, _, family) in EXPECTED.items():
        assert family in generate.FAMILIES_OF[codebase][0], name


@pytest.mark.parametrize("name", TINY)
def test_the_families_of_codebases_are_those_of_tiny_files(generate: ModuleType, name: str) -> None:
    tensors = Tensors(TINY[name](), name)
    codebase = recognise(tensors)
    spec = codebase.describe(tensors, Hints()).spec
    families, axes = generate.FAMILIES_OF[codebase.name]
    assert spec.family in families
    assert spec.axes == axes


def test_every_codebase_and_family_is_in_the_matrix(generate: ModuleType) -> None:
    rows = generate.part_codebases().splitlines()[2:]
    found = [tuple(re.findall(r"`([^`]*)`", row)[:2]) for row in rows]
    assert found == [
        (name, family)
        for name, (families, _) in generate.FAMILIES_OF.items()
        for family in families
    ]


def test_every_refused_network_is_in_its_table(generate: ModuleType) -> None:
    text = generate.part_unsupported()
    assert all(f"| {title} |" in text and reason in text for _, title, reason in UNSUPPORTED)
    assert all(f"| {title} |" in text for _, title in KNOWN_FOREIGN)


def _row(name: str, median: float, error: str | None = None) -> dict[str, Any]:
    return {"name": name, "p50_ms": median, "threads": 2, "error": error}


def test_the_speed_part_is_made_from_the_raw_samples(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        _row("PyTorch eager", 120.0),
        _row("torch.compile", float("nan"), "no compiler"),
        _row("plain export on onnxruntime", 180.0),
        _row("ours (aggregate) fp32 on onnxruntime", 90.0),
    ]
    environment = {"cpu": "Some CPU", "versions": {"onnxruntime": "1.0"}}
    raw = {"a-case": {"environment": environment, "rounds": 8, "rows": rows, "peak": rows[0]}}
    file = tmp_path / "raw.json"
    file.write_text(json.dumps(raw), encoding="utf-8")
    monkeypatch.setattr(generate, "RAW", file)
    text = generate.part_speed()
    assert "| ours (aggregate) fp32 on onnxruntime | 90.0 | 2.00x |" in text
    assert "| torch.compile | failed |  |" in text
    assert "Some CPU, 2 threads, onnxruntime 1.0." in text
    assert "8 rounds" in text
    assert "more networks" not in text


def test_without_a_benchmark_the_speed_part_says_how_to_make_one(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "RAW", tmp_path / "raw.json")
    assert "make bench" in generate.part_speed()


def _tree() -> dict[str, tuple[str | None, int | None]]:
    """The tree that errors.py draws: name -> (parent, exit code where it is written)."""
    found: dict[str, tuple[str | None, int | None]] = {}
    parents: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if not line.startswith("    "):
            continue
        branch, drawn = line[4:], 0
        while branch[:3] in ("|- ", "`- ", "|  ", "   "):
            branch, drawn = branch[3:], drawn + 1
        name, _, rest = branch.partition(" ")
        _, said, code = rest.partition("exit ")
        found[name] = (parents.get(drawn - 1), int(code) if said else None)
        parents[drawn] = name
    return found


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.StgcnError)
    }
    drawn = _tree()
    assert set(drawn) == set(kinds)
    for name, (parent, code) in drawn.items():
        assert parent is None or kinds[name].__bases__ == (kinds[parent],)
        assert code in (None, kinds[name].exit_code)
