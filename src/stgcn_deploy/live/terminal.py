"""The live view in a terminal: a table of cameras, the last events; plain lines where there is none."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from threading import Event as Signal
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from stgcn_deploy.live.board import Board
from stgcn_deploy.live.events import Event

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["TerminalView", "render", "summary"]

REFRESH_HZ = 3.0
# Where nobody sees the table, a line that often.
LINE_SECONDS = 10.0
SHOWN_EVENTS = 6
STYLES = {
    "running": "green",
    "ended": "dim",
    "stalled": "yellow",
    "connecting": "yellow",
    "backoff": "red",
    "disabled": "red",
}


def _doing(camera: dict[str, Any]) -> str:
    """Everybody's action (#3 walk 93%, #4), the scene's first."""
    found = []
    if camera["scene"]:
        found.append(f"{camera['scene']['label']} {camera['scene']['score']:.0%}")
    for one in camera["people"]:
        action = one["action"]
        told = f" {action['label']} {action['score']:.0%}" if action else ""
        found.append(f"#{one['track']}{told}")
    return ", ".join(found)


def _delay(spread: dict[str, float] | None) -> str:
    return f"{spread['p50']:.0f} / {spread['p95']:.0f}" if spread else ""


def _drops(snapshot: dict[str, Any]) -> str:
    counts = [
        f"{count} {reason}"
        for kind in ("frames", "windows")
        for reason, count in snapshot["drops"][kind].items()
    ]
    lost = sum(one["count"] for one in snapshot["drops"]["events"])
    return ", ".join(counts + [f"{lost} events lost"] * bool(lost))


def summary(snapshot: dict[str, Any]) -> str:
    """A run in one line."""
    cameras = snapshot["cameras"]
    up = [one for one in cameras if one["state"] == "running"]
    people = sum(len(one["people"]) for one in cameras)
    parts = [
        f"{len(up)} of {len(cameras)} cameras up",
        f"{sum(one['fps'] for one in cameras):.0f} frames/s",
        f"{people} people" if people != 1 else "1 person",
    ]
    parts += [
        f"{one['name']} {one['state']}" + (f" ({one['reason']})" if one["reason"] else "")
        for one in cameras
        if one["state"] not in ("running", "ended")
    ]
    if snapshot["level"]["level"]:
        parts.append(f"slowed down: {snapshot['level']['name']}")
    dropped = _drops(snapshot)
    return ", ".join(parts) + (f"; dropped: {dropped}" if dropped else "")


def _told(event: Event) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(event.t_emit))
    who = f" #{event.track}" if event.track is not None else ""
    score = f" {event.score:.0%}" if event.score is not None else ""
    why = f" ({event.reason})" if event.reason else ""
    return f"{clock}  {event.camera}{who}  {event.type} {event.label}{score}{why}"


def render(snapshot: dict[str, Any], events: list[Event]) -> Group:
    """A run as a table for rich."""
    from rich.box import SIMPLE
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, header_style="bold", expand=True)
    for name in ("camera", "state"):
        table.add_column(name, overflow="ellipsis")
    for name in ("fps", "people ms", "result ms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what they do", ratio=1, overflow="ellipsis", no_wrap=True)
    for one in snapshot["cameras"]:
        state = one["state"] + (f" ({one['reason']})" if one["reason"] else "")
        table.add_row(
            Text(one["name"]),
            Text(state, STYLES.get(one["state"], "")),
            f"{one['fps']:.1f}",
            _delay(one["delay_ms"]["people"]),
            _delay(one["delay_ms"]["result"]),
            Text(_doing(one)),
        )
    lines = [Text(summary(snapshot), "yellow" if snapshot["level"]["level"] else "dim")]
    lines += [Text(_told(event), no_wrap=True, overflow="ellipsis") for event in events]
    return Group(table, *lines)


class TerminalView:
    """Shows a board on stderr while the block runs."""

    def __init__(self, board: Board, out: TextIO | None = None) -> None:
        self._board = board
        self._out = sys.stderr if out is None else out
        self._stop = Signal()
        self._held = ExitStack()

    def __enter__(self) -> TerminalView:
        if self._out.isatty():
            from rich.console import Console
            from rich.live import Live

            view = Live(
                get_renderable=self._rendered,
                console=Console(file=self._out),
                refresh_per_second=REFRESH_HZ,
                # rich would send what is printed to the table's own stream: right on one terminal,
                # wrong where standard output goes to a file.
                redirect_stdout=sys.stdout.isatty(),
            )
            self._held.enter_context(view)
        else:
            thread = Thread(target=self._lines, name="stgcn-lines", daemon=True)
            thread.start()
            self._held.callback(thread.join)
            self._held.callback(self._stop.set)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()

    def _rendered(self) -> Group:
        newest = self._board.events_since(self._board.newest_event - SHOWN_EVENTS)
        return render(self._board.snapshot(keypoints=False), [event for _, event in newest])

    def _lines(self) -> None:
        while not self._stop.wait(LINE_SECONDS):
            self._out.write(summary(self._board.snapshot(keypoints=False)) + "\n")
            self._out.flush()
