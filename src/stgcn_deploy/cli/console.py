"""Results on stdout, progress on stderr; tables for people, --json for programs."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

NONE = "\N{EN DASH}"
NUMBER = re.compile(
    r"[-+]?[\d.,]+(e[-+]?\d+)?\s*(±\s*[\d.,]+|%|ms|s|MiB|x|\N{MULTIPLICATION SIGN})?"
)

__all__ = ["counter", "json_text", "meter", "note", "print_json", "print_table", "progress", "say"]

# A line of a long run that nobody watches, at most so often.
LINE_SECONDS = 10.0


def say(text: str = "") -> None:
    """One line of the result."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """One line beside the result."""
    sys.stderr.write(text + "\n")


def _finite(value: Any) -> Any:
    """NaN and infinity are no JSON; they become null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(value: Any) -> str:
    """Plain values as JSON that every reader takes."""
    return json.dumps(_finite(value), indent=1)


def print_json(value: Any) -> None:
    """The result as JSON."""
    say(json_text(value))


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None
) -> None:
    """A table; numbers to the right."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title, title_justify="left", header_style="bold", box=SIMPLE, show_header=any(header)
    )
    for index, name in enumerate(header):
        numeric = index > 0 and _numeric([row[index] for row in rows])
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # Piped output keeps whole rows: wrapping to 80 columns would break the columns apart.
    width = None if sys.stdout.isatty() else 200
    Console(file=sys.stdout, width=width).print(table)


def _numeric(cells: Sequence[str]) -> bool:
    """Whether a column holds numbers (and perhaps dashes for absent ones)."""
    numbers = [cell for cell in cells if cell not in ("", "-", NONE)]
    return bool(numbers) and all(NUMBER.fullmatch(cell) for cell in numbers)


@contextmanager
def progress(quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A function that reports what is going on: a spinner on a terminal, timed lines elsewhere."""
    if quiet:
        yield lambda _: None
        return
    start = time.perf_counter()
    if not sys.stderr.isatty():
        yield lambda text: note(f"[{time.perf_counter() - start:6.1f}s] {text}")
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("starting") as status:
        yield lambda text: status.update(f"{text} [dim]({time.perf_counter() - start:.0f}s)[/dim]")


@contextmanager
def counter(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function of records done and in all: a bar with the time left, now and then a line elsewhere."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def meter() -> Iterator[Callable[[str, float | None], None]]:
    """A function of what is going on and the share done, 0 to 1: a bar, a line for each step elsewhere.

    Where nobody knows the share it is None, and the bar only moves.
    """
    if not sys.stderr.isatty():
        yield _steps()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda text, share: bar.update(
            task,
            description=text,
            completed=share or 0.0,
            total=None if share is None else 1.0,
        )


def _steps() -> Callable[[str, float | None], None]:
    start = last = time.perf_counter()
    shown = ""

    def show(text: str, share: float | None) -> None:
        nonlocal last, shown
        now = time.perf_counter()
        # A tool that takes minutes says now and then that it is still at it.
        if text == shown and now - last < LINE_SECONDS:
            return
        last, shown = now, text
        done = "" if share is None else f", {share:.0%}"
        note(f"[{now - start:6.1f}s] {text}{done}")

    return show


def _lines(what: str) -> Callable[[int, int], None]:
    start = last = time.perf_counter()
    begun = 0

    def show(done: int, total: int) -> None:
        nonlocal last, begun
        now = time.perf_counter()
        begun = begun or done
        if now - last < LINE_SECONDS or done >= total:
            return
        last = now
        # What an earlier run had done says nothing about the speed of this one.
        rate = max(done - begun, 1) / (now - start)
        left = (total - done) / rate
        note(f"[{now - start:6.1f}s] {what} {done:,} of {total:,}, {rate:.1f}/s, {left:.0f}s left")

    return show
