"""`stgcn layouts` and `api.layouts`: the same names, the same facts."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import stgcn_deploy
from stgcn_deploy import api
from stgcn_deploy.cli.layouts import layouts as command
from stgcn_deploy.errors import OutputExistsError, UnknownNameError, UsageError
from stgcn_deploy.skeleton.layouts import LAYOUTS

MINE = """
name = "mine4"
joints = ["neck", "head", "left_hand", "right_hand"]
edges = [["head", "neck"], ["left_hand", "neck"], ["right_hand", "neck"]]
center = "neck"
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    return path


def test_the_command_has_the_parameters_and_defaults_of_the_function() -> None:
    ours = {n: p.default for n, p in inspect.signature(api.layouts).parameters.items()}
    theirs = {n: p.default for n, p in inspect.signature(command).parameters.items()}
    assert theirs.pop("as_json") is False
    assert theirs == ours
    assert stgcn_deploy.layouts is api.layouts


def test_the_table_names_every_layout_edge_set_and_alias(cli: Callable[..., object]) -> None:
    done = cli("layouts")
    assert done.code == 0
    for name, layout in LAYOUTS.items():
        assert name in done.out
        for graph in layout.edge_sets:
            assert f"{graph.center} {layout.joints[graph.center]}" in done.out
    for alias in LAYOUTS.aliases:
        assert alias in done.out
    assert "PaddleVideo" in done.out


def test_json_is_what_the_function_returns(cli: Callable[..., object]) -> None:
    assert json.loads(cli("layouts", "--json").out) == api.layouts()
    assert json.loads(cli("layouts", "kinetics", "--json").out) == api.layouts("openpose18")
    assert list(api.layouts()) == list(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_one_layout_shows_joints_mirrors_bones_and_edges(
    name: str, cli: Callable[..., object]
) -> None:
    done = cli("layouts", name)
    assert done.code == 0
    layout = LAYOUTS[name]
    assert f"{name}: {layout.num_joints} joints" in done.out
    for index, joint in enumerate(layout.joints):
        row = next(
            line for line in done.out.splitlines() if line.split()[:2] == [str(index), joint]
        )
        partner = api.layouts(name)[name]["joints"][index]["partner"]
        assert partner is None or f"{partner} {layout.joints[partner]}" in row
    for graph in layout.edge_sets:
        assert f"edge set {graph.name}: {len(graph.edges)} edges" in done.out
        assert " ".join(f"({a},{b})" for a, b in graph.edges) in done.out


def test_bone_parents_are_shown_where_they_are_known(cli: Callable[..., object]) -> None:
    done = cli("layouts", "coco17")
    assert any(line.split()[-2:] == ["11", "left_hip"] for line in done.out.splitlines())
    assert "itself" in done.out
    assert "bone pairs: none known" in cli("layouts", "nvidia34").out


def test_one_edge_set_alone(cli: Callable[..., object]) -> None:
    done = cli("layouts", "coco17", "--edge-set", "paddle")
    assert "edge set paddle" in done.out
    assert "edge set pyskl" not in done.out
    found = api.layouts("coco17", edge_set="paddle")["coco17"]["edge_sets"]
    assert [graph["name"] for graph in found] == ["paddle"]
    done = cli("layouts", "coco17", "--edge-set", "tao")
    assert done.code == 2
    assert "it has pyskl, mmskeleton, paddle" in done.err


def test_a_layout_of_the_users_own(mine: Path, cli: Callable[..., object], tmp_path: Path) -> None:
    picture = tmp_path / "mine.svg"
    done = cli("layouts", mine, "--plot", picture)
    assert done.code == 0
    assert "mine4: 4 joints" in done.out
    assert "also called" not in done.out
    assert str(picture) in done.err
    assert "left_hand" in picture.read_text(encoding="utf-8")
    assert list(api.layouts(str(mine))) == ["mine4"]


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_picture_is_written_and_replaced_only_when_asked(
    kind: str, cli: Callable[..., object], tmp_path: Path
) -> None:
    picture = tmp_path / f"coco.{kind}"
    assert cli("layouts", "coco", "--plot", picture).code == 0
    first = picture.read_bytes()
    assert first.startswith(b"\x89PNG" if kind == "png" else b"<svg")
    done = cli("layouts", "coco", "--plot", picture, "--edge-set", "paddle")
    assert done.code == 2
    assert "--force" in done.err
    assert picture.read_bytes() == first
    done = cli("layouts", "coco", "--plot", picture, "--edge-set", "paddle", "--force", "--json")
    assert done.code == 0
    assert json.loads(done.out)["coco17"]["name"] == "coco17"
    assert picture.read_bytes() != first


def test_wrong_use_is_named(cli: Callable[..., object], tmp_path: Path) -> None:
    done = cli("layouts", "cocoo")
    assert done.code == 2
    assert "did you mean 'coco'" in done.err
    assert cli("layouts", tmp_path / "absent.toml").code == 2
    for options in (("--plot", tmp_path / "a.svg"), ("--edge-set", "pyskl")):
        done = cli("layouts", *options)
        assert done.code == 2
        assert "of one layout; name it" in done.err
    done = cli("layouts", "coco", "--plot", tmp_path / "a.pdf")
    assert done.code == 2
    assert "an .svg or a .png" in done.err
    assert list(tmp_path.iterdir()) == []


def test_the_function_raises_what_the_command_prints(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        api.layouts("nobody")
    with pytest.raises(UsageError):
        api.layouts(plot=tmp_path / "a.svg")
    (tmp_path / "a.svg").touch()
    with pytest.raises(OutputExistsError):
        api.layouts("coco17", plot=tmp_path / "a.svg")
