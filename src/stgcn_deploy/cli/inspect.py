"""stgcn inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgcn_deploy.cli.console import print_json, print_table, say
from stgcn_deploy.cli.options import AsJson, Config, Frames, LayoutName, Persons

__all__ = ["inspect"]


def inspect(
    path: Annotated[Path, typer.Argument(help="Checkpoint, folder of them, .onnx, or bundle.")],
    config: Config = None,
    persons: Persons = None,
    frames: Frames = None,
    layout: LayoutName = None,
    as_json: AsJson = False,
) -> None:
    """Say what a checkpoint, ONNX file or bundle is, and what was read and what assumed."""
    from stgcn_deploy import api

    found = api.inspect(path, config=config, persons=persons, frames=frames, layout=layout)
    if as_json:
        print_json(found)
        return
    {"checkpoint": _checkpoint, "bundle": _bundle, "onnx": _onnx}[found["kind"]](found)


def _pairs(title: str, pairs: list[tuple[str, object]]) -> None:
    print_table(("", ""), [(name, str(value)) for name, value in pairs], title)


def _size(found: dict[str, Any]) -> str:
    return f"C={found['C']} T={found['T']} V={found['V']} M={found['M']}, axes {found['axes']}"


def _checkpoint(found: dict[str, Any]) -> None:
    _pairs(
        found["file"],
        [
            ("codebase", f"{found['codebase']}: {found['codebase_title']}"),
            ("family", found["family_title"]),
            ("layout", found["layout"]),
            ("input", _size(found)),
            ("classes", found["classes"]),
            ("blocks", ", ".join(map(str, found["blocks"]))),
            ("strides", ", ".join(map(str, found["strides"]))),
            ("parameters", f"{found['parameters']:,}"),
            ("MACs", f"{found['macs'] / 1e9:.3f} G for one clip"),
            ("graph forms", ", ".join(found["graph_forms"])),
            ("clip values", found["preprocessing"]),
            ("sha256", found["sha256"]),
        ],
    )
    for step in found["steps"]:
        say(f"  read: {step}")
    rows = [(f["name"], f["value"], f["origin"], f["why"]) for f in found["facts"]]
    print_table(("fact", "value", "from", "why"), rows, "not in the file's shapes")
    say(f"next: stgcn export {found['file']} -o BUNDLE")


def _bundle(found: dict[str, Any]) -> None:
    clip, parity = found["clip"], found["parity"]
    open_axes = ", ".join(f"{a} {low}..{high}" for a, (low, high) in clip["dynamic"].items())
    verified = (
        f"max error {parity['max_error']:.1e} over {parity['cases']} cases on {parity['backend']}"
        if parity
        else "NOT VERIFIED (exported with --no-verify)"
    )
    _pairs(
        found["file"],
        [
            (
                "family",
                found["family"] + (f", motion {found['motion']}" if found["motion"] else ""),
            ),
            *(("source", _source(source)) for source in found["sources"]),
            ("fusion", found["fusion"] or "none, one network"),
            ("layout", _layout(found["layout"])),
            (
                "input",
                f"C={clip['channels']} T={clip['frames']} V={clip['joints']} M={clip['persons']}, "
                f"batch {clip['batch']}, axes {found['axes']}",
            ),
            ("open axes", open_axes or "none"),
            ("output", f"{found['num_classes']} {found['output']}"),
            ("graph form", f"{found['graph_form']} {found['graph_form_ms'] or ''}"),
            ("opset", f"{found['opset']} (IR {found['ir_version']}, {found['exporter']})"),
            (
                "precision",
                f"{found['precision']['actual']} (asked {found['precision']['requested']})",
            ),
            *(("built", _build(build)) for build in found["builds"]),
            ("parity", verified),
            (
                "classes",
                ", ".join(found["labels"][:12]) + (" ..." if found["num_classes"] > 12 else ""),
            ),
            ("clip values", found["contract"]["preprocessing"]),
            ("made by", found["command"]),
        ],
    )


def _source(source: dict[str, Any]) -> str:
    return f"{source['file']}, {source['codebase']}, stream {source['stream']}, weight {source['weight']:g}"


def _build(build: dict[str, Any]) -> str:
    asked = "" if build["actual"] == build["requested"] else f" (asked {build['requested']})"
    return f"{build['file']} for {build['target']}, {build['device']}, {build['actual']}{asked}"


def _layout(layout: dict[str, Any]) -> str:
    if layout["name"] is None:
        return f"unknown ({len(layout['joints'])} joints)"
    certainty = "" if layout["exact"] else "probably "
    return f"{certainty}{layout['name']} ({layout['edge_set']} edges, {layout['strategy']})"


def _onnx(found: dict[str, Any]) -> None:
    def shapes(values: dict[str, list[int | str]]) -> str:
        return "; ".join(f"{name} ({', '.join(map(str, s))})" for name, s in values.items())

    _pairs(
        found["file"],
        [
            ("producer", found["producer"]),
            ("opset", f"{found['opsets']} (IR {found['ir_version']})"),
            ("inputs", shapes(found["inputs"])),
            ("outputs", shapes(found["outputs"])),
            ("operators", ", ".join(f"{n} {op}" for op, n in found["operators"].items())),
            ("parameters", f"{found['parameters']:,}"),
        ],
    )
