"""Run a vendor's command line tool: in a folder of its own, watched, and gone when we are."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stgcn_deploy.errors import BuildError, MissingDependencyError

__all__ = ["ToolRun", "public_argv", "run_tool"]

TICK = 0.2
GRACE = 5.0
# Of a log that may hold megabytes; errors stand at its end.
MAX_LOG = 1 << 20


@dataclass(frozen=True)
class ToolRun:
    """One run: its exit code, what it wrote to both outputs, and how long it took in seconds."""

    code: int
    log: str
    seconds: float

    def tail(self, lines: int = 12) -> str:
        """The end of the log, indented, for a message."""
        kept = [line.rstrip() for line in self.log.splitlines() if line.strip()][-lines:]
        return "\n".join(f"    {line}" for line in kept) or "    (it wrote nothing)"


def run_tool(
    argv: Sequence[str],
    cwd: Path,
    timeout: float,
    tick: Callable[[float], None] = lambda _: None,
    environment: Mapping[str, str] | None = None,
) -> ToolRun:
    """Run `argv` in `cwd` and wait, with no input; its children end with it, however this ends.

    Args:
        timeout: seconds after which it is stopped.
        tick: called several times a second with the seconds passed.
        environment: instead of this process's own.

    Raises:
        MissingDependencyError: it cannot be started.
        BuildError: it took too long.
    """
    start = time.monotonic()
    with (cwd / "tool.log").open("w+b") as output:
        try:
            process = subprocess.Popen(
                list(argv),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise MissingDependencyError(
                f"{argv[0]} cannot be started: {error.strerror}."
            ) from error
        try:
            code = _wait(process, start, timeout, tick)
        finally:
            _end(process)
        output.seek(max(0, output.seek(0, os.SEEK_END) - MAX_LOG))
        log = output.read().decode("utf-8", errors="replace")
    run = ToolRun(-1 if code is None else code, log, time.monotonic() - start)
    if code is None:
        raise BuildError(
            f"{argv[0]} was stopped after {timeout:g} s; allow it more with --timeout SECONDS. It said "
            f"last:\n{run.tail()}"
        )
    return run


def _wait(
    process: subprocess.Popen[bytes], start: float, timeout: float, tick: Callable[[float], None]
) -> int | None:
    """The exit code, or None where the time was over."""
    while True:
        passed = time.monotonic() - start
        tick(passed)
        if passed > timeout:
            return None
        with suppress(subprocess.TimeoutExpired):
            return process.wait(TICK)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the tool and what it started; compilers leave workers behind when only they are ended."""
    for what in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, what)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def public_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """A command for the manifest: file names without the folders of this machine."""
    return tuple(_public(word) for word in argv)


def _public(word: str) -> str:
    option, equals, value = word.partition("=")
    if equals and Path(value).is_absolute():
        return f"{option}={Path(value).name}"
    return Path(word).name if Path(word).is_absolute() else word
