"""The terminal view: one line, a table, and what goes where."""

from __future__ import annotations

import io
import sys
import threading
from typing import Any

import numpy as np
import pytest

from stgcn_deploy.live.board import Board
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Detection, Frame, Tracked
from stgcn_deploy.live.terminal import TerminalView, render, summary


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def board() -> Board:
    clock = [100.0]
    board = Board(["door", "[red]hall"], edges=(), labels=("walk",), clock=lambda: clock[0])
    board.camera("door", "running", "")
    board.camera("[red]hall", "backoff", "refused")
    board.current = lambda camera, track: ("walk", 0.934) if track == 7 else None
    for _ in range(100):
        clock[0] += 1 / 16  # exact, so that the rate is
        frame = Frame("door", clock[0], clock[0])
        board.frame(frame)
        people = [Tracked(n, Detection(np.ones((2, 3), np.float32))) for n in (7, 8)]
        board.people(frame, people, clock[0] + 1 / 32)
    return board


def shown(board: Board, width: int = 120) -> str:
    from rich.console import Console

    out = io.StringIO()
    events = [event for _, event in board.events_since(0)]
    Console(file=out, width=width).print(render(board.snapshot(keypoints=False), events))
    return out.getvalue()


def test_a_run_in_one_line(board: Board) -> None:
    assert summary(board.snapshot()) == (
        "1 of 2 cameras up, 16 frames/s, 2 people, [red]hall backoff (refused)"
    )
    board.level(2, "fewer people")
    board.frame_dropped("door", "stale")
    board.event_dropped("webhook", "full")
    assert summary(board.snapshot()).endswith(
        "slowed down: fewer people; dropped: 1 stale, 1 events lost"
    )


def test_the_table_says_who_does_what(board: Board) -> None:
    board.event(Event("1", "action_start", "door", 1.0, 1.0, 7, "walk", 0.9, reason="[b]why"))
    text = shown(board)
    row = next(line for line in text.splitlines() if line.lstrip().startswith("door"))
    assert "running" in row
    assert "16.0" in row
    assert "31 / 31" in row
    assert "#7 walk 93%, #8" in row
    # What stands in brackets is a name here, not a colour.
    assert "[red]hall" in text
    assert "door #7  action_start walk 90% ([b]why)" in text


def test_narrow_terminals_cut_and_do_not_break(board: Board) -> None:
    assert all(len(line) <= 60 for line in shown(board, width=60).splitlines())


def test_with_a_terminal_there_is_a_table(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with TerminalView(board, out):
        pass
    assert "[red]hall" in out.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_standard_output_is_left_alone(
    board: Board,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with TerminalView(board, Terminal() if terminal else io.StringIO()):
        sys.stdout.write("a line of events\n")
    assert capsys.readouterr().out == "a line of events\n"


def test_without_a_terminal_there_are_lines_now_and_then(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stgcn_deploy.live.terminal.LINE_SECONDS", 0.01)
    written = threading.Event()

    class Out(io.StringIO):
        def write(self, text: str) -> int:
            written.set()
            return super().write(text)

    out: Any = Out()
    with TerminalView(board, out):
        assert written.wait(30)
    assert out.getvalue().startswith("1 of 2 cameras up, 16 frames/s")
    assert not [one for one in threading.enumerate() if one.name == "stgcn-lines"]
