"""npu-smi is read as it prints, its absence is told, and chips get the names that atc knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.place import put_on_path, without_toolkit

from stgcn_deploy.measure.npu import (
    SOC_VERSIONS,
    Npu,
    nearest_soc,
    read_npus,
    soc_version_of,
)

# As guide 004 shows it, without a head.
GUIDE = """\
+-------------------+-----------------+------------------------------------------------------+
| NPU     Name      | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device    | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
+===================+=================+======================================================+
| 0       310P3     | OK              | 15.8         42                0    / 0              |
| 0       0         | 0000:82:00.0    | 0            1074 / 21534                            |
+===================+=================+======================================================+
| 1       310P3     | OK              | 15.4         43                0    / 0              |
| 0       1         | 0000:89:00.0    | 0            1070 / 21534                            |
+===================+=================+======================================================+
"""
# The first series, whose name is a number like those of the second line, and which has no Bus-Id.
NUMBER = """\
+------------------------------------------------------------------------------+
| npu-smi 21.0.3.1                     Version: 21.0.3.1                       |
+-------------------+-----------------+----------------------------------------+
| NPU     Name      | Health          | Power(W)          Temp(C)              |
| Chip    Device    | Bus-Id          | AICore(%)         Memory-Usage(MB)     |
+===================+=================+========================================+
| 0       310       | Alarm           | 12.8              58                   |
| 0       0         | NA              | 0                 5324 / 8192          |
+===================+=================+========================================+
"""
# Training cards show no device number, and a table of processes below.
TRAINING = """\
| npu-smi 24.1.rc2                 Version: 24.1.rc2                                            |
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 7     910B3               | OK            | 93.9        47                0    / 0             |
| 0                         | 0000:42:00.0  | 0           0    / 0          3383 / 65536         |
+===========================+===============+====================================================+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| 7       0                 | 12345         | python                   | 1024                    |
"""


def _says(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str, code: int = 0) -> None:
    """An npu-smi that prints this."""
    without_toolkit(monkeypatch, folder)
    place = folder / "smi"
    place.mkdir()
    (place / "text").write_text(text, encoding="utf-8")
    (place / "npu-smi").write_text(f"#!/bin/sh\ncat {place}/text\nexit {code}\n", encoding="utf-8")
    (place / "npu-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("text", "driver", "chips"),
    [
        (
            GUIDE,
            None,
            [Npu(0, 0, "310P3", "OK", "Ascend310P3"), Npu(1, 0, "310P3", "OK", "Ascend310P3")],
        ),
        (NUMBER, "21.0.3.1", [Npu(0, 0, "310", "Alarm", "Ascend310")]),
        (TRAINING, "24.1.rc2", [Npu(7, 0, "910B3", "OK", "Ascend910B3")]),
    ],
)
def test_tables_of_three_series_are_read(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    text: str,
    driver: str | None,
    chips: list[Npu],
) -> None:
    _says(monkeypatch, tmp_path, text)
    found = read_npus()
    assert (found.driver, list(found.chips), found.reason) == (driver, chips, None)


def test_without_npu_smi_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_toolkit(monkeypatch, tmp_path)
    found = read_npus()
    assert found.chips == ()
    assert "npu-smi is not here" in str(found.reason)


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("dcmi module initialize failed. ret is -8005\n", 255, "exit code 255: dcmi module"),
        ("", 0, "lists no chip; it said: nothing"),
        ("no table at all\n", 0, "lists no chip; it said: no table"),
        # A row whose second line is missing is no chip.
        ("| Memory-Usage |\n| 0  310P3 | OK | 1 |\n", 0, "lists no chip"),
        ("| Memory-Usage |\n| what  else\n| 0 0 | x |\n", 0, "lists no chip"),
    ],
)
def test_what_cannot_be_read_is_no_chip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, code: int, reason: str
) -> None:
    _says(monkeypatch, tmp_path, text, code)
    found = read_npus()
    assert found.chips == ()
    assert reason in str(found.reason)


def test_an_npu_smi_that_cannot_be_started_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _says(monkeypatch, tmp_path, "")
    (tmp_path / "smi" / "npu-smi").write_bytes(b"\x7fELF no program")
    assert "failed" in str(read_npus().reason)


@pytest.fixture
def smi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    without_toolkit(monkeypatch, tmp_path)
    put_on_path(monkeypatch, tmp_path, "npu-smi")
    return monkeypatch


def test_a_series_that_tells_its_chip_on_the_board_is_asked_there(smi: pytest.MonkeyPatch) -> None:
    smi.setenv("FAKE_NPU", "Ascend910:9391")
    assert read_npus().soc_versions == ("Ascend910_9391",)


def test_a_chip_that_nobody_names_stays_unnamed(smi: pytest.MonkeyPatch) -> None:
    smi.setenv("FAKE_NPU", "910X9")
    found = read_npus()
    assert [one.soc_version for one in found.chips] == [None]
    assert found.soc_versions == ()


def test_two_chips_on_a_card_are_two(smi: pytest.MonkeyPatch) -> None:
    smi.setenv("FAKE_NPU", "310P3+310P3!Warning")
    found = read_npus()
    assert [(one.npu, one.chip, one.health) for one in found.chips] == [
        (0, 0, "OK"),
        (0, 1, "Warning"),
    ]
    assert found.soc_versions == ("Ascend310P3",)


def test_the_stand_in_refuses_what_the_tool_has_not(smi: pytest.MonkeyPatch) -> None:
    import subprocess

    for words in (["list"], ["info", "-t", "board"], ["info", "-t", "board", "-i", "9", "-c", "0"]):
        done = subprocess.run(["npu-smi", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "Error parameter" in done.stdout


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Ascend310310P3", "Ascend310P3"),  # guide 004
        ("310P3", "Ascend310P3"),
        ("ascend310p3", "Ascend310P3"),
        ("Ascend910B33", "Ascend910B3"),
        ("Ascend910_9931", "Ascend910_9391"),
        ("Jetson", None),
    ],
)
def test_the_chip_that_was_meant_is_found(name: str, wanted: str | None) -> None:
    assert nearest_soc(name) == wanted


@pytest.mark.parametrize("name", SOC_VERSIONS)
def test_a_chip_is_named_with_or_without_its_maker(name: str) -> None:
    assert soc_version_of(name) == name
    assert soc_version_of(name.removeprefix("Ascend")) == name
    assert nearest_soc(name) == name


def test_the_doctor_names_what_to_compile_for(
    smi: pytest.MonkeyPatch, cli: Callable[..., Any]
) -> None:
    finished = cli("doctor")
    assert finished.code == 0
    assert "Ascend310P3" in finished.out
    assert "driver 23.0.0" in finished.out
    assert "OK" in finished.out
    npu = json.loads(cli("doctor", "--json").out)["npu"]
    assert npu["soc_versions"] == ["Ascend310P3"]
    smi.setenv("FAKE_NPU", "910X9")
    assert "npu-smi does not tell" in cli("doctor").out


def test_the_doctor_says_that_there_is_no_npu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    without_toolkit(monkeypatch, tmp_path)
    finished = cli("doctor")
    assert finished.code == 0
    assert "Ascend NPU: none (npu-smi is not here" in finished.out
    found = json.loads(cli("doctor", "--json").out)
    assert found["npu"]["chips"] == []
    assert found["builders"]["ascend"]["usable"] is False
    assert "set_env.sh" in found["builders"]["ascend"]["reason"]
