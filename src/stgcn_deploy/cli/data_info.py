"""stgcn data info."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgcn_deploy.cli.console import NONE, counter, note, print_json, print_table, say
from stgcn_deploy.cli.options import (
    AsJson,
    Axes,
    ClassNames,
    DataFormat,
    DataLabels,
    DataLayout,
    Fps,
    ImageSize,
    read_options,
)

__all__ = ["data_info"]


def data_info(
    path: Annotated[Path, typer.Argument(help="File or folder of recordings.")],
    split: Annotated[str | None, typer.Option(help="Only the records of this split.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many records.")] = None,
    classes: ClassNames = None,
    data_format: DataFormat = None,
    data_labels: DataLabels = None,
    layout: DataLayout = None,
    axes: Axes = None,
    image_size: ImageSize = None,
    fps: Fps = None,
    as_json: AsJson = False,
) -> None:
    """Read recordings and say what they are; exit 1 when some of them cannot be used."""
    from stgcn_deploy.api import recordings

    with counter("reading") as count:
        found = recordings.data_info(
            path,
            split=split,
            limit=limit,
            classes=classes,
            data_format=data_format,
            read=read_options(data_labels, layout, axes, image_size, fps),
            count=count,
        )
    if as_json:
        print_json(found)
    else:
        _show(found)
    for problem in found["problems"]:
        note(f"problem: {problem['problem']}")
    left = found["problem_count"] - len(found["problems"])
    if left:
        note(f"and {left} more records with problems")
    raise typer.Exit(0 if found["ok"] else 1)


def _show(found: dict[str, Any]) -> None:
    read = "" if found["read"] == found["records"] else f", {found['read']:,} of them read"
    kind = {0: "prepared", found["read"]: "raw"}.get(found["raw"], f"{found['raw']:,} raw")
    usable = found["read"] - found["problem_count"]
    rows = [
        ("format", found["format"]),
        ("records", f"{found['records']:,}{read}"),
        ("usable", f"{usable:,}" + ("" if found["ok"] else f", {found['problem_count']:,} NOT")),
        ("numbers are", kind if usable else NONE),
        ("layout", _layout(found)),
        ("persons M", _span(found["persons"])),
        ("frames T", _span(found["frames"])),
        ("joints V", ", ".join(map(str, found["joints"])) or NONE),
        ("channels C", ", ".join(map(str, found["channels"])) or NONE),
        ("fps", _listed([(_rate(one["fps"]), one["records"]) for one in found["fps"]])),
        ("image size", _sizes(found)),
        ("empty frames", _percent(found["empty_frames"])),
        ("missing joints", _percent(found["missing_joints"])),
        ("NaN or infinite", _percent(found["not_finite"])),
    ]
    rows += [(f"splits: {name}", f"{count:,}") for name, count in found["splits"].items()]
    say(found["path"])
    print_table(("", ""), rows)
    if found["values"]:
        values = [
            (one["channel"], _number(one["min"]), _number(one["max"])) for one in found["values"]
        ]
        print_table(("values of joints seen", "smallest", "largest"), values)
    labels = [
        (NONE if one["label"] is None else str(one["label"]), one["name"] or _unnamed(one),
         f"{one['records']:,}", "#" * round(30 * one["records"] / _most(found)))
        for one in found["labels"]
    ]  # fmt: skip
    print_table(("label", "class", "records", ""), labels)
    if not found["layout"] and found["layouts_that_fit"]:
        say(f"say the layout to have it checked: --layout {found['layouts_that_fit'][0]}")


def _layout(found: dict[str, Any]) -> str:
    if found["layout"]:
        return str(found["layout"])
    if found["layouts"]:
        return "several: " + ", ".join(found["layouts"])
    fitting = found["layouts_that_fit"]
    return "unknown" + (f"; as many joints have {', '.join(fitting)}" if fitting else "")


def _span(ends: list[int] | None) -> str:
    if ends is None:
        return NONE
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,} to {ends[1]:,}"


def _listed(items: list[tuple[str, int]]) -> str:
    if len(items) == 1:
        return items[0][0]
    return ", ".join(f"{text} ({records:,})" for text, records in items) or NONE


def _rate(fps: float | None) -> str:
    return "unknown" if fps is None else f"{fps:g}"


def _sizes(found: dict[str, Any]) -> str:
    sizes = [
        ("x".join(map(str, one["size"])) if one["size"] else "unknown", one["records"])
        for one in found["image_sizes"]
    ]
    more = found["image_size_count"] - len(sizes)
    return _listed(sizes) + (f" and {more} more" if more > 0 else "")


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{share:.2%}"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.5g}"


def _unnamed(one: dict[str, Any]) -> str:
    return "without a label" if one["label"] is None else ""


def _most(found: dict[str, Any]) -> int:
    return max(int(one["records"]) for one in found["labels"])
