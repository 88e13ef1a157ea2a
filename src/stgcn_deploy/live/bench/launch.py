"""One run in a process of its own, so that no run finds what another one left."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any

from stgcn_deploy.errors import BackendError, CheckFailedError, MissingDependencyError, UsageError
from stgcn_deploy.live.bench.outcome import Outcome
from stgcn_deploy.live.bench.plan import BenchPlan

__all__ = ["launch"]

MODULE = "stgcn_deploy.live.bench.run"
# Beside warm-up and duration: loading libraries and networks, making motion, stopping.
GRACE = 180.0
TAIL = 2000


def launch(
    plan: BenchPlan, progress: Callable[[str], None] = lambda _: None, *, module: str = MODULE
) -> Outcome:
    """Run a plan in a child process and wait for what came of it.

    Raises:
        StgcnError: the run could not begin.
        BackendError: the process died, or did not answer in time; with its last words.
    """
    limit = plan.warmup + plan.duration + GRACE
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
        )
        timer = threading.Timer(limit, process.kill)
        timer.daemon = True
        timer.start()
        try:
            found = _talk(process, plan, progress)
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        if found is not None:
            return found
        errors.seek(0, 2)
        errors.seek(max(0, errors.tell() - TAIL))
        words = errors.read().decode("utf-8", "replace").strip()
    raise BackendError(
        f"the run's process ended with code {process.returncode} and without a result"
        + (f" (it was stopped after {limit:.0f} s)" if process.returncode == -9 else "")
        + (f"; its last words:\n{words}" if words else ".")
    )


def _talk(
    process: subprocess.Popen[str], plan: BenchPlan, progress: Callable[[str], None]
) -> Outcome | None:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(plan.model_dump_json())
        process.stdin.close()
    except BrokenPipeError:
        return None
    for line in process.stdout:
        message: dict[str, Any] = json.loads(line)
        if "progress" in message:
            progress(message["progress"])
        elif "error" in message:
            kinds = {1: CheckFailedError, 3: MissingDependencyError}
            raise kinds.get(message["exit_code"], UsageError)(message["error"])
        else:
            process.wait()
            return Outcome.from_dict(message["outcome"])
    process.wait()
    return None
