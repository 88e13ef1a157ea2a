"""The page about recordings names every format, option and field that there is."""

from __future__ import annotations

import dataclasses
import json
import re

from docs.pages import ROOT, blocks

from stgcn_deploy.data.formats import FORMATS
from stgcn_deploy.data.formats.keypoint_lines import CHANNELS, KeypointLines, StreamHeader

PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def rows() -> dict[str, list[str]]:
    """Name of a format -> the cells of its row."""
    found = re.findall(r"(?m)^\| `([\w-]+)` \|(.+)\|$", PAGE.split("## What a file")[0])
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in found}


def test_every_format_has_a_row_and_no_other_has() -> None:
    assert set(rows()) == set(FORMATS)


def test_the_table_says_which_formats_can_be_written() -> None:
    able = {name for name, one in FORMATS.items() if hasattr(one, "write")} | {"clip"}
    assert {name for name, cells in rows().items() if cells[-1] == "yes"} == able


def test_the_table_of_the_header_has_its_fields() -> None:
    fields = {field.name for field in dataclasses.fields(StreamHeader)}
    part = PAGE.split("| header field")[1].split("| frame field")[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"(?m)^\|([^|]*)\|", part))))
    assert named == fields | {"format", "version"}
    assert all(f'`"{channels}"`' in part for channels in CHANNELS)


def test_the_lines_that_the_page_shows_can_be_read() -> None:
    header, frame = (block.text for block in blocks(PAGE) if block.language == "json")
    reader = KeypointLines("page")
    said = json.loads(header)
    assert isinstance(reader.read(json.dumps(said | {"layout": None})), StreamHeader)
    shown = reader.read(frame)
    assert not isinstance(shown, StreamHeader)
    assert shown is not None
    assert shown.label == 3
    assert shown.persons[0].keypoints.shape == (3, 3)
