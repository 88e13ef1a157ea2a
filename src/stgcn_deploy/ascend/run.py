"""One run of a tool on all samples: done in a folder beside, checked, then renamed.

WORK/bins/                 the samples, see data.bins
WORK/{om}_{tool}/          a run that is whole
    run.json               of which OM, by which tool
    bins.json              of which samples: a copy of theirs
    results/ results_summary.json log.txt
WORK/{om}_{tool}.log       what the tool said last, also where it failed
WORK/{om}_{tool}.attempt*  a run that goes on, or was killed; the next one removes it

A folder without ".attempt" in its name was checked before it got it, so that a kill at any moment leaves
either none, which is run again, or all, which is only scored.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from stgcn_deploy.ascend.om import OmFile
from stgcn_deploy.ascend.tools import LOG, Job, Tool
from stgcn_deploy.data.bins import RECORD
from stgcn_deploy.errors import BackendError, OutputExistsError, UsageError

__all__ = ["IDENTITY", "Stage", "perform"]

IDENTITY = "run.json"
TAIL_LINES = 15
# How often a long run says something.
SAY_SECONDS = 5.0
# What a line of a tool means, in words; the first that fits is told.
HINTS = (
    (
        r"tensorsize: \d+ filesize: \d+ not match|ndata size:\d+ not match",
        "the OM takes samples of another size; build it again for this bundle",
    ),
    (
        r"illegal char|path:\S* is illegal|symbolic link",
        "later versions of ais_bench take only paths of letters, digits, _ . / and -, and no links; "
        "choose such a --work and move the bundle",
    ),
    (r"isn't path:", "the OM and the samples must belong to the user (and group) who runs ais_bench"),
    (
        r"No module named '?(aclruntime|acl)\b|libascendcl|acl init failed",
        "the toolkit's environment is not set: . /usr/local/Ascend/ascend-toolkit/set_env.sh",
    ),
    (
        r"open device|set ?device|507033|invalid device",
        "the NPU cannot be opened; see `npu-smi info`, and --device",
    ),
    (r"load model from file failed|load model \S+ failed|145000|545005",
     "the OM does not load: was it built for this SoC, and by a toolkit not newer than this host's?"),
    (r"unrecognized arguments|unknown param", "this version of the tool knows other options"),
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One run.

    Attributes:
        folder: where it ends; its parent exists.
        om: what is run; job: how.
        bins: the samples' folder; None where the tool makes up zeros.
    """

    folder: Path
    om: OmFile
    tool: Tool
    job: Job
    bins: Path | None

    @property
    def identity(self) -> dict[str, Any]:
        """For run.json: results of another one are not taken for this one's."""
        return {
            "format": "stgcn-ascend-run",
            "om": self.om.path.name,
            "sha256": self.om.sha256,
            "batch": self.om.batch,
            "tool": self.tool.name,
            "loop": None if self.job.inputs else self.job.loop,
        }


def perform(
    stage: Stage,
    check: Callable[[Path], object],
    *,
    force: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> bool:
    """Run the tool, unless its results are there.

    Args:
        check: called with the folder of the run before it counts; raises where something is wrong.
        force: run it again.

    Returns:
        Whether it ran now.

    Raises:
        OutputExistsError: the folder holds another run.
        MissingDependencyError: the tool is not here.
        BackendError: it failed, or ended well without results; the end of its log is told.
    """
    stage.tool.check(stage.job)
    _remove_attempts(stage.folder)
    if stage.folder.exists() and not _replace(stage, force):
        return False
    program = stage.tool.find()
    log = stage.folder.with_name(f"{stage.folder.name}.log")
    try:
        attempt = Path(
            tempfile.mkdtemp(prefix=f"{stage.folder.name}.attempt-", dir=stage.folder.parent)
        )
    except OSError as error:
        raise UsageError(f"cannot write into {stage.folder.parent}: {error.strerror}.") from None
    try:
        attempt.chmod(0o755)
        _run(stage, program, attempt, log, progress)
        shutil.copyfile(log, attempt / LOG)
        check(attempt)
        _seal(stage, attempt)
        if stage.folder.exists():
            shutil.rmtree(stage.folder)
        attempt.rename(stage.folder)
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    return True


def _remove_attempts(folder: Path) -> None:
    for left in folder.parent.glob(f"{folder.name}.attempt*"):
        shutil.rmtree(left, ignore_errors=True)


def _replace(stage: Stage, force: bool) -> bool:
    """Whether the run that is there gives way; where it does not, it is this one.

    Raises:
        OutputExistsError: it is another run, or none of ours.
    """
    try:
        found = json.loads((stage.folder / IDENTITY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != stage.identity["format"]:
        raise OutputExistsError(
            f"{stage.folder} is no run of ours (no {IDENTITY}), so that its results cannot be trusted to "
            "be of these samples; choose another --work, or score them by themselves: stgcn data bins "
            "score"
        )
    if force:
        return True
    differing = [key for key, value in stage.identity.items() if found.get(key) != value]
    if differing:
        raise OutputExistsError(
            f"{stage.folder} holds results of another run ({', '.join(differing)} differs); choose "
            "another --work, or run again with --force."
        )
    if stage.bins is not None and not _same_bins(stage.folder / RECORD, stage.bins / RECORD):
        raise OutputExistsError(
            f"{stage.folder} holds results of other samples ({RECORD} differs); choose another --work, "
            "or run again with --force."
        )
    return False


def _same_bins(mine: Path, theirs: Path) -> bool:
    try:
        return mine.read_bytes() == theirs.read_bytes()
    except OSError:
        return False


def _seal(stage: Stage, attempt: Path) -> None:
    if stage.bins is not None:
        shutil.copyfile(stage.bins / RECORD, attempt / RECORD)
    text = json.dumps(stage.identity) + "\n"
    (attempt / IDENTITY).write_text(text, encoding="utf-8")


def _run(
    stage: Stage,
    program: tuple[str, ...],
    attempt: Path,
    log: Path,
    progress: Callable[[str], None],
) -> None:
    name = stage.tool.name
    arguments = stage.tool.arguments(stage.job, str(attempt))
    with log.open("wb") as sink:
        code = _execute((*program, *arguments), attempt, sink, name, progress)
    if code:
        died = f"was ended by signal {-code}" if code < 0 else f"failed with code {code}"
        raise BackendError(_failure(f"{name} {died}", log))
    try:
        stage.tool.settle(attempt)
    except BackendError as error:
        raise BackendError(_failure(f"{name}: {error}".rstrip("."), log)) from None


def _failure(what: str, log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    lines = [line for line in text.splitlines() if line.strip()]
    # "[INFO] open device 0 success" is no failure to open it.
    wrong = "\n".join(line for line in lines if not line.startswith("[INFO]"))
    hint = next(
        (
            f" {words[0].upper()}{words[1:]}."
            for pattern, words in HINTS
            if re.search(pattern, wrong)
        ),
        "",
    )
    told = "\n".join(f"    {line[:300]}" for line in lines[-TAIL_LINES:]) or "    (nothing)"
    return f"{what}.{hint} It said last (all of it is in {log}):\n{told}"


def _execute(
    argv: tuple[str, ...],
    cwd: Path,
    sink: IO[bytes],
    name: str,
    progress: Callable[[str], None],
) -> int:
    """Run a tool in `cwd`, where it may drop what it likes; all that it says goes to `sink`."""
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise BackendError(f"{argv[0]} cannot be started: {error.strerror}.") from None
    assert process.stdout is not None
    last = 0.0
    try:
        with process.stdout as pipe:
            while block := pipe.read1(1 << 16):  # type: ignore[attr-defined]
                sink.write(block)
                now = time.monotonic()
                if now - last >= SAY_SECONDS:
                    last = now
                    progress(f"{name}: {_last_line(block)}")
        return process.wait()
    finally:
        # Ctrl-C, or a full disk: the tool does not outlive this.
        if process.poll() is None:
            process.kill()
            process.wait()


def _last_line(block: bytes) -> str:
    lines = re.split(r"[\r\n]+", block.decode("utf-8", "replace").strip())
    return lines[-1][:100]
