"""Sinks: files, standard output, and the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from liveevents import event

from stgcn_deploy.errors import UnknownNameError, UsageError
from stgcn_deploy.live.settings import JsonlSettings
from stgcn_deploy.live.sinks import jsonl
from stgcn_deploy.live.sinks.base import DeferringSink, SinkError
from stgcn_deploy.live.sinks.jsonl import JsonlFile, Stdout
from stgcn_deploy.live.sinks.registry import SINKS, make_sink

LINE = len(event(1).as_line().encode("utf-8")) + 1


def ids(path: Path) -> list[str]:
    """Of the events of a file; every line is whole."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["id"] for line in lines if line]


def test_events_are_appended_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "events.jsonl"
    for number in (1, 2):
        sink = make_sink(JsonlSettings(path=str(path)))
        sink.emit(event(number))
        assert ids(path)[-1] == f"e{number}", "written before it is closed"
        sink.close()
        sink.close()
    assert ids(path) == ["e1", "e2"]
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert next(iter(first)) == "v"
    assert first["label"] == "fäll"
    assert sink.name == "jsonl events.jsonl"


def test_a_file_of_the_users_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"id": "old"}\n{"id": "cut sho', encoding="utf-8")
    sink = JsonlFile(path, 10**6, 5)
    sink.emit(event(1))
    sink.close()
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ['{"id": "old"}', '{"id": "cut sho']
    assert json.loads(lines[2])["id"] == "e1"


def test_files_that_have_grown_are_renamed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonlFile(path, 2 * LINE - 1, 2)
    for number in range(1, 8):
        sink.emit(event(number))
    sink.close()
    assert ids(path) == ["e7"]
    assert ids(tmp_path / "events.jsonl.1") == ["e5", "e6"]
    assert ids(tmp_path / "events.jsonl.2") == ["e3", "e4"]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_that_somebody_else_renames_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonlFile(path, 10**6, 5)
    sink.emit(event(1))
    path.rename(tmp_path / "away")
    sink.emit(event(2))
    sink.close()
    assert (ids(tmp_path / "away"), ids(path)) == (["e1"], ["e2"])


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="no file; name a file"):
        make_sink(JsonlSettings(path=str(tmp_path)))
    with pytest.raises(UsageError, match="cannot write"):
        make_sink(JsonlSettings(path=str(tmp_path / "file" / "events.jsonl")))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="name a file"):
        make_sink(JsonlSettings(path=str(tmp_path / "pipe")))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which is absent")
def test_a_full_disk_is_told() -> None:
    sink = JsonlFile(Path("/dev/full"), 10, 5)
    for _ in range(2):
        with pytest.raises(SinkError, match="No space left") as caught:
            sink.emit(event(1))
        assert (caught.value.reason, caught.value.events) == ("not writable", 1)
    sink.close()


def test_a_line_that_was_cut_short_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonlFile(path, 10**6, 5)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(jsonl.os, "write", lambda handle, data: write(handle, data[:20]))
        with pytest.raises(SinkError, match="disk is full"):
            sink.emit(event(1))
    sink.emit(event(2))
    sink.close()
    cut, whole = path.read_text(encoding="utf-8").splitlines()
    assert len(cut) == 20
    assert json.loads(whole)["id"] == "e2"


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    sink = make_sink(JsonlSettings(path="-"))
    sink.emit(event(1))
    sink.close()
    assert json.loads(capsys.readouterr().out)["id"] == "e1"
    assert sink.name == "stdout"


READER_LEAVES = """
import sys
from liveevents import event
from stgcn_deploy.live.sinks.base import SinkError
from stgcn_deploy.live.sinks.jsonl import Stdout

sink = Stdout()
sink.emit(event(0))
sys.stdin.read()
for number in range(3):
    try:
        sink.emit(event(number))
    except SinkError as error:
        print(error.reason, file=sys.stderr)
"""


def test_a_reader_of_standard_output_may_leave() -> None:
    tests = Path(__file__).resolve().parents[1]
    child = subprocess.Popen(
        [sys.executable, "-c", READER_LEAVES],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *sys.path])},
    )  # fmt: skip
    assert child.stdin
    assert child.stdout
    assert child.stderr
    assert json.loads(child.stdout.readline())["id"] == "e0"
    child.stdout.close()
    child.stdin.close()
    said = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait(60) == 0
    assert said.split() == ["closed"] * 3, "and no complaint at the end"


def test_standard_output_that_is_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = (tmp_path / "out").open("w")
    file.close()
    monkeypatch.setattr(sys, "stdout", file)
    sink = Stdout()
    for _ in range(2):
        with pytest.raises(SinkError) as caught:
            sink.emit(event(1))
        assert caught.value.reason == "closed"


def test_every_kind_of_settings_has_a_sink(tmp_path: Path) -> None:
    assert list(SINKS) == ["jsonl", "mqtt", "webhook"]
    for name in SINKS:
        assert callable(SINKS[name])
    assert not isinstance(make_sink(JsonlSettings(path=str(tmp_path / "a"))), DeferringSink)
    with pytest.raises(UnknownNameError, match="did you mean 'webhook'"):
        SINKS["webhok"]
