"""Layouts of the user's own, from a small file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stgcn_deploy.errors import FileUnreadableError, StgcnError, UsageError
from stgcn_deploy.skeleton.layout_file import MAX_BYTES, read_layout

TOML = """
name = "mine4"
joints = ["neck", "head", "left_hand", "right_hand"]
edges = [["head", "neck"], [2, 0], ["right_hand", 0]]
center = "neck"
dimensions = 3
"""


def _fields(**others: Any) -> dict[str, Any]:
    return {
        "name": "mine4",
        "joints": ["neck", "head", "left_hand", "right_hand"],
        "edges": [["head", "neck"], [2, 0], ["right_hand", 0]],
        "center": "neck",
    } | others


def _written(folder: Path, fields: Any) -> Path:
    path = folder / "mine.json"
    path.write_text(json.dumps(fields), encoding="utf-8")
    return path


def test_toml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML, encoding="utf-8")
    layout = read_layout(path)
    assert layout.name == "mine4"
    assert layout.edges == ((1, 0), (2, 0), (3, 0))
    assert layout.edge_sets[0].center == 0
    assert layout.pairs == ((2, 3),)
    assert layout.dimensions == 3


def test_json_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML, encoding="utf-8")
    assert read_layout(_written(tmp_path, _fields(dimensions=3))) == read_layout(path)


def test_dimensions_are_two_unless_said(tmp_path: Path) -> None:
    assert read_layout(_written(tmp_path, _fields())).dimensions == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([1, 2], "expected the fields name, joints"),
        ({"joints": []}, "name, edges, center missing"),
        (_fields(centre=1), "unknown field 'centre'; did you mean 'center'"),
        (_fields(joints="neck"), "joints must be a list of names"),
        (_fields(joints=["neck", 7]), "joints must be a list of names"),
        (_fields(joints=["neck"] * 4, edges=[[1, 0]]), "names a joint twice"),
        (_fields(edges=[[1, 2, 3]]), "edges must be a list of"),
        (_fields(edges={"a": "b"}), "edges must be a list of"),
        (_fields(edges=[["hed", "neck"]]), "no joint is called 'hed'; did you mean 'head'"),
        (_fields(edges=[[True, 0]]), "no joint is called True"),
        (_fields(edges=[[4, 0]]), r"joints \[4\] are outside 0..3"),
        (_fields(center="middle"), "no joint is called 'middle'"),
        (_fields(center=-1), r"joints \[-1\] are outside"),
        (_fields(center=["neck"]), "no joint is called"),
        (_fields(center=None), "no joint is called None"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, fields: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_layout(_written(tmp_path, fields))


@pytest.mark.parametrize("dimensions", [0, 1, 4, "3", None, [2]])
def test_dimensions_that_are_neither_two_nor_three_are_refused(
    tmp_path: Path, dimensions: Any
) -> None:
    with pytest.raises(UsageError, match="dimensions"):
        read_layout(_written(tmp_path, _fields(dimensions=dimensions)))


@pytest.mark.parametrize("field", ["name", "joints", "edges", "center"])
def test_every_field_but_one_is_required(tmp_path: Path, field: str) -> None:
    fields = _fields()
    del fields[field]
    with pytest.raises(UsageError, match=f"{field} missing"):
        read_layout(_written(tmp_path, fields))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mine.json", b"{"),
        ("mine.json", b""),
        ("mine.json", b"\xff\xfe\x00"),
        ("mine.toml", b"name = "),
        ("mine.toml", b"\xff"),
        ("mine.json", b" " * (MAX_BYTES + 1)),
    ],
)
def test_a_file_that_is_no_such_text_is_unreadable(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileUnreadableError, match=name):
        read_layout(path)


@pytest.mark.parametrize("name", ["absent.json", "absent.toml", "folder.json"])
def test_a_missing_file_or_a_folder_is_unreadable(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(FileUnreadableError, match="cannot read"):
        read_layout(tmp_path / name)


def test_nesting_without_end_is_refused_as_a_mistake_not_a_bug(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(StgcnError, match=r"deep\.json"):
        read_layout(path)
