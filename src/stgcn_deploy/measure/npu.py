"""Ascend NPUs: what `npu-smi info` says of this machine, and what atc calls their chips.

The name to compile for is "Ascend" and the Name column: 310P3 is Ascend310P3.  Chips of the A3 and later
series show a name that is no more than that of the series; theirs is made of two lines of
`npu-smi info -t board`: Ascend910 and 9391 are Ascend910_9391.
"""

from __future__ import annotations

import difflib
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["SOC_VERSIONS", "Npu", "NpuReport", "nearest_soc", "read_npus", "soc_version_of"]

TOOL = "npu-smi"
SECONDS = 20.0
# Names that are known without a toolkit; one that is installed knows its own besides.
SOC_VERSIONS = (
    *("Ascend310", "Ascend310P1", "Ascend310P3", "Ascend310P5", "Ascend310P7"),
    *("Ascend310P3Vir01", "Ascend310P3Vir02", "Ascend310P3Vir04", "Ascend310P3Vir08"),
    *("Ascend310B1", "Ascend310B2", "Ascend310B3", "Ascend310B4"),
    *("Ascend610", "Ascend610Lite"),
    *("Ascend910A", "Ascend910B", "Ascend910ProA", "Ascend910ProB", "Ascend910PremiumA"),
    *("Ascend910B1", "Ascend910B2", "Ascend910B2C", "Ascend910B3", "Ascend910B4", "Ascend910B4-1"),
    *("Ascend910_9361", "Ascend910_9362", "Ascend910_9372", "Ascend910_9381", "Ascend910_9382"),
    *("Ascend910_9391", "Ascend910_9392"),
)
VERSION = re.compile(r"Version:\s*(\S+)")
# The two lines of a chip in the table: NPU, Name | Health | ...  and  Chip, Device | Bus-Id | ...
NAMED = re.compile(r"^\|\s*(\d+)\s+(\S+)\s*\|\s*(\S+)\s*\|")
PLACED = re.compile(r"^\|\s*(\d+)(?:\s+\S+)?\s*\|\s*(\S+)\s*\|")
BOARD = re.compile(r"(?m)^\s*(Chip Name|NPU Name)\s*:\s*(\S+)\s*$")


@dataclass(frozen=True)
class Npu:
    """One chip.

    Attributes:
        npu, chip: numbers as npu-smi counts them.
        name: as npu-smi shows it ("310P3"); health: its word for it ("OK").
        soc_version: what to compile for; None where npu-smi does not tell.
    """

    npu: int
    chip: int
    name: str
    health: str
    soc_version: str | None


@dataclass(frozen=True)
class NpuReport:
    """What npu-smi said, or why it said nothing.

    Attributes:
        driver: version of the driver package.
        reason: why there are no chips; None where there are.
    """

    chips: tuple[Npu, ...]
    driver: str | None
    reason: str | None

    @property
    def soc_versions(self) -> tuple[str, ...]:
        """Each name to compile for, once."""
        return tuple(dict.fromkeys(one.soc_version for one in self.chips if one.soc_version))

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "soc_versions": list(self.soc_versions)}


def soc_version_of(name: str) -> str | None:
    """What atc calls a chip that npu-smi calls `name`; None for the name of a whole series."""
    full = name if name.startswith("Ascend") else f"Ascend{name}"
    return full if full in SOC_VERSIONS else None


def nearest_soc(name: str, known: Iterable[str] = SOC_VERSIONS) -> str | None:
    """The chip that somebody meant: the one that the name ends with, else the most similar one."""
    plain = {one.lower(): one for one in known}
    given = name.lower()
    # Guide 004 writes Ascend310${chip_name}, which doubles the series: Ascend310310P3.
    ends = [one for one in plain if given.endswith(one.removeprefix("ascend"))]
    if ends:
        return plain[max(ends, key=len)]
    close = difflib.get_close_matches(given, plain, n=1, cutoff=0.5)
    return plain[close[0]] if close else None


def read_npus() -> NpuReport:
    """Ask npu-smi; nothing is raised where it is absent or fails, the reason is told."""
    tool = shutil.which(TOOL)
    if tool is None:
        return NpuReport((), None, f"{TOOL} is not here: no Ascend NPU, or its driver is missing")
    try:
        text = _ask(tool, "info")
    except (OSError, subprocess.SubprocessError) as error:
        return NpuReport((), None, f"`{TOOL} info` failed: {error}")
    version = VERSION.search(text)
    chips = tuple(_chip(tool, *row) for row in _rows(text))
    reason = None if chips else f"`{TOOL} info` lists no chip; it said: {_first_line(text)}"
    return NpuReport(chips, version[1] if version else None, reason)


def _ask(tool: str, *words: str) -> str:
    done = subprocess.run(
        [tool, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    text = done.stdout.decode("utf-8", errors="replace")
    if done.returncode != 0:
        raise subprocess.SubprocessError(f"exit code {done.returncode}: {_first_line(text)}")
    return text


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "nothing")


def _rows(text: str) -> list[tuple[int, int, str, str]]:
    """(npu, chip, name, health) of each chip in the table of `npu-smi info`."""
    rows: list[tuple[int, int, str, str]] = []
    inside, first = False, None
    for line in text.splitlines():
        if "Memory-Usage" in line:
            inside = True
        elif "Process id" in line:
            break  # a table of processes follows
        elif not inside or not line.startswith("|"):
            continue
        elif first is None:
            first = NAMED.match(line)
        else:
            second = PLACED.match(line)
            if second:
                rows.append((int(first[1]), int(second[1]), first[2], first[3]))
            first = None
    return rows


def _chip(tool: str, npu: int, chip: int, name: str, health: str) -> Npu:
    found = soc_version_of(name)
    if found is None:
        try:
            board = _ask(tool, "info", "-t", "board", "-i", str(npu), "-c", str(chip))
        except (OSError, subprocess.SubprocessError):
            board = ""
        said = dict(BOARD.findall(board))
        if {"Chip Name", "NPU Name"} <= set(said):
            series = said["Chip Name"].removeprefix("Ascend")
            found = f"Ascend{series}_{said['NPU Name']}"
    return Npu(npu, chip, name, health, found)
