"""stgcn layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgcn_deploy.cli.console import NONE, note, print_json, print_table, say
from stgcn_deploy.cli.options import AsJson, Force

__all__ = ["layouts"]


def layouts(
    name: Annotated[
        str | None,
        typer.Argument(help="A layout in any codebase's spelling, or your .toml / .json file."),
    ] = None,
    edge_set: Annotated[
        str | None, typer.Option(help="Only this edge set; the first is drawn without.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it: FILE.svg or FILE.png.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """List the layouts that are known, or show and draw one: joints, mirrors, bones, edges."""
    from stgcn_deploy import api

    found = api.layouts(name, edge_set=edge_set, plot=plot, force=force)
    if as_json:
        print_json(found)
    elif name is None:
        _table(found)
    else:
        for layout in found.values():
            _one(layout)
    if plot is not None:
        note(f"drawn: {plot}")


def _table(found: dict[str, Any]) -> None:
    rows = [
        (
            layout["name"],
            str(layout["num_joints"]),
            f"{layout['dimensions']}-D",
            "yes" if layout["bone_pairs"] else "no",
            ", ".join(layout["aliases"]),
        )
        for layout in found.values()
    ]
    print_table(("layout", "V", "data", "bone pairs", "also called"), rows)
    edge_rows = [
        (
            layout["name"] if edge_set is layout["edge_sets"][0] else "",
            edge_set["name"],
            str(len(edge_set["edges"])),
            _joint(layout, edge_set["center"]),
            _spelt(edge_set),
        )
        for layout in found.values()
        for edge_set in layout["edge_sets"]
    ]
    print_table(("layout", "edge set", "edges", "centre", "spelling in codebases"), edge_rows)
    say("more: stgcn layouts NAME")


def _joint(layout: dict[str, Any], index: int | None) -> str:
    return NONE if index is None else f"{index} {layout['joints'][index]['name']}"


def _spelt(edge_set: dict[str, Any]) -> str:
    return "; ".join(f"{word}: {', '.join(who)}" for word, who in edge_set["spellings"].items())


def _one(layout: dict[str, Any]) -> None:
    values = "x, y, score" if layout["dimensions"] == 2 else "x, y, z"
    say(f"{layout['name']}: {layout['num_joints']} joints, {values}")
    if layout["aliases"]:
        say(f"also called {', '.join(layout['aliases'])}")
    header = ["", "joint", "side", "mirror of"]
    rows = [
        [
            str(joint["index"]),
            joint["name"],
            joint["side"] or "",
            "" if joint["partner"] is None else _joint(layout, joint["partner"]),
        ]
        for joint in layout["joints"]
    ]
    if layout["bone_pairs"]:
        header.append("bone from")
        for row, joint in zip(rows, layout["joints"], strict=True):
            root = joint["bone_parent"] == joint["index"]
            row.append("itself" if root else _joint(layout, joint["bone_parent"]))
    print_table(header, rows)
    for edge_set in layout["edge_sets"]:
        spelt = _spelt(edge_set)
        say(
            f"edge set {edge_set['name']}: {len(edge_set['edges'])} edges, centre "
            f"{_joint(layout, edge_set['center'])}" + (f" ({spelt})" if spelt else "")
        )
        say("  " + " ".join(f"({child},{parent})" for child, parent in edge_set["edges"]))
    if not layout["bone_pairs"]:
        say("bone pairs: none known; no codebase trains a bone stream on this layout")
